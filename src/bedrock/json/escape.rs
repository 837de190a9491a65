//! The escapes of a JSON string, byte by byte.

/// Where a string is within an escape.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Escape {
    step: Step,
    /// A first half of a surrogate pair, waiting for its second.
    high: Option<u16>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Outside,
    Backslash,
    Hex {
        digits: u8,
        value: u16,
    },
}

/// What a backslash and this byte stand for, if they are all of an escape: always ASCII.
pub(super) fn plain(byte: u8) -> Option<u8> {
    match byte {
        b'"' | b'\\' | b'/' => Some(byte),
        b'b' => Some(8),
        b'f' => Some(0xc),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        _ => None,
    }
}

/// What a byte of an escape made: up to two characters, as UTF-8.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    bytes: [u8; 8],
    length: usize,
}

impl Decoded {
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn add(&mut self, c: char) {
        let mut utf8 = [0; 4];
        for &byte in c.encode_utf8(&mut utf8).as_bytes() {
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = byte;
                self.length += 1;
            }
        }
    }
}

impl Escape {
    /// Whether the next byte belongs to an escape.
    pub fn is_open(self) -> bool {
        self.step != Step::Outside
    }

    /// Whether half a surrogate pair waits.
    pub fn is_waiting(self) -> bool {
        self.high.is_some()
    }

    /// A backslash came.
    pub fn begin(&mut self) {
        self.step = Step::Backslash;
    }

    /// Something else than a second half came: a lone half is U+FFFD, as most parsers have it.
    pub fn abandon(&mut self, out: &mut Decoded) {
        if self.high.take().is_some() {
            out.add(char::REPLACEMENT_CHARACTER);
        }
    }

    /// A byte of an escape. `None` if JSON knows no such escape.
    pub fn feed(&mut self, byte: u8) -> Option<Decoded> {
        let mut out = Decoded::default();
        match self.step {
            Step::Hex { digits, value } => {
                let digit = char::from(byte).to_digit(16)?;
                let value = (value << 4) | u16::try_from(digit).ok()?;
                if digits < 3 {
                    self.step = Step::Hex { digits: digits + 1, value };
                } else {
                    self.step = Step::Outside;
                    self.unit(value, &mut out);
                }
            }
            _ if byte == b'u' => self.step = Step::Hex { digits: 0, value: 0 },
            _ => {
                self.step = Step::Outside;
                self.abandon(&mut out);
                out.add(char::from(plain(byte)?));
            }
        }
        Some(out)
    }

    /// A UTF-16 unit.
    fn unit(&mut self, unit: u16, out: &mut Decoded) {
        let pair = self.high.take();
        match (pair, unit) {
            (Some(high), 0xdc00..=0xdfff) => {
                out.add(char::decode_utf16([high, unit]).next().and_then(Result::ok).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            (pair, unit) => {
                if pair.is_some() {
                    out.add(char::REPLACEMENT_CHARACTER);
                }
                match unit {
                    0xd800..=0xdbff => self.high = Some(unit),
                    _ => out.add(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER)),
                }
            }
        }
    }
}
