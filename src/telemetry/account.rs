//! The metrics of the account, a part of the one table: what requests used and cost, limits in tokens and money, and the ledger.

use prometheus::{CounterVec, Gauge, GaugeVec, IntCounterVec, IntGauge};

use super::table::Table;

/// Of all tenants.
pub struct AccountMetrics {
    /// Tokens as charged.
    pub tokens: IntCounterVec,
    /// What they cost.
    pub cost: CounterVec,
    /// Requests charged by estimate.
    pub estimated: IntCounterVec,
    /// Requests charged as such, for want of usage on the wire.
    pub by_request: IntCounterVec,
    /// Requests that nobody said the price of.
    pub unpriced: IntCounterVec,
    /// Requests that used more than was held for them.
    pub overdrawn: IntCounterVec,
    /// Requests over a quota, by quota and limit.
    pub quota_denials: IntCounterVec,
    /// What is left of each limit, as a fraction.
    pub quota_remaining: GaugeVec,
    /// What running requests hold of each limit, as a fraction.
    pub quota_reserved: GaugeVec,
    /// Whether the ledger can be written.
    pub ledger_writable: IntGauge,
    /// Age of the oldest thing that is not on disk.
    pub ledger_lag: Gauge,
    /// Rows in memory that are not on disk.
    pub ledger_waiting: IntGauge,
}

impl AccountMetrics {
    /// Shows that nothing of a tenant was unpriced yet.
    pub fn begin(&self, tenant: &str) {
        self.unpriced.with_label_values(&[tenant]);
    }

    pub(super) fn new(t: &mut Table) -> Result<AccountMetrics, prometheus::Error> {
        Ok(AccountMetrics {
            tokens: t.counters(
                "tollgate_tokens_total",
                "Tokens as charged; kind is input, output, cache_read or cache_write; model is one with a price, or other.",
                &["tenant", "model", "kind"],
            )?,
            cost: t.sums(
                "tollgate_cost_usd_total",
                "What was charged; the ledger has it to the nano-dollar.",
                &["tenant", "model"],
            )?,
            estimated: t.counters(
                "tollgate_estimated_settlements_total",
                "Requests whose tokens are a guess, because the answer broke off or says nothing of them.",
                &["tenant"],
            )?,
            by_request: t.counters(
                "tollgate_charged_by_request_total",
                "Requests charged as such, because their operation has no usage on the wire.",
                &["tenant"],
            )?,
            unpriced: t.counters(
                "tollgate_unpriced_requests_total",
                "Requests served at a cost that nobody knows, or not all of (a tier, a length of input): add a price.",
                &["tenant"],
            )?,
            overdrawn: t.counters(
                "tollgate_overdrawn_requests_total",
                "Requests that used more than was held for them.",
                &["tenant"],
            )?,
            quota_denials: t.counters(
                "tollgate_quota_denials_total",
                "Requests over a quota; mode is enforced, or shadow where it refuses nothing.",
                &["tenant", "quota", "limit", "mode"],
            )?,
            quota_remaining: t.ratios(
                "tollgate_quota_remaining_ratio",
                "What is left of a limit: 1 is all of it.",
                &["tenant", "quota", "limit"],
            )?,
            quota_reserved: t.ratios(
                "tollgate_quota_reserved_ratio",
                "What running requests hold of a limit.",
                &["tenant", "quota", "limit"],
            )?,
            ledger_writable: t
                .gauge("tollgate_ledger_writable", "1 if the last write to the ledger succeeded; absent file: 1.")?,
            ledger_lag: t.seconds("tollgate_ledger_lag_seconds", "Age of the oldest charge that is not on disk.")?,
            ledger_waiting: t.gauge("tollgate_ledger_waiting_rows", "Rows in memory that are not on disk.")?,
        })
    }
}
