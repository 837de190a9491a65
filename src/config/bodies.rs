//! `[bodies]`: bounds on request bodies, which are held whole because SigV4 signs their hash.

use schemars::JsonSchema;
use serde::Deserialize;

/// Bounds on request bodies.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Bodies {
    /// Bytes of one body; more is a 413. Default 25,000,000: InvokeModel's own limit.
    pub bytes_max: u64,
    /// Bytes of all bodies held at once. Default 1,000,000,000.
    pub in_flight_bytes_max: u64,
    /// Seconds a request waits for room among all bodies before it gets a 503. Default 5.
    pub wait_seconds_max: u64,
    /// Seconds a client may take to send its body. Default 300.
    pub read_seconds_max: u64,
}

impl Default for Bodies {
    fn default() -> Self {
        Bodies { bytes_max: 25_000_000, in_flight_bytes_max: 1_000_000_000, wait_seconds_max: 5, read_seconds_max: 300 }
    }
}
