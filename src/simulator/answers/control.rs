//! Control-plane and agent answers that clients look into.

use http::StatusCode;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use super::{Answer, Asked, JSON};
use crate::simulator::exchange;

/// Models that a client can pick from; any other id works as well.
const MODELS: &[(&str, &str)] = &[
    ("anthropic.claude-3-haiku-20240307-v1:0", "Anthropic"),
    ("anthropic.claude-sonnet-4-5-20250929-v1:0", "Anthropic"),
    ("amazon.nova-lite-v1:0", "Amazon"),
    ("amazon.titan-embed-text-v2:0", "Amazon"),
    ("meta.llama3-1-8b-instruct-v1:0", "Meta"),
    ("openai.gpt-oss-120b-1:0", "OpenAI"),
];

pub(super) fn foundation_models(asked: &Asked) -> Answer {
    let summary = |&(id, provider): &(&str, &str)| {
        let output = if id.contains("embed") { "EMBEDDING" } else { "TEXT" };
        json!({
            "modelArn": model_arn(asked, id),
            "modelId": id,
            "modelName": id,
            "providerName": provider,
            "inputModalities": ["TEXT"],
            "outputModalities": [output],
            "responseStreamingSupported": output == "TEXT",
            "customizationsSupported": [],
            "inferenceTypesSupported": ["ON_DEMAND"],
            "modelLifecycle": {"status": "ACTIVE"},
        })
    };
    answer(&json!({"modelSummaries": MODELS.iter().map(summary).collect::<Vec<_>>()}))
}

pub(super) fn inference_profiles(asked: &Asked) -> Answer {
    let region = asked.region;
    let summary = |&(id, _): &(&str, &str)| {
        json!({
            "inferenceProfileName": format!("US {id}"),
            "description": "Made up by the simulator",
            "createdAt": "2026-01-01T00:00:00Z",
            "updatedAt": "2026-01-01T00:00:00Z",
            "inferenceProfileArn": format!("arn:aws:bedrock:{region}:123456789012:inference-profile/us.{id}"),
            "models": [{"modelArn": model_arn(asked, id)}],
            "inferenceProfileId": format!("us.{id}"),
            "status": "ACTIVE",
            "type": "SYSTEM_DEFINED",
        })
    };
    answer(&json!({"inferenceProfileSummaries": MODELS[..2].iter().map(summary).collect::<Vec<_>>()}))
}

pub(super) fn guardrail() -> Answer {
    answer(&json!({
        "usage": {
            "topicPolicyUnits": 1,
            "contentPolicyUnits": 1,
            "wordPolicyUnits": 1,
            "sensitiveInformationPolicyUnits": 0,
            "sensitiveInformationPolicyFreeUnits": 0,
            "contextualGroundingPolicyUnits": 0,
        },
        "action": "NONE",
        "outputs": [],
        "assessments": [{}],
        "guardrailCoverage": {"textCharacters": {"guarded": 1, "total": 1}},
    }))
}

/// The sources as they came, each a little less relevant than the one before it; as many as are asked for.
pub(super) fn reranked(asked: &Asked) -> Answer {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Request {
        sources: Vec<IgnoredAny>,
        reranking_configuration: Configuration,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Configuration {
        bedrock_reranking_configuration: Wanted,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Wanted {
        number_of_results: Option<usize>,
    }
    let request: Request = serde_json::from_slice(asked.body).unwrap_or_default();
    let wanted = request.reranking_configuration.bedrock_reranking_configuration.number_of_results;
    let result = |index: usize| json!({"index": index, "relevanceScore": 1.0 / (index + 1) as f64});
    let results: Vec<Value> = (0..request.sources.len()).take(wanted.unwrap_or(usize::MAX)).map(result).collect();
    answer(&json!({"results": results}))
}

pub(super) fn retrieved() -> Answer {
    let result = |score: f64, text: &str| {
        json!({
            "content": {"type": "TEXT", "text": text},
            "location": {"type": "S3", "s3Location": {"uri": "s3://simulator/document.txt"}},
            "metadata": {"x-amz-bedrock-kb-source-uri": "s3://simulator/document.txt"},
            "score": score,
        })
    };
    answer(&json!({"retrievalResults": [result(0.75, "The simulator knows this."), result(0.5, "And this.")]}))
}

fn model_arn(asked: &Asked, id: &str) -> String {
    format!("arn:aws:bedrock:{}::foundation-model/{id}", asked.region)
}

fn answer(body: &Value) -> Answer {
    exchange::json(StatusCode::OK, JSON, body.to_string())
}
