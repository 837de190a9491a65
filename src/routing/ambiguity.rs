//! The few requests that fit operations of several services, and what tells them apart. 24 of the 523 operations share method and
//! pattern with another service's; the OpenAI- and Anthropic-shaped routes exist on bedrock-runtime and on bedrock-mantle.

use std::borrow::Cow;

use super::{Head, KnownOperation};
use crate::bedrock::{Operation, Service, model::GEOGRAPHIES};

/// What `X-Amz-Target` begins with for bedrock-data-automation-runtime, the one Bedrock service whose operations are all `POST /`. Those of
/// DynamoDB, Secrets Manager and many more are that as well: who points a whole SDK here must not have their secrets sent to Bedrock.
const DATA_AUTOMATION_RUNTIME: &str = "AmazonBedrockKeystoneRuntimeService";

/// What in the body decides, where method and path leave two services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek {
    /// `resourceARN`: data automation's resources go to bedrock-data-automation, the others to bedrock.
    ResourceArn {
        /// For projects, blueprints and libraries of data automation.
        data_automation: KnownOperation,
        /// For everything else.
        bedrock: KnownOperation,
    },
    /// `model`: an id with a geography, a version or an ARN exists on bedrock-runtime only.
    Model {
        /// For the forms that bedrock-mantle does not have.
        runtime: KnownOperation,
        /// For the others.
        otherwise: KnownOperation,
    },
}

impl Peek {
    /// The operation, given the value found in the body (`resourceARN` or `model`).
    pub fn settle(self, value: Option<&str>) -> &'static Operation {
        match self {
            Peek::ResourceArn { data_automation, bedrock } => {
                const RESOURCES: [&str; 3] = [":data-automation-project/", ":blueprint/", ":data-automation-library"];
                let its_own = value.is_some_and(|arn| RESOURCES.iter().any(|kind| arn.contains(kind)));
                if its_own { data_automation.0 } else { bedrock.0 }
            }
            Peek::Model { runtime, otherwise } => {
                if value.is_some_and(is_runtime_model) {
                    runtime.0
                } else {
                    otherwise.0
                }
            }
        }
    }
}

/// `us.anthropic.claude-…`, `…-v1:0` and ARNs are not served by bedrock-mantle.
fn is_runtime_model(model: &str) -> bool {
    model.contains(':') || model.split_once('.').is_some_and(|(first, _)| GEOGRAPHIES.contains(&first))
}

/// One operation out of equally good ones.
pub(super) struct Chosen {
    pub operation: &'static Operation,
    /// The service is certain, the operation is not one of those known.
    pub unnamed: bool,
    pub peek: Option<Peek>,
}

/// Chooses; `None` if there is nothing to choose from.
pub(super) fn settle(
    matches: &[&'static Operation],
    head: &Head<'_>,
    segments: &[Cow<'_, str>],
    surface: Service,
) -> Option<Chosen> {
    let named = |operation| Some(Chosen { operation, unnamed: false, peek: None });
    let of = |service| matches.iter().copied().find(|operation| operation.service == service);
    let first = *matches.first()?;
    if first.service == Service::BedrockDataAutomationRuntime {
        let (prefix, target) = head.amz_target?.rsplit_once('.')?;
        if prefix != DATA_AUTOMATION_RUNTIME {
            return None;
        }
        let operation = matches.iter().copied().find(|operation| operation.name == target);
        return Some(Chosen { operation: operation.unwrap_or(first), unnamed: operation.is_none(), peek: None });
    }
    if matches.iter().all(|operation| operation.service == first.service) {
        return named(first);
    }
    if let (Some(runtime), Some(mantle)) = (of(Service::BedrockRuntime), of(Service::BedrockMantle)) {
        return match head.scope_service {
            Some("bedrock-mantle") => named(mantle),
            Some("bedrock") => named(runtime),
            _ if surface == Service::BedrockRuntime => named(runtime),
            _ => {
                let peek = Peek::Model { runtime: KnownOperation(runtime), otherwise: KnownOperation(mantle) };
                Some(Chosen { operation: mantle, unnamed: false, peek: Some(peek) })
            }
        };
    }
    if let (Some(bedrock), Some(data_automation)) = (of(Service::Bedrock), of(Service::BedrockDataAutomation)) {
        let peek = Peek::ResourceArn { data_automation: KnownOperation(data_automation), bedrock: KnownOperation(bedrock) };
        return Some(Chosen { operation: bedrock, unnamed: false, peek: Some(peek) });
    }
    named(by_arn(matches, segments).unwrap_or(first))
}

/// Tags and resource policies: the ARN in the path says whose they are.
fn by_arn(matches: &[&'static Operation], segments: &[Cow<'_, str>]) -> Option<&'static Operation> {
    let arn = segments.iter().find(|segment| segment.starts_with("arn:"))?;
    let owner = arn.split(':').nth(2)?;
    let service = match owner {
        "bedrock-agentcore" => Service::BedrockAgentcoreControl,
        _ if arn.contains(":session/") => Service::BedrockAgentRuntime,
        _ => Service::BedrockAgent,
    };
    matches.iter().copied().find(|operation| operation.service == service)
}
