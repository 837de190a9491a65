//! Figures in words: amounts with their units, times in UTC, and as few digits as say it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{pricing::NanoUsd, quota::Measure, quota::account::statement::Amount};

/// `1,630,000`
pub fn count(number: u64) -> String {
    grouped(&number.to_string())
}

/// `1.63 M`: where there is no room for all of it.
pub fn short(number: u64) -> String {
    let scaled = |by: f64, unit: &str| {
        let value = number as f64 / by;
        format!("{value:.*} {unit}", if value < 10.0 { 2 } else { usize::from(value < 100.0) })
    };
    match number {
        0..10_000 => count(number),
        10_000..999_500 => scaled(1e3, "k"),
        999_500..999_500_000 => scaled(1e6, "M"),
        _ => scaled(1e9, "G"),
    }
}

/// `$1,412.33`; below a dollar four decimals: `$0.0816`.
pub fn usd(amount: NanoUsd) -> String {
    let nano = amount.0.unsigned_abs();
    let sign = if amount.0 < 0 { "−" } else { "" };
    match nano {
        0 => "$0.00".to_owned(),
        1..100_000 => format!("<{sign}$0.0001"),
        100_000..1_000_000_000 => format!("{sign}$0.{:04}", nano / 100_000),
        _ => format!("{sign}${}.{:02}", count(nano / 1_000_000_000), nano % 1_000_000_000 / 10_000_000),
    }
}

/// Tokens as a number, money in dollars.
pub fn amount(Amount(measure, amount): Amount) -> String {
    match measure {
        Measure::Cost => usd(NanoUsd(i64::try_from(amount).unwrap_or(i64::MAX))),
        _ => count(amount),
    }
}

/// `82 %`; what is not nothing is not shown as nothing, and what is not all not as all.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 || part == 0 {
        return "0 %".to_owned();
    }
    let percent = part as f64 / whole as f64 * 100.0;
    match percent {
        p if p < 0.1 => "<0.1 %".to_owned(),
        p if p < 10.0 => format!("{p:.1} %"),
        // What is not all is not shown as all.
        p if p >= 99.5 && part < whole => format!("{:.1} %", p.min(99.9)),
        p => format!("{p:.0} %"),
    }
}

/// Of requests, say: `0.3`, `12.4`, `1,240`.
pub fn rate(per_second: f64) -> String {
    match per_second {
        r if r < 0.005 => "0".to_owned(),
        r if r < 1.0 => format!("{r:.2}"),
        r if r < 100.0 => format!("{r:.1}"),
        r => count(r.round() as u64),
    }
}

/// `340 µs`, `1.2 ms`, `24 s`.
pub fn seconds(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else { return "–".to_owned() };
    let digits = |value: f64| usize::from(value < 10.0);
    match seconds {
        s if s < 0.000_999 => format!("{:.0} µs", s * 1e6),
        s if s < 0.999 => format!("{:.*} ms", digits(s * 1e3), s * 1e3),
        s if s < 120.0 => format!("{s:.*} s", digits(s)),
        s => format!("{:.0} min", s / 60.0),
    }
}

/// `2026-11-22 12:00:05 UTC`
pub fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `22 Nov 12:00 UTC`: where seconds say nothing.
pub fn utc_short(at: Timestamp) -> String {
    at.strftime("%-d %b %H:%M UTC").to_string()
}

/// `12:00 UTC`: within the last hour.
pub fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M UTC").to_string()
}

/// `2026-11-22`: where the hour says nothing.
pub fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// RFC 3339, for `<time datetime>`.
pub fn machine(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `12 s ago`
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago", span(Duration::try_from(now.duration_since(at)).unwrap_or_default()))
}

/// `in 5 min`, or how long ago.
pub fn until(at: Timestamp, now: Timestamp) -> String {
    let left = at.duration_since(now);
    if left < SignedDuration::ZERO { ago(at, now) } else { format!("in {}", span(Duration::try_from(left).unwrap_or_default())) }
}

/// `12 s`, `5 min`, `3 h`, `12 days`, `4 years`.
pub fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        172_800..63_072_000 => format!("{} days", seconds / 86_400),
        _ => format!("{} years", seconds / 31_536_000),
    }
}

/// `1 request`, `2 requests`.
pub fn many(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `once`, `twice`, `3 times`.
pub fn times(number: u64) -> String {
    match number {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        number => format!("{} times", count(number)),
    }
}

/// `acme`, `acme and globex`, `acme, globex and 12 more`.
pub fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [before @ .., last] => format!("{} and {last}", before.join(", ")),
    }
}

/// With a capital letter and a full stop.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

fn grouped(digits: &str) -> String {
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_their_units_and_no_more_digits_than_say_it() {
        assert_eq!([0, 999, 1_000, 1_630_000].map(count), ["0", "999", "1,000", "1,630,000"]);
        assert_eq!([9_999, 12_345, 999_999, 1_630_000].map(short), ["9,999", "12.3 k", "1.00 M", "1.63 M"]);
        let dollars = [0, 1, 81_600_000, 999_999_999, 1_412_330_000_000, -2_500_000_000, i64::MIN];
        let shown = ["$0.00", "<$0.0001", "$0.0816", "$0.9999", "$1,412.33", "−$2.50", "−$9,223,372,036.85"];
        assert_eq!(dollars.map(|nano| usd(NanoUsd(nano))), shown);
        let shares = [(0, 0), (1, 10_000), (1, 30), (82, 100), (447, 448), (99_999, 100_000), (100, 100), (130, 100)];
        let shown = ["0 %", "<0.1 %", "3.3 %", "82 %", "99.8 %", "99.9 %", "100 %", "130 %"];
        assert_eq!(shares.map(|(a, b)| percent(a, b)), shown);
        let times = [0.000_34, 0.001_2, 0.034, 2.44, 90.0, 600.0].map(|s| seconds(Some(s)));
        assert_eq!(times, ["340 µs", "1.2 ms", "34 ms", "2.4 s", "90 s", "10 min"]);
        assert_eq!([0.001, 0.3, 12.44, 1_240.0].map(rate), ["0", "0.30", "12.4", "1,240"]);
        assert_eq!([1, 2, 3_000].map(super::times), ["once", "twice", "3,000 times"]);
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!([&names[..0], &names[..1], &names[..2], &names[..]].map(list), ["", "a", "a and b", "a, b and c"]);
        assert_eq!((many(1, "request"), many(2_000, "request")), ("1 request".to_owned(), "2,000 requests".to_owned()));
    }

    #[test]
    fn times_say_that_they_are_utc() {
        let at: Timestamp = "2026-11-22T12:00:05Z".parse().unwrap();
        assert_eq!((utc(at), utc_short(at)), ("2026-11-22 12:00:05 UTC".to_owned(), "22 Nov 12:00 UTC".to_owned()));
        let later = at + SignedDuration::from_secs(300);
        assert_eq!((ago(at, later), until(later, at)), ("5 min ago".to_owned(), "in 5 min".to_owned()));
        assert_eq!(until(at, later), "5 min ago");
    }
}
