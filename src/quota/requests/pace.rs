//! What comes in a second, over all of a tenant's streams: seconds begin with the first that comes in them.

use std::time::{Duration, Instant};

/// One second's count.
#[derive(Debug, Default)]
pub struct Pace {
    second: Option<Instant>,
    taken: u64,
}

impl Pace {
    /// Takes some; whether all that was taken in this second is within `max`.
    pub fn take(&mut self, amount: u64, max: u64, now: Instant) -> bool {
        let same = self.second.is_some_and(|began| now.saturating_duration_since(began) < Duration::from_secs(1));
        if !same {
            (self.second, self.taken) = (Some(now), 0);
        }
        self.taken = self.taken.saturating_add(amount);
        self.taken <= max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_own() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        for second in 0..3 {
            let now = start + Duration::from_millis(second * 1_500);
            assert!(pace.take(2, 5, now) && pace.take(3, 5, now + Duration::from_millis(999)));
            assert!(!pace.take(1, 5, now + Duration::from_millis(999)));
        }
    }
}
