//! A rate for each kind of token, and what is charged for a kind that nobody gave a price. Each charge that needed one of these rules
//! says so. The first four never charge too little as far as we know; the last two do if AWS asks more, which only prices.toml can say:
//!
//! - output: as input. Models without a price for output are those that write none, embeddings.
//! - read from the cache: as input; no model reads its cache at a higher price.
//! - written to the cache: as input, which is what models without such a price (Amazon Nova) really cost.
//! - written for an hour: twice the input, which is what every model of the bundled table costs that has such a price; or as written
//!   for five minutes, if that is more.
//! - a service tier: as standard.
//! - input that is longer than the bundled table thinks the model takes: as shorter input.

use std::fmt;

use super::Rate;
use crate::bedrock::{ask::Caching, usage::Usage};

/// What a token of each kind costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Neither read from the cache nor written to it.
    pub input: Rate,
    /// Generated.
    pub output: Rate,
    /// Read from the cache.
    pub cache_read: Rate,
    /// Written to the cache for five minutes, or a time that is not told.
    pub cache_write: Rate,
    /// Written to the cache for an hour.
    pub cache_write_1h: Rate,
    /// The rates above that nobody gave.
    pub gaps: Gaps,
}

/// Prices as a table gives them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) input: Rate,
    pub(super) output: Option<Rate>,
    pub(super) cache_read: Option<Rate>,
    pub(super) cache_write: Option<Rate>,
    pub(super) cache_write_1h: Option<Rate>,
}

impl Given {
    /// With the gaps filled.
    pub(super) fn completed(self) -> Rates {
        let mut gaps = Gaps::default();
        let mut or = |given: Option<Rate>, gap: Gap, instead: Rate| {
            given.unwrap_or_else(|| {
                gaps.insert(gap);
                instead
            })
        };
        let input = self.input;
        let output = or(self.output, Gap::Output, input);
        let cache_read = or(self.cache_read, Gap::CacheRead, input);
        let cache_write = or(self.cache_write, Gap::CacheWrite, input);
        let cache_write_1h = or(self.cache_write_1h, Gap::CacheWrite1h, input.doubled().max(cache_write));
        Rates { input, output, cache_read, cache_write, cache_write_1h, gaps }
    }
}

impl Rates {
    /// The exact cost in pico-dollars. Five products of 40 and 64 bits: no overflow.
    pub(super) fn pico(&self, usage: &Usage) -> u128 {
        self.input.times(usage.input_tokens)
            + self.output.times(usage.output_tokens)
            + self.cache_read.times(usage.cache_read_tokens)
            + self.cache_write.times(usage.cache_write_tokens)
            + self.cache_write_1h.times(usage.cache_write_1h_tokens)
    }

    /// The gaps that this usage meets.
    pub(super) fn gaps_met(&self, usage: &Usage) -> Gaps {
        let mut met = Gaps::default();
        for (gap, tokens) in [
            (Gap::Output, usage.output_tokens),
            (Gap::CacheRead, usage.cache_read_tokens),
            (Gap::CacheWrite, usage.cache_write_tokens),
            (Gap::CacheWrite1h, usage.cache_write_1h_tokens),
        ] {
            if tokens > 0 && self.gaps.contains(gap) {
                met.insert(gap);
            }
        }
        met
    }

    /// What a token that goes in costs at most. Reading a cache needs no asking, and an hour is for those who ask.
    pub(super) fn dearest_input(&self, caching: Caching) -> Rate {
        let fresh = self.input.max(self.cache_read);
        match caching {
            Caching::Off => fresh,
            Caching::Unasked => fresh.max(self.cache_write),
            Caching::FiveMinutes | Caching::OneHour => fresh.max(self.cache_write).max(self.cache_write_1h),
        }
    }
}

/// A price that was needed and not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Of the service tier: the standard price was charged.
    Tier,
    /// Of output: charged as input.
    Output,
    /// Of cache reads: charged as input.
    CacheRead,
    /// Of cache writes: charged as input.
    CacheWrite,
    /// Of cache writes for an hour: charged as twice the input, or as other cache writes.
    CacheWrite1h,
    /// Of so much input: charged as shorter input. Bedrock asks more for it of models that take it on request (Claude Sonnet 4 and 4.5).
    LongInput,
}

impl Gap {
    const ALL: [Gap; 6] = [Gap::Tier, Gap::Output, Gap::CacheRead, Gap::CacheWrite, Gap::CacheWrite1h, Gap::LongInput];

    fn bit(self) -> u8 {
        1 << self as u8
    }

    fn name(self) -> &'static str {
        match self {
            Gap::Tier => "tier",
            Gap::Output => "output",
            Gap::CacheRead => "cache_read",
            Gap::CacheWrite => "cache_write",
            Gap::CacheWrite1h => "cache_write_1h",
            Gap::LongInput => "long_input",
        }
    }
}

/// A set of gaps; empty for a cost that is exact in every part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps(u8);

impl Gaps {
    /// Whether every price was there.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this price was missing.
    pub fn contains(self, gap: Gap) -> bool {
        self.0 & gap.bit() != 0
    }

    pub(super) fn insert(&mut self, gap: Gap) {
        self.0 |= gap.bit();
    }
}

/// `tier, cache_write_1h`.
impl fmt::Display for Gaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Gap::ALL.into_iter().filter(|gap| self.contains(*gap)).map(Gap::name).collect();
        f.write_str(&names.join(", "))
    }
}
