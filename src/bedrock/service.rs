//! The nine Bedrock services: what each is called in host names, in SigV4 scopes and in configuration.

use std::{fmt, str::FromStr};

/// A Bedrock service: the eight that botocore models, and `bedrock-mantle`, which only OpenAI and Anthropic clients speak to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// Control plane: models, guardrails, jobs.
    Bedrock,
    /// Inference.
    BedrockRuntime,
    /// Agents, knowledge bases, flows and prompts: their control plane.
    BedrockAgent,
    /// Agents, knowledge bases and flows at run time.
    BedrockAgentRuntime,
    /// AgentCore's data plane.
    BedrockAgentcore,
    /// AgentCore's control plane.
    BedrockAgentcoreControl,
    /// Data automation: projects and blueprints.
    BedrockDataAutomation,
    /// Data automation at run time: JSON 1.1 on `POST /`.
    BedrockDataAutomationRuntime,
    /// The OpenAI- and Anthropic-native endpoint.
    BedrockMantle,
}

impl Service {
    /// Every service, in the order of the enum: `Service::ALL[s as usize] == s`.
    pub const ALL: [Service; 9] = [
        Service::Bedrock,
        Service::BedrockRuntime,
        Service::BedrockAgent,
        Service::BedrockAgentRuntime,
        Service::BedrockAgentcore,
        Service::BedrockAgentcoreControl,
        Service::BedrockDataAutomation,
        Service::BedrockDataAutomationRuntime,
        Service::BedrockMantle,
    ];

    /// The endpoint prefix, as in host names: `bedrock-agent-runtime`.
    pub const fn name(self) -> &'static str {
        match self {
            Service::Bedrock => "bedrock",
            Service::BedrockRuntime => "bedrock-runtime",
            Service::BedrockAgent => "bedrock-agent",
            Service::BedrockAgentRuntime => "bedrock-agent-runtime",
            Service::BedrockAgentcore => "bedrock-agentcore",
            Service::BedrockAgentcoreControl => "bedrock-agentcore-control",
            Service::BedrockDataAutomation => "bedrock-data-automation",
            Service::BedrockDataAutomationRuntime => "bedrock-data-automation-runtime",
            Service::BedrockMantle => "bedrock-mantle",
        }
    }

    /// The service of this name.
    pub fn named(name: &str) -> Option<Service> {
        Service::ALL.into_iter().find(|service| service.name() == name)
    }

    /// The service name in the SigV4 credential scope (botocore's `signingName`).
    pub const fn signing_name(self) -> &'static str {
        match self {
            Service::BedrockAgentcore | Service::BedrockAgentcoreControl => "bedrock-agentcore",
            Service::BedrockMantle => "bedrock-mantle",
            _ => "bedrock",
        }
    }

    /// The variable with which AWS SDKs take this service's endpoint, `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`.
    pub fn endpoint_variable(self) -> String {
        format!("AWS_ENDPOINT_URL_{}", self.name().replace('-', "_").to_ascii_uppercase())
    }
}

/// The text is none of [`Service::ALL`]'s names.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a Bedrock service")]
pub struct UnknownService(pub String);

impl FromStr for Service {
    type Err = UnknownService;

    fn from_str(text: &str) -> Result<Self, UnknownService> {
        Service::named(text).ok_or_else(|| UnknownService(text.to_owned()))
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_name_and_text_agree() {
        for (index, service) in Service::ALL.into_iter().enumerate() {
            assert_eq!(service as usize, index);
            assert_eq!(service.name().parse::<Service>().ok(), Some(service));
        }
        assert!("Bedrock".parse::<Service>().is_err());
    }
}
