//! OpenAI's Chat Completions, Responses and Models. What is read from the cache and written to it is part of the input here, and how long
//! it lives is not said.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Asked, Content, Events, JSON, SSE,
    events::{Framing, Middle, named_sse, sse},
    told,
};
use crate::simulator::{exchange, record::Usage};

/// 2026-01-01: answers do not depend on a clock.
const CREATED: u64 = 1_767_225_600;

#[derive(Default, Deserialize)]
struct Body {
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

pub(super) fn chat(asked: &Asked) -> Answer {
    let body: Body = serde_json::from_slice(asked.body).unwrap_or_default();
    if !body.stream {
        let text = asked.sized(|text| completion(asked, text).to_string());
        return openai_told(asked, JSON, Content::Whole(text.into()));
    }
    let include_usage = body.stream_options.is_some_and(|options| options.include_usage) && !asked.omits_usage();
    let tier = asked.service_tier();
    let chunk = |choices: Value, usage: Option<Value>| {
        let mut chunk = json!({
            "id": format!("chatcmpl-{}", asked.id),
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": asked.model(),
            "service_tier": tier,
            "choices": choices,
        });
        if include_usage {
            chunk["usage"] = usage.unwrap_or_default();
        }
        sse(None, &chunk)
    };
    let choice = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    let mut last = vec![chunk(choice(json!({}), json!("stop")), None)];
    if include_usage {
        last.push(chunk(json!([]), Some(chat_usage(asked))));
    }
    last.push("data: [DONE]\n\n".into());
    let events = Events {
        framing: Framing::OpenAi,
        first: vec![chunk(choice(json!({"role": "assistant", "content": "", "refusal": null}), Value::Null), None)],
        middle: Middle::Same(chunk(choice(json!({"content": asked.piece()}), Value::Null), None)),
        repeats: asked.events(),
        last,
    };
    let mut answer = openai_told(asked, SSE, Content::Events(events));
    answer.reported = answer.reported.filter(|_| include_usage);
    answer
}

/// The whole answer, as `InvokeModel` has it too.
pub(super) fn completion(asked: &Asked, text: &str) -> Value {
    let mut completion = json!({
        "id": format!("chatcmpl-{}", asked.id),
        "object": "chat.completion",
        "created": CREATED,
        "model": asked.model(),
        "service_tier": asked.service_tier(),
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
        }],
    });
    if !asked.omits_usage() {
        completion["usage"] = chat_usage(asked);
    }
    completion
}

pub(super) fn responses(asked: &Asked) -> Answer {
    let body: Body = serde_json::from_slice(asked.body).unwrap_or_default();
    if !body.stream {
        let text = asked.sized(|text| response(asked, "completed", Some(text)).to_string());
        return openai_told(asked, JSON, Content::Whole(text.into()));
    }
    let (text, item, repeats) = (asked.text(), item_id(asked), asked.events());
    let place = |kind: &str, mut more: Value| {
        more["type"] = json!(kind);
        more["item_id"] = json!(item);
        more["output_index"] = json!(0);
        more["content_index"] = json!(0);
        more
    };
    let first = vec![
        json!({"type": "response.created", "response": response(asked, "in_progress", None)}),
        json!({"type": "response.in_progress", "response": response(asked, "in_progress", None)}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": item_of(asked, "in_progress", None)}),
        place("response.content_part.added", json!({"part": part("")})),
    ];
    let last = vec![
        place("response.output_text.done", json!({"text": text, "logprobs": []})),
        place("response.content_part.done", json!({"part": part(&text)})),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item_of(asked, "completed", Some(&text))}),
        json!({"type": "response.completed", "response": response(asked, "completed", Some(&text))}),
    ];
    let delta = place("response.output_text.delta", json!({"delta": asked.piece(), "logprobs": []}));
    let before = first.len() as u64;
    let events = Events {
        framing: Framing::OpenAi,
        first: (0..).zip(first).map(|(number, event)| numbered(event, number)).collect(),
        middle: Middle::Numbered(Box::new(move |index| numbered(delta.clone(), before + index))),
        repeats,
        last: (0..)
            .zip(last)
            .map(|(index, event)| numbered(event, before.saturating_add(repeats).saturating_add(index)))
            .collect(),
    };
    openai_told(asked, SSE, Content::Events(events))
}

/// `GET /v1/models`.
pub(super) fn models() -> Answer {
    let model = |id: &str| json!({"id": id, "object": "model", "created": CREATED, "owned_by": "system"});
    let body = json!({"object": "list", "data": [model("openai.gpt-oss-120b"), model("anthropic.claude-simulator")]});
    exchange::json(StatusCode::OK, JSON, body.to_string())
}

fn numbered(mut event: Value, number: u64) -> bytes::Bytes {
    event["sequence_number"] = json!(number);
    named_sse(&event)
}

fn response(asked: &Asked, status: &str, text: Option<&str>) -> Value {
    let output: Vec<Value> = text.map(|text| item_of(asked, status, Some(text))).into_iter().collect();
    let counts = usage(asked);
    let usage = text.filter(|_| !asked.omits_usage()).map(|_| {
        json!({
            "input_tokens": counts.total() - counts.output_tokens,
            "input_tokens_details": slices(&counts),
            "output_tokens": counts.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": counts.total(),
        })
    });
    json!({
        "id": format!("resp_{}", asked.id),
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "model": asked.model(),
        "service_tier": asked.service_tier(),
        "output": output,
        "usage": usage,
        "error": null,
        "incomplete_details": null,
        "instructions": null,
        "metadata": {},
        "parallel_tool_calls": true,
        "previous_response_id": null,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
    })
}

fn item_of(asked: &Asked, status: &str, text: Option<&str>) -> Value {
    let content: Vec<Value> = text.map(part).into_iter().collect();
    json!({"id": item_id(asked), "type": "message", "role": "assistant", "status": status, "content": content})
}

fn item_id(asked: &Asked) -> String {
    format!("msg_{}", asked.id)
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

/// An answer whose shape cannot say for how long the cache was written.
fn openai_told(asked: &Asked, content_type: &'static str, content: Content) -> Answer {
    let mut answer = told(asked, content_type, content);
    answer.reported = answer.reported.map(Usage::without_ttl);
    answer
}

fn usage(asked: &Asked) -> Usage {
    asked.usage().without_ttl()
}

/// OpenAI counts the cache among the input's tokens.
fn chat_usage(asked: &Asked) -> Value {
    let usage = usage(asked);
    json!({
        "prompt_tokens": usage.total() - usage.output_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total(),
        "prompt_tokens_details": slices(&usage),
    })
}

fn slices(usage: &Usage) -> Value {
    json!({"cached_tokens": usage.cache_read_tokens, "cache_write_tokens": usage.cache_write_tokens})
}
