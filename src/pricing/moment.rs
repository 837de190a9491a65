//! A moment as people write it, in a price list or on a command line: a date, or a time with its offset. What is neither is refused, since
//! a time whose offset nobody knows is a moment that nobody knows.

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::TimeZone,
};

/// What is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAMoment {
    /// A day and an hour, and not whose.
    #[error("a time without its offset")]
    WithoutOffset,
    /// Something else.
    #[error("neither a date nor a time with its offset")]
    Unreadable,
}

impl NotAMoment {
    /// What to write instead.
    pub fn help(self) -> &'static str {
        match self {
            NotAMoment::WithoutOffset => "write whose time it is, 2026-08-21T08:00:00Z, or 2026-08-21T10:00:00+02:00",
            NotAMoment::Unreadable => {
                "write a date, 2026-08-21, which begins at midnight UTC, or a time with its offset, 2026-08-21T08:00:00Z"
            }
        }
    }
}

/// Reads a date, `2026-08-21`, which begins at midnight UTC, or a time with offset.
///
/// # Errors
/// Anything else.
pub fn moment(text: &str) -> Result<Timestamp, NotAMoment> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    // jiff's dates let a time stand behind them, and pass over it.
    let plain = text.parse().ok().filter(|date: &Date| date.to_string() == text);
    let midnight = plain.and_then(|date| date.to_zoned(TimeZone::UTC).ok()).map(|midnight| midnight.timestamp());
    let has_time = || text.len() > "2026-08-21".len() && text.parse::<DateTime>().is_ok();
    midnight.ok_or_else(|| if has_time() { NotAMoment::WithoutOffset } else { NotAMoment::Unreadable })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_begins_at_midnight_utc_and_a_time_has_its_offset() {
        for (text, at) in [
            ("2026-11-24", "2026-11-24T00:00:00Z"),
            ("2026-11-24T20:00:00Z", "2026-11-24T20:00:00Z"),
            ("2026-11-24 20:00+01:00", "2026-11-24T19:00:00Z"),
            ("2026-11-24T20:00:00+01:00[Europe/Berlin]", "2026-11-24T19:00:00Z"),
        ] {
            assert_eq!(moment(text).unwrap().to_string(), at, "{text}");
        }
    }

    #[test]
    fn a_time_without_an_offset_is_never_its_midnight() {
        for text in [
            "2026-11-23T23:59:00",
            "2026-11-24 20:00",
            "2026-11-24T20",
            "2026-11-24T00:00:00",
            "2026-11-24T20:00:00[Europe/Berlin]",
        ] {
            assert_eq!(moment(text), Err(NotAMoment::WithoutOffset), "{text}");
        }
        for text in
            ["", "tomorrow", "1.8.26", "2026-13-01", "20261124", "2026-11-24[Europe/Berlin]", "2026-11-24+01:00", " 2026-11-24"]
        {
            assert!(moment(text).is_err(), "{text}");
        }
        assert_eq!(moment("20261124"), Err(NotAMoment::Unreadable));
    }
}
