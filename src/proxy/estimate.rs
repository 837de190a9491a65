//! What a request may use and cost at most, before it runs: from its route, its body, the prices and the tenant's cap. Pure, so that
//! `tollgate explain` asks what a request would ask; what is held of it is `charge`'s.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use super::Denial;
use crate::{
    bedrock::{
        Operation,
        ask::{Ask as Asked, Caching},
        usage::{Metering, ServiceTier},
    },
    config::{HoldInput, MaxTokensOver, Unpriced},
    policy::Profiles,
    pricing::{ModelFacts, NanoUsd, Price, PriceBook, Sale},
    quota::{Ask, CapDenial},
    routing::Route,
    snapshot::Tenant,
    telemetry::NONE,
};

/// Longer names of models are the client's invention; sums are not kept for each.
const MODEL_BYTES_MAX: usize = 256;
const LONG_MODEL: &str = "other";

/// Says its usage only if it is asked to.
const CHAT: &str = "ChatCompletions";

/// What a model or an operation costs.
pub struct Tariff {
    /// As limits know it, and sums are kept for it.
    model: Arc<str>,
    /// It costs something as a request, not by its tokens.
    pub by_request: bool,
    /// Its tokens are held before, and estimated where its answer breaks off. Of others those count that the answer tells.
    pub counts: bool,
    /// The model has a price, so its name is no client's invention.
    pub is_named: bool,
    /// Of tokens: those that it holds, or that its answer tells.
    pub price: Option<Arc<Price>>,
    /// What a request costs that is charged as one.
    pub request_price: Option<NanoUsd>,
    facts: ModelFacts,
    /// Its answer may tell tokens.
    tells_tokens: bool,
}

/// What a request may use at most.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokens {
    /// What is held of its input.
    pub input: u64,
    /// What its input is likely to be, on the high side: charged where an answer breaks off and nobody says what it was.
    pub input_estimate: u64,
    /// Of all its answers together.
    pub output: u64,
    /// What of its input may be written to a cache.
    pub caching: Caching,
    /// How many answers or images, or queries that a request to rank is billed as.
    pub choices: u64,
    /// What it asks to be served in.
    pub tier: ServiceTier,
    /// The answer comes before anything is generated, so that nothing says what was.
    pub background: bool,
}

/// A conversation's length is not known before: it holds so many tokens of input and as many of output, which is half a minute of speech or
/// more, and as many again each time they are used up.
pub(super) const CONVERSATION_STEP: u64 = 1_000;

impl Tokens {
    /// Of a conversation that begins. No estimate of input: of one that says nothing of its usage, nobody knows even what went in.
    pub fn of_conversation() -> Tokens {
        Tokens { input: CONVERSATION_STEP, output: CONVERSATION_STEP, ..Tokens::default() }
    }

    /// With the tier that a head asks for, where Bedrock reads it there: of InvokeModel. Of the others it reads the body's.
    pub fn with_tier_of_head(self, operation: Option<&Operation>, tier: Option<ServiceTier>) -> Tokens {
        let takes_head = operation.is_some_and(|operation| operation.name.starts_with("InvokeModel"));
        Tokens { tier: tier.filter(|_| takes_head).unwrap_or(self.tier), ..self }
    }
}

/// What is sent in the place of what came, and taken out of the answer.
#[derive(Debug, Default)]
pub struct Changes {
    /// The body.
    pub body: Option<Vec<Bytes>>,
    /// The `max_tokens` it was lowered to.
    pub lowered_to: Option<u64>,
    /// The gateway asks for usage where the client did not, so the client does not get it.
    pub hide_usage: bool,
    /// It asks for more than caps that only watch.
    pub shadowed: Vec<CapDenial>,
}

/// How a route is charged. Operations that nobody knows yet may run a model: they are charged as requests, and so is what the operator has a
/// price for.
pub fn metering(prices: &PriceBook, route: &Route) -> Metering {
    match route.operation.map_or(Metering::PerRequest, |known| Metering::of(known.0)) {
        Metering::Free if prices.request_price(route.operation_name()).is_some() => Metering::PerRequest,
        metering => metering,
    }
}

impl Tariff {
    /// What is charged on a route.
    pub fn of(prices: &PriceBook, profiles: &Profiles, route: &Route, metering: Metering, now: Timestamp) -> Tariff {
        let written = route.model.as_deref().unwrap_or(NONE);
        let model = profiles.stands_for(written);
        let sale = prices.sale_of_profile(written, model, now);
        let facts = prices.facts_of_profile(written, model);
        let model: Arc<str> = if model.len() > MODEL_BYTES_MAX { LONG_MODEL } else { model }.into();
        let operation = route.operation.map(|known| known.0);
        let counts = metering == Metering::Tokens;
        let (price, of_model) = match sale {
            // One that nobody knows yet may tell what it used.
            Some(Sale::ByToken(price)) if counts || operation.is_none() => (Some(price), None),
            Some(Sale::ByRequest(amount)) if operation.is_some_and(Metering::runs_once) => (None, Some(amount)),
            _ => (None, None),
        };
        let uncounted = price.is_none() && operation.is_some_and(|operation| Asked::is_uncounted(operation, &model));
        let of_operation = if counts { None } else { prices.request_price(route.operation_name()) };
        Tariff {
            by_request: !counts || uncounted || of_model.is_some(),
            counts: counts && !uncounted,
            is_named: price.is_some() || of_model.is_some(),
            price,
            request_price: of_model.or(of_operation),
            facts,
            tells_tokens: operation.is_none_or(Metering::tells_tokens),
            model,
        }
    }

    /// The model as limits know it, and sums are kept for it.
    pub fn model(&self) -> &Arc<str> {
        &self.model
    }

    /// What it writes at most, of a request that does not say.
    pub fn output_max(&self) -> u64 {
        self.facts.max_output_tokens
    }

    /// Whether anybody said what it costs.
    pub fn is_priced(&self) -> bool {
        if self.by_request { self.request_price.is_some() } else { self.price.is_some() }
    }

    /// Whether the tenant may spend what nobody can tell.
    pub fn check(&self, unpriced: Unpriced, tenant: &Tenant, route: &Route) -> Result<(), Denial> {
        if self.is_priced() || (!tenant.quotas.limit_money(self.model()) && unpriced == Unpriced::Allow) {
            return Ok(());
        }
        let by_model = route.operation.is_some_and(|known| Metering::of(known.0) == Metering::Tokens);
        let what = match &route.model {
            Some(model) if by_model => format!("model {model}"),
            _ => format!("operation {}", route.operation_name()),
        };
        Err(Denial::Unpriced { what })
    }

    /// Reads what a request asks for, lowers it to the tenant's cap, and asks for usage where the client did not.
    pub fn tokens(&self, tenant: &Tenant, operation: Option<&Operation>, pieces: &[Bytes]) -> Result<(Tokens, Changes), Denial> {
        let mut changes = Changes::default();
        let Some(operation) = operation.filter(|_| self.counts) else { return Ok((self.least(operation, pieces), changes)) };
        let output_max = self.facts.max_output_tokens;
        // Without a quota, too: the tier is charged by, and the estimate, where an answer breaks off or the process is killed.
        let ask = Asked::read(operation, Some(&*self.model), pieces);
        let mut output = ask.output_max().unwrap_or_else(|| output_max.saturating_mul(ask.choices));
        let asked = ask.answer_max().unwrap_or(output_max);
        if ask.generates {
            let over = tenant.quotas.shadow_max_tokens_for(self.model()).filter(|cap| asked > cap.max);
            changes.shadowed.extend(over.map(|cap| cap.denial(&tenant.name, asked)));
        }
        if let Some(cap) = tenant.quotas.max_tokens_for(self.model()).filter(|cap| ask.generates && asked > cap.max) {
            let lowered = if cap.over == MaxTokensOver::Lower { ask.with_max_tokens(pieces, cap.max) } else { None };
            changes.body = Some(lowered.ok_or_else(|| cap.denial(&tenant.name, asked))?);
            changes.lowered_to = Some(cap.max);
            output = cap.max.saturating_mul(ask.choices);
        }
        if operation.name == CHAT {
            let asking = match &changes.body {
                // It has other offsets.
                Some(lowered) => Asked::read(operation, Some(&*self.model), lowered).asking_for_usage(lowered),
                None => ask.asking_for_usage(pieces),
            };
            if let Some(asking) = asking.map_err(|ambiguous| Denial::BodyUnreadable(ambiguous.to_string()))? {
                changes.body = Some(asking);
                changes.hide_usage = true;
            }
        }
        let (caching, tier) = (ask.caching, ask.tier.unwrap_or_default());
        let input_estimate = ask.input_estimate;
        let input = match tenant.quotas.hold_input() {
            HoldInput::Estimate => input_estimate,
            HoldInput::Bound => ask.input_bound,
        };
        Ok((Tokens { input, input_estimate, output, caching, choices: ask.choices, tier, background: ask.background }, changes))
    }

    /// Of what has no tokens to count before. Where its answer may tell some all the same, nobody knows how many: it asks for the least there
    /// can be, so that a spent limit refuses it.
    fn least(&self, operation: Option<&Operation>, pieces: &[Bytes]) -> Tokens {
        let least = u64::from(self.tells_tokens);
        let asked = operation.filter(|operation| self.request_price.is_some() && Metering::runs_once(operation));
        let asked = asked.map(|operation| Asked::read(operation, Some(&*self.model), pieces));
        let choices = asked.map_or(1, |asked| asked.choices.max(asked.queries));
        Tokens { input: least, output: least, choices, ..Tokens::default() }
    }

    /// What it costs as a request; `None`: it does not, or nobody said.
    pub fn cost_of_request(&self, tokens: &Tokens) -> Option<NanoUsd> {
        self.request_price.map(|price| price.times(tokens.choices.max(1)))
    }

    /// What the account is asked for.
    pub fn ask(&self, request: Uuid, tokens: &Tokens) -> Ask<'_> {
        let of_request = self.cost_of_request(tokens).unwrap_or_default();
        let cost = self.price.as_ref().map_or(of_request, |price| {
            let within = |tier| price.at_most(tokens.input, tokens.output, tokens.caching, tier);
            // A tier that a model does not have is served, and billed, as the standard one.
            within(tokens.tier).max(within(ServiceTier::Standard)).max(of_request)
        });
        Ask {
            request,
            model: self.model(),
            input_tokens: tokens.input,
            output_tokens: tokens.output,
            burndown_factor: self.facts.burndown,
            cost,
        }
    }
}
