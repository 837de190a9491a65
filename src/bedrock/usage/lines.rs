//! Server-sent events, read as they pass. Lines end in CR, LF or both, `data:` lines of one event are one document
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>), and no line is held however long it is.

use memchr::memchr2;

use super::{tally::Tally, tree::Field};
use crate::bedrock::json::{Node, Scanner};

const DATA: &[u8] = b"data:";

/// Reads one stream.
pub(super) struct Lines {
    step: Step,
    /// The last byte was a CR: an LF now is part of the same line end.
    after_cr: bool,
    tree: &'static Node<Field>,
    document: Scanner<Field>,
    has_data: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// So many bytes of a line, all like those of `data:`.
    Start(usize),
    Data,
    /// A line of another field, or a comment.
    Other,
}

impl Lines {
    pub fn new(tree: &'static Node<Field>) -> Lines {
        Lines { step: Step::Start(0), after_cr: false, tree, document: Scanner::new(tree), has_data: false }
    }

    /// The next piece of the body.
    pub fn push(&mut self, mut input: &[u8], tally: &mut Tally) {
        while let Some(&byte) = input.first() {
            if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                input = input.get(1..).unwrap_or_default();
                continue;
            }
            let used = match self.step {
                Step::Start(0) if byte == b'\n' || byte == b'\r' => {
                    self.event_ends(tally);
                    self.after_cr = byte == b'\r';
                    1
                }
                Step::Start(at) if DATA.get(at) == Some(&byte) => {
                    self.step = if at + 1 == DATA.len() { Step::Data } else { Step::Start(at + 1) };
                    1
                }
                Step::Start(_) => {
                    self.step = Step::Other;
                    0
                }
                Step::Data | Step::Other => self.rest_of_line(input, tally),
            };
            input = input.get(used..).unwrap_or_default();
        }
    }

    /// The body ended, perhaps without the last event's empty line. Says whether it ended between two events.
    pub fn end(&mut self, tally: &mut Tally) -> bool {
        let whole = !self.has_data || self.document.is_done() || self.document.is_broken();
        self.event_ends(tally);
        whole
    }

    fn rest_of_line(&mut self, input: &[u8], tally: &mut Tally) -> usize {
        let end = memchr2(b'\n', b'\r', input);
        let content = input.get(..end.unwrap_or(input.len())).unwrap_or_default();
        if self.step == Step::Data {
            self.has_data = true;
            self.document.push(content, tally);
        }
        let Some(end) = end else { return input.len() };
        if self.step == Step::Data {
            self.document.push(b"\n", tally);
        }
        self.step = Step::Start(0);
        self.after_cr = input.get(end) == Some(&b'\r');
        end + 1
    }

    fn event_ends(&mut self, tally: &mut Tally) {
        if std::mem::take(&mut self.has_data) {
            tally.event_ends();
            self.document = Scanner::new(self.tree);
        }
    }
}
