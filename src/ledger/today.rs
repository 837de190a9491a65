//! Which day it is, for what depends on age: a clock that is far ahead is believed after a day. What is pruned by its word does not come
//! back when it is put right.

use std::time::{Duration, Instant};

use jiff::{ToSpan, civil::Date};

/// Days that tenants' calendars, and a clock that is about right, may be apart from what is reckoned.
const SLACK_DAYS: i64 = 2;

/// How long a clock has to be ahead until it is believed.
const BELIEVED_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// A month without a request is nothing unusual.
const GAP_DAYS_MAX: i64 = 31;

/// A wrong clock writes few days until it is believed or put right: around a midnight, and in the zones of several tenants.
const DAYS_ENOUGH: usize = 7;

/// A day, and when it was that.
#[derive(Debug)]
pub(super) struct Today {
    day: Date,
    at: Instant,
    /// Since when the clock says something that cannot be.
    ahead_since: Option<Instant>,
}

impl Today {
    /// `known`: the last day that the file vouches for; nothing if it is empty.
    pub(super) fn new(known: Option<Date>, clock: Date, now: Instant) -> Today {
        Today { day: known.map_or(clock, |known| known.min(clock)), at: now, ahead_since: None }
    }

    /// The day to go by when the clock says `clock`.
    pub(super) fn by(&mut self, clock: Date, now: Instant) -> Date {
        let passed = i64::try_from(now.saturating_duration_since(self.at).as_secs() / (24 * 3_600)).unwrap_or(i64::MAX);
        let reckoned = plus(self.day, passed);
        if clock > plus(reckoned, SLACK_DAYS) {
            let since = *self.ahead_since.get_or_insert_with(|| {
                tracing::warn!(%clock, %reckoned, "the clock is ahead of the ledger; old rows are kept until it has been for a day");
                now
            });
            if now.saturating_duration_since(since) < BELIEVED_AFTER {
                return reckoned;
            }
        }
        *self = Today { day: clock, at: now, ahead_since: None };
        clock
    }
}

/// The last day that can be believed of those that have charges, the newest first: a few that stand by themselves, long after the others,
/// are a wrong clock's.
pub(super) fn last_known(days: &[Date]) -> Option<Date> {
    let together = || days.chunk_by(|day, before| *day <= plus(*before, GAP_DAYS_MAX));
    let enough = together().find(|days| days.len() >= DAYS_ENOUGH);
    enough.or_else(|| together().last())?.first().copied()
}

fn plus(day: Date, days: i64) -> Date {
    day.checked_add(days.days()).unwrap_or(Date::MAX)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3_600);
    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_clock_that_is_ahead_is_believed_after_a_day_and_one_that_goes_back_at_once() {
        let (start, known, wrong) = (Instant::now(), date(2026, 11, 22), date(2030, 1, 1));
        let mut today = Today::new(Some(known), wrong, start);
        assert_eq!(today.by(wrong, start), known);
        assert_eq!(today.by(wrong, start + 23 * HOUR), known);
        assert_eq!(today.by(known, start + 23 * HOUR), known, "it was put right");
        assert_eq!(today.by(wrong, start + 25 * HOUR), known, "and is wrong again, for another day");
        assert_eq!(today.by(wrong, start + 49 * HOUR), wrong);
        assert_eq!(today.by(known, start + 50 * HOUR), known);
    }

    #[test]
    fn days_pass_as_they_pass() {
        let (start, first) = (Instant::now(), date(2026, 11, 22));
        let mut today = Today::new(Some(first), first, start);
        for day in 0..800 {
            let is = plus(first, day);
            assert_eq!(today.by(is, start + DAY * u32::try_from(day).unwrap()), is);
        }
        let mut seldom = Today::new(None, first, start);
        assert_eq!(seldom.by(plus(first, 90), start + DAY * 90), plus(first, 90));
    }

    #[test]
    fn a_few_days_that_stand_by_themselves_after_the_others_are_not_known() {
        let (wrong, day, before) = (date(2030, 1, 1), date(2026, 11, 22), date(2026, 11, 3));
        let again = |count| -> Vec<Date> { (0..count).rev().map(|after| plus(wrong, after)).chain([day]).collect() };
        for (days, known) in [
            (&[][..], None),
            (&[day][..], Some(day)),
            (&[day, before][..], Some(day)),
            (&[wrong, day][..], Some(day)),
            (&[wrong, day, before][..], Some(day)),
            (&[date(2035, 1, 1), wrong, day, before][..], Some(day)),
            (&[date(2030, 1, 2), wrong, day][..], Some(day)),
            (&[date(2035, 1, 2), date(2035, 1, 1), date(2030, 1, 20), wrong, day, before][..], Some(day)),
            (&again(6)[..], Some(day)),
            (&again(7)[..], Some(date(2030, 1, 7))),
            (&[&[date(2035, 1, 1)][..], &again(7)].concat()[..], Some(date(2030, 1, 7))),
        ] {
            assert_eq!(last_known(days), known, "{days:?}");
        }
    }
}
