//! A refilling bucket: full at rest, emptied by charges, whole again after a minute. Exact in integers, also when a charge is corrected
//! later: the outcome is as if the right amount had been taken at the time of admission.
//!
//! What happens to the level between two open charges is a function `used ↦ max(used + shift, floor)`: refilling and settled charges
//! are of that form, and so is one after the other. So the bucket keeps one such function for each open charge, and nothing else.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Parts of a token: with as many nanoseconds in a minute, each nanosecond refills a whole number of parts.
const PARTS: i128 = 60_000_000_000;

/// One bucket. Amounts are whole tokens outside, parts of them inside.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// Tokens a minute, and at most at once.
    amount: u64,
    /// Until when it has been refilled.
    at: Instant,
    /// Before the first open charge.
    base: i128,
    /// In the order of admission.
    open: VecDeque<Open>,
    /// After the last one, at `at`: what the rest adds up to.
    used: i128,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    id: u64,
    held: i128,
    /// The level that it found.
    before: i128,
    /// What happened after it and before the next.
    after: Change,
}

#[derive(Clone, Copy, Debug)]
struct Change {
    shift: i128,
    floor: i128,
}

impl Change {
    const NONE: Change = Change { shift: 0, floor: 0 };

    fn charge(parts: i128) -> Change {
        Change { shift: parts, floor: 0 }
    }

    fn refill(parts: i128) -> Change {
        Change { shift: -parts, floor: 0 }
    }

    fn of(self, used: i128) -> i128 {
        used.saturating_add(self.shift).max(self.floor)
    }

    fn then(self, next: Change) -> Change {
        Change { shift: self.shift.saturating_add(next.shift), floor: next.of(self.floor) }
    }
}

impl Bucket {
    pub(super) fn new(amount: u64, now: Instant) -> Bucket {
        Bucket { amount, at: now, base: 0, open: VecDeque::new(), used: 0 }
    }

    /// From now on. What is used stays used.
    pub(super) fn resize(&mut self, amount: u64, now: Instant) {
        self.refill(now);
        self.amount = amount;
    }

    /// Lets the time pass; a clock never goes back, but those who read it may come in another order.
    pub(super) fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        if passed.is_zero() {
            return;
        }
        self.at = now;
        let nanoseconds = i128::try_from(passed.as_nanos()).unwrap_or(i128::MAX);
        self.happen(Change::refill(nanoseconds.saturating_mul(self.amount.into())));
    }

    fn happen(&mut self, change: Change) {
        match self.open.back_mut() {
            Some(last) => last.after = last.after.then(change),
            None => self.base = change.of(self.base),
        }
        self.used = change.of(self.used);
    }

    /// Holds an amount. Ids grow.
    pub(super) fn hold(&mut self, id: u64, amount: u64) {
        let held = parts(amount);
        self.open.push_back(Open { id, held, before: self.used, after: Change::NONE });
        self.used = self.used.saturating_add(held);
    }

    /// `id` holds so much more, as if it had from its admission on. What is no longer open holds nothing.
    pub(super) fn grow(&mut self, id: u64, more: u64) {
        let Ok(index) = self.open.binary_search_by_key(&id, |open| open.id) else { return };
        let Some(open) = self.open.get_mut(index) else { return };
        open.held = open.held.saturating_add(parts(more));
        let next = open.after.of(open.before.saturating_add(open.held));
        self.level_from(index.saturating_add(1), next);
    }

    /// The right amount of what `id` holds, zero to give it back. Of what is no longer open, the amount is charged now.
    pub(super) fn settle(&mut self, id: u64, amount: u64) {
        let settled = Change::charge(parts(amount));
        let Ok(index) = self.open.binary_search_by_key(&id, |open| open.id) else { return self.happen(settled) };
        let Some(open) = self.open.remove(index) else { return };
        let happened = settled.then(open.after);
        match index.checked_sub(1).and_then(|before| self.open.get_mut(before)) {
            Some(before) => before.after = before.after.then(happened),
            None => self.base = happened.of(self.base),
        }
        self.level_from(index, happened.of(open.before));
    }

    /// Finds the levels anew, until one is as it was: where the bucket was full in between, nothing changes after that.
    fn level_from(&mut self, index: usize, mut used: i128) {
        for open in self.open.range_mut(index..) {
            if open.before == used {
                return;
            }
            open.before = used;
            used = open.after.of(used.saturating_add(open.held));
        }
        self.used = used;
    }

    /// Tokens that are not there, a started one included.
    pub(super) fn used(&self) -> u64 {
        u64::try_from(whole(self.used)).unwrap_or(u64::MAX)
    }

    /// The part of it that open requests hold, as far as it was not refilled.
    pub(super) fn reserved(&self) -> u64 {
        let held = self.open.iter().fold(0, |sum: i128, open| sum.saturating_add(open.held));
        u64::try_from(whole(held.min(self.used))).unwrap_or(u64::MAX)
    }

    /// Until `asked` more would fit under `amount`, if nothing else happens: to the nanosecond.
    pub(super) fn wait(&self, asked: u64, amount: u64) -> Duration {
        let excess = self.used.saturating_add(parts(asked)).saturating_sub(parts(amount)).max(0);
        let rate = i128::from(self.amount.max(1));
        let nanoseconds = excess / rate + i128::from(excess % rate != 0);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

fn parts(amount: u64) -> i128 {
    i128::from(amount) * PARTS
}

fn whole(parts: i128) -> i128 {
    parts / PARTS + i128::from(parts % PARTS != 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What happened, from the beginning; corrections are made in place.
    #[derive(Default)]
    struct History(Vec<(u64, Event)>);

    enum Event {
        Amount(u64),
        Charge(u64, u64),
    }

    impl History {
        /// In parts.
        fn used(&self, now: u64) -> i128 {
            let (mut used, mut amount, mut at) = (0i128, 0u64, 0u64);
            for (time, event) in self.0.iter().chain([&(now, Event::Charge(0, 0))]) {
                used = (used - i128::from(time - at) * i128::from(amount)).max(0);
                at = *time;
                match event {
                    Event::Amount(changed) => amount = *changed,
                    Event::Charge(_, charged) => used += i128::from(*charged) * PARTS,
                }
            }
            used
        }

        fn correct(&mut self, id: u64, to: u64) {
            self.change(id, |_| to);
        }

        fn grow(&mut self, id: u64, more: u64) {
            self.change(id, |charged| charged + more);
        }

        fn change(&mut self, id: u64, to: impl Fn(u64) -> u64) {
            for (_, event) in &mut self.0 {
                match event {
                    Event::Charge(other, charged) if *other == id => *charged = to(*charged),
                    _ => {}
                }
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Pass(u64),
        Hold(u64),
        Settle(prop::sample::Index, u64),
        Grow(prop::sample::Index, u64),
        Resize(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => prop_oneof![0..3u64, 0..40_000_000_000u64].prop_map(Step::Pass),
            3 => (0..400u64).prop_map(Step::Hold),
            3 => (any::<prop::sample::Index>(), 0..500u64).prop_map(|(which, amount)| Step::Settle(which, amount)),
            2 => (any::<prop::sample::Index>(), 0..300u64).prop_map(|(which, more)| Step::Grow(which, more)),
            1 => (1..1_000u64).prop_map(Step::Resize),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_correction_counts_as_if_it_had_been_charged_at_admission(first in 1..1_000u64, steps in prop::collection::vec(step(), 1..60)) {
            let start = Instant::now();
            let mut bucket = Bucket::new(first, start);
            let mut history = History(vec![(0, Event::Amount(first))]);
            let (mut now, mut open) = (0u64, Vec::new());
            for (id, step) in (0..).zip(steps) {
                match step {
                    Step::Pass(nanoseconds) => now += nanoseconds,
                    Step::Hold(amount) => {
                        bucket.refill(start + Duration::from_nanos(now));
                        bucket.hold(id, amount);
                        history.0.push((now, Event::Charge(id, amount)));
                        open.push(id);
                    }
                    Step::Settle(which, amount) if !open.is_empty() => {
                        let id = open.remove(which.index(open.len()));
                        bucket.settle(id, amount);
                        history.correct(id, amount);
                    }
                    Step::Grow(which, more) if !open.is_empty() => {
                        let id = open[which.index(open.len())];
                        bucket.grow(id, more);
                        history.grow(id, more);
                    }
                    Step::Settle(..) | Step::Grow(..) => {}
                    Step::Resize(amount) => {
                        bucket.resize(amount, start + Duration::from_nanos(now));
                        history.0.push((now, Event::Amount(amount)));
                    }
                }
                bucket.refill(start + Duration::from_nanos(now));
                prop_assert_eq!(bucket.used, history.used(now));
                prop_assert_eq!(bucket.open.len(), open.len());
            }
        }

        #[test]
        fn after_the_wait_it_fits_and_not_a_nanosecond_before(amount in 1..2_000u64, used in 1..4_000u64, asked in 0..2_000u64, passed in 0..50_000_000_000u64) {
            let asked = asked.min(amount);
            let start = Instant::now();
            let mut bucket = Bucket::new(amount, start);
            bucket.hold(0, used);
            let now = start + Duration::from_nanos(passed);
            bucket.refill(now);
            let fits = |bucket: &Bucket| bucket.used() + asked <= amount;
            let wait = bucket.wait(asked, amount);
            prop_assert_eq!(wait.is_zero(), fits(&bucket));
            if let Some(before) = wait.checked_sub(Duration::from_nanos(1)) {
                bucket.refill(now + before);
                prop_assert!(!fits(&bucket));
            }
            bucket.refill(now + wait);
            prop_assert!(fits(&bucket));
        }
    }

    #[test]
    fn the_largest_amounts_do_not_overflow() {
        let start = Instant::now();
        let mut bucket = Bucket::new(u64::MAX, start);
        for id in 0..100 {
            bucket.hold(id, u64::MAX);
            bucket.refill(start + Duration::from_secs(id * 1_000_000_000));
        }
        (0..100).for_each(|id| bucket.settle(id, u64::MAX));
        assert_eq!((bucket.used(), bucket.wait(u64::MAX, 0)), (0, Duration::from_secs(60)));
    }
}
