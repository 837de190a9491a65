//! How many tokens a request's strings are. Texts are counted by the rule of [`text`](crate::bedrock::text); what is in base64 is not text:
//!
//! | string | tokens | source |
//! |---|---|---|
//! | an image (PNG, JPEG, GIF, WebP by its first bytes, where an image [stands](super::place)) | 2,500 | AWS's sample gateway; Claude needs up to 1,600, its largest models 4,800 |
//! | another file: PDF, Office, audio, video | 2,500, and one for every four characters of base64, at most 1,000,000 | a page of a PDF is an image, too; what a text file of that size would be, and the largest context window there is |
//! | a link to a file that Bedrock fetches | 2,500 | as an image; a document may be more |
//!
//! Beside it, a bound: no tokenizer makes more tokens of a text than it has bytes, so that is what a text and all the JSON around it are
//! held to be, a text file in base64 included. For images and links there is no such bound, and the table's figures stand in for it.
//!
//! Under names that models read as text (`text`, `content`, `prompt`, …) nothing is taken for base64.

use memchr::memchr3;

use super::place::Place;
use crate::bedrock::{json::Container, text::TextMeter};

const IMAGE_TOKENS: u64 = 2_500;
const FILE_TOKENS_MAX: u64 = 1_000_000;
/// A short one is all overhead: a page with nothing on it.
const FILE_TOKENS_MIN: u64 = 2_500;
/// So many characters of base64 are a file; less is a word, an id, a signature.
const FILE_CHARACTERS_MIN: usize = 256;

/// What base64 of PNG, JPEG, GIF and RIFF (WebP) begins with.
const IMAGES: [&[u8]; 4] = [b"iVBORw0KGgo", b"/9j/", b"R0lGOD", b"UklGR"];

/// Counts one request's strings.
pub(super) struct Prompt {
    meter: TextMeter,
    /// Tokens of what is no text.
    other: u64,
    /// Characters of images in base64: no text, though bytes of the body.
    encoded: u64,
    place: Place,
    string: String,
    start: Vec<u8>,
    /// A string that begins as an image beside no media type yet, and its characters.
    unclear: Option<(usize, u64)>,
}

/// What the string being read is.
#[derive(Clone, Copy)]
enum String {
    /// Its start is held.
    Undecided,
    Text,
    File {
        image: bool,
        characters: u64,
        spoiled: bool,
    },
}

impl Prompt {
    pub fn new() -> Prompt {
        Prompt {
            meter: TextMeter::default(),
            other: 0,
            encoded: 0,
            place: Place::default(),
            string: String::Undecided,
            start: Vec::with_capacity(FILE_CHARACTERS_MIN),
            unclear: None,
        }
    }

    /// Tokens so far.
    pub fn tokens(&self) -> u64 {
        self.other.saturating_add(self.meter.tokens())
    }

    /// At most, in a body of so many bytes.
    pub fn tokens_at_most(&self, bytes: u64) -> u64 {
        bytes.saturating_sub(self.encoded).saturating_add(self.other)
    }

    /// Tokens that no string has.
    pub fn add(&mut self, tokens: u64) {
        self.other = self.other.saturating_add(tokens);
    }

    /// A member's name: models see those of tools' schemas and inputs.
    pub fn name(&mut self, name: &[u8]) {
        self.meter.push(name);
        self.meter.end();
        self.place.name(name);
    }

    /// A fragment of a string.
    pub fn push(&mut self, fragment: &[u8]) {
        match &mut self.string {
            String::Undecided if self.place.is_text() => {
                self.string = String::Text;
                self.meter.push(fragment);
            }
            String::Undecided => {
                let room = FILE_CHARACTERS_MIN.saturating_sub(self.start.len());
                let (held, rest) = fragment.split_at(room.min(fragment.len()));
                self.start.extend_from_slice(held);
                if self.start.len() >= FILE_CHARACTERS_MIN {
                    self.decide();
                    self.push(rest);
                }
            }
            String::Text => self.meter.push(fragment),
            String::File { characters, spoiled, .. } => {
                *characters = characters.saturating_add(fragment.len() as u64);
                *spoiled |= !fragment.is_ascii() || memchr3(b' ', b'\n', b'"', fragment).is_some();
            }
        }
    }

    /// A number or another bare word, of so many characters. A token id, as embeddings take them, is a token, and so are three digits of a number
    /// in a schema or a tool's result.
    pub fn scalar(&mut self, word: &[u8], characters: u64) {
        self.add(if word.contains(&b'.') { characters.div_ceil(2) } else { characters.div_ceil(3) });
    }

    /// An object or a list begins.
    pub fn open(&mut self, kind: Container) {
        self.place.open(kind);
    }

    /// It ended.
    pub fn close(&mut self) {
        if let Some(characters) = self.take_unclear() {
            self.file(characters);
        }
        self.place.close();
    }

    /// The string ended.
    pub fn end(&mut self) {
        match self.string {
            String::Undecided => {
                if self.place.is_link(&self.start) {
                    self.add(IMAGE_TOKENS);
                }
                if self.place.says_image(&self.start)
                    && let Some(characters) = self.take_unclear()
                {
                    self.image(characters);
                }
                self.meter.push(&self.start);
            }
            String::Text => {}
            // Text after all, that began like a file.
            String::File { characters, spoiled: true, .. } => self.add(characters / 2),
            String::File { image: true, characters, .. } => self.image_or_file(characters),
            String::File { characters, .. } => self.file(characters),
        }
        self.meter.end();
        self.start.clear();
        self.string = String::Undecided;
    }

    fn image_or_file(&mut self, characters: u64) {
        match self.place.takes_image(&self.start) {
            Some(true) => self.image(characters),
            Some(false) => self.file(characters),
            None => {
                if let Some((_, before)) = self.unclear.replace((self.place.depth(), characters)) {
                    self.file(before);
                }
            }
        }
    }

    fn take_unclear(&mut self) -> Option<u64> {
        self.unclear.take_if(|(depth, _)| *depth == self.place.depth()).map(|(_, characters)| characters)
    }

    fn image(&mut self, characters: u64) {
        self.add(IMAGE_TOKENS);
        self.encoded = self.encoded.saturating_add(characters);
    }

    fn file(&mut self, characters: u64) {
        let [likely, most] =
            [characters / 4, characters].map(|tokens| tokens.saturating_add(FILE_TOKENS_MIN).min(FILE_TOKENS_MAX));
        self.add(likely);
        // Of its bytes so many are no tokens beside these.
        self.encoded = self.encoded.saturating_add(characters.saturating_sub(most - likely));
    }

    /// Enough of the string was seen to say what it is.
    fn decide(&mut self) {
        let after_comma = || self.start.split(|&byte| byte == b',').nth(1);
        let encoded = if self.start.starts_with(b"data:") { after_comma().unwrap_or_default() } else { &self.start };
        let is_base64 = |&byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_');
        if !encoded.is_empty() && encoded.iter().all(is_base64) {
            let image = IMAGES.iter().any(|magic| encoded.starts_with(magic));
            self.string = String::File { image, characters: self.start.len() as u64, spoiled: false };
        } else {
            self.meter.push(&self.start);
            self.string = String::Text;
        }
    }
}
