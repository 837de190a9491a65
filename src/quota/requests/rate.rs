//! Requests in a window: the count of the current window plus the share of the previous one that still lies within a window's length of
//! now, which is how Cloudflare counts (<https://blog.cloudflare.com/counting-things-a-lot-of-different-things/>).

use std::time::Duration;

use pingora_limits::rate::{Rate, RateComponents};

/// One tenant's counter for one window length. It has one key, so the estimator under it is exact.
pub struct Window {
    rate: Rate,
}

/// A window at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    previous: f64,
    current: f64,
    /// How much of the current window has passed, 0 to 1.
    elapsed: f64,
    length: Duration,
}

impl Window {
    /// Counts over `length`.
    pub fn new(length: Duration) -> Window {
        Window { rate: Rate::new_with_estimator_config(length, 1, 1) }
    }

    /// Counts requests.
    pub fn count(&self, requests: u32) {
        self.rate.observe(&(), isize::try_from(requests).unwrap_or(isize::MAX));
    }

    /// What was counted so far.
    pub fn read(&self) -> Reading {
        self.rate.rate_with(&(), |c: RateComponents| Reading {
            previous: c.prev_samples as f64,
            current: c.curr_samples as f64,
            elapsed: c.current_interval_fraction.clamp(0.0, 1.0),
            length: c.interval,
        })
    }
}

impl Reading {
    /// Requests within the last window's length, rounded up so that a limit is never overshot.
    pub fn used(&self) -> u32 {
        (self.previous * (1.0 - self.elapsed) + self.current).ceil().max(0.0) as u32
    }

    /// The wait until one more request fits under `limit`; zero if it fits now.
    pub fn wait(&self, limit: u32) -> Duration {
        if self.used() < limit {
            return Duration::ZERO;
        }
        let room = f64::from(limit) - 1.0;
        // Within this window the previous one's share shrinks; in the next one, this window's count is what shrinks.
        let fraction = if self.current <= room && self.previous > 0.0 {
            1.0 - (room - self.current) / self.previous - self.elapsed
        } else {
            1.0 - self.elapsed + (1.0 - room / self.current.max(1.0)).max(0.0)
        };
        self.length.mul_f64(fraction.max(0.0)) + Duration::from_millis(1)
    }

    /// The time until nothing that is counted now counts any more.
    pub fn reset(&self) -> Duration {
        let windows = if self.current > 0.0 { 2.0 } else { 1.0 };
        self.length.mul_f64((windows - self.elapsed).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same window, `wait` later, with nothing more counted.
    fn later(reading: Reading, wait: Duration) -> Reading {
        let passed = reading.elapsed + wait.as_secs_f64() / reading.length.as_secs_f64();
        match passed {
            p if p < 1.0 => Reading { elapsed: p, ..reading },
            p if p < 2.0 => Reading { previous: reading.current, current: 0.0, elapsed: p - 1.0, ..reading },
            _ => Reading { previous: 0.0, current: 0.0, elapsed: 0.0, ..reading },
        }
    }

    proptest! {
        #[test]
        fn after_the_wait_one_request_fits(previous in 0u32..200, current in 0u32..200, elapsed in 0.0f64..1.0, limit in 1u32..150) {
            let reading = Reading {
                previous: previous.into(), current: current.into(), elapsed, length: Duration::from_secs(60),
            };
            let wait = reading.wait(limit);
            prop_assert!(wait <= Duration::from_secs(121));
            prop_assert!(later(reading, wait).used() < limit, "{reading:?} {wait:?}");
        }
    }
}
