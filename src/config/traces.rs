//! `[traces]`: spans of requests for an OpenTelemetry collector. Without the section none are made.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::Secret;

/// What is recorded, and where it is sent.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    /// Where spans are sent, by OTLP over HTTP, in protobuf. Without a path it is `/v1/traces`.
    pub endpoint: String,
    /// Header fields of what is sent, by name, for collectors that want to know who sends: where each value is.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// PEM bundle that the collector's certificate must chain to, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// How many of the traces that begin here are recorded, from 0 to 1. Default 1: all.
    #[serde(default = "all")]
    pub sample_ratio: f64,
    /// Records what a caller's `traceparent` says is recorded, and nothing that it says is not; false goes by `sample_ratio` alone.
    /// Default true.
    #[serde(default = "yes")]
    pub obey_callers: bool,
    /// `service.name` of the spans. Default `tollgate`.
    #[serde(default = "tollgate")]
    pub service_name: String,
    /// More attributes of the resource that the spans are of: `"deployment.environment.name" = "production"`.
    #[serde(default)]
    pub resource: BTreeMap<String, String>,
    /// Seconds that the collector may take to answer. Default 10.
    #[serde(default = "ten")]
    pub export_seconds_max: u64,
    /// Spans that wait to be sent; more are dropped, and counted. Default 8,192.
    #[serde(default = "eight_thousand")]
    pub queued_spans_max: usize,
}

fn all() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

fn tollgate() -> String {
    "tollgate".to_owned()
}

fn ten() -> u64 {
    10
}

fn eight_thousand() -> usize {
    8_192
}
