//! What was settled, per day and model: the truth from which the sum of any window and scope follows, also of a limit that is new.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{ask::Amounts, ask::nano_dollars, calendar::window};
use crate::{
    bedrock::usage::Usage,
    pricing::NanoUsd,
    quota::{Measure, Span},
};

/// This month and the previous one, and days that a jumping clock wrote to.
const DAYS_MAX: usize = 100;

/// Only what was answered with usage gets here, so names are real; still, nothing is without a bound.
const MODELS_MAX: usize = 1_024;

/// Models beyond the bound.
const OTHER: &str = "other";

/// What some requests used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Tokens.
    pub usage: Usage,
    /// Money.
    pub cost: NanoUsd,
    /// How many requests.
    pub requests: u64,
    /// How many of them were charged by estimate.
    pub estimated: u64,
}

impl Spent {
    /// One request.
    pub fn request(usage: Usage, cost: NanoUsd) -> Spent {
        Spent { usage, cost, requests: 1, estimated: 0 }
    }

    /// One request whose tokens are a guess.
    pub fn estimate(usage: Usage, cost: NanoUsd) -> Spent {
        Spent { estimated: 1, ..Spent::request(usage, cost) }
    }

    /// Both; the end of the range instead of overflow.
    pub fn add(&mut self, more: &Spent) {
        let (sum, usage) = (&mut self.usage, &more.usage);
        for (sum, tokens) in [
            (&mut sum.input_tokens, usage.input_tokens),
            (&mut sum.output_tokens, usage.output_tokens),
            (&mut sum.cache_read_tokens, usage.cache_read_tokens),
            (&mut sum.cache_write_tokens, usage.cache_write_tokens),
            (&mut sum.cache_write_1h_tokens, usage.cache_write_1h_tokens),
            (&mut self.requests, more.requests),
            (&mut self.estimated, more.estimated),
        ] {
            *sum = sum.saturating_add(tokens);
        }
        self.cost = self.cost + more.cost;
    }

    fn amount(&self, measure: Measure) -> u64 {
        Amounts { cost: nano_dollars(self.cost), ..Amounts::used(&self.usage, NanoUsd::ZERO, 1) }.get(measure)
    }
}

/// Settled sums.
#[derive(Default)]
pub(super) struct Sums {
    days: BTreeMap<Date, HashMap<Arc<str>, Spent>>,
}

impl Sums {
    pub(super) fn add(&mut self, date: Date, model: &Arc<str>, spent: &Spent) {
        let models = self.days.entry(date).or_default();
        let full = models.len() >= MODELS_MAX;
        match models.get_mut(model) {
            Some(sum) => sum.add(spent),
            None => models.entry(if full { OTHER.into() } else { model.clone() }).or_default().add(spent),
        }
        if self.days.len() > DAYS_MAX {
            // By number and not by age: to a clock in 2030 everything is old, and when it comes back it must find its sums.
            let oldest = self.days.keys().copied().find(|day| *day != date);
            oldest.map(|oldest| self.days.remove(&oldest));
        }
    }

    /// The sum of a window over the models that `has` takes.
    pub(super) fn total(&self, measure: Measure, span: Span, first: Date, has: impl Fn(&str) -> bool) -> u128 {
        let days = self.days.range(first..=last(span, first)).flat_map(|(_, models)| models);
        days.filter(|(model, _)| has(model)).map(|(_, spent)| u128::from(spent.amount(measure))).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Date, &Arc<str>, &Spent)> {
        self.days.iter().flat_map(|(date, models)| models.iter().map(|(model, spent)| (*date, model, spent)))
    }
}

fn last(span: Span, first: Date) -> Date {
    match span {
        Span::Month => first.last_of_month(),
        Span::Day | Span::Minute => window(span, first),
    }
}
