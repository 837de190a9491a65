//! What a request costs its tenant: held once its body is known, settled by what Bedrock reports, given back where Bedrock bills nothing.
//! Which amounts fit is decided in `quota`, and what came of it told to the ledger, both by way of [`custody`](super::custody).

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use pingora_proxy::Session;

use super::{
    Denial, Gateway, Passage,
    admit::Admitted,
    body::ReadBody,
    custody::{Granted, Held},
    estimate::{Tariff, Tokens, metering},
};
use crate::{
    bedrock::{
        ask::Caching,
        sonic::SpeechUsage,
        usage::{Metering, Reading, ServiceTier, Usage},
    },
    ledger,
    pricing::{self, NanoUsd, Price},
    quota::{CapDenial, Now, QuotaDenial},
    snapshot::{Snapshot, Tenant},
    telemetry::{Metrics, NONE, Outcome, TenantSeries},
};

/// A conversation's length is not known before: it holds so many tokens of input and as many of output, which is half a minute of speech or
/// more, and as many again each time they are used up.
const CONVERSATION_STEP: u64 = 1_000;

/// The source of no price.
const UNPRICED: &str = "unpriced";

static SERVICE_TIER: HeaderName = HeaderName::from_static("x-amzn-bedrock-service-tier");

/// A request's part of its tenant's account, from the hold to the bill.
pub struct Charge {
    held: Held,
    by_request: bool,
    /// Its tokens were held, and are estimated if nobody says them.
    counts: bool,
    /// The model's name is no client's invention.
    is_named: bool,
    price: Option<Arc<Price>>,
    /// What a request costs that is charged as one; `None`: nobody said.
    request_price: Option<NanoUsd>,
    tier: ServiceTier,
    input_estimate: u64,
    /// What was held of the output, where the answer comes before it.
    background: Option<u64>,
    /// What a conversation used as of the last count, and the most that was used between two: input and output.
    counted: (u64, u64),
    largest: (u64, u64),
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
    /// Somebody said what all of it costs.
    pub priced: bool,
    /// It used more than was held.
    pub overdrawn: bool,
    /// The model as metrics name it: one that has a price, or `other`.
    pub model: Arc<str>,
}

impl Bill {
    /// Of a request whose process is gone, as it was charged by estimate.
    pub fn of_lost(entry: &ledger::Entry) -> Bill {
        // The second is what older versions wrote.
        let is_named = ![UNPRICED, NONE].contains(&&*entry.price_source) && !entry.by_request;
        Bill {
            usage: entry.usage,
            cost: entry.cost,
            estimated: entry.estimated,
            by_request: entry.by_request,
            priced: !entry.price_source.contains(UNPRICED) && *entry.price_source != *NONE,
            overdrawn: false,
            model: if is_named { entry.request.model.clone() } else { "other".into() },
        }
    }

    /// For metrics.
    pub fn count(&self, series: &TenantSeries, metrics: &Metrics) {
        series.used(&self.model, &self.usage, self.cost, metrics);
        let flags = [
            (self.estimated, &metrics.account.estimated),
            (self.by_request, &metrics.account.by_request),
            (!self.priced, &metrics.account.unpriced),
            (self.overdrawn, &metrics.account.overdrawn),
        ];
        let tenant = series.tenant();
        flags.iter().filter(|(holds, _)| *holds).for_each(|(_, counter)| counter.with_label_values(&[tenant]).inc());
    }
}

/// A request over a quota, enforced or not.
fn count(denial: &QuotaDenial, mode: &str, metrics: &Metrics) {
    metrics.account.quota_denials.with_label_values(&[&*denial.tenant, &*denial.quota, denial.reason(), mode]).inc();
}

/// A request that asks for more output than it may.
fn count_cap(denial: &CapDenial, mode: &str, metrics: &Metrics) {
    metrics.account.quota_denials.with_label_values(&[&*denial.tenant, &*denial.quota, "max_tokens", mode]).inc();
}

fn count_refusal(denial: &Denial, metrics: &Metrics) {
    match denial {
        Denial::Quota(denial) => count(denial, "enforced", metrics),
        Denial::Cap(denial) => count_cap(denial, "enforced", metrics),
        _ => {}
    }
}

/// How the answer ended, for what is charged.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// Bedrock's status; `None` if no answer began.
    pub status: Option<u16>,
    /// What was read of its usage.
    pub reading: Reading,
    /// The answer was given up before it began: the client left, or Bedrock was silent for too long.
    pub abandoned: bool,
    /// Bedrock's id of the request.
    pub upstream_request_id: Option<&'a str>,
    /// For the ledger.
    pub outcome: &'static str,
}

/// Holds what the request may cost in every limit of its tenant. The body is changed where the tenant's cap or the metering asks for it.
pub async fn hold(
    session: &Session,
    passage: &mut Passage,
    admitted: &mut Admitted,
    body: &mut ReadBody,
    Gateway { custody, metrics, .. }: &Gateway,
) -> Result<(), Denial> {
    let live = passage.live.clone();
    let metering = metering(&live.snapshot.prices, admitted.route());
    if metering == Metering::Free {
        return Ok(());
    }
    let tenant = admitted.tenant().clone();
    let now = Now::read();
    let tariff = Tariff::of(&live.snapshot.prices, &tenant.policy.profiles, admitted.route(), metering, now.wall);
    tariff.check(live.snapshot.unpriced, &tenant, admitted.route())?;
    if !custody.admits() {
        return Err(Denial::LedgerUnavailable);
    }
    let operation = admitted.route().operation.map(|known| known.0);
    let (mut tokens, changes) =
        tariff.tokens(&tenant, operation, &body.pieces).inspect_err(|denial| count_refusal(denial, metrics))?;
    admitted.hide_usage = changes.hide_usage;
    if let Some(pieces) = changes.body {
        body.replace(pieces);
    }
    if admitted.is_conversation() {
        // No estimate of input: of one that says nothing of its usage, nobody knows even what went in.
        tokens = Tokens { input: CONVERSATION_STEP, output: CONVERSATION_STEP, ..Tokens::default() };
    }
    // Of the others Bedrock reads the body's.
    if operation.is_some_and(|operation| operation.name.starts_with("InvokeModel")) {
        tokens.tier = tier_of(&session.req_header().headers).unwrap_or(tokens.tier);
    }
    let ask = tariff.ask(passage.arrival.id, &tokens);
    let input = Usage { input_tokens: tokens.input, ..Usage::default() };
    let of_input = tariff.price.as_ref().map(|price| price.charge(&input, tokens.tier));
    let request = ledger::Request {
        id: passage.arrival.request_id.as_str().into(),
        time: now.wall,
        day: jiff::civil::Date::ZERO, // The account knows which it is where the tenant is.
        tenant: tenant.name.clone(),
        principal: passage.caller.as_ref().map_or_else(|| NONE.into(), |caller| caller.principal.subject.clone()),
        service: Cow::Borrowed(admitted.route().service.name()),
        operation: Cow::Borrowed(admitted.route().operation_name()),
        model: tariff.model().clone(),
    };
    let hold = Arc::new(ledger::Hold {
        request,
        input_tokens: tokens.input,
        output_tokens: tokens.output,
        cost: ask.cost,
        input_cost: of_input.as_ref().map_or(ask.cost, |charged| charged.cost),
        price_source: source(of_input.as_ref(), tariff.request_price),
        tier: tokens.tier,
        by_request: tariff.by_request,
        expires: expiry(now.wall, &live.snapshot),
    });
    let Granted { held, standings, shadowed } =
        custody.hold(&tenant, &ask, hold, &now).await.inspect_err(|denial| count_refusal(denial, metrics))?;
    shadowed.iter().for_each(|denial| count(denial, "shadow", metrics));
    changes.shadowed.iter().for_each(|denial| count_cap(denial, "shadow", metrics));
    admitted.add_standings(standings);
    admitted.charge = Some(Charge {
        held,
        by_request: tariff.by_request,
        counts: tariff.counts,
        is_named: tariff.is_named,
        request_price: tariff.cost_of_request(&tokens),
        price: tariff.price,
        tier: tokens.tier,
        input_estimate: tokens.input_estimate,
        background: tokens.background.then_some(tokens.output),
        counted: (0, 0),
        largest: (0, 0),
        bill: None,
    });
    Ok(())
}

/// Settles what has a charge; `outcome` says how the request ended.
pub fn settle(passage: &mut Passage, outcome: Outcome) {
    let left = passage.content.client_left() || outcome == Outcome::ClientLeft;
    let Some(charge) = passage.admitted.as_mut().and_then(|admitted| admitted.charge.as_mut()) else { return };
    let meter = &passage.meter;
    let abandoned = left && !meter.response_began() && passage.attempts.was_sent();
    let outcome = if left { Outcome::ClientLeft } else { outcome };
    let conversation = passage.content.conversation();
    let ends_it = matches!(outcome, Outcome::ClientLeft | Outcome::Denied);
    // Bedrock goes on with what it was sent, and nobody is left to hear what that came to: half a minute of it, as is held.
    let uncounted = conversation.is_some_and(|conversation| ends_it && conversation.is_uncounted);
    let least = if uncounted { charge.held.hold().input_tokens } else { 0 };
    let spoken = conversation.and_then(|conversation| conversation.usage.or(uncounted.then(SpeechUsage::default)));
    let reading = spoken.map_or_else(
        || meter.reading(),
        |usage| {
            let usage = SpeechUsage { input_tokens: usage.input_tokens.max(least), ..usage };
            reading_of_speech(usage, outcome == Outcome::Completed)
        },
    );
    charge.settle(&Ending {
        status: meter.status,
        reading,
        abandoned,
        upstream_request_id: meter.upstream_request_id.as_deref(),
        outcome: outcome.label(),
    });
}

/// A conversation's last bytes are about to go out: settles it before the client can know, and waits until that is durable, where it has
/// to be.
pub async fn conversation_ends(passage: &mut Passage, outcome: Outcome) {
    settle(passage, outcome);
    if let Some(charge) = passage.admitted.as_ref().and_then(|admitted| admitted.charge.as_ref()) {
        // One that cannot be written waits in memory; to hold the end back for as long would help nobody.
        let _ = charge.held.acknowledged().await;
    }
}

/// No answer came, and the client is about to know: nothing is billed, unless Bedrock was only not waited for (`given_up`). A gateway that
/// is killed right after must not find a hold, and charge it.
pub async fn unanswered(passage: &mut Passage, given_up: bool) {
    let Some(charge) = passage.admitted.as_mut().and_then(|admitted| admitted.charge.as_mut()) else { return };
    charge.settle(&Ending {
        status: None,
        reading: Reading::default(),
        abandoned: given_up && passage.attempts.was_sent(),
        upstream_request_id: None,
        outcome: Outcome::UpstreamFailed.label(),
    });
    // If it cannot be written the hold stays in the file, and to hold the answer back would help nobody.
    let _ = charge.held.acknowledged().await;
}

/// The last totals of a conversation: Bedrock counts them up as it goes.
fn reading_of_speech(usage: SpeechUsage, complete: bool) -> Reading {
    Reading { usage: Some(usage_of_speech(usage)), complete, ..Reading::default() }
}

fn usage_of_speech(SpeechUsage { input_tokens, output_tokens, .. }: SpeechUsage) -> Usage {
    Usage { input_tokens, output_tokens, ..Usage::default() }
}

impl Charge {
    /// The model as sums are kept for it: what stands behind a profile.
    pub fn model(&self) -> &str {
        &self.held.hold().request.model
    }

    /// The bill, once there is one.
    pub fn bill(&self) -> Option<&Bill> {
        self.bill.as_ref()
    }

    /// A conversation has used so much, and goes on: holds more, once what it holds has no room for as much as it used at most from one count
    /// to the next. A step at a time; if that does not fit, that much: others run beside it, and what it is told next is used already.
    ///
    /// # Errors
    /// There is no room for it.
    pub async fn grow(&mut self, used: SpeechUsage, tenant: &Tenant, metrics: &Metrics) -> Result<(), Denial> {
        if !self.held.is_open() {
            return Ok(());
        }
        let usage = usage_of_speech(used);
        let since = |now: u64, before: u64, most: u64| most.max(now.saturating_sub(before));
        self.largest = (
            since(usage.input_tokens, self.counted.0, self.largest.0),
            since(usage.output_tokens, self.counted.1, self.largest.1),
        );
        self.counted = (usage.input_tokens, usage.output_tokens);
        let price = |usage: &Usage| self.price.as_ref().map_or(NanoUsd::ZERO, |price| price.cost(usage, self.tier));
        let and = |step: u64| Usage {
            input_tokens: usage.input_tokens.saturating_add(self.largest.0.max(step)),
            output_tokens: usage.output_tokens.saturating_add(self.largest.1.max(step)),
            ..usage
        };
        let (next, spent) = (and(0), price(&usage));
        let ledger::Hold { input_tokens, output_tokens, cost, .. } = *self.held.hold();
        if next.input_tokens <= input_tokens && next.output_tokens <= output_tokens && price(&next) <= cost {
            return Ok(());
        }
        let now = Now::read();
        let mut denial = None;
        for step in [CONVERSATION_STEP, 0] {
            let ahead = and(step);
            let grown = |held: u64, next: u64, ahead: u64| if next > held { ahead } else { held };
            let input = grown(input_tokens, next.input_tokens, ahead.input_tokens);
            let output = grown(output_tokens, next.output_tokens, ahead.output_tokens);
            let most = self.price.as_ref().map_or(NanoUsd::ZERO, |price| price.at_most(input, output, Caching::Off, self.tier));
            let dearer = most.max(spent).max(cost);
            match self.held.grow(tenant, (input, output), (dearer, spent), &now).await {
                Ok(shadowed) => {
                    shadowed.iter().for_each(|denial| count(denial, "shadow", metrics));
                    return Ok(());
                }
                Err(refusal) => denial = Some(refusal),
            }
        }
        denial.inspect(|denial| count_refusal(denial, metrics)).map_or(Ok(()), Err)
    }

    /// Charges what Bedrock bills for an answer that ended so; gives back the rest. Does nothing the second time.
    pub fn settle(&mut self, ending: &Ending<'_>) {
        let Some((usage, estimated)) = self.billed(ending) else { return self.held.release() };
        if !self.held.is_open() {
            return;
        }
        let tier = ending.reading.tier.unwrap_or(self.tier);
        let charged = self.price.as_ref().map(|price| price.charge(&usage, tier));
        let cost = charged.as_ref().map_or(self.request_price.unwrap_or_default(), |charged| charged.cost);
        let source = source(charged.as_ref(), self.request_price);
        let request = self.held.hold().request.clone();
        let model = if self.is_named { request.model.clone() } else { "other".into() };
        let entry = ledger::Entry {
            request,
            upstream_request_id: ending.upstream_request_id.map(Into::into),
            tier,
            usage,
            cost,
            price_source: source,
            estimated,
            by_request: self.by_request,
            outcome: Cow::Borrowed(ending.outcome),
        };
        let overdrawn = self.held.settle(entry, &Now::read());
        self.bill = Some(Bill {
            usage,
            cost,
            estimated,
            by_request: self.by_request,
            priced: charged.map_or(self.request_price.is_some(), |charged| charged.gaps.is_empty()),
            overdrawn,
            model,
        });
    }

    /// The tokens that Bedrock bills, and whether they are a guess; `None`: it bills nothing.
    fn billed(&self, ending: &Ending<'_>) -> Option<(Usage, bool)> {
        let reading = &ending.reading;
        let accepted = ending.status.is_some_and(|status| (200..300).contains(&status));
        if !accepted {
            // It may have been generated by now, and nobody will know how much.
            let unknown = Usage { input_tokens: self.input_estimate, ..Usage::default() };
            return ending.abandoned.then_some((unknown, true));
        }
        if !self.counts {
            return (!reading.failed).then(|| (reading.usage.unwrap_or_default(), false));
        }
        if let (Some(output), None) = (self.background, reading.usage) {
            // Generated later, for whoever asks for it, and as often as they ask.
            let most = Usage { input_tokens: self.input_estimate, output_tokens: output, ..Usage::default() };
            return (!reading.failed).then_some((most, true));
        }
        if reading.blocked {
            return None;
        }
        let generated_nothing = reading.usage.is_none() && reading.output_seen == 0;
        if reading.failed && generated_nothing {
            return None;
        }
        Some(reading.charge(self.input_estimate, self.held.hold().output_tokens))
    }
}

/// Where a charge is from, for the ledger.
fn source(charged: Option<&pricing::Charge<'_>>, request_price: Option<NanoUsd>) -> Arc<str> {
    match (charged, request_price) {
        (Some(charged), _) => charged.source(),
        (None, Some(_)) => "per request".into(),
        (None, None) => UNPRICED.into(),
    }
}

/// The tier that a head asks for. Of two nobody knows which Bedrock takes: the dearest.
fn tier_of(headers: &HeaderMap) -> Option<ServiceTier> {
    let tiers = headers.get_all(&SERVICE_TIER).iter();
    let tiers = tiers.map(|tier| tier.to_str().ok().and_then(ServiceTier::parse).unwrap_or_default());
    tiers.max_by_key(|tier| *tier == ServiceTier::Priority)
}

fn expiry(now: Timestamp, snapshot: &Snapshot) -> Timestamp {
    let longest = jiff::SignedDuration::from_secs(i64::try_from(snapshot.reservation_seconds_max).unwrap_or(i64::MAX));
    now.checked_add(longest).unwrap_or(Timestamp::MAX)
}
