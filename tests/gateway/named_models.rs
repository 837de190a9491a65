//! Quotas for a model bind, and its sums are kept, where only the body says which it is.

use serde_json::json;
use tollgate::ledger::{By, Reader, Selection};

use crate::{
    accounts::until_ledger,
    client::post,
    explain::{assert_explained, explain, message},
    harness::{Settings, World, tenant},
};

const REEL: &str = "amazon.nova-reel-v1:0";
const PRICES: &str = "[requests]\nStartAsyncInvoke = \"0.6\"\nRerank = \"0.6\"\nRetrieveAndGenerate = \"0.6\"\nInvokeInlineAgent = \"0.6\"\n\
                      CreateModelInvocationJob = \"0.6\"\n";

/// `acme` may use every model, and $1 a day of those that a glob has.
async fn with_budget(models: &str) -> World {
    let acme = tenant("acme", "") + &format!("[[tenants.acme.quotas]]\nmodels = [\"{models}\"]\nusd_per_day = \"1\"\n");
    World::with(Settings {
        tenants: acme,
        sections: "[ledger]\nfile = \"ledger.sqlite\"\n[prices]\nfile = \"prices.toml\"\n".to_owned(),
        files: vec![("prices.toml", PRICES.to_owned())],
        ..Settings::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_for_a_model_binds_wherever_a_body_names_it() {
    let haiku = "anthropic.claude-3-haiku-20240307-v1:0";
    let arn = format!("arn:aws:bedrock:us-east-1::foundation-model/{haiku}");
    let of_base = json!({"knowledgeBaseId": "K", "modelArn": arn});
    let ranked = json!({"bedrockRerankingConfiguration": {"modelConfiguration": {"modelArn": arn}}});
    for (path, model, body) in [
        ("/async-invoke", REEL, json!({"modelInput": {"modelId": "decoy"}, "modelId": REEL})),
        ("/retrieveAndGenerate", haiku, json!({"retrieveAndGenerateConfiguration": {"knowledgeBaseConfiguration": of_base}})),
        ("/rerank", haiku, json!({"rerankingConfiguration": ranked})),
        ("/agents/S", haiku, json!({"foundationModel": haiku, "instruction": "x"})),
        ("/model-invocation-job", haiku, json!({"jobName": "j", "modelId": haiku})),
    ] {
        let world = with_budget(&format!("*{}*", &model[..20])).await;
        let mut client = world.h1().await;
        client.ask(post(path, body.to_string())).await.assert_served();
        let refused = client.ask(post(path, body.to_string())).await;
        refused.assert_refused(400, "ServiceQuotaExceededException");
        until_ledger(&world, 1).await;
        let reader = Reader::open(world.directory.path().join("ledger.sqlite")).unwrap();
        let sums = reader.usage(&Selection::default(), By::Model).unwrap();
        assert_eq!((sums.len(), &*sums[0].0.name, sums[0].1.cost.0), (1, model, 600_000_000), "{path}");
        let line = world.log_lines(2).await.pop().unwrap();
        assert_eq!(line["model"], body["modelId"].as_str().or(body["foundationModel"].as_str()).unwrap_or(&arn), "{line:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_names_are_no_way_around_the_budget_of_one_and_other_models_pass() {
    let world = with_budget("amazon.nova-reel*").await;
    let mut client = world.h1().await;
    let invoke = |body: &str| post("/async-invoke", body.to_owned());
    for body in [
        r#"{"modelId":"luma.ray-v2:0","modelId":"amazon.nova-reel-v1:0"}"#,
        r#"{"modelId":"amazon.nova-reel-v1:0","mod\u0065lId":"luma.ray-v2:0"}"#,
        r#"{"modelId":"amazon.nova-reel-v1:0"} {}"#,
    ] {
        let refused = client.ask(invoke(body)).await;
        refused.assert_refused(400, "ValidationException");
    }
    assert_eq!(world.served_count(), 0);
    for _ in 0..3 {
        client
            .ask(invoke(r#"{"modelId":"luma.ray-v2:0","modelInput":{"modelId":"amazon.nova-reel-v1:0"}}"#))
            .await
            .assert_served();
    }
    client.ask(invoke(r#"{"modelId":"amazon.nova-reel-v1:0"}"#)).await.assert_served();
    let refused = client.ask(invoke(r#"{"modelId":"amazon.nova-reel-v1:0"}"#)).await;
    until_ledger(&world, 4).await;
    let explained = explain(&world, &["--operation", "StartAsyncInvoke", "--model", REEL]);
    assert_explained(&explained, "400 ServiceQuotaExceededException", &message(&refused));
}

/// A member that AWS does not know, or a document, has the name of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decoy_is_not_what_a_request_is_charged_as() {
    let haiku = "anthropic.claude-3-haiku-20240307-v1:0";
    let ranked = json!({"bedrockRerankingConfiguration": {"modelConfiguration": {"modelArn": haiku}}});
    let decoy = json!({"inlineDocumentSource": {"jsonDocument": {"modelId": "amazon.rerank-v1:0"}}});
    let of_base = json!({"knowledgeBaseId": "K", "modelArn": haiku});
    let overridden = json!({"promptConfigurations": [{"promptType": "ORCHESTRATION", "foundationModel": haiku}]});
    for (path, body) in [
        ("/rerank", json!({"modelId": "amazon.rerank-v1:0", "sources": [decoy], "rerankingConfiguration": ranked})),
        ("/async-invoke", json!({"model": "amazon.rerank-v1:0", "modelId": haiku})),
        (
            "/retrieveAndGenerate",
            json!({"modelId": "amazon.nova-lite-v1:0",
                   "retrieveAndGenerateConfiguration": {"knowledgeBaseConfiguration": of_base}}),
        ),
        (
            "/agents/S",
            json!({"model": "amazon.nova-lite-v1:0", "foundationModel": haiku, "promptOverrideConfiguration": overridden}),
        ),
    ] {
        let world = with_budget("*claude-3-haiku*").await;
        let mut client = world.h1().await;
        client.ask(post(path, body.to_string())).await.assert_served();
        client.ask(post(path, body.to_string())).await.assert_refused(400, "ServiceQuotaExceededException");
    }
    // Several that run, of which one has a budget.
    let world = with_budget("*claude-3-haiku*").await;
    let agent = json!({"foundationModel": "amazon.nova-lite-v1:0", "promptOverrideConfiguration": overridden});
    world.h1().await.ask(post("/agents/S", agent.to_string())).await.assert_refused(400, "ValidationException");
    let team = json!({"foundationModel": "amazon.nova-lite-v1:0", "collaborators": [{"foundationModel": haiku}]});
    world.h1().await.ask(post("/agents/S", team.to_string())).await.assert_refused(400, "ValidationException");
    assert_eq!(world.served_count(), 0);
}

/// Whatever a client calls its own attributes, and whatever the list of models: they are no models.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attributes_and_documents_name_no_models() {
    let acme = tenant("acme", "").replace("models = [\"*\"]", "models = [\"amazon.*\"]");
    let world = World::with(Settings { tenants: acme, ..Settings::default() }).await;
    let mut client = world.h1().await;
    for (path, body) in [
        (
            "/agents/A/agentAliases/B/sessions/s/text",
            json!({"inputText": "x", "sessionState": {"sessionAttributes": {"carModel": "Audi A3/S3"}}}),
        ),
        ("/flows/F/aliases/A", json!({"inputs": [{"content": {"document": {"dataModel": "star/snowflake"}}}]})),
    ] {
        client.ask(post(path, body.to_string())).await.assert_served();
    }
    client
        .ask(post("/agents/S", json!({"foundationModel": "Audi A3/S3"}).to_string()))
        .await
        .assert_refused(403, "AccessDeniedException");
}

/// Jackson, which AWS's services parse with, finds out by itself in which encoding a body is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_in_another_encoding_hides_no_model() {
    let world = World::with(Settings { tenants: tenant("acme", ""), ..Settings::default() }).await;
    let mut client = world.h1().await;
    let router = "arn:aws:bedrock:us-east-1:111122223333:default-prompt-router/r:1";
    let text = json!({"foundationModel": router}).to_string();
    client.ask(post("/agents/S", text.clone())).await.assert_refused(403, "AccessDeniedException");
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    client.ask(post("/agents/S", wide)).await.assert_refused(400, "ValidationException");
    assert_eq!(world.served_count(), 0);
}
