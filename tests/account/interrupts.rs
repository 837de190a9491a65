//! How a process ends that is told to end, and is told again.

use rustix::process::Signal;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use tollgate::bedrock::usage::ServiceTier;

use crate::{
    client::{Client, post, with},
    harness::{MODEL, World, within},
};

/// `drain_seconds_max` is ten minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_interrupts_twice_waits_for_no_request() {
    for signal in [Signal::INT, Signal::TERM] {
        let world = World::new("", ["", ""]).await;
        let mut gateway = world.start().await;
        let mut client = TcpStream::connect(world.traffic).await.unwrap();
        let bearer = world.bearer("acme");
        let head =
            format!("POST /model/{MODEL}/converse HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\nContent-Length: 2\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        world.until_metric("tollgate_requests_in_flight", 1.0).await;
        gateway.signal(Signal::INT);
        world.until_stopping().await;
        gateway.signal(signal);
        within(gateway.ends()).await;
    }
}

/// Bedrock goes on and bills it; the next process charges what it is likely to cost, as after `kill -9`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_the_end_of_the_process_cuts_is_charged() {
    for twice in [false, true] {
        let seconds = if twice { 600 } else { 1 };
        let quota = format!("[[tenants.acme.quotas]]\ntokens_per_day = 10_000_000\n[downstream]\ndrain_seconds_max = {seconds}");
        let world = World::new("", ["", &quota]).await;
        let mut gateway = world.start().await;
        let mut client = Client::h1(world.traffic, world.bearer("acme")).await;
        let body = r#"{"messages":[{"role":"user","content":[{"text":"hello there"}]}],"inferenceConfig":{"maxTokens":100},
            "serviceTier":{"type":"priority"}}"#;
        let request = with(post(&format!("/model/{MODEL}/converse-stream"), body), "x-simulator-stall", "mid-stream");
        let response = client.send(request).await.unwrap();
        assert_eq!(response.status(), 200);
        gateway.signal(Signal::TERM);
        if twice {
            world.until_stopping().await;
            gateway.signal(Signal::TERM);
        }
        within(gateway.ends()).await;
        assert_eq!(world.holds(), 1);
        drop(response);
        let _gateway = world.start().await;
        let row = world.until_rows(1).await.remove(0);
        assert_eq!((&*row.outcome, row.estimated), ("lost", true), "{row:?}");
        assert!(row.usage.input_tokens > 0 && row.cost.0 > 0, "{row:?}");
        assert!(row.tier == ServiceTier::Priority && row.price_source.ends_with("unpriced: tier"), "{row:?}");
        world.until_metric("tollgate_estimated_settlements_total", 1.0).await;
        let tokens = world.metric("tollgate_tokens_total", "kind=\"input\"").await;
        assert_eq!(tokens, Some(row.usage.input_tokens as f64));
        let id = format!("\"request_id\":\"{}\"", row.request.id);
        let told = std::fs::read_to_string(world.file("account/log")).unwrap();
        assert!(told.lines().any(|line| line.contains("as lost") && line.contains(&id)), "{}", world.log_tail());
    }
}
