//! Rates and concurrency, and how clients are told of them.

use tokio::task::JoinSet;

use crate::{
    client::{Answer, post, with},
    harness::{CONVERSE, CONVERSE_STREAM, INVOKE, Settings, World, tenant},
};

/// The wait in milliseconds, said in three ways that agree.
#[track_caller]
fn wait_ms(answer: &Answer) -> u64 {
    let number = |name: &str| answer.header(name).parse::<u64>().unwrap_or_else(|_| panic!("{name}: {answer:?}"));
    let milliseconds = number("retry-after-ms");
    assert_eq!((number("x-amz-retry-after"), number("retry-after")), (milliseconds, milliseconds.div_ceil(1_000)));
    milliseconds
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_per_minute_are_held_exactly_and_told() {
    let world = World::with_limits("requests_per_minute = 5").await;
    let mut client = world.h1().await;
    for left in (0..5).rev() {
        let answer = client.post(CONVERSE, "{}").await;
        answer.assert_served();
        assert_eq!(answer.header("ratelimit-policy"), "\"requests-per-minute\";q=5;w=60");
        assert!(answer.header("ratelimit").starts_with(&format!("\"requests-per-minute\";r={left};t=")), "{answer:?}");
    }
    for mut client in [client, world.h2().await] {
        let answer = client.post(CONVERSE, "{}").await;
        answer.assert_refused(429, "ThrottlingException");
        assert!((1..=120_000).contains(&wait_ms(&answer)));
        assert!(answer.header("ratelimit").starts_with("\"requests-per-minute\";r=0;t="));
        assert!(answer.json()["message"].as_str().unwrap().contains("acme"));
    }
    assert_eq!(world.served_count(), 5);
    let mut other = world.h1().await;
    other.authorization = world.bearer("globex");
    other.post(CONVERSE, "{}").await.assert_served();
    world.until_sum("tollgate_denials_total", &["acme", "requests-per-minute"], 2.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_told_wait_a_request_fits() {
    let world = World::with_limits("requests_per_second = 2").await;
    let mut client = world.h1().await;
    let mut waited = 0;
    while waited < 3 {
        let answer = client.post(CONVERSE, "{}").await;
        if answer.status == 200 {
            continue;
        }
        answer.assert_refused(429, "ThrottlingException");
        // The one sleep that is the claim.
        tokio::time::sleep(std::time::Duration::from_millis(wait_ms(&answer))).await;
        client.post(CONVERSE, "{}").await.assert_served();
        waited += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_gets_no_more_than_the_limit() {
    let world = World::with_limits("requests_per_minute = 20").await;
    let mut storm = JoinSet::new();
    for _ in 0..10 {
        let mut client = world.h1().await;
        storm.spawn(async move {
            let mut served = 0;
            for _ in 0..10 {
                served += u64::from(client.post(CONVERSE, "{}").await.status == 200);
            }
            served
        });
    }
    assert_eq!(storm.join_all().await.iter().sum::<u64>(), 20);
    assert_eq!(world.served_count(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_holds_its_slot_until_its_end() {
    let sections = "[metering]\nread_on_seconds_max = 0\n".to_owned();
    let world =
        World::with(Settings { tenants: tenant("acme", "concurrent_requests = 1"), sections, ..Settings::default() }).await;
    for mut client in [world.h1().await, world.h2().await] {
        let paced = with(post(CONVERSE_STREAM, "{}"), "x-simulator-stall", "mid-stream");
        let response = client.send(paced).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut other = world.h1().await;
        let answer = other.post(INVOKE, "{}").await;
        answer.assert_refused(429, "ThrottlingException");
        assert_eq!(wait_ms(&answer), 1_000);
        assert_eq!(answer.header("ratelimit-policy"), "\"concurrent-requests\";q=1");
        drop((response, client));
        world.until_metrics("the slot is free", |metrics| metrics.sum("tollgate_requests_in_flight", &["acme"]) == 0.0).await;
        other.post(INVOKE, "{}").await.assert_served();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_every_kind_give_the_slot_back() {
    let world = World::with_limits("concurrent_requests = 1\nrequests_per_minute = 1000").await;
    let mut client = world.h1().await;
    for _ in 0..3 {
        client.ask(with(post(INVOKE, "{}"), "x-simulator-status", "500")).await;
        assert_eq!(client.post("/anthropic/v1/messages", "not json").await.status, 400);
        client
            .ask(with(post(INVOKE, "{}"), "x-simulator-reset", "before-headers"))
            .await
            .assert_refused(502, "ServiceUnavailableException");
        client = world.h1().await;
    }
    client.post(INVOKE, "{}").await.assert_served();
    world.until_sum("tollgate_denials_total", &["concurrent-requests"], 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_each_answer_never_meets_a_slot_of_their_own() {
    let world = World::with_limits("concurrent_requests = 1").await;
    let mut client = world.h2().await;
    for _ in 0..100 {
        client.post(INVOKE, "{}").await.assert_served();
        client.post(CONVERSE_STREAM, "{}").await.assert_served();
        world.h1().await.post(INVOKE, "{}").await.assert_served();
        let broken = with(post(INVOKE, "{}"), "x-simulator-reset", "before-headers");
        client.ask(broken).await.assert_refused(502, "ServiceUnavailableException");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openai_and_anthropic_clients_are_throttled_in_their_words() {
    let world = World::with_limits("requests_per_minute = 1").await;
    let mut client = world.h1().await;
    client.post(CONVERSE, "{}").await.assert_served();
    let answer = client.post("/openai/v1/chat/completions", "{\"model\":\"m\"}").await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (429, &"rate_limit_error".into()));
    wait_ms(&answer);
    let answer = client.post("/anthropic/v1/messages", "{\"model\":\"m\"}").await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (429, &"rate_limit_error".into()));
    wait_ms(&answer);
    assert_eq!(world.served_count(), 1);
}
