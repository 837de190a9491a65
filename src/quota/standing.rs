//! The words of limits: what one counts and for how long, and [`Standing`], what is left of one as everybody passes it on. It is worked out
//! by `requests` and `account`, and written into header fields in `proxy`.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::pricing::NanoUsd;

/// A limit, by what it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LimitKind {
    /// Requests in a second.
    RequestsPerSecond,
    /// Requests in a minute.
    RequestsPerMinute,
    /// Requests running at once.
    ConcurrentRequests,
    /// Tokens or money.
    Per(Measure, Span),
}

/// What is counted of a request. Amounts are whole: tokens, or nano-dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Measure {
    /// Input, cache reads and writes included, and output.
    Tokens,
    /// Input, cache reads and writes included.
    InputTokens,
    /// Output.
    OutputTokens,
    /// As Bedrock counts against its own quotas: input and cache writes, and output times the model's burndown factor.
    Burndown,
    /// Nano-dollars.
    Cost,
}

/// For how long it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Span {
    /// Refilled without pause, whole again after a minute.
    Minute,
    /// From midnight to midnight in the tenant's time zone.
    Day,
    /// A calendar month there.
    Month,
}

impl LimitKind {
    /// The name in `RateLimit-Policy`, metrics and configuration.
    pub fn name(self) -> &'static str {
        match self {
            LimitKind::RequestsPerSecond => "requests-per-second",
            LimitKind::RequestsPerMinute => "requests-per-minute",
            LimitKind::ConcurrentRequests => "concurrent-requests",
            LimitKind::Per(measure, span) => name(measure, span),
        }
    }

    /// The window, in seconds; concurrency has none, and a month has no fixed length.
    pub fn window_seconds(self) -> Option<u64> {
        match self {
            LimitKind::RequestsPerSecond => Some(1),
            LimitKind::RequestsPerMinute | LimitKind::Per(_, Span::Minute) => Some(60),
            LimitKind::Per(_, Span::Day) => Some(86_400),
            LimitKind::ConcurrentRequests | LimitKind::Per(_, Span::Month) => None,
        }
    }

    /// The `qu` of `RateLimit-Policy`, where it is not requests.
    pub fn unit(self) -> Option<&'static str> {
        match self {
            LimitKind::Per(Measure::Cost, _) => Some("micro-usd"),
            LimitKind::Per(..) => Some("tokens"),
            _ => None,
        }
    }
}

fn name(measure: Measure, span: Span) -> &'static str {
    match (measure, span) {
        (Measure::Tokens | Measure::Burndown, Span::Minute) => "tokens-per-minute",
        (Measure::Tokens | Measure::Burndown, Span::Day) => "tokens-per-day",
        (Measure::Tokens | Measure::Burndown, Span::Month) => "tokens-per-month",
        (Measure::InputTokens, Span::Minute) => "input-tokens-per-minute",
        (Measure::InputTokens, Span::Day) => "input-tokens-per-day",
        (Measure::InputTokens, Span::Month) => "input-tokens-per-month",
        (Measure::OutputTokens, Span::Minute) => "output-tokens-per-minute",
        (Measure::OutputTokens, Span::Day) => "output-tokens-per-day",
        (Measure::OutputTokens, Span::Month) => "output-tokens-per-month",
        (Measure::Cost, Span::Minute) => "usd-per-minute",
        (Measure::Cost, Span::Day) => "usd-per-day",
        (Measure::Cost, Span::Month) => "usd-per-month",
    }
}

impl Measure {
    /// An amount as people write it: `4200`, or `12.50` dollars.
    pub fn shown(self, amount: u64) -> impl fmt::Display {
        struct Shown(Measure, u64);
        impl fmt::Display for Shown {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    Measure::Cost => NanoUsd(i64::try_from(self.1).unwrap_or(i64::MAX)).fmt(f),
                    _ => self.1.fmt(f),
                }
            }
        }
        Shown(self, amount)
    }

    /// What the amounts are of: `tokens`.
    pub fn noun(self) -> &'static str {
        match self {
            Measure::Tokens => "tokens",
            Measure::InputTokens => "input tokens",
            Measure::OutputTokens => "output tokens",
            Measure::Burndown => "burndown tokens",
            Measure::Cost => "US dollars",
        }
    }
}

impl Span {
    /// `day`.
    pub fn noun(self) -> &'static str {
        match self {
            Span::Minute => "minute",
            Span::Day => "day",
            Span::Month => "month",
        }
    }
}

/// Where a tenant stands against one limit, for response headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Which limit.
    pub kind: LimitKind,
    /// The name among the tenant's limits, if the kind alone does not tell.
    pub policy: Option<Arc<str>>,
    /// The limit, in [`LimitKind::unit`]s.
    pub quota: u64,
    /// What is left of it.
    pub remaining: u64,
    /// When it is whole again.
    pub reset: Duration,
}

/// The largest integer a structured field holds (RFC 9651 §3.3.1).
const FIELD_MAX: u64 = 999_999_999_999_999;

impl Standing {
    pub(super) fn of_requests(kind: LimitKind, quota: u32, remaining: u32, reset: Duration) -> Standing {
        Standing { kind, policy: None, quota: quota.into(), remaining: remaining.into(), reset }
    }

    /// Money in whole millionths, rounded down: what the field shows is there.
    pub(super) fn of_account(
        (measure, span): (Measure, Span),
        policy: &Arc<str>,
        quota: u64,
        remaining: u64,
        reset: Duration,
    ) -> Standing {
        let shown = |amount: u64| if measure == Measure::Cost { amount / 1_000 } else { amount }.min(FIELD_MAX);
        let (quota, remaining) = (shown(quota), shown(remaining));
        Standing { kind: LimitKind::Per(measure, span), policy: Some(policy.clone()), quota, remaining, reset }
    }

    /// The name in `RateLimit` and `RateLimit-Policy`.
    pub fn name(&self) -> &str {
        self.policy.as_deref().unwrap_or(self.kind.name())
    }
}

/// What is said of limits themselves, whatever is left of them: written once for each set of limits that a tenant's requests meet.
#[derive(Debug)]
pub struct Policies<T>([OnceLock<(Vec<Standing>, T)>; POLICIES_KEPT]);

/// A tenant's requests meet as many sets of limits as its quotas divide the models into.
const POLICIES_KEPT: usize = 8;

impl<T> Default for Policies<T> {
    fn default() -> Self {
        Policies(Default::default())
    }
}

impl<T: Clone> Policies<T> {
    /// What was written of these limits; by `write`, if nothing was yet.
    ///
    /// # Errors
    /// Of `write`.
    pub fn of<E>(&self, standings: &[Standing], write: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let kept = || self.0.iter().map_while(OnceLock::get);
        if let Some((_, written)) = kept().find(|(of, _)| have_same_limits(of, standings)) {
            return Ok(written.clone());
        }
        let written = write()?;
        if let Some(free) = self.0.get(kept().count()) {
            // Another thread may have been quicker: then the next request writes again.
            let _ = free.set((standings.to_vec(), written.clone()));
        }
        Ok(written)
    }
}

fn have_same_limits(some: &[Standing], others: &[Standing]) -> bool {
    let same =
        |(one, other): (&Standing, &Standing)| one.kind == other.kind && one.quota == other.quota && one.policy == other.policy;
    some.len() == others.len() && some.iter().zip(others).all(same)
}

/// A wait as it is told: whoever came back a fraction of a millisecond too early would be refused again.
pub fn milliseconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_of_limits_is_written_once_for_each_set_of_them_and_never_shown_for_another() {
        let standing = |quota: u64, remaining: u64, name: &str| Standing {
            kind: LimitKind::Per(Measure::Tokens, Span::Day),
            policy: Some(name.into()),
            quota,
            remaining,
            reset: Duration::from_secs(remaining),
        };
        let (policies, mut written) = (Policies::default(), 0);
        for remaining in 0..3 {
            for set in 1..=12 {
                let [one, other] =
                    [standing(set, remaining, "all"), standing(7, remaining, if set % 2 == 0 { "a" } else { "b" })];
                let sets = [vec![one.clone()], vec![one.clone(), other.clone()], vec![other, one]];
                for standings in sets {
                    let of = |standings: &[Standing]| standings.iter().map(|s| format!("{}={} ", s.name(), s.quota)).collect();
                    let found: Result<String, ()> = policies.of(&standings, || {
                        written += 1;
                        Ok(of(&standings))
                    });
                    assert_eq!(found, Ok(of(&standings)));
                }
            }
        }
        // The first sets are kept, and what is beyond is written for every request.
        assert_eq!(written, 36 * 3 - POLICIES_KEPT * 2);
    }

    #[test]
    fn what_cannot_be_written_is_not_kept() {
        let policies = Policies::default();
        assert_eq!(policies.of(&[], || Err("no")), Err("no"));
        assert_eq!(policies.of(&[], || Ok::<u8, &str>(5)), Ok(5));
    }
}
