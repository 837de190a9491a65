//! The price of one model at one time: for each service tier, rates by the length of the input.

use std::sync::Arc;

use super::{Gap, Gaps, NanoUsd, Rates};
use crate::bedrock::{
    ask::Caching,
    usage::{ServiceTier, Usage},
};

const PICO_PER_NANO: u128 = 1_000;

/// What a model costs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Price {
    standard: Arc<Schedule>,
    /// Those that are priced apart.
    others: Vec<(ServiceTier, Arc<Schedule>)>,
}

/// Rates of one tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// Where the figures come from.
    pub(super) source: Arc<str>,
    pub(super) base: Rates,
    /// Rates of the whole request once there are more input tokens than this; rising.
    pub(super) steps: Vec<(u64, Rates)>,
    /// Beyond so many input tokens the source knows no price.
    pub(super) input_tokens_max: u64,
}

/// What a request costs, and how well that is known.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'a> {
    /// The cost.
    pub cost: NanoUsd,
    /// Prices that were needed and not there.
    pub gaps: Gaps,
    source: &'a Arc<str>,
}

impl Charge<'_> {
    /// For the ledger: `genai-prices 0.2.1 regional`, and after it what was missing: `…; unpriced: tier`.
    pub fn source(&self) -> Arc<str> {
        if self.gaps.is_empty() {
            return self.source.clone();
        }
        format!("{}; unpriced: {}", self.source, self.gaps).into()
    }
}

impl Price {
    pub(super) fn new(standard: Arc<Schedule>, others: Vec<(ServiceTier, Arc<Schedule>)>) -> Price {
        Price { standard, others }
    }

    /// The cost of a request, exact but for one rounding to the nearest nano-dollar, half up; [`NanoUsd::MAX`] instead of overflow.
    pub fn cost(&self, usage: &Usage, tier: ServiceTier) -> NanoUsd {
        self.charge(usage, tier).cost
    }

    /// The cost, and what was missing to know it better.
    pub fn charge(&self, usage: &Usage, tier: ServiceTier) -> Charge<'_> {
        let (schedule, priced) = self.schedule(tier);
        let rates = schedule.rates(usage.input_total());
        let mut gaps = rates.gaps_met(usage);
        if usage.input_total() > schedule.input_tokens_max {
            gaps.insert(Gap::LongInput);
        }
        if !priced {
            gaps.insert(Gap::Tier);
        }
        Charge { cost: nano(rates.pico(usage)), gaps, source: &schedule.source }
    }

    /// No request with at most so many tokens in and out costs more. `caching`: what of its input may be written to a cache.
    pub fn at_most(&self, input_tokens: u64, output_tokens: u64, caching: Caching, tier: ServiceTier) -> NanoUsd {
        let (schedule, _) = self.schedule(tier);
        let bound = |rates: &Rates| rates.dearest_input(caching).times(input_tokens) + rates.output.times(output_tokens);
        // All that the input can reach: a longer one is not dearer in every table.
        let reached = schedule.steps.iter().take_while(|(over, _)| input_tokens > *over).map(|(_, rates)| bound(rates));
        nano(reached.fold(bound(&schedule.base), u128::max))
    }

    /// Where the standard rates come from: `genai-prices 0.2.1 regional`, `prices.toml`.
    pub fn source(&self) -> &Arc<str> {
        &self.standard.source
    }

    /// All rates for people to read: tier, where its figures come from, and rates from more than so many input tokens on.
    pub fn table(&self) -> impl Iterator<Item = (ServiceTier, &str, u64, &Rates)> {
        let standard = std::iter::once((ServiceTier::Standard, &self.standard));
        standard.chain(self.others.iter().map(|(tier, schedule)| (*tier, schedule))).flat_map(|(tier, schedule)| {
            let steps = schedule.steps.iter().map(|(over, rates)| (*over, rates));
            std::iter::once((0, &schedule.base)).chain(steps).map(move |(over, rates)| (tier, &*schedule.source, over, rates))
        })
    }

    /// Standard stands in for a tier without a price of its own; then the second value is false.
    fn schedule(&self, tier: ServiceTier) -> (&Schedule, bool) {
        let own = self.others.iter().find(|(other, _)| *other == tier);
        own.map_or((&self.standard, tier == ServiceTier::Standard), |(_, schedule)| (schedule, true))
    }

    pub(super) fn schedule_of(&self, tier: ServiceTier) -> Option<&Arc<Schedule>> {
        match tier {
            ServiceTier::Standard => Some(&self.standard),
            _ => self.others.iter().find(|(other, _)| *other == tier).map(|(_, schedule)| schedule),
        }
    }
}

impl Schedule {
    fn rates(&self, input_tokens: u64) -> &Rates {
        self.steps.iter().rev().find(|(over, _)| input_tokens > *over).map_or(&self.base, |(_, rates)| rates)
    }
}

fn nano(pico: u128) -> NanoUsd {
    let nano = pico.saturating_add(PICO_PER_NANO / 2) / PICO_PER_NANO;
    i64::try_from(nano).map_or(NanoUsd::MAX, NanoUsd)
}
