//! What a model can write at most, and what that takes of Bedrock's quota; from models.tsv.

use std::sync::LazyLock;

use super::find_by_name;
use crate::bedrock::model::GEOGRAPHIES;

/// The table: see its header for where the figures come from.
const MODELS: &str = include_str!("models.tsv");

/// What is known of a model besides its price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelFacts {
    /// What Bedrock assumes for a request that does not say how many tokens it wants.
    pub max_output_tokens: u64,
    /// How many tokens of Bedrock's own quota a token of output takes.
    pub burndown: u64,
}

impl ModelFacts {
    /// Of a model that the table does not have. Most models of today write 64,000 tokens or fewer: a reservation that is too high is
    /// given back when the request ends, one that is too low would let a budget be overspent.
    const UNKNOWN: ModelFacts = ModelFacts { max_output_tokens: 64_000, burndown: 1 };

    /// By the longest beginning of the model's id that the table has, or of another name of the model.
    pub(super) fn documented(id: &str) -> ModelFacts {
        find_by_name(id, Self::row).unwrap_or(Self::UNKNOWN)
    }

    #[cfg(test)]
    pub(super) fn is_documented(id: &str) -> bool {
        Self::row(id).is_some()
    }

    /// In the order of their beginnings no row that begins the id comes after it, and the longest that does is the last of them.
    fn row(id: &str) -> Option<ModelFacts> {
        let id = without_geography(id);
        let upto = ROWS.partition_point(|(prefix, _)| *prefix <= id);
        ROWS.get(..upto)?.iter().rev().find(|(prefix, _)| begins(id, prefix)).map(|(_, facts)| *facts)
    }
}

fn without_geography(id: &str) -> &str {
    match id.split_once('.') {
        Some((prefix, rest)) if GEOGRAPHIES.contains(&prefix) => rest,
        _ => id,
    }
}

/// Whole words: `openai.gpt-5` begins `openai.gpt-5.6-sol`, and `openai.gpt-50` does not.
fn begins(id: &str, prefix: &str) -> bool {
    id.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || prefix.ends_with(['.', '-']) || rest.starts_with(['-', '.', ':']))
}

/// By their beginnings, sorted.
static ROWS: LazyLock<Vec<(&'static str, ModelFacts)>> = LazyLock::new(|| {
    let lines = MODELS.lines().filter(|line| !line.starts_with('#'));
    let mut rows: Vec<(&str, ModelFacts)> = lines.filter_map(row_of).collect();
    rows.sort_unstable_by_key(|(prefix, _)| *prefix);
    rows
});

fn row_of(line: &'static str) -> Option<(&'static str, ModelFacts)> {
    let mut columns = line.split('\t');
    let (prefix, max, burndown) = (columns.next()?, columns.next()?, columns.next()?);
    Some((prefix, ModelFacts { max_output_tokens: max.parse().ok()?, burndown: burndown.parse().ok()? }))
}
