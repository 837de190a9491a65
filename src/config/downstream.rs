//! `[downstream]`: bounds on what clients may send and hold open.

use serde::Deserialize;

/// Bounds on connections and headers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Downstream {
    /// Bytes of request line and headers together. Default 32,768: a long ARN percent-encoded, metadata of 8,500 and a large JWT fit.
    pub header_bytes_max: usize,
    /// Seconds from the first byte of a request to the end of its headers. Default 10.
    pub header_seconds_max: u64,
    /// Seconds an idle connection is kept. Default 60.
    pub idle_seconds_max: u64,
    /// Seconds a stopping process lets running requests finish. Default 600.
    pub drain_seconds_max: u64,
}

impl Default for Downstream {
    fn default() -> Self {
        Downstream { header_bytes_max: 32_768, header_seconds_max: 10, idle_seconds_max: 60, drain_seconds_max: 600 }
    }
}
