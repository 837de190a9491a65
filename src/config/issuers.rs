//! `[issuers.NAME]`: whose tokens are believed, and what must be in them.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One token issuer.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The exact `iss` claim.
    pub issuer: String,
    /// A token's `audience_claim` must name one of these.
    pub audiences: Vec<String>,
    /// The claim that says whom a token is for; default `aud`. Cognito's access tokens have `client_id` instead.
    #[serde(default = "default_audience_claim")]
    pub audience_claim: String,
    /// Signature algorithms accepted from this issuer; default RS256 and ES256.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// Claims that must be there, each with one of these values.
    #[serde(default)]
    pub required_claims: BTreeMap<String, Vec<String>>,
    /// Scopes that a token must have, all of them, in `scope` or `scp`.
    #[serde(default)]
    pub required_scopes: Vec<String>,
    /// The claim that names the tenant; default `tenant`. A JSON pointer (RFC 6901) if it begins with `/`.
    #[serde(default = "default_tenant_claim")]
    pub tenant_claim: String,
    /// Tenants by the claim's value, and no others; absent: the claim names the tenant itself.
    pub tenants: Option<BTreeMap<String, String>>,
    /// What the claim must begin with; the rest names the tenant.
    pub tenant_prefix: Option<String>,
    /// The one tenant of all tokens; no claim is looked at.
    pub tenant: Option<String>,
    /// The claim that names the caller's groups, a string or an array of strings; a JSON pointer if it begins with `/`. Absent: no groups.
    /// A token that says that the claim is elsewhere (`_claim_names`, `hasgroups`) is refused.
    pub groups_claim: Option<String>,
    /// What a group's name begins with in the claim; the rest is the group. Other values count for nothing.
    pub groups_prefix: Option<String>,
    /// Groups by the claim's value, and no others; absent: the claim names the groups themselves.
    pub groups: Option<BTreeMap<String, String>>,
    /// Where the public keys (JWKS, RFC 7517) are; default: where the issuer's discovery document says.
    #[serde(default)]
    pub key_set: KeySetSource,
    /// Seconds between polls of a key set at a URL; default 300. A file is read again when the configuration reloads.
    #[serde(default = "three_hundred")]
    pub key_set_refresh_seconds: u64,
    /// Seconds that keys are believed after the last poll that succeeded; default 86,400.
    #[serde(default = "one_day")]
    pub key_set_outage_seconds_max: u64,
    /// Refuses tokens that live longer than this, `exp` minus `iat`, in seconds; default 86,400.
    #[serde(default = "one_day")]
    pub token_lifetime_seconds_max: u64,
    /// Clock difference that is forgiven, in seconds; default 60.
    #[serde(default = "sixty")]
    pub leeway_seconds: u64,
}

impl Issuer {
    /// Where the keys come from, all told.
    pub fn key_origin(&self) -> KeyOrigin {
        match &self.key_set {
            KeySetSource::File(file) => KeyOrigin::File(file.clone()),
            KeySetSource::Url(url) => KeyOrigin::Url(url.clone()),
            KeySetSource::Discovery(_) => KeyOrigin::Discovery(self.issuer.clone()),
        }
    }
}

/// `{ file = "keys.json" }`, `{ url = "https://…" }` or `{ discovery = true }`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum KeySetSource {
    /// A file beside the configuration.
    File(PathBuf),
    /// An `https` URL (`http` on loopback only).
    Url(String),
    /// At the `jwks_uri` of the issuer's discovery document; always true.
    Discovery(bool),
}

impl Default for KeySetSource {
    fn default() -> Self {
        KeySetSource::Discovery(true)
    }
}

/// A place that keys come from. Keys of one are not believed for another.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum KeyOrigin {
    /// This file.
    File(PathBuf),
    /// This URL.
    Url(String),
    /// What the discovery document of this issuer (OpenID Connect Discovery 1.0 §4) names.
    Discovery(String),
}

/// JWS algorithms (RFC 7518 §3.1, RFC 8037) with public keys. Shared secrets and `none` do not exist here.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Hash, Serialize)]
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

fn default_audience_claim() -> String {
    "aud".to_owned()
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
