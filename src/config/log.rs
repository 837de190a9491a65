//! `[log]`: what is written to standard output, a JSON object a line.

use schemars::JsonSchema;
use serde::Deserialize;

/// Logging.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`, or a filter in tracing's syntax. Of other modules than `tollgate` nothing below
    /// `debug` is logged, and of Pingora's nothing at all. Default `info`.
    pub level: String,
    /// Writes one line a request. Default true.
    pub access: bool,
    /// Writes one line for so many requests that Bedrock answered well; it says how many it stands for. Refusals, errors, requests sent
    /// again, guessed usage and slow ones have a line each. Default 1: all have.
    pub access_one_in: u32,
    /// Seconds from which on a request is slow. Default 30.
    pub access_slow_seconds: u64,
}

impl Default for Log {
    fn default() -> Self {
        Log { level: "info".to_owned(), access: true, access_one_in: 1, access_slow_seconds: 30 }
    }
}
