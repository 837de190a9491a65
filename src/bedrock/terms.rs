//! The terms on which a request body wants to be served: which guardrail, which service tier; and putting a guardrail into the bodies
//! that have a place for it. Every other byte stays as it came.

use bytes::Bytes;

use super::{
    Operation, Service,
    ask::edit::{Edit, Inside, splice},
    harness::configurations,
    json::{Container, Node, Scanner, Sink},
    usage::Metering,
};

/// Where an operation takes its guardrail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardrailPlace {
    /// `X-Amzn-Bedrock-GuardrailIdentifier` and `-GuardrailVersion`.
    Headers,
    /// `guardrailConfig` in the body.
    Body,
    /// It generates nothing from what the client wrote.
    NotNeeded,
    /// It generates, and whoever calls it cannot say by which guardrail.
    Nowhere,
}

/// What is charged, and yet generates no text that a guardrail would be asked about.
const GENERATE_NOTHING: [&str; 22] = [
    "ApplyGuardrail",
    "BatchCreateMemoryRecords",
    "CreateCapacityProvider",
    "CreateEvent",
    "CreateMarketplaceModelEndpoint",
    "CreateModelCustomizationJob",
    "CreateModelImportJob",
    "CreateProvisionedModelThroughput",
    "IngestKnowledgeBaseDocuments",
    "InvokeBrowser",
    "InvokeCodeInterpreter",
    "InvokeGuardrailChecks",
    "InvokeWebSearch",
    "ProcessPayment",
    "Rerank",
    "Retrieve",
    "RetrieveMemoryRecords",
    "StartBrowserSession",
    "StartCodeInterpreterSession",
    "StartIngestionJob",
    "UpdateCapacityProvider",
    "UpdateMarketplaceModelEndpoint",
];

impl GuardrailPlace {
    /// Of an operation. OpenAI's chat completions take the headers on bedrock-runtime; bedrock-mantle ignores them.
    pub fn of(operation: &Operation) -> GuardrailPlace {
        match (operation.service, operation.name) {
            (Service::BedrockRuntime, "InvokeModel" | "InvokeModelWithResponseStream" | "ChatCompletions") => {
                GuardrailPlace::Headers
            }
            (Service::BedrockRuntime, "Converse" | "ConverseStream") => GuardrailPlace::Body,
            _ if Metering::of(operation) == Metering::Free => GuardrailPlace::NotNeeded,
            (_, name) if GENERATE_NOTHING.contains(&name) => GuardrailPlace::NotNeeded,
            _ => GuardrailPlace::Nowhere,
        }
    }
}

/// Whether the body of an operation may name a service tier.
pub fn takes_tier(operation: &Operation) -> bool {
    Metering::of(operation) == Metering::Tokens && operation.name != "InvokeModelWithBidirectionalStream"
}

/// What a body says, letter for letter; of repeated members everything.
#[derive(Debug, Default)]
pub struct Terms {
    /// `service_tier`, or `serviceTier.type`.
    pub tiers: Vec<String>,
    /// `guardrailConfig.guardrailIdentifier`
    pub identifiers: Vec<String>,
    /// `guardrailConfig.guardrailVersion`
    pub versions: Vec<String>,
    /// The guardrail is to look at some of the input only, or at a stream after it was sent.
    pub narrows: bool,
    root: Option<Inside>,
    configs: Vec<Place>,
    /// Something stands where a string or an object should.
    odd: bool,
    word: Vec<u8>,
    opened: Option<Field>,
}

/// A `guardrailConfig`, or what stands in its place.
#[derive(Debug)]
enum Place {
    Object(Inside),
    Null(std::ops::Range<u64>),
}

/// A body about whose guardrail two readers could disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Root,
    Tier,
    Config,
    Identifier,
    Version,
    /// Of the input, only what is marked is looked at.
    Marked,
    /// How a stream is looked at.
    Mode,
}

/// Marked input: <https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-tagging.html>.
const MARKED: Node<Field> = Node::leaf("guardContent", Field::Marked);
const MODE: Node<Field> = Node::leaf("streamProcessingMode", Field::Mode);

/// What a harness passes on to its model, whoever that is from.
const PASSED_ON: &[Node<Field>] = &[Node::way("additionalParams", &[Node::leaf("service_tier", Field::Tier)])];

static TREE: Node<Field> = Node::tree(
    "",
    Field::Root,
    &[
        Node::way("model", &configurations(PASSED_ON)),
        Node::leaf("service_tier", Field::Tier),
        Node::way("serviceTier", &[Node::leaf("type", Field::Tier)]),
        Node::tree(
            "guardrailConfig",
            Field::Config,
            &[Node::leaf("guardrailIdentifier", Field::Identifier), Node::leaf("guardrailVersion", Field::Version), MODE],
        ),
        Node::way("messages", &[Node::way("content", &[MARKED])]),
        Node::way("system", &[MARKED]),
        Node::way("amazon-bedrock-guardrailConfig", &[Node::leaf("tagSuffix", Field::Marked), MODE]),
    ],
);

/// An ARN of a guardrail has at most 2048 characters.
const WORD_BYTES_MAX: usize = 4 * 1024;

impl Terms {
    /// Reads a body; `None` if it is no JSON.
    pub fn read(pieces: &[Bytes]) -> Option<Terms> {
        let mut scanner = Scanner::new(&TREE);
        let mut terms = Terms::default();
        pieces.iter().for_each(|piece| scanner.push(piece, &mut terms));
        scanner.is_done().then_some(terms)
    }

    /// The body with this guardrail, where it names none; `None` if it names one already, whole.
    ///
    /// # Errors
    /// The body is no object, or has the guardrail twice, or something else in its place.
    pub fn with_guardrail(&self, pieces: &[Bytes], identifier: &str, version: &str) -> Result<Option<Vec<Bytes>>, Ambiguous> {
        let root = self.root.filter(|_| !self.odd).ok_or(Ambiguous)?;
        if self.configs.len() > 1 || self.identifiers.len() > 1 || self.versions.len() > 1 {
            return Err(Ambiguous);
        }
        let members = [
            ("guardrailIdentifier", identifier, self.identifiers.is_empty()),
            ("guardrailVersion", version, self.versions.is_empty()),
        ];
        let missing = members.iter().filter(|(.., missing)| *missing);
        let missing: Vec<String> = missing.map(|(name, value, _)| format!(r#""{name}":{}"#, quoted(value))).collect();
        if missing.is_empty() {
            return Ok(None);
        }
        let members = missing.join(",");
        let edit = match self.configs.first() {
            None => root.with(&format!(r#""guardrailConfig":{{{members}}}"#)),
            Some(Place::Object(inside)) => inside.with(&members),
            Some(Place::Null(range)) => Edit { range: range.clone(), text: format!("{{{members}}}") },
        };
        splice(pieces, vec![edit]).map(Some).ok_or(Ambiguous)
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Sink<Field> for Terms {
    const EVERYTHING: bool = true;

    fn open(&mut self, at: Option<Field>, kind: Container, start: u64) {
        self.opened = None;
        let inside = Inside { at: start.saturating_add(1), empty: true };
        match (at, kind) {
            (Some(Field::Root), Container::Object) => {
                self.odd |= self.root.replace(inside).is_some();
                self.opened = at;
            }
            (Some(Field::Config), Container::Object) => {
                self.configs.push(Place::Object(inside));
                self.opened = at;
            }
            (Some(Field::Marked), _) => self.narrows = true,
            (Some(_), _) => self.odd = true,
            (None, _) => {}
        }
    }

    fn close(&mut self, _: Option<Field>, _: Container, _: u64) {
        self.opened = None;
    }

    fn name(&mut self, _: &[u8]) {
        let inside = match self.opened.take() {
            Some(Field::Root) => self.root.as_mut(),
            Some(Field::Config) => self.configs.last_mut().and_then(Place::inside),
            _ => None,
        };
        if let Some(inside) = inside {
            inside.empty = false;
        }
    }

    fn text(&mut self, at: Option<Field>, fragment: &[u8]) {
        if matches!(at, Some(Field::Tier | Field::Identifier | Field::Version | Field::Mode)) && self.word.len() < WORD_BYTES_MAX
        {
            self.word.extend_from_slice(fragment);
        }
    }

    fn text_end(&mut self, at: Option<Field>, _: u64, _: u64) {
        let Some(at) = at else { return };
        let word = String::from_utf8_lossy(&std::mem::take(&mut self.word)).into_owned();
        match at {
            Field::Tier => self.tiers.push(word),
            Field::Identifier => self.identifiers.push(word),
            Field::Version => self.versions.push(word),
            Field::Marked => self.narrows = true,
            Field::Mode => self.narrows |= !word.eq_ignore_ascii_case("sync"),
            Field::Root | Field::Config => self.odd = true,
        }
    }

    fn scalar(&mut self, at: Option<Field>, word: &[u8], start: u64, end: u64) {
        match at {
            Some(Field::Config) if word == b"null" => self.configs.push(Place::Null(start..end)),
            // No tier and no mark at all, and any other is for Bedrock to complain of.
            Some(Field::Tier | Field::Marked | Field::Mode) | None => {}
            Some(_) => self.odd = true,
        }
    }
}

impl Place {
    fn inside(&mut self) -> Option<&mut Inside> {
        match self {
            Place::Object(inside) => Some(inside),
            Place::Null(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::bedrock::operations;

    fn cut(text: &str, length: usize) -> Vec<Bytes> {
        text.as_bytes().chunks(length.max(1)).map(Bytes::copy_from_slice).collect()
    }

    fn guarded(text: &str, length: usize) -> Result<Option<String>, Ambiguous> {
        let pieces = cut(text, length);
        let edited = Terms::read(&pieces).ok_or(Ambiguous)?.with_guardrail(&pieces, "gr-1", "2")?;
        Ok(edited.map(|pieces| String::from_utf8(pieces.concat()).unwrap()))
    }

    #[test]
    fn a_guardrail_is_put_where_none_is_and_nothing_else_changes() {
        for (body, edited) in [
            ("{}", r#"{"guardrailConfig":{"guardrailIdentifier":"gr-1","guardrailVersion":"2"}}"#),
            (
                r#" { "messages":[{"guardrailConfig":1}] } "#,
                r#" {"guardrailConfig":{"guardrailIdentifier":"gr-1","guardrailVersion":"2"}, "messages":[{"guardrailConfig":1}] } "#,
            ),
            (
                r#"{"guardrailConfig":{"trace":"enabled"}}"#,
                r#"{"guardrailConfig":{"guardrailIdentifier":"gr-1","guardrailVersion":"2","trace":"enabled"}}"#,
            ),
            (
                r#"{"guardrailConfig":null,"x":1}"#,
                r#"{"guardrailConfig":{"guardrailIdentifier":"gr-1","guardrailVersion":"2"},"x":1}"#,
            ),
            (
                r#"{"guardrailConfig":{"guardrailIdentifier":"mine"}}"#,
                r#"{"guardrailConfig":{"guardrailVersion":"2","guardrailIdentifier":"mine"}}"#,
            ),
        ] {
            for length in [1, 7, 1_000] {
                assert_eq!(guarded(body, length).unwrap().as_deref(), Some(edited), "{body}");
            }
        }
        let whole = r#"{"guardrailConfig":{"guardrailIdentifier":"gr-1","guardrailVersion":"2"}}"#;
        assert_eq!(guarded(whole, 3), Ok(None));
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_not_edited() {
        for body in [
            "",
            "[]",
            "[{}]",
            "null",
            r#""x""#,
            "{",
            r#"{"guardrailConfig":{},"guardrailConfig":{}}"#,
            r#"{"guardrailConfig":{},"guardrail\u0043onfig":null}"#,
            r#"{"guardrailConfig":[{}]}"#,
            r#"{"guardrailConfig":"gr-1"}"#,
            r#"{"guardrailConfig":{"guardrailIdentifier":1}}"#,
            r#"{"guardrailConfig":{"guardrailIdentifier":["gr-1"]}}"#,
            r#"{"guardrailConfig":{"guardrailIdentifier":"a","guardrailIdentifier":"b"}}"#,
        ] {
            assert_eq!(guarded(body, 5), Err(Ambiguous), "{body}");
        }
    }

    /// As Jackson reads it, each has a `guardrailConfig` of its own.
    #[test]
    fn a_name_that_only_some_can_read_hides_nothing() {
        for name in [&b"guardrail\xc1\x83onfig"[..], b"gu\xe0\x81\xa1rdrailConfig"] {
            let body = Bytes::from([b"{\"", name, b"\":{\"guardrailIdentifier\":\"mine\"}}"].concat());
            assert!(Terms::read(&[body]).is_none());
        }
    }

    proptest! {
        #[test]
        fn the_edited_body_is_the_same_document_with_the_guardrail(text in "[a-z\"\\\\{}\\[\\],: ]{0,20}", n in 0u32..9, length in 1usize..40) {
            let document = json!({"messages": [{"content": text}], "x": {"guardrailConfig": n}});
            let edited: Value = serde_json::from_str(&guarded(&document.to_string(), length).unwrap().unwrap()).unwrap();
            let mut expected = document;
            expected["guardrailConfig"] = json!({"guardrailIdentifier": "gr-1", "guardrailVersion": "2"});
            prop_assert_eq!(edited, expected);
        }
    }

    #[test]
    fn what_narrows_a_guardrail_is_seen_where_it_does() {
        let narrows = |text: &str| Terms::read(&cut(text, 3)).unwrap().narrows;
        for body in [
            r#"{"messages":[{"role":"user","content":[{"text":"x"},{"guardContent":{"text":{"text":"y"}}}]}]}"#,
            r#"{"system":[{"gu\u0061rdContent":{}}]}"#,
            r#"{"guardrailConfig":{"streamProcessingMode":"async"}}"#,
            r#"{"amazon-bedrock-guardrailConfig":{"tagSuffix":"x"}}"#,
            r#"{"amazon-bedrock-guardrailConfig":{"streamProcessingMode":"ASYNC"}}"#,
        ] {
            assert!(narrows(body), "{body}");
        }
        for body in [
            r#"{"messages":[{"content":[{"text":"guardContent"},{"toolUse":{"input":{"guardContent":1}}}]}],"tagSuffix":"x"}"#,
            r#"{"guardrailConfig":{"streamProcessingMode":"sync","trace":"enabled"}}"#,
        ] {
            assert!(!narrows(body), "{body}");
        }
    }

    #[test]
    fn every_tier_that_is_named_is_read() {
        let text = r#"{"service_tier":"flex","serviceTier":{"type":"priority"},"serv\u0069ce_tier":"x","messages":[{"service_tier":"no"}],
            "model":{"bedrockModelConfig":{"additionalParams":{"service_tier":"y"}}}}"#;
        assert_eq!(Terms::read(&cut(text, 3)).unwrap().tiers, ["flex", "priority", "x", "y"]);
    }

    #[test]
    fn what_generates_takes_a_guardrail_or_is_known_not_to() {
        let place = |service, name| {
            let found = operations().iter().find(|operation| operation.service == service && operation.name == name);
            GuardrailPlace::of(found.unwrap_or_else(|| panic!("{name}")))
        };
        assert_eq!(place(Service::BedrockRuntime, "ConverseStream"), GuardrailPlace::Body);
        assert_eq!(place(Service::BedrockRuntime, "ChatCompletions"), GuardrailPlace::Headers);
        assert_eq!(place(Service::BedrockMantle, "ChatCompletions"), GuardrailPlace::Nowhere);
        assert_eq!(place(Service::BedrockRuntime, "Messages"), GuardrailPlace::Nowhere);
        assert_eq!(place(Service::BedrockRuntime, "InvokeModelWithBidirectionalStream"), GuardrailPlace::Nowhere);
        assert_eq!(place(Service::BedrockRuntime, "StartAsyncInvoke"), GuardrailPlace::Nowhere);
        assert_eq!(place(Service::BedrockAgentRuntime, "RetrieveAndGenerate"), GuardrailPlace::Nowhere);
        assert_eq!(place(Service::Bedrock, "CreateModelInvocationJob"), GuardrailPlace::Nowhere);
        assert_eq!(place(Service::Bedrock, "ListFoundationModels"), GuardrailPlace::NotNeeded);
        assert_eq!(place(Service::BedrockRuntime, "CountTokens"), GuardrailPlace::NotNeeded);
        for name in GENERATE_NOTHING {
            let found = operations().iter().find(|operation| operation.name == name).unwrap_or_else(|| panic!("{name}"));
            assert_ne!(Metering::of(found), Metering::Free, "{name} needs no entry");
        }
    }
}
