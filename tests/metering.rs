//! What the simulator reports, the gateway's reader reads: every shape, whatever is left out, however it is cut.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[allow(dead_code, reason = "made for tests/simulator.rs as well")]
mod simulator_client;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};
use simulator_client::{Client, post};
use tollgate::{
    bedrock::{
        Operation,
        ask::Ask,
        operations,
        usage::{Reading, ServiceTier, Usage, UsageChunkFilter, UsageReader},
    },
    simulator::{self, Simulator, SimulatorConfig},
};

const TARGETS: [(&str, &str); 13] = [
    ("Converse", "/model/anthropic.claude-v1%3A0/converse"),
    ("ConverseStream", "/model/anthropic.claude-v1%3A0/converse-stream"),
    ("InvokeModel", "/model/anthropic.claude-v1%3A0/invoke"),
    ("InvokeModel", "/model/amazon.nova-lite-v1%3A0/invoke"),
    ("InvokeModel", "/model/meta.llama3-1-8b-instruct-v1%3A0/invoke"),
    ("InvokeModel", "/model/amazon.titan-embed-text-v2%3A0/invoke"),
    ("InvokeModel", "/model/openai.gpt-oss-20b-1%3A0/invoke"),
    ("InvokeModelWithResponseStream", "/model/anthropic.claude-v1%3A0/invoke-with-response-stream"),
    ("InvokeModelWithResponseStream", "/model/amazon.nova-lite-v1%3A0/invoke-with-response-stream"),
    ("InvokeModelWithResponseStream", "/model/meta.llama3-1-8b-instruct-v1%3A0/invoke-with-response-stream"),
    ("ChatCompletions", "/openai/v1/chat/completions"),
    ("Responses", "/openai/v1/responses"),
    ("Messages", "/anthropic/v1/messages"),
];

async fn start() -> Simulator {
    Simulator::start(SimulatorConfig::for_tests()).await.unwrap()
}

fn named(name: &str) -> &'static Operation {
    operations().iter().find(|operation| operation.name == name).unwrap()
}

fn read(operation: &str, headers: &HeaderMap, body: &[u8], piece: usize) -> Reading {
    let mut reader = UsageReader::for_answer(named(operation), None, http::StatusCode::OK, headers);
    body.chunks(piece).for_each(|piece| reader.chunk(piece));
    reader.end();
    reader.reading()
}

/// The simulator's own type for it, which shares no code with the reader's.
fn recorded(usage: simulator::Usage) -> Usage {
    Usage {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cache_read_tokens: usage.cache_read_tokens,
        cache_write_tokens: usage.cache_write_tokens,
        cache_write_1h_tokens: usage.cache_write_1h_tokens,
    }
}

#[tokio::test]
async fn what_is_reported_is_what_is_read() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    let mut compared = 0;
    for (operation, target) in TARGETS {
        for stream in [false, true] {
            for more in ["", "x-simulator-omit-usage", "x-simulator-omit-usage-headers"] {
                let mut headers = vec![
                    ("x-simulator-input-tokens", "7"),
                    ("x-simulator-output-tokens", "126"),
                    ("x-simulator-cache-read-tokens", "14486"),
                    ("x-simulator-cache-write-tokens", "38"),
                    ("x-simulator-cache-write-1h-tokens", "2200"),
                    ("x-simulator-service-tier", "flex"),
                ];
                headers.extend(Some((more, "true")).filter(|(name, _)| !name.is_empty()));
                let body = json!({"model": "m", "stream": stream, "stream_options": {"include_usage": true}}).to_string();
                let (_, answer, bytes) = client.send(post(target, &headers, body.as_bytes())).await;
                let served = simulator.record().requests().last().unwrap().clone();
                for piece in [1, 7, bytes.len()] {
                    let reading = read(operation, &answer, &bytes, piece);
                    let case = format!("{operation} {target} stream={stream} {more} in pieces of {piece}");
                    assert_eq!(reading.usage, served.usage.map(recorded), "{case}");
                    assert_eq!(reading.complete, served.usage.is_some(), "{case}");
                    // Anthropic's tier is a member of its usage.
                    let has_tier = (operation, more) != ("Messages", "x-simulator-omit-usage");
                    assert_eq!(reading.tier, has_tier.then_some(ServiceTier::Flex), "{case}");
                    compared += 1;
                }
                let generated = served.generated.unwrap();
                assert_eq!((generated.output_tokens, generated.cache_write_1h_tokens), (126, 2200), "{target}");
            }
        }
    }
    assert_eq!(compared, TARGETS.len() * 2 * 3 * 3);
}

#[tokio::test]
async fn what_an_exception_cuts_off_was_generated_but_not_reported() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    let headers = [("x-simulator-exception", "throttlingException"), ("x-simulator-output-tokens", "99")];
    for (operation, target) in TARGETS.into_iter().filter(|(operation, _)| operation.ends_with("Stream")) {
        let (_, answer, body) = client.send(post(target, &headers, b"{}")).await;
        let served = simulator.record().requests().last().unwrap().clone();
        let reading = read(operation, &answer, &body, 5);
        assert_eq!((served.usage, served.generated.map(|usage| usage.output_tokens)), (None, Some(99)), "{target}");
        assert!(!reading.complete && reading.failed && reading.output_seen > 0, "{target}: {reading:?}");
    }
    assert_eq!(simulator.record().totals().usage.output_tokens, 0);
    assert_eq!(simulator.record().totals().generated.output_tokens, 4 * 99);
}

/// The gateway asks for usage behind the client's back: what reaches the client is what it would have got without.
#[tokio::test]
async fn a_chat_that_was_made_to_report_reads_the_same_to_the_client() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    let body = Bytes::from(r#"{"model":"openai.gpt-oss-20b-1:0","stream":true,"messages":[]}"#);
    let ask = Ask::read(named("ChatCompletions"), None, std::slice::from_ref(&body));
    let edited = ask.asking_for_usage(&[body]).unwrap().unwrap().concat();
    let (_, headers, answer) = client.send(post("/openai/v1/chat/completions", &[], &edited)).await;
    assert!(read("ChatCompletions", &headers, &answer, 11).complete);

    let mut filter = UsageChunkFilter::default();
    let mut out: Vec<u8> = answer.chunks(11).flat_map(|piece| filter.chunk(&Bytes::copy_from_slice(piece))).collect();
    out.extend_from_slice(&filter.end());
    let text = String::from_utf8(out).unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"));
    let chunks: Vec<Value> =
        text.split("\n\n").filter_map(|event| serde_json::from_str(event.strip_prefix("data: ")?).ok()).collect();
    assert_eq!(chunks.len(), 7);
    assert!(chunks.iter().all(|chunk| chunk["choices"][0].is_object() && chunk["usage"].is_null()));
}

#[tokio::test]
async fn the_tier_that_was_asked_for_is_the_one_that_served() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    for (operation, target, header, body) in [
        ("Converse", TARGETS[0].1, None, r#"{"serviceTier":{"type":"priority"}}"#),
        ("ChatCompletions", TARGETS[10].1, None, r#"{"model":"m","service_tier":"priority"}"#),
        ("InvokeModel", TARGETS[2].1, Some(("x-amzn-bedrock-service-tier", "priority")), "{}"),
    ] {
        let (_, answer, bytes) = client.send(post(target, header.as_slice(), body.as_bytes())).await;
        assert_eq!(read(operation, &answer, &bytes, 3).tier, Some(ServiceTier::Priority), "{operation}");
        assert_eq!(simulator.record().requests().last().unwrap().service_tier.as_deref(), Some("priority"));
    }
}
