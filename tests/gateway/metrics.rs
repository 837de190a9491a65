//! What operators see: every metric, no series that a client could make, and never a secret or a word of a prompt.

use http::Request;
use uuid::Uuid;

use crate::{
    client::{self, Client, Upload, post, with},
    harness::{CONVERSE, CONVERSE_STREAM, INVOKE, Settings, World, tenant, until},
    process::{Process, within_ready},
    puppet::Puppet,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scanner_makes_no_series() {
    let world = World::start().await;
    let mut client = world.h1().await;
    client.authorization.clear();
    let random = |number: u32| {
        let word = Uuid::new_v4();
        let path = match number % 5 {
            0 => format!("/{word}"),
            1 => format!("/model/{word}/invoke"),
            2 => format!("/bedrock-agent/{word}?{word}={word}"),
            3 => format!("/{word}/../{word}"),
            _ => format!("/v1/{word}"),
        };
        let method = ["GET", "POST", "DELETE", "PROPFIND"][number as usize % 4];
        let request = Request::builder().method(method).uri(path).body(Upload::none()).unwrap();
        with(with(request, "host", &format!("{word}.example")), "x-api-key", &word.to_string())
    };
    // One of each kind makes the series that configuration and enums allow.
    for number in 0..20 {
        assert!(client.ask(random(number)).await.status >= 400);
    }
    let before = world.until_ended(20.0).await;
    for number in 0..1_000 {
        client.ask(random(number)).await;
    }
    let after = world.until_ended(1_020.0).await;
    assert_eq!(before.series(), after.series());
    assert_eq!(after.sum("tollgate_requests_total", &["tenant=\"none\"", "service=\"none\"", "operation=\"none\""]), 1_020.0);
    assert_eq!(world.served_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_and_unknown_operations_make_no_series() {
    let world = World::start().await;
    let mut client = world.h1().await;
    let ask =
        |word: Uuid| [format!("/model/{word}/invoke"), format!("/model/m/{word}"), format!("/agents/{word}/{word}/{word}/x")];
    for path in ask(Uuid::new_v4()) {
        client.post(&path, "{}").await;
    }
    let before = world.until_ended(3.0).await;
    for _ in 0..50 {
        for path in ask(Uuid::new_v4()) {
            client.post(&path, "{}").await;
        }
    }
    let after = world.until_ended(153.0).await;
    assert_eq!(before.series(), after.series());
}

/// The names in the one table of metrics.
fn families() -> Vec<&'static str> {
    let table = include_str!("../../src/telemetry/metrics.rs").split("#[cfg(test)]").next().unwrap();
    table
        .split('"')
        .filter(|text| text.starts_with("tollgate_") && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_there_is_appears() {
    let puppet = Puppet::start().await;
    let quotas = "[[tenants.acme.quotas]]\ntokens_per_day = 10_000_000\n[[tenants.acme.quotas]]\nname = \"trial\"\nshadow = true\ntokens_per_day = 1\n";
    let tenants = tenant("acme", "") + quotas;
    let world = World::with(Settings { tenants, upstream: puppet.upstream(), ..Settings::default() }).await;
    let mut client = world.h1().await;
    let asking = tokio::spawn(async move {
        client.post(INVOKE, "{}").await.assert_served();
        client.post(INVOKE, "{}").await.assert_served();
        client.post("/guardrail/g/version/1/apply", "{}").await.assert_served();
        client.post("/model/nobodys.model/invoke", "{}").await.assert_served();
        assert_eq!(client.post(INVOKE, "{}").await.status, 500);
        client.post("/nowhere", "{}").await.assert_refused(404, "UnknownOperationException");
    });
    let mut upstream = puppet.request().await;
    upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    upstream.read_request().await;
    drop(upstream);
    // The connection that a request was sent again on is not kept for others.
    let mut fresh = puppet.request().await;
    let counts = "x-amzn-bedrock-input-token-count: 900000\r\nx-amzn-bedrock-output-token-count: 900000\r\n";
    fresh.say(format!("HTTP/1.1 200 OK\r\n{counts}content-length: 2\r\n\r\n{{}}")).await;
    let mut upstream = puppet.request().await;
    upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    upstream.read_request().await;
    upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    upstream.read_request().await;
    upstream.say("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\n{}").await;
    asking.await.unwrap();
    assert!(world.gateway.reload().await);
    let metrics = world.until_ended(6.0).await;
    let families = families();
    assert!(families.len() >= 20, "{families:?}");
    for name in families {
        assert!(metrics.0.contains(&format!("# TYPE {name} ")) && metrics.0.contains(&format!("\n{name}")), "{name}");
    }
    assert_eq!(metrics.sum("tollgate_upstream_connections_total", &["reused"]), 3.0);
    assert_eq!(metrics.sum("tollgate_upstream_connections_total", &["new"]), 3.0);
    assert_eq!(metrics.sum("tollgate_request_body_bytes_total", &["acme"]), 10.0);
    assert_eq!(metrics.sum("tollgate_response_body_bytes_total", &["acme"]), 10.0);
    assert_eq!(metrics.sum("tollgate_token_cache_hits", &[]), 5.0);
    assert!(metrics.0.contains("process_resident_memory_bytes"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let age = now - metrics.sum("tollgate_start_timestamp_seconds", &[]);
    assert!((0.0..600.0).contains(&age), "started {age} seconds ago");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_one_line_in_the_access_log() {
    let world = World::start().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = world.h2().await.ask(with(post(CONVERSE, "{}"), "traceparent", trace)).await;
    let line = world.log_lines(1).await.remove(0);
    for (name, value) in [
        ("tenant", "acme"),
        ("principal", "user-1"),
        ("method", "POST"),
        ("service", "bedrock-runtime"),
        ("operation", "Converse"),
        ("model", crate::harness::MODEL),
        ("outcome", "completed"),
        ("source", "bedrock"),
        ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
        ("request_id", answer.header("x-tollgate-request-id")),
        ("upstream_request_id", answer.header("x-amzn-requestid")),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
    assert_eq!(
        (&line["status"], &line["request_bytes"], &line["response_bytes"]),
        (&200.into(), &2.into(), &answer.body.len().into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_turns_the_access_log_off_is_obeyed() {
    let world = World::start().await;
    let text = world.config_text(&world.settings).replace("[log]\n", "[log]\naccess = false\n");
    std::fs::write(world.config_file(), text).unwrap();
    assert!(world.gateway.reload().await);
    world.h1().await.post(CONVERSE, "{}").await.assert_served();
    assert!(world.reload(&world.settings).await);
    world.h1().await.post(INVOKE, "{}").await.assert_served();
    assert_eq!(world.log_lines(1).await[0]["operation"], "InvokeModel");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bedrocks_errors_are_counted_by_status_and_by_what_aws_calls_them() {
    let world = World::start().await;
    let mut client = world.h1().await;
    for (name, value) in [("status", "429"), ("throttle", "true"), ("status", "400"), ("status", "418"), ("events", "1")] {
        client.ask(with(post(INVOKE, "{}"), &format!("x-simulator-{name}"), value)).await;
    }
    // The gateway's own refusals are none of Bedrock's.
    client.post("/nowhere/at/all", "{}").await;
    let metrics = world.until_ended(6.0).await;
    let counted = |labels: &[&str]| metrics.sum("tollgate_upstream_errors_total", labels);
    assert_eq!(counted(&["acme", "bedrock-runtime", "429", "ThrottlingException"]), 2.0);
    assert_eq!(counted(&["acme", "bedrock-runtime", "400", "ValidationException"]), 1.0);
    assert_eq!(counted(&["418"]), 1.0);
    assert_eq!(counted(&[]), 4.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_line_stands_for_many_that_went_well_and_nothing_else_is_left_out() {
    // Sections follow `[log]`.
    let world = World::with_sections("access_one_in = 3").await;
    let mut client = world.h1().await;
    let mut expected = Vec::new();
    for number in 0..60 {
        let answer = match number % 6 {
            0 => client.ask(with(post(INVOKE, "{}"), "x-simulator-status", "400")).await,
            1 => client.post("/nowhere/at/all", "{}").await,
            _ => client.post(INVOKE, "{}").await,
        };
        let id = answer.header("x-tollgate-request-id").to_owned();
        let chosen = (Uuid::parse_str(&id).unwrap().as_u128() as u32).is_multiple_of(3);
        match answer.status {
            200 if chosen => expected.push((id, Some(3))),
            200 => {}
            _ => expected.push((id, None)),
        }
    }
    // The last, which is refused, comes after all others.
    client.post("/nowhere/at/all", "{}").await;
    let lines = world.log_lines(expected.len() + 1).await;
    let told = lines.iter().map(|line| (line["request_id"].as_str().unwrap().to_owned(), line["stands_for"].as_u64()));
    assert_eq!(told.take(expected.len()).collect::<Vec<_>>(), expected);
    assert_eq!(lines.len(), expected.len() + 1);
    world.until_sum("tollgate_requests_total", &[], 61.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_and_no_prompt_shows_in_logs_metrics_or_errors_at_trace_level() {
    let world = World::with(Settings { log_level: "trace".to_owned(), ..Settings::default() }).await;
    let process = Process::run(&world);
    let (traffic, admin) = (process.address("traffic").await, process.address("admin").await);
    let good = world.token("acme");
    let mut forged = good.clone();
    forged.replace_range(good.len() - 12.., "canaryforged");
    let expired = world.issuer.mint(
        "https://issuer.example",
        "gateway",
        "acme",
        "u",
        std::time::Duration::from_secs(60),
        std::time::UNIX_EPOCH,
    );
    let prompt = "canary-prompt";
    let body = format!(r#"{{"messages":[{{"role":"user","content":[{{"text":"{prompt}"}}]}}]}}"#);

    let mut errors = Vec::new();
    for mut client in [Client::h1(traffic, format!("Bearer {good}")).await, Client::h2c(traffic, format!("Bearer {good}")).await]
    {
        within_ready(&mut client).await;
        client.post(CONVERSE, body.clone()).await.assert_served();
        client.post(CONVERSE_STREAM, body.clone()).await.assert_served();
        let refused = [
            with(post(CONVERSE, body.clone()), "authorization", &format!("Bearer {forged}")),
            with(post(CONVERSE, body.clone()), "authorization", &format!("Bearer {expired}")),
            with(post(CONVERSE, body.clone()), "x-api-key", &forged),
            with(post(CONVERSE, body.clone()), "authorization", &format!("Basic {forged}")),
            post(&format!("{CONVERSE}?access_token={forged}&q=canary-query"), body.clone()),
            post("/openai/v1/chat/completions", format!("\"{prompt}\"")),
            post("/openai/v1/chat/completions", format!("{{\"model\":[\"{prompt}\"]}}")),
            post("/anthropic/v1/messages", format!("{{\"{prompt}\":1,\"model\":{{\"{prompt}\":2}}}}")),
            post("/anthropic/v1/messages", format!("{{\"model\":\"a\",\"x\":\"{prompt}")),
            post("/nowhere?q=canary-query", body.clone()),
        ];
        for request in refused {
            let answer = client.ask(request).await;
            assert_eq!(answer.header("x-tollgate-source"), "gateway", "{answer:?}");
            errors.push(format!("{answer:?}"));
        }
        let broken = with(post(CONVERSE, body.clone()), "x-simulator-reset", "before-headers");
        errors.push(format!("{:?}", client.ask(broken).await));
    }
    // Not a line is missing: the last request's is there.
    until("the log has everything", || process.text().matches("\"msg\":\"request\"").count() >= 26).await;
    let log = process.text();
    assert!(["trace", "debug"].iter().any(|level| log.contains(&format!("\"level\":\"{level}\""))), "the level is in force");
    let metrics = client::get(admin, "/metrics").await.unwrap().1;
    let key = std::fs::read_to_string(world.directory.path().join("server.key")).unwrap();
    let secrets = [
        good.rsplit('.').next().unwrap(),
        good.split('.').nth(1).unwrap(),
        expired.rsplit('.').next().unwrap(),
        "canaryforged",
        prompt,
        "canary-query",
        "simulator-secret",
        "simulator-session-token",
        key.lines().nth(1).unwrap(),
    ];
    for secret in secrets {
        for (place, text) in [("log", &log), ("metrics", &metrics)].into_iter().chain(errors.iter().map(|error| ("error", error)))
        {
            let around = text.find(secret).map(|at| text.get(at.saturating_sub(300)..at + secret.len()));
            assert_eq!(around, None, "{secret} in {place}");
        }
    }
}
