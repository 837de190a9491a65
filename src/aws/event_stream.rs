//! AWS's event stream on the wire: frames found in any split of the bytes, their checksums held, their outer headers read and written.
//!
//! A frame is: total length, length of the headers, CRC-32 of these eight bytes; headers; payload; CRC-32 of everything before it.
//! Rules: <https://smithy.io/2.0/aws/amazon-eventstream.html>. What a payload means is not known here.

use bytes::{BufMut, Bytes, BytesMut};
use crc32fast::hash as crc32;

/// Total length, length of the headers, and their checksum.
const PRELUDE: usize = 12;
/// The prelude, and the checksum at the end.
const AROUND: usize = PRELUDE + 4;

const EVENT_TYPE: &str = ":event-type";
const DATE: &str = ":date";
const SIGNATURE: &str = ":chunk-signature";

const TYPE_BYTES: u8 = 6;
const TYPE_STRING: u8 = 7;
const TYPE_TIMESTAMP: u8 = 8;

/// Bytes of a signed frame beside its payload.
pub const SIGNED_OVERHEAD: usize = AROUND + 1 + DATE.len() + 1 + 8 + 1 + SIGNATURE.len() + 1 + 2 + 32;

/// Why bytes are no frame. Nothing of them is in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length in the prelude cannot be.
    #[error("An event's length contradicts itself")]
    Length,
    /// The length in the prelude is over the bound.
    #[error("An event is larger than {bytes_max} bytes")]
    TooLarge {
        /// The bound.
        bytes_max: usize,
    },
    /// The prelude or the frame was changed on its way.
    #[error("An event's checksum does not match its bytes")]
    Checksum,
    /// The bytes end in the middle of a frame.
    #[error("The stream ends in the middle of an event")]
    Truncated,
    /// Other headers than `:date` and `:chunk-signature`, or malformed ones.
    #[error("An event is not wrapped in a signed one, whose headers are :date and :chunk-signature")]
    Unsigned,
}

/// A frame whose checksums are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    /// Their length.
    headers: usize,
}

/// The frame around an event whose sender signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedFrame {
    /// Milliseconds since 1970.
    pub date: i64,
    /// HMAC-SHA256.
    pub signature: [u8; 32],
    /// A whole inner frame; empty in the frame that ends a stream.
    pub payload: Bytes,
}

/// Finds frames in bytes that come in pieces. A frame that came within one piece is a part of it; only others are put together.
pub struct Splitter {
    /// The last piece, from the first frame on that is not begun before it.
    piece: Bytes,
    /// The beginning of a frame; then there is nothing in `piece`.
    buffer: BytesMut,
    bytes_max: usize,
}

/// What is set aside for a frame before more of it came.
const BEGUN_BYTES_MAX: usize = 128 * 1024;

impl Splitter {
    /// Takes frames of `bytes_max` in all, and holds no more of one.
    pub fn new(bytes_max: usize) -> Splitter {
        Splitter { piece: Bytes::new(), buffer: BytesMut::new(), bytes_max }
    }

    /// More bytes came.
    pub fn push(&mut self, piece: Bytes) {
        if self.is_empty() {
            self.piece = piece;
        } else {
            self.hold_piece();
            self.buffer.extend_from_slice(&piece);
        }
    }

    /// The next frame, once it is whole. What is wrong with a length shows with the prelude, before the rest is waited for.
    ///
    /// # Errors
    /// After an error nobody knows where the next frame begins.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let within_piece = self.buffer.is_empty();
        let bytes = if within_piece { &self.piece[..] } else { &self.buffer[..] };
        let (held, prelude) = (bytes.len(), Prelude::read(bytes, self.bytes_max)?);
        let Some(prelude) = prelude.filter(|prelude| prelude.total <= held) else {
            let wanted = prelude.map_or(0, |prelude| prelude.total.min(BEGUN_BYTES_MAX));
            self.buffer.reserve(wanted.saturating_sub(self.buffer.len()));
            self.hold_piece();
            return Ok(None);
        };
        let frame = if within_piece { self.piece.split_to(prelude.total) } else { self.take_buffered(prelude.total) };
        Frame::check(frame, prelude.headers).map(Some)
    }

    /// What came with the end of a frame that was put together begins the next.
    fn take_buffered(&mut self, length: usize) -> Bytes {
        // Taken whole: one large event would otherwise hold its memory for as long as the stream lasts.
        let mut frame = std::mem::take(&mut self.buffer).freeze();
        self.piece = frame.split_off(length);
        frame
    }

    /// The piece may be a small part of what it was read into, which it keeps from being used again.
    fn hold_piece(&mut self) {
        self.buffer.extend_from_slice(&std::mem::take(&mut self.piece));
    }

    /// Whether the bytes so far end with a frame.
    pub fn is_empty(&self) -> bool {
        self.held() == 0
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.piece.len() + self.buffer.len()
    }

    /// Bytes of the frame that has begun: of all of it, once it has told.
    pub fn begun(&self) -> usize {
        let prelude = Prelude::read(&self.buffer, self.bytes_max).ok().flatten();
        prelude.map_or(0, |prelude| prelude.total).max(self.held())
    }
}

/// The first bytes of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Prelude {
    /// Bytes of the whole frame.
    pub total: usize,
    headers: usize,
}

impl Prelude {
    /// The prelude at the start of `bytes`; `None` as long as it is not whole.
    pub fn read(bytes: &[u8], bytes_max: usize) -> Result<Option<Prelude>, FrameError> {
        let Some(prelude) = bytes.first_chunk::<PRELUDE>() else { return Ok(None) };
        let [total, headers, checksum] = [0, 4, 8].map(|at| be32(prelude, at));
        if crc32(&prelude[..8]) != checksum {
            return Err(FrameError::Checksum);
        }
        let size = |length: u32| usize::try_from(length).unwrap_or(usize::MAX);
        let (total, headers) = (size(total), size(headers));
        if total > bytes_max {
            return Err(FrameError::TooLarge { bytes_max });
        }
        if total < AROUND.saturating_add(headers) {
            return Err(FrameError::Length);
        }
        Ok(Some(Prelude { total, headers }))
    }

    /// The payload of the frame that `bytes` begin with, its checksum not looked at; empty unless the frame is whole.
    pub fn payload<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(PRELUDE + self.headers..self.total - 4).unwrap_or_default()
    }
}

impl Frame {
    fn check(bytes: Bytes, headers: usize) -> Result<Frame, FrameError> {
        let end = bytes.len() - 4;
        if crc32(&bytes[..end]) != be32(&bytes, end) {
            return Err(FrameError::Checksum);
        }
        Ok(Frame { bytes, headers })
    }

    /// All of it.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Whether it is an event itself, and not one that is wrapped.
    pub fn is_event(&self) -> bool {
        let mut rest = self.headers();
        while let Some((name, TYPE_STRING, value)) = header(rest) {
            if name == EVENT_TYPE.as_bytes() {
                return true;
            }
            let Some((length, value)) = value.split_first_chunk() else { return false };
            let Some(after) = value.get(usize::from(u16::from_be_bytes(*length))..) else { return false };
            rest = after;
        }
        false
    }

    fn headers(&self) -> &[u8] {
        self.bytes.get(PRELUDE..PRELUDE + self.headers).unwrap_or_default()
    }

    /// Reads the frame as one that wraps an event: exactly a date and a signature.
    pub fn signed(self) -> Result<SignedFrame, FrameError> {
        let (mut date, mut signature) = (None, None);
        let mut rest = self.headers();
        while !rest.is_empty() {
            let (name, kind, after) = header(rest).ok_or(FrameError::Unsigned)?;
            rest = match (name, kind) {
                (name, TYPE_TIMESTAMP) if name == DATE.as_bytes() && date.is_none() => {
                    let (value, after) = after.split_first_chunk::<8>().ok_or(FrameError::Unsigned)?;
                    date = Some(i64::from_be_bytes(*value));
                    after
                }
                (name, TYPE_BYTES) if name == SIGNATURE.as_bytes() && signature.is_none() => {
                    let value = after.strip_prefix(&[0, 32]).ok_or(FrameError::Unsigned)?;
                    let (value, after) = value.split_first_chunk::<32>().ok_or(FrameError::Unsigned)?;
                    signature = Some(*value);
                    after
                }
                _ => return Err(FrameError::Unsigned),
            };
        }
        let (Some(date), Some(signature)) = (date, signature) else { return Err(FrameError::Unsigned) };
        let payload = self.bytes.slice(PRELUDE + self.headers..self.bytes.len() - 4);
        Ok(SignedFrame { date, signature, payload })
    }
}

/// Name, type of the value, and everything after.
fn header(bytes: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(length))?;
    let (&kind, rest) = rest.split_first()?;
    Some((name, kind, rest))
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_be_bytes(*four))
}

/// The header `:date` as it stands in a frame: what the signature of an event covers beside the payload.
pub fn date_header(date: i64) -> [u8; 1 + DATE.len() + 1 + 8] {
    let mut header = [0; 1 + DATE.len() + 1 + 8];
    let mut out = &mut header[..];
    out.put_u8(DATE.len() as u8);
    out.put_slice(DATE.as_bytes());
    out.put_u8(TYPE_TIMESTAMP);
    out.put_i64(date);
    header
}

/// Appends the frame that wraps a signed event.
pub fn put_signed(out: &mut BytesMut, date: i64, signature: &[u8; 32], payload: &[u8]) {
    put(out, SIGNED_OVERHEAD - AROUND, payload, |out| {
        out.put_slice(&date_header(date));
        out.put_u8(SIGNATURE.len() as u8);
        out.put_slice(SIGNATURE.as_bytes());
        out.put_u8(TYPE_BYTES);
        out.put_u16(32);
        out.put_slice(signature);
    });
}

/// A frame with headers that are text: an event, or an exception.
pub fn text_frame(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let mut encoded = Vec::with_capacity(128);
    for (name, value) in headers {
        encoded.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
        encoded.put_slice(name.as_bytes());
        encoded.put_u8(TYPE_STRING);
        encoded.put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
        encoded.put_slice(value.as_bytes());
    }
    let mut out = BytesMut::with_capacity(AROUND + encoded.len() + payload.len());
    put(&mut out, encoded.len(), payload, |out| out.put_slice(&encoded));
    out.freeze()
}

/// Appends a frame whose headers, of that length, are written by `put_headers`.
fn put(out: &mut BytesMut, headers: usize, payload: &[u8], put_headers: impl FnOnce(&mut BytesMut)) {
    let (start, total) = (out.len(), AROUND + headers + payload.len());
    out.reserve(total);
    // Frames are bounded far below 4 GiB where they come in.
    out.put_u32(total as u32);
    out.put_u32(headers as u32);
    out.put_u32(crc32(&out[start..]));
    put_headers(out);
    out.put_slice(payload);
    out.put_u32(crc32(&out[start..]));
}

#[cfg(test)]
mod tests;
