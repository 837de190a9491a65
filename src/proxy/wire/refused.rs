//! The streams of an HTTP/2 connection that were refused because there are as many as there may be. The h2 crate refuses them by
//! itself and tells nobody, so they are counted where they can be seen: in the frames that are sent.

const HEADER_BYTES: usize = 9;
/// With its one field, an error code.
const RESET_BYTES: usize = HEADER_BYTES + 4;

const RST_STREAM: u8 = 0x3;
const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];

/// Follows what the gateway sends on one connection.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// The frame that has begun, as far as it is of interest.
    frame: [u8; RESET_BYTES],
    gathered: usize,
    /// Bytes until the next frame.
    skip: usize,
}

impl Refused {
    /// Takes note of bytes that were sent. Says how many streams they refuse.
    pub fn follow(&mut self, mut bytes: &[u8]) -> u64 {
        let mut refused = 0;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let wanted = if self.gathered < HEADER_BYTES { HEADER_BYTES } else { RESET_BYTES };
            let taken = (wanted - self.gathered).min(bytes.len());
            self.frame[self.gathered..self.gathered + taken].copy_from_slice(&bytes[..taken]);
            self.gathered += taken;
            bytes = &bytes[taken..];
            let [a, b, c, kind, _, _, _, _, _, code @ ..] = self.frame;
            match self.gathered {
                HEADER_BYTES if kind != RST_STREAM => {
                    self.gathered = 0;
                    self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                }
                RESET_BYTES => {
                    self.gathered = 0;
                    refused += u64::from(code == REFUSED_STREAM);
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

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, 0, 0, 0, 0, 1]);
        frame.extend(payload);
        frame
    }

    /// Frames whose payloads look like refusals, and how many of them are.
    fn frames() -> impl Strategy<Value = (Vec<u8>, u64)> {
        let refusal = || frame(RST_STREAM, &REFUSED_STREAM);
        let other = prop_oneof![Just(0_u8), Just(1), Just(4), Just(6), Just(8)];
        let one = prop_oneof![
            Just((refusal(), 1)),
            Just((frame(RST_STREAM, &[0, 0, 0, 8]), 0)),
            (other, 0_usize..4).prop_map(move |(kind, times)| (frame(kind, &refusal().repeat(times)), 0)),
        ];
        prop::collection::vec(one, 0..20).prop_map(|all| {
            let (bytes, refusals): (Vec<_>, Vec<u64>) = all.into_iter().unzip();
            (bytes.concat(), refusals.into_iter().sum())
        })
    }

    proptest! {
        #[test]
        fn refusals_are_counted_and_nothing_else_is_however_the_bytes_are_cut((bytes, refusals) in frames(), piece in 1_usize..40) {
            let mut refused = Refused::default();
            prop_assert_eq!(bytes.chunks(piece).map(|piece| refused.follow(piece)).sum::<u64>(), refusals);
        }
    }
}
