//! What goes upstream is what came, byte for byte, but for credentials and what concerns one hop only.

use http::{HeaderValue, Request};

use crate::{
    client::{Upload, post, with},
    harness::{CONVERSE, INVOKE, World},
};

/// Wire paths and queries that must not be touched, and where they go.
const TARGETS: [(&str, &str, &str, &str); 13] = [
    ("POST", "/model/anthropic.claude-3-haiku-20240307-v1:0/invoke", "bedrock-runtime", "InvokeModel"),
    ("POST", "/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke", "bedrock-runtime", "InvokeModel"),
    (
        "POST",
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0/converse",
        "bedrock-runtime",
        "Converse",
    ),
    ("POST", "/model/a%3a0/invoke", "bedrock-runtime", "InvokeModel"),
    ("POST", "/model/a%20b~c%2B/converse", "bedrock-runtime", "Converse"),
    ("GET", "/foundation-models?byProvider=z&byProvider=a&byOutputModality=", "bedrock", "ListFoundationModels"),
    ("GET", "/foundation-models?b=2&a=1&b=1&empty=&flag&%41=x%2Fy&c=a+b", "bedrock", "ListFoundationModels"),
    ("GET", "/foundation-models?", "bedrock", "ListFoundationModels"),
    ("POST", "/knowledgebases/KB12345678/retrieve", "bedrock-agent-runtime", "Retrieve"),
    ("POST", "/agents/", "bedrock-agent", "ListAgents"),
    (
        "DELETE",
        "/tags/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A1%3Aruntime%2Fx?tagKeys=b&tagKeys=a&tagKeys=b",
        "bedrock-agentcore-control",
        "UntagResource",
    ),
    ("POST", "/model/a.b/an-operation-of-tomorrow?x=%2f", "bedrock-runtime", "Unknown"),
    ("PUT", "/guardrails/gr-1/an-operation-of-tomorrow/", "bedrock", "Unknown"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_and_queries_go_upstream_byte_for_byte() {
    let world = World::start().await;
    for mut client in [world.h1().await, world.h2().await] {
        for (method, target, service, operation) in TARGETS {
            let request = Request::builder().method(method).uri(target).body(Upload::none()).unwrap();
            let answer = client.ask(request).await;
            assert_eq!(answer.header("x-tollgate-source"), "bedrock", "{target}: {answer:?}");
            let served = world.simulator.record().requests().pop().unwrap();
            let wanted = target.strip_suffix('?').unwrap_or(target);
            assert_eq!((served.method.as_str(), served.target.as_str(), served.verdict.as_str()), (method, wanted, "ok"));
            assert_eq!((served.service, served.operation), (service, operation), "{target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leading_slashes_collapse_and_others_stay() {
    let world = World::start().await;
    let mut client = world.h1().await;
    client.post(&format!("//{}", &CONVERSE[1..]), "{}").await.assert_served();
    assert_eq!(world.served().target, CONVERSE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_that_two_parsers_read_differently_are_refused() {
    let world = World::start().await;
    let mut client = world.h1().await;
    for path in
        ["/model/../model/a/invoke", "/model/%2e%2e/invoke", "/model/a%00b/invoke", "/model/a%zz/invoke", "/model/a%ff/invoke"]
    {
        client.post(path, "{}").await.assert_refused(400, "ValidationException");
    }
    assert_eq!(world.served_count(), 0);
}

const PASS: [(&str, &str); 16] = [
    ("accept", "application/vnd.amazon.eventstream"),
    ("x-amzn-bedrock-accept", "*/*"),
    ("x-amzn-bedrock-guardrailidentifier", "gr-1"),
    ("x-amzn-bedrock-guardrailversion", "DRAFT"),
    ("x-amzn-bedrock-trace", "ENABLED_FULL"),
    ("x-amzn-bedrock-service-tier", "flex"),
    ("x-amzn-bedrock-performanceconfig-latency", "optimized"),
    ("x-amzn-bedrock-request-metadata", "{\"team\":\"a  b\"}"),
    ("x-amz-target", "AmazonBedrock.Something"),
    ("anthropic-version", "2023-06-01"),
    ("anthropic-beta", "a,b"),
    ("openai-organization", "org"),
    ("amz-sdk-invocation-id", "1-2-3"),
    ("amz-sdk-request", "attempt=1; max=3"),
    ("user-agent", "Boto3/1.40 md/x"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
];

const STRIPPED: [(&str, &str); 18] = [
    ("x-api-key", ""),
    ("cookie", "session=1"),
    ("connection", "x-hop"),
    ("x-hop", "1"),
    ("keep-alive", "timeout=5"),
    ("te", "trailers"),
    ("proxy-authorization", "Basic eDp5"),
    ("proxy-connection", "keep-alive"),
    ("forwarded", "for=1.2.3.4"),
    ("via", "1.1 proxy"),
    ("x-forwarded-for", "1.2.3.4"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-anything", "1"),
    ("x-real-ip", "1.2.3.4"),
    ("true-client-ip", "1.2.3.4"),
    ("cf-connecting-ip", "1.2.3.4"),
    ("x-tollgate-tenant", "globex"),
    ("aws-endpoint-prefix", "bedrock-runtime"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_the_api_pass_and_those_of_the_hop_do_not() {
    let world = World::start().await;
    for (mut client, http2) in [(world.h1().await, false), (world.h2().await, true)] {
        world.simulator.record().clear();
        let token = client.authorization.replace("Bearer ", "");
        let mut request = with(post(INVOKE, "{}"), "accept-encoding", "gzip, br");
        for (name, value) in PASS {
            request = with(request, name, value);
        }
        for (name, value) in STRIPPED {
            let hop = matches!(name, "connection" | "keep-alive" | "te" | "proxy-connection" | "x-hop");
            if !(http2 && hop) {
                request = with(request, name, if name == "x-api-key" { &token } else { value });
            }
        }
        client.ask(request).await.assert_served();
        let served = world.served();
        for (name, value) in PASS {
            assert_eq!(served.header(name), Some(value), "{name}");
        }
        for (name, _) in STRIPPED {
            assert_eq!(served.header(name), None, "{name}");
        }
        let count = |name: &str| served.headers().filter(|(n, _)| *n == name).count();
        for name in ["authorization", "x-amz-date", "x-amz-security-token", "host", "content-length", "content-type"] {
            assert_eq!(count(name), 1, "{name}");
        }
        assert_eq!(served.header("accept-encoding"), Some("identity"));
        assert_eq!(served.header("host"), Some("bedrock-runtime.us-east-1.amazonaws.com"));
        assert_eq!(served.access_key_id.as_deref(), Some("AKIDSIMULATOR"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_a_client_signed_itself_are_signed_anew() {
    let world = World::start().await;
    let request = with(post(INVOKE, "{}"), "x-amz-date", "20200101T000000Z");
    let request = with(request, "x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    let request = with(request, "x-amz-security-token", &world.token("acme"));
    let credential =
        "AWS4-HMAC-SHA256 Credential=placeholder/20200101/us-west-2/bedrock/aws4_request, SignedHeaders=host, Signature=0";
    world.h1().await.ask(with(request, "authorization", credential)).await.assert_served();
    let served = world.served();
    assert!(served.header("x-amz-date").unwrap() > "2024" && served.verdict == "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_with_odd_but_legal_values_pass_and_the_signature_holds() {
    let world = World::start().await;
    let mut client = world.h1().await;
    let mut request = post(INVOKE, "{}");
    let headers = request.headers_mut();
    headers.append("x-amz-meta-repeated", HeaderValue::from_static("b"));
    headers.append("x-amz-meta-repeated", HeaderValue::from_static("a"));
    headers.append("x-amz-meta-spaces", HeaderValue::from_static("a   b"));
    headers.append("x-amz-meta-empty", HeaderValue::from_static(""));
    headers.append("x-latin", HeaderValue::from_bytes(b"caf\xe9").unwrap());
    client.ask(request).await.assert_served();
    assert_eq!(world.served().headers().filter(|(name, _)| *name == "x-amz-meta-repeated").count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_header_of_the_response_passes() {
    let world = World::start().await;
    let tokens = with(post(INVOKE, "{}"), "x-simulator-cache-read-tokens", "7");
    let answer = world.h2().await.ask(with(tokens, "x-amzn-bedrock-service-tier", "flex")).await;
    answer.assert_served();
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-amzn-bedrock-input-token-count", "12"),
        ("x-amzn-bedrock-output-token-count", "34"),
        ("x-amzn-bedrock-cache-read-input-token-count", "7"),
        ("x-amzn-bedrock-service-tier", "flex"),
        ("x-simulator-operation", "InvokeModel"),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    assert_eq!(answer.header("x-amzn-requestid").len(), 36);
    assert_ne!(answer.header("x-amzn-requestid"), answer.header("x-tollgate-request-id"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_can_be_named_by_prefix_host_or_header() {
    let world = World::with_sections("[routing]\nhost_suffixes = [\"gw.example\"]\nendpoint_prefix_header = true").await;
    let tags = "/tags/resource";
    let get = |target: &str| Request::builder().uri(target).body(Upload::none()).unwrap();
    let named = [
        (get("/bedrock-agent/tags/resource"), "bedrock-agent", tags),
        (with(get(tags), "host", "bedrock-agent-runtime.gw.example"), "bedrock-agent-runtime", tags),
        (with(get(tags), "host", "Bedrock-Agentcore-Control.GW.example:8443"), "bedrock-agentcore-control", tags),
        (with(get(tags), "host", "bedrock-agent.us-east-1.amazonaws.com"), "bedrock-agent", tags),
        (with(get(tags), "aws-endpoint-prefix", "bedrock-agentcore-control"), "bedrock-agentcore-control", tags),
        (with(get("/bedrock-agent/tags/resource"), "aws-endpoint-prefix", "bedrock"), "bedrock-agent", tags),
        (get("/bedrock-mantle/brand/new"), "bedrock-mantle", "/brand/new"),
    ];
    let mut client = world.h1().await;
    for (request, service, target) in named {
        client.ask(request).await;
        let served = world.simulator.record().requests().pop().unwrap();
        assert_eq!((served.service, served.target.as_str(), served.verdict.as_str()), (service, target, "ok"));
    }
    let unknown = with(get(tags), "aws-endpoint-prefix", "evil.example");
    client.ask(unknown).await.assert_refused(400, "ValidationException");
    assert_eq!(world.served_count(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_no_service_has_is_404() {
    let world = World::start().await;
    let answer = world.h1().await.get("/index.html").await;
    answer.assert_refused(404, "UnknownOperationException");
    assert_eq!(world.served_count(), 0);
}
