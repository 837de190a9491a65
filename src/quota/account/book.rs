//! The account's state, and every change of it: plain data without a lock, a clock or an effect, so that tests can hold it against an
//! oracle. What was settled and what is held is the truth; tallies and buckets follow from it, and are there to be quick.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::civil::Date;
use uuid::Uuid;

use super::{
    ask::{Amounts, Ask, Now},
    bucket::Bucket,
    calendar::{Edges, window},
    counters::{Counter, Counters, Place, Truth},
    hold::{Expired, Hold, OpenHold},
    quotas::{Limit, Quotas},
    scope::{ScopeSet, Scopes},
    sums::{Spent, Sums},
};
use crate::quota::Span;

/// One tenant's state.
#[derive(Default)]
pub struct Book {
    next_id: u64,
    holds: BTreeMap<u64, Hold>,
    sums: Sums,
    scopes: Scopes,
    counters: Counters,
    tolls: Tolls,
}

/// What should not happen often, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tolls {
    /// Requests that used more than they held.
    pub overdrawn: u64,
    /// Holds that expired.
    pub expired: u64,
    /// Requests that ended after that.
    pub late: u64,
}

/// What settling found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The request used more than it held.
    pub overdrawn: bool,
    /// Its hold had expired; it was charged all the same.
    pub late: bool,
}

/// A limit's counter at one moment.
pub(super) struct Reading<'a> {
    pub(super) settled: u128,
    pub(super) reserved: u128,
    /// Of the calendar window.
    pub(super) edges: Edges,
    pub(super) bucket: Option<&'a Bucket>,
}

/// A request's way into the book.
pub(super) struct Entry {
    pub(super) id: u64,
    /// As it was when this entry last met the book, which alone knows what is held now.
    pub(super) hold: Hold,
}

impl Book {
    /// Shows every limit that has the model, in their order, or every limit there is. Changes nothing that is counted.
    pub(super) fn read(&mut self, quotas: &Quotas, model: Option<&str>, now: &Now, visit: impl FnMut(&Limit, Reading<'_>)) {
        self.read_on(quotas, model, None, now, visit);
    }

    /// As `read`, but of the windows that a request of that `day` is counted in.
    pub(super) fn read_on(
        &mut self,
        quotas: &Quotas,
        model: Option<&str>,
        day: Option<Date>,
        now: &Now,
        mut visit: impl FnMut(&Limit, Reading<'_>),
    ) {
        let at = self.bind(quotas, now);
        let met = model.map_or(ScopeSet::MAX, |model| self.scopes.of(model).1);
        let Some((today, count)) = self.counters.binding(at).map(|(today, counters)| (today, counters.len())) else { return };
        for (index, limit) in quotas.limits.iter().enumerate().take(count) {
            let counter = self.counters.binding(at).and_then(|(_, counters)| *counters.get(index)?);
            let Some(Counter { bit, place }) = counter else { continue };
            if met & (1 << bit) == 0 {
                continue;
            }
            let edges = today.edges(limit.span);
            match place {
                Place::Tally(place) => {
                    let first = window(limit.span, day.unwrap_or(today.date));
                    if let Some((settled, reserved)) = self.turn(place, first) {
                        visit(limit, Reading { settled, reserved, edges, bucket: None });
                    }
                }
                Place::Bucket(place) => {
                    let Some(bucket) = self.counters.bucket(place) else { continue };
                    bucket.refill(now.monotonic);
                    let (used, reserved) = (u128::from(bucket.used()), 0);
                    visit(limit, Reading { settled: used, reserved, edges, bucket: Some(bucket) });
                }
            }
        }
    }

    /// Holds what a request asks for, in everything that counts it. Nobody else may have been in between since `read`.
    pub(super) fn hold(&mut self, quotas: &Quotas, ask: &Ask<'_>, now: &Now) -> Entry {
        let at = self.bind(quotas, now);
        let date = self.counters.binding(at).map_or(Date::ZERO, |(today, _)| today.date);
        let (model, met) = self.scopes.of(ask.model);
        let hold = Hold {
            request: ask.request,
            model,
            date,
            amounts: Amounts::asked(ask),
            burndown_factor: ask.burndown_factor,
            admitted: now.monotonic,
            deadline: now.monotonic.checked_add(quotas.hold_max).unwrap_or(now.monotonic),
        };
        let id = self.insert(hold.clone(), met);
        Entry { id, hold }
    }

    fn insert(&mut self, hold: Hold, met: ScopeSet) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        for tally in self.counters.tallies_of(met, hold.date) {
            tally.reserved += u128::from(hold.amounts.get(tally.measure));
        }
        for slot in self.counters.slots_of(met) {
            slot.bucket.refill(hold.admitted);
            slot.bucket.hold(id, hold.amounts.get(slot.measure));
        }
        self.holds.insert(id, hold);
        id
    }

    /// Lets a request hold more than it does here, on the day of its admission: it may have grown by another entry. Nobody else may have been in
    /// between since `read_on`. What has expired holds nothing any more; its end charges it all the same.
    pub(super) fn grow(&mut self, entry: &mut Entry, more: &Amounts) {
        let Entry { id, hold } = entry;
        let open = self.holds.get_mut(id);
        hold.amounts = open.as_ref().map_or(hold.amounts, |open| open.amounts).and(more);
        let Some(open) = open else { return };
        open.amounts = hold.amounts;
        let met = self.scopes.of(&hold.model).1;
        for tally in self.counters.tallies_of(met, hold.date) {
            tally.reserved += u128::from(more.get(tally.measure));
        }
        for slot in self.counters.slots_of(met) {
            slot.bucket.grow(*id, more.get(slot.measure));
        }
    }

    /// What a request holds; nothing if it has expired.
    pub(super) fn held_by(&self, id: u64) -> Amounts {
        self.holds.get(&id).map(|hold| hold.amounts).unwrap_or_default()
    }

    /// Charges what a request used, on the day of its admission, and gives back the rest of what it held.
    pub(super) fn settle(&mut self, entry: &Entry, spent: &Spent, now: &Now) -> Settled {
        let Entry { id, hold } = entry;
        let open = self.holds.remove(id);
        let (late, hold) = (open.is_none(), open.as_ref().unwrap_or(hold));
        let used = Amounts::used(&spent.usage, spent.cost, hold.burndown_factor);
        if late {
            // What it held has been given back long ago; to a bucket, its charge is one of now.
            self.counters.slots().for_each(|slot| slot.bucket.refill(now.monotonic));
        }
        self.end(*id, hold, !late, &used);
        self.sums.add(hold.date, &hold.model, spent);
        let overdrawn = used.exceed(&hold.amounts);
        self.tolls.overdrawn += u64::from(overdrawn);
        self.tolls.late += u64::from(late);
        Settled { overdrawn, late }
    }

    /// Gives back all of what a request held, unless it has expired.
    pub(super) fn release(&mut self, id: u64) {
        if let Some(hold) = self.holds.remove(&id) {
            self.end(id, &hold, true, &Amounts::default());
        }
    }

    fn end(&mut self, id: u64, hold: &Hold, was_open: bool, used: &Amounts) {
        let met = self.scopes.of(&hold.model).1;
        for tally in self.counters.tallies_of(met, hold.date) {
            let held = if was_open { hold.amounts.get(tally.measure) } else { 0 };
            tally.reserved = tally.reserved.saturating_sub(u128::from(held));
            tally.settled += u128::from(used.get(tally.measure));
        }
        for slot in self.counters.slots_of(met) {
            slot.bucket.settle(id, used.get(slot.measure));
        }
    }

    /// Gives back what has been held for too long.
    pub(super) fn expire(&mut self, tenant: &Arc<str>, now: &Now) -> Vec<Expired> {
        let over: Vec<u64> = self.holds.iter().filter(|(_, hold)| hold.deadline <= now.monotonic).map(|(id, _)| *id).collect();
        let mut expired = Vec::with_capacity(over.len());
        for id in over {
            let Some(hold) = self.holds.remove(&id) else { continue };
            self.end(id, &hold, true, &Amounts::default());
            let Hold { request, model, date, amounts, .. } = hold;
            expired.push(Expired { tenant: tenant.clone(), request, model, date, amounts });
        }
        self.tolls.expired += expired.len() as u64;
        expired
    }

    /// Adds what a former process settled. Running sums are found anew.
    pub(super) fn restore(&mut self, date: Date, model: &str, spent: &Spent) {
        let (model, _) = self.scopes.of(model);
        self.sums.add(date, &model, spent);
        self.counters.tallies().for_each(|tally| tally.first = None);
    }

    /// Adds what another process held. `admitted`: since when it counts in minutes.
    pub(super) fn restore_hold(&mut self, open: &OpenHold, admitted: Instant, hold_max: Duration, now: &Now) {
        // A wall clock that is wrong by decades must not hold anything for as long.
        let left = Duration::try_from(open.expires.duration_since(now.wall)).unwrap_or_default().min(hold_max);
        let (model, met) = self.scopes.of(&open.model);
        let hold = Hold {
            request: open.request,
            model,
            date: open.date,
            amounts: open.amounts,
            burndown_factor: open.burndown_factor,
            admitted,
            deadline: now.monotonic.checked_add(left).unwrap_or(now.monotonic),
        };
        self.insert(hold, met);
    }

    /// The way to what a request holds, by its id: for those few whose own is in another process.
    pub(super) fn entry_of(&self, request: Uuid) -> Option<Entry> {
        let (id, hold) = self.holds.iter().find(|(_, hold)| hold.request == request)?;
        Some(Entry { id: *id, hold: hold.clone() })
    }

    /// Nobody will end a request: what it holds is given back at `deadline`, if not before. False if it has been.
    pub(super) fn orphan(&mut self, request: Uuid, deadline: Instant) -> bool {
        let mut found = false;
        for hold in self.holds.values_mut().filter(|hold| hold.request == request) {
            hold.deadline = hold.deadline.min(deadline);
            found = true;
        }
        found
    }

    /// Charges the minutes of the limit of that name, as of now.
    pub(super) fn charge_minute(&mut self, quotas: &Quotas, policy: &str, used: u64, now: &Now) {
        let at = self.bind(quotas, now);
        let of_name = |limit: &Limit| limit.span == Span::Minute && *limit.policy == *policy;
        let counter = quotas.limits.iter().position(of_name).and_then(|index| *self.counters.binding(at)?.1.get(index)?);
        let (Some(Counter { place: Place::Bucket(place), .. }), id) = (counter, self.next_id) else { return };
        if let Some(bucket) = self.counters.bucket(place) {
            bucket.refill(now.monotonic);
            bucket.settle(id, used);
        }
    }

    /// Lets the minutes know what was used a moment ago; days and months have it from [`Book::restore`].
    pub(super) fn replay(&mut self, quotas: &Quotas, model: &str, used: &Amounts, at: &Now) {
        self.bind(quotas, at);
        let (_, met) = self.scopes.of(model);
        // Nobody holds it, so it is charged as of now.
        let id = self.next_id;
        for slot in self.counters.slots_of(met) {
            slot.bucket.refill(at.monotonic);
            slot.bucket.settle(id, used.get(slot.measure));
        }
    }

    pub(super) fn sums(&self) -> impl Iterator<Item = (Date, &Arc<str>, &Spent)> {
        self.sums.iter()
    }

    pub(super) fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.holds.values()
    }

    pub(super) fn tolls(&self) -> Tolls {
        self.tolls
    }

    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.counters.len()
    }

    #[cfg(test)]
    pub(super) fn models(&self) -> usize {
        self.scopes.models()
    }

    fn bind(&mut self, quotas: &Quotas, now: &Now) -> usize {
        self.counters.bind(quotas, &mut Truth { scopes: &mut self.scopes, holds: &self.holds }, now)
    }

    /// The running sums of a window, found anew if the tally stands on another.
    fn turn(&mut self, place: usize, first: Date) -> Option<(u128, u128)> {
        let tally = self.counters.tally(place)?;
        if tally.first != Some(first) {
            let (bit, measure, span) = (tally.bit, tally.measure, tally.span);
            let has = |model: &str| self.scopes.has(bit, model);
            tally.first = Some(first);
            tally.settled = self.sums.total(measure, span, first, has);
            let held = self.holds.values().filter(|hold| window(span, hold.date) == first && has(&hold.model));
            tally.reserved = held.map(|hold| u128::from(hold.amounts.get(measure))).sum();
        }
        Some((tally.settled, tally.reserved))
    }
}
