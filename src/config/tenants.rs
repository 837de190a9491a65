//! `[tenants.NAME]`: what each tenant may call, and how often. Nothing is allowed that is not written; `"*"` allows all.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Denied, HoldInput, Quota, TenantRole};

/// One tenant.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Globs (`*`, `?`) over model ids and ARNs, as the client names them, and over what they stand for.
    #[serde(default)]
    pub models: Vec<String>,
    /// Services by endpoint prefix, or `"*"`.
    #[serde(default)]
    pub services: Vec<String>,
    /// Operations as AWS spells them, globs allowed: `"Converse*"`. Operations this version does not know need `"*"`.
    #[serde(default)]
    pub operations: Vec<String>,
    /// Globs over regions and over the geographies of profiles (`eu`, `us`, `global`); default all.
    #[serde(default = "everything")]
    pub regions: Vec<String>,
    /// Globs over service tiers as requests name them; one that names none asks for `default`. Default all.
    #[serde(default = "everything")]
    pub service_tiers: Vec<String>,
    /// What is denied, whatever grants it.
    #[serde(default)]
    pub deny: Denied,
    /// Networks that callers may come from; absent: all.
    pub allow_from: Option<Vec<String>>,
    /// Bytes of one body, where that is less than `bodies.bytes_max`.
    pub body_bytes_max: Option<u64>,
    /// What every generation has to pass; absent: what the client names, if it does.
    pub guardrail: Option<Guardrail>,
    /// Lists of models and profiles show only what the caller may use.
    #[serde(default)]
    pub filter_lists: bool,
    /// Request limits; absent ones do not limit.
    #[serde(default)]
    pub limits: RequestLimits,
    /// The IANA time zone in which days and months begin; default UTC.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// The AWS role that its requests are signed as.
    pub role: Option<TenantRole>,
    /// How many tokens of input a request holds in `quotas` until its answer tells.
    #[serde(default)]
    pub hold_input: HoldInput,
    /// Limits in tokens and money; all that apply hold together.
    #[serde(default)]
    pub quotas: Vec<Quota>,
}

/// A guardrail of Bedrock's.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guardrail {
    /// Its id or ARN.
    pub identifier: String,
    /// A number, or `DRAFT`.
    pub version: String,
    /// Refuses requests that let it see less than all, or later.
    #[serde(default)]
    pub strict: bool,
}

fn everything() -> Vec<String> {
    vec!["*".to_owned()]
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Limits in requests, and in what streams of events say.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
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
