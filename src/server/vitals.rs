//! What the admin listener shows, gathered when it is asked for.

use tokio::sync::watch;

use super::{assembly::Parts, reload::unix_seconds};
use crate::admin::Vitals;

pub(super) struct GatewayVitals {
    pub parts: Parts,
    pub draining: watch::Receiver<bool>,
}

impl Vitals for GatewayVitals {
    fn metrics(&self) -> Result<Vec<u8>, prometheus::Error> {
        let metrics = &self.parts.metrics;
        let tokens = &self.parts.lasting.tokens;
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        metrics.token_cache_hits.set(number(tokens.hits()));
        metrics.token_cache_misses.set(number(tokens.misses()));
        metrics.token_cache_entries.set(number(tokens.len() as u64));
        metrics.credentials_expiry.set(self.parts.credentials.expiry().map_or(0, unix_seconds));
        metrics.render()
    }

    fn unready(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        if *self.draining.borrow() {
            reasons.push("stopping");
        }
        if self.parts.credentials.current(std::time::SystemTime::now()).is_err() {
            reasons.push("no AWS credentials");
        }
        reasons
    }
}
