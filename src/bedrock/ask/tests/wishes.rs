//! What else a request asks for: answers, a tier, caches, an answer in the background, and to be told its usage.

use super::*;

#[test]
fn the_rest_of_what_is_asked_for() {
    let ask = ask(
        "ChatCompletions",
        "x",
        r#"{"n":3,"max_tokens":2000,"stream":true,"service_tier":"flex","messages":[{"content":[{"text":"hi","cache_control":{"ttl":"1h"}}]}],
        "thinking":{"type":"enabled","budget_tokens":1024}}"#,
    );
    assert_eq!((ask.output_max(), ask.choices, ask.stream, ask.include_usage), (Some(6000), 3, true, false));
    assert_eq!((ask.tier, ask.caching, ask.thinking_budget), (Some(ServiceTier::Flex), Caching::OneHour, Some(1024)));

    let converse =
        self::ask("Converse", "x", r#"{"system":[{"cachePoint":{"type":"default"}}],"serviceTier":{"type":"priority"}}"#);
    assert_eq!((converse.tier, converse.caching), (Some(ServiceTier::Priority), Caching::FiveMinutes));
    assert_eq!(self::ask("InvokeModel", "amazon.titan-embed-text-v2:0", "{}").output_max(), Some(0));
}

/// A name that the operation does not know asks for nothing, and nothing that is said twice makes it cheaper.
#[test]
fn a_tier_is_asked_for_by_the_operations_own_name_and_of_several_it_is_the_dearest() {
    const PASSED_ON: &str = r#"{"model":{"bedrockModelConfig":{"additionalParams":{"service_tier":"flex"}}}}"#;
    let both = r#"{"serviceTier":{"type":"priority"},"service_tier":"flex"}"#;
    for (operation, body, tier) in [
        ("Converse", both, Some(ServiceTier::Priority)),
        ("Converse", r#"{"service_tier":"flex"}"#, None),
        ("Converse", r#"{"serviceTier":{"type":"priority"},"serviceTier":{"type":"flex"}}"#, Some(ServiceTier::Priority)),
        ("ChatCompletions", both, Some(ServiceTier::Flex)),
        ("ChatCompletions", r#"{"service_tier":"flex","service_tier":"priority"}"#, Some(ServiceTier::Priority)),
        ("Responses", r#"{"service_tier":"flex","service_tier":null}"#, Some(ServiceTier::Standard)),
        ("Messages", r#"{"service_tier":"priority","service_tier":"auto"}"#, Some(ServiceTier::Priority)),
        ("InvokeHarness", PASSED_ON, Some(ServiceTier::Flex)),
        ("InvokeHarness", both, None),
        ("InvokeAgent", both, None),
    ] {
        assert_eq!(ask(operation, "x", body).tier, tier, "{operation} {body}");
    }
}

#[test]
fn a_number_in_a_string_is_the_number() {
    for n in ["8", "8.0", "\"8\"", "\" 8 \"", "\"+8\"", "\"7.5\"", "\"\\u0038\""] {
        let asked = ask("ChatCompletions", "x", &format!(r#"{{"n":{n},"max_tokens":10}}"#));
        assert_eq!((asked.choices, asked.output_max()), (8, Some(80)), "{n}");
    }
    let padded = format!(r#"{{"n":"{}8","max_tokens":10}}"#, " 0".repeat(100));
    assert_eq!(ask("ChatCompletions", "x", &padded).choices, 8);
    for n in ["\"\"", "\"many\"", "\"-8\"", "null", "[]", "\"0\""] {
        assert_eq!(ask("ChatCompletions", "x", &format!(r#"{{"n":{n}}}"#)).choices, 1, "{n}");
    }
    let thinking = r#"{"max_tokens":10,"thinking":{"type":"enabled","budget_tokens":"1024"}}"#;
    assert_eq!(ask("Messages", "x", thinking).output_max(), Some(1034));
}

#[test]
fn whoever_asks_for_no_cache_gets_one_of_models_that_cache_by_themselves() {
    let caching = |operation: &str, model: &str, body: &str| ask(operation, model, body).caching;
    for model in ["openai.gpt-5.6-sol", "us.openai.gpt-5.6-sol", "gpt-5.6-sol", "deepseek.v3-v1:0", ARN] {
        assert_eq!(caching("Converse", model, "{}"), Caching::Unasked, "{model}");
    }
    for model in [CLAUDE, "claude-sonnet-4-5", "eu.amazon.nova-lite-v1:0"] {
        assert_eq!(caching("Converse", model, "{}"), Caching::Off, "{model}");
    }
    assert_eq!(caching("Responses", "openai.gpt-5.6-sol", r#"{"cache_control":{}}"#), Caching::FiveMinutes);
}

#[test]
fn only_a_response_can_be_in_the_background() {
    assert!(
        ask("Responses", "x", r#"{"background":true}"#).background
            && ask("Responses", "x", r#"{"background":"true"}"#).background
            && !ask("Responses", "x", r#"{"background":false}"#).background
            && !ask("ConverseStream", "x", r#"{"background":true}"#).background
    );
}

#[test]
fn usage_is_asked_for_only_where_it_must_be() {
    for (operation, body, expected) in [
        ("ChatCompletions", r#"{"stream":true}"#, Some(r#"{"stream_options":{"include_usage":true},"stream":true}"#)),
        (
            "ChatCompletions",
            r#"{"stream":true,"stream_options":{}}"#,
            Some(r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
        ),
        (
            "ChatCompletions",
            r#"{"stream_options":null,"stream":true}"#,
            Some(r#"{"stream_options":{"include_usage":true},"stream":true}"#),
        ),
        (
            "ChatCompletions",
            r#"{"stream":true,"stream_options":{"include_usage":false,"include_obfuscation":false}}"#,
            Some(r#"{"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}"#),
        ),
        ("ChatCompletions", r#"{"stream":true,"stream_options":{"include_usage":true}}"#, None),
        ("ChatCompletions", r#"{"stream":1}"#, Some(r#"{"stream_options":{"include_usage":true},"stream":1}"#)),
        ("ChatCompletions", r#"{"stream":"true"}"#, Some(r#"{"stream_options":{"include_usage":true},"stream":"true"}"#)),
        ("ChatCompletions", r#"{"stream":false}"#, None),
        ("ChatCompletions", r#"{"stream":null,"stream_options":{},"stream_options":{}}"#, None),
        ("ChatCompletions", r#"{"messages":[{"stream":true}]}"#, None),
        ("Messages", r#"{"stream":true}"#, None),
    ] {
        for length in 1..=body.len() {
            let cut = pieces(body, length);
            let edited = Ask::read(named(operation), None, &cut).asking_for_usage(&cut).unwrap();
            assert_eq!(edited.map(|pieces| joined(&pieces)).as_deref(), expected, "{body}");
        }
    }
    for options in [
        r#""stream_options":{"include_usage":true},"stream_options":{}"#,
        r#""stream_options":{},"stream_options":{"include_usage":true}"#,
        r#""stream_options":{"include_usage":true},"stream\u005foptions":null"#,
        r#""stream_options":{"include_usage":true,"include_usage":true}"#,
        r#""stream_options":{"include_usage":[true]}"#,
        r#""stream_options":[{"include_usage":true}]"#,
        r#""stream_options":[]"#,
    ] {
        let cut = pieces(&format!(r#"{{"stream":true,{options}}}"#), 7);
        let ask = Ask::read(named("ChatCompletions"), None, &cut);
        assert_eq!((ask.asking_for_usage(&cut), ask.include_usage), (Err(Ambiguous), false), "{options}");
    }
}
