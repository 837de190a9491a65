//! The account as one would write it without a thought for speed: a list of everything that ever happened, and sums over it.

use std::time::{Duration, Instant};

use jiff::{Timestamp, civil::Date};

use super::super::{Amounts, Balance, QuotaKind, Quotas, Spent, calendar::window, quotas::Limit};
use crate::quota::{Measure, Span};

/// Nanoseconds in a minute: with the amount per minute as the rate, a whole number of parts refills in each.
const PARTS: i128 = 60_000_000_000;

#[derive(Clone, Debug)]
pub struct Request {
    pub model: String,
    pub date: Date,
    pub admitted: Instant,
    pub held: Amounts,
    pub state: State,
}

#[derive(Clone, Debug, PartialEq)]
pub enum State {
    Open,
    /// Released or expired.
    Gone,
    Settled(Amounts, Spent),
    /// Settled after it had expired.
    Late(Amounts, Spent),
}

impl Request {
    fn settled(&self) -> Option<(&Amounts, &Spent)> {
        match &self.state {
            State::Settled(amounts, spent) | State::Late(amounts, spent) => Some((amounts, spent)),
            _ => None,
        }
    }
}

/// What a limit would say.
#[derive(Debug, PartialEq)]
pub struct Verdict {
    pub kind: QuotaKind,
    /// Of it the longest wait is told.
    pub wait: Option<Duration>,
    pub quota: String,
    pub measure: Measure,
    pub span: Span,
    pub remaining: u64,
    pub asked: u64,
}

#[derive(Default)]
pub struct Oracle {
    pub requests: Vec<Request>,
    buckets: Vec<Bucket>,
    bound: Vec<u64>,
}

/// The life of a bucket: what it counts, which configurations have it, and what happened.
struct Bucket {
    key: (String, Measure, usize),
    bound: Vec<u64>,
    log: Vec<(Instant, Event)>,
}

#[derive(Clone, Copy)]
enum Event {
    Rate(u64),
    Request(usize),
    Late(usize),
}

impl Oracle {
    /// A reload; the configurations before the previous one are forgotten.
    pub fn bind(&mut self, quotas: &Quotas, now: Instant) {
        if self.bound.len() == 2 {
            let forgotten = self.bound.remove(0);
            self.buckets.iter_mut().for_each(|bucket| bucket.bound.retain(|id| *id != forgotten));
            self.buckets.retain(|bucket| !bucket.bound.is_empty());
        }
        self.bound.push(quotas.id);
        for (index, limit) in quotas.limits.iter().enumerate().filter(|(_, limit)| limit.span == Span::Minute) {
            let key = key(quotas, index);
            let known = self.buckets.iter().position(|bucket| bucket.key == key);
            let position = known.unwrap_or_else(|| {
                let open = |(index, request): (usize, &Request)| {
                    let counts = request.state == State::Open && limit.scope.matches(&request.model);
                    counts.then_some((request.admitted, Event::Request(index)))
                };
                let mut log: Vec<_> = self.requests.iter().enumerate().filter_map(open).collect();
                log.insert(0, (log.first().map_or(now, |first| first.0), Event::Rate(limit.amount)));
                self.buckets.push(Bucket { key, bound: Vec::new(), log });
                self.buckets.len() - 1
            });
            let bucket = &mut self.buckets[position];
            bucket.bound.push(quotas.id);
            bucket.log.push((now, Event::Rate(limit.amount)));
        }
    }

    /// Which limits say no.
    pub fn verdicts(&self, quotas: &Quotas, model: &str, asked: &Amounts, wall: Timestamp, now: Instant) -> Vec<(bool, Verdict)> {
        self.verdicts_on(quotas, (model, None, asked), wall.to_zoned(quotas.zone.clone()).date(), now)
    }

    /// In the windows of that day, and of a request that may hold something already: then no more is ever too much for ever.
    pub fn verdicts_on(
        &self,
        quotas: &Quotas,
        (model, own, asked): (&str, Option<&Amounts>, &Amounts),
        day: Date,
        now: Instant,
    ) -> Vec<(bool, Verdict)> {
        let met = quotas.limits.iter().enumerate().filter(|(_, limit)| limit.scope.matches(model));
        let refusal = |(index, limit): (usize, &Limit)| {
            let asked = asked.get(limit.measure);
            let (used, reserved) = self.used(quotas, index, day, now);
            let alone = used - reserved + own.map_or(0, |own| own.get(limit.measure));
            let (kind, wait) = match limit.span {
                _ if asked > limit.amount && own.is_none() => (QuotaKind::Never, None),
                Span::Minute => (QuotaKind::Temporary, Some(self.wait(quotas, index, asked, now))),
                Span::Day | Span::Month if alone + asked <= limit.amount => (QuotaKind::Temporary, Some(Duration::from_secs(1))),
                Span::Day | Span::Month => (QuotaKind::Spent, None),
            };
            let (measure, span, remaining) = (limit.measure, limit.span, limit.amount.saturating_sub(used));
            let refused = asked > 0 && used + asked > limit.amount;
            refused
                .then(|| (limit.shadow, Verdict { kind, wait, quota: limit.quota.to_string(), measure, span, remaining, asked }))
        };
        met.filter_map(refusal).collect()
    }

    pub fn check_balance(&self, balance: &Balance, quotas: &Quotas, index: usize, wall: Timestamp, now: Instant) {
        let today = wall.to_zoned(quotas.zone.clone()).date();
        let (used, reserved) = self.used(quotas, index, today, now);
        assert_eq!((balance.settled + balance.reserved, balance.reserved), (used, reserved), "{balance:?}");
        assert_eq!(balance.remaining, balance.amount.saturating_sub(used));
    }

    pub fn sums(&self) -> Vec<(Date, String, Spent)> {
        let mut sums: Vec<(Date, String, Spent)> = Vec::new();
        for request in &self.requests {
            let Some((_, spent)) = request.settled() else { continue };
            match sums.iter_mut().find(|(date, model, _)| *date == request.date && *model == request.model) {
                Some((_, _, sum)) => sum.add(spent),
                None => sums.push((request.date, request.model.clone(), *spent)),
            }
        }
        sums.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        sums
    }

    pub fn settle_late(&mut self, index: usize, amounts: Amounts, spent: Spent, now: Instant) {
        let model = self.requests[index].model.clone();
        self.requests[index].state = State::Late(amounts, spent);
        self.log(&model, now, Event::Late(index));
    }

    pub fn admit(&mut self, request: Request) -> usize {
        let (model, now) = (request.model.clone(), request.admitted);
        self.requests.push(request);
        let index = self.requests.len() - 1;
        self.log(&model, now, Event::Request(index));
        index
    }

    fn log(&mut self, model: &str, now: Instant, event: Event) {
        for bucket in &mut self.buckets {
            let globs: Vec<String> = bucket.key.0.split('|').map(str::to_owned).collect();
            if super::super::scope::Scope::new(&globs).matches(model) {
                bucket.log.push((now, event));
            }
        }
    }

    /// Used, and the open part of it.
    fn used(&self, quotas: &Quotas, index: usize, today: Date, now: Instant) -> (u64, u64) {
        let limit = &quotas.limits[index];
        if limit.span == Span::Minute {
            let (used, open) = self.drained(self.bucket(quotas, index), limit.measure, now);
            let whole = |parts: i128| u64::try_from((parts + PARTS - 1) / PARTS).unwrap();
            return (whole(used), whole(used.min(open)));
        }
        let of_window = |request: &&Request| {
            limit.scope.matches(&request.model) && window(limit.span, request.date) == window(limit.span, today)
        };
        let (mut settled, mut reserved) = (0, 0);
        for request in self.requests.iter().filter(of_window) {
            match (&request.state, request.settled()) {
                (State::Open, _) => reserved += request.held.get(limit.measure),
                (_, Some((amounts, _))) => settled += amounts.get(limit.measure),
                _ => {}
            }
        }
        (settled + reserved, reserved)
    }

    fn bucket(&self, quotas: &Quotas, index: usize) -> &Bucket {
        let key = key(quotas, index);
        self.buckets.iter().find(|bucket| bucket.key == key).unwrap()
    }

    /// Until so much has room, at the rate of now.
    fn wait(&self, quotas: &Quotas, index: usize, asked: u64, now: Instant) -> Duration {
        let (limit, bucket) = (&quotas.limits[index], self.bucket(quotas, index));
        let mut rates =
            bucket.log.iter().rev().filter_map(|(_, event)| if let Event::Rate(rate) = event { Some(*rate) } else { None });
        let (rate, used) = (i128::from(rates.next().unwrap()), self.drained(bucket, limit.measure, now).0);
        let excess = used + (i128::from(asked) - i128::from(limit.amount)) * PARTS;
        Duration::from_nanos(u64::try_from((excess.max(0) + rate - 1) / rate).unwrap())
    }

    /// Parts that are used, and those that open requests hold.
    fn drained(&self, bucket: &Bucket, measure: Measure, now: Instant) -> (i128, i128) {
        let (mut used, mut rate, mut open) = (0i128, 0u64, 0i128);
        let mut at = bucket.log[0].0;
        for (time, event) in bucket.log.iter().chain([&(now, Event::Rate(0))]) {
            let passed = i128::try_from(time.saturating_duration_since(at).as_nanos()).unwrap();
            used = (used - passed * i128::from(rate)).max(0);
            at = at.max(*time);
            let charged = match event {
                Event::Rate(amount) => {
                    rate = *amount;
                    0
                }
                Event::Late(index) => self.requests[*index].settled().unwrap().0.get(measure),
                Event::Request(index) => match &self.requests[*index].state {
                    State::Open => {
                        open += i128::from(self.requests[*index].held.get(measure)) * PARTS;
                        self.requests[*index].held.get(measure)
                    }
                    State::Settled(amounts, _) => amounts.get(measure),
                    State::Gone | State::Late(..) => 0,
                },
            };
            used += i128::from(charged) * PARTS;
        }
        (used, open)
    }
}

/// The one that is told: the gravest, of temporary ones that with the longest wait, of equals the first.
pub fn told<'a>(verdicts: impl Iterator<Item = &'a Verdict>) -> Option<&'a Verdict> {
    verdicts.fold(None, |told, verdict| match told {
        Some(told) if (told.kind, told.wait) >= (verdict.kind, verdict.wait) => Some(told),
        _ => Some(verdict),
    })
}

/// The scope, what is counted, and the how manieth limit of that kind it is.
fn key(quotas: &Quotas, index: usize) -> (String, Measure, usize) {
    let limit = &quotas.limits[index];
    let same = |other: &&Limit| (other.span, &other.scope, other.measure) == (limit.span, &limit.scope, limit.measure);
    (limit.scope.shown(), limit.measure, quotas.limits[..index].iter().filter(same).count())
}
