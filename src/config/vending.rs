//! `[vending]`: credentials that the gateway gives out for a token, so that SDKs refresh them by themselves.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Secret;

/// What is vended, and under which keys.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vending {
    /// The first seals, all open. The same on every gateway of a fleet.
    pub sealing_keys: Vec<SealingKey>,
    /// Seconds that vended credentials are valid, though never longer than the token; default 3,600.
    #[serde(default = "one_hour")]
    pub lifetime_seconds: u64,
    /// Answers `GET /credentials`, the container-credentials protocol; default true.
    #[serde(default = "yes")]
    pub container_credentials: bool,
    /// Answers `POST /sts`, AssumeRoleWithWebIdentity; default true.
    #[serde(default = "yes")]
    pub sts: bool,
}

/// A key that seals session tokens and the secrets of access keys.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SealingKey {
    /// Stands in what it seals: 1 to 32 of `A-Z a-z 0-9 _ -`.
    pub id: String,
    /// Where its 32 bytes are, in base64.
    pub secret: Secret,
}

impl SealingKey {
    /// Whether `id` can stand in what is sealed.
    pub fn is_id(id: &str) -> bool {
        (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    }
}

fn one_hour() -> u64 {
    3_600
}

fn yes() -> bool {
    true
}
