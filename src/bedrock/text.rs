//! How many tokens a text is, without a tokenizer: a rule that errs on the high side, because a reservation that is too small lets a
//! tenant over its limit until the answer tells the truth, and one that is too large is given back.
//!
//! | text | tokens |
//! |---|---|
//! | a word: ASCII letters of one case, or capitalised | one, and a quarter for each letter after the first |
//! | a digit, a sign of punctuation, a line end, a tab | one |
//! | a space between words | none; each further one a quarter |
//! | other characters | one for two bytes of UTF-8, two for three (Chinese, Japanese, Korean, Indic), four for four (emoji) |
//!
//! English comes to 1.9 tokens a word where tokenizers of 2026 need 1.3 to 1.8; code and JSON, which are mostly punctuation, to about a
//! third more than they need. AWS's own sample gateway counts four characters a token, which is too few for all of these. Letters that
//! are no words (keys, hashes) can need up to twice the estimate: a bound is one token a byte, which `ask` has for those who want it.

/// Bytes that are counted at once: those of a vector register.
const BLOCK: usize = 16;
/// Blocks that are added up lane by lane before the lanes are: no byte is more than sixteen quarters, so that no lane can overflow.
const RUN: usize = 12;

/// Counts one text in pieces; a word that is cut between two pieces is one word.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::bedrock) struct TextMeter {
    quarters: u64,
    /// The byte before, which begins as one that nothing goes on from.
    last: u8,
}

impl TextMeter {
    /// The next piece of the text.
    pub fn push(&mut self, piece: &[u8]) {
        let Some((&first, others)) = piece.split_first() else { return };
        let mut quarters = u64::from(quarters_after(self.last, first));
        let (blocks, rest) = others.as_chunks();
        let (befores, _) = piece.as_chunks();
        for (befores, bytes) in befores.chunks(RUN).zip(blocks.chunks(RUN)) {
            quarters += u64::from(quarters_of(befores, bytes));
        }
        quarters += quarters_of_rest(piece.get(others.len() - rest.len()..).unwrap_or_default(), rest);
        self.quarters = self.quarters.saturating_add(quarters);
        self.last = piece.last().copied().unwrap_or_default();
    }

    /// Another text begins.
    pub fn end(&mut self) {
        self.last = 0;
    }

    /// So far.
    pub fn tokens(&self) -> u64 {
        self.quarters.div_ceil(4)
    }
}

/// Of blocks, given the bytes that stand one place before each.
fn quarters_of(befores: &[[u8; BLOCK]], bytes: &[[u8; BLOCK]]) -> u16 {
    // Most texts are ASCII, of which half of the rule is enough.
    if bytes.as_flattened().is_ascii() { sum(befores, bytes, narrow_after) } else { sum(befores, bytes, quarters_after) }
}

/// Of less than a block.
fn quarters_of_rest(befores: &[u8], bytes: &[u8]) -> u64 {
    if bytes.is_empty() {
        return 0;
    }
    // What the block is filled up with is a token each, whatever stands before it.
    let (mut before_block, mut block) = ([0; BLOCK], [0; BLOCK]);
    before_block.iter_mut().zip(befores).for_each(|(place, byte)| *place = *byte);
    block.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
    let filled = 4 * (BLOCK - bytes.len()) as u64;
    u64::from(quarters_of(&[before_block], &[block])).saturating_sub(filled)
}

#[inline]
fn sum(befores: &[[u8; BLOCK]], bytes: &[[u8; BLOCK]], quarters: impl Fn(u8, u8) -> u8) -> u16 {
    // Without a look-up or a branch, and of a known length, which the compiler turns into vector instructions.
    let mut lanes = [0u8; BLOCK];
    for (befores, bytes) in befores.iter().zip(bytes) {
        for (lane, (before, byte)) in lanes.iter_mut().zip(befores.iter().zip(bytes)) {
            *lane = lane.wrapping_add(quarters(*before, *byte));
        }
    }
    lanes.iter().map(|lane| u16::from(*lane)).sum()
}

/// Of a byte, given the one before: the table above.
#[inline]
fn quarters_after(before: u8, byte: u8) -> u8 {
    let continues = byte.wrapping_sub(0x80) < 0x40;
    let wide = u8::from(byte >= 0xe0).wrapping_mul(4).wrapping_add(u8::from(byte >= 0xf0).wrapping_mul(8));
    // As a mask, since a branch would be one for every byte.
    narrow_after(before, byte).wrapping_add(wide) & u8::from(continues).wrapping_sub(1)
}

/// Of a byte of ASCII; any other is taken for a sign of punctuation.
#[inline]
fn narrow_after(before: u8, byte: u8) -> u8 {
    // Signed comparisons are half the work of unsigned ones.
    let is_of = |first: u8, byte: u8| byte.wrapping_add(0x80 - first).cast_signed() < i8::MIN + 26;
    let (is_lower, is_upper) = (|byte| is_of(b'a', byte), |byte| is_of(b'A', byte));
    let goes_on = (is_lower(byte) & (is_lower(before) | is_upper(before))) | (is_upper(byte) & is_upper(before));
    let is_space = byte == b' ';
    let quarters: u8 = if goes_on | is_space { 1 } else { 4 };
    quarters.wrapping_sub(u8::from(is_space & (before != b' ')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy)]
    enum Kind {
        One,
        Lower,
        Upper,
        Space,
        /// The second and later bytes of a character.
        Continuation,
        Two,
        Three,
        Four,
    }

    /// The rule once more, as tables.
    static KINDS: [Kind; 256] = {
        let mut kinds = [Kind::One; 256];
        let mut byte = 0;
        while byte < 256 {
            kinds[byte] = match byte as u8 {
                b'a'..=b'z' => Kind::Lower,
                b'A'..=b'Z' => Kind::Upper,
                b' ' => Kind::Space,
                0x80..=0xbf => Kind::Continuation,
                0xc0..=0xdf => Kind::Two,
                0xe0..=0xef => Kind::Three,
                0xf0..=0xff => Kind::Four,
                _ => Kind::One,
            };
            byte += 1;
        }
        kinds
    };

    /// Quarters of tokens, by the kinds of the byte before and of the byte.
    static QUARTERS: [[u8; 8]; 8] = {
        let mut quarters = [[4, 4, 4, 0, 0, 4, 8, 16]; 8];
        quarters[Kind::Lower as usize][Kind::Lower as usize] = 1;
        quarters[Kind::Upper as usize][Kind::Upper as usize] = 1;
        quarters[Kind::Upper as usize][Kind::Lower as usize] = 1;
        quarters[Kind::Space as usize][Kind::Space as usize] = 1;
        quarters
    };

    fn tokens(text: &str) -> u64 {
        let mut meter = TextMeter::default();
        meter.push(text.as_bytes());
        meter.tokens()
    }

    #[test]
    fn the_rule_is_the_one_that_is_written_down() {
        for (text, expected) in [
            ("", 0),
            ("a", 1),
            ("the", 2),
            ("The quick brown fox", 7),
            ("camelCase", 4),
            ("2026-11-22", 10),
            ("a\n\tb", 4),
            ("a b", 2),
            ("a     b", 2 + 1),
            (" ", 0),
            ("        ", 2),
            ("é", 1),
            ("漢字", 4),
            ("😀", 4),
        ] {
            assert_eq!(tokens(text), expected, "{text:?}");
        }
    }

    /// Tokens as cl100k and o200k, the two public tokenizers of that size, count them.
    #[test]
    fn known_counts_are_not_underestimated() {
        for (text, real) in [
            ("The quick brown fox jumps over the lazy dog.", 10),
            ("Hello, world!", 4),
            ("antidisestablishmentarianism", 6),
            ("def add(a, b):\n    return a + b\n", 14),
            ("お誕生日おめでとう", 9),
            ("1234567890", 4),
        ] {
            let estimate = tokens(text);
            assert!(estimate >= real && estimate <= real * 3, "{text}: {estimate} for {real}");
        }
    }

    #[test]
    fn what_is_computed_is_what_the_table_says() {
        for (before, byte) in (0..=255).flat_map(|before| (0..=255).map(move |byte| (before, byte))) {
            let kinds = [before, byte].map(|byte| KINDS[usize::from(byte)] as usize);
            assert_eq!(quarters_after(before, byte), QUARTERS[kinds[0]][kinds[1]], "{before} {byte}");
        }
    }

    proptest! {
        #[test]
        fn blocks_do_not_matter(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (mut at_once, mut one_by_one) = (TextMeter::default(), TextMeter::default());
            at_once.push(&bytes);
            bytes.iter().for_each(|byte| one_by_one.push(&[*byte]));
            prop_assert_eq!((at_once.quarters, at_once.last), (one_by_one.quarters, one_by_one.last));
        }

        #[test]
        fn cuts_do_not_matter(text in any::<String>(), at in any::<prop::sample::Index>()) {
            let (left, right) = text.as_bytes().split_at(at.index(text.len() + 1));
            let mut meter = TextMeter::default();
            meter.push(left);
            meter.push(right);
            prop_assert_eq!(meter.tokens(), tokens(&text));
        }
    }
}
