//! How fast something may come, over all of a tenant's streams: a second's worth at once, and then as fast as a second brings it. What
//! comes faster is not refused but has to wait.

use std::time::{Duration, Instant};

/// A second's worth may be taken ahead of its time.
const AHEAD: Duration = Duration::from_secs(1);

/// Longer than any stream lasts, and what the clock can still add.
const WAIT_MAX: Duration = Duration::from_secs(86_400);

/// What was taken, as time that it is worth.
#[derive(Debug, Default)]
pub struct Pace {
    /// When all of it will have had its time.
    due: Option<Instant>,
}

impl Pace {
    /// Takes some; how long it has to wait, so that in no stretch of time more goes on than a second's worth and what the stretch itself
    /// brings.
    pub fn take(&mut self, amount: u64, per_second: u64, now: Instant) -> Duration {
        let worth = Duration::try_from_secs_f64(amount as f64 / per_second as f64).unwrap_or(WAIT_MAX);
        let due = self.due.map_or(now, |due| due.max(now));
        let due = due.checked_add(worth).unwrap_or(due).min(now + WAIT_MAX);
        self.due = Some(due);
        due.saturating_duration_since(now).saturating_sub(AHEAD)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_seconds_worth_goes_at_once_and_the_rest_as_it_is_brought() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let waits: Vec<u128> = (0..8).map(|_| pace.take(1, 4, now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 250, 500, 750, 1_000]);
        // What has had its time is forgotten.
        let later = now + Duration::from_secs(10);
        assert_eq!(pace.take(4, 4, later), Duration::ZERO);
        assert_eq!(pace.take(u64::MAX, 1, later), WAIT_MAX - AHEAD);
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_has_more_than_its_share(
            taken in prop::collection::vec((0u64..50, 0u64..2_000), 1..60), per_second in 1u64..100,
        ) {
            let (mut pace, start, mut now) = (Pace::default(), Instant::now(), Duration::ZERO);
            let mut went = Vec::new();
            for (amount, pause_ms) in taken {
                now += Duration::from_millis(pause_ms);
                // Whoever has to wait takes nothing meanwhile.
                now += pace.take(amount, per_second, start + now);
                went.push((now, amount));
            }
            for (from, (began, _)) in went.iter().enumerate() {
                let mut sum = 0;
                for (at, amount) in &went[from + 1..] {
                    sum += amount;
                    let share = per_second as f64 * ((*at - *began).as_secs_f64() + 1.0);
                    prop_assert!(sum as f64 <= share + 0.01, "{sum} in {:?}", *at - *began);
                }
            }
        }
    }
}
