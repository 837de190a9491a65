//! Answers that are streams of events.

use super::*;

fn stream(name: &'static str, operation: &'static str, events: &[Vec<u8>], counts: [u64; 5]) -> Case {
    Case { content_type: EVENT_STREAM, ..Case::new(name, operation, events.concat(), tokens(counts)) }
}

fn sse(name: &'static str, operation: &'static str, body: impl Into<Vec<u8>>, counts: [u64; 5]) -> Case {
    Case { content_type: SSE, ..Case::new(name, operation, body, tokens(counts)) }
}

fn in_tier(mut case: Case, tier: ServiceTier) -> Case {
    case.tier = Some(tier);
    case
}

const MESSAGE_START: &str = r#"{"type":"message_start","message":{"id":"msg_bdrk_01","content":[],"usage":{"input_tokens":7,
    "cache_creation_input_tokens":2238,"cache_read_input_tokens":14486,"cache_creation":{"ephemeral_5m_input_tokens":0,
    "ephemeral_1h_input_tokens":2238},"output_tokens":1}}}"#;
const DELTA: &str = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"one two"}}"#;
const MESSAGE_DELTA: &str = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":126}}"#;
const COMPACTED_DELTA: &str = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":7,"output_tokens":126,
    "iterations":[{"type":"compaction","input_tokens":100,"output_tokens":20},{"type":"message","input_tokens":7,"output_tokens":126}]}}"#;
/// Recorded.
const MESSAGE_STOP: &str = r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":7,"outputTokenCount":126,
    "invocationLatency":4069,"firstByteLatency":1117,"cacheReadInputTokenCount":14486,"cacheWriteInputTokenCount":2238}}"#;

fn converse_stream() -> [Vec<u8>; 5] {
    [
        event("messageStart", r#"{"p":"abcd","role":"assistant"}"#),
        event("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"\"usage\":{\"inputTokens\":1}"},"p":"ab"}"#),
        event("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{\"usage\":"}},"p":"ab"}"#),
        event("messageStop", r#"{"p":"abcdef","stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1}}"#),
        event(
            "metadata",
            r#"{"metrics":{"latencyMs":1},"p":"abc","serviceTier":{"type":"flex"},"trace":{"guardrail":{"usage":{"inputTokens":3}}},
            "usage":{"cacheDetails":[{"inputTokens":8,"ttl":"1h"}],"cacheReadInputTokens":2,"cacheWriteInputTokens":10,
            "inputTokens":7,"outputTokens":126,"totalTokens":145}}"#,
        ),
    ]
}

fn named_lines(events: &[&str], end: &str) -> String {
    let one = |data: &&str| format!("event: x{end}data: {}{end}{end}", data.replace("\n    ", ""));
    events.iter().map(one).collect()
}

pub fn cases() -> Vec<Case> {
    let anthropic = [MESSAGE_START, r#"{"type":"ping"}"#, DELTA, DELTA, MESSAGE_DELTA];
    let chat = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n: a comment\n\n\
        data: {\"choices\":[],\"service_tier\":\"priority\",\ndata: \"usage\":{\"prompt_tokens\":20,\"completion_tokens\":5,\
        \"prompt_tokens_details\":{\"cached_tokens\":8}}}\n\ndata: [DONE]\n\n";
    let responses = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\n\n\
        event: response.output_text.delta\ndata: {\"delta\":\"usage\",\"type\":\"response.output_text.delta\"}\n\n\
        event: response.incomplete\ndata: {\"type\":\"response.incomplete\",\"response\":{\"service_tier\":\"default\",\"output\":\
        [{\"usage\":{\"input_tokens\":1}}],\"usage\":{\"input_tokens\":20,\"output_tokens\":5,\
        \"input_tokens_details\":{\"cached_tokens\":8,\"cache_write_tokens\":4}}}}\n\n";
    let nova =
        r#"{"metadata":{"usage":{"inputTokens":5,"outputTokens":6,"cacheReadInputTokenCount":1,"cacheWriteInputTokenCount":0}}}"#;
    let meta = r#"{"generation":"x","prompt_token_count":null,"generation_token_count":2,"stop_reason":null}"#;
    let last = r#"{"generation":"","generation_token_count":9,"stop_reason":"stop","amazon-bedrock-invocationMetrics":
        {"inputTokenCount":4,"outputTokenCount":9,"invocationLatency":1,"firstByteLatency":1}}"#;
    let trace = |input: u32| {
        event(
            "trace",
            &format!(
                r#"{{"agentId":"A","trace":{{"orchestrationTrace":{{"modelInvocationOutput":{{"metadata":{{"usage":
                {{"inputTokens":{input},"outputTokens":2}}}},"rawResponse":{{"content":"{{\"usage\":1}}"}}}}}}}}}}"#
            ),
        )
    };
    vec![
        in_tier(stream("ConverseStream", "ConverseStream", &converse_stream(), [7, 126, 2, 2, 8]), ServiceTier::Flex),
        stream(
            "Anthropic in a stream",
            "InvokeModelWithResponseStream",
            &[chunk(MESSAGE_START), chunk(DELTA), chunk(MESSAGE_DELTA), chunk(MESSAGE_STOP)],
            [7, 126, 14486, 0, 2238],
        ),
        stream(
            "compactions in a stream, told twice",
            "InvokeModelWithResponseStream",
            &[chunk(MESSAGE_START), chunk(COMPACTED_DELTA), chunk(COMPACTED_DELTA), chunk(MESSAGE_STOP)],
            [107, 146, 14486, 0, 2238],
        ),
        stream("Nova in a stream", "InvokeModelWithResponseStream", &[chunk(DELTA), chunk(nova)], [5, 6, 1, 0, 0]),
        stream("Meta in a stream", "InvokeModelWithResponseStream", &[chunk(meta), chunk(last)], [4, 9, 0, 0, 0]),
        sse("Messages", "Messages", named_lines(&anthropic, "\n"), [7, 126, 14486, 0, 2238]),
        sse("Messages with CRLF", "Messages", named_lines(&anthropic, "\r\n"), [7, 126, 14486, 0, 2238]),
        sse("Messages with CR", "Messages", named_lines(&anthropic, "\r"), [7, 126, 14486, 0, 2238]),
        in_tier(sse("chat", "ChatCompletions", chat, [12, 5, 8, 0, 0]), ServiceTier::Priority),
        in_tier(sse("Responses", "Responses", responses, [8, 5, 8, 4, 0]), ServiceTier::Standard),
        stream(
            "an agent's invocations are added up",
            "InvokeAgent",
            &[trace(10), event("chunk", "{}"), trace(5)],
            [15, 4, 0, 0, 0],
        ),
        stream(
            "a harness's are",
            "InvokeHarness",
            &[
                event("metadata", r#"{"usage":{"inputTokens":1,"outputTokens":2,"cacheReadInputTokens":3}}"#),
                event("metadata", r#"{"usage":{"inputTokens":1,"outputTokens":2,"cacheWriteInputTokens":4}}"#),
            ],
            [2, 4, 3, 4, 0],
        ),
        stream(
            "a speech session's totals",
            "InvokeModelWithBidirectionalStream",
            &[
                chunk(r#"{"event":{"usageEvent":{"totalInputTokens":1,"totalOutputTokens":0}}}"#),
                chunk(r#"{"event":{"usageEvent":{"details":{"delta":{}},"totalInputTokens":9,"totalOutputTokens":5}}}"#),
            ],
            [9, 5, 0, 0, 0],
        ),
    ]
}

#[test]
fn each_shape_is_read_exactly() {
    cases().iter().for_each(Case::is_read_exactly);
}

#[test]
fn the_last_event_decides_without_the_end() {
    for case in cases()
        .iter()
        .filter(|case| !matches!(case.operation, "InvokeAgent" | "InvokeHarness" | "InvokeModelWithBidirectionalStream"))
    {
        let mut reader = case.reader();
        reader.chunk(&case.body);
        assert!(reader.reading().complete, "{}", case.name);
    }
}

#[test]
fn what_is_told_again_at_the_end_of_an_item_is_not_generated_again() {
    let delta = r#"{"type":"response.output_text.delta","delta":"one two six"}"#;
    let done = r#"{"type":"response.output_text.done","text":"one two six"}"#;
    let whole = r#"{"type":"response.output_item.done","item":{"content":[{"type":"output_text","text":"one two six"}]}}"#;
    let seen = |events: &[&str]| {
        let mut reader = sse("", "Responses", "", [0; 5]).reader();
        reader.chunk(named_lines(events, "\n").as_bytes());
        reader.reading().output_seen
    };
    assert_eq!((seen(&[delta]), seen(&[delta, done, whole])), (5, 5));
    assert_eq!(seen(&[delta, done, delta, done]), seen(&[delta, delta]));
}

#[test]
fn a_response_that_failed_and_used_nothing_is_a_failure() {
    let failed = r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error"},"usage":null}}"#;
    let mut reader = sse("", "Responses", "", [0; 5]).reader();
    reader.chunk(named_lines(&[failed], "\n").as_bytes());
    reader.end();
    assert_eq!(reader.reading(), Reading { failed: true, ..Reading::default() });
}

#[test]
fn what_cohere_claude_2_and_hidden_thoughts_say_is_seen() {
    let thought = "bm90IHRvIGJlIHJlYWQgYnkgYW55Ym9keQ==";
    for events in [
        chunk(r#"{"is_finished":false,"event_type":"text-generation","text":"one two six"}"#),
        chunk(r#"{"type":"completion","completion":"one two six"}"#),
        chunk(&format!(r#"{{"type":"content_block_start","content_block":{{"type":"redacted_thinking","data":"{thought}"}}}}"#)),
        event("contentBlockDelta", &format!(r#"{{"delta":{{"reasoningContent":{{"redactedContent":"{thought}"}}}}}}"#)),
    ] {
        let mut reader = stream("", "InvokeModelWithResponseStream", &[], [0; 5]).reader();
        reader.chunk(&events);
        assert!(reader.reading().output_seen >= 5);
    }
}

#[test]
fn a_stream_that_was_cut_has_what_it_said_so_far() {
    let events = [chunk(MESSAGE_START), chunk(DELTA), chunk(DELTA), chunk(MESSAGE_DELTA)].concat();
    let case = stream("", "InvokeModelWithResponseStream", &[], [0; 5]);
    let mut reader = case.reader();
    // Within the base64 of the last: after it come some forty bytes of padding.
    reader.chunk(&events[..events.len() - 80]);
    let reading = reader.reading();
    assert_eq!((reading.usage, reading.complete, reading.output_seen), (tokens([7, 1, 14486, 0, 2238]), false, 6));
    assert_eq!(reading.charge(1, u64::MAX), (tokens([7, 6, 14486, 0, 2238]).unwrap(), true));
}

#[test]
fn a_clean_end_too_early_is_not_complete() {
    for (operation, content_type, body) in [
        ("InvokeModelWithResponseStream", EVENT_STREAM, [chunk(MESSAGE_START), chunk(DELTA)].concat()),
        ("Messages", SSE, named_lines(&[MESSAGE_START, DELTA], "\n").into_bytes()),
        ("ConverseStream", EVENT_STREAM, converse_stream()[..4].concat()),
        ("ChatCompletions", SSE, b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":5".to_vec()),
    ] {
        let case = Case { content_type, ..Case::new("", operation, body, None) };
        assert!(!case.read(&[&case.body]).complete, "{operation}");
    }
}

#[test]
fn a_running_usage_is_final_at_the_end() {
    let chunk = |n: u32| {
        format!("data: {{\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{n}}},\"choices\":[{{\"delta\":{{}}}}]}}\n\n")
    };
    let body = chunk(1) + &chunk(2) + "data: [DONE]\n\n";
    let case = sse("", "ChatCompletions", body, [9, 2, 0, 0, 0]);
    let mut reader = case.reader();
    reader.chunk(&case.body);
    assert!(!reader.reading().complete);
    reader.end();
    assert_eq!((reader.reading().usage, reader.reading().complete), (case.usage, true));
}

#[test]
fn an_exception_ends_a_stream_without_usage() {
    let exception = [(":exception-type", "throttlingException"), (":content-type", JSON), (":message-type", "exception")];
    let body = [converse_stream()[1].clone(), message(&exception, r#"{"message":"usage"}"#)].concat();
    let case = Case { content_type: EVENT_STREAM, ..Case::new("", "ConverseStream", body, None) };
    let reading = case.read(&[&case.body]);
    assert_eq!((reading.usage, reading.complete, reading.failed), (None, false, true));
    assert!(reading.output_seen > 0);

    for body in
        ["event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n", "data: {\"error\":{}}\n\n"]
    {
        let case = Case { content_type: SSE, ..Case::new("", "Messages", body, None) };
        assert!(case.read(&[&case.body]).failed, "{body}");
    }
}

/// As two clients measured it, and as Claude's are beside it.
#[test]
fn input_that_has_the_cached_tokens_in_it_is_told_without_them() {
    let usage = |input: u64, read: u64, write: u64| {
        let usage = json!({"inputTokens": input, "outputTokens": 50, "cacheReadInputTokens": read, "cacheWriteInputTokens": write,
            "totalTokens": input + read + write + 50});
        event("metadata", &json!({ "usage": usage }).to_string())
    };
    let read = |model: &str, operation, body: Vec<u8>| {
        let case = Case { content_type: EVENT_STREAM, ..Case::new("", operation, body, None) };
        let mut reader = case.reader_of(Some(model));
        reader.chunk(&case.body);
        reader.end();
        reader.reading().usage
    };
    for (model, told, expected) in [
        ("us.openai.gpt-5.6-terra", (8_369, 0, 8_367), [2, 50, 0, 8_367, 0]),
        ("openai.gpt-5.6-terra", (12_401, 8_367, 4_032), [2, 50, 8_367, 4_032, 0]),
        ("openai.gpt-5.6-terra", (2, 8_367, 4_032), [2, 50, 8_367, 4_032, 0]),
        ("us.anthropic.claude-sonnet-5", (9_000, 13, 7_262), [9_000, 50, 13, 7_262, 0]),
    ] {
        assert_eq!(read(model, "ConverseStream", usage(told.0, told.1, told.2)), tokens(expected), "{model} {told:?}");
    }
    // Where nothing is streamed, it is as documented.
    let body = r#"{"usage":{"inputTokens":900,"outputTokens":50,"cacheReadInputTokens":300}}"#;
    let mut reader = Case::new("", "Converse", body, None).reader_of(Some("openai.gpt-5.6-terra"));
    reader.chunk(body.as_bytes());
    assert_eq!(reader.reading().usage, tokens([900, 50, 300, 0, 0]));
}

/// The first is recorded. What the guardrail says instead of an answer is in none of the model's tokens.
#[test]
fn what_a_guardrail_refuses_ran_no_model() {
    let chunk = |inner: &str| event("chunk", &json!({ "bytes": STANDARD.encode(inner) }).to_string());
    let blocked = |operation, content_type, body: &[u8], headers: &[(&'static str, &'static str)]| {
        let case = Case { content_type, headers: headers.to_vec(), ..Case::new("", operation, body, None) };
        case.read(&[&case.body]).blocked
    };
    let titan = r#"{"outputText":"Input blocked","index":0,"totalOutputTextTokenCount":3,"completionReason":"CONTENT_FILTERED",
        "inputTextTokenCount":6,"amazon-bedrock-guardrailAction":"INTERVENED"}"#;
    let streams = "InvokeModelWithResponseStream";
    assert!(blocked(streams, EVENT_STREAM, &chunk(titan), &[]));
    let ran = titan.replace('}', r#","amazon-bedrock-invocationMetrics":{"inputTokenCount":6,"outputTokenCount":9}}"#);
    assert!(!blocked(streams, EVENT_STREAM, &chunk(&ran), &[]));

    // It masked a part of what a model had begun to say; nobody knows what became of the rest.
    let masked = [chunk(r#"{"outputText":"Call me at"}"#), chunk(titan)].concat();
    assert!(!blocked(streams, EVENT_STREAM, &masked, &[]));
    let cut = chunk(titan);
    assert!(!blocked(streams, EVENT_STREAM, &cut[..cut.len() - 1], &[]));
    let chat = r#"{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":5000,"completion_tokens":720},
        "amazon-bedrock-guardrailAction":"INTERVENED"}"#;
    assert!(!blocked("ChatCompletions", JSON, chat.as_bytes(), &[]) && !blocked("Messages", JSON, chat.as_bytes(), &[]));

    let claude = r#"{"content":[{"type":"text","text":"No."}],"amazon-bedrock-guardrailAction":"INTERVENED",
        "amazon-bedrock-trace":{"guardrail":{"input":{"gr-1":{}}}}}"#;
    assert!(blocked("InvokeModel", JSON, claude.as_bytes(), &[]));
    assert!(!blocked("InvokeModel", JSON, claude.replace("INTERVENED", "NONE").as_bytes(), &[]));
    assert!(!blocked(
        "InvokeModel",
        JSON,
        claude.replace(r#""input":{"gr-1":{}}"#, r#""outputs":[{"gr-1":{}}]"#).as_bytes(),
        &[]
    ));
    let counts = [("x-amzn-bedrock-input-token-count", "39"), ("x-amzn-bedrock-output-token-count", "2")];
    assert!(!blocked("InvokeModel", JSON, claude.as_bytes(), &counts));
}

#[test]
fn a_length_that_makes_no_sense_ends_the_reading() {
    let whole = converse_stream().concat();
    for lengths in [[0u32, 0], [15, 0], [16, 1], [u32::MAX, 0], [200, 190], [5000, 4097], [(24 << 20) + 1, 0]] {
        let mut body = converse_stream()[0].clone();
        body.extend(lengths.iter().flat_map(|length| length.to_be_bytes()));
        body.extend([0; 4]);
        body.extend(&whole);
        let case = Case { content_type: EVENT_STREAM, ..Case::new("", "ConverseStream", body, None) };
        let reading = case.read(&[&case.body]);
        assert_eq!((reading.usage, reading.complete), (None, false), "{lengths:?}");
    }
}

#[test]
fn empty_messages_and_long_lines_do_no_harm() {
    let mut body = message(&[], "");
    body.extend(message(&[], "payload without headers"));
    body.extend(event("contentBlockDelta", ""));
    body.extend(event("unknown", &"x".repeat(100_000)));
    body.extend(converse_stream().concat());
    let case = stream("", "ConverseStream", &[body], [7, 126, 2, 2, 8]);
    assert_eq!(case.read(&[&case.body]).usage, case.usage);

    let long = format!(
        "{}\ndata: {}\n\ndata:{{\"usage\":{{\"input_tokens\":1,\"output_tokens\":2}}}}\n\n",
        "x".repeat(1 << 20),
        "[".repeat(1 << 20)
    );
    let case = sse("", "Messages", long, [1, 2, 0, 0, 0]);
    assert_eq!(case.read(&[&case.body]).usage, case.usage);
}
