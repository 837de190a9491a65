//! The account: what Bedrock reports is what is charged, a limit is never overshot, and whoever asks for more is told what and when.

use tokio::task::JoinSet;
use tollgate::ledger::{By, Reader, Selection, Sums};

use crate::{
    client::{Answer, Client, post, with},
    harness::{CONVERSE, CONVERSE_STREAM, INVOKE, Settings, World, tenant, until},
    puppet::Puppet,
};

const INVOKE_STREAM: &str = "/model/anthropic.claude-3-haiku-20240307-v1:0/invoke-with-response-stream";
const CHAT: &str = "/openai/v1/chat/completions";
const MESSAGES: &str = "/anthropic/v1/messages";
/// Claude 3 Haiku: $0.25 and $1.25 per million tokens.
const NANO_USD: (i64, i64) = (250, 1_250);

/// `acme` has this quota.
pub async fn with_quota(quota: &str) -> World {
    with_quota_and(quota, "").await
}

pub async fn with_quota_and(quota: &str, sections: &str) -> World {
    let acme = format!("{}[[tenants.acme.quotas]]\n{quota}\n", tenant("acme", ""));
    let sections = format!("[ledger]\nfile = \"ledger.sqlite\"\n{sections}");
    World::with(Settings { tenants: acme + &tenant("globex", ""), sections, ..Settings::default() }).await
}

/// An answer that reports so many tokens.
pub fn reporting(target: &str, body: &str, input: u64, output: u64) -> http::Request<crate::client::Upload> {
    let request = with(post(target, body.to_owned()), "x-simulator-input-tokens", &input.to_string());
    with(request, "x-simulator-output-tokens", &output.to_string())
}

/// All of the ledger, once everything said is in it.
pub fn ledger(world: &World) -> Sums {
    let reader = Reader::open(world.directory.path().join("ledger.sqlite")).unwrap();
    let groups = reader.usage(&Selection::default(), By::Tenant).unwrap();
    groups.into_iter().fold(Sums::default(), |mut all, (_, sums)| {
        all += sums;
        all
    })
}

pub async fn until_ledger(world: &World, requests: u64) -> Sums {
    until("the ledger has them", || ledger(world).requests >= requests).await;
    ledger(world)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_bedrock_reports_is_charged_for_every_shape_of_answer() {
    let world = with_quota("tokens_per_day = 10_000_000\nusd_per_day = \"100\"").await;
    let chat = r#"{"model":"anthropic.claude-3-haiku-20240307-v1:0","messages":[{"role":"user","content":"hi"}]}"#;
    let streamed = chat.replacen('{', r#"{"stream":true,"#, 1);
    let shapes = [
        (CONVERSE, "{}"),
        (CONVERSE_STREAM, "{}"),
        (INVOKE, r#"{"max_tokens":100}"#),
        (INVOKE_STREAM, r#"{"max_tokens":100}"#),
        (CHAT, chat),
        (CHAT, &streamed),
        (MESSAGES, chat),
        (MESSAGES, &streamed),
    ];
    let mut clients = [world.h1().await, world.h2().await];
    for (index, (target, body)) in shapes.into_iter().enumerate() {
        let (input, output) = (1_000 + index as u64, 100 + index as u64);
        let client = &mut clients[index % 2];
        client.ask(reporting(target, body, input, output)).await.assert_served();
        let line = world.log_lines(index + 1).await.pop().unwrap();
        let cost = NANO_USD.0 * input as i64 + NANO_USD.1 * output as i64;
        let expected = (input, output, format!("0.{cost:09}").trim_end_matches('0').to_owned());
        let told = (line["input_tokens"].as_u64().unwrap(), line["output_tokens"].as_u64().unwrap());
        assert_eq!((told.0, told.1, line["cost_usd"].as_str().unwrap().to_owned()), expected, "{target} {body}: {line:#?}");
        assert!(line.get("estimated").is_none(), "{target}: {line:#?}");
    }
    let record = world.simulator.record().totals().usage;
    let sums = until_ledger(&world, shapes.len() as u64).await;
    assert_eq!((sums.usage.input_tokens, sums.usage.output_tokens), (record.input_tokens, record.output_tokens));
    assert_eq!(sums.cost.0, NANO_USD.0 * record.input_tokens as i64 + NANO_USD.1 * record.output_tokens as i64);
    let metrics = world.metrics().await;
    assert_eq!(metrics.sum("tollgate_tokens_total", &["acme", "kind=\"input\""]), record.input_tokens as f64);
    assert_eq!(metrics.sum("tollgate_quota_reserved_ratio", &["acme"]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spent_quota_is_told_as_what_no_sdk_tries_again() {
    let world = with_quota("tokens_per_day = 5_000").await;
    let mut client = world.h1().await;
    client.ask(reporting(CONVERSE, r#"{"inferenceConfig":{"maxTokens":1000}}"#, 4_000, 500)).await.assert_served();
    let refused = client.post(CONVERSE, r#"{"inferenceConfig":{"maxTokens":1000}}"#).await;
    refused.assert_refused(400, "ServiceQuotaExceededException");
    let text = String::from_utf8_lossy(&refused.body).into_owned();
    assert!(text.contains("500 of 5000 tokens per day left") && text.contains("it resets 20"), "{text}");
    assert!(refused.headers.get("retry-after").is_none());
    // A smaller one fits.
    client.post(CONVERSE, r#"{"inferenceConfig":{"maxTokens":100}}"#).await.assert_served();
    let chat = r#"{"model":"openai.gpt-oss-120b-1:0","max_tokens":1000,"messages":[{"role":"user","content":"hi"}]}"#;
    assert_eq!(client.post(CHAT, chat).await.status, 402);
    // Nobody else is touched.
    let mut other = Client::h1(world.gateway.traffic[0], world.bearer("globex")).await;
    other.post(CONVERSE, "{}").await.assert_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minutes_tokens_are_told_with_the_exact_wait_and_what_can_never_fit_as_such() {
    let world = with_quota("tokens_per_minute = 6_000").await;
    let mut client = world.h1().await;
    client.ask(reporting(CONVERSE, r#"{"inferenceConfig":{"maxTokens":1000}}"#, 5_000, 900)).await.assert_served();
    let refused = client.post(CONVERSE, r#"{"inferenceConfig":{"maxTokens":1000}}"#).await;
    refused.assert_refused(429, "ThrottlingException");
    let wait: u64 = refused.header("x-amz-retry-after").parse().unwrap();
    assert!((5_000..=10_100).contains(&wait), "100 tokens a second refill: {wait}");
    client.post(CONVERSE, r#"{"inferenceConfig":{"maxTokens":7000}}"#).await.assert_refused(400, "ValidationException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_is_never_overshot_however_many_ask_at_once() {
    let world = with_quota("usd_per_day = \"0.01\"").await;
    let mut clients = JoinSet::new();
    for _ in 0..64 {
        let mut client = world.h1().await;
        clients.spawn(async move {
            let mut served = 0;
            for _ in 0..4 {
                // 10 tokens in and 400 out, as held: $0.0005 each and a bit.
                let request = reporting(CONVERSE, r#"{"inferenceConfig":{"maxTokens":400}}"#, 2, 400);
                let answer = client.ask(with(request, "x-simulator-latency-ms", "20")).await;
                served += u64::from(answer.status == 200);
            }
            served
        });
    }
    let served: u64 = clients.join_all().await.into_iter().sum();
    let sums = until_ledger(&world, served).await;
    assert!(sums.cost.0 <= 10_000_000 && sums.cost.0 > 9_000_000, "{sums:?}");
    assert_eq!(sums.requests, served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_bedrock_does_not_bill_costs_nothing_and_holds_nothing() {
    let world = with_quota("tokens_per_day = 100_000\nusd_per_day = \"1\"").await;
    for (name, value) in
        [("x-simulator-throttle", "true"), ("x-simulator-status", "503"), ("x-simulator-reset", "before-headers")]
    {
        let answer = world.h1().await.ask(with(post(CONVERSE, "{}"), name, value)).await;
        assert!(answer.status >= 400);
    }
    let metrics = world.metrics().await;
    assert_eq!(metrics.sum("tollgate_quota_remaining_ratio", &["acme"]), 2.0);
    assert_eq!(metrics.sum("tollgate_quota_reserved_ratio", &["acme"]), 0.0);
    let lines = world.log_lines(3).await;
    assert!(lines.iter().all(|line| line.get("cost_usd").is_none()), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_charged_whole_though_its_client_left() {
    let world = with_quota("tokens_per_day = 100_000").await;
    let request = with(reporting(CONVERSE_STREAM, "{}", 70, 300), "x-simulator-event-delay-ms", "20");
    let mut client = world.h1().await;
    let response = client.send(request).await.unwrap();
    drop((response, client));
    let line = world.log_lines(1).await.pop().unwrap();
    assert_eq!(
        (&line["outcome"], &line["input_tokens"], &line["output_tokens"]),
        (&"client_left".into(), &70.into(), &300.into())
    );
    assert!(line.get("estimated").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_bedrock_breaks_off_is_charged_by_estimate() {
    let world = with_quota("tokens_per_day = 100_000").await;
    let request = with(
        reporting(CONVERSE_STREAM, r#"{"messages":[{"content":[{"text":"hello there"}]}]}"#, 70, 300),
        "x-simulator-events",
        "40",
    );
    let response = world.h1().await.send(with(request, "x-simulator-reset", "mid-stream")).await.unwrap();
    assert!(Answer::read(response).await.is_err());
    let line = world.log_lines(1).await.pop().unwrap();
    let (input, output) = (line["input_tokens"].as_u64().unwrap(), line["output_tokens"].as_u64().unwrap());
    assert_eq!(line["estimated"], true);
    assert!(input > 0 && output > 50, "{line:#?}");
    let sums = until_ledger(&world, 1).await;
    assert_eq!((sums.estimated, sums.usage.output_tokens), (1, output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_is_charged_by_estimate_though_its_client_had_left_before_it_began() {
    let puppet = Puppet::start().await;
    let settings = Settings {
        tenants: format!("{}[[tenants.acme.quotas]]\ntokens_per_day = 100_000\n", tenant("acme", "")),
        sections: "[ledger]\nfile = \"ledger.sqlite\"\n".to_owned(),
        upstream: puppet.upstream(),
        ..Settings::default()
    };
    let world = World::with(settings).await;
    let begun = r#"HTTP/1.1 200 OK
content-type: application/json
content-length: 1000

{"output":{"message":{"content":[{"text":"all that Bedrock came to say before it broke off"#;
    for (count, (said, costs)) in [("", false), (&*begun.replace('\n', "\r\n"), true)].into_iter().enumerate() {
        let mut client = world.h1().await;
        let body = r#"{"messages":[{"content":[{"text":"hello there"}]}]}"#;
        let asking = tokio::spawn(async move { client.post(CONVERSE, body).await });
        let mut bedrock = puppet.request().await;
        asking.abort();
        world.until_sum("tollgate_answers_read_on", &[], 1.0).await;
        bedrock.say(said).await;
        drop(bedrock);
        let line = world.log_lines(count + 1).await.pop().unwrap();
        assert_eq!(line["outcome"], "client_left", "{line:#}");
        assert_eq!(line.get("estimated").is_some(), costs, "{line:#}");
        assert_eq!(line["output_tokens"].as_u64() > Some(5), costs, "{line:#}");
    }
    let sums = until_ledger(&world, 1).await;
    assert_eq!((sums.requests, sums.estimated), (1, 1));
    world.until_sum("tollgate_quota_reserved_ratio", &["acme"], 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_max_tokens_are_refused_or_lowered() {
    let world = with_quota("max_tokens = 500").await;
    let body = r#"{"inferenceConfig":{"maxTokens":501}}"#;
    world.h1().await.post(CONVERSE, body).await.assert_refused(400, "ValidationException");
    let line = world.log_lines(1).await.remove(0);
    assert_eq!((&line["status"], &line["request_bytes"]), (&400.into(), &body.len().into()), "{line:#?}");
    assert_eq!(world.metrics().await.sum("tollgate_request_body_bytes_total", &[]), body.len() as f64);
    world.h1().await.post(CONVERSE, r#"{"inferenceConfig":{"maxTokens":500}}"#).await.assert_served();

    let puppet = Puppet::start().await;
    let acme = tenant("acme", "") + "[[tenants.acme.quotas]]\nmax_tokens = 500\nmax_tokens_over = \"lower\"\n";
    let world = World::with(Settings { tenants: acme, upstream: puppet.upstream(), ..Settings::default() }).await;
    let mut client = world.h1().await;
    let body = r#"{ "inferenceConfig" : {"temperature":0.1, "maxTokens": 9000 }, "x":"maxTokens" }"#;
    let asking = tokio::spawn(async move { client.post(CONVERSE, body).await });
    let mut upstream = puppet.accept().await;
    let sent = upstream.read_body().await;
    assert_eq!(sent, body.replace("9000", "500"));
    upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    asking.await.unwrap().assert_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_that_the_client_did_not_ask_for_is_learnt_and_not_shown() {
    let world = with_quota("tokens_per_day = 100_000").await;
    let body = |options: &str| {
        format!(r#"{{"model":"openai.gpt-oss-120b-1:0","stream":true{options},"messages":[{{"role":"user","content":"hi"}}]}}"#)
    };
    let asked = world.h1().await.post(CHAT, body(r#","stream_options":{"include_usage":true}"#)).await;
    let not_asked = [world.h1().await, world.h2().await];
    let usage = |answer: &Answer| String::from_utf8_lossy(&answer.body).contains("prompt_tokens");
    assert!(usage(&asked));
    for mut client in not_asked {
        let answer = client.post(CHAT, body("")).await;
        answer.assert_served();
        assert!(!usage(&answer) && String::from_utf8_lossy(&answer.body).ends_with("data: [DONE]\n\n"));
    }
    let lines = world.log_lines(3).await;
    assert!(lines.iter().all(|line| line["input_tokens"] == 12 && line["output_tokens"] == 34), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_without_a_price_is_refused_where_money_is_limited_and_flagged_elsewhere() {
    let world = with_quota("usd_per_day = \"1\"").await;
    let target = "/model/anthropic.claude-of-next-year-v1:0/converse";
    let refused = world.h1().await.post(target, "{}").await;
    refused.assert_refused(400, "ValidationException");
    assert!(String::from_utf8_lossy(&refused.body).contains("has no price"));
    assert_eq!(world.served_count(), 0);
    Client::h1(world.gateway.traffic[0], world.bearer("globex")).await.post(target, "{}").await.assert_served();
    world.until_sum("tollgate_unpriced_requests_total", &["globex"], 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_limit_counts_and_refuses_nothing() {
    let world = with_quota("name = \"trial\"\nshadow = true\ntokens_per_day = 10").await;
    world.h1().await.post(CONVERSE, "{}").await.assert_served();
    world.until_sum("tollgate_quota_denials_total", &["trial", "shadow"], 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_budget_counts_what_it_would_refuse_for_want_of_a_price() {
    let world = with_quota("name = \"trial\"\nshadow = true\nusd_per_day = \"10\"").await;
    world.h1().await.post("/rerank", "{}").await.assert_served();
    world.h1().await.post(CONVERSE, "{}").await.assert_served();
    world.until_sum("tollgate_requests_total", &["Converse\""], 1.0).await;
    let metrics = world.until_sum("tollgate_quota_denials_total", &["trial", "unpriced", "shadow"], 1.0).await;
    assert_eq!(metrics.sum("tollgate_quota_denials_total", &["trial"]), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shadow_caps_count_each_request_that_asks_for_more_and_neither_refuse_nor_lower() {
    let shadow = |name: &str, over: &str| {
        format!("[[tenants.acme.quotas]]\nname = \"{name}\"\nshadow = true\nmax_tokens = 10\nmax_tokens_over = \"{over}\"\n")
    };
    let elsewhere = "[[tenants.acme.quotas]]\nname = \"elsewhere\"\nshadow = true\nmax_tokens = 10\nmodels = [\"amazon.*\"]\n";
    let enforced = "[[tenants.acme.quotas]]\nname = \"enforced\"\nmax_tokens = 500\n";
    let tenants = tenant("acme", "") + &shadow("trial", "refuse") + &shadow("lower", "lower") + elsewhere + enforced;
    let world = World::with(Settings { tenants, ..Settings::default() }).await;
    let mut client = world.h1().await;
    let asking = |most: u32| format!(r#"{{"inferenceConfig":{{"maxTokens":{most}}}}}"#);
    client.post(CONVERSE, asking(10)).await.assert_served();
    client.post(CONVERSE, asking(100)).await.assert_served();
    // The model's maximum counts where the request names none.
    client.post(CONVERSE, "{}").await.assert_refused(400, "ValidationException");
    let metrics = world.until_ended(3.0).await;
    let counted = |quota: &str, mode: &str| {
        metrics.sum("tollgate_quota_denials_total", &[&format!("quota=\"{quota}\""), "limit=\"max_tokens\"", mode])
    };
    assert_eq!((counted("trial", "shadow"), counted("lower", "shadow"), counted("elsewhere", "shadow")), (1.0, 1.0, 0.0));
    assert_eq!(counted("enforced", "enforced"), 1.0);
    let sent: Vec<_> = world.simulator.record().requests().iter().map(|served| served.body_bytes).collect();
    assert_eq!(sent, [asking(10).len() as u64, asking(100).len() as u64]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_where_the_window_was() {
    let world = with_quota("tokens_per_day = 5_000").await;
    let body = r#"{"inferenceConfig":{"maxTokens":1000}}"#;
    world.h1().await.ask(reporting(CONVERSE, body, 4_000, 500)).await.assert_served();
    let world = world.restart().await;
    world.h1().await.post(CONVERSE, body).await.assert_refused(400, "ServiceQuotaExceededException");
    world.h1().await.post(CONVERSE, r#"{"inferenceConfig":{"maxTokens":100}}"#).await.assert_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_strict_durability_the_end_of_an_answer_is_an_acknowledgement() {
    let world = with_quota_and("tokens_per_day = 100_000", "durability = \"strict\"\n").await;
    for (count, mut client) in [world.h1().await, world.h2().await].into_iter().enumerate() {
        for number in 1..=10 {
            client.post(CONVERSE_STREAM, "{}").await.assert_served();
            assert_eq!(ledger(&world).requests, count as u64 * 10 + number);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_a_body_is_settled_before_its_client_has_it() {
    let puppet = Puppet::start().await;
    let world = with_upstream(&puppet, "tokens_per_day = 100_000", "durability = \"strict\"\n").await;
    let mut client = world.h2().await;
    for number in 1..=10 {
        let asking = tokio::spawn(async move { (client.post(CONVERSE, "{}").await, client) });
        puppet.request().await.say("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
        let (answer, returned) = asking.await.unwrap();
        answer.assert_served();
        assert_eq!(ledger(&world).requests, number);
        client = returned;
    }
}

/// Where the answer says nothing of what it costs, or comes too late: what is held, or what went in, and always as an estimate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_bedrock_generates_for_nobody_is_charged_by_estimate() {
    let puppet = Puppet::start().await;
    let world = with_upstream(&puppet, "tokens_per_day = 100_000", "[metering]\nread_on_seconds_max = 0\n").await;
    let background = r#"{"model":"openai.gpt-oss-120b-1:0","background":true,"input":"hello","max_output_tokens":9000}"#;
    let mut client = world.h1().await;
    let asking = tokio::spawn(async move { client.post("/openai/v1/responses", background).await });
    let queued = r#"{"id":"resp_1","status":"queued","background":true,"usage":null}"#;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", queued.len());
    puppet.request().await.say(head + queued).await;
    asking.await.unwrap().assert_served();
    // Nobody answers this one in time, and nobody waits for that one.
    let (mut waits, mut leaves) = (world.h1().await, world.h1().await);
    let waiting = tokio::spawn(async move { waits.post(CONVERSE, r#"{"messages":[{"content":[{"text":"hello"}]}]}"#).await });
    let _silent = puppet.request().await;
    waiting.await.unwrap().assert_refused(504, "ServiceUnavailableException");
    let leaving = tokio::spawn(async move { leaves.post(CONVERSE, r#"{"messages":[{"content":[{"text":"hello"}]}]}"#).await });
    let _slow = puppet.request().await;
    leaving.abort();
    let lines = world.log_lines(3).await;
    for (line, output) in lines.iter().zip([9000, 0, 0]) {
        assert_eq!((&line["estimated"], &line["output_tokens"]), (&true.into(), &output.into()), "{line:#}");
        assert!(line["input_tokens"].as_u64() > Some(0), "{line:#}");
    }
    let sums = until_ledger(&world, 3).await;
    assert_eq!((sums.requests, sums.estimated, sums.usage.output_tokens), (3, 3, 9000));
    world.until_sum("tollgate_quota_reserved_ratio", &["acme"], 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_generated_before_a_stream_failed_is_charged_in_the_background_too() {
    let puppet = Puppet::start().await;
    let world = with_upstream(&puppet, "tokens_per_day = 100_000", "").await;
    let body = r#"{"model":"openai.gpt-oss-120b-1:0","background":true,"stream":true,"input":"hello","max_output_tokens":9000}"#;
    let mut client = world.h1().await;
    let asking = tokio::spawn(async move { client.post("/openai/v1/responses", body).await });
    let events = [
        r#"{"type":"response.output_text.delta","delta":"so many words, and then an end"}"#,
        r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"x"}}}"#,
    ];
    let events: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n", events.len());
    puppet.request().await.say(head + &events).await;
    asking.await.unwrap().assert_served();
    let line = world.log_lines(1).await.remove(0);
    assert_eq!(line["estimated"], true, "{line:#}");
    assert!((1..20).contains(&line["output_tokens"].as_u64().unwrap()), "{line:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thoughts_beside_the_limit_are_within_the_cap_and_the_hold() {
    let world = with_quota("max_tokens = 2000\ntokens_per_day = 100_000").await;
    let body = |budget: u32| format!(r#"{{"max_tokens":2000,"thinking":{{"type":"enabled","budget_tokens":{budget}}}}}"#);
    world.h1().await.post(INVOKE, body(1024)).await.assert_served();
    world.h1().await.post(INVOKE, body(90_000)).await.assert_refused(400, "ValidationException");
    for limits in ["tokens_per_day = 50_000", "max_tokens = 2500\nmax_tokens_over = \"lower\""] {
        let world = with_quota(limits).await;
        world.h1().await.post(INVOKE, body(90_000)).await.assert_refused(400, "ValidationException");
        world.h1().await.post(INVOKE, body(2400)).await;
        assert_eq!(world.served_count(), usize::from(limits.starts_with("tokens")), "{limits}");
    }
}

/// Half a price is not to be had by a header that Bedrock does not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tier_is_asked_for_where_bedrock_reads_it() {
    let puppet = Puppet::start().await;
    let world = with_upstream(&puppet, "tokens_per_day = 100_000", "").await;
    for (target, tier) in [(CONVERSE, "standard"), (INVOKE, "flex")] {
        let mut client = world.h1().await;
        let asking = with(post(target, "{}"), "x-amzn-bedrock-service-tier", "flex");
        let asking = tokio::spawn(async move { client.ask(asking).await });
        let body = r#"{"usage":{"inputTokens":5,"outputTokens":6}}"#;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        puppet.request().await.say(head + body).await;
        asking.await.unwrap().assert_served();
        let reader = || Reader::open(world.directory.path().join("ledger.sqlite")).unwrap().recent(None, 1).unwrap().pop();
        until("the row is there", || {
            reader().is_some_and(|row| row.request.operation.starts_with(if tier == "flex" { "Inv" } else { "Con" }))
        })
        .await;
        assert_eq!(reader().unwrap().tier.name(), tier);
    }
}

/// `acme` with a quota in front of an upstream on a string.
pub async fn with_upstream(puppet: &Puppet, quota: &str, sections: &str) -> World {
    let tenants = format!("{}[[tenants.acme.quotas]]\n{quota}\n", tenant("acme", ""));
    let sections = format!("[ledger]\nfile = \"ledger.sqlite\"\n{sections}");
    let upstream = puppet.upstream() + "silence_seconds_max = 1\n";
    World::with(Settings { tenants, sections, upstream, ..Settings::default() }).await
}
