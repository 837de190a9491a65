//! What is held before a request goes: as much as it may come to, by whatever name its model goes.

use tollgate::{bedrock::usage::ServiceTier, ledger::Reader};

use crate::{
    accounts::{reporting, until_ledger, with_quota},
    client::{Answer, Client, with},
    harness::{CONVERSE, CONVERSE_STREAM, MODEL, Settings, World, tenant},
    puppet::Puppet,
};

/// `acme` with a quota, prices of its own, and what else the configuration says.
async fn with_prices(quota: &str, sections: &str, prices: String) -> World {
    let sections = format!("[ledger]\nfile = \"ledger.sqlite\"\n[prices]\nfile = \"prices.toml\"\n{sections}");
    let tenants = format!("{}[[tenants.acme.quotas]]\n{quota}\n", tenant("acme", ""));
    World::with(Settings { tenants, sections, files: vec![("prices.toml", prices)], ..Settings::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_with_a_price_of_its_own_holds_what_its_model_can_write() {
    let profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123";
    let prices = format!("[[models.\"{profile}\".prices]]\ninput = \"4\"\noutput = \"20\"\n");
    let profiles = format!("[profiles]\n\"{profile}\" = \"anthropic.claude-opus-4-6-v1\"\n");
    // It writes 128,000 tokens, and each counts five times.
    let world = with_prices("count_burndown = true\ntokens_per_minute = 600_000", &profiles, prices).await;
    let target = format!("/model/{}/converse", profile.replace(':', "%3A").replace('/', "%2F"));
    let refused = world.h1().await.post(&target, "{}").await;
    refused.assert_refused(400, "ValidationException");
    assert!(String::from_utf8_lossy(&refused.body).contains("640000"), "{refused:?}");
    world.h1().await.post(&target, r#"{"inferenceConfig":{"maxTokens":100000}}"#).await.assert_served();
}

/// How much a request may come to, as a refusal tells it.
fn needed(refused: &Answer) -> f64 {
    refused.assert_refused(400, "ValidationException");
    let text = String::from_utf8_lossy(&refused.body).into_owned();
    let figure = text.split("may cost ").nth(1).and_then(|rest| rest.split(' ').next());
    figure.and_then(|figure| figure.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_openai_may_write_to_its_cache_unasked_is_held_at_its_price() {
    let price = |model: &str, more: &str| format!("[[models.\"{model}\".prices]]\ninput = \"10\"\noutput = \"10\"\n{more}\n");
    let dearer = "cache_write = \"12.5\"\ncache_write_1h = \"20\"";
    let models = ["openai.gpt-1", "openai.gpt-2", "amazon.nova-1"];
    let prices = models.iter().zip(["", dearer, dearer]).map(|(model, more)| price(model, more)).collect();
    let world = with_prices("usd_per_day = \"0.001\"", "", prices).await;
    let mut client = world.h1().await;
    let body = format!(r#"{{"system":[{{"text":"{}"}}],"inferenceConfig":{{"maxTokens":0}}}}"#, "some words. ".repeat(1_000));
    let mut held = Vec::new();
    for model in models {
        held.push(needed(&client.post(&format!("/model/{model}/converse"), body.clone()).await));
    }
    assert!((held[1] / held[0] - 1.25).abs() < 1e-3 && held[2] == held[0], "{held:?}");
}

/// `acme` has a quota that nothing meets, `globex` has none.
async fn with_and_without_quota(upstream: String) -> World {
    let tenants = tenant("acme", "") + "[[tenants.acme.quotas]]\ntokens_per_day = 100_000_000\n" + &tenant("globex", "");
    let sections = "[ledger]\nfile = \"ledger.sqlite\"\n".to_owned();
    World::with(Settings { tenants, sections, upstream, ..Settings::default() }).await
}

/// Nobody knows what one costs that this version does not know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tier_of_next_year_is_charged_as_the_standard_one_and_flagged() {
    let puppet = Puppet::start().await;
    let world = with_and_without_quota(puppet.upstream()).await;
    let answers = [
        r#"{"usage":{"inputTokens":5,"outputTokens":6},"serviceTier":{"type":"turbo"}}"#,
        r#"{"usage":{"inputTokens":5,"outputTokens":6}}"#,
    ];
    for (count, body) in (1..).zip(answers) {
        let mut client = world.h1().await;
        let asking = tokio::spawn(async move { client.post(CONVERSE, r#"{"serviceTier":{"type":"turbo"}}"#).await });
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        puppet.request().await.say(head + body).await;
        asking.await.unwrap().assert_served();
        until_ledger(&world, count).await;
    }
    for row in Reader::open(world.directory.path().join("ledger.sqlite")).unwrap().recent(None, 2).unwrap() {
        assert!(row.tier == ServiceTier::Other && row.price_source.ends_with("; unpriced: tier"), "{row:?}");
        assert!(row.cost.0 > 0, "{row:?}");
    }
    world.until_sum("tollgate_unpriced_requests_total", &["acme"], 2.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tier_that_the_answer_does_not_name_is_charged_without_a_quota_too() {
    let puppet = Puppet::start().await;
    let world = with_and_without_quota(puppet.upstream()).await;
    for (count, tenant) in [(1, "acme"), (2, "globex")] {
        let mut client = Client::h1(world.gateway.traffic[0], world.bearer(tenant)).await;
        let asking = tokio::spawn(async move { client.post(CONVERSE, r#"{"serviceTier":{"type":"priority"}}"#).await });
        let body = r#"{"usage":{"inputTokens":5,"outputTokens":6}}"#;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        puppet.request().await.say(head + body).await;
        asking.await.unwrap().assert_served();
        until_ledger(&world, count).await;
    }
    let rows = Reader::open(world.directory.path().join("ledger.sqlite")).unwrap().recent(None, 2).unwrap();
    let tiers: Vec<_> = rows.iter().map(|row| row.tier).collect();
    assert_eq!((tiers, rows[0].cost), (vec![ServiceTier::Priority; 2], rows[1].cost));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_off_is_estimated_alike_with_a_quota_and_without() {
    let world = with_and_without_quota(String::new()).await;
    let image = "iVBORw0KGgo".to_owned() + &"A".repeat(400_000);
    let body = format!(r#"{{"messages":[{{"content":[{{"image":{{"format":"png","source":{{"bytes":"{image}"}}}}}}]}}]}}"#);
    for tenant in ["acme", "globex"] {
        let request = with(reporting(CONVERSE_STREAM, &body, 70, 300), "x-simulator-events", "40");
        let mut client = Client::h1(world.gateway.traffic[0], world.bearer(tenant)).await;
        let response = client.send(with(request, "x-simulator-reset", "mid-stream")).await.unwrap();
        assert!(Answer::read(response).await.is_err());
    }
    let lines = world.log_lines(2).await;
    let input = |at: usize| lines[at]["input_tokens"].as_u64();
    assert!(lines.iter().all(|line| line["estimated"] == true) && input(0) == input(1), "{lines:#?}");
    assert!((2_500..2_600).contains(&input(1).unwrap()), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_off_near_its_maximum_is_charged_no_more_than_was_held() {
    let world = with_prices("output_tokens_per_day = 2_000", "", String::new()).await;
    let body = r#"{"messages":[{"content":[{"text":"go on"}]}],"inferenceConfig":{"maxTokens":100}}"#;
    // A good deal more words than tokens may come.
    for _ in 0..3 {
        let request = with(reporting(CONVERSE_STREAM, body, 5, 400), "x-simulator-events", "400");
        let response = world.h1().await.send(with(request, "x-simulator-reset", "mid-stream")).await.unwrap();
        assert!(Answer::read(response).await.is_err());
    }
    for line in world.log_lines(3).await {
        assert_eq!((&line["estimated"], &line["output_tokens"]), (&true.into(), &100.into()), "{line:#}");
    }
    world.until_sum("tollgate_overdrawn_requests_total", &["acme"], 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_that_running_requests_hold_refuses_for_a_moment_and_a_spent_one_for_good() {
    const HOLDING_1000: &str = r#"{"inferenceConfig":{"maxTokens":1000}}"#;
    let world = with_quota("tokens_per_day = 1_500").await;
    let request = with(reporting(CONVERSE_STREAM, HOLDING_1000, 10, 40), "x-simulator-event-delay-ms", "500");
    let (mut other, mut client) = (world.h1().await, world.h1().await);
    let running = other.send(request).await.unwrap();
    let chat = format!(r#"{{"model":"{MODEL}","max_tokens":1000,"messages":[]}}"#);
    let refused = client.post(CONVERSE, HOLDING_1000).await;
    refused.assert_refused(429, "ThrottlingException");
    for refused in [refused, client.post("/openai/v1/chat/completions", chat).await] {
        assert_eq!(refused.status, 429, "{refused:?}");
        let hints = ["retry-after", "retry-after-ms", "x-amz-retry-after", "x-should-retry"].map(|name| refused.header(name));
        assert_eq!(hints, ["1", "1000", "1000", ""], "{refused:?}");
        let text = String::from_utf8_lossy(&refused.body).into_owned();
        assert!(text.contains("with 0 spent and 1") && text.contains("try again when some of them have ended"), "{text}");
    }
    Answer::read(running).await.unwrap().assert_served();
    until_ledger(&world, 1).await;
    client.ask(reporting(CONVERSE, HOLDING_1000, 500, 400)).await.assert_served();
    until_ledger(&world, 2).await;
    client.post(CONVERSE, HOLDING_1000).await.assert_refused(400, "ServiceQuotaExceededException");
}
