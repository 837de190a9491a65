//! How a request of HTTP/1 begins, kept for those whose head Pingora cannot read or would spell otherwise.

/// Of a request line: method, prefix of a service and the segment that says in whose words to answer.
const START_BYTES: usize = 80;
/// Two spaces, CR and LF.
const GAPS_MAX: usize = 4;

/// How a request begins, for those whose head cannot be read.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    start: Vec<u8>,
    /// Spaces and control bytes of the request line.
    gaps: usize,
    /// Header fields so far.
    pub fields: usize,
}

impl Beginning {
    /// The path, as far as it is known.
    pub fn path(&self) -> &[u8] {
        self.start.split(|b| b.is_ascii_whitespace() || *b == b'?').nth(1).unwrap_or_default()
    }

    /// Whether the target has bytes that Pingora percent-encodes in order to read it.
    pub fn is_respelled(&self) -> bool {
        self.gaps > GAPS_MAX
    }

    /// Another request begins.
    pub fn clear(&mut self) {
        self.start.clear();
        (self.gaps, self.fields) = (0, 0);
    }

    /// More of the request line.
    pub fn line(&mut self, bytes: &[u8]) {
        let room = START_BYTES.saturating_sub(self.start.len());
        self.start.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.gaps += bytes.iter().filter(|&&b| b <= b' ' || b == 0x7f).count();
    }
}
