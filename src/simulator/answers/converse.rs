//! `Converse` and `ConverseStream`.

use serde_json::{Value, json};

use super::{
    Answer, Asked, Content, EVENT_STREAM, Events, JSON,
    events::{Framing, Middle, event},
    told,
};

pub(super) fn whole(asked: &Asked) -> Answer {
    let body = asked.sized(|text| {
        let mut body = json!({
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
            "stopReason": "end_turn",
        });
        metadata(asked, &mut body);
        body.to_string()
    });
    told(asked, JSON, Content::Whole(body.into()))
}

pub(super) fn stream(asked: &Asked) -> Answer {
    let delta = json!({"contentBlockIndex": 0, "delta": {"text": asked.piece()}, "p": "abcdefghijklm"});
    let mut last = json!({"p": "abcdefgh"});
    metadata(asked, &mut last);
    let events = Events {
        framing: Framing::Aws,
        first: vec![event("messageStart", &json!({"role": "assistant", "p": "abcdefghijklmnopq"}))],
        middle: Middle::Same(event("contentBlockDelta", &delta)),
        repeats: asked.events(),
        last: vec![
            event("contentBlockStop", &json!({"contentBlockIndex": 0, "p": "abcd"})),
            event("messageStop", &json!({"stopReason": "end_turn", "p": "abcdefghij"})),
            event("metadata", &last),
        ],
    };
    told(asked, EVENT_STREAM, Content::Events(events))
}

/// What stands in the whole answer as in the stream's last event.
fn metadata(asked: &Asked, body: &mut Value) {
    if !asked.omits_usage() {
        body["usage"] = usage(asked);
    }
    body["metrics"] = json!({"latencyMs": asked.latency_ms()});
    body["serviceTier"] = json!({"type": asked.service_tier()});
}

/// `totalTokens` counts the cache's too. `cacheDetails` is there where the cache was written, an hour's before five minutes'.
fn usage(asked: &Asked) -> Value {
    let usage = asked.usage();
    let mut counts = json!({
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.total(),
        "cacheReadInputTokens": usage.cache_read_tokens,
        "cacheWriteInputTokens": usage.cache_write_total(),
    });
    let details = [("1h", usage.cache_write_1h_tokens), ("5m", usage.cache_write_tokens)];
    let written: Vec<Value> = details
        .iter()
        .filter(|(_, tokens)| *tokens > 0)
        .map(|(ttl, tokens)| json!({"ttl": ttl, "inputTokens": tokens}))
        .collect();
    if !written.is_empty() {
        counts["cacheDetails"] = json!(written);
    }
    counts
}
