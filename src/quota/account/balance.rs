//! One limit of an account held against what was used of it: whether a request fits, and what is left, in the form that each reader takes
//! (a denial, a standing, a balance).

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp, tz::Offset};

use super::{
    QuotaDenial,
    ask::Now,
    book::Reading,
    denial::{CapDenial, Occupied, QuotaKind},
    quotas::Limit,
};
use crate::quota::{Measure, Span, Standing};

/// One limit and what is left of it. Amounts are tokens or nano-dollars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The quota's label.
    pub quota: Arc<str>,
    /// What it counts.
    pub measure: Measure,
    /// For how long.
    pub span: Span,
    /// It refuses nothing.
    pub shadow: bool,
    /// The limit.
    pub amount: u64,
    /// Used by requests that have ended; of a bucket, what is not refilled yet.
    pub settled: u64,
    /// Held by requests that run.
    pub reserved: u64,
    /// What a request may ask for.
    pub remaining: u64,
    /// When it is whole again, and how the tenant's clock stands then.
    pub resets: (Timestamp, Offset),
    /// How long until then.
    pub reset_after: Duration,
    /// When it would be used up at the pace of this window so far; nothing if the window ends before, and for buckets.
    pub exhausted: Option<Timestamp>,
}

/// Which limits a request meets, and the answer it would get.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Every limit that has the model, with its own verdict.
    pub limits: Vec<(Balance, Result<(), QuotaDenial>)>,
    /// The most `max_tokens`, if the request asks for more.
    pub cap: Option<CapDenial>,
    /// All together: what the gateway would say.
    pub answer: Result<(), QuotaDenial>,
}

impl Balance {
    pub(super) fn of(limit: &Limit, reading: &Reading<'_>, now: &Now) -> Balance {
        let reserved = reading.bucket.map_or(reading.reserved, |bucket| u128::from(bucket.reserved()));
        let settled = (reading.settled + reading.reserved).saturating_sub(reserved);
        let reset_after = reset_after(reading, now);
        let end = match reading.bucket {
            Some(_) => later(now.wall, reset_after),
            None => reading.edges.end,
        };
        Balance {
            quota: limit.quota.clone(),
            measure: limit.measure,
            span: limit.span,
            shadow: limit.shadow,
            amount: limit.amount,
            settled: narrow(settled),
            reserved: narrow(reserved),
            remaining: remaining(limit, reading),
            resets: (end, reading.edges.offset),
            reset_after,
            exhausted: if reading.bucket.is_some() { None } else { exhausted(limit, settled, reading, now) },
        }
    }
}

/// What is left of a limit.
pub(super) fn remaining(limit: &Limit, reading: &Reading<'_>) -> u64 {
    u64::try_from(u128::from(limit.amount).saturating_sub(reading.settled + reading.reserved)).unwrap_or(0)
}

/// For header fields, after the request itself has taken `asked`.
pub(super) fn standing(limit: &Limit, reading: &Reading<'_>, asked: u64, now: &Now) -> Standing {
    let left = remaining(limit, reading).saturating_sub(asked);
    let reset = match reading.bucket {
        Some(bucket) => bucket.wait(asked, 0),
        None => reset_after(reading, now),
    };
    Standing::of_account((limit.measure, limit.span), &limit.policy, limit.amount, left, reset)
}

/// How long to wait for running requests to end, which nobody knows: short, and no busy loop.
const SHORTLY: Duration = Duration::from_secs(1);

/// The verdict of one limit.
pub(super) fn judge(tenant: &Arc<str>, limit: &Limit, reading: &Reading<'_>, asked: u64, now: &Now) -> Result<(), QuotaDenial> {
    let never = asked > limit.amount;
    refuse(tenant, limit, reading, asked, if never { QuotaKind::Never } else { passing(limit, reading, 0, asked) }, now)
}

/// The same of a request that holds `own` already and asks for more: what it began with did fit.
pub(super) fn judge_more(
    tenant: &Arc<str>,
    limit: &Limit,
    reading: &Reading<'_>,
    (own, asked): (u64, u64),
    now: &Now,
) -> Result<(), QuotaDenial> {
    refuse(tenant, limit, reading, asked, passing(limit, reading, own, asked), now)
}

/// How a limit says no to what may fit at another time: of a window temporarily, if it would fit but for what others hold.
fn passing(limit: &Limit, reading: &Reading<'_>, own: u64, asked: u64) -> QuotaKind {
    let alone = reading.settled + u128::from(own) + u128::from(asked);
    let fits_alone = reading.bucket.is_some() || alone <= u128::from(limit.amount);
    if fits_alone { QuotaKind::Temporary } else { QuotaKind::Spent }
}

fn refuse(
    tenant: &Arc<str>,
    limit: &Limit,
    reading: &Reading<'_>,
    asked: u64,
    kind: QuotaKind,
    now: &Now,
) -> Result<(), QuotaDenial> {
    let used = reading.settled + reading.reserved;
    // What takes nothing of a limit is not in its way, though it may be overdrawn.
    if asked == 0 || used + u128::from(asked) <= u128::from(limit.amount) {
        return Ok(());
    }
    let (retry_after, held) = match (kind, reading.bucket) {
        (QuotaKind::Temporary, Some(bucket)) => (Some(bucket.wait(asked, limit.amount)), None),
        (QuotaKind::Temporary, None) => {
            let held = Occupied { spent: narrow(reading.settled), reserved: narrow(reading.reserved) };
            (Some(SHORTLY), Some(Box::new(held)))
        }
        (QuotaKind::Spent | QuotaKind::Never, _) => (None, None),
    };
    Err(QuotaDenial {
        tenant: tenant.clone(),
        quota: limit.quota.clone(),
        measure: limit.measure,
        span: limit.span,
        kind,
        amount: limit.amount,
        remaining: remaining(limit, reading),
        asked,
        resets: (kind == QuotaKind::Spent).then(|| Box::new((reading.edges.end, reading.edges.offset))),
        retry_after,
        held,
        standing: Box::new(standing(limit, reading, 0, now)),
    })
}

/// Of two refusals the graver, of temporary ones that with the longer wait, before which it says no again, and of equals the first.
pub(super) fn graver(first: Option<QuotaDenial>, second: QuotaDenial) -> QuotaDenial {
    let weight = |denial: &QuotaDenial| (denial.kind, denial.retry_after);
    match first {
        Some(first) if weight(&first) >= weight(&second) => first,
        _ => second,
    }
}

fn narrow(amount: u128) -> u64 {
    u64::try_from(amount).unwrap_or(u64::MAX)
}

fn reset_after(reading: &Reading<'_>, now: &Now) -> Duration {
    match reading.bucket {
        Some(bucket) => bucket.wait(0, 0),
        None => Duration::try_from(reading.edges.end.duration_since(now.wall)).unwrap_or_default(),
    }
}

fn later(wall: Timestamp, after: Duration) -> Timestamp {
    SignedDuration::try_from(after).ok().and_then(|after| wall.checked_add(after).ok()).unwrap_or(Timestamp::MAX)
}

/// The line from nothing at the window's start through what is settled now.
fn exhausted(limit: &Limit, settled: u128, reading: &Reading<'_>, now: &Now) -> Option<Timestamp> {
    let elapsed = u128::try_from(now.wall.duration_since(reading.edges.start).as_nanos()).ok()?;
    let full = elapsed.checked_mul(limit.amount.into())?.checked_div(settled)?;
    let at = later(reading.edges.start, Duration::from_nanos(u64::try_from(full).ok()?));
    (at < reading.edges.end).then_some(at)
}
