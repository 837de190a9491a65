//! A tenant's quotas as configured, compiled: a flat list of limits in the order in which they are asked. Immutable; what was used is
//! in the account.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::tz::TimeZone;

use super::{CapDenial, ask::nano_dollars, scope::Scope};
use crate::{
    config::{
        self, HoldInput, MaxTokensOver,
        quotas::{QUOTAS_MAX, policy_name},
    },
    pricing::NanoUsd,
    quota::{LimitKind, Measure, Span},
};

/// Ten years: beyond what a clock can be asked to add, nothing has to expire.
const HOLD_MAX: Duration = Duration::from_secs(315_360_000);

/// A tenant's quotas, compiled.
#[derive(Debug)]
pub struct Quotas {
    /// Grows with each compilation, so that an account knows which of two is newer.
    pub(super) id: u64,
    pub(super) zone: TimeZone,
    /// How long a reservation holds at most.
    pub(super) hold_max: Duration,
    hold_input: HoldInput,
    pub(super) limits: Vec<Limit>,
    caps: Vec<(Scope, bool, Cap)>,
}

/// One limit.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) quota: Arc<str>,
    /// In header fields, and to a successor; no other limit of the tenant has it.
    pub(super) policy: Arc<str>,
    pub(super) scope: Scope,
    pub(super) measure: Measure,
    pub(super) span: Span,
    pub(super) amount: u64,
    pub(super) shadow: bool,
}

/// The most `max_tokens` a request may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cap {
    /// The quota's label.
    pub quota: Arc<str>,
    /// The most.
    pub max: u64,
    /// What happens to a request that asks for more.
    pub over: MaxTokensOver,
}

static COMPILED: AtomicU64 = AtomicU64::new(0);

impl Quotas {
    /// Compiles what has passed the checks. A time zone that nobody knows would be UTC, an unreadable amount of money nothing.
    pub fn new(config: &config::Tenant, keeping: &config::AccountKeeping) -> Quotas {
        let quotas =
            || config.quotas.iter().enumerate().take(QUOTAS_MAX).map(|(at, quota)| (Arc::from(quota.label(at + 1)), quota));
        let cap = |(label, quota): (Arc<str>, &config::Quota)| {
            let cap = Cap { quota: label, max: quota.max_tokens?, over: quota.max_tokens_over };
            Some((Scope::new(&quota.models), quota.shadow, cap))
        };
        Quotas {
            id: COMPILED.fetch_add(1, Ordering::Relaxed),
            zone: TimeZone::get(&config.time_zone).unwrap_or(TimeZone::UTC),
            hold_max: Duration::from_secs(keeping.reservation_seconds_max).min(HOLD_MAX),
            hold_input: config.hold_input,
            limits: quotas().flat_map(|(label, quota)| limits(&label, quota)).collect(),
            caps: quotas().filter_map(cap).collect(),
        }
    }

    /// Whether nothing is limited in tokens or money. Sums are kept all the same.
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty() && self.caps.is_empty()
    }

    /// How many tokens of input a request holds.
    pub fn hold_input(&self) -> HoldInput {
        self.hold_input
    }

    /// Whether a limit in money is enforced for the model: then it needs a price.
    pub fn limit_money(&self, model: &str) -> bool {
        self.limits.iter().any(|limit| limit.measure == Measure::Cost && !limit.shadow && limit.scope.matches(model))
    }

    /// The quota that would refuse a model without a price, if it were enforced.
    pub fn shadow_money(&self, model: &str) -> Option<&str> {
        let limits = || self.limits.iter().filter(|limit| limit.measure == Measure::Cost && limit.scope.matches(model));
        limits().find(|limit| limit.shadow).map(|limit| &*limit.quota)
    }

    /// Whether it matters to some limit or cap which model a request is of.
    pub fn tell_models_apart(&self) -> bool {
        self.scopes().any(|scope| *scope != Scope::Everything)
    }

    /// Whether every limit and every cap that has one of two models has the other.
    pub fn treat_alike(&self, one: &str, other: &str) -> bool {
        self.scopes().all(|scope| scope.matches(one) == scope.matches(other))
    }

    fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.limits.iter().map(|limit| &limit.scope).chain(self.caps.iter().map(|(scope, ..)| scope))
    }

    /// The smallest cap on a request's `max_tokens`; of two equal ones the stricter.
    pub fn max_tokens_for(&self, model: &str) -> Option<&Cap> {
        self.caps(model, false).min_by_key(|cap| (cap.max, cap.over == MaxTokensOver::Lower))
    }

    /// Those that only watch.
    pub fn shadow_max_tokens_for(&self, model: &str) -> impl Iterator<Item = &Cap> {
        self.caps(model, true)
    }

    fn caps(&self, model: &str, shadow: bool) -> impl Iterator<Item = &Cap> {
        let applying = self.caps.iter().filter(move |(scope, shadows, _)| *shadows == shadow && scope.matches(model));
        applying.map(|(_, _, cap)| cap)
    }
}

impl Cap {
    /// The refusal of a request that asks for more.
    pub fn denial(&self, tenant: &Arc<str>, asked: u64) -> CapDenial {
        CapDenial { tenant: tenant.clone(), quota: self.quota.clone(), max: self.max, asked }
    }
}

fn limits(label: &Arc<str>, quota: &config::Quota) -> Vec<Limit> {
    let scope = Scope::new(&quota.models);
    let limit = |measure: Measure, span: Span, amount: u64| {
        let policy = policy_name(label, LimitKind::Per(measure, span).name()).into();
        Limit { quota: label.clone(), policy, scope: scope.clone(), measure, span, amount, shadow: quota.shadow }
    };
    let together = if quota.count_burndown { Measure::Burndown } else { Measure::Tokens };
    let measures =
        |span| [if span == Span::Minute { together } else { Measure::Tokens }, Measure::InputTokens, Measure::OutputTokens];
    let kinds = [Span::Minute, Span::Day, Span::Month].into_iter().flat_map(|span| measures(span).map(|measure| (measure, span)));
    let of_tokens = quota.token_limits().into_iter().zip(kinds);
    let of_tokens = of_tokens.filter_map(|((_, amount), (measure, span))| Some(limit(measure, span, amount?)));
    let dollars = |text: &str| nano_dollars(text.parse().unwrap_or(NanoUsd::ZERO));
    let of_money = quota.money_limits().into_iter().zip([Span::Day, Span::Month]);
    let of_money = of_money.filter_map(|((_, text), span)| Some(limit(Measure::Cost, span, dollars(text?))));
    of_tokens.chain(of_money).collect()
}
