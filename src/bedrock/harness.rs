//! The model that a harness of AgentCore is told to use: of all operations that are metered by tokens the only one, but for the surfaces', that
//! has it in the body.

use std::fmt;

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};

use super::{
    Operation,
    body::{BodyError, reader},
    json::Node,
};

/// Whether an operation's body says which model is charged.
pub fn is_harness(operation: &Operation) -> bool {
    operation.name == "InvokeHarness"
}

/// What may stand in a request's `model`: the configuration of a model of Bedrock's or of another provider, with the same below each.
pub(super) const fn configurations<F>(below: &'static [Node<F>]) -> [Node<F>; 4] {
    [
        Node::way("bedrockModelConfig", below),
        Node::way("openAiModelConfig", below),
        Node::way("geminiModelConfig", below),
        Node::way("liteLlmModelConfig", below),
    ]
}

/// The model of a request; `None`: the one that the harness was made with. A name in the conversation is none to charge by.
///
/// # Errors
/// The body is no JSON, or names two: the gateway and AWS could each believe another one.
pub fn model(pieces: &[Bytes]) -> Result<Option<String>, BodyError> {
    let invocation: Invocation = serde_json::from_reader(reader(pieces))?;
    Ok(invocation.model.and_then(|Configured(model)| model))
}

#[derive(Deserialize)]
struct Invocation {
    model: Option<Configured>,
}

/// A union: `{"bedrockModelConfig":{"modelId":…}}`, or that of another provider, or of one that is new.
struct Configured(Option<String>);

#[derive(Deserialize)]
struct Configuration {
    #[serde(rename = "modelId")]
    model_id: Option<String>,
}

impl<'de> Deserialize<'de> for Configured {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Configured, D::Error> {
        deserializer.deserialize_map(Configurations)
    }
}

struct Configurations;

impl<'de> Visitor<'de> for Configurations {
    type Value = Configured;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration of one model")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Configured, A::Error> {
        let mut found = None;
        while let Some((_, configuration)) = map.next_entry::<String, Option<Configuration>>()? {
            let Some(configuration) = configuration else { continue };
            if found.replace(configuration).is_some() {
                return Err(A::Error::custom("two models"));
            }
        }
        Ok(Configured(found.and_then(|configuration: Configuration| configuration.model_id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<String>, BodyError> {
        model(&[Bytes::copy_from_slice(text.as_bytes())])
    }

    #[test]
    fn the_one_model_is_found_and_nothing_beside_it() {
        for (text, expected) in [
            (
                r#"{"messages":[{"model":"x"}],"model":{"bedrockModelConfig":{"modelId":"a","topP":1.0}},"modelId":"y"}"#,
                Some("a"),
            ),
            (r#"{"model":{"openAiModelConfig":{"apiKeyArn":"k","modelId":"b"},"geminiModelConfig":null}}"#, Some("b")),
            (r#"{"mod\u0065l":{"next year's":{"m\u006fdelId":"c"}}}"#, Some("c")),
            (r#"{"model":{"bedrockModelConfig":{"topP":0.5}}}"#, None),
            (r#"{"model":{}}"#, None),
            (r#"{"model":null}"#, None),
            ("{}", None),
        ] {
            assert_eq!(read(text).unwrap().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn two_readings_of_a_body_are_none() {
        for text in [
            r#"{"model":{"a":{"modelId":"x"}},"model":{"a":{"modelId":"y"}}}"#,
            r#"{"model":{"a":{"modelId":"x"}},"mod\u0065l":null}"#,
            r#"{"model":{"a":{"modelId":"x"},"b":{"modelId":"y"}}}"#,
            r#"{"model":{"a":{"modelId":"x"},"a":{}}}"#,
            r#"{"model":{"a":{"modelId":"x","modelId":"y"}}}"#,
            r#"{"model":"x"}"#,
            r#"{"model":{"a":{"modelId":1}}}"#,
            "",
            "{} {}",
            "\u{feff}{}",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
