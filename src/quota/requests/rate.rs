//! Requests in a window: how many came within the last second or minute, at any moment and whoever looks when. (`Rate` of pingora-limits
//! starts its windows where it happens to be asked, so that no wait it tells is exact, and lets nearly twice a limit through at their edge.)

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Requests that came within this part of a window of each other may be counted as if all had come with the last of them: so much a limit
/// can be too strict where requests are many, and never where they are further apart.
const PARTS: u32 = 64;

/// One tenant's counter for one window length.
pub struct Window {
    length: Duration,
    /// The oldest first; with `counted` as their sum.
    groups: VecDeque<Group>,
    counted: u32,
}

struct Group {
    first: Instant,
    last: Instant,
    requests: u32,
}

impl Window {
    /// Counts over `length`.
    pub fn new(length: Duration) -> Window {
        Window { length, groups: VecDeque::new(), counted: 0 }
    }

    /// Counts requests.
    pub fn count(&mut self, requests: u32, now: Instant) {
        if requests == 0 {
            return;
        }
        // Of the sum and its parts alike, so that the one stays what the others come to.
        let requests = requests.min(u32::MAX - self.counted);
        self.counted += requests;
        match self.groups.back_mut() {
            Some(group) if now.saturating_duration_since(group.first) < self.length / PARTS => {
                group.last = group.last.max(now);
                group.requests += requests;
            }
            _ => self.groups.push_back(Group { first: now, last: now, requests }),
        }
    }

    /// Requests within the window's length before `now`.
    pub fn used(&mut self, now: Instant) -> u32 {
        while let Some(group) = self.groups.pop_front_if(|group| now.saturating_duration_since(group.last) >= self.length) {
            self.counted -= group.requests;
        }
        self.counted
    }

    /// The wait until one more request fits under `limit`, if none come meanwhile; zero if it fits now.
    pub fn wait(&mut self, limit: u32, now: Instant) -> Duration {
        let too_many = (u64::from(self.used(now)) + 1).saturating_sub(limit.into());
        if too_many == 0 {
            return Duration::ZERO;
        }
        let mut gone = 0;
        let enough = self.groups.iter().find(|group| {
            gone += u64::from(group.requests);
            gone >= too_many
        });
        enough.map_or(self.length, |group| self.left(group, now))
    }

    /// How long a request counts.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// The time until nothing that is counted now counts any more.
    pub fn reset(&self, now: Instant) -> Duration {
        self.groups.back().map_or(Duration::ZERO, |group| self.left(group, now))
    }

    /// Until a group counts no more.
    fn left(&self, group: &Group, now: Instant) -> Duration {
        self.length.saturating_sub(now.saturating_duration_since(group.last))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LENGTH: Duration = Duration::from_millis(1000);

    /// Asks at each moment, in ms after the one before; the moments of what was let in.
    fn let_in(limit: u32, gaps: &[u64]) -> (Window, Vec<Instant>, Instant) {
        let (mut window, mut now) = (Window::new(LENGTH), Instant::now());
        let mut moments = Vec::new();
        for gap in gaps {
            now += Duration::from_millis(*gap);
            if window.used(now) < limit {
                window.count(1, now);
                moments.push(now);
            }
        }
        (window, moments, now)
    }

    /// Requests of a window that ends at `now`.
    fn within(moments: &[Instant], now: Instant, length: Duration) -> usize {
        moments.iter().filter(|moment| **moment <= now && now - **moment < length).count()
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_the_limit_and_none_is_a_part_too_strict(
            limit in 1u32..40, gaps in prop::collection::vec(prop_oneof![0u64..4, 0u64..60, 0u64..2_000], 0..400),
        ) {
            let (mut window, moments, now) = let_in(limit, &gaps);
            for moment in &moments {
                prop_assert!(within(&moments, *moment, LENGTH) <= limit as usize);
            }
            let (used, known) = (window.used(now) as usize, within(&moments, now, LENGTH));
            prop_assert!(used >= known && used <= within(&moments, now, LENGTH + LENGTH / PARTS));
            prop_assert!(window.groups.len() <= PARTS as usize + 2);
            prop_assert_eq!(window.counted, window.groups.iter().map(|group| group.requests).sum::<u32>());
        }

        #[test]
        fn one_request_fits_after_the_wait_and_not_before_however_often_it_is_asked(
            limit in 1u32..40, gaps in prop::collection::vec(prop_oneof![0u64..4, 0u64..60, 0u64..1_000], 0..200), looks in 0u32..5,
        ) {
            let (mut window, _, now) = let_in(limit, &gaps);
            let wait = window.wait(limit, now);
            prop_assert_eq!(wait.is_zero(), window.used(now) < limit);
            for look in 0..looks {
                let sooner = now + wait * look / looks;
                prop_assert!(wait.is_zero() || window.used(sooner) >= limit);
                prop_assert_eq!(window.wait(limit, sooner), wait.saturating_sub(sooner - now));
            }
            prop_assert!(window.used(now + wait) < limit && wait <= LENGTH);
            let reset = window.reset(now);
            prop_assert!(reset <= LENGTH && window.used(now + reset) == 0);
        }
    }

    #[test]
    fn a_burst_at_the_end_of_a_window_leaves_no_room_in_the_next() {
        // One, and nineteen nine tenths of a second later, then steadily: at no time more than twenty within a second.
        let gaps: Vec<u64> = [&[0, 900][..], &[0; 18], &[10; 200]].concat();
        let (_, moments, _) = let_in(20, &gaps);
        assert!(moments.iter().all(|moment| within(&moments, *moment, LENGTH) <= 20));
        // In the first second, as many again in the second and third, and what came as their turn.
        assert_eq!(moments.len(), 20 + 1 + 19 + 1);
    }

    #[test]
    fn absurd_numbers_are_counted_as_the_largest_there_is() {
        let (mut window, now) = (Window::new(LENGTH), Instant::now());
        window.count(u32::MAX, now);
        window.count(7, now);
        assert_eq!((window.used(now), window.wait(u32::MAX, now), window.wait(0, now)), (u32::MAX, LENGTH, LENGTH));
        assert_eq!(window.used(now + LENGTH), 0);
    }
}
