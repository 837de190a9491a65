//! `[request_metadata]`: what the gateway adds to the metadata of requests, for Bedrock's invocation logs.

use schemars::JsonSchema;
use serde::Deserialize;

/// Keys of the gateway's own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RequestMetadata {
    /// The key under which the tenant's name is put; absent: it is not.
    pub tenant_key: Option<String>,
}
