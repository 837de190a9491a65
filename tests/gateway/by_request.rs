//! What is charged as a request: the limits it meets all the same, and what it costs.

use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use serde_json::json;
use tollgate::{
    ledger::{Entry, Reader},
    pricing::NanoUsd,
};

use crate::{
    accounts::{until_ledger, with_upstream},
    client::Answer,
    conversation::encoded,
    harness::{Settings, World, tenant},
    puppet::Puppet,
};

const AGENT: &str = "/agents/A/agentAliases/B/sessions/s/text";

/// One request, what the upstream says to it, and the body that came there.
async fn ask(world: &World, puppet: &Puppet, target: &'static str, body: &'static str, said: &[u8]) -> (Answer, String) {
    let mut client = world.h1().await;
    let asking = tokio::spawn(async move { client.post(target, body).await });
    let mut upstream = puppet.accept().await;
    let sent = upstream.read_body().await;
    upstream.say(said).await;
    (asking.await.unwrap(), sent)
}

fn json(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into()
}

/// A price list, and `acme` with this in its section.
async fn with_prices(puppet: &Puppet, acme: &str, prices: &str) -> World {
    World::with(Settings {
        tenants: tenant("acme", "") + acme,
        sections: "[ledger]\nfile = \"ledger.sqlite\"\n[prices]\nfile = \"prices.toml\"\n".to_owned(),
        upstream: puppet.upstream(),
        files: vec![("prices.toml", prices.to_owned())],
        ..Settings::default()
    })
    .await
}

/// The rows of so many requests, the oldest first.
async fn rows(world: &World, requests: u32) -> Vec<Entry> {
    until_ledger(world, requests.into()).await;
    let mut rows = Reader::open(world.directory.path().join("ledger.sqlite")).unwrap().recent(None, requests).unwrap();
    rows.reverse();
    rows
}

/// An agent's answer, with a trace of what its model used.
fn traced(input: u64, output: u64) -> Vec<u8> {
    let header = |name: &'static str, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let usage = format!(r#"{{"inputTokens":{input},"outputTokens":{output}}}"#);
    let invocation = format!(r#"{{"modelInvocationOutput":{{"metadata":{{"usage":{usage}}}}}}}"#);
    let trace = Message::new(format!(r#"{{"trace":{{"orchestrationTrace":{invocation}}}}}"#))
        .add_header(header(":event-type", "trace"))
        .add_header(header(":content-type", "application/json"))
        .add_header(header(":message-type", "event"));
    let body = encoded(&trace);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n";
    [format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_an_operation_tells_that_nobody_knows_are_charged_at_the_price_of_its_model() {
    let puppet = Puppet::start().await;
    let budget = "[[tenants.acme.quotas]]\nusd_per_day = \"0.04\"\n";
    let world = with_prices(&puppet, budget, "[requests]\nUnknown = \"0.001\"\n").await;
    let compact = "/openai/v1/responses/compact";
    let (known, strange) = (r#"{"model":"openai.gpt-oss-120b-1:0","input":"x"}"#, r#"{"model":"mine","input":"x"}"#);
    let used = json(r#"{"id":"r","usage":{"input_tokens":50000,"output_tokens":60000,"total_tokens":110000}}"#);
    for (body, said) in [(strange, &used), (known, &json("{}")), (known, &used)] {
        ask(&world, &puppet, compact, body, said).await.0.assert_served();
    }
    let rows = rows(&world, 3).await;
    let told: Vec<_> = rows.iter().map(|row| (row.usage.output_tokens, row.by_request)).collect();
    assert_eq!(told, [(60_000, true), (0, true), (60_000, false)]);
    assert_eq!((rows[0].cost, rows[1].cost), (NanoUsd(1_000_000), NanoUsd(1_000_000)), "what a request costs");
    assert!(rows[2].cost > NanoUsd(10_000_000) && !rows[2].price_source.contains("request"), "{:?}", rows[2]);
    assert_eq!(world.h1().await.post(compact, known).await.status, 402, "the budget is spent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_tokens_are_counted_is_refused_once_they_are_spent() {
    for quota in ["tokens_per_day = 1_000", "input_tokens_per_day = 1_000", "output_tokens_per_month = 700"] {
        let puppet = Puppet::start().await;
        let world = with_upstream(&puppet, quota, "").await;
        let body = r#"{"inputText":"hello","enableTrace":true}"#;
        ask(&world, &puppet, AGENT, body, &traced(1_100, 700)).await.0.assert_served();
        let sums = until_ledger(&world, 1).await;
        assert_eq!((sums.usage.input_tokens, sums.usage.output_tokens), (1_100, 700));
        // The row is written when the account has it.
        let refused = world.h1().await.post(AGENT, body).await;
        refused.assert_refused(400, "ServiceQuotaExceededException");
        assert_eq!(until_ledger(&world, 1).await.requests, 1, "{quota}");
    }
}

/// They have no field for it, and refuse a body that has one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_on_max_tokens_and_a_small_minute_leave_images_and_ranks_alone() {
    for quota in ["max_tokens = 50\nmax_tokens_over = \"lower\"", "max_tokens = 50", "tokens_per_minute = 5_000"] {
        let puppet = Puppet::start().await;
        let world = with_upstream(&puppet, quota, "").await;
        for (target, body) in [
            ("/model/amazon.nova-canvas-v1%3A0/invoke", r#"{"taskType":"TEXT_IMAGE"}"#),
            ("/model/stability.sd3-5-large-v1%3A0/invoke", r#"{"prompt":"a cat"}"#),
            ("/model/cohere.rerank-v3-5%3A0/invoke", r#"{"query":"cats","documents":["a cat"]}"#),
        ] {
            let (answer, sent) = ask(&world, &puppet, target, body, &json("{}")).await;
            answer.assert_served();
            assert_eq!(sent, body, "{quota} {target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_costs_nothing_for_want_of_a_price_is_flagged_and_a_price_of_nothing_is_a_price() {
    let puppet = Puppet::start().await;
    let world = with_prices(&puppet, "", "[requests]\nRerank = \"0.002\"\nGenerateQuery = \"0\"\n").await;
    let completion = r#"{"choices":[{"text":"x"}],"usage":{"prompt_tokens":7,"completion_tokens":5}}"#;
    let cases = [
        ("/rerank", "{}", 2_000_000, "per request", 0),
        ("/generateQuery", "{}", 0, "per request", 0),
        ("/guardrail/g/version/1/apply", "{}", 0, "unpriced", 0),
        ("/model/acme.unheard-of/frobnicate", completion, 0, "unpriced", 12),
    ];
    for (target, answer, ..) in cases {
        ask(&world, &puppet, target, "{}", &json(answer)).await.0.assert_served();
    }
    for ((target, _, cost, source, tokens), row) in cases.into_iter().zip(rows(&world, 4).await) {
        let charged = (row.cost.0, &*row.price_source, row.usage.total(), row.by_request);
        assert_eq!(charged, (cost, source, tokens, true), "{target}");
    }
    let metrics = world.until_sum("tollgate_charged_by_request_total", &["acme"], 4.0).await;
    assert_eq!(metrics.sum("tollgate_unpriced_requests_total", &["acme"]), 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_refuses_an_operation_without_a_price_by_its_own_name() {
    let puppet = Puppet::start().await;
    let budget = "[[tenants.acme.quotas]]\nusd_per_day = \"1\"\n";
    let world = with_prices(&puppet, budget, "[requests]\nGenerateQuery = \"0\"\n").await;
    for (target, name) in [
        ("/model/anthropic.claude-3-haiku-20240307-v1%3A0/frobnicate", "operation Unknown"),
        ("/rerank", "operation Rerank"),
        ("/model/acme.unheard-of/invoke", "model acme.unheard-of"),
    ] {
        let refused = world.h1().await.post(target, "{}").await;
        refused.assert_refused(400, "ValidationException");
        let text = String::from_utf8_lossy(&refused.body).into_owned();
        assert!(text.contains(&format!("The {name} has no price")), "{text}");
    }
    ask(&world, &puppet, "/generateQuery", "{}", &json("{}")).await.0.assert_served();
}

const CANVAS: &str = "/model/amazon.nova-canvas-v1%3A0/invoke";
const HAIKU: &str = "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_costs_what_the_models_requests_cost_and_a_budget_knows_how_many() {
    let puppet = Puppet::start().await;
    let budget = "[[tenants.acme.quotas]]\nusd_per_day = \"0.20\"\ntokens_per_minute = 1_000\n";
    let world = with_prices(&puppet, budget, "[models.\"amazon.nova-canvas-v1:0\"]\nrequest = \"0.04\"\n").await;
    let three = r#"{"taskType":"TEXT_IMAGE","imageGenerationConfig":{"numberOfImages":3}}"#;
    let image = json(r#"{"images":["iVBORw0KGgo"]}"#);
    ask(&world, &puppet, CANVAS, three, &image).await.0.assert_served();
    let refused = world.h1().await.post(CANVAS, three).await;
    refused.assert_refused(400, "ServiceQuotaExceededException");
    assert!(String::from_utf8_lossy(&refused.body).contains("this request may cost 0.12"), "{refused:?}");
    ask(&world, &puppet, CANVAS, "{}", &image).await.0.assert_served();
    for (row, cost) in rows(&world, 2).await.iter().zip([120_000_000, 40_000_000]) {
        let charged = (row.cost.0, &*row.price_source, row.usage.total(), row.by_request, row.estimated);
        assert_eq!(charged, (cost, "per request", 0, true, false));
    }
    let metrics = world.until_sum("tollgate_charged_by_request_total", &["acme"], 2.0).await;
    assert_eq!(metrics.sum("tollgate_unpriced_requests_total", &["acme"]), 0.0);
    assert_eq!(metrics.sum("tollgate_cost_usd_total", &["acme", "amazon.nova-canvas-v1:0"]), 0.16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_without_a_price_is_charged_by_request_and_not_in_tokens_that_nobody_told() {
    let puppet = Puppet::start().await;
    let world = with_upstream(&puppet, "tokens_per_day = 1_000", "").await;
    ask(&world, &puppet, CANVAS, "{}", &json(r#"{"images":["iVBORw0KGgo"]}"#)).await.0.assert_served();
    let row = rows(&world, 1).await.remove(0);
    let charged = (row.cost.0, &*row.price_source, row.usage.total(), row.by_request, row.estimated);
    assert_eq!(charged, (0, "unpriced", 0, true, false));
    world.until_sum("tollgate_unpriced_requests_total", &["acme"], 1.0).await;
}

/// <https://aws.amazon.com/bedrock/pricing/>: a query is up to 100 documents, of up to 512 tokens with the query's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_documents_are_ranked_for_one_price_and_more_or_longer_ones_for_several() {
    let puppet = Puppet::start().await;
    let prices = "[requests]\nRerank = \"0.001\"\n[models.\"cohere.rerank-v3-5:0\"]\nrequest = \"0.002\"\n";
    let world = with_prices(&puppet, "[[tenants.acme.quotas]]\nusd_per_day = \"0.1\"\n", prices).await;
    let long = "a cat ".repeat(400);
    let invoke_with = |text: &str, count: usize| json!({"query": "cats", "documents": vec![text; count]}).to_string();
    let invoke = |count: usize| invoke_with("a cat", count);
    let api_with = |text: &str, count: usize, model: &str| {
        let source = json!({"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}}});
        let model = json!({"modelConfiguration": {"modelArn": format!("arn:aws:bedrock:us-west-2::foundation-model/{model}")}});
        let queries = json!([{"type": "TEXT", "textQuery": {"text": "cats"}}]);
        json!({"queries": queries, "sources": vec![source; count], "rerankingConfiguration": {"bedrockRerankingConfiguration": model}})
            .to_string()
    };
    let api = |count: usize, model: &str| api_with("a cat", count, model);
    const INVOKE: &str = "/model/cohere.rerank-v3-5%3A0/invoke";
    let asked = [
        (INVOKE, invoke(100), 2_000_000),
        (INVOKE, invoke(250), 6_000_000),
        ("/rerank", api(101, "cohere.rerank-v3-5:0"), 4_000_000),
        ("/rerank", api(201, "amazon.rerank-v1:0"), 3_000_000),
        // 1,000 tokens each.
        (INVOKE, invoke_with(&long, 100), 4_000_000),
        ("/rerank", api_with(&long, 100, "amazon.rerank-v1:0"), 2_000_000),
    ];
    for (target, body, _) in &asked {
        ask(&world, &puppet, target, body.clone().leak(), &json(r#"{"results":[]}"#)).await.0.assert_served();
    }
    for ((target, _, cost), row) in asked.iter().zip(rows(&world, 6).await) {
        assert_eq!((row.cost.0, row.by_request, row.estimated), (*cost, true, false), "{target}");
    }
    let refused = world.h1().await.post(INVOKE, invoke(5_000)).await;
    refused.assert_refused(400, "ServiceQuotaExceededException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_costs_nothing_costs_what_the_operator_says() {
    let puppet = Puppet::start().await;
    let budget = "[[tenants.acme.quotas]]\nusd_per_day = \"1\"\n";
    let world = with_prices(&puppet, budget, "[requests]\nCreateGuardrail = \"0.6\"\n").await;
    ask(&world, &puppet, "/guardrails", "{}", &json("{}")).await.0.assert_served();
    let row = rows(&world, 1).await.remove(0);
    assert_eq!((row.cost.0, &*row.price_source, &*row.request.operation), (600_000_000, "per request", "CreateGuardrail"));
    world.h1().await.post("/guardrails", "{}").await.assert_refused(400, "ServiceQuotaExceededException");
}

/// A tier that has no price of its own is charged as the standard one, which says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_price_that_is_known_in_part_is_flagged_under_the_models_name() {
    let puppet = Puppet::start().await;
    let world = with_prices(&puppet, "", "[models.\"acme.model\"]\nprices = [{ input = \"1\", output = \"5\" }]\n").await;
    let usage = r#"{"usage":{"inputTokens":7,"outputTokens":5}}"#;
    for body in ["{}", r#"{"serviceTier":{"type":"priority"}}"#] {
        ask(&world, &puppet, "/model/acme.model/converse", body, &json(usage)).await.0.assert_served();
    }
    let sources: Vec<_> = rows(&world, 2).await.into_iter().map(|row| row.price_source).collect();
    assert_eq!(sources.iter().map(|source| source.contains("unpriced: tier")).collect::<Vec<_>>(), [false, true], "{sources:?}");
    let metrics = world.until_sum("tollgate_unpriced_requests_total", &["acme"], 1.0).await;
    assert_eq!(metrics.sum("tollgate_tokens_total", &["acme", "acme.model"]), 24.0);
}

/// Bedrock charges the guardrail alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_that_a_guardrail_refuses_costs_nothing() {
    let puppet = Puppet::start().await;
    let world = with_upstream(&puppet, "tokens_per_day = 1_000", "").await;
    let target = "/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke";
    let body = r#"{"max_tokens":500,"messages":[{"role":"user","content":"x"}]}"#;
    let blocked = r#"{"content":[{"type":"text","text":"No."}],"amazon-bedrock-guardrailAction":"INTERVENED"}"#;
    ask(&world, &puppet, target, body, &json(blocked)).await.0.assert_served();
    let told = r#"{"content":[],"usage":{"input_tokens":3,"output_tokens":4}}"#;
    ask(&world, &puppet, target, body, &json(told)).await.0.assert_served();
    assert_eq!(rows(&world, 1).await[0].usage.total(), 7);
    assert_eq!(until_ledger(&world, 1).await.requests, 1);
}

/// A price by request says what a model costs, not that its tokens are free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_writes_tokens_is_held_to_them_though_it_is_priced_by_request() {
    let puppet = Puppet::start().await;
    let limits = "[[tenants.acme.quotas]]\nmax_tokens = 500\ntokens_per_day = 1_000\n";
    let prices = "[models.\"anthropic.claude-3-haiku-20240307-v1:0\"]\nrequest = \"0.01\"\n";
    let world = with_prices(&puppet, limits, prices).await;
    let over = world.h1().await.post(HAIKU, r#"{"inferenceConfig":{"maxTokens":501}}"#).await;
    over.assert_refused(400, "ValidationException");
    let body = r#"{"inferenceConfig":{"maxTokens":500}}"#;
    let answer = json(r#"{"usage":{"inputTokens":300,"outputTokens":400}}"#);
    ask(&world, &puppet, HAIKU, body, &answer).await.0.assert_served();
    let row = rows(&world, 1).await.remove(0);
    let charged = (row.cost.0, &*row.price_source, row.usage.total(), row.by_request, row.estimated);
    assert_eq!(charged, (10_000_000, "per request", 700, true, false));
    world.h1().await.post(HAIKU, body).await.assert_refused(400, "ServiceQuotaExceededException");
}
