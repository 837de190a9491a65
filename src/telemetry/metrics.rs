//! The table of metrics. A field's help text is what Prometheus shows; every name starts with `tollgate_`.

use std::{collections::BTreeMap, mem};

use prometheus::{Encoder, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};

use super::{AccountMetrics, Bidirectional, KeySetMetrics, NONE, RoleSessionMetrics, SpanMetrics, TenantSeries, table::Table};

/// Every metric of one gateway.
pub struct Metrics {
    registry: Registry,
    labels: BTreeMap<String, Vec<String>>,
    /// Of requests that have no tenant here.
    pub of_nobody: TenantSeries,
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
    /// Errors that Bedrock answered with.
    pub upstream_errors: IntCounterVec,
    /// Requests sent a second time, because a pooled connection had died.
    pub upstream_retries: IntCounterVec,
    /// Look-ups that gave no address, of host names that requests ask for.
    pub resolve_failures: IntCounter,
    /// Connections open now, by listener.
    pub connections: IntGaugeVec,
    /// Connections the gateway closed for what their client did or is.
    pub connections_refused: IntCounterVec,
    /// HTTP/2 streams refused because their connection had as many as it may, by listener.
    pub streams_refused: IntCounterVec,
    /// When the certificates of listeners expire, by file.
    pub certificate_expiry: IntGaugeVec,
    /// When their renewal is overdue.
    pub certificate_renewal: IntGaugeVec,
    /// What requests used and cost.
    pub account: AccountMetrics,
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
    /// Lines of the log lost because they could not be written, or not fast enough.
    pub access_log_lost: IntCounter,
    /// When this process started. `process_start_time_seconds` needs `/proc/stat`, which hardening hides (`ProcSubset=pid`).
    pub started: IntGauge,
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
        let t = &mut Table::default();
        let labels = ["tenant", "service"];
        let mut metrics = Metrics {
            registry: t.registry.clone(),
            labels: BTreeMap::new(),
            of_nobody: TenantSeries::new(NONE.into()),
            requests: t.counters("tollgate_requests_total",
                "Requests that ended.",
                &["tenant", "service", "operation", "status_class", "outcome"],
            )?,
            duration: t.histograms("tollgate_request_duration_seconds",
                "From the end of the request's head to the end of the response.",
                &labels,
                &SECONDS,
            )?,
            first_byte: t.histograms("tollgate_first_byte_seconds",
                "From the end of the request's head to the first byte of Bedrock's response.",
                &labels,
                &SECONDS,
            )?,
            own_share: t.histograms("tollgate_own_share_seconds",
                "What the gateway added before the request went upstream: neither the client's upload, nor connecting, nor Bedrock.",
                &["service"],
                &OWN_SECONDS,
            )?,
            in_flight: t.gauges("tollgate_requests_in_flight", "Admitted requests running now.", &["tenant"])?,
            reading_on: t.gauge("tollgate_answers_read_on", "Answers read to their end now although their client left.")?,
            request_body_bytes: t.counters("tollgate_request_body_bytes_total", "Request body bytes received.", &["tenant"])?,
            response_body_bytes: t.counters("tollgate_response_body_bytes_total",
                "Response body bytes received from Bedrock.",
                &["tenant"],
            )?,
            bodies_held_bytes: t.gauge("tollgate_bodies_held_bytes", "Room taken in memory by request bodies, and by events in conversations.")?,
            upstream_connections: t.counters("tollgate_upstream_connections_total",
                "Upstream connections used by requests; state is new or reused.",
                &["service", "state"],
            )?,
            upstream_errors: t.counters("tollgate_upstream_errors_total",
                "Errors that Bedrock answered with or ended a stream with (status is 200 then); exception is one that AWS documents, other, or none.",
                &["tenant", "service", "status", "exception"],
            )?,
            upstream_retries: t.counters("tollgate_upstream_retries_total",
                "Requests sent again because a pooled connection had died before any byte of a response.",
                &["service"],
            )?,
            resolve_failures: t.counter("tollgate_resolve_failures_total",
                "Look-ups that gave no address, of host names that requests ask for; the last good ones serve on.",
            )?,
            connections: t.gauges("tollgate_connections", "Connections of clients open now.", &["listener"])?,
            connections_refused: t.counters("tollgate_connections_refused_total",
                "Connections the gateway closed: no room, not allowed, no handshake, or what came was too late or too much.",
                &["listener", "reason"],
            )?,
            streams_refused: t.counters("tollgate_streams_refused_total",
                "HTTP/2 streams refused because their connection had as many open as it may.",
                &["listener"],
            )?,
            certificate_expiry: t.gauges("tollgate_certificate_expiry_timestamp_seconds",
                "When the certificate in the file expires.",
                &["file"],
            )?,
            certificate_renewal: t.gauges("tollgate_certificate_renewal_timestamp_seconds",
                "When the renewal of the certificate in the file is overdue: 14 days before its end, or after five sixths of a shorter life.",
                &["file"],
            )?,
            account: AccountMetrics::new(t)?,
            denials: t.counters("tollgate_denials_total", "Requests the gateway refused.", &["tenant", "reason"])?,
            bidirectional: Bidirectional::new(t)?,
            key_sets: KeySetMetrics::new(t)?,
            spans: SpanMetrics::new(t)?,
            role_sessions: RoleSessionMetrics::new(t)?,
            token_cache_hits: t.gauge("tollgate_token_cache_hits", "Tokens found in the cache since start.")?,
            token_cache_misses: t.gauge("tollgate_token_cache_misses", "Tokens that had to be verified since start.")?,
            token_cache_entries: t.gauge("tollgate_token_cache_entries", "Verified tokens in the cache.")?,
            ready: t.gauge("tollgate_ready", "1 if traffic should be sent here, as /readyz says it.")?,
            credentials_expiry: t.gauge("tollgate_credentials_expiry_timestamp_seconds",
                "When the AWS credentials expire; 0 if they never do or there are none.",
            )?,
            config_generation: t.gauge("tollgate_config_generation", "Number of the configuration in force.")?,
            config_last_reload_successful: t.gauge("tollgate_config_last_reload_successful",
                "1 if the last reload succeeded, 0 if it changed nothing because the file was bad.",
            )?,
            config_last_reload_success: t.gauge("tollgate_config_last_reload_success_timestamp_seconds",
                "When the configuration in force was loaded.",
            )?,
            config_reloads: t.counters("tollgate_config_reloads_total", "Reloads; result is ok or failed.", &["result"])?,
            upgrades_failed: t.counter("tollgate_upgrades_failed_total",
                    "Upgrades that did not come about; the old process serves on.")?,
            predecessors: t.gauge("tollgate_predecessors", "Former processes whose last requests still run.")?,
            access_log_lost: t.counter("tollgate_access_log_lost_lines_total", "Log lines lost to a log that is slow or cannot be written.")?,
            started: t.gauge("tollgate_start_timestamp_seconds", "When this process started.")?,
        };
        #[cfg(target_os = "linux")]
        metrics.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        build_info(t)?;
        metrics.labels = mem::take(&mut t.labels);
        Ok(metrics)
    }

    /// The labels of every metric of the table by its name, of those without a series too.
    pub fn labels(&self) -> &BTreeMap<String, Vec<String>> {
        &self.labels
    }

    /// The exposition text (version 0.0.4).
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

fn build_info(t: &mut Table) -> Result<(), prometheus::Error> {
    let labels = ["version", "commit"];
    let info = t.gauges("tollgate_build_info", "Always 1; version and commit of the binary.", &labels)?;
    info.with_label_values(&[env!("CARGO_PKG_VERSION"), env!("TOLLGATE_COMMIT")]).set(1);
    Ok(())
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
