//! What one token costs: whole pico-dollars, read from and shown as US dollars per million tokens.

use std::{fmt, str::FromStr};

/// Pico-dollars per token; at most a dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rate(u64);

/// A million tokens for a million dollars. With 64 bits of tokens a product stays far below 128 bits.
const PICO_MAX: u64 = 1_000_000_000_000;

const DECIMALS_MAX: usize = 6;

impl Rate {
    /// Pico-dollars per token.
    pub fn pico(self) -> u64 {
        self.0
    }

    /// What so many tokens cost, in pico-dollars.
    pub(super) fn times(self, tokens: u64) -> u128 {
        u128::from(self.0) * u128::from(tokens)
    }

    /// The same once more; the largest rate instead of overflow.
    pub(super) fn doubled(self) -> Rate {
        Rate((self.0 * 2).min(PICO_MAX))
    }
}

/// Dollars per million tokens with as many decimals as there are, two at least: `3.30`, `0.0375`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:06}", self.0 % 1_000_000);
        write!(f, "{}.{:0<2}", self.0 / 1_000_000, decimals.trim_end_matches('0'))
    }
}

/// A text that is no price per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a price in US dollars per million tokens with at most six decimals, such as \"3.30\"")]
pub struct NotARate;

impl FromStr for Rate {
    type Err = NotARate;

    /// `3`, `3.3`, `0.00875`.
    fn from_str(text: &str) -> Result<Rate, NotARate> {
        let (dollars, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(dollars) || !all_digits(decimals) || decimals.len() > DECIMALS_MAX {
            return Err(NotARate);
        }
        let dollars: u64 = dollars.parse().map_err(|_| NotARate)?;
        let millionths: u64 = format!("{decimals:0<6}").parse().map_err(|_| NotARate)?;
        let pico = dollars.checked_mul(1_000_000).and_then(|pico| pico.checked_add(millionths));
        pico.filter(|pico| *pico <= PICO_MAX).map(Rate).ok_or(NotARate)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_price_per_million_tokens_is_pico_dollars_per_token() {
        for (text, pico, shown) in [
            ("0.0375", 37_500, "0.0375"),
            ("3.3", 3_300_000, "3.30"),
            ("0.00875", 8_750, "0.00875"),
            ("12", 12_000_000, "12.00"),
            ("0.000001", 1, "0.000001"),
            ("0", 0, "0.00"),
            ("1000000", PICO_MAX, "1000000.00"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.pico(), rate.to_string().as_str()), (pico, shown));
        }
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for text in
            ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "$3", "3 ", "0.0000001", "1000000.000001", "99999999999999999999"]
        {
            assert_eq!(text.parse::<Rate>(), Err(NotARate), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(pico in 0..=PICO_MAX) {
            prop_assert_eq!(Rate(pico).to_string().parse::<Rate>(), Ok(Rate(pico)));
        }
    }
}
