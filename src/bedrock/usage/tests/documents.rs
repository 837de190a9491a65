//! Answers that are one JSON document.

use super::*;

fn case(name: &'static str, operation: &'static str, body: &'static str, counts: [u64; 5]) -> Case {
    Case::new(name, operation, body, tokens(counts))
}

fn with_headers(mut case: Case, headers: &[(&'static str, &'static str)]) -> Case {
    case.headers = headers.to_vec();
    case
}

fn in_tier(mut case: Case, tier: ServiceTier) -> Case {
    case.tier = Some(tier);
    case
}

/// Two runs only compacted what was said before.
const COMPACTED: &str = r#"{"type":"message","content":[{"type":"compaction","content":"x"},{"type":"text","text":"y"}],"usage":{
        "input_tokens":23000,"cache_read_input_tokens":5,"output_tokens":1000,"iterations":[
        {"type":"compaction","input_tokens":180000,"output_tokens":3500,"cache_read_input_tokens":7,"cache_creation_input_tokens":11,
        "cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":10}},
        {"input_tokens":10,"output_tokens":20,"type":"compaction"},
        {"type":"message","input_tokens":23000,"output_tokens":1000}]}}"#;

pub fn cases() -> Vec<Case> {
    let anthropic = r#"{"id":"msg_bdrk_01","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929",
        "content":[{"type":"text","text":"\"usage\":{\"input_tokens\":1}"},{"type":"tool_use","id":"t","name":"n",
        "input":{"usage":{"input_tokens":999,"output_tokens":999},"serviceTier":{"type":"flex"}}}],"stop_reason":"end_turn",
        "usage":{"input_tokens":7,"cache_creation_input_tokens":2238,"cache_read_input_tokens":14486,
        "cache_creation":{"ephemeral_5m_input_tokens":238,"ephemeral_1h_input_tokens":2000},"output_tokens":126,"service_tier":"standard"}}"#;
    vec![
        case("Messages with compactions", "Messages", COMPACTED, [203_010, 4520, 12, 1, 10]),
        in_tier(
            with_headers(
                case("Bedrock's tier stands", "InvokeModel", anthropic, [7, 126, 14486, 238, 2000]),
                &[("x-amzn-bedrock-service-tier", "priority")],
            ),
            ServiceTier::Priority,
        ),
        in_tier(case("Messages", "Messages", anthropic, [7, 126, 14486, 238, 2000]), ServiceTier::Standard),
        in_tier(
            with_headers(
                case("InvokeModel: the headers' counts, the body's split", "InvokeModel", anthropic, [8, 127, 14487, 239, 2000]),
                &[
                    ("x-amzn-bedrock-input-token-count", "8"),
                    ("x-amzn-bedrock-output-token-count", "127"),
                    ("x-amzn-bedrock-cache-read-input-token-count", "14487"),
                    ("x-amzn-bedrock-cache-write-input-token-count", "2239"),
                ],
            ),
            ServiceTier::Standard,
        ),
        in_tier(
            with_headers(
                case("a zero is a zero, what is missing comes from the body", "InvokeModel", anthropic, [0, 126, 0, 238, 2000]),
                &[("x-amzn-bedrock-input-token-count", "0"), ("x-amzn-bedrock-cache-read-input-token-count", "0")],
            ),
            ServiceTier::Standard,
        ),
        in_tier(
            with_headers(
                case("headers alone", "InvokeModel", r#"{"outputs":[{"text":"x"}]}"#, [3, 4, 0, 0, 0]),
                &[
                    ("x-amzn-bedrock-input-token-count", "3"),
                    ("x-amzn-bedrock-output-token-count", "4"),
                    ("x-amzn-bedrock-service-tier", "priority"),
                ],
            ),
            ServiceTier::Priority,
        ),
        in_tier(
            case(
                "Converse",
                "Converse",
                r#"{"metrics":{"latencyMs":551},"output":{"message":{"content":[{"text":"a"},{"toolUse":{"toolUseId":"x","name":"y",
                "input":{"usage":{"inputTokens":5,"outputTokens":5}}}}],"role":"assistant","usage":{"inputTokens":6}}},
                "serviceTier":{"type":"reserved"},"stopReason":"tool_use","trace":{"usage":{"inputTokens":9}},
                "usage":{"cacheDetails":[{"inputTokens":1000,"ttl":"1h"},{"ttl":"5m","inputTokens":238},{"ttl":"1h","inputTokens":1}],
                "cacheReadInputTokenCount":14486,"cacheReadInputTokens":14486,"cacheWriteInputTokens":1239,"inputTokens":7,
                "outputTokens":126,"totalTokens":15858}}"#,
                [7, 126, 14486, 238, 1001],
            ),
            ServiceTier::Reserved,
        ),
        case("Converse, nothing but zeros", "Converse", r#"{"usage":{"inputTokens":0,"outputTokens":0}}"#, [0; 5]),
        case(
            "Nova",
            "InvokeModel",
            r#"{"output":{"message":{"content":[{"text":"x"}]}},"usage":{"inputTokens":9,"outputTokens":8,"totalTokens":20,
            "cacheReadInputTokenCount":2,"cacheWriteInputTokenCount":1}}"#,
            [9, 8, 2, 1, 0],
        ),
        case("Titan embeddings", "InvokeModel", r#"{"embedding":[0.1,-2e-3],"inputTextTokenCount":5}"#, [5, 0, 0, 0, 0]),
        case(
            "Titan text",
            "InvokeModel",
            r#"{"inputTextTokenCount":5,"results":[{"tokenCount":7,"outputText":"x","completionReason":"FINISH"},{"tokenCount":2}]}"#,
            [5, 9, 0, 0, 0],
        ),
        case(
            "Cohere embeddings",
            "InvokeModel",
            r#"{"embeddings":{"float":[[0.5]]},"id":"1","texts":["meta"],"meta":{"api_version":{},"billed_units":{"input_tokens":11}}}"#,
            [11, 0, 0, 0, 0],
        ),
        case(
            "Meta",
            "InvokeModel",
            r#"{"generation":"x","prompt_token_count":15,"generation_token_count":26,"stop_reason":"stop"}"#,
            [15, 26, 0, 0, 0],
        ),
        in_tier(
            case(
                "chat",
                "ChatCompletions",
                r#"{"id":"c","choices":[{"message":{"content":"x","usage":{"prompt_tokens":1}}}],"service_tier":"flex",
                "usage":{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,
                "completion_tokens_details":{"reasoning_tokens":100},
                "prompt_tokens_details":{"cached_tokens":1920,"cache_write_tokens":80}}}"#,
                [6, 300, 1920, 80, 0],
            ),
            ServiceTier::Flex,
        ),
        case(
            "Responses",
            "Responses",
            r#"{"id":"r","status":"completed","output":[{"content":[{"type":"output_text","text":"x"}],"usage":{"input_tokens":4}}],
            "usage":{"input_tokens":18014,"input_tokens_details":{"cache_write_tokens":0,"cached_tokens":18011},
            "output_tokens":9,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":18023}}"#,
            [3, 9, 18011, 0, 0],
        ),
        case(
            "more cached than there is",
            "ChatCompletions",
            r#"{"usage":{"prompt_tokens":1,"completion_tokens":1,
            "prompt_tokens_details":{"cached_tokens":5}}}"#,
            [0, 1, 5, 0, 0],
        ),
    ]
}

#[test]
fn each_shape_is_read_exactly() {
    cases().iter().for_each(Case::is_read_exactly);
}

#[test]
fn embeddings_in_a_list_have_no_output() {
    let body = r#"{"object":"list","data":[{"embedding":[0.1,0.2],"index":0}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#;
    case("OpenAI's embeddings", "InvokeModel", body, [8, 0, 0, 0, 0]).is_read_exactly();
}

#[test]
fn a_compaction_is_not_counted_twice() {
    for (counts, usage) in [(["203010", "4520"], [203_010, 4520, 5, 0, 0]), (["23000", "1000"], [203_010, 4520, 12, 1, 10])] {
        let headers = [("x-amzn-bedrock-input-token-count", counts[0]), ("x-amzn-bedrock-output-token-count", counts[1])];
        with_headers(case("beside Bedrock's own counts", "InvokeModel", COMPACTED, usage), &headers).is_read_exactly();
    }
}

#[test]
fn what_reports_nothing_is_no_zero() {
    for (operation, body) in [
        ("InvokeModel", r#"{"images":["aGk="]}"#),
        ("Converse", r#"{"usage":null,"output":{"usage":{"inputTokens":1,"outputTokens":1}}}"#),
        ("Converse", r#"["usage"]"#),
        ("Converse", "no JSON"),
        ("Converse", ""),
        ("CountTokens", r#"{"inputTokens":5,"usage":{"inputTokens":5,"outputTokens":5}}"#),
        ("ApplyGuardrail", r#"{"usage":{"inputTokens":1,"outputTokens":5}}"#),
    ] {
        let reading = Case::new("", operation, body, None).read(&[body.as_bytes()]);
        assert_eq!((reading.usage, reading.complete), (None, false), "{operation} {body}");
    }
}

#[test]
fn half_a_usage_is_not_complete() {
    let case = Case::new("", "Converse", r#"{"usage":{"inputTokens":5}}"#, None);
    let reading = case.read(&[&case.body]);
    assert_eq!((reading.usage, reading.complete), (tokens([5, 0, 0, 0, 0]), false));
    assert_eq!(reading.charge(100, u64::MAX), (tokens([5, 0, 0, 0, 0]).unwrap(), true));
}

#[test]
fn an_error_with_status_200_has_no_usage() {
    for (operation, body) in [
        ("Converse", r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#),
        ("Responses", r#"{"status":"failed","error":{"code":"server_error"},"output":[],"usage":null}"#),
    ] {
        let reading = Case::new("", operation, body, None).read(&[body.as_bytes()]);
        assert_eq!(reading, Reading { failed: true, ..Reading::default() });
    }
}

#[test]
fn what_a_failed_response_used_stands() {
    let usage = r#""usage":{"input_tokens":5,"output_tokens":6}"#;
    for (error, failed) in [(r#"{"code":"server_error"}"#, true), ("null", false)] {
        let body = format!(r#"{{"error":{error},{usage}}}"#);
        let reading = Case::new("", "Responses", "", None).read(&[body.as_bytes()]);
        assert_eq!((reading.usage, reading.complete, reading.failed), (tokens([5, 6, 0, 0, 0]), true, failed));
    }
}

#[test]
fn a_refusal_has_no_usage_whatever_it_says() {
    let headers = HeaderMap::from_iter([(HeaderName::from_static("x-amzn-bedrock-input-token-count"), Value::from_static("5"))]);
    let mut reader = UsageReader::for_answer(named("InvokeModel"), None, StatusCode::TOO_MANY_REQUESTS, &headers);
    reader.chunk(br#"{"usage":{"inputTokens":1,"outputTokens":1}}"#);
    reader.end();
    assert_eq!(reader.reading(), Reading { failed: true, ..Reading::default() });
}

#[test]
fn a_compressed_body_is_not_guessed_at() {
    let headers = HeaderMap::from_iter([
        (HeaderName::from_static("content-encoding"), Value::from_static("gzip")),
        (HeaderName::from_static("x-amzn-bedrock-input-token-count"), Value::from_static("5")),
        (HeaderName::from_static("x-amzn-bedrock-output-token-count"), Value::from_static("6")),
    ]);
    let mut reader = UsageReader::for_answer(named("InvokeModel"), None, StatusCode::OK, &headers);
    reader.chunk(br#"{"usage":{"input_tokens":1,"output_tokens":1}}"#);
    reader.end();
    assert_eq!(reader.reading().charge(9, u64::MAX), (tokens([5, 6, 0, 0, 0]).unwrap(), false));
}

#[test]
fn headers_are_enough_unless_the_cache_was_written() {
    for (written, complete) in [("0", true), ("5", false)] {
        let case = with_headers(
            Case::new("", "InvokeModel", "", None),
            &[
                ("x-amzn-bedrock-input-token-count", "1"),
                ("x-amzn-bedrock-output-token-count", "2"),
                ("x-amzn-bedrock-cache-write-input-token-count", written),
            ],
        );
        assert_eq!(case.reader().reading().complete, complete);
    }
}

#[test]
fn a_body_that_was_cut_tells_how_much_was_generated() {
    let mut reader = Case::new("", "Converse", "", None).reader();
    reader.chunk(br#"{"output":{"message":{"content":[{"text":"one two six"#);
    let reading = reader.reading();
    assert_eq!((reading.usage, reading.complete, reading.output_seen), (None, false, 5));
    assert_eq!(reading.charge(40, u64::MAX), (tokens([40, 5, 0, 0, 0]).unwrap(), true));
    assert_eq!(reading.charge(40, 3), (tokens([40, 3, 0, 0, 0]).unwrap(), true), "no more than it may write");
}
