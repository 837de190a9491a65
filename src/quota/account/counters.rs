//! Where limits are counted: tallies of calendar windows and buckets of minutes, found by what they count, so that a reload finds them
//! again. All of it follows from what the book holds and has settled.

use std::collections::{BTreeMap, VecDeque};

use jiff::civil::Date;

use super::{
    ask::Now,
    bucket::Bucket,
    calendar::Today,
    hold::Hold,
    quotas::{Limit, Quotas},
    scope::{ScopeSet, Scopes},
    tally::Tally,
};
use crate::quota::{Measure, Span};

/// The configuration before a reload, of which requests may still come, and the one after.
const BINDINGS_MAX: usize = 2;

/// All counters of one tenant, and which limits of a configuration are counted where.
#[derive(Default)]
pub(super) struct Counters {
    tallies: Vec<Option<Tally>>,
    buckets: Vec<Option<Slot>>,
    bindings: VecDeque<Binding>,
}

/// What a counter that is new begins from.
pub(super) struct Truth<'a> {
    pub(super) scopes: &'a mut Scopes,
    pub(super) holds: &'a BTreeMap<u64, Hold>,
}

/// A bucket, by what it counts: the `nth` limit in the file with this scope and measure.
pub(super) struct Slot {
    bit: u32,
    pub(super) measure: Measure,
    nth: usize,
    pub(super) bucket: Bucket,
}

/// Where the limits of one compiled configuration are counted.
struct Binding {
    quotas: u64,
    counters: Vec<Option<Counter>>,
    today: Today,
}

#[derive(Clone, Copy)]
pub(super) struct Counter {
    pub(super) bit: u32,
    pub(super) place: Place,
}

#[derive(Clone, Copy)]
pub(super) enum Place {
    Tally(usize),
    Bucket(usize),
}

impl Counters {
    /// The day of a binding, and where each limit of its configuration is counted, in their order.
    pub(super) fn binding(&self, at: usize) -> Option<(Today, &[Option<Counter>])> {
        self.bindings.get(at).map(|binding| (binding.today, &*binding.counters))
    }

    pub(super) fn tally(&mut self, place: usize) -> Option<&mut Tally> {
        self.tallies.get_mut(place)?.as_mut()
    }

    pub(super) fn bucket(&mut self, place: usize) -> Option<&mut Bucket> {
        self.buckets.get_mut(place)?.as_mut().map(|slot| &mut slot.bucket)
    }

    /// Every tally.
    pub(super) fn tallies(&mut self) -> impl Iterator<Item = &mut Tally> {
        self.tallies.iter_mut().flatten()
    }

    /// Tallies that count requests of these scopes, admitted on this day.
    pub(super) fn tallies_of(&mut self, met: ScopeSet, day: Date) -> impl Iterator<Item = &mut Tally> {
        self.tallies().filter(move |tally| met & (1 << tally.bit) != 0 && tally.is_of(day))
    }

    /// Every bucket.
    pub(super) fn slots(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.buckets.iter_mut().flatten()
    }

    /// Buckets that count requests of these scopes.
    pub(super) fn slots_of(&mut self, met: ScopeSet) -> impl Iterator<Item = &mut Slot> {
        self.slots().filter(move |slot| met & (1 << slot.bit) != 0)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.tallies.len() + self.buckets.len()
    }

    /// Ties the limits of a configuration to their counters, and sees to it that it is today.
    pub(super) fn bind(&mut self, quotas: &Quotas, truth: &mut Truth<'_>, now: &Now) -> usize {
        if let Some(at) = self.bindings.iter().position(|binding| binding.quotas == quotas.id) {
            if let Some(binding) = self.bindings.get_mut(at).filter(|binding| !binding.today.contains(now.wall)) {
                binding.today = Today::of(now.wall, &quotas.zone);
            }
            return at;
        }
        let newest = self.bindings.iter().all(|binding| binding.quotas < quotas.id);
        if self.bindings.len() >= BINDINGS_MAX {
            self.forget_oldest(truth);
        }
        let mut counters: Vec<Option<Counter>> = Vec::with_capacity(quotas.limits.len());
        for (index, limit) in quotas.limits.iter().enumerate() {
            let same =
                |other: &&Limit| other.span == Span::Minute && other.scope == limit.scope && other.measure == limit.measure;
            let nth = quotas.limits.iter().take(index).filter(same).count();
            counters.push(self.counter_of(limit, nth, newest, truth, now));
        }
        self.bindings.push_back(Binding { quotas: quotas.id, counters, today: Today::of(now.wall, &quotas.zone) });
        self.bindings.len() - 1
    }

    fn counter_of(&mut self, limit: &Limit, nth: usize, newest: bool, truth: &mut Truth<'_>, now: &Now) -> Option<Counter> {
        let bit = truth.scopes.bit_of(&limit.scope)?;
        let place = match limit.span {
            Span::Minute => self.bucket_of(bit, limit, nth, newest, truth, now),
            Span::Day | Span::Month => {
                let same = |tally: &Tally| tally.bit == bit && tally.measure == limit.measure && tally.span == limit.span;
                Place::Tally(place(&mut self.tallies, same, || Tally::new(bit, limit.measure, limit.span)))
            }
        };
        Some(Counter { bit, place })
    }

    /// A bucket that is new begins with what open requests hold; what was settled in the last minute, nobody knows.
    fn bucket_of(&mut self, bit: u32, limit: &Limit, nth: usize, newest: bool, truth: &Truth<'_>, now: &Now) -> Place {
        let measure = limit.measure;
        let (holds, scopes) = (truth.holds, &truth.scopes);
        let begin = || {
            let held = || holds.iter().filter(|(_, hold)| scopes.has(bit, &hold.model));
            let mut bucket = Bucket::new(limit.amount, held().map(|(_, hold)| hold.admitted).next().unwrap_or(now.monotonic));
            for (id, hold) in held() {
                bucket.refill(hold.admitted);
                bucket.hold(*id, hold.amounts.get(measure));
            }
            Slot { bit, measure, nth, bucket }
        };
        let same = |slot: &Slot| slot.bit == bit && slot.measure == measure && slot.nth == nth;
        let at = place(&mut self.buckets, same, begin);
        if let (true, Some(Some(slot))) = (newest, self.buckets.get_mut(at)) {
            slot.bucket.resize(limit.amount, now.monotonic);
        }
        Place::Bucket(at)
    }

    /// Drops the oldest configuration, and the counters that only it had.
    fn forget_oldest(&mut self, truth: &mut Truth<'_>) {
        let oldest = self.bindings.iter().enumerate().min_by_key(|(_, binding)| binding.quotas).map(|(at, _)| at);
        oldest.and_then(|at| self.bindings.remove(at));
        let counters: Vec<Counter> =
            self.bindings.iter().flat_map(|binding| binding.counters.iter().flatten().copied()).collect();
        let tally = |at| counters.iter().any(|counter| matches!(counter.place, Place::Tally(place) if place == at));
        let bucket = |at| counters.iter().any(|counter| matches!(counter.place, Place::Bucket(place) if place == at));
        self.tallies.iter_mut().enumerate().filter(|(at, _)| !tally(*at)).for_each(|(_, slot)| *slot = None);
        self.buckets.iter_mut().enumerate().filter(|(at, _)| !bucket(*at)).for_each(|(_, slot)| *slot = None);
        truth.scopes.keep(counters.iter().fold(0, |set, counter| set | (1 << counter.bit)));
    }
}

/// Where something stands among the slots; it is put into a free one if it is nowhere.
fn place<T>(slots: &mut Vec<Option<T>>, same: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> usize {
    if let Some(at) = slots.iter().position(|slot| slot.as_ref().is_some_and(&same)) {
        return at;
    }
    let free = slots.iter().position(Option::is_none).unwrap_or(slots.len());
    match slots.get_mut(free) {
        Some(slot) => *slot = Some(new()),
        None => slots.push(Some(new())),
    }
    free
}
