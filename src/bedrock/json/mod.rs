//! JSON read as it passes: bytes in whatever pieces, told to a [`Sink`] as they mean something. Nothing is held but the way down to
//! where the document is and at most [`WORD_BYTES`] of a name or a number, so that a body of any size costs the same memory.
//!
//! What is wanted of a document is a tree of names ([`Node`]): a value is known by the whole way to it, so that a `usage` inside a message
//! is not taken for the answer's. Arrays are transparent: `results[].tokenCount` is `results.tokenCount`.
//!
//! It is no validator. What it takes for JSON a strict parser may refuse; what it calls broken no parser takes, or two could read in two ways:
//! names that are no UTF-8.

mod escape;
mod scanner;
#[cfg(test)]
mod tests;

pub(in crate::bedrock) use self::scanner::Scanner;

/// Of names, numbers and other bare words, this much is held. Longer names match nothing, longer numbers cannot be read.
pub(in crate::bedrock) const WORD_BYTES: usize = 64;

/// Deeper documents are not read. serde_json stops at 128; no request or answer of Bedrock's comes near.
pub(in crate::bedrock) const DEPTH_MAX: usize = 256;

/// So many digits are a `u64`, whichever they are.
const DIGITS_MAX: usize = 19;

/// A name that is known, and what is known below it.
#[derive(Clone, Copy)]
pub(in crate::bedrock) struct Node<F: 'static> {
    pub name: &'static str,
    pub field: Option<F>,
    pub below: &'static [Node<F>],
    /// A bit for the length of each name below: most names that a document has are not of such a length.
    lengths: u64,
}

impl<F> Node<F> {
    /// A value that means something itself.
    pub const fn leaf(name: &'static str, field: F) -> Node<F> {
        Node { name, field: Some(field), below: &[], lengths: 0 }
    }

    /// A value that means nothing but leads to others.
    pub const fn way(name: &'static str, below: &'static [Node<F>]) -> Node<F> {
        Node { name, field: None, below, lengths: lengths(below) }
    }

    /// Both.
    pub const fn tree(name: &'static str, field: F, below: &'static [Node<F>]) -> Node<F> {
        Node { name, field: Some(field), below, lengths: lengths(below) }
    }

    /// The node of this name.
    fn child(&'static self, name: &[u8]) -> Option<&'static Node<F>> {
        if self.lengths & length_bit(name.len()) == 0 {
            return None;
        }
        self.below.iter().find(|node| node.name.as_bytes() == name)
    }
}

const fn lengths<F>(mut nodes: &[Node<F>]) -> u64 {
    let mut lengths = 0;
    while let [node, others @ ..] = nodes {
        lengths |= length_bit(node.name.len());
        nodes = others;
    }
    lengths
}

const fn length_bit(length: usize) -> u64 {
    1 << (length % 64)
}

/// What contains other values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bedrock) enum Container {
    Object,
    Array,
}

/// Who is told. `at` is the field of the value's node, or of the nearest array's around it; offsets count from the document's first byte.
pub(in crate::bedrock) trait Sink<F> {
    /// Whether names and strings that are in no tree are told as well.
    const EVERYTHING: bool = false;

    /// An object or array begins, its bracket at `start`.
    fn open(&mut self, _at: Option<F>, _kind: Container, _start: u64) {}

    /// It ended; `end` is the offset after its bracket.
    fn close(&mut self, _at: Option<F>, _kind: Container, _end: u64) {}

    /// A name, escapes decoded, cut at [`WORD_BYTES`]. Only with [`Sink::EVERYTHING`].
    fn name(&mut self, _name: &[u8]) {}

    /// A fragment of a string, escapes decoded. A fragment never ends inside an escape, but may inside a character.
    fn text(&mut self, _at: Option<F>, _fragment: &[u8]) {}

    /// The string ended; it stood, with its quotes, from `start` to before `end`.
    fn text_end(&mut self, _at: Option<F>, _start: u64, _end: u64) {}

    /// A number, `true`, `false` or `null` that stood from `start` to before `end`; empty if it was longer than can be held.
    fn scalar(&mut self, _at: Option<F>, _word: &[u8], _start: u64, _end: u64) {}
}

/// A count as JSON writes it: a whole number that is not negative. A fraction is rounded up, and what is too large for `u64` is its maximum.
pub(in crate::bedrock) fn count(word: &[u8]) -> Option<u64> {
    // Nearly all are short and plain.
    if (1..=DIGITS_MAX).contains(&word.len()) && word.iter().all(u8::is_ascii_digit) {
        return Some(word.iter().fold(0, |count, digit| count * 10 + u64::from(digit - b'0')));
    }
    let text = std::str::from_utf8(word).ok()?;
    if let Ok(count) = text.parse() {
        return Some(count);
    }
    let value: f64 = text.parse().ok()?;
    let is_number = text.bytes().next().is_some_and(|b| b.is_ascii_digit()) && value >= 0.0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is what is said")]
    is_number.then_some(value.ceil() as u64)
}
