//! `[upstream]`: which Bedrock endpoints requests go to, and how they are connected to.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

/// Endpoints and connections.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// AWS region, signed for and part of host names: `us-east-1`.
    pub region: String,
    /// Uses the FIPS endpoints (`bedrock-runtime-fips.…`).
    #[serde(default)]
    pub fips: bool,
    /// Uses the dual-stack endpoints (`….api.aws`).
    #[serde(default)]
    pub dual_stack: bool,
    /// Overrides the DNS suffix that follows from the region's partition.
    pub dns_suffix: Option<String>,
    /// An endpoint of your own per service, for VPC endpoints: `bedrock-runtime = "https://vpce-….vpce.amazonaws.com"`.
    #[serde(default)]
    pub endpoints: BTreeMap<String, String>,
    /// Dials this address instead of resolving host names; `Host`, SNI and signature stay the endpoint's.
    pub connect_to: Option<SocketAddr>,
    /// PEM bundle that upstream certificates must chain to, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Seconds for TCP connect and TLS handshake together; default 5.
    #[serde(default = "five")]
    pub connect_seconds_max: u64,
    /// Seconds without a byte from upstream before a request is given up; default 600, the longest silence of a thinking model.
    #[serde(default = "six_hundred")]
    pub silence_seconds_max: u64,
    /// Seconds an idle connection stays pooled; default 10, below AWS's own idle limit.
    #[serde(default = "ten")]
    pub idle_seconds_max: u64,
}

fn five() -> u64 {
    5
}

fn ten() -> u64 {
    10
}

fn six_hundred() -> u64 {
    600
}
