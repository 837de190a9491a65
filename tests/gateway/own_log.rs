//! The process's own log, which has no secret in it whatever its operator asks for.

use crate::{
    client::Client,
    harness::{INVOKE, Settings, World, until},
    process::{Process, within_ready},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_filter_makes_the_log_tell_tokens_or_signatures() {
    let log_level = "trace,pingora_proxy=trace,pingora_core=trace,h2=trace,rustls=trace,aws_sigv4=trace".to_owned();
    let world = World::with(Settings { log_level, ..Settings::default() }).await;
    let process = Process::run(&world);
    let mut client = Client::h1(process.address("traffic").await, world.bearer("acme")).await;
    within_ready(&mut client).await;
    client.post(INVOKE, "{\"prompt\":\"a secret\"}").await.assert_served();
    process.signal("TERM");
    assert!(process.ended().await.success());
    until("the last line is read", || process.text().contains("\"stopping\"")).await;
    let text = process.text();
    // What all tokens of the issuer begin with.
    let token = world.token("acme");
    let head = token.split('.').next().unwrap();
    for secret in [head, "simulator-session-token", "a secret", "\"target\":\"pingora"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(text.contains("\"msg\":\"request\""), "{text}");
}
