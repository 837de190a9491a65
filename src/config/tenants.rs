//! `[tenants.NAME]`: what each tenant may call, and how often. Nothing is allowed that is not written; `"*"` allows all.

use serde::Deserialize;

use super::Quota;

/// One tenant.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Globs (`*`, `?`) over model ids and ARNs, as the client names them.
    #[serde(default)]
    pub models: Vec<String>,
    /// Services by endpoint prefix, or `"*"`.
    #[serde(default)]
    pub services: Vec<String>,
    /// Operations as AWS spells them, globs allowed: `"Converse*"`. Operations this version does not know need `"*"`.
    #[serde(default)]
    pub operations: Vec<String>,
    /// Request limits; absent ones do not limit.
    #[serde(default)]
    pub limits: RequestLimits,
    /// The IANA time zone in which days and months begin; default UTC.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// Limits in tokens and money; all that apply hold together.
    #[serde(default)]
    pub quotas: Vec<Quota>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Limits in requests, and in what streams of events say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RequestLimits {
    /// Requests in any second.
    pub requests_per_second: Option<u32>,
    /// Requests in any minute.
    pub requests_per_minute: Option<u32>,
    /// Requests running at once, streams included.
    pub concurrent_requests: Option<u32>,
    /// Events a second from its clients, over all its streams in both directions; default `[bidirectional]`'s.
    pub stream_events_per_second: Option<u64>,
    /// The same in bytes.
    pub stream_bytes_per_second: Option<u64>,
}
