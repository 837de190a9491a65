//! `[credentials]`: fixed AWS keys, for tests and for machines without a role.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Secret;

/// Keys that never refresh.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct StaticCredentials {
    /// Access key id, as AWS prints it.
    pub access_key_id: String,
    /// Where the secret key is.
    pub secret_access_key: Secret,
    /// Where the session token is, if there is one.
    pub session_token: Option<Secret>,
}
