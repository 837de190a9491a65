//! Anthropic's Messages: `/anthropic/v1/messages`, and the same shapes inside `InvokeModel`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Asked, Content, Events, JSON, SSE,
    events::{Framing, Middle, named_sse},
    told,
};

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    stream: bool,
}

pub(super) fn messages(asked: &Asked) -> Answer {
    let streamed = serde_json::from_slice::<Body>(asked.body).is_ok_and(|body| body.stream);
    if !streamed {
        let body = asked.sized(|text| message(asked, text).to_string());
        return told(asked, JSON, Content::Whole(body.into()));
    }
    let story = story(asked);
    let events = Events {
        framing: Framing::Anthropic,
        first: story.first.iter().map(named_sse).collect(),
        middle: Middle::Same(named_sse(&story.middle)),
        repeats: asked.events(),
        last: story.last.iter().map(named_sse).collect(),
    };
    told(asked, SSE, Content::Events(events))
}

/// The whole answer.
pub(super) fn message(asked: &Asked, text: &str) -> Value {
    let mut message = json!({
        "id": message_id(asked),
        "type": "message",
        "role": "assistant",
        "model": asked.model(),
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": null,
    });
    if !asked.omits_usage() {
        message["usage"] = usage(asked, asked.usage().output_tokens);
    }
    message
}

/// The events of the same answer, before they are framed.
pub(super) struct Story {
    pub first: Vec<Value>,
    pub middle: Value,
    pub last: Vec<Value>,
}

pub(super) fn story(asked: &Asked) -> Story {
    let mut start = json!({"type": "message_start", "message": {
        "id": message_id(asked),
        "type": "message",
        "role": "assistant",
        "model": asked.model(),
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
    }});
    let mut end = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}});
    if !asked.omits_usage() {
        start["message"]["usage"] = usage(asked, 1);
        end["usage"] = json!({"output_tokens": asked.usage().output_tokens});
    }
    Story {
        first: vec![start, json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})],
        middle: json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": asked.piece()}}),
        last: vec![json!({"type": "content_block_stop", "index": 0}), end, json!({"type": "message_stop"})],
    }
}

fn usage(asked: &Asked, output_tokens: u64) -> Value {
    let usage = asked.usage();
    json!({
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_total(),
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        },
        "output_tokens": output_tokens,
        "service_tier": match asked.service_tier().as_str() {
            "default" => "standard",
            other => other,
        },
    })
}

fn message_id(asked: &Asked) -> String {
    format!("msg_bdrk_{}", asked.id.replace('-', ""))
}
