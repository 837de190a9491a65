//! The pieces in which a body came, small ones put together.

use bytes::{Bytes, BytesMut};

/// Smaller pieces are put together, up to so many bytes: each costs memory of its own, and each is written upstream by itself. A body in
/// chunks of one byte would be held in forty times its room.
const SMALL_BYTES: usize = 4 << 10;
const TOGETHER_BYTES: usize = 64 << 10;

/// What has come of a body.
#[derive(Default)]
pub(super) struct Pieces {
    whole: Vec<Bytes>,
    /// Of small ones, behind all others.
    together: BytesMut,
}

impl Pieces {
    /// The next one.
    pub fn push(&mut self, piece: Bytes) {
        let is_small = piece.len() < SMALL_BYTES;
        if !is_small || self.together.len() >= TOGETHER_BYTES {
            self.settle();
        }
        if !is_small || (self.together.is_empty() && self.whole.last().is_none_or(|last| last.len() >= SMALL_BYTES)) {
            if !piece.is_empty() {
                self.whole.push(piece);
            }
            return;
        }
        if self.together.is_empty()
            && let Some(last) = self.whole.pop_if(|last| last.len() < SMALL_BYTES)
        {
            self.together.extend_from_slice(&last);
        }
        self.together.extend_from_slice(&piece);
    }

    fn settle(&mut self) {
        if !self.together.is_empty() {
            self.whole.push(self.together.split().freeze());
        }
    }

    /// All of them.
    pub fn finish(mut self) -> Vec<Bytes> {
        self.settle();
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gathered(lengths: impl IntoIterator<Item = usize>) -> (Vec<u8>, Vec<Bytes>) {
        let (mut whole, mut pieces) = (Vec::new(), Pieces::default());
        for (length, byte) in lengths.into_iter().zip((0..=255).cycle()) {
            whole.extend(vec![byte; length]);
            pieces.push(Bytes::from(vec![byte; length]));
        }
        (whole, pieces.finish())
    }

    #[test]
    fn a_million_bytes_one_by_one_are_few_pieces_and_one_small_piece_is_not_copied() {
        let (_, pieces) = gathered(std::iter::repeat_n(1, 1_000_000));
        assert_eq!(pieces.len(), 1_000_000usize.div_ceil(TOGETHER_BYTES));
        let piece = Bytes::from_static(b"{}");
        let mut pieces = Pieces::default();
        pieces.push(piece.clone());
        assert_eq!(pieces.finish()[0].as_ptr(), piece.as_ptr());
    }

    proptest! {
        #[test]
        fn pieces_put_together_are_the_body(lengths in prop::collection::vec(prop_oneof![0..3usize, 4_000..4_200usize, 0..70_000usize], 0..60)) {
            let (whole, pieces) = gathered(lengths);
            prop_assert_eq!(pieces.concat(), whole);
            prop_assert!(pieces.iter().all(|piece| !piece.is_empty()));
            prop_assert!(pieces.windows(2).all(|two| two[0].len() + two[1].len() >= SMALL_BYTES));
        }
    }
}
