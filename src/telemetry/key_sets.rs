//! The metrics of issuers' key sets, a part of the one table. Labels are the issuers' names in the configuration.

use std::time::Duration;

use prometheus::{IntCounterVec, IntGaugeVec};

use super::table::Table;

/// Of all issuers.
pub struct KeySetMetrics {
    age: IntGaugeVec,
    keys: IntGaugeVec,
    fetches: IntCounterVec,
}

impl KeySetMetrics {
    pub(super) fn new(t: &mut Table) -> Result<KeySetMetrics, prometheus::Error> {
        Ok(KeySetMetrics {
            age: t.gauges(
                "tollgate_key_set_age_seconds",
                "How long ago an issuer last confirmed the keys that its tokens are verified with.",
                &["issuer"],
            )?,
            keys: t.gauges("tollgate_key_set_keys", "Keys that an issuer's tokens are verified with.", &["issuer"])?,
            fetches: t.counters(
                "tollgate_key_set_fetches_total",
                "Key sets fetched or read; result is ok, or failed, which leaves the keys as they were.",
                &["issuer", "result"],
            )?,
        })
    }

    /// Counts a fetch.
    pub fn fetched(&self, issuer: &str, well: bool) {
        self.fetches.with_label_values(&[issuer, if well { "ok" } else { "failed" }]).inc();
    }

    /// Shows how the keys of these issuers are, and of no others.
    pub fn show<'a>(&self, conditions: impl IntoIterator<Item = (&'a str, usize, Duration)>) {
        self.age.reset();
        self.keys.reset();
        for (issuer, keys, age) in conditions {
            self.age.with_label_values(&[issuer]).set(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
            self.keys.with_label_values(&[issuer]).set(i64::try_from(keys).unwrap_or(i64::MAX));
        }
    }
}
