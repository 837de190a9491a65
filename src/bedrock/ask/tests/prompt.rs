//! How many tokens go in: the estimate, and the bound.

use super::*;

#[test]
fn files_are_not_counted_as_text() {
    let estimate = |body: Value| ask("Converse", CLAUDE, &body.to_string()).input_estimate;
    let image = "iVBORw0KGgo".to_owned() + &"A".repeat(1_000_000);
    let close = |estimate: u64, expected: u64| assert!((expected..expected + 60).contains(&estimate), "{estimate} {expected}");
    close(estimate(json!({"messages": [{"content": [{"image": {"format": "png", "source": {"bytes": image}}}]}]})), 2_500);
    close(estimate(json!({"image_url": {"url": format!("data:image/png;base64,{image}")}})), 2_500);
    close(estimate(json!({"source": {"type": "base64", "media_type": "image/png", "data": image}})), 2_500);
    close(estimate(json!({"source": {"data": image, "media_type": "image/png"}, "images": [image]})), 5_000);
    close(estimate(json!({"inputType": "image", "mediaSource": {"base64String": image}})), 2_500);
    close(
        estimate(
            json!({"input": [{"content": [{"type": "input_image", "image_url": format!("data:image/png;base64,{image}")}]}]}),
        ),
        2_500,
    );
    close(estimate(json!({"image_url": {"url": "https://example.com/image.png"}})), 2_500);
    close(estimate(json!({"document": {"source": {"bytes": "JVBERi0".to_owned() + &"A".repeat(400_000)}}})), 102_501);
    close(estimate(json!({"document": {"source": {"bytes": "A".repeat(8_000_000)}}})), 1_000_000);
    // Under a text's name, and with a space in it, it is text.
    assert!(estimate(json!({"text": image})) > 200_000);
    assert!(estimate(json!({"bytes": image + " a"})) > 300_000);
}

#[test]
fn tools_and_numbers_and_other_bodies_count() {
    let estimate = |body: &str| ask("InvokeModel", CLAUDE, body).input_estimate;
    assert!(estimate(r#"{"tools":[]}"#) >= 600);
    assert_eq!(estimate("[1,2,3]"), 3);
    assert_eq!(estimate("[0.123456789, 123456]"), 6 + 2);
    assert_eq!(estimate(&"1".repeat(3_000)), 1_000);
    assert_eq!(estimate("no JSON at all"), 5);
    assert_eq!(estimate(""), 0);
}

/// Requests that were recorded with their answers by those who test their own clients, and the input tokens that those answers told. Both
/// ways of holding held less, before providers' own instructions were counted.
#[test]
fn what_providers_write_before_a_prompt_is_held_with_it() {
    let capital = json!([{"role": "user", "content": [{"text": "What is the capital of France?"}]}]);
    let document = |citations: bool| {
        json!([{"role": "user", "content": [
            {"document": {"format": "txt", "name": "doc", "source": {"text": "The grass is green"}, "citations": {"enabled": citations}}},
            {"text": "What color is the grass?"}]}])
    };
    let page = "JVBERi0xLjQKMSAwIG9iaiA8PCAvVHlwZSAvQ2F0YWxvZyAvUGFnZXMgMiAwIFIgPj4gZW5kb2Jq".repeat(7);
    let tool =
        json!({"tools": [{"toolSpec": {"name": "get_time", "inputSchema": {"json": {"type": "object", "properties": {}}}}}]});
    let schema =
        r#"{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},"required":["name","age"]}"#;
    let person = json!([{"role": "user", "content": [{"text": "Generate a person named Bob"}]}]);
    let format =
        json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": schema, "name": "response"}}}});
    for (model, body, told) in [
        ("openai.gpt-oss-120b-1:0", json!({"messages": capital}), 74),
        ("us.amazon.nova-2-lite-v1:0", json!({"messages": capital}), 57),
        ("us.amazon.nova-2-lite-v1:0", json!({"messages": capital, "toolConfig": tool}), 925),
        ("us.anthropic.claude-sonnet-5", json!({"messages": document(true)}), 887),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", json!({"messages": person, "outputConfig": format}), 174),
        (
            "us.anthropic.claude-sonnet-4-6",
            json!({"messages": [{"role": "user", "content": [{"document": {"format": "pdf", "source": {"bytes": page}}}]}]}),
            1_606,
        ),
    ] {
        let ask = ask("Converse", model, &body.to_string());
        assert!((told..told + 1_700).contains(&ask.input_estimate), "{model} {body}: {}", ask.input_estimate);
        assert!(ask.input_bound >= ask.input_estimate);
    }
}

#[test]
fn a_bound_has_text_by_the_byte_and_images_by_the_table() {
    let bounded = |body: Value| {
        let text = body.to_string();
        (text.len() as u64, ask("Converse", CLAUDE, &text))
    };
    let (bytes, text) = bounded(json!({"messages": [{"content": [{"text": "9f86d081884c7d659a2feaa0c55ad015"}]}]}));
    assert_eq!(text.input_bound, bytes);
    let image = "iVBORw0KGgo".to_owned() + &"A".repeat(1_000_000);
    let (bytes, picture) =
        bounded(json!({"messages": [{"content": [{"image": {"format": "png", "source": {"bytes": image}}}]}]}));
    assert_eq!(picture.input_bound, bytes - image.len() as u64 + 2_500);
    // A text file: no more tokens than it has bytes in base64, also if it begins like an image.
    for start in ["", "UklGR", "R0lGOD"] {
        let text = start.to_owned() + &"A".repeat(40_000);
        for body in [
            json!({"document": {"format": "txt", "source": {"bytes": text}}}),
            json!({"source": {"media_type": "text/plain", "data": text}, "x": [{"media_type": "image/png"}]}),
            json!({"x": {"image": {}}, "source": {"data": text}}),
            json!({"source": [{"media_type": "image/png"}, {"data": text}]}),
            json!({"toolResult": {"content": [{"json": {"media_type": "image/png", "data": text}}]}}),
            json!({"toolUse": {"input": {"image": {"bytes": text}}}}),
            json!([{"image": "x"}, {"data": text}]),
        ] {
            let (_, file) = bounded(body);
            assert!((42_500..42_620).contains(&file.input_bound), "{} {file:?}", start);
            assert!((12_500..12_600).contains(&file.input_estimate), "{file:?}");
        }
    }
    let (bytes, text) = bounded(json!({"description": "iVBORw0KGgo".to_owned() + &"A".repeat(300) + &"字".repeat(1_000)}));
    assert!(text.input_bound >= bytes && text.input_estimate > 1_000, "{text:?}");
    let (_, tools) = bounded(json!({"tools": []}));
    assert!(tools.input_bound > 600);
    assert_eq!(ask("InvokeModel", CLAUDE, "no JSON at all").input_bound, 14);
}

/// Documents of all kinds of values, under names that mean something and names that do not.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<String>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[A-Za-z0-9+/]{250,600} ?".prop_map(Value::from),
        "iVBORw0KGgo[A-Za-z0-9+/]{250,600}".prop_map(Value::from),
        Just(json!("https://example.com/a.png")),
    ];
    let name = prop_oneof![
        "[a-z]{0,6}",
        Just("text".to_owned()),
        Just("bytes".to_owned()),
        Just("url".to_owned()),
        Just("tools".to_owned())
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let members = prop::collection::btree_map(name.clone(), inner.clone(), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::from),
            members.prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    /// The greediest tokenizer makes a token of every byte.
    #[test]
    fn no_text_has_more_tokens_than_the_bound(texts in prop::collection::vec(any::<String>(), 1..5), length in 1usize..50) {
        let content: Vec<Value> = texts.iter().map(|text| json!({"text": text})).collect();
        let body = json!({"messages": [{"role": "user", "content": content}]}).to_string();
        let ask = Ask::read(named("Converse"), Some(CLAUDE), &pieces(&body, length));
        let most: usize = texts.iter().map(String::len).sum();
        prop_assert!(ask.input_bound >= most as u64, "{} {most}", ask.input_bound);
    }

    #[test]
    fn the_bound_is_never_less_than_the_estimate(body in document(), length in 1usize..50) {
        let ask = Ask::read(named("Converse"), Some(CLAUDE), &pieces(&body.to_string(), length));
        prop_assert!(ask.input_bound >= ask.input_estimate, "{} {}", ask.input_bound, ask.input_estimate);
    }

    #[test]
    fn a_prompt_is_never_nothing_and_never_more_than_twice_its_bytes(text in ".{1,300}") {
        prop_assume!(text.chars().any(|c| c != ' '));
        let body = json!({"messages": [{"content": [{"text": text}]}]}).to_string();
        let empty = json!({"messages": [{"content": [{"text": ""}]}]}).to_string();
        let tokens = ask("Converse", CLAUDE, &body).input_estimate - ask("Converse", CLAUDE, &empty).input_estimate;
        prop_assert!(tokens > 0 && tokens <= text.len() as u64, "{tokens}");
    }
}
