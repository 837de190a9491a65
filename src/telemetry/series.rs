//! A tenant's series of the metrics that every request counts in, each found once: to find one by its labels takes longer than to count.
//! They are made when something is first counted, so that nothing is shown of what never happened.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use prometheus::{Counter, Histogram, IntCounter};

use super::{Metrics, Outcome, outcome::status_class};
use crate::{bedrock::usage::Usage, pricing::NanoUsd};

/// Operations whose series are kept. Those of an operation beyond are found by their labels each time, and so are a model's.
const OPERATIONS_KEPT: usize = 16;
const MODELS_KEPT: usize = 16;

/// One tenant's, in one [`Metrics`].
pub struct TenantSeries {
    tenant: Arc<str>,
    request_body_bytes: OnceLock<IntCounter>,
    response_body_bytes: OnceLock<IntCounter>,
    operations: [OnceLock<(Called, OfOperation)>; OPERATIONS_KEPT],
    models: [OnceLock<(Arc<str>, OfModel)>; MODELS_KEPT],
}

/// Service and operation.
pub type Called = (&'static str, &'static str);

/// A request that ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// What was asked for.
    pub called: Called,
    /// Of the answer; nothing if there was none.
    pub status: Option<u16>,
    /// How.
    pub outcome: Outcome,
    /// In all.
    pub duration: Duration,
    /// To the first byte of Bedrock's answer.
    pub first_byte: Option<Duration>,
    /// What the gateway added before the request went upstream.
    pub own_share: Option<Duration>,
    /// Of the body.
    pub request_bytes: u64,
    /// Of the body.
    pub response_bytes: u64,
}

#[derive(Default)]
struct OfOperation {
    /// Completed, with a status of success.
    succeeded: OnceLock<IntCounter>,
    duration: OnceLock<Histogram>,
    first_byte: OnceLock<Histogram>,
    own_share: OnceLock<Histogram>,
}

#[derive(Default)]
struct OfModel {
    input: OnceLock<IntCounter>,
    output: OnceLock<IntCounter>,
    cache_read: OnceLock<IntCounter>,
    cache_write: OnceLock<IntCounter>,
    cost: OnceLock<Counter>,
}

impl TenantSeries {
    /// None yet.
    pub fn new(tenant: Arc<str>) -> TenantSeries {
        TenantSeries {
            tenant,
            request_body_bytes: OnceLock::new(),
            response_body_bytes: OnceLock::new(),
            operations: Default::default(),
            models: Default::default(),
        }
    }

    /// Whose.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Counts a request, and that it ended last of all: whoever sees it there finds the rest.
    pub fn ended(&self, ended: &Ended, metrics: &Metrics) {
        let (tenant, (service, operation)) = (self.tenant(), ended.called);
        let found = OfOperation::default();
        let of = kept(&self.operations, |called| *called == ended.called, || ended.called).unwrap_or(&found);

        let seconds = |histogram: &Histogram, time: Duration| histogram.observe(time.as_secs_f64());
        seconds(of.duration.get_or_init(|| metrics.duration.with_label_values(&[tenant, service])), ended.duration);
        if let Some(time) = ended.first_byte {
            seconds(of.first_byte.get_or_init(|| metrics.first_byte.with_label_values(&[tenant, service])), time);
        }
        if let Some(time) = ended.own_share {
            seconds(of.own_share.get_or_init(|| metrics.own_share.with_label_values(&[service])), time);
        }
        let bytes = |counter: &OnceLock<IntCounter>, of: &prometheus::IntCounterVec, bytes| {
            counter.get_or_init(|| of.with_label_values(&[tenant])).inc_by(bytes);
        };
        bytes(&self.request_body_bytes, &metrics.request_body_bytes, ended.request_bytes);
        bytes(&self.response_body_bytes, &metrics.response_body_bytes, ended.response_bytes);

        let class = status_class(ended.status);
        let requests = || metrics.requests.with_label_values(&[tenant, service, operation, class, ended.outcome.label()]);
        match (ended.outcome, class) {
            (Outcome::Completed, "2xx") => of.succeeded.get_or_init(requests).inc(),
            _ => requests().inc(),
        }
    }

    /// Counts what a request was charged for.
    pub fn used(&self, model: &Arc<str>, usage: &Usage, cost: NanoUsd, metrics: &Metrics) {
        let tenant = self.tenant();
        let found = OfModel::default();
        let of = kept(&self.models, |name| name == model, || model.clone()).unwrap_or(&found);
        let kinds = [
            ("input", &of.input, usage.input_tokens),
            ("output", &of.output, usage.output_tokens),
            ("cache_read", &of.cache_read, usage.cache_read_tokens),
            ("cache_write", &of.cache_write, usage.cache_write_tokens.saturating_add(usage.cache_write_1h_tokens)),
        ];
        for (kind, counter, tokens) in kinds.into_iter().filter(|(.., tokens)| *tokens > 0) {
            counter.get_or_init(|| metrics.account.tokens.with_label_values(&[tenant, &**model, kind])).inc_by(tokens);
        }
        if cost > NanoUsd::ZERO {
            let dollars = cost.0 as f64 / 1e9;
            of.cost.get_or_init(|| metrics.account.cost.with_label_values(&[tenant, &**model])).inc_by(dollars);
        }
    }
}

/// What is kept of the one that is asked for, in the first place that has it or is free; nothing if none is.
fn kept<K, V: Default>(places: &[OnceLock<(K, V)>], is_it: impl Fn(&K) -> bool, key: impl Fn() -> K) -> Option<&V> {
    // Another thread may take a free place for something else.
    let mut taken = places.iter().map(|place| place.get_or_init(|| (key(), V::default())));
    taken.find(|(taken, _)| is_it(taken)).map(|(_, kept)| kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(called: Called, outcome: Outcome) -> Ended {
        let time = Duration::from_millis(3);
        Ended {
            called,
            status: Some(200),
            outcome,
            duration: time,
            first_byte: Some(time),
            own_share: None,
            request_bytes: 5,
            response_bytes: 7,
        }
    }

    #[test]
    fn what_is_beyond_the_places_is_counted_as_well() {
        let metrics = Metrics::new().unwrap();
        let tenant = TenantSeries::new("acme".into());
        let names: Vec<&'static str> = (0..40).map(|number| &*format!("operation-{number}").leak()).collect();
        for _ in 0..3 {
            for &name in &names {
                tenant.ended(&ended(("bedrock-runtime", name), Outcome::Completed), &metrics);
                tenant.ended(&ended(("bedrock-runtime", name), Outcome::ClientLeft), &metrics);
                let usage = Usage { input_tokens: 2, cache_write_tokens: 1, cache_write_1h_tokens: 1, ..Usage::default() };
                tenant.used(&Arc::from(name), &usage, NanoUsd(1_000_000_000), &metrics);
            }
        }
        for name in &names {
            for outcome in ["completed", "client_left"] {
                let labels = ["acme", "bedrock-runtime", *name, "2xx", outcome];
                assert_eq!(metrics.requests.with_label_values(&labels).get(), 3, "{labels:?}");
            }
            for kind in ["input", "cache_write"] {
                assert_eq!(metrics.account.tokens.with_label_values(&["acme", *name, kind]).get(), 6, "{name} {kind}");
            }
            assert_eq!(metrics.account.cost.with_label_values(&["acme", *name]).get(), 3.0, "{name}");
        }
        assert_eq!(metrics.duration.with_label_values(&["acme", "bedrock-runtime"]).get_sample_count(), 240);
        assert_eq!(metrics.response_body_bytes.with_label_values(&["acme"]).get(), 240 * 7);
    }

    #[test]
    fn what_did_not_happen_is_not_shown() {
        let metrics = Metrics::new().unwrap();
        let tenant = TenantSeries::new("acme".into());
        tenant.ended(&Ended { first_byte: None, ..ended(("bedrock-runtime", "Converse"), Outcome::Denied) }, &metrics);
        tenant.used(&"m".into(), &Usage { output_tokens: 1, ..Usage::default() }, NanoUsd::ZERO, &metrics);
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        let shown = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!(
            (shown("tollgate_requests_total{"), shown("tollgate_tokens_total{"), shown("tollgate_cost_usd_total{")),
            (1, 1, 0)
        );
        assert_eq!((shown("tollgate_first_byte_seconds"), shown("tollgate_own_share_seconds")), (0, 0));
    }
}
