//! `[routing]`: what may override, or must complete, routing by method and path.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Overrides of the table of operations.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Routing {
    /// Host names below which the first label names the service: `["gw.example.com"]` makes
    /// `bedrock-agent.gw.example.com` mean bedrock-agent.
    pub host_suffixes: Vec<String>,
    /// Obeys the `aws-endpoint-prefix` header of the AWS reference gateway's clients; only Bedrock services are believed. Default true.
    pub endpoint_prefix_header: bool,
    /// Which service takes `/openai/v1/…` and `/anthropic/v1/messages` when nothing in the request says so.
    pub surface_service: SurfaceService,
}

impl Default for Routing {
    fn default() -> Self {
        Routing { host_suffixes: Vec::new(), endpoint_prefix_header: true, surface_service: SurfaceService::default() }
    }
}

/// The two services that have OpenAI- and Anthropic-shaped routes.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SurfaceService {
    /// AWS's advice since mid-2026.
    #[default]
    BedrockRuntime,
    /// The older endpoint.
    BedrockMantle,
}
