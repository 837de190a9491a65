//! Takes the one chunk out of a streamed chat completion that the gateway asked for and the client did not: no choices, but a usage.
//! Every other byte passes as it came. `"usage":null` in the other chunks stays; clients that did not ask are used to skip members.
//!
//! An event is held until it is clear which it is: chunks with a choice are let go at the choice, and at most [`HELD_BYTES_MAX`] are held.

use bytes::{Bytes, BytesMut};

use super::lines::{Part, Splitter};
use crate::bedrock::json::{Container, Node, Scanner, Sink};

/// The chunk with the usage has some hundred bytes.
pub(super) const HELD_BYTES_MAX: usize = 16 * 1024;

/// Filters one response.
pub struct UsageChunkFilter {
    splitter: Splitter,
    document: Scanner<Field>,
    seen: Seen,
    /// Of an event that began in an earlier piece and may have to go.
    held: BytesMut,
    /// The event being read may pass as it comes.
    released: bool,
    /// No byte of the next event came yet.
    between: bool,
    /// The event before went: so does the LF of its last CR.
    removed: bool,
}

#[derive(Clone, Copy)]
enum Field {
    Choices,
    Usage,
}

static CHUNK: Node<Field> = Node::way("", &[Node::tree("choices", Field::Choices, &[]), Node::tree("usage", Field::Usage, &[])]);

#[derive(Default)]
struct Seen {
    choices: bool,
    choice: bool,
    usage: bool,
}

impl Sink<Field> for Seen {
    fn open(&mut self, at: Option<Field>, kind: Container, _: u64) {
        match (at, kind) {
            (Some(Field::Choices), Container::Array) => self.choices = true,
            (Some(Field::Choices), Container::Object) => self.choice = true,
            (Some(Field::Usage), Container::Object) => self.usage = true,
            _ => {}
        }
    }
}

impl Default for UsageChunkFilter {
    fn default() -> UsageChunkFilter {
        UsageChunkFilter {
            splitter: Splitter::default(),
            document: Scanner::new(&CHUNK),
            seen: Seen::default(),
            held: BytesMut::new(),
            released: false,
            between: true,
            removed: false,
        }
    }
}

impl UsageChunkFilter {
    /// What of the body may go on, now that this piece came.
    pub fn chunk(&mut self, piece: &Bytes) -> Bytes {
        let mut out = Kept::default();
        // Of the piece: what is settled begins at `start`, the event being read at `event`.
        let (mut start, mut event, mut at) = (0, 0, 0);
        while let Some(rest) = piece.get(at..).filter(|rest| !rest.is_empty()) {
            let (used, part) = self.splitter.next(rest);
            let between = self.between;
            self.between &= part == Part::LineFeed;
            at += used;
            match part {
                Part::Data(data) => self.document.push(data, &mut self.seen),
                Part::LineFeed if between && self.removed => (start, event) = (at, at),
                Part::LineFeed if between => event = at,
                Part::End => {
                    self.removed = self.is_usage_chunk();
                    if self.removed {
                        self.held.clear();
                        out.keep(piece.slice(start..event));
                        start = at;
                    } else {
                        out.keep(self.held.split().freeze());
                    }
                    event = at;
                    self.next_event();
                }
                Part::LineFeed | Part::Other => {}
            }
        }
        self.released |= self.seen.choice || self.held.len() + (at - event) > HELD_BYTES_MAX;
        if self.released {
            out.keep(self.held.split().freeze());
            event = at;
        }
        out.keep(piece.slice(start..event));
        self.held.extend_from_slice(piece.get(event..).unwrap_or_default());
        out.into_bytes()
    }

    /// The body ended: what is still held is no whole chunk, and goes on.
    pub fn end(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    fn is_usage_chunk(&self) -> bool {
        let seen = &self.seen;
        !self.released && self.document.is_done() && seen.choices && !seen.choice && seen.usage
    }

    fn next_event(&mut self) {
        self.document.restart();
        self.seen = Seen::default();
        (self.released, self.between) = (false, true);
    }
}

/// Ranges of the body that go on; one alone is not copied.
#[derive(Default)]
struct Kept(Option<Bytes>, BytesMut);

impl Kept {
    fn keep(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        match self.0.take() {
            None if self.1.is_empty() => self.0 = Some(bytes),
            first => {
                self.1.extend_from_slice(&first.unwrap_or_default());
                self.1.extend_from_slice(&bytes);
            }
        }
    }

    fn into_bytes(self) -> Bytes {
        self.0.unwrap_or_else(|| self.1.freeze())
    }
}
