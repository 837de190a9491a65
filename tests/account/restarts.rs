//! What a process finds that is started after another has ended.

use rustix::process::Signal;

use crate::{
    client::{Client, post, with},
    harness::{MODEL, World, within},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_that_was_used_up_is_used_up_after_a_restart() {
    let quotas = ["[[tenants.acme.quotas]]\ntokens_per_minute = 60_000", "[[tenants.globex.quotas]]\ntokens_per_minute = 60_000"];
    let world = World::new("", quotas).await;
    let mut gateway = world.start().await;
    let target = format!("/model/{MODEL}/converse");
    // A minute has to pass before it fits twice.
    let body = r#"{"messages":[],"inferenceConfig":{"maxTokens":59000}}"#;
    let request = with(post(&target, body), "x-simulator-output-tokens", "59000");
    Client::h1(world.traffic, world.bearer("acme")).await.ask(request).await.assert_served();
    gateway.signal(Signal::TERM);
    within(gateway.ends()).await;

    let _gateway = world.start().await;
    let again = Client::h1(world.traffic, world.bearer("acme")).await.post(&target, body).await;
    again.assert_refused(429, "ThrottlingException");
    Client::h1(world.traffic, world.bearer("globex")).await.post(&target, body).await.assert_served();
}
