//! The scanner: one byte decides what the next may be.

use memchr::memchr2;

use super::{
    Container, DEPTH_MAX, Node, Sink, WORD_BYTES,
    escape::{Decoded, Escape, plain},
};

/// Names of trees are this deep at most; what is deeper is in no tree.
const TRAIL: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value must come; at the end of an array it may.
    Value,
    ValueOrEnd,
    Name,
    NameOrEnd,
    InName,
    Colon,
    InText,
    InScalar,
    /// A comma or the end of the container.
    AfterValue,
    Done,
    Broken,
}

/// Reads one document.
pub(in crate::bedrock) struct Scanner<F: 'static> {
    root: &'static Node<F>,
    state: State,
    /// Of the next byte.
    offset: u64,
    /// Of the string or bare word being read.
    start: u64,
    depth: usize,
    /// A bit for every level: set where it is an object.
    objects: [u64; DEPTH_MAX / 64],
    /// The nodes of the containers around, from the outermost.
    trail: [Option<&'static Node<F>>; TRAIL],
    /// The node of the value that comes next or is being read.
    here: Option<&'static Node<F>>,
    word: [u8; WORD_BYTES],
    /// More than [`WORD_BYTES`]: it did not fit.
    word_length: usize,
    escape: Escape,
}

impl<F: Copy> Scanner<F> {
    /// Before the first byte of a document whose outermost value is `root`.
    pub fn new(root: &'static Node<F>) -> Scanner<F> {
        Scanner {
            root,
            state: State::Value,
            offset: 0,
            start: 0,
            depth: 0,
            objects: [0; DEPTH_MAX / 64],
            trail: [None; TRAIL],
            here: Some(root),
            word: [0; WORD_BYTES],
            word_length: 0,
            escape: Escape::default(),
        }
    }

    /// Before the first byte of another such document. What is left of the old one is written over before it is read.
    pub fn restart(&mut self) {
        self.state = State::Value;
        self.offset = 0;
        self.depth = 0;
        self.here = Some(self.root);
    }

    /// Whether the document was read to its end.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether this is no JSON: nothing more will be told.
    pub fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    /// The next piece.
    pub fn push<S: Sink<F>>(&mut self, mut input: &[u8], sink: &mut S) {
        while let Some(&byte) = input.first() {
            let used = match self.state {
                State::InText | State::InName => self.string(input, sink),
                State::InScalar => self.scalar(input, sink),
                State::Broken => return,
                _ => {
                    self.mark(byte, sink);
                    // A bare word is read from its first byte on.
                    usize::from(self.state != State::InScalar)
                }
            };
            self.offset = self.offset.saturating_add(used as u64);
            input = input.get(used..).unwrap_or_default();
        }
    }

    /// A byte outside of strings and bare words.
    fn mark<S: Sink<F>>(&mut self, byte: u8, sink: &mut S) {
        match (byte, self.state) {
            (b' ' | b'\n' | b'\r' | b'\t', _) => {}
            (b'"', State::Name | State::NameOrEnd) => self.begin(State::InName),
            (b':', State::Colon) => self.state = State::Value,
            (b',', State::AfterValue) => match self.container() {
                Some(Container::Object) => self.state = State::Name,
                Some(Container::Array) => {
                    self.here = self.around();
                    self.state = State::Value;
                }
                None => self.state = State::Broken,
            },
            (b'}', State::AfterValue | State::NameOrEnd) => self.leave(Container::Object, sink),
            (b']', State::AfterValue | State::ValueOrEnd) => self.leave(Container::Array, sink),
            (_, State::Value | State::ValueOrEnd) => self.value(byte, sink),
            _ => self.state = State::Broken,
        }
    }

    /// The first byte of a value.
    fn value<S: Sink<F>>(&mut self, byte: u8, sink: &mut S) {
        match byte {
            b'{' => self.enter(Container::Object, sink),
            b'[' => self.enter(Container::Array, sink),
            b'"' => self.begin(State::InText),
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => self.begin(State::InScalar),
            _ => self.state = State::Broken,
        }
    }

    fn begin(&mut self, state: State) {
        self.state = state;
        self.start = self.offset;
        self.word_length = 0;
        self.escape = Escape::default();
    }

    fn enter<S: Sink<F>>(&mut self, kind: Container, sink: &mut S) {
        if self.depth == DEPTH_MAX {
            self.state = State::Broken;
            return;
        }
        if let Some(bits) = self.objects.get_mut(self.depth / 64) {
            let bit = 1 << (self.depth % 64);
            *bits = if kind == Container::Object { *bits | bit } else { *bits & !bit };
        }
        if let Some(place) = self.trail.get_mut(self.depth) {
            *place = self.here;
        }
        self.depth += 1;
        self.state = if kind == Container::Object { State::NameOrEnd } else { State::ValueOrEnd };
        sink.open(self.field(), kind, self.offset);
        if self.depth > TRAIL {
            self.here = None;
        }
    }

    fn leave<S: Sink<F>>(&mut self, kind: Container, sink: &mut S) {
        if self.container() != Some(kind) {
            self.state = State::Broken;
            return;
        }
        self.here = self.around();
        self.depth -= 1;
        sink.close(self.field(), kind, self.offset.saturating_add(1));
        self.after_value();
    }

    fn after_value(&mut self) {
        self.state = if self.depth == 0 { State::Done } else { State::AfterValue };
    }

    /// The innermost container.
    fn container(&self) -> Option<Container> {
        let level = self.depth.checked_sub(1)?;
        let bits = self.objects.get(level / 64)?;
        Some(if bits >> (level % 64) & 1 == 1 { Container::Object } else { Container::Array })
    }

    /// Its node.
    fn around(&self) -> Option<&'static Node<F>> {
        *self.trail.get(self.depth.checked_sub(1)?)?
    }

    fn field(&self) -> Option<F> {
        self.here.and_then(|node| node.field)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let end = self.word_length.saturating_add(bytes.len());
        if let Some(place) = self.word.get_mut(self.word_length..end) {
            place.copy_from_slice(bytes);
        }
        self.word_length = end.min(WORD_BYTES + 1).max(self.word_length);
    }

    /// Inside a name or a string; says how much was read.
    fn string<S: Sink<F>>(&mut self, input: &[u8], sink: &mut S) -> usize {
        if self.escape.is_open() {
            match input.first().and_then(|&byte| self.escape.feed(byte)) {
                Some(decoded) => self.tell(decoded.as_bytes(), sink),
                None => self.state = State::Broken,
            }
            return 1;
        }
        let stop = end_of_run(input);
        let run = input.get(..stop.unwrap_or(input.len())).unwrap_or_default();
        let ends = stop.is_some_and(|at| input.get(at) == Some(&b'"'));
        if self.escape.is_waiting() && (ends || !run.is_empty()) {
            let mut decoded = Decoded::default();
            self.escape.abandon(&mut decoded);
            self.tell(decoded.as_bytes(), sink);
        }
        if ends && self.state == State::InName && self.word_length == 0 {
            // Nearly every name comes whole, and need not be gathered; its colon stands right behind it.
            self.name_ends(run, sink);
            let colon = self.state == State::Colon && input.get(run.len() + 1) == Some(&b':');
            if colon {
                self.state = State::Value;
            }
            return run.len() + 1 + usize::from(colon);
        }
        self.tell(run, sink);
        match stop {
            None => run.len(),
            Some(_) if ends => {
                self.string_ends(self.offset.saturating_add(run.len() as u64 + 1), sink);
                run.len() + 1
            }
            Some(at) => match input.get(at + 1).and_then(|&byte| plain(byte)).filter(|_| !self.escape.is_waiting()) {
                // Most escapes are line ends and quotation marks, and come whole.
                Some(decoded) => {
                    self.tell(&[decoded], sink);
                    run.len() + 2
                }
                None => {
                    self.escape.begin();
                    run.len() + 1
                }
            },
        }
    }

    fn tell<S: Sink<F>>(&mut self, fragment: &[u8], sink: &mut S) {
        if fragment.is_empty() {
            return;
        }
        if self.state == State::InName {
            if S::EVERYTHING || self.around().is_some_and(|node| !node.below.is_empty()) {
                self.keep_start(fragment);
            }
        } else if S::EVERYTHING || self.field().is_some() {
            sink.text(self.field(), fragment);
        }
    }

    /// Of a name that does not fit, its start is kept for the sink, and its length says that it matches nothing.
    fn keep_start(&mut self, fragment: &[u8]) {
        let room = WORD_BYTES.saturating_sub(self.word_length);
        let (kept, lost) = fragment.split_at(room.min(fragment.len()));
        self.keep(kept);
        if !lost.is_empty() {
            self.word_length = WORD_BYTES + 1;
        }
    }

    fn string_ends<S: Sink<F>>(&mut self, end: u64, sink: &mut S) {
        if self.state == State::InText {
            sink.text_end(self.field(), self.start, end);
            self.after_value();
            return;
        }
        let (word, length) = (self.word, self.word_length);
        match word.get(..length) {
            Some(name) => self.name_ends(name, sink),
            None => {
                self.name_ends(&word, sink);
                self.here = None;
            }
        }
    }

    /// A name ended, of which this is all that could be kept.
    fn name_ends<S: Sink<F>>(&mut self, name: &[u8], sink: &mut S) {
        let kept = name.get(..WORD_BYTES).unwrap_or(name);
        if !kept.is_ascii() && is_misspelt(kept) {
            self.state = State::Broken;
            return;
        }
        if S::EVERYTHING {
            sink.name(kept);
        }
        self.here = self.around().filter(|_| kept.len() == name.len()).and_then(|node| node.child(name));
        self.state = State::Colon;
    }

    /// Inside a bare word; says how much was read. What ends it is not part of it.
    fn scalar<S: Sink<F>>(&mut self, input: &[u8], sink: &mut S) -> usize {
        let stops = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t' | b'"' | b':' | b'{' | b'[');
        let stop = input.iter().position(stops);
        let run = input.get(..stop.unwrap_or(input.len())).unwrap_or_default();
        if stop.is_none() || self.word_length > 0 {
            self.keep(run);
        }
        if stop.is_some() {
            // Nearly every one comes whole, and need not be gathered.
            let whole = if self.word_length > 0 { self.word.get(..self.word_length) } else { Some(run) };
            let word = whole.filter(|word| word.len() <= WORD_BYTES).unwrap_or_default();
            sink.scalar(self.field(), word, self.start, self.offset.saturating_add(run.len() as u64));
            self.after_value();
        }
        run.len()
    }
}

/// Whether a name, of which this is the start, is no UTF-8. Lenient parsers, Jackson among them, read `\xc1\x83` as a `C`, and would find a
/// name where others see none.
fn is_misspelt(name: &[u8]) -> bool {
    // A character may be cut at the end of what is kept.
    std::str::from_utf8(name).is_err_and(|error| error.error_len().is_some() || name.len() < WORD_BYTES)
}

/// Where a quotation mark or a backslash stands. Names and most values end soon: they are looked at eight bytes at a time, before what is
/// quicker for long texts is set going.
fn end_of_run(input: &[u8]) -> Option<usize> {
    let (words, _) = input.as_chunks();
    let mut looked_at = 0;
    for word in words.iter().take(WORDS_AT_FIRST) {
        let word = u64::from_le_bytes(*word);
        let found = zero_bytes(word ^ QUOTES) | zero_bytes(word ^ BACKSLASHES);
        if found != 0 {
            return Some(looked_at + (found.trailing_zeros() / 8) as usize);
        }
        looked_at += 8;
    }
    memchr2(b'"', b'\\', input.get(looked_at..)?).map(|at| looked_at + at)
}

const WORDS_AT_FIRST: usize = 3;
const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);

/// The highest bit of each byte that is zero is set; of the others only above one that is.
fn zero_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    word.wrapping_sub(ONES) & !word & (ONES << 7)
}
