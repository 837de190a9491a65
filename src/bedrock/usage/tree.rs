//! Where answers have their counts: the names of all shapes, as data. Shapes are told apart by their names alone, since an application
//! inference profile's ARN says nothing about whose model is behind it.

use crate::bedrock::json::Node;

/// A kind of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Input,
    Output,
    CacheRead,
    /// Written to the cache, whatever the time to live.
    CacheWrite,
    CacheWrite5m,
    CacheWrite1h,
    /// OpenAI counts these among the input.
    CacheReadWithin,
    CacheWriteWithin,
}

/// What a value in an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// In the provider's own words.
    Provider(Count),
    /// In Bedrock's: `amazon-bedrock-invocationMetrics`.
    Bedrock(Count),
    /// The object with the answer's final counts.
    Final,
    /// The object with those at the start of the generation.
    Started,
    /// One of several outputs' tokens, to be added up.
    OutputPart,
    /// An element of `cacheDetails`, and its two members.
    Detail,
    DetailTtl,
    DetailTokens,
    /// An element of Anthropic's `iterations`, its kind, and its counts.
    Iteration,
    IterationKind,
    Iterated(Count),
    /// The service tier.
    Tier,
    /// Generated text.
    Text,
    /// An element of a chat chunk's `choices`; the chunk with the usage has none.
    Choice,
    /// An embedding: such an answer has no output tokens.
    Embedding,
    /// What a guardrail did: `INTERVENED`.
    GuardrailAction,
    /// What it found in the answer, so that there was one.
    GuardedOutput,
    /// The provider's event in a `chunk`, in base64.
    Encoded,
    /// `__type` of an error that came with status 200.
    ErrorType,
    /// An object named `error`.
    Error,
}

use Count::{CacheRead, CacheReadWithin, CacheWrite, CacheWrite1h, CacheWrite5m, CacheWriteWithin, Input, Output};
use Field::{Bedrock, Detail, DetailTokens, DetailTtl, Encoded, Final, Iterated, OutputPart, Provider, Text, Tier};

type N = Node<Field>;

/// `cached_tokens` and, since GPT-5.6, `cache_write_tokens` are slices of the input (OpenAI's prompt caching guide).
const WITHIN: &[N] =
    &[N::leaf("cached_tokens", Provider(CacheReadWithin)), N::leaf("cache_write_tokens", Provider(CacheWriteWithin))];

/// What one of several runs of the model behind one answer used: a compaction's is in none of the counts beside it
/// (<https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-compaction.html>).
const ITERATION: &[N] = &[
    N::leaf("type", Field::IterationKind),
    N::leaf("input_tokens", Iterated(Input)),
    N::leaf("output_tokens", Iterated(Output)),
    N::leaf("cache_read_input_tokens", Iterated(CacheRead)),
    N::leaf("cache_creation_input_tokens", Iterated(CacheWrite)),
    N::way(
        "cache_creation",
        &[
            N::leaf("ephemeral_5m_input_tokens", Iterated(CacheWrite5m)),
            N::leaf("ephemeral_1h_input_tokens", Iterated(CacheWrite1h)),
        ],
    ),
];

/// Everybody's `usage`: Converse's and Nova's, Anthropic's, OpenAI's. No name means two things.
const USAGE: &[N] = &[
    N::leaf("inputTokens", Provider(Input)),
    N::leaf("outputTokens", Provider(Output)),
    N::leaf("cacheReadInputTokens", Provider(CacheRead)),
    N::leaf("cacheReadInputTokenCount", Provider(CacheRead)),
    N::leaf("cacheWriteInputTokens", Provider(CacheWrite)),
    N::leaf("cacheWriteInputTokenCount", Provider(CacheWrite)),
    N::tree("cacheDetails", Detail, &[N::leaf("ttl", DetailTtl), N::leaf("inputTokens", DetailTokens)]),
    N::leaf("input_tokens", Provider(Input)),
    N::leaf("output_tokens", Provider(Output)),
    N::leaf("cache_read_input_tokens", Provider(CacheRead)),
    N::leaf("cache_creation_input_tokens", Provider(CacheWrite)),
    N::way(
        "cache_creation",
        &[
            N::leaf("ephemeral_5m_input_tokens", Provider(CacheWrite5m)),
            N::leaf("ephemeral_1h_input_tokens", Provider(CacheWrite1h)),
        ],
    ),
    N::tree("iterations", Field::Iteration, ITERATION),
    N::leaf("prompt_tokens", Provider(Input)),
    N::leaf("completion_tokens", Provider(Output)),
    N::way("prompt_tokens_details", WITHIN),
    N::way("input_tokens_details", WITHIN),
    N::leaf("service_tier", Tier),
];

const TIER: &[N] = &[N::leaf("type", Tier)];

/// <https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-use-inference-api.html>: in a body, and inside a chunk.
const GUARDRAIL_ACTION: N = N::leaf("amazon-bedrock-guardrailAction", Field::GuardrailAction);
const GUARDRAIL_TRACE: N =
    N::way("amazon-bedrock-trace", &[N::way("guardrail", &[N::tree("outputs", Field::GuardedOutput, &[])])]);

/// Cohere's.
const META: &[N] =
    &[N::tree("billed_units", Final, &[N::leaf("input_tokens", Provider(Input)), N::leaf("output_tokens", Provider(Output))])];

/// A text, and what models think and call before it; what they think may be told encrypted.
const CONTENT: &[N] = &[
    N::leaf("text", Text),
    N::leaf("thinking", Text),
    N::leaf("partial_json", Text),
    N::way("toolUse", &[N::leaf("input", Text)]),
    N::way(
        "reasoningContent",
        &[N::leaf("text", Text), N::way("reasoningText", &[N::leaf("text", Text)]), N::leaf("redactedContent", Text)],
    ),
    N::leaf("data", Text),
];

/// A choice of a chat, whole or a chunk's.
const MESSAGE: &[N] = &[
    N::leaf("content", Text),
    N::leaf("reasoning", Text),
    N::leaf("reasoning_content", Text),
    N::leaf("refusal", Text),
    N::way("tool_calls", &[N::way("function", &[N::leaf("arguments", Text)])]),
];

const CHOICES: N =
    N::tree("choices", Field::Choice, &[N::way("message", MESSAGE), N::way("delta", MESSAGE), N::leaf("text", Text)]);

/// A body that is one JSON document.
pub(super) static BODY: N = N::way(
    "",
    &[
        N::tree("usage", Final, USAGE),
        N::way("serviceTier", TIER),
        N::leaf("service_tier", Tier),
        N::way("meta", META),
        // Titan
        N::leaf("inputTextTokenCount", Provider(Input)),
        N::way("results", &[N::leaf("tokenCount", OutputPart), N::leaf("outputText", Text)]),
        // Meta, Mistral
        N::leaf("prompt_token_count", Provider(Input)),
        N::leaf("generation_token_count", Provider(Output)),
        N::leaf("generation", Text),
        N::way("outputs", &[N::leaf("text", Text)]),
        // Claude 2
        N::leaf("completion", Text),
        // Embeddings
        N::tree("embedding", Field::Embedding, &[]),
        N::tree("embeddings", Field::Embedding, &[]),
        N::tree("embeddingsByType", Field::Embedding, &[]),
        N::way("data", &[N::tree("embedding", Field::Embedding, &[])]),
        // Converse and Nova, Anthropic, OpenAI
        N::way("output", &[N::way("message", &[N::way("content", CONTENT)]), N::way("content", CONTENT)]),
        N::way("content", CONTENT),
        CHOICES,
        // A response that failed
        N::tree("error", Field::Error, &[]),
        // What Bedrock answers, with status 200, to a path it does not know
        N::way("Output", &[N::leaf("__type", Field::ErrorType)]),
        GUARDRAIL_ACTION,
        GUARDRAIL_TRACE,
    ],
);

/// What an event of a stream may have.
const IN_EVENT: &[N] = &[
    // Bedrock's
    N::leaf("bytes", Encoded),
    N::way("serviceTier", TIER),
    N::way(
        "amazon-bedrock-invocationMetrics",
        &[
            N::leaf("inputTokenCount", Bedrock(Input)),
            N::leaf("outputTokenCount", Bedrock(Output)),
            N::leaf("cacheReadInputTokenCount", Bedrock(CacheRead)),
            N::leaf("cacheWriteInputTokenCount", Bedrock(CacheWrite)),
        ],
    ),
    // ConverseStream's metadata, Anthropic's message_delta, a chat's last chunk
    N::tree("usage", Final, USAGE),
    // Deltas: objects with content, and the plain strings of Responses
    N::tree("delta", Text, CONTENT),
    N::way("content_block", CONTENT),
    N::leaf("service_tier", Tier),
    CHOICES,
    // Anthropic's message_start: the counts as the generation begins
    N::way("message", &[N::tree("usage", Field::Started, USAGE)]),
    // Responses: the whole, at the end
    N::way(
        "response",
        &[
            N::tree("usage", Final, USAGE),
            N::leaf("service_tier", Tier),
            N::way("meta", META),
            N::tree("error", Field::Error, &[]),
        ],
    ),
    // Nova
    N::way("metadata", &[N::tree("usage", Final, USAGE)]),
    N::way("contentBlockDelta", &[N::way("delta", CONTENT)]),
    // Titan, Meta, Mistral, Claude 2
    N::leaf("inputTextTokenCount", Provider(Input)),
    N::leaf("totalOutputTextTokenCount", Provider(Output)),
    N::leaf("outputText", Text),
    N::leaf("prompt_token_count", Provider(Input)),
    N::leaf("generation_token_count", Provider(Output)),
    N::leaf("generation", Text),
    N::way("outputs", &[N::leaf("text", Text)]),
    N::leaf("completion", Text),
    // Nova Sonic: the session's totals so far
    N::way(
        "event",
        &[N::way("usageEvent", &[N::leaf("totalInputTokens", Provider(Input)), N::leaf("totalOutputTokens", Provider(Output))])],
    ),
    N::tree("error", Field::Error, &[]),
    GUARDRAIL_ACTION,
    GUARDRAIL_TRACE,
];

/// An event of a stream: one of Bedrock's own, or one after `data:`. In the last of a Responses item its whole `text` stands again.
pub(super) static EVENT: N = N::way("", IN_EVENT);

/// The provider's event inside Bedrock's `chunk`: Cohere's piece of a text has no other name.
pub(super) static CHUNK: N = N::way("", &with::<{ IN_EVENT.len() + 1 }>(IN_EVENT, N::leaf("text", Text)));

/// One node more.
const fn with<const LENGTH: usize>(nodes: &[N], last: N) -> [N; LENGTH] {
    let (mut all, mut rest, mut at) = ([last; LENGTH], nodes, 0);
    while let [node, others @ ..] = rest {
        (all[at], rest, at) = (*node, others, at + 1);
    }
    all
}

const MODEL_OUTPUT: &[N] = &[N::way("modelInvocationOutput", &[N::way("metadata", &[N::tree("usage", Final, USAGE)])])];

/// A `trace` event of an agent. Only model invocations are counted: the same tokens stand again under observations and final responses.
pub(super) static TRACE: N = N::way(
    "",
    &[N::way(
        "trace",
        &[
            N::way("preProcessingTrace", MODEL_OUTPUT),
            N::way("orchestrationTrace", MODEL_OUTPUT),
            N::way("postProcessingTrace", MODEL_OUTPUT),
            N::way("routingClassifierTrace", MODEL_OUTPUT),
        ],
    )],
);
