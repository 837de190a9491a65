//! What requests came to together: the unit of what is kept for ever.

use std::{ops::AddAssign, sync::Arc};

use jiff::civil::Date;

use super::Entry;
use crate::{bedrock::usage::Usage, pricing::NanoUsd};

/// What a sum is kept for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SumKey {
    /// In the tenant's time zone.
    pub day: Date,
    /// Who pays.
    pub tenant: Arc<str>,
    /// What was used.
    pub model: Arc<str>,
}

/// Requests together. Adding stops at the ends of the ranges instead of overflowing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many.
    pub requests: u64,
    /// Their tokens.
    pub usage: Usage,
    /// What they cost.
    pub cost: NanoUsd,
    /// How many of them were estimated.
    pub estimated: u64,
    /// How many of them have no row, because memory ran short while the file could not be written.
    pub without_row: u64,
}

impl Sums {
    /// One request.
    pub fn of(entry: &Entry) -> Sums {
        Sums { requests: 1, usage: entry.usage, cost: entry.cost, estimated: entry.estimated.into(), without_row: 0 }
    }
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Sums) {
        let add = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        add(&mut self.requests, other.requests);
        add(&mut self.usage.input_tokens, other.usage.input_tokens);
        add(&mut self.usage.output_tokens, other.usage.output_tokens);
        add(&mut self.usage.cache_read_tokens, other.usage.cache_read_tokens);
        add(&mut self.usage.cache_write_tokens, other.usage.cache_write_tokens);
        add(&mut self.usage.cache_write_1h_tokens, other.usage.cache_write_1h_tokens);
        self.cost = self.cost + other.cost;
        add(&mut self.estimated, other.estimated);
        add(&mut self.without_row, other.without_row);
    }
}
