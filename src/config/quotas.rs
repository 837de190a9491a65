//! `[[tenants.NAME.quotas]]`: tokens and money that a tenant may use, for some models or for all; and `[account]`, how that is kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Of a tenant: as many scopes as an account tells apart.
pub const QUOTAS_MAX: usize = 32;

/// Limits that share a scope; absent ones do not limit.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Shown in refusals, metrics and `/v1/usage`. Default: `all`, or the globs.
    pub name: Option<String>,
    /// Globs (`*`, `?`) over model ids; an ARN counts as the id it stands for, and a model by every spelling of its name. Default: every model, together.
    #[serde(default = "every_model")]
    pub models: Vec<String>,
    /// Input and output, refilled without pause; as many may be used at once.
    pub tokens_per_minute: Option<u64>,
    /// Input alone, refilled without pause; what is read from the cache or written to it included.
    pub input_tokens_per_minute: Option<u64>,
    /// Output alone, refilled without pause.
    pub output_tokens_per_minute: Option<u64>,
    /// `tokens_per_minute` counts as Bedrock's own quotas do: cache reads are free, output weighs the model's burndown factor.
    #[serde(default)]
    pub count_burndown: bool,
    /// Input and output in a calendar day.
    pub tokens_per_day: Option<u64>,
    /// Input alone in a calendar day.
    pub input_tokens_per_day: Option<u64>,
    /// Output alone in a calendar day.
    pub output_tokens_per_day: Option<u64>,
    /// Input and output in a calendar month.
    pub tokens_per_month: Option<u64>,
    /// Input alone in a calendar month.
    pub input_tokens_per_month: Option<u64>,
    /// Output alone in a calendar month.
    pub output_tokens_per_month: Option<u64>,
    /// US dollars in a calendar day, `"12.50"`: a string, for money has exact decimals.
    pub usd_per_day: Option<String>,
    /// US dollars in a calendar month.
    pub usd_per_month: Option<String>,
    /// The most `max_tokens` a request may ask for.
    pub max_tokens: Option<u64>,
    /// What happens to a request that asks for more.
    #[serde(default)]
    pub max_tokens_over: MaxTokensOver,
    /// Counts, reports what it would have refused or lowered, and refuses and lowers nothing.
    #[serde(default)]
    pub shadow: bool,
}

/// What happens to a request over `max_tokens`.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MaxTokensOver {
    /// It is refused, and told why.
    #[default]
    Refuse,
    /// It goes on with the maximum instead, where its operation has a field for that.
    Lower,
}

/// How many tokens of input a request holds.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldInput {
    /// An estimate on the high side. Text that is no words (keys, hashes) can need more, and then a limit is overshot by the difference.
    #[default]
    Estimate,
    /// A token for each byte: no text can need more. Some three times the estimate, given back when the answer tells the truth.
    Bound,
}

/// How the tenants' accounts are kept.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccountKeeping {
    /// Seconds after which what a request holds is given back though nobody saw the request end; default 7,200. Longer than the longest
    /// stream, or a running one loses its hold.
    pub reservation_seconds_max: u64,
}

impl Default for AccountKeeping {
    fn default() -> Self {
        AccountKeeping { reservation_seconds_max: 7_200 }
    }
}

/// A label is part of header fields and metrics.
const LABEL_BYTES_MAX: usize = 64;

impl Quota {
    /// The name; without one `all` or the globs, or the place in the file where those are too long: from 1.
    pub fn label(&self, position: usize) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        if self.takes_every_model() {
            return "all".to_owned();
        }
        let globs = self.models.join(",");
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-:/*?,".contains(&b);
        if globs.len() <= LABEL_BYTES_MAX && globs.bytes().all(plain) { globs } else { format!("quota-{position}") }
    }

    /// Whether no model is outside its scope.
    pub fn takes_every_model(&self) -> bool {
        self.models.iter().any(|glob| glob == "*")
    }

    /// The limits in tokens, as the file calls them, in the order in which they are asked.
    pub fn token_limits(&self) -> [(&'static str, Option<u64>); 9] {
        [
            ("tokens_per_minute", self.tokens_per_minute),
            ("input_tokens_per_minute", self.input_tokens_per_minute),
            ("output_tokens_per_minute", self.output_tokens_per_minute),
            ("tokens_per_day", self.tokens_per_day),
            ("input_tokens_per_day", self.input_tokens_per_day),
            ("output_tokens_per_day", self.output_tokens_per_day),
            ("tokens_per_month", self.tokens_per_month),
            ("input_tokens_per_month", self.input_tokens_per_month),
            ("output_tokens_per_month", self.output_tokens_per_month),
        ]
    }

    /// The limits in US dollars.
    pub fn money_limits(&self) -> [(&'static str, Option<&str>); 2] {
        [("usd_per_day", self.usd_per_day.as_deref()), ("usd_per_month", self.usd_per_month.as_deref())]
    }

    /// All limits that are written, as the file calls them.
    pub fn limits(&self) -> impl Iterator<Item = &'static str> {
        let tokens = self.token_limits().into_iter().filter_map(|(key, amount)| amount.map(|_| key));
        tokens.chain(self.money_limits().into_iter().filter_map(|(key, text)| text.map(|_| key)))
    }
}

/// What a limit is called in header fields, by its quota's label and its own key or kind.
pub fn policy_name(label: &str, limit: &str) -> String {
    let limit = limit.replace('_', "-");
    if label == "all" { limit } else { format!("{label}-{limit}") }
}

fn every_model() -> Vec<String> {
    vec!["*".to_owned()]
}
