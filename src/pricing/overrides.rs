//! `prices.toml` as it is written: prices of one's own, names for what has an opaque one, facts about models. Amounts and dates are
//! strings here; `compile` makes prices of them, or says with [`Flaw`]s what is wrong and where.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Overrides {
    /// By model id or ARN, as the client writes it.
    pub models: BTreeMap<String, ModelOverride>,
    /// US dollars per request, by operation: what operations cost that report no tokens. `Unknown` is every one that this version does not
    /// know; tokens that the answer of one tells are charged instead, if the model that its body names has a price.
    pub requests: BTreeMap<String, String>,
}

/// What is said of one model.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct ModelOverride {
    /// It costs what this one costs. Instead of `prices` and `request`.
    pub alias_of: Option<String>,
    /// Its prices. What no row is about stays as bundled.
    pub prices: Vec<PriceRow>,
    /// US dollars per request, for what is not sold by the token: images, videos, ranks. A request for several images costs it for each.
    /// Instead of `prices`.
    pub request: Option<String>,
    /// Tokens it writes at most; what Bedrock assumes for a request that does not say.
    pub max_output_tokens: Option<u64>,
    /// How many tokens of Bedrock's own quota a token of output takes.
    pub burndown: Option<u64>,
}

/// Prices per million tokens, for one tier, from one date on, from one length of input on.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct PriceRow {
    /// A date (midnight UTC) or a time with offset; absent: always.
    pub effective_from: Option<String>,
    /// `standard`, `flex`, `priority` or `reserved`.
    #[serde(default = "standard")]
    pub tier: String,
    /// It prices requests with more input tokens than this, cached ones included.
    #[serde(default)]
    pub input_tokens_over: u64,
    /// Tokens that go in fresh. US dollars per million tokens, as in every row.
    pub input: String,
    /// Generated tokens.
    pub output: Option<String>,
    /// Tokens read from the cache.
    pub cache_read: Option<String>,
    /// Tokens written to the cache for five minutes.
    pub cache_write: Option<String>,
    /// Tokens written to the cache for an hour.
    pub cache_write_1h: Option<String>,
}

fn standard() -> String {
    "standard".to_owned()
}

/// Something that does not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Where: from the file's root to the value.
    pub path: Vec<Step>,
    /// What is wrong, on one line.
    pub message: String,
    /// What to do about it, on one line.
    pub help: String,
}

/// One step from a value to a value in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into a table.
    Key(String),
    /// Into an array.
    Index(usize),
}
