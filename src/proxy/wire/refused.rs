//! The streams of an HTTP/2 connection that were refused below the stations: because there are as many as there may be, or for their
//! heads. The h2 crate and Pingora refuse them by themselves and tell nobody, so they are counted where they can be seen: in the frames
//! that are sent.

const HEADER_BYTES: usize = 9;
/// With its one field, an error code.
const RESET_BYTES: usize = HEADER_BYTES + 4;

const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const END_STREAM: u8 = 0x1;
const PROTOCOL_ERROR: [u8; 4] = [0, 0, 0, 1];
const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];

/// A head of no more bytes has no more than a status: every answer of the stations, and of Bedrock, has an id of 36 characters.
const BARE_BYTES_MAX: usize = 12;

/// How many streams some bytes refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Beyond those that may be open.
    pub beyond: u64,
    /// For their heads: by a bare status, or as no HTTP at all.
    pub heads: u64,
}

/// Follows what the gateway sends on one connection.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// The frame that has begun, as far as it is of interest.
    frame: [u8; RESET_BYTES],
    gathered: usize,
    /// Bytes until the next frame.
    skip: usize,
    /// The last stream that got a bare status; h2 may reset it as well.
    bare: [u8; 4],
}

impl Refused {
    /// Takes note of bytes that were sent. Says how many streams they refuse.
    pub fn follow(&mut self, mut bytes: &[u8]) -> Counts {
        let mut refused = Counts::default();
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let wanted = if self.gathered < HEADER_BYTES { HEADER_BYTES } else { RESET_BYTES };
            let taken = (wanted - self.gathered).min(bytes.len());
            self.frame[self.gathered..self.gathered + taken].copy_from_slice(&bytes[..taken]);
            self.gathered += taken;
            bytes = &bytes[taken..];
            let [a, b, c, kind, flags, s0, s1, s2, s3, code @ ..] = self.frame;
            let stream = [s0, s1, s2, s3];
            match self.gathered {
                HEADER_BYTES if kind != RST_STREAM => {
                    self.gathered = 0;
                    self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                    let is_bare = kind == HEADERS && flags & END_STREAM != 0 && self.skip <= BARE_BYTES_MAX;
                    if is_bare {
                        self.bare = stream;
                        refused.heads += 1;
                    }
                }
                RESET_BYTES => {
                    self.gathered = 0;
                    refused.beyond += u64::from(code == REFUSED_STREAM);
                    refused.heads += u64::from(code == PROTOCOL_ERROR && stream != self.bare);
                }
                _ => {}
            }
        }
        refused
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        frame_of(1, kind, flags, payload)
    }

    fn frame_of(stream: u8, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, stream]);
        frame.extend(payload);
        frame
    }

    /// Frames whose payloads look like refusals, and how many of them are.
    fn frames() -> impl Strategy<Value = (Vec<u8>, Counts)> {
        let refusal = || frame(RST_STREAM, 0, &REFUSED_STREAM);
        let none = Counts::default();
        let other = prop_oneof![Just(0_u8), Just(1), Just(4), Just(6), Just(8)];
        let one = prop_oneof![
            Just((refusal(), Counts { beyond: 1, heads: 0 })),
            Just((frame(RST_STREAM, 0, &PROTOCOL_ERROR), Counts { beyond: 0, heads: 1 })),
            Just((frame_of(3, HEADERS, END_STREAM | 4, &[0x8c]), Counts { beyond: 0, heads: 1 })),
            Just((
                [frame_of(3, HEADERS, END_STREAM | 4, &[0x8c]), frame_of(3, RST_STREAM, 0, &PROTOCOL_ERROR)].concat(),
                Counts { beyond: 0, heads: 1 }
            )),
            Just((frame(HEADERS, 4, &[0x88]), none)),
            Just((frame(HEADERS, END_STREAM | 4, &[0x8c; 30]), none)),
            Just((frame(RST_STREAM, 0, &[0, 0, 0, 8]), none)),
            (other, 0_usize..4).prop_map(move |(kind, times)| (frame(kind, 0, &refusal().repeat(times)), none)),
        ];
        prop::collection::vec(one, 0..20).prop_map(|all| {
            let (bytes, counts): (Vec<_>, Vec<Counts>) = all.into_iter().unzip();
            (bytes.concat(), sum(counts))
        })
    }

    fn sum(counts: impl IntoIterator<Item = Counts>) -> Counts {
        let plus = |a: Counts, b: Counts| Counts { beyond: a.beyond + b.beyond, heads: a.heads + b.heads };
        counts.into_iter().fold(Counts::default(), plus)
    }

    proptest! {
        #[test]
        fn refusals_are_counted_and_nothing_else_is_however_the_bytes_are_cut((bytes, refusals) in frames(), piece in 1_usize..40) {
            let mut refused = Refused::default();
            prop_assert_eq!(sum(bytes.chunks(piece).map(|piece| refused.follow(piece))), refusals);
        }
    }
}
