//! The lines of server-sent events as they pass. Lines end in CR, LF or both, `data:` lines of one event are one document
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>), and no line is held however long it is.

use memchr::memchr2;

use super::{tally::Tally, tree::Field};
use crate::bedrock::json::{Node, Scanner};

const DATA: &[u8] = b"data:";

/// Tells lines from each other.
#[derive(Default)]
pub(super) struct Splitter {
    step: Step,
    /// The last byte was a CR: an LF now is part of the same line end.
    after_cr: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// So many bytes of a line, all like those of `data:`.
    Start(usize),
    Data,
    /// A line of another field, or a comment.
    Other,
}

impl Default for Step {
    fn default() -> Step {
        Step::Start(0)
    }
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Of an event's data; a line end between two `data:` lines is part of it.
    Data(&'a [u8]),
    /// Of something else.
    Other,
    /// The empty line that ends an event; its LF may follow as [`Part::LineFeed`].
    End,
    /// The LF of a CR that was already told.
    LineFeed,
}

impl Splitter {
    /// What `input` begins with, and how many bytes that is: at least one, unless there are none.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> (usize, Part<'a>) {
        let Some(&byte) = input.first() else { return (0, Part::Other) };
        if std::mem::take(&mut self.after_cr) && byte == b'\n' {
            return (1, Part::LineFeed);
        }
        match self.step {
            Step::Start(0) if byte == b'\n' || byte == b'\r' => {
                self.after_cr = byte == b'\r';
                (1, Part::End)
            }
            Step::Start(at) if DATA.get(at) == Some(&byte) => {
                self.step = if at + 1 == DATA.len() { Step::Data } else { Step::Start(at + 1) };
                (1, Part::Other)
            }
            Step::Start(_) => {
                self.step = Step::Other;
                self.rest_of_line(input)
            }
            Step::Data | Step::Other => self.rest_of_line(input),
        }
    }

    fn rest_of_line<'a>(&mut self, input: &'a [u8]) -> (usize, Part<'a>) {
        let is_data = self.step == Step::Data;
        let end = memchr2(b'\n', b'\r', input);
        if let Some(end) = end {
            self.step = Step::Start(0);
            self.after_cr = input.get(end) == Some(&b'\r');
        }
        let (line, _) = input.split_at(end.map_or(input.len(), |end| end + 1));
        (line.len(), if is_data { Part::Data(line) } else { Part::Other })
    }
}

/// Reads one stream for its usage.
pub(super) struct Lines {
    splitter: Splitter,
    document: Scanner<Field>,
    has_data: bool,
}

impl Lines {
    pub fn new(tree: &'static Node<Field>) -> Lines {
        Lines { splitter: Splitter::default(), document: Scanner::new(tree), has_data: false }
    }

    /// The next piece of the body.
    pub fn push(&mut self, mut input: &[u8], tally: &mut Tally) {
        while !input.is_empty() {
            let (used, part) = self.splitter.next(input);
            match part {
                Part::Data(data) => {
                    self.has_data = true;
                    self.document.push(data, tally);
                }
                Part::End => self.event_ends(tally),
                Part::Other | Part::LineFeed => {}
            }
            input = input.get(used..).unwrap_or_default();
        }
    }

    /// The body ended, perhaps without the last event's empty line. Says whether it ended between two events.
    pub fn end(&mut self, tally: &mut Tally) -> bool {
        let whole = !self.has_data || self.document.is_done() || self.document.is_broken();
        self.event_ends(tally);
        whole
    }

    fn event_ends(&mut self, tally: &mut Tally) {
        if std::mem::take(&mut self.has_data) {
            tally.event_ends();
            self.document.restart();
        }
    }
}
