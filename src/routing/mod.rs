//! Where a request goes: the service and the operation, from method and raw path alone, with explicit overrides. Decides, does not
//! connect; what a tenant may call is `policy`.

mod ambiguity;
mod index;
mod overrides;

use std::borrow::Cow;

pub use ambiguity::Peek;
pub use overrides::{OverrideError, Overrides};

use crate::bedrock::{Operation, RawPath, Service, Streams, path::decode_segment};

/// The parts of a request's head that routing reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'a> {
    /// `POST`
    pub method: &'a str,
    /// The `Host` header or `:authority`.
    pub host: Option<&'a str>,
    /// `X-Amz-Target`, of JSON 1.1 services.
    pub amz_target: Option<&'a str>,
    /// `aws-endpoint-prefix`, of the AWS reference gateway's clients.
    pub endpoint_prefix: Option<&'a str>,
    /// The service in the scope of the client's own SigV4 signature, if it sent one.
    pub scope_service: Option<&'a str>,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The service, once no body has to be looked at.
    pub service: Service,
    /// `None`: an operation this version does not know.
    pub operation: Option<KnownOperation>,
    /// The raw path to send, below any service prefix.
    pub path: String,
    /// The decoded model id or ARN, if the path names it.
    pub model: Option<String>,
    /// What in the body decides between two services; `service` is then only the first of them.
    pub peek: Option<Peek>,
}

/// A row of the table, compared by identity.
#[derive(Clone, Copy, Debug)]
pub struct KnownOperation(pub &'static Operation);

impl PartialEq for KnownOperation {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for KnownOperation {}

/// Why a request goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// An override names no service.
    #[error(transparent)]
    Override(#[from] OverrideError),
    /// `//` inside of the path.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// No Bedrock service has a path like this.
    #[error(
        "no Bedrock service has this path or X-Amz-Target; other AWS services are not served here: set the endpoint of Bedrock's alone. \
         Put the service before the path, as in /bedrock-runtime/…, if it is new"
    )]
    UnknownPath,
    /// The path is of an operation nobody knows, and its first segment belongs to several services.
    #[error(
        "no Bedrock service is known to have this path, and several have some like it; put the service before it, as in /{0}/…"
    )]
    Ambiguous(Service),
    /// All but its first segment is an operation's.
    #[error(
        "no Bedrock service has this path, but one has what follows the first `/…`: leave the stage out of the client's endpoint"
    )]
    Stage,
    /// A path of OpenAI's or Anthropic's API that Bedrock is not known to have.
    #[error(
        "Bedrock is not known to have this part of {0}'s API (of embeddings: InvokeModel has them). If it has by now, put the service \
         before the path, as in /bedrock-mantle/…"
    )]
    Surface(&'static str),
    /// A path of OpenAI's or Anthropic's API, without what Bedrock has before it.
    #[error("Bedrock has {api}'s API below {base}: put that behind the gateway's address in the client's base URL")]
    Base {
        /// Whose.
        api: &'static str,
        /// `/anthropic`
        base: &'static str,
    },
}

impl Route {
    /// The operation as AWS spells it, or `Unknown`.
    pub fn operation_name(&self) -> &'static str {
        self.operation.map_or("Unknown", |known| known.0.name)
    }

    /// Whether request and answer are streams of events that run at once.
    pub fn is_conversation(&self) -> bool {
        self.operation.is_some_and(|known| known.0.streams == Streams::Both)
    }
}

/// Finds the route of a request.
pub fn route(head: &Head<'_>, path: RawPath<'_>, overrides: &Overrides) -> Result<Route, RouteError> {
    let (forced, path) = overrides.apply(head, path)?;
    if path.has_empty_segment() {
        return Err(RouteError::EmptySegment);
    }
    let mut segments: Vec<Cow<'_, str>> = Vec::with_capacity(8);
    segments.extend(path.segments().map(decode_segment));
    let model = model_of(&segments);
    let found = move |service, operation: Option<&'static Operation>, peek| Route {
        service,
        operation: operation.map(KnownOperation),
        path: path.as_str().to_owned(),
        model,
        peek,
    };

    let matches = index::matches(head.method, &segments, forced);
    if let Some(chosen) = ambiguity::settle(&matches, head, &segments, overrides.surface_service) {
        return Ok(found(chosen.operation.service, (!chosen.unnamed).then_some(chosen.operation), chosen.peek));
    }
    match forced {
        Some(service) => Ok(found(service, None, None)),
        None => Ok(found(nearest_service(head.method, &segments)?, None, None)),
    }
}

/// The service of an operation that nobody knows. Clients of OpenAI's and Anthropic's ask for more than Bedrock has, and the first that
/// goes wrong with them is their base URL; clients of API Gateway bring its stage.
fn nearest_service(method: &str, segments: &[Cow<'_, str>]) -> Result<Service, RouteError> {
    let first: Vec<&str> = segments.iter().take(2).map(AsRef::as_ref).collect();
    match first[..] {
        ["v1", "messages" | "complete"] => return Err(RouteError::Base { api: "Anthropic", base: "/anthropic" }),
        ["chat", "completions"] | ["responses" | "embeddings", ..] => {
            return Err(RouteError::Base { api: "OpenAI", base: "/openai/v1" });
        }
        _ => {}
    }
    let nearest = index::nearest_service(segments);
    let is_stage = nearest == Err(RouteError::UnknownPath) || first.first() == Some(&"v1");
    if is_stage && segments.get(1..).is_some_and(|rest| !index::matches(method, rest, None).is_empty()) {
        return Err(RouteError::Stage);
    }
    match (nearest, &first[..]) {
        (Err(RouteError::Ambiguous(_)), ["openai", ..]) => Err(RouteError::Surface("OpenAI")),
        (Err(RouteError::Ambiguous(_)), ["anthropic", ..]) => Err(RouteError::Surface("Anthropic")),
        (found, _) => found,
    }
}

/// Every path below `/model/` names its model there, known operation or not, so that no new operation escapes the models a tenant has.
fn model_of(segments: &[Cow<'_, str>]) -> Option<String> {
    match segments {
        [first, model, ..] if first == "model" && !model.is_empty() => Some(model.clone().into_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
