//! The simulator against clients that share no code with it: signatures by the aws-sigv4 crate, frames by
//! aws-smithy-eventstream's decoder, HTTP by hyper's client.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod simulator_client;

use std::time::{Duration, SystemTime};

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_types::event_stream::Message;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use simulator_client::{Client, RUNTIME, Signing, collect, h2, post};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tollgate::{
    bedrock::{Service, operations},
    simulator::{Record, Script, Simulator, SimulatorConfig, Usage},
};

const CONVERSE: &str = "/model/anthropic.claude-v1%3A0/converse";
const CONVERSE_STREAM: &str = "/model/anthropic.claude-v1%3A0/converse-stream";
const INVOKE: &str = "/model/anthropic.claude-v1%3A0/invoke";
const INVOKE_STREAM: &str = "/model/anthropic.claude-v1%3A0/invoke-with-response-stream";

async fn start() -> Simulator {
    Simulator::start(SimulatorConfig::for_tests()).await.unwrap()
}

fn parse(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

fn decode(bytes: &[u8]) -> Vec<Message> {
    let (mut decoder, mut rest, mut messages) = (MessageFrameDecoder::new(), BytesMut::from(bytes), Vec::new());
    while let DecodedFrame::Complete(message) = decoder.decode_frame(&mut rest).unwrap() {
        messages.push(message);
    }
    assert!(rest.is_empty(), "half a frame is left");
    messages
}

fn header<'a>(message: &'a Message, name: &str) -> &'a str {
    let found = message.headers().iter().find(|header| header.name().as_str() == name).unwrap();
    found.value().as_string().unwrap().as_str()
}

fn kinds(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| header(message, ":event-type")).collect()
}

/// The provider's event inside a `chunk`.
fn inner(message: &Message) -> Value {
    parse(&STANDARD.decode(parse(message.payload())["bytes"].as_str().unwrap()).unwrap())
}

fn verdicts(record: &Record) -> Vec<String> {
    record.requests().iter().map(|served| served.verdict.clone()).collect()
}

#[tokio::test]
async fn another_implementations_signatures_are_accepted() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    for target in [
        CONVERSE,
        "/model/anthropic.claude-v1:0/converse",
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x/converse",
        "/model/arn:aws:bedrock:us-east-1:1:application-inference-profile%2Fabc/invoke",
        "/model/a%252Fb/converse",
        "/model/caf%C3%A9%20!'()*~/converse",
        "/agents/",
        "/a//b/./c",
        "/tags/x?tagKeys=b&tagKeys=a&tagKeys=b",
        "/tags/x?z=&a&y=1%2C2&%C3%A9=1&A=%7e",
        "/tags/x?a=b=c&a-b=1&a%3Db=",
    ] {
        let (status, headers, _) = client.send(post(target, &[("x-amz-target", "a  b "), ("content-type", "x")], b"{}")).await;
        assert_eq!(status, StatusCode::OK, "{target}");
        assert!(headers.contains_key("x-amzn-requestid"));
        assert_eq!(headers["x-simulator-service"], "bedrock-runtime");
    }
    assert!(verdicts(&simulator.record()).iter().all(|verdict| verdict == "ok"));
}

/// Where the two implementations are known to differ is left out: `+` and what is not UTF-8 in a query (aws-sigv4 reads queries
/// as forms), and a path that ends in a dot segment.
#[tokio::test]
async fn generated_requests_verify_as_another_implementation_signs_them() {
    const PATH: [&str; 30] = [
        "a", "Z", "9", "-", ".b", "_", "~", "%3A", ":", "%2F", "%2f", "%25", "%20", "!", "$", "'", "(", ")", "*", ",", ";", "@",
        "%C3%A9", "%7E", "%41", "/", "//", "=", "&", "|",
    ];
    const QUERY: [&str; 26] = [
        "a", "b", "Z", "=", "&", "%3D", "%26", "%20", "~", "%7e", "-", ".", "!", "*", "'", ":", "/", "?", ",", "%C3%A9", "%25",
        "&&", "==", "%zz", "[", "%2B",
    ];
    const VALUE: [&str; 8] = ["a", " ", "  ", "\t", "\"", "é", ",", "="];
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    let mut state = 88_172_645_463_325_252_u64;
    let mut some = |parts: &[&str]| {
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap()
        };
        (0..next() % 7).map(|_| parts[next() % parts.len()]).collect::<String>()
    };
    for _ in 0..2_000 {
        let (target, value) = (format!("/{}?{}", some(&PATH), some(&QUERY)), some(&VALUE));
        let (status, _, body) = client.send(post(&target, &[("x-amz-target", value.trim())], b"{}")).await;
        assert_eq!(status, StatusCode::OK, "{target} {value:?} {body:?}");
    }
}

#[tokio::test]
async fn a_request_signed_otherwise_is_refused() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    let hour = Duration::from_secs(3600);
    let right = Signing::default();
    for (signing, code) in [
        (Signing { access_key_id: "AKIDOTHER", ..right.clone() }, "UnrecognizedClientException"),
        (Signing { secret: "other", ..right.clone() }, "InvalidSignatureException"),
        (Signing { token: Some("other"), ..right.clone() }, "UnrecognizedClientException"),
        (Signing { token: None, ..right.clone() }, "UnrecognizedClientException"),
        (Signing { region: "us-west-2", ..right.clone() }, "InvalidSignatureException"),
        (Signing { service: "bedrock-runtime", ..right.clone() }, "InvalidSignatureException"),
        (Signing { time: SystemTime::now() - hour, ..right.clone() }, "InvalidSignatureException"),
        (Signing { time: SystemTime::now() + hour, ..right.clone() }, "InvalidSignatureException"),
    ] {
        let (status, headers, body) = client.send(signing.request("POST", RUNTIME, CONVERSE, &[], b"{}")).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert_eq!(headers["x-amzn-errortype"], code, "{body:?}");
        assert_eq!(parse(&body)["__type"], code);
        assert_eq!(headers["x-simulator-operation"], "Converse");
    }
    let totals = simulator.record().totals();
    assert_eq!((totals.requests, totals.refused), (8, 8));
}

#[tokio::test]
async fn what_is_changed_after_signing_is_refused() {
    type Tamper = fn(&mut Request<Full<Bytes>>);
    fn set(request: &mut Request<Full<Bytes>>, name: &'static str, value: &'static str) {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    let mismatch = "The request signature we calculated does not match";
    let cases: [(&str, Tamper); 12] = [
        (mismatch, |request| *request.body_mut() = Full::from("[]")),
        (mismatch, |request| *request.uri_mut() = "/model/anthropic.claude-v1:0/converse?a=2".parse().unwrap()),
        (mismatch, |request| *request.uri_mut() = format!("{CONVERSE}?a=1").parse().unwrap()),
        (mismatch, |request| *request.method_mut() = http::Method::PUT),
        (mismatch, |request| set(request, "host", "bedrock-runtime-fips.us-east-1.amazonaws.com")),
        (mismatch, |request| set(request, "x-amz-target", "b")),
        (mismatch, |request| {
            request.headers_mut().append("x-amz-target", HeaderValue::from_static("b"));
        }),
        ("'x-amz-target' is a 'SignedHeader'", |request| drop(request.headers_mut().remove("x-amz-target"))),
        ("which were not signed: 'x-amz-other'", |request| set(request, "x-amz-other", "1")),
        ("Authorization header requires existence", |request| drop(request.headers_mut().remove("x-amz-date"))),
        ("Missing Authentication Token", |request| drop(request.headers_mut().remove("authorization"))),
        ("make sure your API Key is valid", |request| set(request, "authorization", "Bearer x")),
    ];
    for (index, (message, tamper)) in cases.into_iter().enumerate() {
        let mut request = post(&format!("{CONVERSE}?a=2"), &[("x-amz-target", "a")], b"{}");
        tamper(&mut request);
        let (status, _, body) = client.send(request).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "case {index}");
        assert!(parse(&body)["message"].as_str().unwrap().contains(message), "case {index}: {body:?}");
    }
    assert!(simulator.record().requests().iter().all(|served| served.access_key_id.is_none()));
}

#[tokio::test]
async fn payload_hashes_are_compared_with_the_bytes() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    let right = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    for (hash, status) in
        [(right, 200), (&"0".repeat(64), 403), ("UNSIGNED-PAYLOAD", 403), ("STREAMING-AWS4-HMAC-SHA256-EVENTS", 403)]
    {
        let (got, _, body) = client.send(post(CONVERSE, &[("x-amz-content-sha256", hash)], b"{}")).await;
        assert_eq!(got.as_u16(), status, "{hash}: {body:?}");
    }
}

#[tokio::test]
async fn every_operation_is_taken_for_itself_and_answered() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    for operation in operations() {
        let host = match operation.service {
            Service::BedrockMantle => "bedrock-mantle.us-east-1.api.aws".to_owned(),
            service => format!("{service}.us-east-1.amazonaws.com"),
        };
        let segment = |s: &str| if s.starts_with('{') { "x%2Fy:z".to_owned() } else { s.to_owned() };
        let path = operation.uri.split('/').map(segment).collect::<Vec<_>>().join("/");
        let target = format!("AmazonBedrockKeystoneRuntimeService.{}", operation.name);
        let signing = Signing { service: operation.service.signing_name(), ..Signing::default() };
        let (status, headers, body) =
            client.send(signing.request(operation.method, &host, &path, &[("x-amz-target", &target)], b"{}")).await;
        assert_eq!(status, StatusCode::OK, "{body:?}");
        assert_eq!(headers["x-simulator-service"], operation.service.name());
        assert_eq!(headers["x-simulator-operation"], operation.name);
        if headers["content-type"].to_str().unwrap().contains("json") {
            parse(&body);
        }
    }
}

#[tokio::test]
async fn a_path_nobody_knows_is_an_unknown_operation() {
    let simulator = start().await;
    let (status, headers, body) = Client::connect(&simulator).await.send(post("/model/a/b/converse", &[], b"{}")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["x-simulator-operation"], "Unknown");
    assert_eq!(parse(&body)["Output"]["__type"], "com.amazon.coral.service#UnknownOperationException");
}

#[tokio::test]
async fn usage_is_reported_as_scripted_and_recorded() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    let tokens = [
        ("x-simulator-input-tokens", "7"),
        ("x-simulator-output-tokens", "126"),
        ("x-simulator-cache-read-tokens", "14486"),
        ("x-simulator-cache-write-tokens", "2238"),
    ];
    let (_, _, body) = client.send(post(CONVERSE, &tokens, b"{}")).await;
    assert_eq!(
        parse(&body)["usage"],
        json!({"inputTokens": 7, "outputTokens": 126, "totalTokens": 16857, "cacheReadInputTokens": 14486, "cacheWriteInputTokens": 2238,
            "cacheDetails": [{"ttl": "5m", "inputTokens": 2238}]})
    );
    let (_, headers, _) = client.send(post(INVOKE, &tokens, b"{}")).await;
    let counts = ["input", "output", "cache-read-input", "cache-write-input"]
        .map(|n| headers[format!("x-amzn-bedrock-{n}-token-count")].clone());
    assert_eq!(counts, ["7", "126", "14486", "2238"]);
    let (_, _, body) = client.send(post(INVOKE_STREAM, &tokens, b"{}")).await;
    let metrics = inner(decode(&body).last().unwrap())["amazon-bedrock-invocationMetrics"].clone();
    assert_eq!((&metrics["inputTokenCount"], &metrics["cacheWriteInputTokenCount"]), (&json!(7), &json!(2238)));

    let usage =
        Usage { input_tokens: 7, output_tokens: 126, cache_read_tokens: 14486, cache_write_tokens: 2238, ..Usage::default() };
    assert!(simulator.record().requests().iter().all(|served| served.usage == Some(usage) && served.completed()));
    assert_eq!(simulator.record().totals().usage.cache_write_tokens, 3 * 2238);
}

#[tokio::test]
async fn ranks_and_embeddings_are_as_many_as_what_is_asked_about() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    let (signing, host) = (Signing::default(), "bedrock-agent-runtime.us-east-1.amazonaws.com");
    let rerank = |most: &str| {
        format!(
            r#"{{"queries":[],"sources":[{{"a":1}},{{}},{{}}],"rerankingConfiguration":{{"bedrockRerankingConfiguration":{{{most}}}}}}}"#
        )
    };
    for (most, expected) in [("", 3), (r#""numberOfResults":2"#, 2), (r#""numberOfResults":9"#, 3)] {
        let (status, headers, body) = client.send(signing.request("POST", host, "/rerank", &[], rerank(most).as_bytes())).await;
        assert_eq!((status.as_u16(), headers["x-simulator-operation"].to_str().unwrap()), (200, "Rerank"));
        let results = parse(&body)["results"].as_array().unwrap().clone();
        assert_eq!(results.len(), expected);
        assert!(results.windows(2).all(|two| two[0]["relevanceScore"].as_f64() > two[1]["relevanceScore"].as_f64()));
    }
    let (_, _, body) = client.send(post("/model/cohere.embed-english-v3/invoke", &[], br#"{"texts":["a","b","c"]}"#)).await;
    assert_eq!(parse(&body)["embeddings"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn no_number_is_too_large_to_be_answered() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    let most = u64::MAX.to_string();
    let tokens =
        ["input", "output", "cache-read", "cache-write", "cache-write-1h"].map(|kind| format!("x-simulator-{kind}-tokens"));
    for path in [CONVERSE, INVOKE, CONVERSE_STREAM, INVOKE_STREAM] {
        let headers: Vec<(&str, &str)> = tokens.iter().map(|name| (name.as_str(), most.as_str())).collect();
        let (status, ..) = client.send(post(path, &headers, b"{}")).await;
        assert_eq!(status, 200, "{path}");
    }
    assert_eq!(simulator.record().totals().usage.input_tokens, u64::MAX);

    for name in ["x-simulator-event-bytes", "x-simulator-response-bytes"] {
        for size in ["67108865", &most] {
            let (status, _, body) = client.send(post(CONVERSE, &[(name, size)], b"{}")).await;
            assert_eq!(status, 400);
            assert!(parse(&body)["message"].as_str().unwrap().contains(name), "{name}");
        }
    }
    // As many events as fit into a text.
    let (status, _, body) = client.send(post(CONVERSE, &[("x-simulator-events", &most)], b"{}")).await;
    assert_eq!(status, 200);
    assert!(body.len() > 60 << 20 && body.len() < 70 << 20, "{}", body.len());
}

#[tokio::test]
async fn event_streams_decode_whatever_the_pieces() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    for chunk_bytes in 1..=64 {
        let size = chunk_bytes.to_string();
        let headers = [("x-simulator-chunk-bytes", size.as_str()), ("x-simulator-events", "2"), ("x-simulator-event-bytes", "5")];
        let (_, received, body) = client.send(post(CONVERSE_STREAM, &headers, b"{}")).await;
        assert_eq!(received["content-type"], "application/vnd.amazon.eventstream");
        let messages = decode(&body);
        let expected = ["messageStart", "contentBlockDelta", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"];
        assert_eq!(kinds(&messages), expected);
        assert_eq!(parse(messages[5].payload())["usage"]["inputTokens"], 12);

        let (_, _, body) = client.send(post(INVOKE_STREAM, &headers, b"{}")).await;
        let types: Vec<Value> = decode(&body).iter().map(|message| inner(message)["type"].clone()).collect();
        assert_eq!(types.first(), Some(&json!("message_start")));
        assert_eq!(types.last(), Some(&json!("message_stop")));
    }
}

#[tokio::test]
async fn an_exception_ends_a_stream_in_the_middle() {
    let simulator = start().await;
    let request = post(CONVERSE_STREAM, &[("x-simulator-exception", "throttlingException")], b"{}");
    let (_, _, body) = Client::connect(&simulator).await.send(request).await;
    let messages = decode(&body);
    let last = messages.last().unwrap();
    assert_eq!((messages.len(), header(last, ":message-type")), (5, "exception"));
    assert_eq!(header(last, ":exception-type"), "throttlingException");
    let requests = simulator.record().requests();
    assert_eq!((requests[0].completed(), requests[0].usage), (true, None));
}

#[tokio::test]
async fn resets_and_closes_are_felt() {
    let simulator = start().await;
    for how in ["x-simulator-reset", "x-simulator-close"] {
        let error = Client::connect(&simulator).await.try_send(post(CONVERSE, &[(how, "before-headers")], b"{}")).await;
        assert!(error.is_err(), "{how}");
        for target in [CONVERSE, CONVERSE_STREAM] {
            let response = Client::connect(&simulator).await.try_send(post(target, &[(how, "mid-stream")], b"{}")).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            assert!(response.into_body().collect().await.is_err(), "{how} {target}");
        }
    }
    assert!(simulator.record().requests().iter().all(|served| !served.completed() && served.verdict == "ok"));
}

#[tokio::test]
async fn a_reset_is_an_rst_and_a_close_is_a_fin() {
    let config = SimulatorConfig { tls: false, ..SimulatorConfig::for_tests() };
    let simulator = Simulator::start(config).await.unwrap();
    for (how, kind) in [("reset", Some(std::io::ErrorKind::ConnectionReset)), ("close", None)] {
        simulator.set_script(Script::parse(&format!("[default]\n{how} = \"before_headers\"")).unwrap());
        let mut stream = TcpStream::connect(simulator.address()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let read = stream.read(&mut [0; 16]).await;
        assert_eq!(read.as_ref().err().map(std::io::Error::kind), kind, "{read:?}");
    }
}

#[tokio::test]
async fn a_stall_never_goes_on() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    let stalled = post(CONVERSE, &[("x-simulator-stall", "before-headers")], b"{}");
    let record = simulator.record();
    tokio::select! {
        _ = client.try_send(stalled) => panic!("a stalled request was answered"),
        () = record.wait_until(|record| record.requests().len() == 1) => {}
    }

    let request = post(CONVERSE_STREAM, &[("x-simulator-stall", "mid-stream")], b"{}");
    let mut body = Client::connect(&simulator).await.try_send(request).await.unwrap().into_body();
    let mut received = Vec::new();
    while received.len() < 3 || decode_count(&received) < 4 {
        received.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    tokio::select! {
        biased;
        frame = body.frame() => panic!("{frame:?} came after the stall"),
        () = std::future::ready(()) => {}
    }
    assert!(record.requests().iter().all(|served| !served.completed()));
}

fn decode_count(bytes: &[u8]) -> usize {
    let (mut decoder, mut rest, mut count) = (MessageFrameDecoder::new(), BytesMut::from(bytes), 0);
    while let DecodedFrame::Complete(_) = decoder.decode_frame(&mut rest).unwrap() {
        count += 1;
    }
    count
}

#[tokio::test]
async fn connections_close_when_idle_and_after_an_answer() {
    let simulator = start().await;
    for header in [("x-simulator-close-idle-ms", "1"), ("x-simulator-close-after-response", "true")] {
        let mut client = Client::connect(&simulator).await;
        let (status, headers, _) = client.send(post(CONVERSE, &[header], b"{}")).await;
        assert_eq!((status, headers.get("connection")), (StatusCode::OK, None), "{header:?}");
        client.closed().await;
    }
}

#[tokio::test]
async fn http2_is_spoken_by_alpn_and_by_prior_knowledge() {
    let simulator = start().await;
    let request = over_h2(post(CONVERSE, &[], b"{}"));
    let response = h2(&simulator).await.send_request(request.clone()).await.unwrap();
    assert_eq!((response.version(), response.status()), (http::Version::HTTP_2, StatusCode::OK));

    let plain = Simulator::start(SimulatorConfig { tls: false, ..SimulatorConfig::for_tests() }).await.unwrap();
    let io = TokioIo::new(TcpStream::connect(plain.address()).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let (status, _, _) = collect(sender.send_request(request).await.unwrap()).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_client_that_asks_to_continue_is_told_to() {
    let plain = Simulator::start(SimulatorConfig { tls: false, ..SimulatorConfig::for_tests() }).await.unwrap();
    let mut stream = TcpStream::connect(plain.address()).await.unwrap();
    stream.write_all(b"POST /x HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").await.unwrap();
    let mut told = [0; 21];
    stream.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue");
}

#[tokio::test]
async fn the_record_says_what_was_served_and_no_prompt() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    let headers = [("x-amzn-bedrock-trace", "ENABLED"), ("x-amzn-bedrock-guardrailidentifier", "g")];
    client.send(post(&format!("{INVOKE}?b=2&a=1"), &headers, br#"{"prompt":"a secret wish"}"#)).await;

    let page = |target: &str| Request::get(target).header("host", "localhost").body(Full::default()).unwrap();
    let (_, _, text) = client.send(page("/_simulator/record")).await;
    let page_text = String::from_utf8(text.to_vec()).unwrap();
    for secret in ["secret wish", "simulator-session-token", "Signature="] {
        assert!(!page_text.contains(secret), "{secret}");
    }
    let served = &parse(&text)["requests"][0];
    let field = |name: &str| served[name].clone();
    assert_eq!(field("service"), "bedrock-runtime");
    assert_eq!(field("operation"), "InvokeModel");
    assert_eq!(field("model"), "anthropic.claude-v1:0");
    assert_eq!(field("target"), format!("{INVOKE}?b=2&a=1"));
    assert_eq!((field("body_bytes"), field("access_key_id")), (json!(26), json!("AKIDSIMULATOR")));
    assert_eq!((field("verdict"), field("status"), field("completed")), (json!("ok"), json!(200), json!(true)));
    assert!(served["headers"].as_array().unwrap().contains(&json!(["x-amzn-bedrock-trace", "ENABLED"])));
    assert_eq!(simulator.record().requests()[0].header("x-amzn-bedrock-guardrailidentifier"), Some("g"));

    let (_, _, later) = client.send(page("/_simulator/record?since=1")).await;
    assert_eq!(parse(&later)["requests"], json!([]));
    assert_eq!(parse(&later)["totals"]["requests"], 1);
    let delete = Request::delete("/_simulator/record").header("host", "localhost").body(Full::default()).unwrap();
    client.send(delete).await;
    assert_eq!(simulator.record().requests().len(), 0);
}

#[tokio::test]
async fn a_script_can_be_put_over_http() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    let put = |text: &'static str| Request::put("/_simulator/script").header("host", "localhost").body(Full::from(text)).unwrap();
    let (status, _, _) = client.send(put("[[rules]]\noperation = \"Conv*\"\ntimes = 1\nthrottle = true\n")).await;
    assert_eq!(status, StatusCode::OK);
    let (status, headers, _) = client.send(post(CONVERSE, &[], b"{}")).await;
    assert_eq!(
        (status, &headers["x-amzn-errortype"]),
        (StatusCode::TOO_MANY_REQUESTS, &HeaderValue::from_static("ThrottlingException"))
    );
    assert_eq!(client.send(post(CONVERSE, &[], b"{}")).await.0, StatusCode::OK);
    assert_eq!(client.send(put("[[rules]]\ncolour = 1\n")).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn errors_speak_the_words_of_the_route() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    let status = [("x-simulator-status", "503"), ("x-simulator-error-type", "overloaded")];
    let mut told = async |target: &str| parse(&client.send(post(target, &status, b"{}")).await.2);
    assert_eq!(told(CONVERSE).await["__type"], "overloaded");
    assert_eq!(told("/openai/v1/chat/completions").await["error"]["type"], "overloaded");
    assert_eq!(told("/anthropic/v1/messages").await["error"]["type"], "overloaded");
}

#[tokio::test]
async fn sse_has_usage_only_where_asked_for() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    for (options, has_usage) in [(json!({}), false), (json!({"stream_options": {"include_usage": true}}), true)] {
        let mut body = json!({"model": "openai.gpt-oss-120b-1:0", "stream": true, "messages": []});
        body.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let (_, headers, text) = client.send(post("/openai/v1/chat/completions", &[], body.to_string().as_bytes())).await;
        assert_eq!(headers["content-type"], "text/event-stream");
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.ends_with("data: [DONE]\n\n"));
        assert_eq!(text.contains("\"prompt_tokens\":12"), has_usage);
        let requests = simulator.record().requests();
        let served = requests.last().unwrap();
        assert_eq!((served.usage.is_some(), served.model.as_deref()), (has_usage, Some("openai.gpt-oss-120b-1:0")));
    }
}

#[tokio::test]
async fn bodies_are_padded_to_the_byte() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    for target in [INVOKE, CONVERSE, "/model/amazon.nova-lite/invoke"] {
        let (_, _, body) = client.send(post(target, &[("x-simulator-response-bytes", "100000")], b"{}")).await;
        assert_eq!(body.len(), 100_000);
        parse(&body);
    }
}

/// The same request for HTTP/2, where the host is the authority.
fn over_h2(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    request.headers_mut().remove("host");
    *request.uri_mut() = format!("https://{RUNTIME}{}", request.uri()).parse().unwrap();
    request
}

#[tokio::test]
async fn the_largest_bodies_are_hashed_as_they_come() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    for size in [0, 1, 65_535, 65_536, 65_537, 25_000_000] {
        let request = post(INVOKE, &[], &vec![b'x'; size]);
        assert_eq!(client.send(request.clone()).await.0, StatusCode::OK, "{size}");
        assert_eq!(h2(&simulator).await.send_request(over_h2(request)).await.unwrap().status(), StatusCode::OK, "{size}");
        assert_eq!(simulator.record().requests().last().unwrap().body_bytes, size as u64);
    }
}

#[tokio::test]
async fn a_reset_cuts_http2_streams_too() {
    let simulator = start().await;
    let mut sender = h2(&simulator).await;
    for (how, moment) in [("x-simulator-reset", "mid-stream"), ("x-simulator-close", "mid-stream")] {
        let request = over_h2(post(CONVERSE_STREAM, &[(how, moment)], b"{}"));
        let response = sender.send_request(request).await.unwrap();
        assert!(response.into_body().collect().await.is_err(), "{how}");
        sender = h2(&simulator).await;
    }
}

#[tokio::test]
async fn a_dropped_simulator_closes_its_connections() {
    let simulator = start().await;
    let mut client = Client::connect(&simulator).await;
    client.send(post(CONVERSE, &[], b"{}")).await;
    let address = simulator.address();
    drop(simulator);
    client.closed().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_request_that_never_becomes_whole_is_counted() {
    let plain = Simulator::start(SimulatorConfig { tls: false, ..SimulatorConfig::for_tests() }).await.unwrap();
    let mut stream = TcpStream::connect(plain.address()).await.unwrap();
    stream.write_all(b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
    drop(stream);
    plain.record().wait_until(|record| record.totals().incomplete == 1).await;
    assert_eq!(plain.record().totals().requests, 0);
}
