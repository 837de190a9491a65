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
        self.open.push_back(Open { id, held, after: Change::NONE });
        self.used = self.used.saturating_add(held);
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
        self.used = self.open.iter().fold(self.base, |used, open| open.after.of(used.saturating_add(open.held)));
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
