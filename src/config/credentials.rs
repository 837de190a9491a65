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

impl StaticCredentials {
    /// Whether a text can be an id, a key or a token of AWS's: what has a space or a line break in it signs nothing, or stands in no header.
    pub fn is_plain(text: &str) -> bool {
        text.bytes().all(|b| b.is_ascii_graphic())
    }
}
