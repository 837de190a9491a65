//! What Nova Sonic says it has consumed: a `usageEvent` among the events of its answer, with the totals so far.
//! Rules: <https://docs.aws.amazon.com/nova/latest/userguide/output-events.html>.

use base64::{Engine, engine::general_purpose::STANDARD};
use memchr::memmem;
use serde::Deserialize;

/// Tokens of one conversation, as of its last usage event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpeechUsage {
    /// Everything that went in, speech and text.
    pub input_tokens: u64,
    /// Everything that came out.
    pub output_tokens: u64,
    /// What of the input was speech.
    pub input_speech_tokens: u64,
    /// What of the output was speech.
    pub output_speech_tokens: u64,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    bytes: &'a str,
}

#[derive(Deserialize)]
struct Output {
    event: Event,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    usage_event: UsageEvent,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageEvent {
    total_input_tokens: u64,
    total_output_tokens: u64,
    #[serde(default)]
    details: Details,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    total: Total,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Total {
    input: Split,
    output: Split,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Split {
    speech_tokens: u64,
}

/// `usageEvent` as base64 has it, by how far into a group of three bytes it begins: without what it shares a group with. An event is
/// looked through for these first; most are audio, and would be decoded for nothing.
const SIGNS: [&[u8]; 3] = [b"dXNhZ2VFdmVud", b"VzYWdlRXZlbn", b"c2FnZUV2ZW50"];

/// The totals in the payload of a `chunk` event, if it is a usage event: `{"bytes":"<base64 of {"event":{"usageEvent":…}}>"}`.
pub fn usage_in(payload: &[u8]) -> Option<SpeechUsage> {
    SIGNS.iter().find(|sign| memmem::find(payload, sign).is_some())?;
    let chunk: Chunk<'_> = serde_json::from_slice(payload).ok()?;
    let json = STANDARD.decode(chunk.bytes).ok()?;
    memmem::find(&json, b"\"usageEvent\"")?;
    let UsageEvent { total_input_tokens, total_output_tokens, details } =
        serde_json::from_slice::<Output>(&json).ok()?.event.usage_event;
    Some(SpeechUsage {
        input_tokens: total_input_tokens,
        output_tokens: total_output_tokens,
        input_speech_tokens: details.total.input.speech_tokens,
        output_speech_tokens: details.total.output.speech_tokens,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(json: &str) -> Vec<u8> {
        format!(r#"{{"bytes":"{}","p":"abc"}}"#, STANDARD.encode(json)).into_bytes()
    }

    #[test]
    fn the_totals_of_a_usage_event_are_read() {
        let event = r#"{"event":{"usageEvent":{"completionId":"c","details":{
            "delta":{"input":{"speechTokens":11,"textTokens":0},"output":{"speechTokens":0,"textTokens":0}},
            "total":{"input":{"speechTokens":150,"textTokens":82},"output":{"speechTokens":40,"textTokens":9}}},
            "promptName":"p","sessionId":"s","totalInputTokens":232,"totalOutputTokens":49,"totalTokens":281}}}"#;
        let usage = SpeechUsage { input_tokens: 232, output_tokens: 49, input_speech_tokens: 150, output_speech_tokens: 40 };
        assert_eq!(usage_in(&chunk(event)), Some(usage));
        let without_details = r#"{"event":{"usageEvent":{"totalInputTokens":1,"totalOutputTokens":2}}}"#;
        assert_eq!(usage_in(&chunk(without_details)).map(|usage| (usage.input_tokens, usage.output_tokens)), Some((1, 2)));
    }

    #[test]
    fn other_events_have_none() {
        for json in ["", "{}", r#"{"event":{"textOutput":{"content":"usageEvent"}}}"#, r#"{"event":{"usageEvent":{}}}"#] {
            assert_eq!(usage_in(&chunk(json)), None, "{json}");
        }
        assert_eq!(usage_in(b"{\"bytes\":\"???\"}"), None);
        assert_eq!(usage_in(b"\xff"), None);
    }
}
