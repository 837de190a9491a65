//! How many tokens a request's strings are. Texts are counted by the rule of [`text`](crate::bedrock::text); what is in base64 is not text:
//!
//! | string | tokens | source |
//! |---|---|---|
//! | an image (PNG, JPEG, GIF, WebP by its first bytes, where an image stands) | 2,500 | AWS's sample gateway; Claude needs up to 1,600, its largest models 4,800 |
//! | another file: PDF, Office, audio, video | 2,500, and one for every four characters of base64, at most 1,000,000 | a page of a PDF is an image, too; what a text file of that size would be, and the largest context window there is |
//! | a link to a file that Bedrock fetches | 2,500 | as an image; a document may be more |
//!
//! An image stands under a name that says so (`image`, `image_url`), beside a media type that does, or after one (`data:image/png`): a text
//! file that begins as one is read as the text that it is, and so is everything in what tools are called with and answer.
//!
//! Beside it, a bound: no tokenizer makes more tokens of a text than it has bytes, so that is what a text and all the JSON around it are
//! held to be, a text file in base64 included. For images and links there is no such bound, and the table's figures stand in for it.
//!
//! Under names that models read as text (`text`, `content`, `prompt`, …) nothing is taken for base64.
//!
//! Providers write instructions before what they are sent, and count them: some before everything, all for [`Extras`]. What these are held
//! to be is what recorded answers of each model told at most, less what the rule makes of their requests, and some more.

use memchr::memchr3;

use crate::bedrock::{json::Container, text::TextMeter};

const IMAGE_TOKENS: u64 = 2_500;
const FILE_TOKENS_MAX: u64 = 1_000_000;
/// A short one is all overhead: a page with nothing on it.
const FILE_TOKENS_MIN: u64 = 2_500;
/// Anthropic's are 264 to 530, by model and `tool_choice`.
pub(super) const TOOLS_TOKENS: u64 = 600;
/// How to cite: Claude's are 530 to 780.
const CITATIONS_TOKENS: u64 = 900;
/// How to answer in a schema: Claude's are 40 beside it.
const SCHEMA_TOKENS: u64 = 100;
/// What stands before every prompt, and what is more of tools than [`TOOLS_TOKENS`], by a part of the model's name.
const PREAMBLES: [(&str, u64, u64); 2] = [("gpt-oss", 75, 0), ("nova-2-", 75, 300)];

/// So many characters of base64 are a file; less is a word, an id, a signature.
const FILE_CHARACTERS_MIN: usize = 256;

const TEXT_NAMES: [&[u8]; 13] = [
    b"arguments",
    b"content",
    b"documents",
    b"inputText",
    b"inputs",
    b"instructions",
    b"message",
    b"prompt",
    b"query",
    b"system",
    b"text",
    b"texts",
    b"thinking",
];
/// Whatever is below them is an image, or of one.
const IMAGE_NAMES: [&[u8]; 8] =
    [b"image", b"image_url", b"images", b"inputImage", b"input_image", b"maskImage", b"mediaSource", b"referenceImages"];
/// A text or a list of contents to OpenAI's models, but what a tool is called with to Converse and Anthropic's.
const INPUT: &[u8] = b"input";
/// What is below them models read letter for letter.
const DATA_NAMES: [&[u8]; 5] = [b"inputSchema", b"input_schema", b"json", b"parameters", b"schema"];
const MEDIA_TYPE_NAMES: [&[u8]; 4] = [b"media_type", b"mediaType", b"mime_type", b"mimeType"];
const LINK_NAMES: [&[u8]; 4] = [b"file_url", b"image_url", b"uri", b"url"];
/// What base64 of PNG, JPEG, GIF and RIFF (WebP) begins with.
const IMAGES: [&[u8]; 4] = [b"iVBORw0KGgo", b"/9j/", b"R0lGOD", b"UklGR"];

/// What a request has that its provider writes instructions for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extras {
    tools: bool,
    citations: bool,
    schema: bool,
}

impl Extras {
    /// A member's name.
    pub fn name(&mut self, name: &[u8]) {
        match name {
            b"tools" | b"toolConfig" => self.tools = true,
            b"citations" => self.citations = true,
            b"outputConfig" | b"output_config" | b"output_format" | b"response_format" => self.schema = true,
            _ => {}
        }
    }

    /// The tokens of all instructions.
    pub fn tokens(self, model: Option<&str>) -> u64 {
        let preamble = PREAMBLES.iter().find(|(part, ..)| model.is_some_and(|model| model.contains(part)));
        let (always, more_of_tools) = preamble.map_or((0, 0), |(_, always, more_of_tools)| (*always, *more_of_tools));
        let of = |is_there: bool, tokens: u64| if is_there { tokens } else { 0 };
        always
            + of(self.tools, TOOLS_TOKENS + more_of_tools)
            + of(self.citations, CITATIONS_TOKENS)
            + of(self.schema, SCHEMA_TOKENS)
    }
}

/// Counts one request's strings.
pub(super) struct Prompt {
    meter: TextMeter,
    /// Tokens of what is no text.
    other: u64,
    /// Characters of images in base64: no text, though bytes of the body.
    encoded: u64,
    name: Name,
    string: String,
    start: Vec<u8>,
    depth: usize,
    /// The depth of what stands under an image's name.
    image_depth: Option<usize>,
    /// The depth of what models read letter for letter.
    data_depth: Option<usize>,
    /// Beside the string: its media type says that it is an image.
    image_beside: bool,
    /// A string that begins as an image beside no media type yet, and its characters.
    unclear: Option<(usize, u64)>,
}

/// The kind of the name that the string stands under.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Text,
    Input,
    Data,
    Link,
    Image,
    MediaType,
    Other,
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
            name: Name::Other,
            string: String::Undecided,
            start: Vec::with_capacity(FILE_CHARACTERS_MIN),
            depth: 0,
            image_depth: None,
            data_depth: None,
            image_beside: false,
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
        self.name = match () {
            () if TEXT_NAMES.contains(&name) => Name::Text,
            () if name == INPUT => Name::Input,
            () if DATA_NAMES.contains(&name) => Name::Data,
            () if IMAGE_NAMES.contains(&name) => Name::Image,
            () if LINK_NAMES.contains(&name) => Name::Link,
            () if MEDIA_TYPE_NAMES.contains(&name) => Name::MediaType,
            () => Name::Other,
        };
    }

    /// A fragment of a string.
    pub fn push(&mut self, fragment: &[u8]) {
        match &mut self.string {
            String::Undecided if matches!(self.name, Name::Text | Name::Input) => {
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

    /// An object or a list begins.
    pub fn open(&mut self, kind: Container) {
        match self.name {
            Name::Image => drop(self.image_depth.get_or_insert(self.depth)),
            Name::Data => drop(self.data_depth.get_or_insert(self.depth)),
            Name::Input if kind == Container::Object => drop(self.data_depth.get_or_insert(self.depth)),
            _ => {}
        }
        // What is in a list stands under the list's name.
        self.name = match (self.name, kind) {
            (_, Container::Object) => Name::Other,
            (Name::Input, Container::Array) => Name::Text,
            (name, Container::Array) => name,
        };
        self.depth = self.depth.saturating_add(1);
        self.image_beside = false;
    }

    /// It ended.
    pub fn close(&mut self) {
        if let Some((_, characters)) = self.unclear.take_if(|(depth, _)| *depth == self.depth) {
            self.file(characters);
        }
        self.depth = self.depth.saturating_sub(1);
        self.name = Name::Other;
        self.image_beside = false;
        self.image_depth.take_if(|depth| *depth >= self.depth);
        self.data_depth.take_if(|depth| *depth >= self.depth);
    }

    /// The string ended.
    pub fn end(&mut self) {
        match self.string {
            String::Undecided => {
                if matches!(self.name, Name::Link | Name::Image) && is_link(&self.start) {
                    self.add(IMAGE_TOKENS);
                }
                if self.name == Name::MediaType && self.start.starts_with(b"image/") {
                    self.image_beside = true;
                    if let Some((_, characters)) = self.unclear.take_if(|(depth, _)| *depth == self.depth) {
                        self.image(characters);
                    }
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
        if self.data_depth.is_some() {
            self.file(characters);
        } else if self.image_beside
            || self.image_depth.is_some()
            || self.name == Name::Image
            || self.start.starts_with(b"data:image/")
        {
            self.image(characters);
        } else if let Some((_, before)) = self.unclear.replace((self.depth, characters)) {
            self.file(before);
        }
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

fn is_link(text: &[u8]) -> bool {
    [&b"http://"[..], b"https://", b"s3://"].iter().any(|scheme| text.starts_with(scheme))
}
