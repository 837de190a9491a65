//! What a request came to, for its client, the log and metrics.

use std::sync::Arc;

use super::UNPRICED;
use crate::{
    bedrock::usage::Usage,
    ledger,
    pricing::NanoUsd,
    telemetry::{Metrics, NONE, TenantSeries},
};

/// What a request came to.
#[derive(Clone, Debug)]
pub struct Bill {
    /// Its tokens.
    pub usage: Usage,
    /// What they cost.
    pub cost: NanoUsd,
    /// The tokens are a guess.
    pub estimated: bool,
    /// Charged as a request, because the answer says no usage.
    pub by_request: bool,
    /// Somebody said what all of it costs.
    pub priced: bool,
    /// It used more than was held.
    pub overdrawn: bool,
    /// The model as metrics name it: one that has a price, or `other`.
    pub model: Arc<str>,
}

impl Bill {
    /// Of a request whose process is gone, as it was charged by estimate.
    pub fn of_lost(entry: &ledger::Entry) -> Bill {
        // The second is what older versions wrote.
        let is_named = ![UNPRICED, NONE].contains(&&*entry.price_source) && !entry.by_request;
        Bill {
            usage: entry.usage,
            cost: entry.cost,
            estimated: entry.estimated,
            by_request: entry.by_request,
            priced: !entry.price_source.contains(UNPRICED) && *entry.price_source != *NONE,
            overdrawn: false,
            model: if is_named { entry.request.model.clone() } else { "other".into() },
        }
    }

    /// For metrics.
    pub fn count(&self, series: &TenantSeries, metrics: &Metrics) {
        series.used(&self.model, &self.usage, self.cost, metrics);
        let flags = [
            (self.estimated, &metrics.account.estimated),
            (self.by_request, &metrics.account.by_request),
            (!self.priced, &metrics.account.unpriced),
            (self.overdrawn, &metrics.account.overdrawn),
        ];
        let tenant = series.tenant();
        flags.iter().filter(|(holds, _)| *holds).for_each(|(_, counter)| counter.with_label_values(&[tenant]).inc());
    }
}
