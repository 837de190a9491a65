//! What a request costs its tenant: held once its body is known, settled by what Bedrock reports, given back where Bedrock bills nothing.
//! Which amounts fit is decided in `quota`, and what came of it told to the ledger, both by way of [`custody`](super::custody).

mod bill;
mod speech;

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, HeaderName};
use jiff::Timestamp;

pub use self::bill::Bill;
use self::speech::Pace;
use pingora_core::protocols::http::ServerSession;

use super::{
    Denial, Gateway, Passage,
    admit::Admitted,
    body::ReadBody,
    content::Content,
    custody::{Granted, Held},
    estimate::{Tariff, Tokens, metering},
    upstream::Attempts,
};
use crate::{
    bedrock::usage::{Metering, Reading, ServiceTier, Usage},
    ledger,
    pricing::{self, NanoUsd, Price},
    quota::{CapDenial, Now, QuotaDenial},
    snapshot::Snapshot,
    telemetry::{Metrics, NONE, Outcome},
};

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
    pace: Pace,
    bill: Option<Bill>,
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
    session: &ServerSession,
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
    if let Some(quota) = tenant.quotas.shadow_money(tariff.model()).filter(|_| !tariff.is_priced()) {
        metrics.account.quota_denials.with_label_values(&[&*tenant.name, quota, "unpriced", "shadow"]).inc();
    }
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
        tokens = Tokens::of_conversation();
    }
    let tokens = tokens.with_tier_of_head(operation, tier_of(&session.req_header().headers));
    let ask = tariff.ask(passage.arrival.id, &tokens);
    let input = Usage { input_tokens: tokens.input, ..Usage::default() };
    let of_input = tariff.price.as_ref().filter(|_| !tariff.by_request).map(|price| price.charge(&input, tokens.tier));
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
        pace: Pace::default(),
        bill: None,
    });
    Ok(())
}

/// Settles what has a charge; `outcome` says how the request ended.
pub fn settle(passage: &mut Passage, outcome: Outcome) {
    let left = passage.content.client_left() || outcome == Outcome::ClientLeft;
    let Some(charge) = passage.admitted.as_mut().and_then(|admitted| admitted.charge.as_mut()) else { return };
    let meter = &passage.meter;
    let abandoned = left && !meter.response_began() && may_be_billed(&passage.content, &passage.attempts);
    let outcome = if left { Outcome::ClientLeft } else { outcome };
    let spoken = passage.content.conversation().and_then(|conversation| charge.reading_of(conversation, outcome));
    let reading = spoken.unwrap_or_else(|| meter.reading());
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

/// No answer came, and the client is about to know: nothing is billed, unless Bedrock was only not waited for; `given_up`: as what such a
/// request ends. A gateway that is killed right after must not find a hold, and charge it.
pub async fn unanswered(passage: &mut Passage, given_up: Option<Outcome>) {
    let Some(charge) = passage.admitted.as_mut().and_then(|admitted| admitted.charge.as_mut()) else { return };
    let outcome = given_up.unwrap_or(Outcome::UpstreamFailed);
    let spoken = passage.content.conversation().and_then(|conversation| charge.reading_of(conversation, outcome));
    charge.settle(&Ending {
        status: None,
        reading: spoken.unwrap_or_default(),
        abandoned: given_up.is_some() && may_be_billed(&passage.content, &passage.attempts),
        upstream_request_id: None,
        outcome: outcome.label(),
    });
    // If it cannot be written the hold stays in the file, and to hold the answer back would help nobody.
    let _ = charge.held.acknowledged().await;
}

/// Whether Bedrock has what it would bill without an answer: the request, or of a conversation something that was said in it.
fn may_be_billed(content: &Content, attempts: &Attempts) -> bool {
    content.conversation().map_or(attempts.was_sent(), |conversation| conversation.is_uncounted)
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

    /// Charges what Bedrock bills for an answer that ended so; gives back the rest. Does nothing the second time.
    pub fn settle(&mut self, ending: &Ending<'_>) {
        let Some((usage, estimated)) = self.billed(ending) else { return self.held.release() };
        if !self.held.is_open() {
            return;
        }
        let tier = ending.reading.tier.unwrap_or(self.tier);
        let by_token = self.price.as_ref().filter(|_| !self.by_request || usage.total() > 0);
        let charged = by_token.map(|price| price.charge(&usage, tier));
        let by_request = self.by_request && by_token.is_none();
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
            by_request,
            outcome: Cow::Borrowed(ending.outcome),
        };
        let overdrawn = self.held.settle(entry, &Now::read());
        self.bill = Some(Bill {
            usage,
            cost,
            estimated,
            by_request,
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
            return ending.abandoned.then_some((reading.usage.unwrap_or(unknown), true));
        }
        if !self.counts {
            return (!reading.failed).then(|| (reading.usage.unwrap_or_default(), false));
        }
        if let (Some(output), None, false) = (self.background, reading.usage, reading.failed) {
            // Generated later, for whoever asks for it, and as often as they ask.
            let most = Usage { input_tokens: self.input_estimate, output_tokens: output, ..Usage::default() };
            return Some((most, true));
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
    let tiers = tiers.map(|tier| tier.to_str().map_or(ServiceTier::Other, ServiceTier::parse));
    tiers.reduce(ServiceTier::or_dearer)
}

fn expiry(now: Timestamp, snapshot: &Snapshot) -> Timestamp {
    let longest = jiff::SignedDuration::from_secs(i64::try_from(snapshot.reservation_seconds_max).unwrap_or(i64::MAX));
    now.checked_add(longest).unwrap_or(Timestamp::MAX)
}
