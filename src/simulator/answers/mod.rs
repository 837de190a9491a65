//! What Bedrock would say, operation by operation. Pure: a question in, an answer out; when and how it goes out is `body`'s.

mod anthropic;
mod control;
mod converse;
pub(super) mod errors;
mod events;
mod invoke;
mod openai;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde::Deserialize;
use tokio::sync::mpsc;

pub(super) use self::events::{Events, chunk_of, event, exception};
use super::{
    exchange::json,
    record::Usage,
    script::{Behaviour, Size},
};
use crate::bedrock::{Operation, Service, Streams};

const JSON: &str = "application/json";
const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";
const SSE: &str = "text/event-stream";

/// An answer, whole.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub content: Content,
    /// What was generated for it.
    pub generated: Option<Usage>,
    /// What its body or headers report of that.
    pub reported: Option<Usage>,
    /// Its service tier, where something was generated.
    pub service_tier: Option<String>,
}

impl Answer {
    /// The usage that a client can read from it: the events that carry it come last, after an exception would have ended them.
    pub fn reported(&self, behaviour: &Behaviour) -> Option<Usage> {
        let ends_early = behaviour.exception.is_some() && matches!(self.content, Content::Events(_));
        self.reported.filter(|_| !ends_early)
    }
}

/// A body before it is paced and cut.
pub(super) enum Content {
    Whole(Bytes),
    Events(Events),
    /// Made while the request is still read.
    Live(mpsc::Receiver<Bytes>),
}

/// Everything an answer may depend on.
pub(super) struct Asked<'a> {
    pub operation: Option<&'static Operation>,
    pub model: Option<&'a str>,
    pub headers: &'a HeaderMap,
    /// Only where an answer depends on it.
    pub body: &'a [u8],
    pub behaviour: &'a Behaviour,
    pub region: &'a str,
    /// The request id.
    pub id: &'a str,
}

/// Answers as the operation does.
pub(super) fn answer(asked: &Asked) -> Answer {
    let Some(operation) = asked.operation else { return errors::unknown_operation() };
    match operation.name {
        "Converse" => converse::whole(asked),
        "ConverseStream" => converse::stream(asked),
        "InvokeModel" => invoke::whole(asked),
        "InvokeModelWithResponseStream" => invoke::stream(asked),
        "CountTokens" => json(StatusCode::OK, JSON, format!(r#"{{"inputTokens":{}}}"#, asked.usage().input_tokens)),
        "ChatCompletions" => openai::chat(asked),
        "Responses" => openai::responses(asked),
        "Messages" => anthropic::messages(asked),
        "CountMessageTokens" => json(StatusCode::OK, JSON, format!(r#"{{"input_tokens":{}}}"#, asked.usage().input_tokens)),
        "ListModels" => openai::models(),
        "ListFoundationModels" => control::foundation_models(asked),
        "ListInferenceProfiles" => control::inference_profiles(asked),
        "ApplyGuardrail" => control::guardrail(),
        "Retrieve" => control::retrieved(),
        "Rerank" => control::reranked(asked),
        _ => empty(operation),
    }
}

/// No member of any of these answers' shapes is needed to parse them.
fn empty(operation: &Operation) -> Answer {
    match (operation.streams, operation.service) {
        (Streams::Neither, Service::BedrockDataAutomationRuntime) => json(StatusCode::OK, "application/x-amz-json-1.1", "{}"),
        (Streams::Neither, _) => json(StatusCode::OK, JSON, "{}"),
        _ => json(StatusCode::OK, EVENT_STREAM, Bytes::new()),
    }
}

/// The `model` of an OpenAI or Anthropic body.
pub(super) fn model_in(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Model {
        model: String,
    }
    serde_json::from_slice::<Model>(body).ok().map(|body| body.model)
}

impl Asked<'_> {
    /// The tokens that the script makes up.
    fn usage(&self) -> Usage {
        Usage {
            input_tokens: self.behaviour.input_tokens.unwrap_or(12),
            output_tokens: self.behaviour.output_tokens.unwrap_or(34),
            cache_read_tokens: self.behaviour.cache_read_tokens.unwrap_or(0),
            cache_write_tokens: self.behaviour.cache_write_tokens.unwrap_or(0),
            cache_write_1h_tokens: self.behaviour.cache_write_1h_tokens.unwrap_or(0),
        }
    }

    /// Whether bodies and events leave the counts out.
    fn omits_usage(&self) -> bool {
        self.behaviour.omit_usage == Some(true)
    }

    /// The tier that is reported: the script's, or the one that header or body ask for.
    fn service_tier(&self) -> String {
        #[derive(Deserialize)]
        struct Body {
            #[serde(alias = "serviceTier")]
            service_tier: Tier,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Tier {
            Name(String),
            Type { r#type: String },
        }
        let header = || Some(self.headers.get("x-amzn-bedrock-service-tier")?.to_str().ok()?.to_owned());
        let body = || match serde_json::from_slice::<Body>(self.body).ok()?.service_tier {
            Tier::Name(name) | Tier::Type { r#type: name } => Some(name),
        };
        let tier = self.behaviour.service_tier.clone().or_else(header).or_else(body);
        tier.filter(|tier| tier != "auto").unwrap_or_else(|| "default".to_owned())
    }

    fn events(&self) -> u64 {
        self.behaviour.events.unwrap_or(5)
    }

    fn latency_ms(&self) -> u64 {
        self.behaviour.latency_ms.unwrap_or(1)
    }

    fn model(&self) -> &str {
        self.model.unwrap_or("anthropic.claude-simulator")
    }

    /// The text of one event.
    fn piece(&self) -> String {
        const WORDS: &str = "The simulator says this. ";
        WORDS.chars().cycle().take(self.behaviour.event_bytes.map_or(25, usize::from)).collect()
    }

    /// The text of all events, or of the first ones that may lie in memory together.
    fn text(&self) -> String {
        let piece = self.piece();
        let fit = usize::from(Size::MAX) / piece.len().max(1);
        piece.repeat(usize::try_from(self.events()).unwrap_or(usize::MAX).min(fit))
    }

    /// A body made of its text; where the script names a size, the text is as long as it takes to reach it.
    fn sized(&self, make: impl Fn(&str) -> String) -> String {
        const MARK: &str = "~TEXT~";
        let Some(size) = self.behaviour.response_bytes.map(usize::from) else { return make(&self.text()) };
        let frame = make(MARK);
        let filling = size.saturating_sub(frame.len() - MARK.len());
        frame.replacen(MARK, &"x".repeat(filling), 1)
    }
}

/// A 200 with something generated, which it reports unless the script leaves that out.
fn told(asked: &Asked, content_type: &'static str, content: Content) -> Answer {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
    Answer {
        status: StatusCode::OK,
        headers,
        content,
        generated: Some(asked.usage()),
        reported: (!asked.omits_usage()).then(|| asked.usage()),
        service_tier: Some(asked.service_tier()),
    }
}
