//! The table of metrics. A field's help text is what Prometheus shows; every name starts with `tollgate_`.

use std::collections::BTreeMap;

use prometheus::{
    CounterVec, Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};

use super::{Bidirectional, KeySetMetrics, RoleSessionMetrics, SpanMetrics};

/// Every metric of one gateway.
pub struct Metrics {
    registry: Registry,
    /// Requests that ended.
    pub requests: IntCounterVec,
    /// From the end of the request's head to the end of the response.
    pub duration: HistogramVec,
    /// From the end of the request's head to the first byte of the response.
    pub first_byte: HistogramVec,
    /// What the gateway itself added before the request went upstream.
    pub own_share: HistogramVec,
    /// Requests running now.
    pub in_flight: IntGaugeVec,
    /// Answers being read whose client left.
    pub reading_on: IntGauge,
    /// Request body bytes received.
    pub request_body_bytes: IntCounterVec,
    /// Response body bytes sent.
    pub response_body_bytes: IntCounterVec,
    /// Bytes of request bodies held in memory.
    pub bodies_held_bytes: IntGauge,
    /// Upstream connections used, new and reused.
    pub upstream_connections: IntCounterVec,
    /// Requests sent a second time, because a pooled connection had died.
    pub upstream_retries: IntCounterVec,
    /// Connections open now, by listener.
    pub connections: IntGaugeVec,
    /// Connections the gateway closed for what their client did or is.
    pub connections_refused: IntCounterVec,
    /// When the certificates of listeners expire, by file.
    pub certificate_expiry: IntGaugeVec,
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
    /// Requests refused, by reason.
    pub denials: IntCounterVec,
    /// Streams in both directions.
    pub bidirectional: Bidirectional,
    /// Issuers' key sets.
    pub key_sets: KeySetMetrics,
    /// Spans of traces.
    pub spans: SpanMetrics,
    /// Tenants' AWS sessions.
    pub role_sessions: RoleSessionMetrics,
    /// Tokens found verified already.
    pub token_cache_hits: IntGauge,
    /// Tokens that had to be verified.
    pub token_cache_misses: IntGauge,
    /// Tokens in the cache.
    pub token_cache_entries: IntGauge,
    /// Whether traffic should be sent here, as `/readyz` says it.
    pub ready: IntGauge,
    /// When the AWS credentials expire; 0 without expiry or credentials.
    pub credentials_expiry: IntGauge,
    /// The number of the configuration in force, 1 after start.
    pub config_generation: IntGauge,
    /// Whether the last reload succeeded.
    pub config_last_reload_successful: IntGauge,
    /// When the configuration in force was loaded.
    pub config_last_reload_success: IntGauge,
    /// Reloads by result.
    pub config_reloads: IntCounterVec,
    /// Upgrades that did not come about.
    pub upgrades_failed: IntCounter,
    /// Former processes whose last requests still run.
    pub predecessors: IntGauge,
    /// Access-log lines lost because the log could not be written fast enough.
    pub access_log_lost: IntCounter,
    /// The binary.
    build_info: IntGaugeVec,
}

/// One more in a gauge, until it is dropped.
pub struct Counted(IntGauge);

impl Counted {
    /// Counts.
    pub fn in_gauge(gauge: IntGauge) -> Counted {
        gauge.inc();
        Counted(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// From half a millisecond to more than ten minutes.
const SECONDS: [f64; 18] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0];
/// From ten microseconds to a second: the gateway's own work.
const OWN_SECONDS: [f64; 12] = [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0];

impl Metrics {
    /// All metrics at zero, in a registry of their own.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let r = &Registry::new();
        let labels = ["tenant", "service"];
        let metrics = Metrics {
            registry: r.clone(),
            requests: counters(
                r,
                "tollgate_requests_total",
                "Requests that ended.",
                &["tenant", "service", "operation", "status_class", "outcome"],
            )?,
            duration: histograms(
                r,
                "tollgate_request_duration_seconds",
                "From the end of the request's head to the end of the response.",
                &labels,
                &SECONDS,
            )?,
            first_byte: histograms(
                r,
                "tollgate_first_byte_seconds",
                "From the end of the request's head to the first byte of Bedrock's response.",
                &labels,
                &SECONDS,
            )?,
            own_share: histograms(
                r,
                "tollgate_own_share_seconds",
                "What the gateway added before the request went upstream: neither the client's upload, nor connecting, nor Bedrock.",
                &["service"],
                &OWN_SECONDS,
            )?,
            in_flight: gauges(r, "tollgate_requests_in_flight", "Admitted requests running now.", &["tenant"])?,
            reading_on: gauge(r, "tollgate_answers_read_on", "Answers read to their end now although their client left.")?,
            request_body_bytes: counters(r, "tollgate_request_body_bytes_total", "Request body bytes received.", &["tenant"])?,
            response_body_bytes: counters(
                r,
                "tollgate_response_body_bytes_total",
                "Response body bytes received from Bedrock.",
                &["tenant"],
            )?,
            bodies_held_bytes: gauge(r, "tollgate_bodies_held_bytes", "Room taken by request bodies in memory.")?,
            upstream_connections: counters(
                r,
                "tollgate_upstream_connections_total",
                "Upstream connections used by requests; state is new or reused.",
                &["service", "state"],
            )?,
            upstream_retries: counters(
                r,
                "tollgate_upstream_retries_total",
                "Requests sent again because a pooled connection had died before any byte of a response.",
                &["service"],
            )?,
            connections: gauges(r, "tollgate_connections", "Connections of clients open now.", &["listener"])?,
            connections_refused: counters(
                r,
                "tollgate_connections_refused_total",
                "Connections the gateway closed: no room, not allowed, no handshake, or what came was too late or too much.",
                &["listener", "reason"],
            )?,
            certificate_expiry: gauges(
                r,
                "tollgate_certificate_expiry_timestamp_seconds",
                "When the certificate in the file expires.",
                &["file"],
            )?,
            tokens: counters(
                r,
                "tollgate_tokens_total",
                "Tokens as charged; kind is input, output, cache_read or cache_write; model is one with a price, or other.",
                &["tenant", "model", "kind"],
            )?,
            cost: registered(
                r,
                CounterVec::new(
                    Opts::new("tollgate_cost_usd_total", "What was charged; the ledger has it to the nano-dollar."),
                    &["tenant", "model"],
                )?,
            )?,
            estimated: counters(
                r,
                "tollgate_estimated_settlements_total",
                "Requests whose tokens are a guess, because the answer broke off or says nothing of them.",
                &["tenant"],
            )?,
            by_request: counters(
                r,
                "tollgate_charged_by_request_total",
                "Requests charged as such, because their operation has no usage on the wire.",
                &["tenant"],
            )?,
            unpriced: counters(
                r,
                "tollgate_unpriced_requests_total",
                "Requests served at a cost that nobody knows: add a price.",
                &["tenant"],
            )?,
            overdrawn: counters(
                r,
                "tollgate_overdrawn_requests_total",
                "Requests that used more than was held for them.",
                &["tenant"],
            )?,
            quota_denials: counters(
                r,
                "tollgate_quota_denials_total",
                "Requests over a quota; mode is enforced, or shadow where it refuses nothing.",
                &["tenant", "quota", "limit", "mode"],
            )?,
            quota_remaining: registered(
                r,
                GaugeVec::new(
                    Opts::new("tollgate_quota_remaining_ratio", "What is left of a limit: 1 is all of it."),
                    &["tenant", "quota", "limit"],
                )?,
            )?,
            quota_reserved: registered(
                r,
                GaugeVec::new(
                    Opts::new("tollgate_quota_reserved_ratio", "What running requests hold of a limit."),
                    &["tenant", "quota", "limit"],
                )?,
            )?,
            ledger_writable: gauge(
                r,
                "tollgate_ledger_writable",
                "1 if the last write to the ledger succeeded; absent file: 1.",
            )?,
            ledger_lag: registered(
                r,
                Gauge::new("tollgate_ledger_lag_seconds", "Age of the oldest charge that is not on disk.")?,
            )?,
            ledger_waiting: gauge(r, "tollgate_ledger_waiting_rows", "Rows in memory that are not on disk.")?,
            denials: counters(r, "tollgate_denials_total", "Requests the gateway refused.", &["tenant", "reason"])?,
            bidirectional: Bidirectional::new(r)?,
            key_sets: KeySetMetrics::new(r)?,
            spans: SpanMetrics::new(r)?,
            role_sessions: RoleSessionMetrics::new(r)?,
            token_cache_hits: gauge(r, "tollgate_token_cache_hits", "Tokens found in the cache since start.")?,
            token_cache_misses: gauge(r, "tollgate_token_cache_misses", "Tokens that had to be verified since start.")?,
            token_cache_entries: gauge(r, "tollgate_token_cache_entries", "Verified tokens in the cache.")?,
            ready: gauge(r, "tollgate_ready", "1 if traffic should be sent here, as /readyz says it.")?,
            credentials_expiry: gauge(
                r,
                "tollgate_credentials_expiry_timestamp_seconds",
                "When the AWS credentials expire; 0 if they never do or there are none.",
            )?,
            config_generation: gauge(r, "tollgate_config_generation", "Number of the configuration in force.")?,
            config_last_reload_successful: gauge(
                r,
                "tollgate_config_last_reload_successful",
                "1 if the last reload succeeded, 0 if it changed nothing because the file was bad.",
            )?,
            config_last_reload_success: gauge(
                r,
                "tollgate_config_last_reload_success_timestamp_seconds",
                "When the configuration in force was loaded.",
            )?,
            config_reloads: counters(r, "tollgate_config_reloads_total", "Reloads; result is ok or failed.", &["result"])?,
            upgrades_failed: registered(
                r,
                IntCounter::new(
                    "tollgate_upgrades_failed_total",
                    "Upgrades that did not come about; the old process serves on.",
                )?,
            )?,
            predecessors: gauge(r, "tollgate_predecessors", "Former processes whose last requests still run.")?,
            access_log_lost: registered(
                r,
                IntCounter::new("tollgate_access_log_lost_lines_total", "Access-log lines lost to a slow log.")?,
            )?,
            build_info: build_info(r)?,
        };
        #[cfg(target_os = "linux")]
        r.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(metrics)
    }

    /// The names of all metrics, those without a series yet included.
    pub fn names(&self) -> Vec<String> {
        self.labels().into_keys().collect()
    }

    /// The labels of every metric of the table by its name; `le` of histograms is not among them.
    pub fn labels(&self) -> BTreeMap<String, Vec<String>> {
        let collectors: [&dyn Collector; 40] = [
            &self.requests,
            &self.duration,
            &self.first_byte,
            &self.own_share,
            &self.in_flight,
            &self.reading_on,
            &self.request_body_bytes,
            &self.response_body_bytes,
            &self.bodies_held_bytes,
            &self.upstream_connections,
            &self.upstream_retries,
            &self.connections,
            &self.connections_refused,
            &self.certificate_expiry,
            &self.tokens,
            &self.cost,
            &self.estimated,
            &self.by_request,
            &self.unpriced,
            &self.overdrawn,
            &self.quota_denials,
            &self.quota_remaining,
            &self.quota_reserved,
            &self.ledger_writable,
            &self.ledger_lag,
            &self.ledger_waiting,
            &self.denials,
            &self.token_cache_hits,
            &self.token_cache_misses,
            &self.token_cache_entries,
            &self.ready,
            &self.credentials_expiry,
            &self.config_generation,
            &self.config_last_reload_successful,
            &self.config_last_reload_success,
            &self.config_reloads,
            &self.upgrades_failed,
            &self.predecessors,
            &self.access_log_lost,
            &self.build_info,
        ];
        collectors
            .into_iter()
            .chain(self.bidirectional.collectors())
            .chain(self.key_sets.collectors())
            .chain(self.spans.collectors())
            .chain(self.role_sessions.collectors())
            .flat_map(|c| c.desc())
            .map(|desc| (desc.fq_name.clone(), desc.variable_labels.clone()))
            .collect()
    }

    /// The exposition text (version 0.0.4).
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

pub(super) fn registered<M: Collector + Clone + 'static>(registry: &Registry, metric: M) -> Result<M, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

pub(super) fn counters(r: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    registered(r, IntCounterVec::new(Opts::new(name, help), labels)?)
}

pub(super) fn gauges(r: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    registered(r, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn gauge(r: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    registered(r, IntGauge::new(name, help)?)
}

fn histograms(r: &Registry, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Result<HistogramVec, prometheus::Error> {
    registered(r, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?)
}

pub(super) fn histogram(r: &Registry, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
    registered(r, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
}

fn build_info(r: &Registry) -> Result<IntGaugeVec, prometheus::Error> {
    let labels = ["version", "commit"];
    let info = gauges(r, "tollgate_build_info", "Always 1; version and commit of the binary.", &labels)?;
    info.with_label_values(&[env!("CARGO_PKG_VERSION"), env!("TOLLGATE_COMMIT")]).set(1);
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_prometheus_conventions() {
        let metrics = Metrics::new().unwrap();
        metrics.requests.with_label_values(&["t", "s", "o", "2xx", "completed"]).inc();
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(text.contains("tollgate_requests_total{"));
        assert!(text.contains("tollgate_build_info{"));
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE tollgate_")) {
            let (name, kind) = line.split_once(' ').unwrap();
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        }
    }
}
