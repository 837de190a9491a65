//! US dollars, exactly: whole nano-dollars. A price of $0.001 per million tokens is one nano-dollar a token.

use std::{fmt, ops::Add, str::FromStr};

use serde::{Deserialize, Serialize};

/// Billionths of a US dollar; ±9.2 billion dollars fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NanoUsd(pub i64);

const A_DOLLAR: i64 = 1_000_000_000;

impl NanoUsd {
    /// Nothing.
    pub const ZERO: NanoUsd = NanoUsd(0);
    /// More than anybody has.
    pub const MAX: NanoUsd = NanoUsd(i64::MAX);

    /// So many times as much; the end of the range instead of overflow.
    pub fn times(self, times: u64) -> NanoUsd {
        NanoUsd(self.0.saturating_mul(i64::try_from(times).unwrap_or(i64::MAX)))
    }

    /// `self - other`; the ends of the range instead of overflow.
    pub fn saturating_sub(self, other: NanoUsd) -> NanoUsd {
        NanoUsd(self.0.saturating_sub(other.0))
    }
}

impl Add for NanoUsd {
    type Output = NanoUsd;

    /// The ends of the range instead of overflow.
    fn add(self, other: NanoUsd) -> NanoUsd {
        NanoUsd(self.0.saturating_add(other.0))
    }
}

impl std::iter::Sum for NanoUsd {
    fn sum<I: Iterator<Item = NanoUsd>>(amounts: I) -> NanoUsd {
        amounts.fold(NanoUsd::ZERO, Add::add)
    }
}

/// Dollars with as many decimals as there are, two at least: `12.50`, `0.000000001`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (dollars, mut rest) =
            (self.0.unsigned_abs() / A_DOLLAR.unsigned_abs(), self.0.unsigned_abs() % A_DOLLAR.unsigned_abs());
        let mut decimals = [b'0'; 9];
        for digit in decimals.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        let last = decimals.iter().rposition(|digit| *digit != b'0').unwrap_or_default();
        let shown = std::str::from_utf8(&decimals[..=last.max(1)]).unwrap_or_default();
        f.write_str(sign)?;
        f.write_str(itoa::Buffer::new().format(dollars))?;
        f.write_str(".")?;
        f.write_str(shown)
    }
}

/// A text that is no amount of dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMoney {
    /// Something else.
    #[error("not an amount of US dollars, such as \"12.50\"")]
    Form,
    /// Less than a billionth of a dollar would be lost.
    #[error("an amount of US dollars with more than nine decimals")]
    Decimals,
    /// It does not fit.
    #[error("more than {} US dollars, the most there can be", NanoUsd::MAX)]
    TooMuch,
}

impl FromStr for NanoUsd {
    type Err = NotMoney;

    /// `12`, `12.5`, `0.000000001`, `-3.10`.
    fn from_str(text: &str) -> Result<NanoUsd, NotMoney> {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (dollars, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(dollars) || !all_digits(decimals) {
            return Err(NotMoney::Form);
        }
        if decimals.len() > 9 {
            return Err(NotMoney::Decimals);
        }
        let whole: i64 = dollars.parse().map_err(|_| NotMoney::TooMuch)?;
        let nanos: i64 = format!("{decimals:0<9}").parse().map_err(|_| NotMoney::Decimals)?;
        let amount = whole.checked_mul(A_DOLLAR).and_then(|amount| amount.checked_add(nanos)).ok_or(NotMoney::TooMuch)?;
        Ok(NanoUsd(sign * amount))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_shown_exactly() {
        for (nanos, shown) in [
            (0, "0.00"),
            (1, "0.000000001"),
            (12_500_000_000, "12.50"),
            (-3_100_000_000, "-3.10"),
            (i64::MIN, "-9223372036.854775808"),
        ] {
            assert_eq!(NanoUsd(nanos).to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", ".", "1.", ".5", "1e3", "+1", "1,5", " 1", "--1"] {
            assert_eq!(text.parse::<NanoUsd>(), Err(NotMoney::Form), "{text}");
        }
        for text in ["0.0000000001", "500.0000000001"] {
            assert_eq!(text.parse::<NanoUsd>(), Err(NotMoney::Decimals), "{text}");
        }
        for text in ["99999999999999999999", "9223372037", "9223372036.854775808"] {
            assert_eq!(text.parse::<NanoUsd>(), Err(NotMoney::TooMuch), "{text}");
        }
        assert_eq!("9223372036.854775807".parse(), Ok(NanoUsd::MAX));
        assert!(NotMoney::TooMuch.to_string().contains("9223372036.854775807"));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(nanos in -i64::MAX..i64::MAX) {
            prop_assert_eq!(NanoUsd(nanos).to_string().parse::<NanoUsd>(), Ok(NanoUsd(nanos)));
        }
    }
}
