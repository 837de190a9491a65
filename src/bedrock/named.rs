//! Which models a request body of AWS's shape names: all of them, for whoever may not use each, and those that the operation itself runs,
//! which it is charged as.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    Operation,
    body::{BodyError, reader},
    model::places,
};

/// What a body names, at any depth but where its words are the client's own.
#[derive(Debug, Default)]
pub struct Names {
    /// Every string under a name by which Bedrock's operations take a model: `modelId`, `modelArn`, `foundationModel`, …
    pub models: Vec<String>,
    /// Of these the ones that the operation runs: by its input's model in botocore 1.44.5, see `RUNS`. Of other operations those that no
    /// name of a model stands further out than: not one of its helpers or a document.
    pub runs: Vec<String>,
    /// Every string under any name that says by itself where it leads: ARNs, and profiles of guardrails.
    pub placed: Vec<String>,
}

/// Where an operation is told what it runs itself, and not to rerank, to parse or to judge with. A member that AWS does not know, or a
/// document, may have a model's name, too: none of these.
const RUNS: [(&str, &[&str]); 9] = [
    ("CreateModelCustomizationJob", &["baseModelIdentifier"]),
    ("CreateModelInvocationJob", &["modelId"]),
    ("CreateProvisionedModelThroughput", &["modelId"]),
    (
        "InvokeInlineAgent",
        &[
            "foundationModel",
            "promptOverrideConfiguration.promptConfigurations.foundationModel",
            "collaborators.foundationModel",
            "collaborators.promptOverrideConfiguration.promptConfigurations.foundationModel",
        ],
    ),
    ("OptimizePrompt", &["targetModelId"]),
    ("Rerank", &["rerankingConfiguration.bedrockRerankingConfiguration.modelConfiguration.modelArn"]),
    ("RetrieveAndGenerate", RETRIEVE_AND_GENERATE),
    ("RetrieveAndGenerateStream", RETRIEVE_AND_GENERATE),
    ("StartAsyncInvoke", &["modelId"]),
];

const RETRIEVE_AND_GENERATE: &[&str] = &[
    "retrieveAndGenerateConfiguration.externalSourcesConfiguration.modelArn",
    "retrieveAndGenerateConfiguration.knowledgeBaseConfiguration.modelArn",
];

/// Members below which everything is data of the client's, whose names mean nothing to Bedrock.
const DATA: [&str; 9] = [
    "blob",
    "environmentVariables",
    "jsonDocument",
    "promptSessionAttributes",
    "requestMetadata",
    "sessionAttributes",
    "sessionMetadata",
    "sessionSpans",
    "tags",
];
/// The same, of some operations.
const DATA_OF: [(&str, &str); 4] = [
    ("InvokeFlow", "inputs.content.document"),
    ("InvokeHarness", "messages.content.toolResult.content.json"),
    ("InvokeHarness", "messages.content.toolUse.input"),
    ("StartFlowExecution", "inputs.content.document"),
];

/// Reads them. An operation that nobody knows may have anything anywhere.
///
/// # Errors
/// The body is no JSON.
pub fn names(operation: Option<&Operation>, pieces: &[Bytes]) -> Result<Names, BodyError> {
    let mut findings = Findings {
        names: Names::default(),
        runs: operation.and_then(|operation| RUNS.iter().find(|(name, _)| *name == operation.name)).map(|(_, paths)| *paths),
        operation: operation.map(|operation| operation.name),
        path: String::new(),
        depth_min: usize::MAX,
    };
    let mut json = serde_json::Deserializer::from_reader(reader(pieces));
    Search { named: false, depth: 0, findings: &mut findings }.deserialize(&mut json)?;
    json.end()?;
    Ok(findings.names)
}

/// Taken from the members of all operations' inputs in botocore 1.44.5; endings, so that next year's `judgeModelArn` is found as well.
fn names_a_model(name: &str) -> bool {
    const ENDINGS: [&str; 7] =
        ["model", "modelid", "modelarn", "modelidentifier", "modelsourceidentifier", "provisionedthroughput", "copyfrom"];
    let name = name.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// What was found, and where the search is.
struct Findings {
    names: Names,
    runs: Option<&'static [&'static str]>,
    operation: Option<&'static str>,
    /// Of members, with dots between; lists leave no trace.
    path: String,
    /// Objects around the outermost model.
    depth_min: usize,
}

impl Findings {
    fn model(&mut self, name: &str, depth: usize) {
        self.names.models.push(name.to_owned());
        if let Some(paths) = self.runs {
            if paths.contains(&self.path.as_str()) {
                self.names.runs.push(name.to_owned());
            }
            return;
        }
        if depth < self.depth_min {
            self.depth_min = depth;
            self.names.runs.clear();
        }
        if depth == self.depth_min {
            self.names.runs.push(name.to_owned());
        }
    }

    /// Whether the member is data.
    fn is_data(&self, name: &str) -> bool {
        let of_this = |(operation, path): &(&str, &str)| self.operation == Some(*operation) && self.path == *path;
        self.operation.is_some() && (DATA.contains(&name) || DATA_OF.iter().any(of_this))
    }
}

/// Looks at one value; `named` says that it stands under a model's name.
struct Search<'f> {
    named: bool,
    /// Objects around it.
    depth: usize,
    findings: &'f mut Findings,
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.named {
            self.findings.model(text, self.depth);
        }
        if places(text).next().is_some() {
            self.findings.names.placed.push(text.to_owned());
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let length = self.findings.path.len();
            if length > 0 {
                self.findings.path.push('.');
            }
            self.findings.path.push_str(&name);
            if self.findings.is_data(&name) {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(Search {
                    named: names_a_model(&name),
                    depth: self.depth + 1,
                    findings: &mut *self.findings,
                })?;
            }
            self.findings.path.truncate(length);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Search { named: self.named, depth: self.depth, findings: &mut *self.findings })?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bedrock::operations;

    fn pieces(text: &str, length: usize) -> Vec<Bytes> {
        text.as_bytes().chunks(length).map(Bytes::copy_from_slice).collect()
    }

    fn of(operation: &str, text: &str) -> Names {
        let operation = operations().iter().find(|known| known.name == operation).unwrap();
        names(Some(operation), &pieces(text, 5)).unwrap()
    }

    #[test]
    fn models_are_found_at_any_depth_and_more_than_once() {
        let text = r#"{"retrieveAndGenerateConfiguration":{"knowledgeBaseConfiguration":{"modelArn":"a"}},
            "models":[{"modelId":"b"}],"foundationModel":"c","modelId":"d","modelId":"e","name":"f","targetModelName":"g",
            "routingConfiguration":[{"agentVersion":"1","provisionedThroughput":"h"}]}"#;
        assert_eq!(names(None, &pieces(text, 7)).unwrap().models, ["a", "b", "c", "d", "e", "h"]);
        assert!(names(None, &pieces(&"[".repeat(100_000), 4096)).is_err());
    }

    #[test]
    fn what_runs_stands_further_out_than_what_helps() {
        for (text, expected) in [
            (r#"{"modelInput":{"modelId":"decoy"},"modelId":"a","tags":[{"model":"decoy"}]}"#, &["a"][..]),
            (r#"{"modelId":"a","modelId":"b"}"#, &["a", "b"]),
            (
                r#"{"retrieveAndGenerateConfiguration":{"knowledgeBaseConfiguration":{
                    "retrievalConfiguration":{"rerankingConfiguration":{"modelConfiguration":{"modelArn":"helper"}}},"modelArn":"a"}}}"#,
                &["a"],
            ),
            (r#"[{"modelId":"a"},[{"modelId":"b"}]]"#, &["a", "b"]),
            (r#"{"input":"text"}"#, &[]),
        ] {
            assert_eq!(names(None, &pieces(text, 3)).unwrap().runs, expected, "{text}");
        }
    }

    #[test]
    fn what_runs_is_what_the_operations_own_members_say() {
        let agent = r#"{"foundationModel":"a","promptOverrideConfiguration":{"promptConfigurations":[{"foundationModel":"b"}]},
            "knowledgeBases":[{"retrievalConfiguration":{"vectorSearchConfiguration":{"implicitFilterConfiguration":{"modelArn":"helper"}}}}],
            "collaborators":[{"foundationModel":"c","model":"decoy"}],"modelId":"decoy"}"#;
        for (operation, text, expected) in [
            ("StartAsyncInvoke", r#"{"model":"decoy","modelId":"a","modelInput":{"modelId":"decoy"}}"#, &["a"][..]),
            ("StartAsyncInvoke", r#"{"modelId":"a","modelId":"b"}"#, &["a", "b"]),
            ("StartAsyncInvoke", r#"{"ModelId":"decoy"}"#, &[]),
            (
                "Rerank",
                r#"{"sources":[{"inlineDocumentSource":{"jsonDocument":{"modelId":"decoy"}}}],"rerankingConfiguration":
                    {"bedrockRerankingConfiguration":{"modelConfiguration":{"modelArn":"a"}}},"modelArn":"decoy"}"#,
                &["a"],
            ),
            (
                "RetrieveAndGenerate",
                r#"{"modelId":"decoy","retrieveAndGenerateConfiguration":{"knowledgeBaseConfiguration":{"modelArn":"a"}}}"#,
                &["a"],
            ),
            ("InvokeInlineAgent", agent, &["a", "b", "c"]),
        ] {
            assert_eq!(of(operation, text).runs, expected, "{operation} {text}");
        }
    }

    #[test]
    fn what_clients_name_as_they_like_are_no_models() {
        for (operation, text) in [
            ("InvokeAgent", r#"{"sessionState":{"sessionAttributes":{"carModel":"Audi A3/S3"}},"inputText":"x"}"#),
            ("InvokeFlow", r#"{"inputs":[{"content":{"document":{"dataModel":"star/snowflake"}}}]}"#),
            ("Rerank", r#"{"sources":[{"inlineDocumentSource":{"jsonDocument":{"model":"arn:aws:bedrock:eu-west-1::x"}}}]}"#),
            ("CreateAgentRuntime", r#"{"environmentVariables":{"OPENAI_MODEL":"gpt-4o"}}"#),
            ("Evaluate", r#"{"evaluationInput":{"sessionSpans":[{"attributes":{"gen_ai.request.model":"gpt-4o"}}]}}"#),
            ("CreateEvent", r#"{"payload":[{"blob":{"model":"Audi A3/S3"}}]}"#),
            ("InvokeHarness", r#"{"messages":[{"content":[{"toolUse":{"input":{"model":"A3"}}}]}]}"#),
            ("CreateSession", r#"{"sessionMetadata":{"model":"x"},"tags":{"model":"y"}}"#),
        ] {
            let Names { models, runs, placed } = of(operation, text);
            assert_eq!([models, runs, placed].concat(), Vec::<String>::new(), "{operation}");
            assert!(!names(None, &pieces(text, 5)).unwrap().models.is_empty(), "an operation that nobody knows");
        }
        // Elsewhere the same name may be anything.
        assert_eq!(of("InvokeFlow", r#"{"document":{"modelId":"a"},"inputs":{"document":{"model":"b"}}}"#).models, ["a", "b"]);
    }

    #[test]
    fn every_operation_in_a_table_is_one() {
        for name in RUNS.iter().map(|(name, _)| name).chain(DATA_OF.iter().map(|(name, _)| name)) {
            assert!(operations().iter().any(|known| known.name == *name), "{name}");
        }
    }
}
