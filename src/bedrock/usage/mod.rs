//! Tokens that an answer reports, under Bedrock's own names, and how they are read from its bytes. It says what was consumed, not what
//! that costs.
//!
//! | file | job |
//! |---|---|
//! | [`metering`](Metering) | which operations have tokens to read |
//! | [`reader`](UsageReader) | one answer: its head, its pieces, its end |
//! | `events`, `lines` | event streams and server-sent events |
//! | `tree` | where each shape has its counts |
//! | `tally` | the counts, from several sources, made one |
//! | [`reading`](Reading) | what came of it |
//! | [`filter`](UsageChunkFilter) | takes out what only the gateway asked for |

mod events;
mod filter;
mod lines;
mod metering;
mod reader;
mod reading;
mod tally;
#[cfg(test)]
mod tests;
mod tree;

use serde::{Deserialize, Serialize};

pub use self::{filter::UsageChunkFilter, metering::Metering, reader::UsageReader, reading::Reading};

/// Tokens of one request. The five kinds do not overlap: what was read from or written to the cache is not in `input_tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Neither read from the cache nor written to it.
    pub input_tokens: u64,
    /// Generated.
    pub output_tokens: u64,
    /// Read from the cache.
    pub cache_read_tokens: u64,
    /// Written to the cache for five minutes, or for a time that the answer does not say.
    pub cache_write_tokens: u64,
    /// Written to the cache for an hour, which is priced apart.
    pub cache_write_1h_tokens: u64,
}

impl Usage {
    /// Everything that went in: fresh, read from the cache and written to it.
    pub fn input_total(&self) -> u64 {
        [self.cache_read_tokens, self.cache_write_tokens, self.cache_write_1h_tokens]
            .into_iter()
            .fold(self.input_tokens, u64::saturating_add)
    }

    /// Both together.
    pub fn plus(&self, other: Usage) -> Usage {
        Usage {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cache_read_tokens: self.cache_read_tokens.saturating_add(other.cache_read_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_add(other.cache_write_tokens),
            cache_write_1h_tokens: self.cache_write_1h_tokens.saturating_add(other.cache_write_1h_tokens),
        }
    }

    /// All tokens.
    pub fn total(&self) -> u64 {
        self.input_total().saturating_add(self.output_tokens)
    }
}

/// The service tier that Bedrock served a request in; tiers are priced apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ServiceTier {
    /// `default`, or nothing said.
    #[default]
    Standard,
    /// Cheaper and slower.
    Flex,
    /// Dearer and faster.
    Priority,
    /// Bought in advance.
    Reserved,
    /// One that this version does not know: it has no price of its own.
    Other,
}

impl ServiceTier {
    /// As Bedrock and providers write it in headers and bodies.
    pub fn parse(text: &str) -> ServiceTier {
        match text {
            "" | "default" | "standard" | "auto" | "standard_only" => ServiceTier::Standard,
            "flex" => ServiceTier::Flex,
            "priority" => ServiceTier::Priority,
            "reserved" => ServiceTier::Reserved,
            _ => ServiceTier::Other,
        }
    }

    /// Of two of which nobody knows which holds: the one that costs more, as tiers go.
    pub fn or_dearer(self, other: ServiceTier) -> ServiceTier {
        let rank = |tier| match tier {
            ServiceTier::Flex => 0,
            ServiceTier::Standard => 1,
            ServiceTier::Reserved => 2,
            ServiceTier::Other => 3,
            ServiceTier::Priority => 4,
        };
        if rank(other) > rank(self) { other } else { self }
    }

    /// For metrics, ledger and configuration.
    pub fn name(self) -> &'static str {
        match self {
            ServiceTier::Standard => "standard",
            ServiceTier::Flex => "flex",
            ServiceTier::Priority => "priority",
            ServiceTier::Reserved => "reserved",
            ServiceTier::Other => "other",
        }
    }
}
