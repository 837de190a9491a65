//! The frames of an HTTP/2 connection, counted by their headers only: work that a client can cause without asking for anything. The
//! h2 crate bounds what it keeps (streams, header lists, CONTINUATION, pending resets), but answers PING and SETTINGS for ever.

use std::time::Instant;

/// How many idle frames may come at once: more than any client sends in earnest, less than a moment's work.
const BURST: u64 = 2_000;
/// How many more every second.
const PER_SECOND: u64 = 100;
/// WINDOW_UPDATE is rightly sent for every few kilobytes of an answer, and costs next to nothing.
const WINDOW_UPDATES_PER_FRAME: u64 = 100;

const PREFACE_BYTES: u64 = 24;
const HEADER_BYTES: usize = 9;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;
const END: u8 = 0x1; // of a stream, in DATA
const END_HEADERS: u8 = 0x4;

/// Follows what a client sends on one connection.
#[derive(Debug)]
pub(super) struct Frames {
    header: [u8; HEADER_BYTES],
    gathered: usize,
    /// Bytes until the next header.
    skip: u64,
    greeted: bool,
    /// In WINDOW_UPDATEs.
    allowance: u64,
    filled: Instant,
}

/// More work than a client may cause.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flood;

impl Frames {
    /// A connection that begins with its preface.
    pub fn new(now: Instant) -> Frames {
        let allowance = BURST * WINDOW_UPDATES_PER_FRAME;
        Frames { header: [0; HEADER_BYTES], gathered: 0, skip: PREFACE_BYTES, greeted: false, allowance, filled: now }
    }

    /// Whether the preface is complete; h2 checks what is in it.
    pub fn greeted(&self) -> bool {
        self.greeted
    }

    /// Takes note of bytes that arrived.
    pub fn follow(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        while !bytes.is_empty() {
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            self.skip -= skipped as u64;
            self.greeted |= self.skip == 0;
            bytes = &bytes[skipped..];
            let taken = (HEADER_BYTES - self.gathered).min(bytes.len());
            self.header[self.gathered..self.gathered + taken].copy_from_slice(&bytes[..taken]);
            self.gathered += taken;
            bytes = &bytes[taken..];
            if self.gathered == HEADER_BYTES {
                self.gathered = 0;
                let [a, b, c, kind, flags, ..] = self.header;
                self.skip = u64::from(u32::from_be_bytes([0, a, b, c]));
                self.spend(price(kind, flags, self.skip), now)?;
            }
        }
        Ok(())
    }

    fn spend(&mut self, price: u64, now: Instant) -> Result<(), Flood> {
        if price > self.allowance {
            let rate = PER_SECOND * WINDOW_UPDATES_PER_FRAME;
            let since = u64::try_from(now.saturating_duration_since(self.filled).as_millis()).unwrap_or(u64::MAX);
            let more = since.saturating_mul(rate) / 1_000;
            self.allowance = self.allowance.saturating_add(more).min(BURST * WINDOW_UPDATES_PER_FRAME);
            self.filled = now;
        }
        self.allowance = self.allowance.checked_sub(price).ok_or(Flood)?;
        Ok(())
    }
}

/// In WINDOW_UPDATEs. Requests and their bodies are free: they have bounds of their own.
fn price(kind: u8, flags: u8, length: u64) -> u64 {
    match kind {
        HEADERS => 0,
        DATA if length > 0 || flags & END != 0 => 0,
        CONTINUATION if length > 0 || flags & END_HEADERS != 0 => 0,
        WINDOW_UPDATE => 1,
        // PING, SETTINGS, PRIORITY, RST_STREAM, frames that nobody knows, and empty ones that say nothing.
        _ => WINDOW_UPDATES_PER_FRAME,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PING: u8 = 0x6;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let mut frame = (length as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.resize(HEADER_BYTES + length, 0xff);
        frame
    }

    fn begun(now: Instant) -> Frames {
        let mut frames = Frames::new(now);
        frames.follow(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now).unwrap();
        frames
    }

    /// How many frames pass, at one moment, cut into pieces of this size.
    fn passes(frame: &[u8], piece: usize) -> usize {
        let now = Instant::now();
        let mut frames = begun(now);
        let passes = |frames: &mut Frames| frame.chunks(piece).all(|bytes| frames.follow(bytes, now).is_ok());
        (0..10_000).take_while(|_| passes(&mut frames)).count()
    }

    #[test]
    fn frames_that_ask_for_nothing_are_counted_however_they_are_cut() {
        for kind in [0x2, 0x3, 0x4, PING, 0x7, 0x42] {
            for piece in [1, 5, 9, 100] {
                assert_eq!(passes(&frame(kind, 0, 8), piece), BURST as usize, "{kind}");
            }
        }
        assert_eq!(passes(&frame(DATA, 0, 0), 9), BURST as usize);
        assert_eq!(passes(&frame(CONTINUATION, 0, 0), 9), BURST as usize);
    }

    #[test]
    fn requests_and_bodies_are_not() {
        for frame in [frame(HEADERS, 5, 30), frame(DATA, 0, 1), frame(DATA, END, 0), frame(WINDOW_UPDATE, 0, 4)] {
            assert_eq!(passes(&frame, 7), 10_000);
        }
    }

    #[test]
    fn the_allowance_comes_back_with_time() {
        let mut now = Instant::now();
        let mut frames = begun(now);
        let ping = frame(PING, 0, 8);
        for _ in 0..BURST {
            frames.follow(&ping, now).unwrap();
        }
        for _ in 0..10 {
            now += Duration::from_secs(1);
            for _ in 0..PER_SECOND {
                assert_eq!(frames.follow(&ping, now), Ok(()));
            }
        }
        assert_eq!(frames.follow(&ping, now), Err(Flood));
    }
}
