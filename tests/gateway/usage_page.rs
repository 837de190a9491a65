//! What a tenant sees of its account, and operators of all: the figures of the ledger, and nobody else's.

use http::{Method, Request};
use serde_json::{Value, json};
use tollgate::ledger::{By, Reader, Selection};

use crate::{
    accounts::{reporting, until_ledger, with_quota, with_quota_and},
    client::{Answer, Client, Upload, with},
    harness::{CONVERSE, CONVERSE_STREAM, INVOKE, MODEL, Settings, World, tenant},
    signing::{Message, vend},
    vending::{bare, vending},
};

const PAGE: &str = "/v1/usage";
const CHAT: &str = "/openai/v1/chat/completions";
const MESSAGES: &str = "/anthropic/v1/messages";
const MESSAGE: &str =
    r#"{"model":"anthropic.claude-3-haiku-20240307-v1:0","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}"#;

/// The page, answered by the gateway.
#[track_caller]
fn shown(answer: &Answer) -> Value {
    assert_eq!((answer.status, answer.header("x-tollgate-source")), (200, "gateway"), "{answer:?}");
    assert_eq!((answer.header("content-type"), answer.header("cache-control")), ("application/json", "no-store"));
    answer.json()
}

async fn page_of(world: &World, tenant: &str) -> Value {
    shown(&Client::h1(world.gateway.traffic[0], world.bearer(tenant)).await.get(PAGE).await)
}

/// The page's figures as the ledger has them, by model.
fn of_ledger(world: &World, tenant: &str) -> Value {
    let reader = Reader::open(world.directory.path().join("ledger.sqlite")).unwrap();
    let selection = Selection { tenant: Some(tenant.to_owned()), ..Selection::default() };
    let mut groups = reader.usage(&selection, By::Model).unwrap();
    groups.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.cost));
    groups
        .into_iter()
        .map(|(group, sums)| {
            json!({
                "model": *group.name,
                "requests": sums.requests,
                "input_tokens": sums.usage.input_tokens,
                "output_tokens": sums.usage.output_tokens,
                "cache_read_tokens": sums.usage.cache_read_tokens,
                "cache_write_tokens": sums.usage.cache_write_tokens,
                "cache_write_1h_tokens": sums.usage.cache_write_1h_tokens,
                "cost_usd": sums.cost.to_string(),
                "estimated": sums.estimated,
            })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_agrees_with_the_ledger_and_shows_no_other_tenant() {
    let world = with_quota("tokens_per_day = 100_000\nusd_per_month = \"1\"").await;
    let nova = "/model/amazon.nova-lite-v1:0/converse";
    let mut globex = Client::h1(world.gateway.traffic[0], world.bearer("globex")).await;
    for (target, input, output) in [(CONVERSE, 1_000, 100), (INVOKE, 70, 7), (nova, 300, 30)] {
        world.h2().await.ask(reporting(target, "{}", input, output)).await.assert_served();
    }
    globex.ask(reporting(CONVERSE_STREAM, "{}", 55_555, 4_444)).await.assert_served();
    let broken = with(reporting(CONVERSE_STREAM, "{}", 70, 300), "x-simulator-events", "40");
    let broken = world.h1().await.send(with(broken, "x-simulator-reset", "mid-stream")).await.unwrap();
    assert!(Answer::read(broken).await.is_err());
    until_ledger(&world, 5).await;

    let mut clients = [world.h1().await, world.h2().await, world.h2c().await];
    for client in &mut clients {
        let page = shown(&client.get(PAGE).await);
        assert_eq!(page["today"]["by_model"], of_ledger(&world, "acme"));
        assert_eq!(page["month"]["by_model"], page["today"]["by_model"]);
        assert_eq!((&page["month"]["by_day"][0]["day"], &page["tenant"]), (&page["today"]["date"], &json!("acme")));
        assert_eq!((&page["today"]["requests"], &page["today"]["estimated"]), (&json!(4), &json!(1)));
        let text = page.to_string();
        assert!(!text.contains("globex") && !text.contains("55555") && !text.contains("4444"), "{text}");
        let [tokens, money] = [&page["limits"][0], &page["limits"][1]];
        let total = |kind: &str| page["today"][kind].as_u64().unwrap();
        assert_eq!(tokens["spent"], total("input_tokens") + total("output_tokens"));
        assert_eq!((&tokens["limit"], &tokens["reserved"]), (&json!("tokens-per-day"), &json!(0)));
        assert_eq!((&money["limit"], &money["spent"]), (&json!("usd-per-month"), &page["month"]["cost_usd"]));
    }
    assert_eq!(page_of(&world, "globex").await["today"]["by_model"], of_ledger(&world, "globex"));
    assert_eq!(world.served_count(), 5, "nothing of this goes upstream");

    let (status, all) = world.admin("/usage").await;
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!((status, all["tenants"].as_array().unwrap().len()), (200, 2));
    assert_eq!(all["tenants"][0]["today"]["by_model"], of_ledger(&world, "acme"));
    let one: Value = serde_json::from_str(&world.admin("/usage/globex").await.1).unwrap();
    assert_eq!((&one["tenant"], &one["today"]), (&json!("globex"), &all["tenants"][1]["today"]));
    assert_eq!(world.admin("/usage/nobody").await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_is_shown_as_held_and_looking_needs_no_slot() {
    let acme = tenant("acme", "concurrent_requests = 1") + "[[tenants.acme.quotas]]\ntokens_per_day = 100_000\n";
    let world = World::with(Settings { tenants: acme, ..Settings::default() }).await;
    let mut client = world.h1().await;
    let request = reporting(CONVERSE_STREAM, r#"{"inferenceConfig":{"maxTokens":500}}"#, 70, 300);
    let mut response = client.send(with(request, "x-simulator-event-delay-ms", "20")).await.unwrap();
    let page = page_of(&world, "acme").await;
    assert_eq!((&page["running"]["requests"], &page["running"]["holding"]), (&json!(1), &json!(1)));
    assert_eq!(page["running"]["output_tokens"], 500);
    assert!(page["limits"][0]["reserved"].as_u64().unwrap() >= 500, "{page:#}");
    assert_eq!(world.h1().await.post(CONVERSE, "{}").await.status, 429, "the slot is taken");
    while let Some(frame) = http_body_util::BodyExt::frame(response.body_mut()).await {
        frame.unwrap();
    }
    let page = page_of(&world, "acme").await;
    assert_eq!((&page["running"]["requests"], &page["limits"][0]["spent"]), (&json!(0), &json!(370)));
    assert_eq!(page["limits"][0]["remaining"], 99_630);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_needs_a_tenants_credential_and_counts_as_a_request() {
    let world = World::with_limits("requests_per_minute = 2").await;
    let mut nobody = world.h1().await;
    nobody.authorization = "Bearer nonsense".to_owned();
    let refused = nobody.get(PAGE).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer"));
    assert!(refused.json()["error"]["message"].is_string(), "{refused:?}");
    nobody.authorization = world.bearer("stranger");
    assert_eq!(nobody.get(PAGE).await.status, 403);
    assert_eq!(nobody.get("/v1/usage?access_token=x").await.status, 400);

    let mut client = world.h1().await;
    for method in [Method::HEAD, Method::POST, Method::DELETE] {
        let request = Request::builder().method(method).uri(PAGE).body(Upload::none()).unwrap();
        let refused = client.ask(request).await;
        assert_eq!((refused.status, refused.header("allow")), (405, "GET"), "{refused:?}");
    }
    let answer = client.get(PAGE).await;
    shown(&answer);
    assert!(answer.header("ratelimit").starts_with("\"requests-per-minute\";r=1;t="), "{answer:?}");
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), "1");
    client.post(CONVERSE, "{}").await.assert_served();
    let refused = client.get(PAGE).await;
    assert_eq!((refused.status, refused.header("x-ratelimit-remaining-requests")), (429, "0"));

    let lines = world.log_lines(9).await;
    let line = lines.iter().find(|line| line["status"] == 200 && line["source"] == "gateway").unwrap();
    assert_eq!(
        (&line["operation"], &line["tenant"], &line["outcome"]),
        (&json!("GetUsage"), &json!("acme"), &json!("completed"))
    );
    let labels = ["tenant=\"acme\"", "operation=\"GetUsage\"", "outcome=\"completed\""];
    world.until_sum("tollgate_requests_total", &labels, 1.0).await;
    assert_eq!(world.served_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_opens_the_page_like_a_token() {
    let world = World::with(vending(&["a"], "")).await;
    let mut client = bare(&world).await;
    let signer = vend(&mut client, &world.token("globex")).await;
    let message = signer.sign(Message::get(PAGE));
    assert_eq!(shown(&client.ask(message.request()).await)["tenant"], "globex");
    let other = message.replacing("authorization", |text| text[..text.len() - 8].to_owned() + "00000000");
    assert!(matches!(client.ask(other.request()).await.status, 401 | 403));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_the_page_goes_on_with_what_the_ledger_has() {
    let world = with_quota_and("tokens_per_day = 100_000", "").await;
    world.h1().await.ask(reporting(CONVERSE, "{}", 1_000, 100)).await.assert_served();
    let before = page_of(&world, "acme").await;
    let world = world.restart().await;
    let after = page_of(&world, "acme").await;
    assert_eq!((&after["month"], &after["limits"][0]["spent"]), (&before["month"], &json!(1_100)));
    assert_eq!(after["today"]["by_model"][0]["model"], MODEL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_by_a_quota_shows_what_is_left_in_the_words_of_the_route() {
    let world = with_quota("tokens_per_day = 5_000").await;
    world.h1().await.ask(reporting(CONVERSE, r#"{"inferenceConfig":{"maxTokens":1000}}"#, 4_000, 950)).await.assert_served();
    let refused = world.h1().await.post(CONVERSE, r#"{"inferenceConfig":{"maxTokens":1000}}"#).await;
    refused.assert_refused(400, "ServiceQuotaExceededException");
    assert_eq!(refused.header("ratelimit-policy"), "\"tokens-per-day\";q=5000;qu=\"tokens\";w=86400");
    assert!(refused.header("ratelimit").starts_with("\"tokens-per-day\";r=50;t="), "{refused:?}");
    assert!(refused.headers.get("x-ratelimit-limit-tokens").is_none());

    let chat = world.h1().await.post(CHAT, MESSAGE).await;
    let left = ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens"].map(|name| chat.header(name).to_owned());
    assert_eq!((chat.status, left), (402, ["5000".to_owned(), "50".to_owned()]));
    assert!(chat.header("x-ratelimit-reset-tokens").ends_with('s'), "{chat:?}");
    let message = world.h1().await.post(MESSAGES, MESSAGE).await;
    assert_eq!((message.status, message.header("anthropic-ratelimit-tokens-remaining")), (402, "50"));
    let resets: jiff::Timestamp = message.header("anthropic-ratelimit-tokens-reset").parse().unwrap();
    assert!(resets > jiff::Timestamp::now(), "{message:?}");

    let mut other = Client::h1(world.gateway.traffic[0], world.bearer("globex")).await;
    let served = other.post(MESSAGES, MESSAGE).await;
    served.assert_served();
    assert!(served.headers.keys().all(|name| !name.as_str().starts_with("anthropic-ratelimit")), "{served:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_bedrock_shows_what_is_left_in_the_words_of_the_route() {
    let acme = tenant("acme", "requests_per_minute = 10")
        + "[[tenants.acme.quotas]]\ntokens_per_minute = 6_000\n\
        input_tokens_per_day = 9_000\n";
    let world = World::with(Settings { tenants: acme, ..Settings::default() }).await;
    let chat = world.h1().await.post(CHAT, MESSAGE).await;
    chat.assert_served();
    assert_eq!((chat.header("x-ratelimit-limit-requests"), chat.header("x-ratelimit-remaining-requests")), ("10", "9"));
    let left: u64 = chat.header("x-ratelimit-remaining-tokens").parse().unwrap();
    assert!((5_000..5_900).contains(&left), "{chat:?}");
    let message = world.h1().await.post(MESSAGES, MESSAGE).await;
    message.assert_served();
    assert_eq!(message.header("anthropic-ratelimit-requests-remaining"), "8");
    assert_eq!(message.header("anthropic-ratelimit-input-tokens-limit"), "9000");
    assert!(message.headers.get("anthropic-ratelimit-output-tokens-limit").is_none());
}
