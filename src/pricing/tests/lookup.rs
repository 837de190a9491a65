//! Which names have which price.

use super::*;

/// Input price and source, `-` without a price.
fn found(model: &str) -> String {
    let Some(price) = PriceBook::bundled().price(model, now()) else { return "-".to_owned() };
    let (_, source, _, rates) = price.table().next().unwrap();
    format!("{} {}", rates.input, source.strip_prefix("genai-prices 0.2.1").unwrap().trim_start()).trim_end().to_owned()
}

#[test]
fn names_that_aws_documents_are_found() {
    for (model, expected) in [
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", "3.30 regional"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.30 regional"),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.30 regional"),
        ("apac.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.30 regional"),
        ("jp.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.30 regional"),
        ("au.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.30 regional"),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.30 regional"),
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.00 global"),
        ("anthropic.claude-sonnet-4-5", "3.30 regional"),
        ("claude-sonnet-4-5-20250929", "3.30 regional"),
        ("anthropic.claude-opus-4-5-20251101-v1:0", "5.50 regional"),
        ("global.anthropic.claude-opus-4-5-20251101-v1:0", "5.00 global"),
        ("anthropic.claude-opus-4-6-v1", "5.50 regional"),
        ("anthropic.claude-sonnet-4-6", "3.30 regional"),
        ("us.anthropic.claude-sonnet-4-6", "3.30 regional"),
        ("global.anthropic.claude-opus-5-5", "4.00 global"),
        ("amazon.nova-lite-v1:0", "0.06"),
        ("us.amazon.nova-lite-v1:0", "0.06"),
        ("amazon.nova-lite", "0.06"),
        ("openai.gpt-oss-120b-1:0", "0.15"),
        ("openai.gpt-oss-120b", "0.15"),
        ("mistral.mistral-7b-instruct-v0:2", "0.15"),
        ("amazon.titan-embed-text-v2:0", "0.02"),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "0.06"),
        (
            "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "3.30 regional",
        ),
        (
            "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "3.00 global",
        ),
    ] {
        assert_eq!(found(model), expected, "{model}");
    }
}

#[test]
fn a_name_that_only_resembles_one_has_no_price() {
    for model in [
        "",
        "anthropic.claude-sonnet-4-5-foo",
        "anthropic.claude-sonnet-4-5-20250929-v1:0-foo",
        "anthropic.claude-sonnet-4-5-20250929-v1:1",
        "anthropic.claude-sonnet-4-5-20250929-v2:0",
        "anthropic.claude-sonnet-4-5-20250930-v1:0",
        "anthropic.claude-opus-4-5-20270101-v1:0",
        "xanthropic.claude-sonnet-4-5-20250929-v1:0",
        "my.us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "us.us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "Anthropic.Claude-Sonnet-4-5-20250929-v1:0",
        " amazon.nova-lite-v1:0",
        "amazon.nova-lite-v1:0:24k",
        "amazon.nova-lite-v2:0",
        "anthropic.claude-3-5-sonnet", // two releases
        "nvidia.nemotron-nano-9b",
        "global.amazon.nova-lite-v1:0",
        "global.anthropic.claude-3-haiku-20240307-v1:0",
        "us-gov.amazon.nova-lite-v1:0",
        "eu.openai.gpt-6-sol",
        "amazon.nova-2-sonic-v1:0",
        "cohere.embed-v4:0",
        "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abcdefghijkl",
        "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1:111122223333:provisioned-model/amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1:111122223333:custom-model-deployment/amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1:111122223333:imported-model/amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1:111122223333:default-prompt-router/amazon.nova-lite-v1:0",
    ] {
        assert_eq!(found(model), "-", "{model}");
    }
}
