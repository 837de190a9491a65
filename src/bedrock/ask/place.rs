//! Where in a request a string stands, as far as that says what it is: a text, a link, an image, or what models read letter for letter.
//!
//! An image stands under a name that says so (`image`, `image_url`), beside a media type that does, or after one (`data:image/png`): a text
//! file that begins as one is read as the text that it is, and so is everything in what tools are called with and answer.

use crate::bedrock::json::Container;

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

/// The kind of the name that a string stands under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Name {
    Text,
    Input,
    Data,
    Link,
    Image,
    MediaType,
    #[default]
    Other,
}

/// Of the string that comes next.
#[derive(Debug, Default)]
pub(super) struct Place {
    name: Name,
    depth: usize,
    /// The depth of what stands under an image's name.
    image_depth: Option<usize>,
    /// The depth of what models read letter for letter.
    data_depth: Option<usize>,
    /// Beside it: a media type says that it is an image.
    image_beside: bool,
}

impl Place {
    /// A member's name.
    pub fn name(&mut self, name: &[u8]) {
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
        self.depth = self.depth.saturating_sub(1);
        self.name = Name::Other;
        self.image_beside = false;
        self.image_depth.take_if(|depth| *depth >= self.depth);
        self.data_depth.take_if(|depth| *depth >= self.depth);
    }

    /// How deep it is.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Whether a string here is a text whatever it looks like.
    pub fn is_text(&self) -> bool {
        matches!(self.name, Name::Text | Name::Input)
    }

    /// Whether this short string is a link to a file.
    pub fn is_link(&self, text: &[u8]) -> bool {
        matches!(self.name, Name::Link | Name::Image)
            && [&b"http://"[..], b"https://", b"s3://"].iter().any(|scheme| text.starts_with(scheme))
    }

    /// Whether this short string says what is beside it: an image.
    pub fn says_image(&mut self, text: &[u8]) -> bool {
        let says = self.name == Name::MediaType && text.starts_with(b"image/");
        self.image_beside |= says;
        says
    }

    /// Whether an image stands here; `None`: what comes beside it may say so. `start`: of the string.
    pub fn takes_image(&self, start: &[u8]) -> Option<bool> {
        let says =
            self.image_beside || self.image_depth.is_some() || self.name == Name::Image || start.starts_with(b"data:image/");
        if self.data_depth.is_some() { Some(false) } else { says.then_some(true) }
    }
}
