//! `[issuers.NAME]`: whose tokens are believed, and what must be in them.

use std::path::PathBuf;

use serde::Deserialize;

/// One token issuer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The exact `iss` claim.
    pub issuer: String,
    /// A token's `aud` must name one of these.
    pub audiences: Vec<String>,
    /// Signature algorithms accepted from this issuer; default RS256 and ES256.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// The claim that names the tenant; a string. Default `tenant`.
    #[serde(default = "default_tenant_claim")]
    pub tenant_claim: String,
    /// Where the public keys (JWKS, RFC 7517) are.
    pub key_set: KeySetSource,
    /// Seconds between polls of a key set at a URL; default 300. A file is read again when the configuration reloads.
    #[serde(default = "three_hundred")]
    pub key_set_refresh_seconds: u64,
    /// Refuses tokens that live longer than this, `exp` minus `iat`, in seconds; default 86,400.
    #[serde(default = "one_day")]
    pub token_lifetime_seconds_max: u64,
    /// Clock difference that is forgiven, in seconds; default 60.
    #[serde(default = "sixty")]
    pub leeway_seconds: u64,
}

/// `{ file = "keys.json" }` or `{ url = "https://…" }`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum KeySetSource {
    /// A file beside the configuration.
    File(PathBuf),
    /// An `https` URL (`http` on loopback only).
    Url(String),
}

/// JWS algorithms (RFC 7518 §3.1, RFC 8037) with public keys. Shared secrets and `none` do not exist here.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

fn default_algorithms() -> Vec<Algorithm> {
    vec![Algorithm::RS256, Algorithm::ES256]
}

fn default_tenant_claim() -> String {
    "tenant".to_owned()
}

fn three_hundred() -> u64 {
    300
}

fn one_day() -> u64 {
    86_400
}

fn sixty() -> u64 {
    60
}
