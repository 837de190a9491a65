//! `InvokeModel` and `InvokeModelWithResponseStream`: the provider's own shape, chosen by model id, with Bedrock's token counts
//! in headers or in the last event.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use super::{
    super::record::Usage,
    Answer, Asked, Content, EVENT_STREAM, Events, JSON, anthropic,
    anthropic::Story,
    events::{Framing, Middle, event},
    openai, told,
};

/// Whose shape a model speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Provider {
    Anthropic,
    Nova,
    TitanEmbed,
    CohereEmbed,
    Meta,
    Mistral,
    OpenAi,
}

impl Provider {
    /// Ids come bare, with a region's prefix and inside ARNs. An opaque ARN, or a provider not listed, speaks like Anthropic.
    fn of(model: &str) -> Provider {
        let has = |part: &str| model.contains(part);
        match () {
            () if has("amazon.nova") => Provider::Nova,
            () if has("amazon.titan-embed") => Provider::TitanEmbed,
            () if has("cohere.embed") => Provider::CohereEmbed,
            () if has("meta.") => Provider::Meta,
            () if has("mistral.") => Provider::Mistral,
            () if has("openai.") => Provider::OpenAi,
            () => Provider::Anthropic,
        }
    }

    /// What its bodies report of a usage.
    fn reports(self, usage: Usage) -> Option<Usage> {
        let input = Usage { input_tokens: usage.input_tokens, ..Usage::default() };
        match self {
            Provider::Anthropic => Some(usage),
            Provider::Nova | Provider::OpenAi => Some(usage.without_ttl()),
            Provider::Meta => Some(Usage { output_tokens: usage.output_tokens, ..input }),
            Provider::TitanEmbed | Provider::CohereEmbed => Some(input),
            Provider::Mistral => None,
        }
    }
}

pub(super) fn whole(asked: &Asked) -> Answer {
    let body = asked.sized(|text| without_usage(asked, body(asked, text)).to_string());
    let mut answer = told(asked, JSON, Content::Whole(body.into()));
    let usage = asked.usage();
    let counts = [
        ("x-amzn-bedrock-input-token-count", usage.input_tokens),
        ("x-amzn-bedrock-output-token-count", usage.output_tokens),
        ("x-amzn-bedrock-cache-read-input-token-count", usage.cache_read_tokens),
        ("x-amzn-bedrock-cache-write-input-token-count", usage.cache_write_total()),
    ];
    let omitted = asked.behaviour.omit_usage_headers == Some(true);
    for (name, count) in counts.into_iter().filter(|_| !omitted) {
        answer.headers.insert(HeaderName::from_static(name), count.into());
    }
    answer.headers.insert("x-amzn-bedrock-invocation-latency", asked.latency_ms().into());
    let by_body = answer.reported.and_then(|usage| Provider::of(asked.model()).reports(usage));
    answer.reported = if omitted { by_body } else { Some(joined(usage, by_body)) };
    echo_modes(asked, &mut answer);
    answer
}

pub(super) fn stream(asked: &Asked) -> Answer {
    let mut story = story(asked);
    let usage = asked.usage();
    if let Some(last) = story.last.last_mut().filter(|_| !asked.omits_usage()) {
        last["amazon-bedrock-invocationMetrics"] = json!({
            "inputTokenCount": usage.input_tokens,
            "outputTokenCount": usage.output_tokens,
            "invocationLatency": asked.latency_ms(),
            "firstByteLatency": asked.latency_ms(),
            "cacheReadInputTokenCount": usage.cache_read_tokens,
            "cacheWriteInputTokenCount": usage.cache_write_total(),
        });
    }
    let events = Events {
        framing: Framing::Aws,
        first: story.first.iter().map(|event| chunk(asked, event)).collect(),
        middle: Middle::Same(chunk(asked, &story.middle)),
        repeats: asked.events(),
        last: story.last.iter().map(|event| chunk(asked, event)).collect(),
    };
    let mut answer = told(asked, EVENT_STREAM, Content::Events(events));
    answer.reported = answer.reported.map(|usage| joined(usage, Provider::of(asked.model()).reports(usage)));
    answer.headers.insert("x-amzn-bedrock-content-type", HeaderValue::from_static(JSON));
    echo_modes(asked, &mut answer);
    answer
}

/// Bedrock says which service tier and latency mode it used: those that were asked for, or the script's.
fn echo_modes(asked: &Asked, answer: &mut Answer) {
    const TIER: &str = "x-amzn-bedrock-service-tier";
    const LATENCY: &str = "x-amzn-bedrock-performanceconfig-latency";
    if let Some(value) = asked.headers.get(LATENCY) {
        answer.headers.insert(HeaderName::from_static(LATENCY), value.clone());
    }
    let says_tier = asked.behaviour.service_tier.is_some() || asked.headers.contains_key(TIER);
    if let Some(value) = says_tier.then(|| HeaderValue::try_from(asked.service_tier()).ok()).flatten() {
        answer.headers.insert(HeaderName::from_static(TIER), value);
    }
}

/// Bedrock's counts, and how long the cache was written, which only the provider says.
fn joined(usage: Usage, by_body: Option<Usage>) -> Usage {
    let says_ttl = by_body.is_some_and(|body| body.cache_write_1h_tokens == usage.cache_write_1h_tokens);
    if says_ttl { usage } else { usage.without_ttl() }
}

/// A document or an event without the provider's counts, where the script wants none.
fn without_usage(asked: &Asked, mut document: Value) -> Value {
    const COUNTS: [&str; 6] =
        ["usage", "inputTextTokenCount", "meta", "prompt_token_count", "generation_token_count", "metadata"];
    if let Some(members) = document.as_object_mut().filter(|_| asked.omits_usage()) {
        members.retain(|name, _| !COUNTS.contains(&name.as_str()));
    }
    document
}

/// How many texts are to be embedded.
fn texts(asked: &Asked) -> usize {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Request {
        texts: Vec<IgnoredAny>,
    }
    serde_json::from_slice(asked.body).map_or(1, |request: Request| request.texts.len().max(1))
}

fn body(asked: &Asked, text: &str) -> Value {
    let usage = asked.usage();
    let embedding = [0.1, -0.2, 0.3, -0.4];
    match Provider::of(asked.model()) {
        Provider::Anthropic => anthropic::message(asked, text),
        Provider::OpenAi => openai::completion(asked, text),
        Provider::Nova => json!({
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
            "stopReason": "end_turn",
            "usage": nova_usage(asked),
        }),
        Provider::TitanEmbed => json!({"embedding": embedding, "inputTextTokenCount": usage.input_tokens}),
        Provider::CohereEmbed => json!({
            "id": asked.id,
            "texts": vec![text; texts(asked)],
            "embeddings": vec![embedding; texts(asked)],
            "response_type": "embeddings_floats",
            "meta": {"billed_units": {"input_tokens": usage.input_tokens}},
        }),
        Provider::Meta => json!({
            "generation": text,
            "prompt_token_count": usage.input_tokens,
            "generation_token_count": usage.output_tokens,
            "stop_reason": "stop",
        }),
        Provider::Mistral => json!({"outputs": [{"text": text, "stop_reason": "stop"}]}),
    }
}

fn story(asked: &Asked) -> Story {
    let piece = asked.piece();
    match Provider::of(asked.model()) {
        Provider::Nova => Story {
            first: vec![json!({"messageStart": {"role": "assistant"}})],
            middle: json!({"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": 0}}),
            last: vec![
                json!({"contentBlockStop": {"contentBlockIndex": 0}}),
                json!({"messageStop": {"stopReason": "end_turn"}}),
                json!({"metadata": {"usage": nova_usage(asked), "metrics": {}, "trace": {}}}),
            ],
        },
        Provider::Meta => Story {
            first: vec![],
            middle: json!({"generation": piece, "prompt_token_count": null, "generation_token_count": 1, "stop_reason": null}),
            last: vec![json!({
                "generation": "",
                "prompt_token_count": null,
                "generation_token_count": asked.usage().output_tokens,
                "stop_reason": "stop",
            })],
        },
        Provider::Mistral => Story {
            first: vec![],
            middle: json!({"outputs": [{"text": piece, "stop_reason": null}]}),
            last: vec![json!({"outputs": [{"text": "", "stop_reason": "stop"}]})],
        },
        _ => anthropic::story(asked),
    }
}

fn nova_usage(asked: &Asked) -> Value {
    let usage = asked.usage();
    json!({
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.total(),
        "cacheReadInputTokenCount": usage.cache_read_tokens,
        "cacheWriteInputTokenCount": usage.cache_write_total(),
    })
}

/// The provider's event inside Bedrock's; `p` pads, so that lengths tell nothing.
fn chunk(asked: &Asked, event_body: &Value) -> bytes::Bytes {
    let text = without_usage(asked, event_body.clone()).to_string();
    event("chunk", &json!({"bytes": STANDARD.encode(text), "p": "abcdefghijklmnopqrstuvwx"}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_told_from_any_form_of_id() {
        for (model, provider) in [
            ("anthropic.claude-3-haiku-20240307-v1:0", Provider::Anthropic),
            ("us.amazon.nova-lite-v1:0", Provider::Nova),
            ("amazon.titan-embed-text-v2:0", Provider::TitanEmbed),
            ("cohere.embed-english-v3", Provider::CohereEmbed),
            ("arn:aws:bedrock:us-east-1:1:inference-profile/us.meta.llama3-1-8b", Provider::Meta),
            ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", Provider::Anthropic),
            ("openai.gpt-oss-120b-1:0", Provider::OpenAi),
        ] {
            assert_eq!(Provider::of(model), provider, "{model}");
        }
    }
}
