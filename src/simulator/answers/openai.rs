//! OpenAI's Chat Completions, Responses and Models. Nothing is written to the cache here:
//! the SDK's newer types have a field for it, but no Bedrock answer that has it is known to us.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Asked, Content, Events, JSON, SSE,
    events::{Framing, Middle, named_sse, sse},
    told,
};
use crate::simulator::record::Usage;

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
        return told(JSON, Content::Whole(text.into()), Some(usage(asked)));
    }
    let include_usage = body.stream_options.is_some_and(|options| options.include_usage);
    let chunk = |choices: Value, usage: Option<Value>| {
        let mut chunk = json!({
            "id": format!("chatcmpl-{}", asked.id),
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": asked.model(),
            "service_tier": "default",
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
    told(SSE, Content::Events(events), include_usage.then(|| usage(asked)))
}

/// The whole answer, as `InvokeModel` has it too.
pub(super) fn completion(asked: &Asked, text: &str) -> Value {
    json!({
        "id": format!("chatcmpl-{}", asked.id),
        "object": "chat.completion",
        "created": CREATED,
        "model": asked.model(),
        "service_tier": "default",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": chat_usage(asked),
    })
}

pub(super) fn responses(asked: &Asked) -> Answer {
    let body: Body = serde_json::from_slice(asked.body).unwrap_or_default();
    if !body.stream {
        let text = asked.sized(|text| response(asked, "completed", Some(text)).to_string());
        return told(JSON, Content::Whole(text.into()), Some(usage(asked)));
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
        last: (before + repeats..).zip(last).map(|(number, event)| numbered(event, number)).collect(),
    };
    told(SSE, Content::Events(events), Some(usage(asked)))
}

/// `GET /v1/models`.
pub(super) fn models() -> Answer {
    let model = |id: &str| json!({"id": id, "object": "model", "created": CREATED, "owned_by": "system"});
    let body = json!({"object": "list", "data": [model("openai.gpt-oss-120b"), model("anthropic.claude-simulator")]});
    told(JSON, Content::Whole(body.to_string().into()), None)
}

fn numbered(mut event: Value, number: u64) -> bytes::Bytes {
    event["sequence_number"] = json!(number);
    named_sse(&event)
}

fn response(asked: &Asked, status: &str, text: Option<&str>) -> Value {
    let output: Vec<Value> = text.map(|text| item_of(asked, status, Some(text))).into_iter().collect();
    let counts = usage(asked);
    let usage = text.map(|_| {
        json!({
            "input_tokens": counts.input_tokens + counts.cache_read_tokens,
            "input_tokens_details": {"cached_tokens": counts.cache_read_tokens},
            "output_tokens": counts.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": counts.input_tokens + counts.cache_read_tokens + counts.output_tokens,
        })
    });
    json!({
        "id": format!("resp_{}", asked.id),
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "model": asked.model(),
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

fn usage(asked: &Asked) -> Usage {
    Usage { cache_write_tokens: 0, ..asked.usage() }
}

/// OpenAI counts what was read from the cache among the prompt's tokens.
fn chat_usage(asked: &Asked) -> Value {
    let usage = usage(asked);
    let prompt = usage.input_tokens + usage.cache_read_tokens;
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": usage.output_tokens,
        "total_tokens": prompt + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
    })
}
