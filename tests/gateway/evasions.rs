//! Ways around a tenant's lists and limits: each spelling of a request that the gateway could read otherwise than Bedrock does.

use http::{Method, Request};
use serde_json::json;

use crate::{
    accounts::until_ledger,
    client::{Client, Upload, post, post_upload, with},
    harness::{CONVERSE, MODEL, Settings, World, tenant},
};

const NARROW: &str = "amazon.nova-lite-v1:0";
const OPUS: &str = "anthropic.claude-opus-4-1-20250805-v1:0";
const HARNESS: &str = "/harnesses/invoke?harnessArn=arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Aharness%2Fh-1";
const TARGET: &str = "x-amz-target";
const AUTOMATION: &str = "AmazonBedrockKeystoneRuntimeService";

/// acme has these lines beside the rights to every service and operation; globex may everything.
async fn world(acme: &str) -> World {
    let acme = format!("[tenants.acme]\nservices = [\"*\"]\noperations = [\"*\"]\n{acme}\n");
    World::with(Settings { tenants: acme + &tenant("globex", ""), ..Settings::default() }).await
}

async fn narrow() -> World {
    world(&format!("models = [\"{NARROW}\"]")).await
}

async fn globex(world: &World) -> Client {
    Client::h1(world.gateway.traffic[0], world.bearer("globex")).await
}

fn harness(model: &str) -> String {
    json!({"messages": [], "model": {"bedrockModelConfig": {"modelId": model}}}).to_string()
}

fn bare(method: Method, target: &str) -> Request<Upload> {
    Request::builder().method(method).uri(target).body(Upload::none()).unwrap()
}

/// Bodies of which parsers more lenient than the gateway's make `plain`, a JSON object.
fn half_read(plain: &str) -> Vec<Vec<u8>> {
    let inner = &plain[1..];
    let deep = |levels: usize| format!("{{\"a\":{}{},{inner}", "[".repeat(levels), "]".repeat(levels));
    vec![
        format!("\u{feff}{plain}").into_bytes(),
        plain.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        plain.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        format!("{{\"a\":\"\\ud800\",{inner}").into_bytes(),
        format!("{{\"a\":1e400,{inner}").into_bytes(),
        format!("{{\"a\":NaN,{inner}").into_bytes(),
        format!("{{\"a\":01,{inner}").into_bytes(),
        format!("{{\"a\":\"\t\",{inner}").into_bytes(),
        [b"{\"a\":\"\xff\",", inner.as_bytes()].concat(),
        deep(130).into_bytes(),
        format!("/**/{plain}").into_bytes(),
        format!("{plain} x").into_bytes(),
        plain.replace("}}", "},}").into_bytes(),
        [b"\x1f\x8b\x08\x00", plain.as_bytes()].concat(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_body_that_the_gateway_cannot_read_names_a_model_to_a_harness() {
    let world = narrow().await;
    let mut client = world.h1().await;
    client.post(HARNESS, harness(OPUS)).await.assert_refused(403, "AccessDeniedException");
    for body in half_read(&harness(OPUS)) {
        let answer = client.post(HARNESS, body.clone()).await;
        let said = String::from_utf8_lossy(&body).into_owned();
        assert_eq!((answer.status, answer.header("x-tollgate-source")), (400, "gateway"), "{said}");
    }
    assert_eq!(world.served_count(), 0);
    client.post(HARNESS, harness(NARROW)).await.assert_served();
    // What takes any bytes and runs nobody's model by name does so still.
    let runtime = "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Aruntime%2Fr-1/invocations";
    client.post(runtime, &b"\xff\x00 no JSON"[..]).await.assert_served();
    // Where nothing is restricted the rest is for AWS to complain of; of a harness its model is charged, so that has to be read.
    let mut client = globex(&world).await;
    client.post("/web-search/w-1/invoke", "no JSON").await.assert_served();
    let before = world.served_count();
    for body in half_read(&harness(OPUS)) {
        client.post(HARNESS, body).await;
    }
    let served = world.served_count() - before;
    let lines = world.log_lines(1 + 14 + 3 + 14).await.split_off(18);
    let passed: Vec<_> = lines.iter().filter(|line| line["status"] == 200).collect();
    assert_eq!(passed.len(), served);
    assert!(served < 14 && passed.iter().all(|line| line["model"] == OPUS), "{passed:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn regions_hold_for_every_arn_of_path_query_head_and_body() {
    let world = world("models = [\"*\"]\nregions = [\"us-east-1\"]").await;
    let mut client = world.h1().await;
    let automation = |profile: &str, key: &str| {
        let body = json!({
            "inputConfiguration": {"s3Uri": "s3://bucket/in"},
            "outputConfiguration": {"s3Uri": "s3://bucket/out"},
            "dataAutomationProfileArn": profile,
            "encryptionConfiguration": {"kmsKeyId": key},
        });
        with(post("/", body.to_string()), TARGET, &format!("{AUTOMATION}.InvokeDataAutomationAsync"))
    };
    let profile = |region: &str, id: &str| format!("arn:aws:bedrock:{region}:123456789012:data-automation-profile/{id}");
    let key = |region: &str| format!("arn:aws:kms:{region}:123456789012:key/k-1");
    let own = profile("us-east-1", "data-automation-v1");
    let elsewhere = HARNESS.replace("us-east-1", "eu-west-1");
    let tool = |arn: &str| {
        json!({"messages": [], "model": {"bedrockModelConfig": {"modelId": NARROW}},
            "tools": [{"config": {"agentCoreGateway": {"gatewayArn": arn}}}]})
        .to_string()
    };
    let gateway = |region: &str| format!("arn:aws:bedrock-agentcore:{region}:123456789012:gateway/g-1");
    let lambda = |region: &str| json!({"lambda": format!("arn:aws:lambda:{region}:123456789012:function:f")}).to_string();
    let guardrail = |region: &str| {
        let arn = format!("arn:aws:bedrock:{region}:123456789012:guardrail/g-1");
        with(post(CONVERSE, "{}"), "x-amzn-bedrock-guardrailidentifier", &arn)
    };
    let cross = |identifier: &str| {
        let body = json!({"name": "g", "crossRegionConfig": {"guardrailProfileIdentifier": identifier}});
        post("/guardrails", body.to_string())
    };
    let us = "arn:aws:bedrock:us-east-1:123456789012:guardrail-profile/us.guardrail.v1:0";
    for (request, region) in [
        (automation(&profile("us-east-1", "us.data-automation-v1"), &key("us-east-1")), "us"),
        (automation(&profile("eu-west-1", "data-automation-v1"), &key("us-east-1")), "eu-west-1"),
        (automation(&own, &key("eu-west-1")), "eu-west-1"),
        (post(&elsewhere, harness(NARROW)), "eu-west-1"),
        (post(&elsewhere.replace("harnessArn", "h%61rnessArn").replace("eu-west", "%65u-w%65st"), harness(NARROW)), "eu-west-1"),
        (post(HARNESS, tool(&gateway("eu-west-1"))), "eu-west-1"),
        (post("/agents/", lambda("eu-west-1")), "eu-west-1"),
        (cross(us), "us"),
        (cross("us.guardrail.v1:0"), "us"),
        (guardrail("eu-west-1"), "eu-west-1"),
    ] {
        let target = request.uri().to_string();
        let answer = client.ask(request).await;
        answer.assert_refused(403, "AccessDeniedException");
        let said = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(said.contains(&format!("use the region {region}: ")), "{target}: {said}");
    }
    assert_eq!(world.served_count(), 0);
    for request in [
        automation(&own, &key("us-east-1")),
        post(HARNESS, tool(&gateway("us-east-1"))),
        post("/agents/", lambda("us-east-1")),
        post("/agents/", json!({"agentResourceRoleArn": "arn:aws:iam::123456789012:role/r"}).to_string()),
        guardrail("us-east-1"),
        // What is said to a model names nothing.
        post(CONVERSE, json!({"messages": [{"role": "user", "content": [{"text": key("eu-west-1")}]}]}).to_string()),
    ] {
        client.ask(request).await.assert_served();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_harness_is_charged_and_limited_by_the_model_that_it_is_told_to_use() {
    let acme = tenant("acme", "")
        + &format!("[[tenants.acme.quotas]]\nname = \"haiku\"\nmodels = [\"{MODEL}\"]\ntokens_per_day = 40\nmax_tokens = 50\n");
    let sections = "[ledger]\nfile = \"ledger.sqlite\"\n".to_owned();
    let world = World::with(Settings { tenants: acme + &tenant("globex", ""), sections, ..Settings::default() }).await;
    let mut client = world.h1().await;
    let asking = |model: &str, tokens: u64| {
        json!({"messages": [], "maxTokens": tokens, "model": {"bedrockModelConfig": {"modelId": model, "maxTokens": tokens}}})
            .to_string()
    };
    let capped = client.post(HARNESS, asking(MODEL, 51)).await;
    capped.assert_refused(400, "ValidationException");
    assert!(String::from_utf8_lossy(&capped.body).contains("51"), "{capped:?}");
    let two = asking(MODEL, 50).replacen("\"model\":{", &format!("\"model\":{{\"x\":{{\"modelId\":\"{NARROW}\"}},"), 1);
    client.post(HARNESS, two).await.assert_refused(400, "ValidationException");
    let twice =
        asking(MODEL, 50).replacen('{', &format!("{{\"model\":{{\"bedrockModelConfig\":{{\"modelId\":\"{NARROW}\"}}}},"), 1);
    client.post(HARNESS, twice).await.assert_refused(400, "ValidationException");
    // A name in the conversation is none to charge by, nor to refuse where nothing is restricted.
    let said = |model: &str| {
        json!({"messages": [{"content": [{"toolUse": {"input": {"model": "any/make"}}}]}],
            "model": {"bedrockModelConfig": {"modelId": model}}, "maxTokens": 50})
        .to_string()
    };
    for body in [asking(MODEL, 50), said(MODEL)] {
        let refused = client.post(HARNESS, body).await;
        assert_eq!((refused.status, refused.header("x-tollgate-source")), (400, "gateway"), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.body).contains("haiku"), "{refused:?}");
    }
    assert_eq!(world.served_count(), 0);
    client.post(HARNESS, said(NARROW)).await.assert_served();
    let sums = until_ledger(&world, 1).await;
    assert!(sums.cost.0 > 0, "{sums:?}");
    let line = world.log_lines(6).await.pop().unwrap();
    assert_eq!((&line["model"], &line["operation"]), (&json!(NARROW), &json!("InvokeHarness")), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_escaped_path_is_of_the_surface_that_it_is_routed_to() {
    let world = crate::accounts::with_quota(&format!("models = [\"{MODEL}\"]\nmax_tokens = 50")).await;
    let mut client = world.h1().await;
    for (path, key) in [
        ("/%6fpenai/v1/chat/completions", "max_tokens"),
        ("/bedrock-mantle/%761/chat/completions", "max_tokens"),
        ("/%61nthropic/v1/messages", "max_tokens"),
    ] {
        let answer = client.post(path, json!({"model": MODEL, "messages": [], key: 51}).to_string()).await;
        assert_eq!((answer.status, answer.header("x-tollgate-source")), (400, "gateway"), "{path}: {answer:?}");
        assert!(answer.json()["error"]["message"].as_str().is_some_and(|text| text.contains("51")), "{path}: {answer:?}");
    }
    assert_eq!(world.served_count(), 0);
    for line in world.log_lines(3).await {
        assert_eq!(line["model"], MODEL, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_operations_of_a_surface_need_a_body_only_to_name_a_model() {
    let world = narrow().await;
    let unnamed = [
        (Method::GET, "/v1/organization/projects"),
        (Method::GET, "/v1/files"),
        (Method::GET, "/v1/responses/resp_1/input_items"),
        (Method::GET, "/bedrock-mantle/v1/files"),
        (Method::DELETE, "/v1/files/file-1"),
        (Method::POST, "/v1/batches/batch_1/cancel"),
    ];
    let multipart = || post_upload("/v1/files", Upload::whole("--x\r\n\r\n{\"a\":1}\r\n--x--".into()));
    for (mut client, restricted) in [(world.h1().await, true), (globex(&world).await, false)] {
        for (method, target) in &unnamed {
            let answer = client.ask(bare(method.clone(), target)).await;
            assert_eq!(answer.header("x-tollgate-source"), "bedrock", "{target}: {answer:?}");
        }
        let expected = if restricted { "gateway" } else { "bedrock" };
        for request in [multipart(), post("/v1/batches", r#"{"input_file_id":"file-1"}"#), post("/v1/files", "[]")] {
            let answer = client.ask(request).await;
            assert_eq!(answer.header("x-tollgate-source"), expected, "{answer:?}");
        }
        // What is known names its model, or is refused.
        let answer = client.post("/openai/v1/chat/completions", "no JSON").await;
        assert_eq!((answer.status, answer.header("x-tollgate-source")), (400, "gateway"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_operations_of_a_surface_run_no_model_but_those_of_the_list() {
    let world = narrow().await;
    let mut client = world.h1().await;
    let batches = "/bedrock-mantle/anthropic/v1/messages/batches";
    let batch = |outer: Option<&str>, inner: &str| {
        let mut body = json!({"requests": [{"params": {"model": NARROW}}, {"params": {"model": inner}}]});
        if let Some(outer) = outer {
            body["model"] = outer.into();
        }
        body.to_string()
    };
    for body in [batch(Some(NARROW), OPUS), batch(Some(OPUS), NARROW), batch(None, OPUS)] {
        let answer = client.post(batches, body.clone()).await;
        assert_eq!((answer.status, answer.header("x-tollgate-source")), (403, "gateway"), "{body}: {answer:?}");
    }
    for body in half_read(&batch(Some(NARROW), NARROW)) {
        let answer = client.post(batches, body).await;
        assert_eq!((answer.status, answer.header("x-tollgate-source")), (400, "gateway"), "{answer:?}");
    }
    assert_eq!(world.served_count(), 0);
    for body in [batch(Some(NARROW), NARROW), batch(None, NARROW)] {
        let answer = client.post(batches, body).await;
        assert_eq!(answer.header("x-tollgate-source"), "bedrock", "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_alias_is_given_no_throughput_of_another_model() {
    let world = narrow().await;
    let mut client = world.h1().await;
    let alias = |throughput: &str| {
        json!({"agentAliasName": "a", "routingConfiguration": [{"agentVersion": "1", "provisionedThroughput": throughput}]})
            .to_string()
    };
    let opaque = "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefghijkl";
    for (method, target) in [(Method::PUT, "/agents/A1/agentaliases/"), (Method::PUT, "/agents/A1/agentaliases/B1/")] {
        for throughput in [opaque, "my-throughput"] {
            let mut request = post(target, alias(throughput));
            *request.method_mut() = method.clone();
            client.ask(request).await.assert_refused(403, "AccessDeniedException");
        }
    }
    assert_eq!(world.served_count(), 0);
}
