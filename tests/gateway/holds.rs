//! What is held before a request goes: as much as it may come to, by whatever name its model goes.

use crate::harness::{Settings, World, tenant};

/// `acme` with a quota, prices of its own, and what else the configuration says.
async fn with_prices(quota: &str, sections: &str, prices: String) -> World {
    let sections = format!("[ledger]\nfile = \"ledger.sqlite\"\n[prices]\nfile = \"prices.toml\"\n{sections}");
    let tenants = format!("{}[[tenants.acme.quotas]]\n{quota}\n", tenant("acme", ""));
    World::with(Settings { tenants, sections, files: vec![("prices.toml", prices)], ..Settings::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_with_a_price_of_its_own_holds_what_its_model_can_write() {
    let profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123";
    let prices = format!("[[models.\"{profile}\".prices]]\ninput = \"4\"\noutput = \"20\"\n");
    let profiles = format!("[profiles]\n\"{profile}\" = \"anthropic.claude-opus-4-6-v1\"\n");
    // It writes 128,000 tokens, and each counts five times.
    let world = with_prices("count_burndown = true\ntokens_per_minute = 600_000", &profiles, prices).await;
    let target = format!("/model/{}/converse", profile.replace(':', "%3A").replace('/', "%2F"));
    let refused = world.h1().await.post(&target, "{}").await;
    refused.assert_refused(400, "ValidationException");
    assert!(String::from_utf8_lossy(&refused.body).contains("640000"), "{refused:?}");
    world.h1().await.post(&target, r#"{"inferenceConfig":{"maxTokens":100000}}"#).await.assert_served();
}
