//! `[ledger]`: where the account is kept, and what it promises when the machine or the disk fails.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The durable account.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Ledger {
    /// The SQLite file; its directory must exist. Absent: nothing is kept, and a restart begins every window anew. An upgrade goes on with
    /// the same file: move it while the gateway is stopped.
    pub file: Option<PathBuf>,
    /// When a charge is on disk.
    pub durability: Durability,
    /// What becomes of new requests while the file cannot be written.
    pub on_failure: OnFailure,
    /// Milliseconds a charge may wait to be written together with others. Default 200.
    pub commit_milliseconds_max: u64,
    /// Days that the rows of single requests are kept. Sums are kept for ever. Default 90.
    pub retention_days: u32,
}

impl Default for Ledger {
    fn default() -> Self {
        Ledger {
            file: None,
            durability: Durability::default(),
            on_failure: OnFailure::default(),
            commit_milliseconds_max: 200,
            retention_days: 90,
        }
    }
}

/// When a charge is on disk.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// Within a second, while the disk takes writes; no request waits.
    #[default]
    Group,
    /// Before the client sees the end of the answer.
    Strict,
}

/// What becomes of new requests while the file cannot be written.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// They are refused: nothing is spent that might not be recorded.
    #[default]
    Closed,
    /// They go on; what they cost waits in memory, and a metric and the log raise the alarm.
    Open,
}
