//! What a request costs its tenant: held once its body is known, settled by what Bedrock reports, given back where Bedrock bills nothing.
//! Which amounts fit is decided in `quota`; what came of it is told to the ledger.

use std::{borrow::Cow, sync::Arc};

use jiff::Timestamp;
use pingora_proxy::Session;

use super::{
    Denial, Gateway, Passage,
    admit::Admitted,
    body::{HeldBody, ReadBody},
};
use crate::{
    bedrock::{
        ask::{Ask as Asked, Caching},
        model::canonical,
        sonic::SpeechUsage,
        usage::{Metering, Reading, ServiceTier, Usage},
    },
    config::{MaxTokensOver, Unpriced},
    ledger::{self, Ledger},
    pricing::{NanoUsd, Price},
    quota::{Ask, Now, QuotaDenial, Reservation},
    snapshot::{Snapshot, Tenant},
    telemetry::{Metrics, NONE, Outcome},
};

/// Longer names of models are the client's invention; sums are not kept for each.
const MODEL_BYTES_MAX: usize = 256;
const LONG_MODEL: &str = "other";

/// Of a body that nobody reads for its tokens.
const BYTES_PER_TOKEN: u64 = 4;

/// A conversation's length is not known before: it holds so many tokens of input and as many of output, which is half a minute of speech or
/// more, and as many again each time they are used up.
const CONVERSATION_STEP: u64 = 1_000;

/// A request's part of its tenant's account, from the hold to the bill.
pub struct Charge {
    /// Until it is settled.
    reservation: Option<Reservation>,
    ledger: Arc<Ledger>,
    /// As the ledger has it.
    held: ledger::Hold,
    by_request: bool,
    price: Option<Arc<Price>>,
    /// What a request costs that reports no tokens.
    request_price: NanoUsd,
    tier: ServiceTier,
    input_estimate: u64,
    bill: Option<Bill>,
}

/// What a request came to.
#[derive(Clone, Debug)]
pub struct Bill {
    /// Its tokens.
    pub usage: Usage,
    /// What they cost.
    pub cost: NanoUsd,
    /// The tokens are a guess.
    pub estimated: bool,
    /// Charged as a request, because the answer says no usage.
    pub by_request: bool,
    /// Somebody said what it costs.
    pub priced: bool,
    /// It used more than was held.
    pub overdrawn: bool,
    /// The model as metrics name it: one that has a price, or `other`.
    pub model: Arc<str>,
}

impl Bill {
    /// For metrics.
    pub fn count(&self, tenant: &str, metrics: &Metrics) {
        let usage = &self.usage;
        let kinds = [
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cache_read", usage.cache_read_tokens),
            ("cache_write", usage.cache_write_tokens.saturating_add(usage.cache_write_1h_tokens)),
        ];
        for (kind, tokens) in kinds.into_iter().filter(|(_, tokens)| *tokens > 0) {
            metrics.tokens.with_label_values(&[tenant, &self.model, kind]).inc_by(tokens);
        }
        if self.cost > NanoUsd::ZERO {
            metrics.cost.with_label_values(&[tenant, &*self.model]).inc_by(self.cost.0 as f64 / 1e9);
        }
        let flags = [
            (self.estimated, &metrics.estimated),
            (self.by_request, &metrics.by_request),
            (!self.priced, &metrics.unpriced),
            (self.overdrawn, &metrics.overdrawn),
        ];
        flags.iter().filter(|(holds, _)| *holds).for_each(|(_, counter)| counter.with_label_values(&[tenant]).inc());
    }
}

/// A request over a quota, enforced or not.
fn count(denial: &QuotaDenial, mode: &str, metrics: &Metrics) {
    metrics.quota_denials.with_label_values(&[&*denial.tenant, &*denial.quota, denial.reason(), mode]).inc();
}

/// How the answer ended, for what is charged.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// Bedrock's status; `None` if no answer began.
    pub status: Option<u16>,
    /// What was read of its usage.
    pub reading: Reading,
    /// The client left, and the answer was given up before it began.
    pub abandoned: bool,
    /// For the ledger.
    pub outcome: &'static str,
}

/// Holds what the request may cost in every limit of its tenant. The body is changed where the tenant's cap or the metering asks for it.
pub async fn hold(
    session: &Session,
    passage: &mut Passage,
    admitted: &mut Admitted,
    body: &mut ReadBody,
    Gateway { ledger, metrics, .. }: &Gateway,
) -> Result<(), Denial> {
    let metering = admitted.metering();
    if metering == Metering::Free {
        return Ok(());
    }
    let live = passage.live.clone();
    let tenant = admitted.tenant().clone();
    let now = Now::read();
    let by_request = metering == Metering::PerRequest;
    let named = admitted.route().model.clone().unwrap_or_else(|| NONE.to_owned());
    let model = if named.len() > MODEL_BYTES_MAX { LONG_MODEL } else { canonical(&named) };
    let price = if by_request { None } else { live.snapshot.prices.price(&named, now.wall) };
    let request_price = live.snapshot.prices.request_price(admitted.route().operation_name());
    let priced = if by_request { request_price.is_some() } else { price.is_some() };
    if !priced {
        check_unpriced(&live.snapshot, &tenant, model, admitted)?;
    }
    if !ledger.admits() {
        return Err(Denial::LedgerUnavailable);
    }
    let mut tokens = if by_request { Tokens::default() } else { tokens(&live.snapshot, &tenant, admitted, body, &named)? };
    if let Some(tier) = session.req_header().headers.get("x-amzn-bedrock-service-tier") {
        tokens.tier = tier.to_str().ok().and_then(ServiceTier::parse).unwrap_or_default();
    }
    let cost = match &price {
        Some(price) => price.at_most(tokens.input, tokens.output, tokens.caching, tokens.tier),
        None => request_price.unwrap_or_default(),
    };
    let ask = Ask {
        request: passage.arrival.id,
        model,
        input_tokens: tokens.input,
        output_tokens: tokens.output,
        burndown_factor: live.snapshot.prices.burndown(&named),
        cost,
    };
    let granted = tenant.account.reserve(&tenant.quotas, &ask, &now);
    let grant = granted.inspect_err(|denial| count(denial, "enforced", metrics))?;
    grant.shadowed.iter().for_each(|denial| count(denial, "shadow", metrics));
    admitted.add_standings(grant.standings);

    let request = ledger::Request {
        id: passage.arrival.request_id.as_str().into(),
        time: now.wall,
        day: grant.reservation.date(),
        tenant: tenant.name.clone(),
        principal: passage.caller.as_ref().map_or_else(|| NONE.into(), |caller| caller.principal.subject.clone()),
        service: Cow::Borrowed(admitted.route().service.name()),
        operation: Cow::Borrowed(admitted.route().operation_name()),
        model: model.into(),
    };
    let input = Usage { input_tokens: tokens.input, ..Usage::default() };
    let held = ledger::Hold {
        request,
        input_tokens: tokens.input,
        output_tokens: tokens.output,
        cost,
        input_cost: price.as_ref().map_or(cost, |price| price.cost(&input, tokens.tier)),
        price_source: price.as_ref().map_or("none", |price| price.source()).into(),
        expires: expiry(now.wall, &live.snapshot),
    };
    ledger.hold(held.clone());
    admitted.charge = Some(Charge {
        reservation: Some(grant.reservation),
        ledger: ledger.clone(),
        held,
        by_request,
        price,
        request_price: request_price.unwrap_or_default(),
        tier: tokens.tier,
        // Of a conversation that says nothing of its usage, nobody knows even what went in.
        input_estimate: if admitted.is_conversation() { 0 } else { tokens.input },
        bill: None,
    });
    // With `strict`, a request that is upstream is on disk.
    ledger.acknowledged().await.map_err(|_| Denial::LedgerUnavailable)
}

/// Settles what has a charge; `outcome` says how the request ended.
pub fn settle(passage: &mut Passage, outcome: Outcome) {
    let left = passage.body.as_ref().is_some_and(HeldBody::client_left);
    let Some(charge) = passage.admitted.as_mut().and_then(|admitted| admitted.charge.as_mut()) else { return };
    let meter = &passage.meter;
    let abandoned = left && !meter.response_began() && passage.attempts.was_sent();
    let outcome = if left { Outcome::ClientLeft } else { outcome };
    let spoken = passage.conversation.as_ref().and_then(|conversation| conversation.usage);
    let reading = spoken.map_or_else(|| meter.reading(), reading_of_speech);
    charge.settle(&Ending { status: meter.status, reading, abandoned, outcome: outcome.label() });
}

/// The last totals of a conversation: Bedrock counts them up as it goes.
fn reading_of_speech(usage: SpeechUsage) -> Reading {
    Reading { usage: Some(usage_of_speech(usage)), complete: true, ..Reading::default() }
}

fn usage_of_speech(SpeechUsage { input_tokens, output_tokens, .. }: SpeechUsage) -> Usage {
    Usage { input_tokens, output_tokens, ..Usage::default() }
}

impl Charge {
    /// The bill, once there is one.
    pub fn bill(&self) -> Option<&Bill> {
        self.bill.as_ref()
    }

    /// A conversation has used so much, and goes on: holds more, once that is more than it holds. A step at a time; if that does not fit, as
    /// much as was used.
    ///
    /// # Errors
    /// What was used is over a limit.
    pub fn grow(&mut self, used: SpeechUsage, tenant: &Tenant, metrics: &Metrics) -> Result<(), QuotaDenial> {
        let Some(reservation) = &mut self.reservation else { return Ok(()) };
        let usage = usage_of_speech(used);
        let spent = self.price.as_ref().map_or(NanoUsd::ZERO, |price| price.cost(&usage, self.tier));
        let ledger::Hold { input_tokens, output_tokens, cost, .. } = self.held;
        if usage.input_tokens <= input_tokens && usage.output_tokens <= output_tokens && spent <= cost {
            return Ok(());
        }
        let now = Now::read();
        let mut denial = None;
        for step in [CONVERSATION_STEP, 0] {
            let grown = |held: u64, used: u64| if used > held { used.saturating_add(step) } else { held };
            let (input, output) = (grown(input_tokens, usage.input_tokens), grown(output_tokens, usage.output_tokens));
            let most = self.price.as_ref().map_or(NanoUsd::ZERO, |price| price.at_most(input, output, false, self.tier));
            let dearer = most.max(spent).max(cost);
            let more = (input.saturating_sub(input_tokens), output.saturating_sub(output_tokens));
            match reservation.extend(&tenant.quotas, more, NanoUsd(dearer.0.saturating_sub(cost.0)), &now) {
                Ok(shadowed) => {
                    shadowed.iter().for_each(|denial| count(denial, "shadow", metrics));
                    (self.held.input_tokens, self.held.output_tokens, self.held.cost) = (input, output, dearer);
                    self.ledger.hold(self.held.clone());
                    return Ok(());
                }
                Err(refusal) => denial = Some(refusal),
            }
        }
        denial.inspect(|denial| count(denial, "enforced", metrics)).map_or(Ok(()), Err)
    }

    /// Charges what Bedrock bills for an answer that ended so; gives back the rest. Does nothing the second time.
    pub fn settle(&mut self, ending: &Ending) {
        let Some((usage, estimated)) = self.billed(ending) else { return self.release() };
        let Some(reservation) = self.reservation.take() else { return };
        let tier = ending.reading.tier.unwrap_or(self.tier);
        let charged = self.price.as_ref().map(|price| price.charge(&usage, tier));
        let cost = charged.as_ref().map_or(self.request_price, |charged| charged.cost);
        let source = match &charged {
            Some(charged) => charged.source(),
            None if self.by_request && self.request_price > NanoUsd::ZERO => Cow::Borrowed("per request"),
            None => Cow::Borrowed("unpriced"),
        };
        let settled = reservation.settle(&usage, cost, &Now::read());
        self.ledger.settle(ledger::Entry {
            request: self.held.request.clone(),
            tier,
            usage,
            cost,
            price_source: source.as_ref().into(),
            estimated,
            by_request: self.by_request,
            outcome: Cow::Borrowed(ending.outcome),
        });
        self.bill = Some(Bill {
            usage,
            cost,
            estimated,
            by_request: self.by_request,
            priced: charged.is_some() || self.by_request,
            overdrawn: settled.overdrawn,
            model: if charged.is_some() { self.held.request.model.clone() } else { "other".into() },
        });
    }

    /// The tokens that Bedrock bills, and whether they are a guess; `None`: it bills nothing.
    fn billed(&self, ending: &Ending) -> Option<(Usage, bool)> {
        let reading = &ending.reading;
        let accepted = ending.status.is_some_and(|status| (200..300).contains(&status));
        if !accepted {
            // It may have been generated by now, and nobody will know how much.
            let unknown = Usage { input_tokens: self.input_estimate, ..Usage::default() };
            return ending.abandoned.then_some((unknown, true));
        }
        if self.by_request {
            return (!reading.failed).then(|| (reading.usage.unwrap_or_default(), false));
        }
        let generated_nothing = reading.usage.is_none() && reading.output_seen == 0;
        if reading.failed && generated_nothing {
            return None;
        }
        Some(reading.charge(self.input_estimate))
    }

    fn release(&mut self) {
        if self.reservation.take().is_some() {
            self.ledger.release(&self.held.request.id);
        }
    }
}

/// A request that ends in any other way, a panic included, costs nothing.
impl Drop for Charge {
    fn drop(&mut self) {
        self.release();
    }
}

fn check_unpriced(snapshot: &Snapshot, tenant: &Tenant, model: &str, admitted: &Admitted) -> Result<(), Denial> {
    if !tenant.quotas.limit_money(model) && snapshot.unpriced == Unpriced::Allow {
        return Ok(());
    }
    let what = match &admitted.route().model {
        Some(model) => format!("model {model}"),
        None => format!("operation {}", admitted.route().operation_name()),
    };
    Err(Denial::Unpriced { what })
}

fn expiry(now: Timestamp, snapshot: &Snapshot) -> Timestamp {
    let longest = jiff::SignedDuration::from_secs(i64::try_from(snapshot.reservation_seconds_max).unwrap_or(i64::MAX));
    now.checked_add(longest).unwrap_or(Timestamp::MAX)
}

/// What a request may use at most.
#[derive(Default)]
struct Tokens {
    input: u64,
    output: u64,
    caching: bool,
    tier: ServiceTier,
}

/// Reads what the request asks for, lowers it to the tenant's cap, and asks for usage where the client did not.
fn tokens(
    snapshot: &Snapshot,
    tenant: &Tenant,
    admitted: &mut Admitted,
    body: &mut ReadBody,
    model: &str,
) -> Result<Tokens, Denial> {
    let output_max = snapshot.prices.max_output_tokens(model);
    let Some(operation) = admitted.route().operation.map(|known| known.0) else { return Ok(Tokens::default()) };
    let is_chat = operation.name == "ChatCompletions";
    if admitted.is_conversation() {
        return Ok(Tokens { input: CONVERSATION_STEP, output: CONVERSATION_STEP, ..Tokens::default() });
    }
    if tenant.quotas.is_empty() && !is_chat {
        // Nothing depends on it but the estimate of an answer that breaks off, and reading takes its time.
        return Ok(Tokens { input: body.length() / BYTES_PER_TOKEN, output: output_max, ..Tokens::default() });
    }
    let ask = Asked::read(operation, Some(model), &body.pieces);
    let mut output = ask.output_max().unwrap_or_else(|| output_max.saturating_mul(ask.choices));
    if let Some(cap) = tenant.quotas.max_tokens_for(canonical(model)).filter(|_| ask.generates) {
        let asked = ask.max_tokens.unwrap_or(output_max);
        if asked > cap.max {
            let lowered = cap.over == MaxTokensOver::Lower && ask.thinking_budget.is_none_or(|budget| budget < cap.max);
            let pieces = if lowered { ask.with_max_tokens(&body.pieces, cap.max) } else { None };
            body.replace(pieces.ok_or_else(|| cap.denial(&tenant.name, asked))?);
            output = cap.max.saturating_mul(ask.choices);
        }
    }
    if is_chat {
        // The lowered body has other offsets.
        let ask = Asked::read(operation, Some(model), &body.pieces);
        if let Some(pieces) = ask.asking_for_usage(&body.pieces) {
            body.replace(pieces);
            admitted.hide_usage = true;
        }
    }
    Ok(Tokens { input: ask.input_estimate, output, caching: ask.caching != Caching::Off, tier: ask.tier.unwrap_or_default() })
}
