//! `Converse` and `ConverseStream`.

use serde_json::{Value, json};

use super::{
    Answer, Asked, Content, EVENT_STREAM, Events, JSON,
    events::{Framing, Middle, event},
    told,
};

pub(super) fn whole(asked: &Asked) -> Answer {
    let body = asked.sized(|text| {
        json!({
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
            "stopReason": "end_turn",
            "usage": usage(asked),
            "metrics": {"latencyMs": asked.latency_ms()},
            "serviceTier": {"type": "default"},
        })
        .to_string()
    });
    told(JSON, Content::Whole(body.into()), Some(asked.usage()))
}

pub(super) fn stream(asked: &Asked) -> Answer {
    let delta = json!({"contentBlockIndex": 0, "delta": {"text": asked.piece()}, "p": "abcdefghijklm"});
    let metadata = json!({
        "usage": usage(asked),
        "metrics": {"latencyMs": asked.latency_ms()},
        "serviceTier": {"type": "default"},
        "p": "abcdefgh",
    });
    let events = Events {
        framing: Framing::Aws,
        first: vec![event("messageStart", &json!({"role": "assistant", "p": "abcdefghijklmnopq"}))],
        middle: Middle::Same(event("contentBlockDelta", &delta)),
        repeats: asked.events(),
        last: vec![
            event("contentBlockStop", &json!({"contentBlockIndex": 0, "p": "abcd"})),
            event("messageStop", &json!({"stopReason": "end_turn", "p": "abcdefghij"})),
            event("metadata", &metadata),
        ],
    };
    told(EVENT_STREAM, Content::Events(events), Some(asked.usage()))
}

/// `totalTokens` counts the cache's too.
fn usage(asked: &Asked) -> Value {
    let usage = asked.usage();
    json!({
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens + usage.cache_read_tokens + usage.cache_write_tokens,
        "cacheReadInputTokens": usage.cache_read_tokens,
        "cacheWriteInputTokens": usage.cache_write_tokens,
    })
}
