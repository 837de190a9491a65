//! What a tenant may, through the real thing: nothing denied reaches Bedrock, and client, log and `explain` name the same line.

use std::{
    process::Command,
    time::{Duration, SystemTime},
};

use http::Request;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tollgate::auth::key_ring::{NewKeyFor, new_api_key};

use crate::{
    client::{Answer, Client, Raw, Upload, post, post_upload, with},
    harness::{CONVERSE, INVOKE, MODEL, Settings, World, issuer, tenant},
    puppet::Puppet,
    signing::{Message, Signer, credentials_request},
    vending::vending,
};

pub const ALL: &str = "models = [\"*\"]\nservices = [\"*\"]\noperations = [\"*\"]\n";
const OPUS: &str = "anthropic.claude-opus-4-8";
const APPLICATION: &str = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123";
const CHAT: &str = "/openai/v1/chat/completions";
const MESSAGES: &str = "/anthropic/v1/messages";
const TIER: &str = "x-amzn-bedrock-service-tier";

/// acme has these lines, globex may everything.
async fn world(acme: &str) -> World {
    World::with(Settings { tenants: format!("[tenants.acme]\n{acme}\n{}", tenant("globex", "")), ..Settings::default() }).await
}

pub fn call(model: &str, operation: &str, body: impl Into<bytes::Bytes>) -> Request<Upload> {
    post(&format!("/model/{}/{operation}", model.replace(':', "%3A").replace('/', "%2F")), body)
}

fn foundation(region: &str, model: &str) -> String {
    format!("arn:aws:bedrock:{region}::foundation-model/{model}")
}

fn generate(model: &str) -> Request<Upload> {
    let body = json!({"input": {"text": "x"}, "retrieveAndGenerateConfiguration": {
        "type": "KNOWLEDGE_BASE", "knowledgeBaseConfiguration": {"knowledgeBaseId": "K", "modelArn": model}}});
    post("/retrieveAndGenerate", body.to_string())
}

fn chat(model: &str) -> Request<Upload> {
    post(CHAT, json!({"model": model, "messages": []}).to_string())
}

pub fn message(answer: &Answer) -> String {
    let json = answer.json();
    json["message"].as_str().or(json["error"]["message"].as_str()).unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

#[track_caller]
fn assert_denied(answer: &Answer, rule: &str) {
    assert_eq!((answer.status, answer.header("x-tollgate-source")), (403, "gateway"), "{rule}: {answer:?}");
    assert!(message(answer).contains(rule), "{rule}: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_shut_out_gets_nothing_with_any_credential_that_is_theirs() {
    let world = world(&format!("{ALL}deny.principals = [\"user-1\"]")).await;
    let mut client = world.h1().await;
    for target in [CONVERSE, CHAT] {
        let refused = client.post(target, "{}").await;
        assert_eq!((refused.status, refused.header("x-tollgate-source")), (403, "gateway"));
        assert!(String::from_utf8_lossy(&refused.body).contains("tenants.acme.deny.principals[0]"), "{refused:?}");
    }
    assert_eq!(client.get("/v1/usage").await.status, 403);
    assert_eq!(world.served_count(), 0);
    let line = world.log_lines(3).await.swap_remove(0);
    assert_eq!((&line["reason"], &line["principal"]), (&"principal".into(), &"user-1".into()), "{line:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_denied_is_denied_by_every_name_and_the_line_is_told() {
    let world = world(&format!(
        "{ALL}regions = [\"us-east-1\"]\nservice_tiers = [\"default\", \"flex\"]\n[tenants.acme.deny]\nmodels = [\"*opus*\"]\n\
         services = [\"bedrock-agent\"]\noperations = [\"StartAsyncInvoke\"]\n"
    ))
    .await;
    let mut client = world.h1().await;
    let opus = "tenants.acme.deny.models[0]";
    let invoke = |path: &str| post(path, "{}");
    let flex_and_priority = with(with(invoke(INVOKE), TIER, "flex"), TIER, "priority");
    let denied = [
        (call(OPUS, "converse", "{}"), opus),
        (call(&OPUS.to_uppercase(), "invoke", "{}"), opus),
        (invoke("/model/anthropic.claude-%6Fpus-4-8/converse-stream"), opus),
        (call(&foundation("us-east-1", OPUS), "converse", "{}"), opus),
        (call(&format!("us.{OPUS}"), "converse", "{}"), opus),
        (call(&format!("arn:aws:bedrock:us-east-1:9:inference-profile/us.{OPUS}"), "invoke", "{}"), opus),
        (generate(&foundation("us-east-1", OPUS)), opus),
        (chat(OPUS), opus),
        (post(MESSAGES, r#"{"mod\u0065l":"anthropic.claude-\u006fpus-4-8"}"#), opus),
        (call(&foundation("us-west-2", MODEL), "converse", "{}"), "tenants.acme.regions"),
        (call(&format!("us.{MODEL}"), "converse", "{}"), "tenants.acme.regions"),
        (chat(&format!("global.{MODEL}")), "tenants.acme.regions"),
        (generate(&foundation("eu-west-1", MODEL)), "tenants.acme.regions"),
        (invoke("/knowledgebases/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Aknowledge-base%2FK/retrieve"), "tenants.acme.regions"),
        (call(APPLICATION, "converse", "{}"), "[profiles]"),
        (call(&APPLICATION.replace("arn:aws", "ARN:aws"), "converse", "{}"), "[profiles]"),
        (generate(APPLICATION), "[profiles]"),
        (with(invoke(INVOKE), TIER, "priority"), "tenants.acme.service_tiers"),
        (flex_and_priority, "tenants.acme.service_tiers"),
        (call(MODEL, "converse", r#"{"serviceTier":{"type":"reserved"}}"#), "tenants.acme.service_tiers"),
        (with(call(MODEL, "converse", r#"{"serviceTier":{"type":"priority"}}"#), TIER, "flex"), "tenants.acme.service_tiers"),
        (
            post(CHAT, format!(r#"{{"model":"{MODEL}","service_tier":"flex","service_tier":"auto"}}"#)),
            "tenants.acme.service_tiers",
        ),
        (post("/async-invoke", json!({"modelId": MODEL, "modelInput": {}}).to_string()), "tenants.acme.deny.operations[0]"),
        (post("/agents/", "{}"), "tenants.acme.deny.services[0]"),
        (invoke(&format!("/model/{MODEL}/an-operation-of-tomorrow")), "tenants.acme.deny.operations"),
    ];
    let count = denied.len();
    for (request, rule) in denied {
        let answer = client.ask(request).await;
        assert_denied(&answer, rule);
    }
    // Of two models neither is believed.
    let answer = client.post(CHAT, format!(r#"{{"model":"{MODEL}","model":"{OPUS}"}}"#)).await;
    assert_eq!((answer.status, answer.header("x-tollgate-source")), (400, "gateway"));
    assert_eq!(world.served_count(), 0);
    let lines = world.log_lines(count + 1).await;
    let rules: Vec<&str> = lines.iter().filter_map(|line| line["rule"].as_str()).collect();
    assert_eq!((rules.len(), rules[0], rules[count - 1]), (count, opus, "tenants.acme.deny.operations"));
    world.until_sum("tollgate_denials_total", &["acme", "reason=\"region\""], 5.0).await;
    world.until_sum("tollgate_denials_total", &["acme", "reason=\"service_tier\""], 5.0).await;

    for request in [
        call(MODEL, "converse", "{}"),
        call(&foundation("us-east-1", MODEL), "invoke", "{}"),
        with(invoke(INVOKE), TIER, "flex"),
        call(MODEL, "converse", r#"{"serviceTier":{"type":"flex"}}"#),
        chat(MODEL),
        generate(&foundation("us-east-1", MODEL)),
    ] {
        let target = request.uri().to_string();
        let answer = client.ask(request).await;
        assert_eq!((answer.status, answer.header("x-tollgate-source")), (200, "bedrock"), "{target}: {answer:?}");
    }
}

fn explain(world: &World, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let output = command.args(["explain", "--tenant", "acme", "-c"]).arg(world.config_file()).args(arguments).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_says_what_the_client_is_told_and_a_reload_changes_both() {
    let restricted = format!(
        "{ALL}regions = [\"us-east-1\", \"us\"]\nservice_tiers = [\"default\"]\nallow_from = [\"127.0.0.0/8\"]\n\
         [tenants.acme.deny]\nmodels = [\"*opus*\"]\n[tenants.acme.guardrail]\nidentifier = \"gr-1\"\nversion = \"2\"\n\
         [groups.beta]\ntenants = [\"acme\"]\n[groups.beta.deny]\nmodels = [\"us.*\"]\n\
         [profiles]\n\"{APPLICATION}\" = \"us.{MODEL}\"\n"
    );
    let settings = Settings {
        issuers: issuer("test", "https://issuer.example") + "groups_claim = \"sub\"\ngroups = { \"user-1\" = \"beta\" }\n",
        ..Settings::default()
    };
    let open = format!("{}{}[groups.beta]\ntenants = [\"acme\"]\n", tenant("acme", ""), tenant("globex", ""));
    let world = World::with(Settings { tenants: open, ..settings.clone() }).await;
    let mut client = world.h1().await;
    client.post(CONVERSE, "{}").await.assert_served();
    assert!(
        world.reload(&Settings { tenants: format!("[tenants.acme]\n{restricted}{}", tenant("globex", "")), ..settings }).await
    );

    for (request, arguments) in [
        (call(OPUS, "converse", "{}"), &["--model", OPUS][..]),
        (call(APPLICATION, "converse", "{}"), &["--model", APPLICATION, "--group", "beta"]),
        (
            call(&format!("global.{MODEL}"), "invoke", "{}"),
            &["--operation", "InvokeModel", "--model", &format!("global.{MODEL}"), "--group", "beta"],
        ),
        (post(MESSAGES, format!(r#"{{"model":"{MODEL}"}}"#)), &["--operation", "Messages", "--model", MODEL]),
        (
            call(MODEL, "converse", r#"{"serviceTier":{"type":"flex"}}"#),
            &["--model", MODEL, "--service-tier", "flex", "--source", "127.0.0.1", "--group", "beta"],
        ),
    ] {
        let told = message(&client.ask(request).await);
        let (code, text) = explain(&world, arguments);
        assert_eq!((code, text.trim_end().lines().last()), (Some(1), Some(told.as_str())), "{text}");
        assert!(text.contains("policy     refuses"), "{text}");
    }
    let (code, text) = explain(&world, &["--model", APPLICATION]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("stands for us.{MODEL}\n")) && text.contains("guardrail  gr-1 version 2, put into"), "{text}");
    let (code, text) = explain(&world, &["--model", MODEL, "--source", "192.0.2.1"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("may not call from 192.0.2.1: it is not in tenants.acme.allow_from"), "{text}");
    assert_eq!(world.served_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_grants_to_its_members_by_token_by_key_and_by_what_is_vended_for_them() {
    let groups = "[groups.beta]\ntenants = [\"acme\"]\nmodels = [\"anthropic.*\"]\n";
    let groups_of_key = ["beta", "unheard-of"].map(str::to_owned);
    let key = new_api_key(&NewKeyFor { tenant: "acme", principal: None, groups: &groups_of_key, expires: None }).unwrap();
    let mut settings = vending(&["a"], "[keys]\nfile = \"keys.toml\"\n");
    settings.files.push(("keys.toml", key.entry.clone()));
    let world = World::with(Settings {
        tenants: format!(
            "[tenants.acme]\nmodels = [\"amazon.*\"]\nservices = [\"*\"]\noperations = [\"*\"]\n{}{groups}",
            tenant("globex", "")
        ),
        issuers: issuer("test", "https://issuer.example") + "groups_claim = \"sub\"\ngroups = { \"in\" = \"beta\" }\n",
        ..settings
    })
    .await;
    let token = |subject: &str| {
        world.issuer.mint("https://issuer.example", "gateway", "acme", subject, Duration::from_secs(600), SystemTime::now())
    };
    let mut client = world.h1().await;
    client.authorization = format!("Bearer {}", token("out"));
    assert_denied(&client.post(CONVERSE, "{}").await, "tenants.acme.models. ");
    client.authorization = format!("Bearer {}", token("in"));
    client.post(CONVERSE, "{}").await.assert_served();
    assert_denied(&client.ask(call("meta.llama3", "converse", "{}")).await, "tenants.acme.models or groups.beta.models");

    for (subject, served) in [("in", true), ("out", false)] {
        let mut bare = world.h1().await;
        bare.authorization.clear();
        let vended = bare.ask(credentials_request(&token(subject))).await;
        assert_eq!(vended.status, 200, "{vended:?}");
        let answer = bare.ask(Signer::vended(&vended.json()).sign(Message::post(CONVERSE, "{}")).request()).await;
        assert_eq!(answer.status == 200, served, "{subject}: {answer:?}");
    }
    client.authorization = format!("Bearer {}", key.secret.expose_secret());
    client.post(CONVERSE, "{}").await.assert_served();

    // What a group may is the configuration's, whatever was verified before.
    client.authorization = format!("Bearer {}", token("in"));
    for (tenants, served) in
        [(world.settings.tenants.replace("anthropic.*", "meta.*"), false), (world.settings.tenants.clone(), true)]
    {
        assert!(world.reload(&Settings { tenants, ..world.settings.clone() }).await);
        assert_eq!(client.post(CONVERSE, "{}").await.status == 200, served);
    }
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

const GUARDED: &str = r#""guardrailConfig":{"guardrailIdentifier":"gr-1","guardrailVersion":"2"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_required_guardrail_is_put_into_every_generation_and_no_other_gets_through() {
    let world = world(&format!("{ALL}[tenants.acme.guardrail]\nidentifier = \"gr-1\"\nversion = \"2\"\n")).await;
    let mut client = world.h1().await;
    let named = |request, identifier: &str, version: &str| {
        let request = with(request, "X-Amzn-Bedrock-GuardrailIdentifier", identifier);
        if version.is_empty() { request } else { with(request, "X-Amzn-Bedrock-GuardrailVersion", version) }
    };
    for request in [
        post(INVOKE, "{}"),
        post(&format!("{INVOKE}-with-response-stream"), "{}"),
        named(post(INVOKE, "{}"), "gr-1", ""),
        named(post(INVOKE, "{}"), "gr-1", "2"),
        chat("openai.gpt-oss-120b-1:0"),
    ] {
        let target = request.uri().to_string();
        let answer = client.ask(request).await;
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        let served = world.simulator.record().requests().pop().unwrap();
        let header = |name| served.headers().filter(|(n, _)| *n == name).map(|(_, value)| value).collect::<Vec<_>>();
        assert_eq!(header("x-amzn-bedrock-guardrailidentifier"), ["gr-1"], "{target}");
        assert_eq!(header("x-amzn-bedrock-guardrailversion"), ["2"], "{target}");
    }
    let whole = format!("{{{GUARDED}}}");
    for (body, sent) in [
        (r#"{"messages":[]}"#, format!(r#"{{{GUARDED},"messages":[]}}"#)),
        ("{}", whole.clone()),
        (whole.as_str(), whole.clone()),
        (r#"{"guardrailConfig":null}"#, whole.clone()),
        (
            r#"{"guardrailConfig":{"trace":"enabled"}}"#,
            r#"{"guardrailConfig":{"guardrailIdentifier":"gr-1","guardrailVersion":"2","trace":"enabled"}}"#.to_owned(),
        ),
    ] {
        client.post(CONVERSE, body.to_owned()).await.assert_served();
        let served = world.simulator.record().requests().pop().unwrap();
        assert_eq!((served.body_sha256.as_str(), served.verdict.as_str()), (sha256(&sent).as_str(), "ok"), "{body}");
    }
    let served = world.served_count();
    let other = |config: &str| call(MODEL, "converse", format!(r#"{{"guardrailConfig":{config}}}"#));
    for request in [
        named(post(INVOKE, "{}"), "gr-2", "2"),
        named(post(INVOKE, "{}"), "gr-1", "DRAFT"),
        named(named(post(INVOKE, "{}"), "gr-1", "2"), "gr-2", ""),
        named(post(CONVERSE, "{}"), "gr-2", "1"),
        named(chat("openai.gpt-oss-120b-1:0"), "gr-2", "2"),
        other(r#"{"guardrailIdentifier":"gr-2","guardrailVersion":"2"}"#),
        other(r#"{"guardrailIdentifier":"gr-1","guardrailVersion":"1"}"#),
        other(r#"{"guardrail\u0049dentifier":"gr-2"}"#),
        other(r#"{"guardrailIdentifier":"gr-1","guardrailIdentifier":"gr-2"}"#),
        other(r#"{},"guardrailConfig":{"guardrailIdentifier":"gr-2"}"#),
        other(r#"[]"#),
        post(CONVERSE, "[]"),
        post(CONVERSE, "not json"),
        post(CONVERSE, ""),
        post(MESSAGES, format!(r#"{{"model":"{MODEL}"}}"#)),
        post("/openai/v1/responses", format!(r#"{{"model":"{MODEL}"}}"#)),
        post("/bedrock-mantle/v1/chat/completions", format!(r#"{{"model":"{MODEL}"}}"#)),
        post("/async-invoke", json!({"modelId": MODEL, "modelInput": {}}).to_string()),
        post("/agents/A/agentAliases/B/sessions/C/text", "{}"),
        generate(&foundation("us-east-1", MODEL)),
        post(&format!("/model/{MODEL}/an-operation-of-tomorrow"), "{}"),
    ] {
        let target = request.uri().to_string();
        let answer = client.ask(request).await;
        assert_denied(&answer, "tenants.acme.guardrail");
        assert_eq!(world.served_count(), served, "{target}");
    }
    let mut h2 = world.h2().await;
    let stream = h2.ask(post(&format!("/model/{MODEL}/invoke-with-bidirectional-stream"), "")).await;
    assert_denied(&stream, "tenants.acme.guardrail");
    assert_eq!(world.served_count(), served);
    client.post(&format!("/model/{MODEL}/count-tokens"), "{}").await.assert_served();
    // Nobody else's requests are touched.
    client.authorization = world.bearer("globex");
    client.post(CONVERSE, "{}").await.assert_served();
    assert_eq!(world.simulator.record().requests().pop().unwrap().body_sha256, sha256("{}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guardrail_goes_where_the_model_in_the_body_leads() {
    let world = World::with(Settings {
        sections: "[routing]\nsurface_service = \"bedrock-mantle\"\n".to_owned(),
        tenants: format!("[tenants.acme]\n{ALL}[tenants.acme.guardrail]\nidentifier = \"gr-1\"\nversion = \"2\"\n"),
        ..Settings::default()
    })
    .await;
    let mut client = world.h1().await;
    client.ask(chat("openai.gpt-oss-120b-1:0")).await.assert_served();
    assert_eq!(world.served().headers().find(|(name, _)| *name == "x-amzn-bedrock-guardrailidentifier").unwrap().1, "gr-1");
    // On bedrock-mantle no guardrail can be named.
    let other = with(chat("openai.gpt-oss-120b-1:0"), "X-Amzn-Bedrock-GuardrailIdentifier", "gr-2");
    for request in [other, chat("openai.gpt-oss-120b"), post(CHAT, "{}")] {
        assert_denied(&client.ask(request).await, "tenants.acme.guardrail");
    }
    assert_eq!(world.served_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_guardrail_sees_everything() {
    let marked = r#"{"messages":[{"role":"user","content":[{"text":"x"},{"guardContent":{"text":{"text":"y"}}}]}]}"#;
    let tagged = r#"{"prompt":"x","amazon-bedrock-guardrailConfig":{"tagSuffix":"y"}}"#;
    let lenient = format!("{ALL}[tenants.acme.guardrail]\nidentifier = \"gr-1\"\nversion = \"2\"\n");
    let world = world(&format!("{lenient}strict = true\n")).await;
    let mut client = world.h1().await;
    let late = r#"{"guardrailConfig":{"streamProcessingMode":"async"}}"#;
    for request in [post(CONVERSE, marked), post(CONVERSE, late), post(INVOKE, tagged), post(INVOKE, "not json")] {
        assert_denied(&client.ask(request).await, "tenants.acme.guardrail");
    }
    assert_eq!(world.served_count(), 0);
    for request in [post(CONVERSE, "{}"), post(INVOKE, "{}")] {
        client.ask(request).await.assert_served();
    }
    let tenants = format!("[tenants.acme]\n{lenient}{}", tenant("globex", ""));
    assert!(world.reload(&Settings { tenants, ..world.settings.clone() }).await);
    for request in [post(CONVERSE, marked), post(CONVERSE, late), post(INVOKE, tagged)] {
        client.ask(request).await.assert_served();
    }
}

/// PROXY protocol version 2, TCP over IPv4, from this address.
fn proxy_header(source: [u8; 4]) -> Vec<u8> {
    let signature = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c";
    [&signature[..], &source, &[10, 0, 0, 1], &4660u16.to_be_bytes(), &443u16.to_be_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_from_elsewhere_is_refused_everywhere_and_behind_a_balancer_the_header_counts() {
    let listener = "[[listeners]]\naddress = \"127.0.0.1:0\"\nproxy_protocol_from = [\"127.0.0.0/8\"]\n";
    let settings = vending(&["a"], "");
    let world = World::with(Settings {
        sections: settings.sections + listener,
        tenants: format!("[tenants.acme]\n{ALL}allow_from = [\"192.0.2.0/25\"]\n{}", tenant("globex", "")),
        files: settings.files,
        ..Settings::default()
    })
    .await;
    let mut client = world.h1().await;
    assert_denied(&client.post(CONVERSE, "{}").await, "may not call from 127.0.0.1: it is not in tenants.acme.allow_from");
    assert_denied(&client.get("/v1/usage").await, "tenants.acme.allow_from");
    let refused = client.ask(credentials_request(&world.token("acme"))).await;
    assert!(refused.status == 403 && String::from_utf8_lossy(&refused.body).contains("tenants.acme.allow_from"), "{refused:?}");
    let browser =
        client.ask(with(Request::builder().uri("/v1/usage").body(Upload::none()).unwrap(), "accept", "text/html")).await;
    assert!(browser.status == 403 && String::from_utf8_lossy(&browser.body).contains("tenants.acme.allow_from"), "{browser:?}");
    for line in world.log_lines(4).await {
        assert_eq!(line["rule"], "tenants.acme.allow_from", "{line}");
    }
    for (source, status) in [([192, 0, 2, 7], "200"), ([192, 0, 2, 200], "403")] {
        let mut raw = Raw::connect(world.gateway.traffic[2]).await;
        raw.write(proxy_header(source)).await;
        let bearer = world.bearer("acme");
        raw.write(format!("POST {CONVERSE} HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\nContent-Length: 2\r\n\r\n{{}}"))
            .await;
        assert!(raw.read_until("\r\n\r\n").await.starts_with(&format!("HTTP/1.1 {status} ")), "{source:?}");
    }
    assert_eq!(world.served_count(), 1);
    Client::h1(world.gateway.traffic[0], world.bearer("globex")).await.post(CONVERSE, "{}").await.assert_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_bodies_have_its_own_maximum() {
    let world = world(&format!("{ALL}body_bytes_max = 1000")).await;
    let mut client = world.h1().await;
    let body = |bytes: usize| bytes::Bytes::from(format!("\"{}\"", "x".repeat(bytes - 2)));
    client.post(INVOKE, body(1_000)).await.assert_served();
    for upload in [Upload::whole(body(1_001)), Upload::in_pieces(body(1_001), 100)] {
        let answer = world.h1().await.ask(post_upload(INVOKE, upload)).await;
        answer.assert_refused(413, "ValidationException");
        assert!(message(&answer).contains("more than 1000 bytes: tenants.acme.body_bytes_max"), "{answer:?}");
    }
    assert_eq!(world.served_count(), 1);
    Client::h1(world.gateway.traffic[0], world.bearer("globex")).await.post(INVOKE, body(1_001)).await.assert_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_show_what_may_be_used_where_they_are_filtered() {
    let narrow = "models = [\"amazon.*\", \"us.anthropic.claude-sonnet-*\"]\nservices = [\"*\"]\noperations = [\"*\"]\n";
    let world = world(&format!("{narrow}filter_lists = true")).await;
    let ids = |answer: &Answer, list: &str, id: &str| -> Vec<String> {
        let json = answer.json();
        json[list].as_array().unwrap().iter().map(|entry| entry[id].as_str().unwrap().to_owned()).collect()
    };
    for mut client in [world.h1().await, world.h2().await] {
        let answer = client.get("/foundation-models").await;
        answer.assert_served();
        assert_eq!(ids(&answer, "modelSummaries", "modelId"), ["amazon.nova-lite-v1:0", "amazon.titan-embed-text-v2:0"]);
        let answer = client.get("/inference-profiles").await;
        let profiles = ids(&answer, "inferenceProfileSummaries", "inferenceProfileId");
        assert_eq!(profiles, ["us.anthropic.claude-sonnet-4-5-20250929-v1:0"]);
        // The connection goes on, and errors pass as they are.
        client.ask(call("amazon.nova-lite-v1:0", "converse", "{}")).await.assert_served();
        let request = Request::builder().uri("/foundation-models").body(Upload::none()).unwrap();
        let failed = client.ask(with(request, "x-simulator-throttle", "true")).await;
        assert_eq!((failed.status, failed.header("x-tollgate-source")), (429, "bedrock"));
        assert!(failed.json()["message"].is_string());
    }
    let mut other = Client::h1(world.gateway.traffic[0], world.bearer("globex")).await;
    let whole = other.get("/foundation-models").await;
    assert_eq!(whole.json()["modelSummaries"].as_array().map(Vec::len), Some(6));
    assert_eq!(whole.header("content-length"), whole.body.len().to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_in_pieces_is_filtered_and_what_is_no_list_goes_to_nobody() {
    let puppet = Puppet::start().await;
    let world = World::with(Settings {
        upstream: puppet.upstream(),
        tenants: "[tenants.acme]\nmodels = [\"amazon.*\"]\nservices = [\"*\"]\noperations = [\"*\"]\nfilter_lists = true\n"
            .to_owned(),
        ..Settings::default()
    })
    .await;
    let list = format!(
        r#"{{"modelSummaries":[{{"modelArn":"{}"}},{{"modelArn":"{}"}}]}}"#,
        foundation("us-east-1", "anthropic.claude-secret"),
        foundation("us-east-1", "amazon.nova-lite-v1:0")
    );
    let ask = async |status: &str, said: Vec<String>, whole: bool| {
        let mut client = world.h1().await;
        let get = Request::builder().uri("/foundation-models").body(Upload::none()).unwrap();
        let asking = tokio::spawn(async move { Answer::read(client.send(get).await?).await });
        let mut upstream = puppet.request().await;
        let fields = "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        upstream.say(format!("HTTP/1.1 {status}\r\n{fields}")).await;
        for piece in said {
            upstream.say_chunk(&piece).await;
        }
        if whole {
            upstream.say("0\r\n\r\n").await;
        }
        drop(upstream);
        asking.await.unwrap()
    };
    let pieces = |size: usize| list.as_bytes().chunks(size).map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect();
    for (status, size) in [("200 OK", 1), ("200 OK", 50), ("200 OK", 1_000), ("201 Created", 50), ("206 Partial Content", 50)] {
        let answer = ask(status, pieces(size), true).await.unwrap();
        assert_eq!(answer.json()["modelSummaries"].as_array().unwrap().len(), 1);
        assert_eq!(answer.status.to_string(), status[..3]);
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
    }
    let broken = [
        (pieces(50), false),
        (vec![list.replace("modelArn\":\"arn", "modelArn\":[\"arn").replace("\"}", "\"]}")], true),
        (vec![list.replace(']', "")], true),
        (vec!["\"secret\"".to_owned()], true),
    ];
    for (count, (said, whole)) in broken.into_iter().enumerate() {
        let answer = ask("200 OK", said, whole).await.unwrap();
        answer.assert_refused(502, "ServiceUnavailableException");
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"), "{answer:?}");
        let line = world.log_lines(5 + count + 1).await.pop().unwrap();
        let told = ["status", "source", "outcome"].map(|name| line[name].clone());
        assert_eq!(told, [json!(502), json!("gateway"), json!("upstream_failed")], "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_spelling_of_a_model_gets_by_its_quota_or_its_denial() {
    let world = world(&format!(
        "{ALL}[tenants.acme.deny]\nmodels = [\"openai.gpt-oss-20b-1:0\"]\n\
         [[tenants.acme.quotas]]\nname = \"none\"\nmodels = [\"openai.gpt-oss-120b-1:0\", \"*anthropic.claude-haiku-4-5-20251001-v1:0\"]\n\
         usd_per_day = \"0.000000001\"\n"
    ))
    .await;
    let mut client = world.h1().await;
    let body =
        |model: &str| json!({"model": model, "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}).to_string();
    let assert_over = |answer: &Answer| {
        let text = String::from_utf8_lossy(&answer.body);
        assert!(answer.status == 400 && text.contains("for `none`"), "{answer:?}");
    };
    for model in ["openai.gpt-oss-120b-1:0", "openai.gpt-oss-120b"] {
        for target in [CHAT, "/bedrock-mantle/openai/v1/chat/completions"] {
            assert_over(&client.post(target, body(model)).await);
        }
    }
    for model in
        ["anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-haiku-4-5-20251001-v1", "anthropic.claude-haiku-4-5"]
    {
        assert_over(&client.post(MESSAGES, body(model)).await);
        let refused = client.ask(call(model, "invoke", body(model))).await;
        assert_over(&refused);
        let (code, text) = explain(&world, &["--model", model, "--max-tokens", "10"]);
        assert!(code == Some(1) && text.contains("for `none`"), "{text}");
    }
    for model in ["openai.gpt-oss-20b-1:0", "openai.gpt-oss-20b"] {
        let refused = client.post(CHAT, body(model)).await;
        assert_eq!(refused.status, 403, "{model}");
        assert!(String::from_utf8_lossy(&refused.body).contains("tenants.acme.deny.models[0]"), "{refused:?}");
        let (code, text) = explain(&world, &["--model", model]);
        assert!(code == Some(1) && text.contains("tenants.acme.deny.models[0]"), "{text}");
    }
    client.ask(call("anthropic.claude-sonnet-4-5", "invoke", body("x"))).await.assert_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapped_profile_is_priced_and_limited_as_the_model_it_stands_for() {
    let world = world(&format!(
        "models = [\"{MODEL}\"]\nservices = [\"*\"]\noperations = [\"*\"]\n\
         [[tenants.acme.quotas]]\nname = \"haiku\"\nmodels = [\"anthropic.claude-3-haiku-*\"]\nusd_per_day = \"1\"\nmax_tokens = 500\n\
         [profiles]\n\"{APPLICATION}\" = \"{MODEL}\"\n"
    ))
    .await;
    let mut client = world.h1().await;
    let request = call(APPLICATION, "converse", r#"{"inferenceConfig":{"maxTokens":100}}"#);
    client.ask(with(request, "x-simulator-output-tokens", "90")).await.assert_served();
    let line = world.log_lines(1).await.remove(0);
    assert_eq!((&line["model"], &line["output_tokens"]), (&json!(APPLICATION), &json!(90)));
    assert_ne!(line["cost_usd"].as_str().unwrap_or("0"), "0", "{line}");
    assert!(world.served().target.contains("application-inference-profile"), "the name goes on as it came");
    let refused = client.ask(call(APPLICATION, "converse", r#"{"inferenceConfig":{"maxTokens":501}}"#)).await;
    refused.assert_refused(400, "ValidationException");
    let used: Value = client.get("/v1/usage").await.json();
    assert!(used.to_string().contains(MODEL) && !used.to_string().contains("abc123"), "{used}");
}
