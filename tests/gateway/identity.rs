//! Who may call what. Whatever is refused is refused before Bedrock hears of it, in the words of the route.

use std::collections::HashMap;

use http::Request;
use serde_json::json;

use crate::{
    client::{Answer, Client, Upload, post, with},
    harness::{CONVERSE, INVOKE, MODEL, Settings, World, issuer, tenant},
};

const OPENAI: &str = "/openai/v1/chat/completions";
const ANTHROPIC: &str = "/anthropic/v1/messages";

/// Nobody's credential in the connection: each request brings its own.
async fn bare(world: &World) -> Client {
    let mut client = world.h1().await;
    client.authorization.clear();
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_taken_in_each_of_three_places() {
    let world = World::start().await;
    let token = world.token("acme");
    let sigv4 =
        "AWS4-HMAC-SHA256 Credential=placeholder/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=0";
    for mut client in [bare(&world).await, {
        let mut client = world.h2().await;
        client.authorization.clear();
        client
    }] {
        client.ask(with(post(CONVERSE, "{}"), "authorization", &format!("Bearer {token}"))).await.assert_served();
        let signed = with(post(CONVERSE, "{}"), "authorization", sigv4);
        client.ask(with(signed, "x-amz-security-token", &token)).await.assert_served();
        client.ask(with(post(CONVERSE, "{}"), "x-api-key", &token)).await.assert_served();
        // The Anthropic SDK sends both; the same token twice is one.
        let both = with(post(CONVERSE, "{}"), "x-api-key", &token);
        client.ask(with(both, "authorization", &format!("bearer {token}"))).await.assert_served();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_prove_an_identity_is_refused() {
    let world = World::start().await;
    let (acme, globex) = (world.token("acme"), world.token("globex"));
    let mut forged = acme.clone();
    forged.replace_range(acme.len() - 8.., "AAAAAAAA");
    let elsewhere = world.token_of("https://other.example", "acme");
    let mut client = bare(&world).await;
    let requests = [
        (vec![], "MissingAuthenticationTokenException"),
        (vec![("x-api-key", acme.clone()), ("authorization", format!("Bearer {globex}"))], "UnrecognizedClientException"),
        (vec![("x-api-key", acme.clone()), ("x-api-key", acme.clone())], "UnrecognizedClientException"),
        (vec![("authorization", format!("Bearer {forged}"))], "UnrecognizedClientException"),
        (vec![("authorization", format!("Bearer {elsewhere}"))], "UnrecognizedClientException"),
        (vec![("authorization", "Basic YTpi".to_owned())], "UnrecognizedClientException"),
        (vec![("authorization", "Bearer ".to_owned())], "UnrecognizedClientException"),
        (vec![("authorization", format!("Bearer {}", world.token("nobody")))], "AccessDeniedException"),
    ];
    for (headers, exception) in requests {
        let request = headers.iter().fold(post(CONVERSE, "{}"), |request, (name, value)| with(request, name, value));
        client.ask(request).await.assert_refused(403, exception);
    }
    let in_query = format!("{CONVERSE}?access_token={acme}");
    client.post(&in_query, "{}").await.assert_refused(400, "ValidationException");
    assert_eq!(world.served_count(), 0);
    for reason in
        ["credential_missing", "credentials_conflicting", "signature", "issuer_unknown", "tenant_unknown", "credential_in_query"]
    {
        world.until_sum("tollgate_denials_total", &[&format!("reason=\"{reason}\"")], 1.0).await;
    }
}

/// globex may use two models, over two services, by some operations.
async fn narrow() -> World {
    let narrow = format!(
        "[tenants.globex]\nmodels = [\"{MODEL}\", \"amazon.nova-*\"]\nservices = [\"bedrock-runtime\", \"bedrock-agent-runtime\"]\n\
         operations = [\"Converse*\", \"InvokeModel\", \"ChatCompletions\", \"Messages\", \"RetrieveAndGenerate\", \"StartAsyncInvoke\"]\n"
    );
    World::with(Settings { tenants: tenant("acme", "") + &narrow, ..Settings::default() }).await
}

fn arn(kind: &str, id: &str) -> String {
    let account = if kind == "foundation-model" { "" } else { "123456789012" };
    format!("arn:aws:bedrock:us-east-1:{account}:{kind}/{id}")
}

fn encoded(text: &str) -> String {
    text.replace(':', "%3A").replace('/', "%2F")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_tenant_was_not_given_is_denied_and_never_reaches_bedrock() {
    let world = narrow().await;
    let mut client = world.h1().await;
    client.authorization = world.bearer("globex");
    let get = |target: &str| Request::builder().uri(target).body(Upload::none()).unwrap();
    let llama = "meta.llama3-8b-instruct-v1:0";
    let generate = |model: &str| {
        let body = json!({"input": {"text": "x"}, "retrieveAndGenerateConfiguration": {
            "type": "KNOWLEDGE_BASE", "knowledgeBaseConfiguration": {"knowledgeBaseId": "K", "modelArn": model}}});
        post("/retrieveAndGenerate", body.to_string())
    };
    let surface = |path: &str, model: &str| post(path, json!({"model": model, "messages": []}).to_string());
    let denied = [
        (get("/foundation-models"), "service"),
        (post(&format!("/model/{MODEL}/count-tokens"), "{}"), "operation"),
        (post(&format!("/model/{MODEL}/an-operation-of-tomorrow"), "{}"), "operation"),
        (post(&format!("/model/{llama}/converse"), "{}"), "model"),
        (post(&format!("/model/{}/converse", encoded(llama)), "{}"), "model"),
        (post(&format!("/model/{}/converse", encoded(&arn("foundation-model", llama))), "{}"), "model"),
        (post(&format!("/model/{}/invoke", encoded(&arn("application-inference-profile", "amazon.nova-x"))), "{}"), "model"),
        (generate(&arn("foundation-model", llama)), "model"),
        (post("/async-invoke", json!({"modelId": llama, "modelInput": {}}).to_string()), "model"),
    ];
    let mut counts = HashMap::new();
    for (request, reason) in denied {
        client.ask(request).await.assert_refused(403, "AccessDeniedException");
        *counts.entry(reason).or_insert(0.0) += 1.0;
        world.until_sum("tollgate_denials_total", &["globex", &format!("reason=\"{reason}\"")], counts[reason]).await;
    }
    for path in [OPENAI, ANTHROPIC] {
        let answer = client.ask(surface(path, "openai.gpt-oss-120b-1:0")).await;
        assert_eq!((answer.status, answer.header("x-tollgate-source")), (403, "gateway"), "{answer:?}");
    }
    assert_eq!(world.served_count(), 0);
    let allowed = [
        post(CONVERSE, "{}"),
        post(&format!("/model/{}/invoke", encoded(&arn("foundation-model", "amazon.nova-lite-v1:0"))), "{}"),
        generate(&arn("foundation-model", MODEL)),
        surface(OPENAI, MODEL),
        surface(ANTHROPIC, MODEL),
    ];
    for request in allowed {
        let target = request.uri().to_string();
        let answer = client.ask(request).await;
        assert_eq!((answer.status, answer.header("x-tollgate-source")), (200, "bedrock"), "{target}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_hidden_in_a_body_by_repetition_or_escapes_is_found() {
    let world = narrow().await;
    let mut client = world.h1().await;
    client.authorization = world.bearer("globex");
    for body in [
        format!(r#"{{"model":"{MODEL}","model":"meta.llama3"}}"#),
        r#"{"mod\u0065l":"meta.llama3"}"#.to_owned(),
        r#"{"messages":[]}"#.to_owned(),
        "not json".to_owned(),
        r#"["model"]"#.to_owned(),
    ] {
        for path in [OPENAI, ANTHROPIC] {
            let answer = client.post(path, body.clone()).await;
            assert!(matches!(answer.status, 400 | 403) && answer.header("x-tollgate-source") == "gateway", "{body}: {answer:?}");
        }
    }
    assert_eq!(world.served_count(), 0);
}

fn shape(answer: &Answer) -> (u16, &str) {
    assert_eq!(answer.header("x-tollgate-source"), "gateway");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("x-tollgate-request-id"), answer.header("x-amzn-requestid"));
    (answer.status, answer.header("x-amzn-errortype"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_told_in_the_words_of_the_route() {
    let world = narrow().await;
    let mut client = bare(&world).await;
    let answer = client.post(CONVERSE, "{}").await;
    assert_eq!(shape(&answer), (403, "MissingAuthenticationTokenException"));
    assert_eq!(answer.json()["__type"], "MissingAuthenticationTokenException");
    assert!(answer.json()["message"].as_str().unwrap().contains("AWS_BEARER_TOKEN_BEDROCK"));

    for path in [OPENAI, "/bedrock-runtime/openai/v1/chat/completions", "/bedrock-mantle/v1/chat/completions"] {
        let answer = client.post(path, "{}").await;
        assert_eq!(shape(&answer), (401, ""), "{path}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        let error = &answer.json()["error"];
        assert_eq!((&error["type"], &error["code"]), (&json!("invalid_request_error"), &json!("credential_missing")));
    }
    let answer = client.post(ANTHROPIC, "{}").await;
    assert_eq!(shape(&answer), (401, ""));
    assert_eq!((&answer.json()["type"], &answer.json()["error"]["type"]), (&json!("error"), &json!("authentication_error")));
    assert_eq!(answer.json()["request_id"], answer.header("request-id"));

    client.authorization = world.bearer("globex");
    let answer = client.post(ANTHROPIC, json!({"model": "meta.x"}).to_string()).await;
    assert_eq!((shape(&answer), &answer.json()["error"]["type"]), ((403, ""), &json!("permission_error")));
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("meta.x"));
    let answer = client.post("/model/meta.x/invoke", "{}").await;
    assert_eq!((shape(&answer), &answer.json()["__type"]), ((403, "AccessDeniedException"), &json!("AccessDeniedException")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_without_keys_is_unavailable_and_not_a_refusal() {
    let issuers = issuer("test", "https://issuer.example")
        + "[issuers.away]\nissuer = \"https://away.example\"\naudiences = [\"gateway\"]\nalgorithms = [\"ES256\"]\n\
           key_set = { url = \"http://127.0.0.1:1/keys\" }\n";
    let world = World::with(Settings { issuers, ..Settings::default() }).await;
    let mut client = world.h1().await;
    client.post(INVOKE, "{}").await.assert_served();
    client.authorization = format!("Bearer {}", world.token_of("https://away.example", "acme"));
    let answer = client.post(INVOKE, "{}").await;
    answer.assert_refused(503, "ServiceUnavailableException");
    assert_eq!(answer.header("retry-after"), "1");
}
