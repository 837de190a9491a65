//! The configuration file as it is written: one section, one file. Reading says everything that is wrong with a file at once;
//! what the values mean to a request is compiled in `snapshot`.

pub mod bidirectional;
pub mod bodies;
pub mod client_principals;
pub mod credentials;
pub mod downstream;
pub mod groups;
pub mod issuers;
pub mod keys;
pub mod ledger;
pub mod listeners;
pub mod log;
pub mod metering;
pub mod network;
pub mod prices;
pub mod quotas;
pub mod request_metadata;
pub mod roles;
pub mod routing;
pub mod secret;
pub mod tenants;
pub mod traces;
pub mod upstream;
pub mod validity;
pub mod vending;

pub mod problems;
pub mod read;
pub mod schema;

pub mod changes;
mod check;
mod contents;
mod deserialize;
mod document;
mod duplicates;
mod fault;
mod mask;
mod suggest;
mod syntax;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use self::document::KeyPath;
pub use bidirectional::Bidirectional;
pub use bodies::Bodies;
pub use changes::{Change, Written};
pub use client_principals::{CertificateName, ClientPrincipal, ClientToken};
pub use contents::contents;
pub use credentials::StaticCredentials;
pub use downstream::Downstream;
pub use groups::{Denied, Group};
pub use issuers::{Algorithm, Issuer, KeyOrigin, KeySetSource};
pub use keys::{API_KEY_PREFIX, AccessKey, ApiKey, Keys, KeysFile, KeysFileError};
pub use ledger::{Durability, Ledger, OnFailure};
pub use listeners::{ClientCertificates, Listener, Tls, TlsFiles, TlsPolicy};
pub use log::Log;
pub use metering::Metering;
pub use network::{Network, NetworkError};
pub use prices::{Prices, Unpriced, examine_prices, parse_prices};
pub use problems::{Problem, Problems, Severity};
pub use quotas::{AccountKeeping, HoldInput, MaxTokensOver, Quota};
pub use read::{examine, parse, read, read_alone};
pub use request_metadata::RequestMetadata;
pub use roles::{RoleOfTenant, Roles, TenantRole};
pub use routing::{Routing, SurfaceService};
pub use secret::{Secret, SecretError};
pub use tenants::{Guardrail, RequestLimits, Tenant};
pub use traces::Traces;
pub use upstream::Upstream;
pub use validity::Validity;
pub use vending::{SealingKey, Vending};

/// A whole configuration file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the gateway keeps what it wants to know again after a restart: issuers' last good keys; absent: nowhere.
    pub state_directory: Option<PathBuf>,
    /// Where clients connect; at least one.
    pub listeners: Vec<Listener>,
    /// Where operators connect.
    #[serde(default)]
    pub admin: Admin,
    /// Where requests go.
    pub upstream: Upstream,
    /// AWS keys; absent: the SDK's default chain (environment, profile, web identity, ECS, IMDSv2).
    pub credentials: Option<StaticCredentials>,
    /// Sessions of AWS roles for tenants.
    #[serde(default)]
    pub roles: Roles,
    /// What is added to requests' metadata.
    #[serde(default)]
    pub request_metadata: RequestMetadata,
    /// What overrides the table of operations.
    #[serde(default)]
    pub routing: Routing,
    /// Bounds on request bodies.
    #[serde(default)]
    pub bodies: Bodies,
    /// Bounds on streams in both directions.
    #[serde(default)]
    pub bidirectional: Bidirectional,
    /// Bounds on connections and headers.
    #[serde(default)]
    pub downstream: Downstream,
    /// How far an answer is read that its client no longer wants, to learn what Bedrock bills; 0 in either reads nothing.
    #[serde(default)]
    pub metering: Metering,
    /// Who may vouch for callers, by a name of your own.
    #[serde(default)]
    pub issuers: BTreeMap<String, Issuer>,
    /// Credentials that the gateway gives out for a token; absent: none.
    pub vending: Option<Vending>,
    /// Access keys and API keys of tenants; absent: none.
    pub keys: Option<Keys>,
    /// Who is limited and billed, by the name that tokens carry.
    #[serde(default)]
    pub tenants: BTreeMap<String, Tenant>,
    /// What callers may besides, because of the groups they are in.
    #[serde(default)]
    pub groups: BTreeMap<String, Group>,
    /// What opaque names stand for: application inference profiles, provisioned throughput, imported and custom models, prompts; by the
    /// name that clients write.
    #[serde(default)]
    pub profiles: BTreeMap<String, String>,
    /// How the tenants' accounts are kept.
    #[serde(default)]
    pub account: AccountKeeping,
    /// Where the account is kept.
    #[serde(default)]
    pub ledger: Ledger,
    /// What models cost.
    #[serde(default)]
    pub prices: Prices,
    /// What is logged.
    #[serde(default)]
    pub log: Log,
    /// Spans for an OpenTelemetry collector; absent: none.
    pub traces: Option<Traces>,
    /// All of it in words, for saying what the next one changes.
    #[serde(skip)]
    pub written: Written,
}

/// The admin listener: `/console`, `/metrics`, `/healthz`, `/readyz`, `/usage`; plaintext.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// IP address and port. Default `127.0.0.1:9464`.
    pub address: SocketAddr,
}

impl Default for Admin {
    fn default() -> Self {
        Admin { address: SocketAddr::from(([127, 0, 0, 1], 9464)) }
    }
}

/// The path of a key, as diagnostics write it: `tenants.acme.models`.
pub fn key_path(keys: &[&str]) -> String {
    keys.iter().fold(KeyPath::default(), |path, key| path.key(key)).to_string()
}
