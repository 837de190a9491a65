//! What a request may generate, by which name, and what is written in its place.

use super::*;

fn capped(operation: &str, model: &str, body: &str, most: u64) -> Option<String> {
    let whole = pieces(body, usize::MAX);
    let edited = Ask::read(named(operation), Some(model), &whole).with_max_tokens(&whole, most).map(|pieces| joined(&pieces));
    for length in 1..body.len().min(40) {
        let cut = pieces(body, length);
        let again = Ask::read(named(operation), Some(model), &cut).with_max_tokens(&cut, most);
        assert_eq!(again.map(|pieces| joined(&pieces)), edited, "in pieces of {length}");
    }
    edited
}

#[test]
fn each_shape_names_its_limit_and_takes_a_lower_one() {
    for (operation, model, body, with_five) in [
        ("Converse", CLAUDE, r#"{"inferenceConfig":{"maxTokens":100}}"#, r#"{"inferenceConfig":{"maxTokens":5}}"#),
        ("InvokeModel", CLAUDE, r#"{"max_tokens": 100 ,"x":1}"#, r#"{"max_tokens": 5 ,"x":1}"#),
        ("InvokeModel", "anthropic.claude-v2", r#"{"max_tokens_to_sample":100}"#, r#"{"max_tokens_to_sample":5}"#),
        (
            "InvokeModel",
            "amazon.nova-lite-v1:0",
            r#"{"inferenceConfig":{"maxTokens":100}}"#,
            r#"{"inferenceConfig":{"maxTokens":5}}"#,
        ),
        (
            "InvokeModel",
            "eu.amazon.nova-lite-v1:0",
            r#"{"inferenceConfig":{"max_new_tokens":100}}"#,
            r#"{"inferenceConfig":{"max_new_tokens":5}}"#,
        ),
        (
            "InvokeModel",
            "amazon.titan-text-express-v1",
            r#"{"textGenerationConfig":{"maxTokenCount":100}}"#,
            r#"{"textGenerationConfig":{"maxTokenCount":5}}"#,
        ),
        ("InvokeModel", "meta.llama3-1-8b-instruct-v1:0", r#"{"max_gen_len":1e2}"#, r#"{"max_gen_len":5}"#),
        ("InvokeModel", "mistral.mistral-large-2407-v1:0", r#"{"max_tokens":100}"#, r#"{"max_tokens":5}"#),
        ("InvokeModel", "cohere.command-r-v1:0", r#"{"max_tokens":100}"#, r#"{"max_tokens":5}"#),
        ("InvokeModel", "ai21.jamba-1-5-large-v1:0", r#"{"max_tokens":100}"#, r#"{"max_tokens":5}"#),
        (
            "InvokeModelWithResponseStream",
            "openai.gpt-oss-20b-1:0",
            r#"{"max_completion_tokens":100}"#,
            r#"{"max_completion_tokens":5}"#,
        ),
        ("InvokeModel", "us.twelvelabs.pegasus-1-2-v1:0", r#"{"maxOutputTokens":100}"#, r#"{"maxOutputTokens":5}"#),
        ("InvokeModel", ARN, r#"{"max_gen_len":100}"#, r#"{"max_gen_len":5}"#),
        (
            "ChatCompletions",
            "x",
            r#"{"max_tokens":4,"max_completion_tokens":100}"#,
            r#"{"max_tokens":4,"max_completion_tokens":5}"#,
        ),
        ("Responses", "x", r#"{"max_output_tokens":100}"#, r#"{"max_output_tokens":5}"#),
        ("Messages", "x", r#"{"max_tokens":100}"#, r#"{"max_tokens":5}"#),
        ("Messages", "x", r#"{"max_tokens":100,"max\u005ftokens":7}"#, r#"{"max_tokens":5,"max\u005ftokens":5}"#),
    ] {
        assert_eq!(ask(operation, model, body).max_tokens, Some(100), "{operation} {model}");
        assert_eq!(capped(operation, model, body, 5).as_deref(), Some(with_five), "{operation} {model}");
        assert_eq!(capped(operation, model, body, 100).as_deref(), Some(body), "{operation} {model}");
    }
}

#[test]
fn names_that_limit_nothing_are_not_believed() {
    for (operation, model, body) in [
        ("Converse", CLAUDE, r#"{"maxTokens":1,"max_tokens":1,"messages":[{"inferenceConfig":{"maxTokens":1}}]}"#),
        ("Converse", CLAUDE, r#"{"additionalModelRequestFields":{"max_tokens":1}}"#),
        ("Converse", CLAUDE, r#"{"inferenceConfig":{"maxTokens":1},"inferenceConfig":{}}"#),
        ("InvokeModel", "amazon.nova-lite-v1:0", r#"{"max_tokens":1}"#),
        ("Messages", "x", r#"{"messages":[{"max_tokens":1}],"metadata":{"max_tokens":1}}"#),
        ("Messages", "x", r#"{"max_tokens":null}"#),
        ("Messages", "x", r#"{"max_tokens":"1"}"#),
        ("Messages", "x", r#"{"max_tokens":-1}"#),
        ("Messages", "x", r#"{"max_tokens":1,"max_tokens":null}"#),
        ("Messages", "x", r#"{"max_tokens":1"#),
        ("InvokeAgent", "x", r#"{"max_tokens":1}"#),
    ] {
        assert_eq!(ask(operation, model, body).output_max(), None, "{operation} {body}");
    }
}

/// The one that has the limit, or the one that has not: nobody knows which is read.
#[test]
fn a_limit_in_an_object_that_stands_there_twice_is_not_believed_and_what_is_beside_it_changes_nothing() {
    const TITAN: &str = "amazon.titan-text-lite-v1";
    for (operation, model, body) in [
        ("Converse", CLAUDE, r#"{"inferenceConfig":{"maxTokens":1},"inferenceConfig":{}}"#),
        ("Converse", CLAUDE, r#"{"inferenceConfig":{"maxTokens":1},"inferenceConfig":null}"#),
        ("Converse", CLAUDE, r#"{"inferenceConfig":[{"maxTokens":1},{}]}"#),
        ("Converse", CLAUDE, r#"{"inferenceConfig":{"maxTokens":1},"inferenceConfig":[]}"#),
        ("Converse", CLAUDE, r#"{"textGenerationConfig":{},"inferenceConfig":{"maxTokens":1},"inferenceConfig":{}}"#),
        ("InvokeModel", TITAN, r#"{"inferenceConfig":{},"textGenerationConfig":{"maxTokenCount":1},"textGenerationConfig":{}}"#),
        ("InvokeModel", ARN, r#"{"textGenerationConfig":{},"inferenceConfig":{"maxTokens":1},"inference\u0043onfig":{}}"#),
        ("InvokeHarness", "x", r#"{"model":{"bedrockModelConfig":{"additionalParams":{"max_tokens":1},"additionalParams":{}}}}"#),
    ] {
        assert_eq!(ask(operation, model, body).output_max(), None, "{operation} {body}");
        assert_eq!(capped(operation, model, body, 5), None, "{operation} {body}");
    }
    for (operation, body) in [
        ("Converse", r#"{"textGenerationConfig":{},"inferenceConfig":{"maxTokens":9},"textGenerationConfig":{}}"#),
        ("Messages", r#"{"inferenceConfig":{},"max_tokens":9,"inferenceConfig":{}}"#),
        ("InvokeHarness", r#"{"maxTokens":9,"inferenceConfig":{},"inferenceConfig":{}}"#),
    ] {
        assert_eq!(ask(operation, CLAUDE, body).max_tokens, Some(9), "{operation} {body}");
        assert_eq!(capped(operation, CLAUDE, body, 5), Some(body.replace('9', "5")), "{operation} {body}");
    }
}

#[test]
fn a_limit_that_is_null_beside_another_is_as_good_as_not_there() {
    for (operation, model, body, max) in [
        ("ChatCompletions", "x", r#"{"max_tokens":50,"max_completion_tokens":null}"#, Some(50)),
        ("ChatCompletions", "x", r#"{"max_tokens":null,"max_completion_tokens":50}"#, Some(50)),
        (
            "Converse",
            CLAUDE,
            r#"{"inferenceConfig":{"maxTokens":50},"additionalModelRequestFields":{"max_tokens":null}}"#,
            Some(50),
        ),
        ("InvokeModel", "amazon.nova-lite-v1:0", r#"{"inferenceConfig":{"maxTokens":null,"max_new_tokens":50}}"#, Some(50)),
        // Which of the two is read nobody knows, or the other says nothing.
        ("ChatCompletions", "x", r#"{"max_tokens":50,"max_completion_tokens":50,"max_completion_tokens":null}"#, None),
        ("ChatCompletions", "x", r#"{"max_tokens":"50","max_completion_tokens":null}"#, None),
        ("Converse", CLAUDE, r#"{"inferenceConfig":{"maxTokens":null},"additionalModelRequestFields":{"max_tokens":50}}"#, None),
    ] {
        assert_eq!(ask(operation, model, body).max_tokens, max, "{body}");
        let lowered = capped(operation, model, body, 5).unwrap();
        match max {
            Some(_) => assert_eq!(lowered, body.replace("50", "5")),
            None => assert!(!lowered.contains("50") && !lowered.contains("null"), "{lowered}"),
        }
    }
}

/// Every one costs memory, and nobody who means it writes as many.
#[test]
fn more_limits_than_anybody_writes_are_not_believed() {
    let body = |times: usize| format!("{{{}\"messages\":[]}}", r#""max_tokens":9,"#.repeat(times));
    assert_eq!(ask("Messages", "x", &body(16)).max_tokens, Some(9));
    assert_eq!(capped("Messages", "x", &body(16), 5), Some(body(16).replace('9', "5")));
    assert_eq!(ask("Messages", "x", &body(17)).max_tokens, None);
    assert_eq!(capped("Messages", "x", &body(17), 5), None);
}

/// Whether AWS puts them in the place of its own is not told. They let nothing be generated that is not held, and nobody above a cap.
#[test]
fn a_providers_own_limits_beside_that_of_converse_raise_it_and_are_lowered_with_it() {
    for own in [
        r#""max_tokens":5000"#,
        r#""maxTokens":5000"#,
        r#""max_gen_len":5000"#,
        r#""max_tokens_to_sample":5000"#,
        r#""inferenceConfig":{"maxTokens":5000}"#,
        r#""inferenceConfig":{"topK":1,"max_new_tokens":5000}"#,
        r#""textGenerationConfig":{"maxTokenCount":5000}"#,
    ] {
        let body = format!(r#"{{"inferenceConfig":{{"maxTokens":10}},"additionalModelRequestFields":{{{own}}}}}"#);
        assert_eq!(ask("Converse", "amazon.nova-lite-v1:0", &body).max_tokens, Some(5000), "{own}");
        let lowered = body.replace("5000", "50");
        assert_eq!(capped("Converse", "amazon.nova-lite-v1:0", &body, 50).as_deref(), Some(&*lowered), "{own}");
        // Alone they lower nothing.
        let alone = body.replacen(r#""inferenceConfig":{"maxTokens":10},"#, "", 1);
        assert_eq!(ask("Converse", "amazon.nova-lite-v1:0", &alone).output_max(), None, "{own}");
    }
}

#[test]
fn what_is_no_text_has_no_tokens_to_limit() {
    for model in [
        "amazon.nova-canvas-v1:0",
        "amazon.nova-reel-v1:1",
        "amazon.nova-2-multimodal-embeddings-v1:0",
        "amazon.rerank-v1:0",
        "amazon.titan-image-generator-v2:0",
        "cohere.rerank-v3-5:0",
        "luma.ray-v2:0",
        "stability.sd3-5-large-v1:0",
        "us.stability.stable-image-inpaint-v1:0",
        "arn:aws:bedrock:us-west-2::foundation-model/stability.stable-image-ultra-v1:1",
        "us.twelvelabs.marengo-embed-3-0-v1:0",
    ] {
        let ask = ask("InvokeModel", model, r#"{"max_tokens":9,"inferenceConfig":{"maxTokens":9}}"#);
        assert_eq!((ask.generates, ask.output_max()), (false, Some(0)), "{model}");
        let invoke = named("InvokeModel");
        assert_eq!(Ask::is_uncounted(invoke, model), !model.contains("embed"), "{model}");
    }
    let images = |n: &str| {
        ask("InvokeModel", "amazon.nova-canvas-v1:0", &format!(r#"{{"imageGenerationConfig":{{"numberOfImages":{n}}}}}"#))
    };
    assert_eq!(["3", "3.0", "null", r#""3""#].map(|n| images(n).choices), [3, 3, 1, 3]);
    for model in ["amazon.nova-lite-v1:0", "amazon.nova-2-omni-v1:0", "amazon.titan-text-lite-v1", "cohere.command-r-v1:0", ARN] {
        assert!(ask("InvokeModel", model, "{}").generates, "{model}");
    }
}

#[test]
fn a_name_of_the_operators_own_generates_whatever_words_it_has() {
    for model in [
        "acme.llama-embedded",
        "acme.embed",
        "embed",
        "my-amazon.titan-embed-text",
        "acme-luma.writer",
        "arn:aws:bedrock:us-east-1:1:custom-model-deployment/embed",
    ] {
        let own = ask("InvokeModel", model, r#"{"max_tokens":9}"#);
        assert_eq!((own.generates, own.output_max()), (true, Some(9)), "{model}");
        assert!(!Ask::is_uncounted(named("InvokeModel"), model), "{model}");
    }
    for model in [
        "amazon.titan-embed-g1-text-02",
        "eu.amazon.nova-2-multimodal-embeddings-v1:0",
        "cohere.embed-v4:0",
        "global.cohere.embed-v4:0",
        "arn:aws:bedrock:us-east-1:1:inference-profile/us.cohere.embed-v4:0",
        "arn:aws:bedrock:us-east-1::foundation-model/twelvelabs.marengo-embed-2-7-v1:0",
    ] {
        assert!(!ask("InvokeModel", model, r#"{"max_tokens":9}"#).generates, "{model}");
    }
}

#[test]
fn a_limit_is_inserted_where_none_is_named() {
    for (operation, model, body, expected) in [
        ("Converse", CLAUDE, "{}", Some(r#"{"inferenceConfig":{"maxTokens":5}}"#)),
        ("Converse", CLAUDE, " { \"a\":1}", Some(r#" {"inferenceConfig":{"maxTokens":5}, "a":1}"#)),
        ("Converse", CLAUDE, r#"{"inferenceConfig":{ }}"#, Some(r#"{"inferenceConfig":{"maxTokens":5 }}"#)),
        ("Converse", CLAUDE, r#"{"inferenceConfig":{"a":{}}}"#, Some(r#"{"inferenceConfig":{"maxTokens":5,"a":{}}}"#)),
        ("Converse", CLAUDE, r#"{"inferenceConfig":null}"#, Some(r#"{"inferenceConfig":{"maxTokens":5}}"#)),
        (
            "Converse",
            CLAUDE,
            r#"{"additionalModelRequestFields":{"max_tokens":9},"inferenceConfig":{}}"#,
            Some(r#"{"additionalModelRequestFields":{"max_tokens":5},"inferenceConfig":{"maxTokens":5}}"#),
        ),
        ("Converse", CLAUDE, r#"{"inferenceConfig":{"maxTokens":9},"inferenceConfig":{}}"#, None),
        (
            "InvokeModel",
            "amazon.titan-text-lite-v1",
            r#"{"inputText":"x"}"#,
            Some(r#"{"textGenerationConfig":{"maxTokenCount":5},"inputText":"x"}"#),
        ),
        ("ChatCompletions", "x", r#"{"n":2}"#, Some(r#"{"max_completion_tokens":5,"n":2}"#)),
        ("Messages", "x", r#"{"max_tokens":null}"#, Some(r#"{"max_tokens":5}"#)),
        ("Messages", "x", r#"{"max_tokens":"9\""}"#, Some(r#"{"max_tokens":5}"#)),
        ("InvokeModel", "us.deepseek.r1-v1:0", "{}", Some(r#"{"max_tokens":5}"#)),
        ("InvokeModel", "deepseek.v3-v1:0", "{}", Some(r#"{"max_completion_tokens":5}"#)),
        ("InvokeModel", ARN, "{}", None),
        ("InvokeModel", "cohere.embed-english-v3", "{}", None),
        ("InvokeModel", "twelvelabs.pegasus-1-2-v1:0", "{}", Some(r#"{"maxOutputTokens":5}"#)),
        ("Messages", "x", "[]", None),
        ("Messages", "x", "{", None),
        ("Messages", "x", "", None),
    ] {
        assert_eq!(capped(operation, model, body, 5).as_deref(), expected, "{operation} {body}");
    }
}

#[test]
fn thoughts_that_do_not_fit_into_the_limit_come_on_top_of_it() {
    let most = |budget: u64| {
        let body = json!({"max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": budget}});
        ask("InvokeModel", CLAUDE, &body.to_string()).output_max()
    };
    assert_eq!([1024, 1999, 2000, 100_000].map(most), [Some(2000), Some(2000), Some(4000), Some(102_000)]);
    assert_eq!(most(u64::MAX), Some(u64::MAX));
}

#[test]
fn no_limit_is_lowered_whose_thoughts_would_go_beyond_it_all_the_same() {
    for (limit, budget, lowered) in [
        ("9000", 90, Some("100")),
        ("9000", 100, None),
        ("40", 90, None),
        ("40", 60, Some("40")),
        ("null", 90, Some("100")),
        ("null", 100, None),
    ] {
        let body = |limit: &str| format!(r#"{{"max_tokens":{limit},"thinking":{{"type":"enabled","budget_tokens":{budget}}}}}"#);
        assert_eq!(capped("Messages", CLAUDE, &body(limit), 100), lowered.map(body), "{limit} {budget}");
    }
}

/// Whatever it passes on to its model beside its own limit counts with it.
#[test]
fn a_harness_is_held_to_the_largest_limit_that_it_passes_on() {
    for (config, most) in [
        (r#""bedrockModelConfig":{"maxTokens":50}"#, 50),
        (r#""bedrockModelConfig":{"maxTokens":50,"additionalParams":{"max_tokens":64000}}"#, 64_000),
        (r#""bedrockModelConfig":{"maxTokens":50,"additionalParams":{"thinking":{"budget_tokens":60000}}}"#, 60_050),
        (r#""openAiModelConfig":{"additionalParams":{"max_completion_tokens":700}}"#, 700),
        (r#""liteLlmModelConfig":{"maxTokens":9999}"#, 9_999),
    ] {
        let body = format!(r#"{{"maxTokens":40,"model":{{{config}}}}}"#);
        assert_eq!(ask("InvokeHarness", "x", &body).answer_max(), Some(most), "{body}");
    }
    let several = r#"{"inferenceConfig":{"maxTokens":50},"additionalModelRequestFields":{"n":16}}"#;
    assert_eq!(ask("Converse", "ai21.jamba-1-5-large-v1:0", several).output_max(), Some(800));
}

proptest! {
    #[test]
    fn an_edited_body_is_what_serde_makes_of_it(
        text in any::<String>(), limit in prop::option::of(0u64..1000), most in 0u64..1000, length in 1usize..50, pretty in any::<bool>(),
    ) {
        let mut body = json!({"messages": [{"content": [{"text": text}]}], "inferenceConfig": {"temperature": 1}});
        if let Some(limit) = limit {
            body["inferenceConfig"]["maxTokens"] = json!(limit);
        }
        let written = if pretty { serde_json::to_string_pretty(&body).unwrap() } else { body.to_string() };
        let cut = pieces(&written, length);
        let ask = Ask::read(named("Converse"), Some(CLAUDE), &cut);
        prop_assert_eq!(ask.max_tokens, limit);
        let edited = joined(&ask.with_max_tokens(&cut, most).unwrap());
        body["inferenceConfig"]["maxTokens"] = json!(limit.map_or(most, |limit| limit.min(most)));
        prop_assert_eq!(serde_json::from_str::<Value>(&edited).unwrap(), body);
    }

    #[test]
    fn no_bytes_make_it_panic(cut in prop::collection::vec(any::<Vec<u8>>(), 0..6), operation in 0usize..523) {
        let cut: Vec<Bytes> = cut.into_iter().map(Bytes::from).collect();
        let ask = Ask::read(&operations()[operation], Some(ARN), &cut);
        ask.with_max_tokens(&cut, 1);
        let _ = ask.asking_for_usage(&cut);
    }
}
