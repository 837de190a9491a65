//! Heads of which two readers could make two requests: what decides is there once, and stays.

use crate::{
    client::{Raw, post, with},
    harness::{CONVERSE, Settings, World},
    policy::ALL,
};

const TARGET: &str = "x-amz-target";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_decided_by_can_be_taken_away_by_connection() {
    let acme = format!("[tenants.acme]\n{ALL}service_tiers = [\"flex\"]\n");
    let world = World::with(Settings { tenants: acme, ..Settings::default() }).await;
    let bearer = world.bearer("acme");
    let ask = async |fields: &str| {
        let mut raw = Raw::connect(world.gateway.traffic[0]).await;
        let tier = "X-Amzn-Bedrock-Service-Tier: flex";
        raw.write(format!(
            "POST {CONVERSE} HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n{tier}\r\nContent-Length: 2\r\n{fields}\r\n\r\n{{}}"
        ))
        .await;
        raw.read_answer().await
    };
    for connection in [
        "Connection: x-amzn-bedrock-service-tier",
        "Connection: close, X-AMZN-Bedrock-GuardrailIdentifier",
        "Connection: close\r\nconnection: te,x-amzn-bedrock-request-metadata",
        "Connection: x-amz-target",
        "Connection: x-forwarded-for",
        "Connection: @",
        "Connection: :authority",
        "Connection: \"te\"",
        "Connection: t e",
        "Connection: a,b,c,d,e,f,g,h,i,j",
        "Connection: a,b,c,d,e\r\nConnection: f,g,h,i,j",
    ] {
        let answer = ask(connection).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("Connection header"), "{connection}: {answer}");
    }
    assert_eq!(world.served_count(), 0);
    for connection in ["Connection: keep-alive, te,,", "Connection: a,b,c,d,e\r\nConnection: f,g,h,i"] {
        let answer = ask(connection).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{connection}: {answer}");
        let served = world.simulator.record().requests().pop().unwrap();
        assert_eq!(served.header("x-amzn-bedrock-service-tier"), Some("flex"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_has_one_target() {
    let world = World::with(Settings {
        tenants: "[tenants.acme]\nmodels = [\"*\"]\nservices = [\"*\"]\noperations = [\"GetDataAutomationStatus\"]\n".to_owned(),
        ..Settings::default()
    })
    .await;
    let [status, invoke] = ["GetDataAutomationStatus", "InvokeDataAutomationAsync"]
        .map(|name| format!("AmazonBedrockKeystoneRuntimeService.{name}"));
    for mut client in [world.h1().await, world.h2().await] {
        for (first, second) in [(&status, &invoke), (&invoke, &status), (&status, &status)] {
            let twice = with(with(post("/", "{}"), TARGET, first), TARGET, second);
            client.ask(twice).await.assert_refused(400, "ValidationException");
            let joined = with(post("/", "{}"), TARGET, &format!("{second},{first}"));
            client.ask(joined).await.assert_refused(400, "ValidationException");
        }
        assert_eq!(client.ask(with(post("/", "{}"), TARGET, &invoke)).await.status, 403);
    }
    assert_eq!(world.served_count(), 0);
    world.h1().await.ask(with(post("/", "{}"), TARGET, &status)).await.assert_served();
}
