//! Bedrock's event streams, read as they pass: which messages there are, and of those that matter what their payload says. A message is
//! never held: its payload goes on to the JSON scanner as it comes, and what is in base64 inside it through a second one.
//!
//! Checksums are not looked at: the client verifies them, and a length that makes no sense ends the reading.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{
    tally::Tally,
    tree::{self, Field},
};
use crate::bedrock::json::{Container, Node, Scanner, Sink};

const PRELUDE_BYTES: usize = 12;
/// Of the prelude with its checksum, and the message's at its end.
const FRAME_BYTES: usize = PRELUDE_BYTES + CHECKSUM_BYTES;
const CHECKSUM_BYTES: usize = 4;
/// Smithy's limits are 128 KiB and 16 MiB; Bedrock's headers are three short strings.
const HEADERS_BYTES_MAX: usize = 4096;
const MESSAGE_BYTES_MAX: usize = 24 << 20;

/// Reads one stream.
pub(super) struct Events {
    step: Step,
    /// A prelude or headers that came in pieces.
    held: Vec<u8>,
    wanted: &'static [&'static str],
    outer: Scanner<Field>,
    inner: Inner,
    /// What the stream failed with.
    pub exception: Option<Box<str>>,
}

#[derive(Clone, Copy)]
enum Step {
    Prelude,
    Headers {
        headers: usize,
        payload: usize,
    },
    Payload {
        left: usize,
        wanted: bool,
    },
    Checksum {
        left: usize,
    },
    /// Not a stream that can be read.
    Lost,
}

/// What a message's headers say about it.
enum Kind {
    Event { wanted: bool },
    Exception(Option<Box<str>>),
    Unreadable,
}

impl Events {
    /// Looks into the events of these types, for what is in `tree`.
    pub fn new(tree: &'static Node<Field>, wanted: &'static [&'static str]) -> Events {
        let (outer, inner) = (Scanner::new(tree), Inner::new(&tree::CHUNK));
        Events { step: Step::Prelude, held: Vec::new(), wanted, outer, inner, exception: None }
    }

    /// Whether the stream stands between two messages.
    pub fn is_between(&self) -> bool {
        matches!(self.step, Step::Prelude) && self.held.is_empty()
    }

    /// The next piece of the body.
    pub fn push(&mut self, mut input: &[u8], tally: &mut Tally) {
        while !input.is_empty() {
            match self.step {
                Step::Prelude => self.prelude(&mut input),
                Step::Headers { headers, payload } => self.headers(headers, payload, &mut input, tally),
                Step::Payload { left, wanted } => {
                    let piece = take(&mut input, left);
                    if wanted {
                        self.outer.push(piece, &mut Outer { tally: &mut *tally, inner: &mut self.inner });
                    }
                    self.step = Step::Payload { left: left - piece.len(), wanted };
                }
                Step::Checksum { left } => {
                    let left = left - take(&mut input, left).len();
                    self.step = if left == 0 { Step::Prelude } else { Step::Checksum { left } };
                }
                Step::Lost => return,
            }
            if let Step::Payload { left: 0, wanted } = self.step {
                if wanted {
                    tally.event_ends();
                }
                self.step = Step::Checksum { left: CHECKSUM_BYTES };
            }
        }
    }

    fn prelude(&mut self, input: &mut &[u8]) {
        let lengths = gather(&mut self.held, PRELUDE_BYTES, input, |prelude| {
            let word = |at: usize| Some(u32::from_be_bytes(prelude.get(at..at + 4)?.try_into().ok()?) as usize);
            Some((word(0)?, word(4)?))
        });
        let Some(lengths) = lengths else { return };
        self.step = match lengths {
            Some((total, headers)) if total <= MESSAGE_BYTES_MAX && headers <= HEADERS_BYTES_MAX => {
                match total.checked_sub(FRAME_BYTES + headers) {
                    Some(payload) => Step::Headers { headers, payload },
                    None => Step::Lost,
                }
            }
            _ => Step::Lost,
        };
        // Without headers there would be no byte to read them with.
        if let Step::Headers { headers: 0, payload } = self.step {
            self.step = Step::Payload { left: payload, wanted: false };
        }
    }

    fn headers(&mut self, headers: usize, payload: usize, input: &mut &[u8], tally: &mut Tally) {
        let wanted = self.wanted;
        let Some(kind) = gather(&mut self.held, headers, input, |block| kind_of(block, wanted)) else { return };
        self.step = match kind {
            Kind::Event { wanted } => Step::Payload { left: payload, wanted },
            Kind::Exception(name) => {
                tally.failed = true;
                self.exception = name;
                Step::Payload { left: payload, wanted: false }
            }
            Kind::Unreadable => Step::Lost,
        };
        if matches!(self.step, Step::Payload { wanted: true, .. }) {
            self.outer.restart();
        }
    }
}

/// Up to `length` bytes off the front.
fn take<'a>(input: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (piece, rest) = input.split_at(length.min(input.len()));
    *input = rest;
    piece
}

/// Calls `read` with the next `length` bytes once they are there; only those that came in pieces are copied.
fn gather<T>(held: &mut Vec<u8>, length: usize, input: &mut &[u8], read: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let piece = take(input, length.saturating_sub(held.len()));
    if held.is_empty() && piece.len() == length {
        return Some(read(piece));
    }
    held.extend_from_slice(piece);
    (held.len() == length).then(|| {
        let found = read(held);
        held.clear();
        found
    })
}

/// Looks for `:message-type`, and `:event-type` or what an exception is called.
fn kind_of(mut block: &[u8], wanted: &[&str]) -> Kind {
    let (mut is_wanted, mut is_event, mut exception) = (false, true, None);
    while !block.is_empty() {
        let Some((name, value)) = header(&mut block) else {
            return if is_event { Kind::Unreadable } else { Kind::Exception(exception) };
        };
        match name {
            b":message-type" => is_event = value == b"event",
            b":event-type" => is_wanted = wanted.iter().any(|event| event.as_bytes() == value),
            b":exception-type" | b":error-code" => exception = plain_name(value),
            _ => {}
        }
    }
    if is_event { Kind::Event { wanted: is_wanted } } else { Kind::Exception(exception) }
}

/// Nothing else gets into a log.
fn plain_name(value: &[u8]) -> Option<Box<str>> {
    let is_name = (1..=64).contains(&value.len()) && value.iter().all(u8::is_ascii_alphanumeric);
    std::str::from_utf8(value).ok().filter(|_| is_name).map(Into::into)
}

/// A header's name and value, whose types and lengths the AWS event-stream specification gives.
fn header<'a>(block: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let exactly = |block: &mut &'a [u8], length: usize| Some(take(block, length)).filter(|piece| piece.len() == length);
    let length = usize::from(*exactly(block, 1)?.first()?);
    let name = exactly(block, length)?;
    let value = match *exactly(block, 1)?.first()? {
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        5 | 8 => 8,
        6 | 7 => usize::from(u16::from_be_bytes(exactly(block, 2)?.try_into().ok()?)),
        9 => 16,
        _ => return None,
    };
    Some((name, exactly(block, value)?))
}

/// The document inside a `chunk`'s `bytes`.
struct Inner {
    scanner: Scanner<Field>,
    /// Up to three characters that wait for a fourth.
    carry: [u8; 4],
    carried: usize,
}

/// Padding may be there or not; the last character's spare bits may be anything.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
);

impl Inner {
    fn new(tree: &'static Node<Field>) -> Inner {
        Inner { scanner: Scanner::new(tree), carry: [0; 4], carried: 0 }
    }

    fn push(&mut self, mut encoded: &[u8], tally: &mut Tally) {
        if self.carried > 0 {
            for &byte in take(&mut encoded, 4 - self.carried) {
                if let Some(place) = self.carry.get_mut(self.carried) {
                    *place = byte;
                    self.carried += 1;
                }
            }
            if self.carried < 4 {
                return;
            }
            self.carried = 0;
            self.decode(&self.carry.clone(), tally);
        }
        let (whole, rest) = encoded.split_at(encoded.len() - encoded.len() % 4);
        self.decode(whole, tally);
        for (place, &byte) in self.carry.iter_mut().zip(rest) {
            *place = byte;
        }
        self.carried = rest.len();
    }

    fn end(&mut self, tally: &mut Tally) {
        let rest = self.carry;
        self.decode(rest.get(..self.carried).unwrap_or_default(), tally);
        self.carried = 0;
        self.scanner.restart();
    }

    fn decode(&mut self, encoded: &[u8], tally: &mut Tally) {
        let mut decoded = [0; 768];
        for block in encoded.chunks(1024) {
            // What is no base64 is no event either: the scanner will find no end.
            let length = ENGINE.decode_slice(block, &mut decoded).unwrap_or(0);
            self.scanner.push(decoded.get(..length).unwrap_or_default(), tally);
        }
    }
}

/// Passes on what Bedrock's event says, and unwraps what the provider's inside it does.
struct Outer<'a> {
    tally: &'a mut Tally,
    inner: &'a mut Inner,
}

impl Sink<Field> for Outer<'_> {
    fn open(&mut self, at: Option<Field>, kind: Container, start: u64) {
        self.tally.open(at, kind, start);
    }

    fn close(&mut self, at: Option<Field>, kind: Container, end: u64) {
        self.tally.close(at, kind, end);
    }

    fn text(&mut self, at: Option<Field>, fragment: &[u8]) {
        match at {
            Some(Field::Encoded) => self.inner.push(fragment, self.tally),
            _ => self.tally.text(at, fragment),
        }
    }

    fn text_end(&mut self, at: Option<Field>, start: u64, end: u64) {
        match at {
            Some(Field::Encoded) => self.inner.end(self.tally),
            _ => self.tally.text_end(at, start, end),
        }
    }

    fn scalar(&mut self, at: Option<Field>, word: &[u8], start: u64, end: u64) {
        self.tally.scalar(at, word, start, end);
    }
}
