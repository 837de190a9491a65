//! `[metering]`: how far an answer is read that its client no longer wants, to learn what Bedrock bills.

use schemars::JsonSchema;
use serde::Deserialize;

/// Bounds on reading on after a client left. 0 in either reads nothing.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Metering {
    /// Seconds that an answer is read on. Default 120.
    pub read_on_seconds_max: u64,
    /// Bytes of an answer that are read on. Default 33,554,432.
    pub read_on_bytes_max: u64,
}

impl Default for Metering {
    fn default() -> Self {
        Metering { read_on_seconds_max: 120, read_on_bytes_max: 32 * 1024 * 1024 }
    }
}
