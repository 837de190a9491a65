//! Ways around a tenant's list of models.

use crate::{raw::Raw, world::World};

const ALLOWED: &str = "amazon.nova-lite-v1:0";
const FORBIDDEN: &str = "anthropic.claude-opus-4-v1:0";

async fn world() -> World {
    World::start(&format!("[\"{ALLOWED}\"]"), "").await
}

async fn status(world: &World, path: &str, body: &[u8]) -> String {
    let fields = format!("Content-Length: {}\r\nConnection: close\r\n", body.len());
    let mut raw = Raw::connect(world).await;
    raw.send(&[world.head(path, &fields).as_bytes(), body].concat()).await;
    raw.rest().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_path_reaches_a_forbidden_model() {
    let world = world().await;
    let (a, b) = (ALLOWED, FORBIDDEN);
    for path in [
        format!("/model/{b}/converse"),
        "/model/anthropic%2Eclaude-opus-4-v1%3A0/converse".to_owned(),
        format!("/model/{a}%2F..%2F{b}/converse"),
        format!("/model/{a}/../{b}/converse"),
        format!("/model/{a}/%2e%2e/{b}/converse"),
        format!("/model/{a};x/converse"),
        format!("/model/{a}%00/converse"),
        format!("/model/{a}%20/converse"),
        format!("//model/{b}/converse"),
        format!("/%6dodel/{b}/converse"),
        format!("/MODEL/{b}/converse"),
        format!("/model/{b}/converse/"),
        format!("/model/{b}/nosuch"),
        format!("/model/{b}"),
        format!("/bedrock-runtime/model/{b}/converse"),
        format!("/x/../model/{b}/converse"),
        format!("/model\\{b}\\converse"),
        format!("/model//{b}/converse"),
        format!("/bedrock-runtime/bedrock-runtime/model/{b}/converse"),
        format!("/bedrock/model/{b}/converse"),
    ] {
        let _ = status(&world, &path, b"{}").await;
        assert_eq!(world.served(), 0, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_our_parser_gives_up_on_names_no_allowed_model() {
    let world = world().await;
    let plain = format!("{{\"modelId\":\"{FORBIDDEN}\"}}");
    let inner = &plain[1..];
    let bodies: [Vec<u8>; 10] = [
        plain.clone().into_bytes(),
        format!("\u{feff}{plain}").into_bytes(),
        plain.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        format!("{{\"a\":\"\\ud800\",{inner}").into_bytes(),
        format!("{{\"a\":NaN,{inner}").into_bytes(),
        format!("{{\"a\":1e9999,{inner}").into_bytes(),
        format!("{{\"a\":{}{},{inner}", "[".repeat(200), "]".repeat(200)).into_bytes(),
        format!("{plain} x").into_bytes(),
        [b"{\"a\":\"\xff\",", inner.as_bytes()].concat(),
        plain.replace("\"}", "\",}").into_bytes(),
    ];
    for path in ["/async-invoke", "/model-invocation-job", "/provisioned-model-throughput"] {
        for body in &bodies {
            let answer = status(&world, path, body).await;
            assert!(answer.starts_with("HTTP/1.1 4"), "{path} {}: {answer}", String::from_utf8_lossy(body));
        }
    }
    assert_eq!(world.served(), 0);
}
