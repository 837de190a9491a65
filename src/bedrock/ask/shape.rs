//! Where requests say how much they want: the names of all shapes, as data, and which of them an operation and a model obey. A name that a
//! model does not obey must not be believed: `max_tokens` in Nova's body limits nothing.

use crate::bedrock::{
    Operation,
    harness::configurations,
    json::Node,
    model::{Arn, geography},
};

/// The names of a limit to the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    MaxTokens,
    MaxTokensCamel,
    MaxTokensToSample,
    MaxCompletionTokens,
    MaxOutputTokens,
    MaxOutputTokensCamel,
    MaxGenLen,
    /// `inferenceConfig.maxTokens`
    Inference,
    /// `inferenceConfig.max_new_tokens`
    InferenceNew,
    /// `textGenerationConfig.maxTokenCount`
    TextGeneration,
    /// The provider's own limit by whichever of its names, in `additionalModelRequestFields`.
    Additional,
    /// `model.bedrockModelConfig.maxTokens`, and that of other providers' models.
    Configured,
}

/// Objects that a limit stands in. Those around a harness's are not among them: a body with two of them is refused before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Config {
    Inference,
    TextGeneration,
    /// `additionalParams`, of a harness's model.
    Additional,
}

/// Where a request asks for a service tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TierName {
    /// `service_tier`
    Plain,
    /// `serviceTier.type`
    Typed,
    /// `additionalParams.service_tier`, of a harness's model.
    PassedOn,
}

/// What a value in a request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Root,
    Limit(Limit),
    Config(Config),
    /// How many answers.
    Choices,
    Stream,
    StreamOptions,
    IncludeUsage,
    Tier(TierName),
    ThinkingBudget,
    /// Answered before it is generated.
    Background,
    /// What is to be ranked: texts, or objects that are texts throughout.
    Ranked,
    /// The same in AWS's own words, which are around the text.
    Source,
    /// That text.
    Passage,
    /// What it is ranked by.
    Query,
}

type N = Node<Field>;

const CONFIGURED: &[N] = &[
    N::leaf("maxTokens", Field::Limit(Limit::Configured)),
    N::tree(
        "additionalParams",
        Field::Config(Config::Additional),
        &[
            N::leaf("max_tokens", Field::Limit(Limit::Configured)),
            N::leaf("maxTokens", Field::Limit(Limit::Configured)),
            N::leaf("max_completion_tokens", Field::Limit(Limit::Configured)),
            N::leaf("max_output_tokens", Field::Limit(Limit::Configured)),
            N::leaf("service_tier", Field::Tier(TierName::PassedOn)),
            N::leaf("n", Field::Choices),
            THINKING,
        ],
    ),
];

/// A provider's own objects, where a Converse request has them besides.
const ADDITIONAL: &[N] = &[
    N::leaf("maxTokens", Field::Limit(Limit::Additional)),
    N::leaf("max_new_tokens", Field::Limit(Limit::Additional)),
    N::leaf("maxTokenCount", Field::Limit(Limit::Additional)),
];

/// Of a document to be ranked.
const PASSAGES: &[N] = &[N::way("textDocument", &[N::leaf("text", Field::Passage)]), N::leaf("jsonDocument", Field::Passage)];

const THINKING: N = N::way("thinking", &[N::leaf("budget_tokens", Field::ThinkingBudget)]);

pub(super) static TREE: N = N::tree(
    "",
    Field::Root,
    &[
        N::leaf("max_tokens", Field::Limit(Limit::MaxTokens)),
        N::leaf("maxTokens", Field::Limit(Limit::MaxTokensCamel)),
        N::leaf("max_tokens_to_sample", Field::Limit(Limit::MaxTokensToSample)),
        N::leaf("max_completion_tokens", Field::Limit(Limit::MaxCompletionTokens)),
        N::leaf("max_output_tokens", Field::Limit(Limit::MaxOutputTokens)),
        N::leaf("maxOutputTokens", Field::Limit(Limit::MaxOutputTokensCamel)),
        N::leaf("max_gen_len", Field::Limit(Limit::MaxGenLen)),
        N::tree(
            "inferenceConfig",
            Field::Config(Config::Inference),
            &[N::leaf("maxTokens", Field::Limit(Limit::Inference)), N::leaf("max_new_tokens", Field::Limit(Limit::InferenceNew))],
        ),
        N::tree(
            "textGenerationConfig",
            Field::Config(Config::TextGeneration),
            &[N::leaf("maxTokenCount", Field::Limit(Limit::TextGeneration))],
        ),
        N::way(
            "additionalModelRequestFields",
            &[
                N::leaf("max_tokens", Field::Limit(Limit::Additional)),
                N::leaf("maxTokens", Field::Limit(Limit::Additional)),
                N::leaf("max_tokens_to_sample", Field::Limit(Limit::Additional)),
                N::leaf("max_completion_tokens", Field::Limit(Limit::Additional)),
                N::leaf("max_gen_len", Field::Limit(Limit::Additional)),
                N::way("inferenceConfig", ADDITIONAL),
                N::way("textGenerationConfig", ADDITIONAL),
                THINKING,
                N::way("reasoning_config", &[N::leaf("budget_tokens", Field::ThinkingBudget)]),
                N::leaf("n", Field::Choices),
            ],
        ),
        N::way("model", &configurations(CONFIGURED)),
        N::leaf("n", Field::Choices),
        N::leaf("num_generations", Field::Choices),
        N::leaf("numResults", Field::Choices),
        N::way("imageGenerationConfig", &[N::leaf("numberOfImages", Field::Choices)]),
        N::leaf("documents", Field::Ranked),
        N::tree("sources", Field::Source, &[N::way("inlineDocumentSource", PASSAGES)]),
        N::leaf("query", Field::Query),
        N::way("queries", &[N::way("textQuery", &[N::leaf("text", Field::Query)])]),
        N::leaf("stream", Field::Stream),
        N::leaf("background", Field::Background),
        N::tree("stream_options", Field::StreamOptions, &[N::leaf("include_usage", Field::IncludeUsage)]),
        N::leaf("service_tier", Field::Tier(TierName::Plain)),
        N::way("serviceTier", &[N::leaf("type", Field::Tier(TierName::Typed))]),
        THINKING,
    ],
);

/// How an operation, for a model, is told to generate less.
#[derive(Debug)]
pub(super) struct Shape {
    /// The names it obeys.
    pub limits: &'static [Limit],
    /// Where a limit is put that a request does not name: in which object, under which name.
    pub insert: Option<(Option<Config>, &'static str)>,
    /// Where it asks for a service tier.
    pub tier: Option<TierName>,
    /// It generates tokens.
    pub generates: bool,
    /// Nothing of it is counted in tokens: images, videos, ranks.
    pub uncounted: bool,
    /// Chat completions: usage in a stream must be asked for.
    pub chat: bool,
    /// It can be answered before anything is generated.
    pub background: bool,
}

impl Limit {
    /// The object that it can stand in.
    fn within(self) -> Option<Config> {
        match self {
            Limit::Inference | Limit::InferenceNew => Some(Config::Inference),
            Limit::TextGeneration => Some(Config::TextGeneration),
            Limit::Configured => Some(Config::Additional),
            _ => None,
        }
    }
}

impl Config {
    pub fn name(self) -> &'static str {
        match self {
            Config::Inference => "inferenceConfig",
            Config::TextGeneration => "textGenerationConfig",
            Config::Additional => "additionalParams",
        }
    }
}

const fn shape(limits: &'static [Limit], container: Option<Config>, name: &'static str) -> Shape {
    Shape { limits, insert: Some((container, name)), tier: Some(TierName::Plain), ..NONE }
}

static CONVERSE: Shape =
    Shape { tier: Some(TierName::Typed), ..shape(&[Limit::Inference, Limit::Additional], Some(Config::Inference), "maxTokens") };
static CHAT: Shape = Shape { chat: true, ..OPENAI };
const OPENAI: Shape = shape(&[Limit::MaxCompletionTokens, Limit::MaxTokens], None, "max_completion_tokens");
static INVOKE_OPENAI: Shape = OPENAI;
static RESPONSES: Shape = Shape { background: true, ..shape(&[Limit::MaxOutputTokens], None, "max_output_tokens") };
static MAX_TOKENS: Shape = shape(&[Limit::MaxTokens], None, "max_tokens");
static TEXT_COMPLETIONS: Shape = shape(&[Limit::MaxTokens, Limit::MaxTokensToSample], None, "max_tokens");
static AI21: Shape = shape(&[Limit::MaxTokens, Limit::MaxTokensCamel], None, "max_tokens");
static NOVA: Shape = shape(&[Limit::Inference, Limit::InferenceNew], Some(Config::Inference), "maxTokens");
static TITAN: Shape = shape(&[Limit::TextGeneration], Some(Config::TextGeneration), "maxTokenCount");
static META: Shape = shape(&[Limit::MaxGenLen], None, "max_gen_len");
/// Both are for one turn of its loop, and the request's own wins: of several the largest is believed.
static HARNESS: Shape =
    Shape { tier: Some(TierName::PassedOn), ..shape(&[Limit::MaxTokensCamel, Limit::Configured], None, "maxTokens") };
static PEGASUS: Shape = shape(&[Limit::MaxOutputTokensCamel], None, "maxOutputTokens");
/// What goes in is counted, and there is nothing to limit.
static EMBEDDING: Shape = Shape { generates: false, ..NONE };
static NO_TOKENS: Shape = Shape { generates: false, uncounted: true, ..NONE };
/// An opaque ARN: every provider refuses names it does not know, so that those which are there are obeyed.
static ANY: Shape = Shape {
    limits: &[
        Limit::MaxTokens,
        Limit::MaxTokensCamel,
        Limit::MaxTokensToSample,
        Limit::MaxCompletionTokens,
        Limit::MaxOutputTokensCamel,
        Limit::MaxGenLen,
        Limit::Inference,
        Limit::InferenceNew,
        Limit::TextGeneration,
    ],
    tier: Some(TierName::Plain),
    ..NONE
};
/// Nothing says how much is generated.
const NONE: Shape =
    Shape { limits: &[], insert: None, tier: None, generates: true, uncounted: false, chat: false, background: false };
static UNTOLD: Shape = NONE;

/// What ids of models begin with; the first that one begins with decides. A name of anybody else's says nothing, whatever words it has.
static PROVIDERS: [(&str, &Shape); 28] = [
    ("amazon.nova-2-multimodal-embeddings", &EMBEDDING),
    ("amazon.titan-embed-", &EMBEDDING),
    ("cohere.embed-", &EMBEDDING),
    ("twelvelabs.marengo-embed-", &EMBEDDING),
    ("amazon.nova-canvas", &NO_TOKENS),
    ("amazon.nova-reel", &NO_TOKENS),
    ("amazon.rerank", &NO_TOKENS),
    ("amazon.titan-image", &NO_TOKENS),
    ("cohere.rerank", &NO_TOKENS),
    ("luma.", &NO_TOKENS),
    ("stability.", &NO_TOKENS),
    ("twelvelabs.pegasus", &PEGASUS),
    ("amazon.nova", &NOVA),
    ("amazon.titan", &TITAN),
    ("anthropic.", &TEXT_COMPLETIONS),
    ("meta.", &META),
    ("mistral.", &MAX_TOKENS),
    ("cohere.", &MAX_TOKENS),
    ("ai21.", &AI21),
    ("openai.", &INVOKE_OPENAI),
    ("deepseek.r1", &MAX_TOKENS),
    ("deepseek.", &INVOKE_OPENAI),
    ("qwen.", &INVOKE_OPENAI),
    ("google.", &INVOKE_OPENAI),
    ("minimax.", &INVOKE_OPENAI),
    ("moonshot", &INVOKE_OPENAI),
    ("nvidia.", &INVOKE_OPENAI),
    ("zai.", &INVOKE_OPENAI),
];

impl Shape {
    /// Whether it obeys a limit, or one in an object. Of others nothing is believed, and nothing hindered.
    pub fn obeys(&self, field: Field) -> bool {
        match field {
            Field::Limit(limit) => self.limits.contains(&limit),
            Field::Config(config) => self.limits.iter().any(|limit| limit.within() == Some(config)),
            _ => false,
        }
    }

    /// Of an operation; `model` matters to those that pass the provider's own body.
    pub fn of(operation: &Operation, model: Option<&str>) -> &'static Shape {
        match operation.name {
            "Converse" | "ConverseStream" => &CONVERSE,
            "ChatCompletions" => &CHAT,
            "Responses" => &RESPONSES,
            "Messages" => &MAX_TOKENS,
            "InvokeHarness" => &HARNESS,
            "InvokeModel" | "InvokeModelWithResponseStream" => {
                let id = model.map(base).unwrap_or_default();
                PROVIDERS.iter().find(|(beginning, _)| id.starts_with(beginning)).map_or(&ANY, |(_, shape)| shape)
            }
            _ => &UNTOLD,
        }
    }
}

/// The id of a model without geography, bare or in an ARN.
fn base(model: &str) -> &str {
    let id = Arn::parse(model).map_or(model, |arn| arn.id);
    geography(id).map_or(id, |(_, base)| base)
}
