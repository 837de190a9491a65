//! `[log]`: what is written to standard output, a JSON object a line.

use serde::Deserialize;

/// Logging.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`, or a filter in tracing's syntax. Default `info`.
    pub level: String,
    /// Writes one line a request. Default true.
    pub access: bool,
}

impl Default for Log {
    fn default() -> Self {
        Log { level: "info".to_owned(), access: true }
    }
}
