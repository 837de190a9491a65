//! Days and months in a tenant's time zone: which window a moment lies in, and where that ends. Windows are civil dates, so a clock
//! that jumps back finds the window it left.

use jiff::{
    Timestamp,
    civil::Date,
    tz::{Offset, TimeZone},
};

use crate::quota::Span;

/// The day and the month of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Today {
    pub(super) date: Date,
    day: Edges,
    month: Edges,
}

/// From the first moment to the first that no longer belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edges {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// At the end, for showing it.
    pub(super) offset: Offset,
}

impl Today {
    /// Every moment has one: beyond the years that a calendar has, windows end where time does.
    pub(super) fn of(wall: Timestamp, zone: &TimeZone) -> Today {
        let date = zone.to_datetime(wall).date();
        let first = date.first_of_month();
        let next_month = date.last_of_month().tomorrow().ok();
        Today { date, day: edges(Some(date), date.tomorrow().ok(), zone), month: edges(Some(first), next_month, zone) }
    }

    pub(super) fn contains(&self, wall: Timestamp) -> bool {
        (self.day.start..self.day.end).contains(&wall)
    }

    /// What has no calendar window gets the day's.
    pub(super) fn edges(&self, span: Span) -> Edges {
        match span {
            Span::Month => self.month,
            Span::Day | Span::Minute => self.day,
        }
    }
}

/// The window of a date, by its first day.
pub(super) fn window(span: Span, date: Date) -> Date {
    match span {
        Span::Month => date.first_of_month(),
        Span::Day | Span::Minute => date,
    }
}

/// A midnight that summer time skips is the moment it skips to; one that comes twice is the first.
fn edges(first: Option<Date>, next: Option<Date>, zone: &TimeZone) -> Edges {
    let midnight =
        |date: Option<Date>| date.and_then(|date| date.to_zoned(zone.clone()).ok()).map(|midnight| midnight.timestamp());
    let end = midnight(next).unwrap_or(Timestamp::MAX);
    Edges { start: midnight(first).unwrap_or(Timestamp::MIN), end, offset: zone.to_offset(end) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn today(zone: &str, wall: &str) -> Today {
        Today::of(wall.parse().unwrap(), &TimeZone::get(zone).unwrap())
    }

    #[test]
    fn days_have_23_24_or_25_hours() {
        for (wall, hours) in [("2026-03-29T12:00:00Z", 23), ("2026-06-01T12:00:00Z", 24), ("2026-10-25T12:00:00Z", 25)] {
            let day = today("Europe/Berlin", wall).day;
            assert_eq!(day.end.duration_since(day.start).as_hours(), hours, "{wall}");
        }
    }

    #[test]
    fn the_month_is_the_tenants_not_the_servers() {
        let (berlin, utc) = (today("Europe/Berlin", "2026-10-31T23:30:00Z"), today("UTC", "2026-10-31T23:30:00Z"));
        assert_eq!(berlin.month.start.to_string(), "2026-10-31T23:00:00Z");
        assert_eq!(utc.month.end.to_string(), "2026-11-01T00:00:00Z");
        assert_eq!(berlin.month.end.to_string(), "2026-11-30T23:00:00Z");
    }

    proptest! {
        /// Also where midnight does not exist or comes twice, and at the ends of time.
        #[test]
        fn every_moment_lies_in_its_day_and_days_do_not_overlap(
            seconds in prop_oneof![-377_705_023_201i64..=253_402_207_200, 0i64..2_000_000_000],
            zone in prop::sample::select(vec![
                "UTC", "Europe/Berlin", "America/Sao_Paulo", "America/Havana", "Asia/Beirut", "Pacific/Apia", "Asia/Kathmandu",
                "Australia/Lord_Howe", "Africa/Cairo", "America/Asuncion",
            ]),
        ) {
            let zone = TimeZone::get(zone).unwrap();
            let wall = Timestamp::from_second(seconds).unwrap();
            let today = Today::of(wall, &zone);
            prop_assert!(today.contains(wall) || today.day.end == Timestamp::MAX, "{today:?}");
            prop_assert!(today.month.start <= today.day.start && today.day.end <= today.month.end);
            if today.day.end < Timestamp::MAX {
                let tomorrow = Today::of(today.day.end, &zone);
                prop_assert!(tomorrow.date > today.date);
                prop_assert_eq!(tomorrow.day.start, today.day.end);
            }
        }
    }
}
