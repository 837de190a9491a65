//! Traces: what the caller says is taken up and told to Bedrock, the spans say what happened, and a collector in trouble is nobody
//! else's.

use std::net::TcpListener;

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use serde_json::Value;

use crate::{
    client::{post, with},
    collector::{Answer, Collector, attribute, hex},
    harness::{CONVERSE, CONVERSE_STREAM, INVOKE, MODEL, Settings, World, tenant, until, within, write_private},
    puppet::Puppet,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const NOT_SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

fn of_kind(spans: &[Span], kind: SpanKind) -> Span {
    let mut found = spans.iter().filter(|span| span.kind == kind as i32);
    let span = found.next().unwrap_or_else(|| panic!("no span of {kind:?} in {spans:#?}")).clone();
    assert!(found.next().is_none(), "two spans of {kind:?}");
    span
}

/// The two spans of the only request that there was: of the request, and of the call of Bedrock.
async fn both(collector: &Collector) -> (Span, Span) {
    let spans = collector.spans(2).await;
    assert_eq!(spans.len(), 2, "{spans:#?}");
    (of_kind(&spans, SpanKind::Server), of_kind(&spans, SpanKind::Client))
}

fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32)
}

fn upstream_header(world: &World, name: &str) -> Option<String> {
    let served = world.served();
    let mut found = served.headers().filter(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned());
    let value = found.next();
    assert_eq!(found.next(), None, "{name} twice");
    value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_and_its_call_of_bedrock_are_spans_of_the_callers_trace() {
    let collector = Collector::start().await;
    let more = "headers = { x-team = { file = \"team\" } }\nresource = { \"deployment.environment.name\" = \"test\" }";
    let world = World::with(Settings {
        sections: collector.section(more),
        files: vec![("team", "canary-team\n".to_owned())],
        ..Settings::default()
    })
    .await;
    let body = r#"{"messages":[{"role":"user","content":[{"text":"canary-prompt"}]}]}"#;
    let request = with(with(post(&format!("{CONVERSE}?canary=query"), body), "traceparent", PARENT), "tracestate", "vendor=1");
    world.h2().await.ask(request).await.assert_served();

    let (request, call) = both(&collector).await;
    for span in [&request, &call] {
        assert_eq!((hex(&span.trace_id).as_str(), span.trace_state.as_str()), (TRACE, "vendor=1"));
        assert!(span.start_time_unix_nano < span.end_time_unix_nano && !is_error(span), "{span:#?}");
    }
    assert_eq!(hex(&request.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(call.parent_span_id, request.span_id);
    assert!(
        request.start_time_unix_nano <= call.start_time_unix_nano && call.end_time_unix_nano >= call.events[0].time_unix_nano
    );
    assert_eq!(call.events[0].name, "tollgate.first_byte");
    let told = upstream_header(&world, "traceparent").unwrap();
    assert_eq!(told, format!("00-{TRACE}-{}-01", hex(&call.span_id)));
    assert_eq!(upstream_header(&world, "tracestate").as_deref(), Some("vendor=1"));

    assert_eq!(request.name, "POST /model/{modelId}/converse");
    let lines = world.log_lines(1).await;
    let said = |key| attribute(&request.attributes, key);
    assert_eq!([said("http.request.method"), said("http.response.status_code")], ["POST", "200"]);
    assert_eq!([said("url.path"), said("url.scheme")], [CONVERSE, "https"]);
    assert_eq!([said("network.protocol.version"), said("client.address")], ["2", "127.0.0.1"]);
    assert_eq!([said("tollgate.tenant"), said("tollgate.outcome")], ["acme", "completed"]);
    assert_eq!(Value::from(said("tollgate.request_id")), lines[0]["request_id"]);
    assert_eq!(lines[0]["trace_id"], TRACE);

    assert_eq!(call.name, format!("chat {MODEL}"));
    let said = |key| attribute(&call.attributes, key);
    assert_eq!([said("gen_ai.operation.name"), said("gen_ai.provider.name")], ["chat", "aws.bedrock"]);
    assert_eq!([said("gen_ai.request.model"), said("rpc.method")], [MODEL, "Converse"]);
    assert_eq!(said("server.address"), "bedrock-runtime.us-east-1.amazonaws.com");
    assert_eq!(Value::from(said("gen_ai.usage.input_tokens")), lines[0]["input_tokens"].to_string());
    assert_eq!(Value::from(said("gen_ai.usage.output_tokens")), lines[0]["output_tokens"].to_string());
    assert_eq!(Value::from(said("aws.request_id")), lines[0]["upstream_request_id"]);

    let export = &collector.exports()[0];
    assert_eq!(
        (export.path.as_str(), &export.headers["content-type"]),
        ("/v1/traces", &"application/x-protobuf".parse().unwrap())
    );
    assert_eq!(export.headers["x-team"], "canary-team");
    let resource = export.request.resource_spans[0].resource.clone().unwrap();
    let said = |key| attribute(&resource.attributes, key);
    assert_eq!([said("service.name"), said("deployment.environment.name")], ["tollgate", "test"]);
    let token = world.token("acme");
    for secret in ["canary", token.rsplit('.').next().unwrap(), "simulator-secret"] {
        assert!(!export.bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_that_begins_here_has_the_id_of_its_request() {
    let collector = Collector::start().await;
    let world = World::with_sections(&collector.section("")).await;
    // Malformed in three ways, and nobody is refused for it.
    let malformed = with(with(post(CONVERSE_STREAM, "{}"), "traceparent", "00-xyz"), "tracestate", "a=1");
    let answer = world.h1().await.ask(malformed).await;
    answer.assert_served();
    let (request, call) = both(&collector).await;
    assert_eq!(hex(&request.trace_id), answer.header("x-tollgate-request-id").replace('-', ""));
    assert_eq!((request.parent_span_id.len(), request.trace_state.as_str()), (0, ""));
    assert_eq!(attribute(&call.attributes, "gen_ai.request.stream"), "true");
    assert_eq!(upstream_header(&world, "tracestate"), None);
    assert!(upstream_header(&world, "traceparent").unwrap().ends_with("-03"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_caller_does_not_record_is_not_recorded_here() {
    let collector = Collector::start().await;
    let world = World::with_sections(&collector.section("sample_ratio = 0.0")).await;
    let mut client = world.h1().await;
    client.ask(with(post(INVOKE, "{}"), "traceparent", NOT_SAMPLED)).await.assert_served();
    client.post(INVOKE, "{}").await.assert_served();
    client.ask(with(post(INVOKE, "{}"), "traceparent", PARENT)).await.assert_served();
    let (request, _) = both(&collector).await;
    assert_eq!(hex(&request.trace_id), TRACE);
    let told = |served: &tollgate::simulator::Served| {
        served.headers().find(|(name, _)| *name == "traceparent").map(|(_, value)| value.to_owned()).unwrap()
    };
    let told: Vec<String> = world.simulator.record().requests().iter().map(|served| told(served)).collect();
    assert!(told[0].starts_with(&format!("00-{TRACE}-")) && told[0].ends_with("-00"), "{told:?}");
    assert!(told[1].ends_with("-02") && told[2].ends_with("-01"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_errors_are_told_for_what_they_are() {
    let collector = Collector::start().await;
    let tenants = tenant("acme", "") + &tenant("globex", "") + "[tenants.globex.deny]\nmodels = [\"amazon.titan-x\"]\n";
    let world = World::with(Settings { tenants, sections: collector.section(""), ..Settings::default() }).await;
    let mut client = world.h1().await;
    let throttled = with(post(CONVERSE, "{}"), "x-simulator-status", "429");
    let throttled = with(throttled, "x-simulator-error-type", "ThrottlingException");
    assert_eq!(client.ask(throttled).await.status, 429);
    let (request, call) = both(&collector).await;
    assert!(!is_error(&request) && is_error(&call), "{request:#?} {call:#?}");
    assert_eq!(attribute(&call.attributes, "error.type"), "ThrottlingException");

    client.authorization = world.bearer("nobody");
    assert_eq!(client.post(CONVERSE, "{}").await.status, 403);
    let refused = collector.spans(3).await.remove(2);
    assert_eq!((refused.name.as_str(), refused.kind, is_error(&refused)), ("POST", SpanKind::Server as i32, false));
    assert_eq!(attribute(&refused.attributes, "tollgate.outcome"), "denied");
    assert_eq!(attribute(&refused.attributes, "url.path"), "");
    assert_eq!(refused.events[0].name, "tollgate.refused");
    assert_ne!(attribute(&refused.events[0].attributes, "tollgate.reason"), "");

    // Of whom is known, and what leads somewhere, the operation and the path are.
    client.authorization = world.bearer("globex");
    assert_eq!(client.post("/model/amazon.titan-x/converse", "{}").await.status, 403);
    let refused = collector.spans(4).await.remove(3);
    assert_eq!(refused.name, "POST /model/{modelId}/converse");
    assert_eq!(attribute(&refused.attributes, "url.path"), "/model/amazon.titan-x/converse");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_that_failed_are_events_of_the_call() {
    let collector = Collector::start().await;
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let upstream = format!("connect_to = \"{closed}\"\n");
    let world = World::with(Settings { upstream, sections: collector.section(""), ..Settings::default() }).await;
    assert_eq!(world.h1().await.post(INVOKE, "{}").await.status, 503);
    let (request, call) = both(&collector).await;
    assert_eq!(call.events.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["tollgate.connect_failed"]);
    assert!(is_error(&request) && is_error(&call));
    assert_eq!(attribute(&request.attributes, "error.type"), "unreachable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_was_sent_again_says_so() {
    let (collector, puppet) = (Collector::start().await, Puppet::start().await);
    let world =
        World::with(Settings { upstream: puppet.upstream(), sections: collector.section(""), ..Settings::default() }).await;
    let mut client = world.h1().await;
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let first = tokio::spawn(async move { (client.post(INVOKE, "{}").await, client) });
    let mut upstream = puppet.request().await;
    upstream.say(OK).await;
    let mut client = within(first).await.unwrap().1;
    let second = tokio::spawn(async move { client.post(INVOKE, "{}").await });
    upstream.read_request().await;
    drop(upstream);
    puppet.request().await.say(OK).await;
    within(second).await.unwrap().assert_served();
    let call = collector.spans(4).await.into_iter().rfind(|span| span.kind == SpanKind::Client as i32).unwrap();
    assert_eq!(call.events[0].name, "tollgate.resent");
    assert_eq!(attribute(&call.attributes, "http.request.resend_count"), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_sent_again_where_that_may_help_and_what_becomes_of_it_is_counted() {
    let collector = Collector::start().await;
    collector.answer_next([Answer::Status(503), Answer::Status(200), Answer::Status(400), Answer::Rejected(1)]);
    let world = World::with_sections(&collector.section("")).await;
    let mut client = world.h1().await;
    for (exported, rejected, exports) in [(2.0, 0.0, 2), (2.0, 2.0, 3), (3.0, 3.0, 4)] {
        client.post(INVOKE, "{}").await.assert_served();
        world.until_sum("tollgate_spans_total", &["exported"], exported).await;
        world.until_sum("tollgate_spans_total", &["rejected"], rejected).await;
        assert_eq!(collector.exports().len(), exports);
    }
    let exports = collector.exports();
    assert_eq!(exports[0].bytes, exports[1].bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_silent_or_gone_costs_spans_and_no_requests() {
    let collector = Collector::start().await;
    collector.answer_next((0..10).map(|_| Answer::Silence));
    let world = World::with_sections(&collector.section("queued_spans_max = 4")).await;
    let mut client = world.h1().await;
    client.post(INVOKE, "{}").await.assert_served();
    collector.spans(2).await;
    // The first batch hangs; two requests' spans wait, the others find no room.
    for _ in 0..10 {
        client.post(INVOKE, "{}").await.assert_served();
    }
    world.until_sum("tollgate_spans_total", &["dropped"], 16.0).await;

    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sections = format!("[traces]\nendpoint = \"http://{gone}\"\n");
    assert!(world.reload(&Settings { sections, ..world.settings.clone() }).await);
    client.post(INVOKE, "{}").await.assert_served();
    world.until_metrics("spans are given up", |metrics| metrics.sum("tollgate_spans_total", &["failed"]) >= 2.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_turns_traces_on_sends_them_elsewhere_and_turns_them_off() {
    let (one, other) = (Collector::start().await, Collector::start().await);
    let world = World::start().await;
    let mut client = world.h1().await;
    let with_sections = |sections: String| Settings { sections, ..world.settings.clone() };
    for collector in [&one, &other] {
        assert!(world.reload(&with_sections(collector.section(""))).await);
        client.post(INVOKE, "{}").await.assert_served();
        assert_eq!(collector.spans(2).await.len(), 2);
    }
    assert_eq!(one.spans_now().len(), 2);
    // A header's secret that is not there changes nothing.
    let missing = with_sections(one.section("headers = { x = { file = \"missing\" } }"));
    assert!(!world.reload(&missing).await);
    write_private(&world.directory.path().join("missing"), "here");
    assert!(world.reload(&missing).await);

    assert!(world.reload(&with_sections(String::new())).await);
    client.ask(with(post(INVOKE, "{}"), "traceparent", PARENT)).await.assert_served();
    let last = world.simulator.record().requests().pop().unwrap();
    assert!(last.headers().any(|(name, value)| (name, value) == ("traceparent", PARENT)));
    world.gateway.stop().await;
    assert_eq!((one.spans_now().len(), other.spans_now().len()), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_waits_for_the_last_spans_and_not_for_ever() {
    let collector = Collector::start().await;
    let world = World::with_sections(&collector.section("")).await;
    world.h1().await.post(INVOKE, "{}").await.assert_served();
    within(world.gateway.stop()).await;
    assert_eq!(collector.spans_now().len(), 2);

    let collector = Collector::start().await;
    collector.answer_next([Answer::Silence]);
    let world = World::with_sections(&collector.section("export_seconds_max = 600")).await;
    world.h1().await.post(INVOKE, "{}").await.assert_served();
    within(world.gateway.stop()).await;
    until("one try", || collector.exports().len() == 1).await;
}
