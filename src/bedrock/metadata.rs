//! The metadata of a request, which Bedrock writes into invocation logs: the gateway's keys put in, the client's own kept. `InvokeModel`
//! has it as JSON in a header, `Converse` as a member of its body, of which no other byte changes.

use std::{collections::BTreeMap, ops::Range};

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{
    Operation,
    ask::edit::{Edit, splice},
    json::{Container, Node, Scanner, Sink},
};

/// `InvokeModel`'s header.
pub const HEADER: &str = "x-amzn-bedrock-request-metadata";

/// Bedrock's limits, by botocore's model.
const PAIRS_MAX: usize = 16;
const CHARS_MAX: usize = 256;
const HEADER_BYTES_MAX: usize = 8_500;

const MEMBER: &str = "requestMetadata";

/// Where an operation has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In [`HEADER`].
    Header,
    /// In the body.
    Body,
}

/// Why a request's metadata cannot be added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// There is more than one of it.
    #[error("The request metadata stands there twice")]
    Twice,
    /// It is something else.
    #[error("The request metadata has to be a JSON object of strings")]
    NotStrings,
    /// Nobody can tell what a body has.
    #[error("The body has to be a JSON object, to which the gateway can add request metadata")]
    NoObject,
    /// No room for the gateway's own.
    #[error(
        "The request metadata has more than {} keys, or more than {HEADER_BYTES_MAX} bytes, with what the gateway adds",
        PAIRS_MAX
    )]
    TooMuch,
}

/// Where an operation takes metadata; most take none.
pub fn place(operation: &Operation) -> Option<Place> {
    match operation.name {
        "InvokeModel" | "InvokeModelWithResponseStream" => Some(Place::Header),
        "Converse" | "ConverseStream" => Some(Place::Body),
        _ => None,
    }
}

/// Whether Bedrock takes a key: `[a-zA-Z0-9\s:_@$#=/+,-.]{1,256}`.
pub fn is_metadata_key(key: &str) -> bool {
    let is_char = |c: char| c.is_ascii_alphanumeric() || " :_@$#=/+,-.".contains(c);
    (1..=CHARS_MAX).contains(&key.len()) && key.chars().all(is_char)
}

/// The header's value with the gateway's pairs in it; `sent`: the client's.
///
/// # Errors
/// The client's is nothing that Bedrock would take.
pub fn header(sent: Option<&str>, own: &BTreeMap<String, String>) -> Result<String, MetadataError> {
    let sent = sent.map(str::trim).filter(|sent| !sent.is_empty());
    let value = merged(sent.map(str::as_bytes), own)?;
    if value.len() > HEADER_BYTES_MAX { Err(MetadataError::TooMuch) } else { Ok(value) }
}

/// The body with the gateway's pairs in it. No body at all, and an array, come back as they were, for Bedrock to complain of.
///
/// # Errors
/// The client's metadata is nothing that Bedrock would take; or the body is no JSON, of which a more lenient parser could make an object with
/// metadata of the client's own: a byte-order mark before it, or levels beyond those that are read here.
pub fn body(pieces: &[Bytes], own: &BTreeMap<String, String>) -> Result<Vec<Bytes>, MetadataError> {
    let mut scanner = Scanner::new(&TREE);
    let mut found = Found::default();
    pieces.iter().for_each(|piece| scanner.push(piece, &mut found));
    if pieces.iter().all(Bytes::is_empty) || (scanner.is_done() && found.is_array) {
        return Ok(pieces.to_vec());
    }
    let inside = found.inside.filter(|_| scanner.is_done()).ok_or(MetadataError::NoObject)?;
    let edit = match found.values.as_slice() {
        [] => {
            let comma = if found.is_empty { "" } else { "," };
            Edit { range: inside..inside, text: format!("\"{MEMBER}\":{}{comma}", merged(None, own)?) }
        }
        [range] => {
            let sent = cut(pieces, range);
            let sent = Some(sent.as_slice()).filter(|sent| *sent != b"null");
            Edit { range: range.clone(), text: merged(sent, own)? }
        }
        _ => return Err(MetadataError::Twice),
    };
    splice(pieces, vec![edit]).ok_or(MetadataError::NoObject)
}

/// JSON of the client's pairs and the gateway's, which win.
fn merged(sent: Option<&[u8]>, own: &BTreeMap<String, String>) -> Result<String, MetadataError> {
    let mut pairs = match sent {
        Some(sent) => serde_json::from_slice::<Map<String, Value>>(sent).map_err(|_| MetadataError::NotStrings)?,
        None => Map::new(),
    };
    if pairs.values().any(|value| !value.is_string()) {
        return Err(MetadataError::NotStrings);
    }
    pairs.extend(own.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))));
    if pairs.len() > PAIRS_MAX {
        return Err(MetadataError::TooMuch);
    }
    // The client's may be in any language, and a header is ASCII.
    Ok(ascii(&Value::Object(pairs).to_string()))
}

/// JSON with every character above ASCII escaped, in which it means the same.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    out
}

/// The bytes of a range.
fn cut(pieces: &[Bytes], range: &Range<u64>) -> Vec<u8> {
    let bytes = pieces.iter().flat_map(|piece| piece.iter().copied());
    let [from, length] = [range.start, range.end.saturating_sub(range.start)].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    bytes.skip(from).take(length).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Root,
    Metadata,
}

static TREE: Node<Field> = Node::tree("", Field::Root, &[Node::leaf(MEMBER, Field::Metadata)]);

/// Where things stand in a body.
#[derive(Default)]
struct Found {
    /// After the bracket of the outermost object.
    inside: Option<u64>,
    is_array: bool,
    is_empty: bool,
    values: Vec<Range<u64>>,
    /// Containers open in the metadata, and where the outermost began.
    open: Vec<u64>,
}

impl Sink<Field> for Found {
    const EVERYTHING: bool = true;

    fn open(&mut self, at: Option<Field>, kind: Container, start: u64) {
        match (at, self.inside) {
            (Some(Field::Root), None) => {
                self.inside = Some(start.saturating_add(1));
                (self.is_array, self.is_empty) = (kind == Container::Array, true);
            }
            (Some(Field::Metadata), _) => self.open.push(start),
            _ => {}
        }
    }

    fn close(&mut self, at: Option<Field>, _: Container, end: u64) {
        if at == Some(Field::Metadata)
            && let Some(start) = self.open.pop()
            && self.open.is_empty()
        {
            self.values.push(start..end);
        }
    }

    fn name(&mut self, _: &[u8]) {
        self.is_empty = false;
    }

    fn text_end(&mut self, at: Option<Field>, start: u64, end: u64) {
        self.value(at, start..end);
    }

    fn scalar(&mut self, at: Option<Field>, _: &[u8], start: u64, end: u64) {
        self.value(at, start..end);
    }
}

impl Found {
    fn value(&mut self, at: Option<Field>, range: Range<u64>) {
        if at == Some(Field::Metadata) && self.open.is_empty() {
            self.values.push(range);
        }
    }
}

#[cfg(test)]
mod tests;
