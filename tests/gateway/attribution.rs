//! The tenant in the metadata of requests.

use sha2::{Digest, Sha256};

use crate::{
    client::{Answer, post, with},
    conversation::{Conversation, request},
    harness::{CONVERSE, CONVERSE_STREAM, INVOKE, World},
};

const HEADER: &str = "x-amzn-bedrock-request-metadata";
const CONFIGURED: &str = "[request_metadata]\ntenant_key = \"tenant\"\n";

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invoke_model_has_the_tenant_beside_the_clients_own_metadata() {
    let world = World::with_sections(CONFIGURED).await;
    let mut client = world.h1().await;
    for (sent, expected) in [
        (None, r#"{"tenant":"acme"}"#),
        (Some(r#"{"project":"x"}"#), r#"{"project":"x","tenant":"acme"}"#),
        (Some(r#"{"tenant":"globex","ten\u0061nt":"globex"}"#), r#"{"tenant":"acme"}"#),
    ] {
        let request = post(INVOKE, "{}");
        let request = sent.iter().fold(request, |request, sent| with(request, HEADER, sent));
        client.ask(request).await.assert_served();
        let served = world.simulator.record().requests().pop().unwrap();
        assert_eq!(served.headers().filter(|(name, _)| *name == HEADER).collect::<Vec<_>>(), [(HEADER, expected)]);
        assert_eq!(served.body_sha256, sha256("{}"));
    }
    client.ask(with(post(INVOKE, "{}"), HEADER, "[]")).await.assert_refused(400, "ValidationException");
    let twice = with(with(post(INVOKE, "{}"), HEADER, "{}"), HEADER, "{}");
    client.ask(twice).await.assert_refused(400, "ValidationException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn converse_has_it_in_its_body_and_nothing_else_changes() {
    let world = World::with_sections(CONFIGURED).await;
    let mut client = world.h2().await;
    for target in [CONVERSE, CONVERSE_STREAM] {
        for (sent, expected) in [
            ("{ }", r#"{"requestMetadata":{"tenant":"acme"} }"#),
            (r#"{"messages":[]}"#, r#"{"requestMetadata":{"tenant":"acme"},"messages":[]}"#),
            (
                r#"{"messages":[], "requestMetadata" : {"tenant":"globex","p":"q"}}"#,
                r#"{"messages":[], "requestMetadata" : {"p":"q","tenant":"acme"}}"#,
            ),
        ] {
            client.post(target, sent).await.assert_served();
            let served = world.simulator.record().requests().pop().unwrap();
            assert_eq!((served.body_bytes, &*served.body_sha256), (expected.len() as u64, &*sha256(expected)), "{sent}");
            assert_eq!(served.header(HEADER), None);
        }
    }
    // Who reads more leniently than the gateway must not find another tenant there.
    let plain = r#"{"requestMetadata":{"tenant":"globex"}}"#;
    let deep = "[".repeat(300) + &"]".repeat(300);
    let utf_16: Vec<u8> = plain.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for body in [
        format!("\u{feff}{plain}").into_bytes(),
        plain.replacen('{', &format!("{{\"a\":{deep},"), 1).into_bytes(),
        plain.replacen('{', "{/**/", 1).into_bytes(),
        plain.replace("}}", "},}").into_bytes(),
        format!("{plain}x").into_bytes(),
        utf_16,
    ] {
        client.post(CONVERSE, body).await.assert_refused(400, "ValidationException");
    }
    let twice = r#"{"requestMetadata":{},"request\u004detadata":{"tenant":"globex"}}"#;
    client.post(CONVERSE, twice).await.assert_refused(400, "ValidationException");
}

/// AWS documents the header for `InvokeModel` alone, and does not say that others ignore it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_says_no_other_tenants_name_wherever_it_is_sent() {
    let world = World::with_sections(CONFIGURED).await;
    let mut client = world.h1().await;
    for (target, body) in [(CONVERSE, "{}"), ("/openai/v1/chat/completions", r#"{"model":"openai.gpt-oss-20b-1:0"}"#)] {
        client.ask(with(post(target, body), HEADER, r#"{"tenant":"globex","p":"q"}"#)).await.assert_served();
        let served = world.simulator.record().requests().pop().unwrap();
        assert_eq!(served.header(HEADER), Some(r#"{"p":"q","tenant":"acme"}"#), "{target}");
        assert_eq!(client.ask(with(post(target, body), HEADER, "[]")).await.status, 400, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_a_conversations() {
    let world = World::with_sections(CONFIGURED).await;
    let mut client = world.h2().await;
    for (sent, expected) in [(Some(r#"{"tenant":"globex","p":"q"}"#), Some(r#"{"p":"q","tenant":"acme"}"#)), (None, None)] {
        let headers: Vec<_> = sent.iter().map(|sent| (HEADER, *sent)).collect();
        let mut conversation = Conversation::open_with(&mut client, &headers).await;
        conversation.close();
        assert_eq!(conversation.rest().await, 0);
        let served = world.simulator.record().requests().pop().unwrap();
        assert_eq!(served.header(HEADER), expected);
    }
    let (_feed, request) = request();
    let refused = client.send(with(request, HEADER, "[]")).await.unwrap();
    Answer::read(refused).await.unwrap().assert_refused(400, "ValidationException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_metadata_and_what_is_not_configured_passes_as_it_came() {
    let body = r#"{"requestMetadata":{"tenant":"globex"}}"#;
    let world = World::with_sections(CONFIGURED).await;
    world.h1().await.post("/agents/", body).await.assert_served();
    assert_eq!(world.served().body_sha256, sha256(body));
    let world = World::start().await;
    let mut client = world.h1().await;
    client.ask(with(post(CONVERSE, body), HEADER, "[]")).await.assert_served();
    let served = world.served();
    assert_eq!((&*served.body_sha256, served.header(HEADER)), (&*sha256(body), Some("[]")));
}
