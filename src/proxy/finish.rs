//! The last station, always reached: everything is counted, and one line is written, or none if others stand for it.

use std::{net::SocketAddr, time::Duration};

use jiff::Timestamp;
use pingora_core::protocols::http::ServerSession;
use pingora_error::{Error, ErrorSource};

use super::{
    Gateway, Passage,
    charge::{self, Bill, Charge},
    edge,
    exchange::LEFT,
    failure::what_broke,
    listener::handshake::client_certificate,
    meter::Meter,
    respond::{Refusal, has_begun},
    sample, trace,
};
use crate::auth::ClientCertificate;
use crate::bedrock::{exception, usage::Usage};
use crate::telemetry::{AccessLine, Ended, NONE, Outcome, Refused};

/// The label of exceptions that AWS does not document.
const OTHER: &str = "other";

/// Counts and writes; the permit and the room are given back when the passage is dropped right after.
pub fn finish(session: &ServerSession, e: Option<&Error>, passage: &mut Passage, gateway: &Gateway) {
    if edge::is_own() {
        // Nobody's traffic: the watchdog asked whether we answer, without a credential.
        return;
    }
    // Of an answer that was read to its end for nobody nothing broke.
    let e = e.filter(|e| *e.etype() != LEFT);
    let outcome = outcome(passage, e);
    charge::settle(passage, outcome);
    let duration = passage.arrival.started.elapsed();
    let status = status(session, passage);
    count(passage, outcome, (duration, status), gateway);
    remember(passage, status, gateway);
    trace::record(session, e, passage, outcome, gateway);
    let Some(stands_for) = sample::stands_for(passage, outcome, duration) else { return };
    let error = e.map(what_broke);
    gateway.access_log.write(&line(session, error.as_deref(), passage, outcome, (duration, stands_for)));
}

fn outcome(passage: &Passage, e: Option<&Error>) -> Outcome {
    if let Some(outcome) = passage.content.conversation().and_then(|conversation| conversation.outcome) {
        return outcome;
    }
    match (refusal(passage), e.map(Error::esource)) {
        (Some(refused), _) if !refused.failed => Outcome::Denied,
        (_, Some(ErrorSource::Downstream)) => Outcome::ClientLeft,
        _ if passage.content.client_left() => Outcome::ClientLeft,
        (_, Some(ErrorSource::Upstream)) => Outcome::UpstreamFailed,
        (Some(refused), _) if matches!(refused.reason, "unreachable" | "upstream_broken") => Outcome::UpstreamFailed,
        (Some(_), _) | (_, Some(_)) => Outcome::GatewayFailed,
        (None, None) => Outcome::Completed,
    }
}

/// Of the answer that was sent, whoever gave it. One of Bedrock's whose client had left before was read for its usage alone.
pub(super) fn status(session: &ServerSession, passage: &Passage) -> Option<u16> {
    let sent = passage.meter.status.filter(|_| has_begun(session));
    sent.or_else(|| passage.answered.as_ref()?.status)
}

/// The method as logs and spans have it: of those that no API has, which are refused, each caller could think of longer ones.
pub(super) fn known_method(method: &str) -> &str {
    if matches!(method, "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") { method } else { "_OTHER" }
}

/// Why the gateway refused, if it did.
pub(super) fn refusal(passage: &Passage) -> Option<Refusal> {
    passage.answered.as_ref()?.refusal
}

/// Tenant, service and operation; `none` for whoever has no tenant here, so that a scanner makes no series.
pub(super) fn labels(passage: &Passage) -> (&str, &'static str, &'static str) {
    let caller = passage.caller.as_ref();
    let Some(tenant) = caller.and_then(|caller| caller.tenant.as_ref()) else { return (NONE, NONE, NONE) };
    let (service, operation) = match caller.and_then(|caller| caller.called) {
        Some(called) => called,
        None => (NONE, NONE),
    };
    (&tenant.name, service, operation)
}

fn count(passage: &Passage, outcome: Outcome, (duration, status): (Duration, Option<u16>), gateway: &Gateway) {
    let metrics = &gateway.metrics;
    let (tenant, service, operation) = labels(passage);
    let caller = passage.caller.as_ref().and_then(|caller| caller.tenant.as_ref());
    let series = caller.map_or(&metrics.of_nobody, |tenant| &tenant.series);
    if let Some(refusal) = refusal(passage) {
        metrics.denials.with_label_values(&[tenant, refusal.reason]).inc();
    }
    if let Some((status, exception)) = upstream_error(&passage.meter) {
        metrics.upstream_errors.with_label_values(&[tenant, service, &status.to_string(), exception]).inc();
    }
    if let Some(bill) = bill(passage) {
        bill.count(series, metrics);
    }
    let ended = Ended {
        called: (service, operation),
        status,
        outcome,
        duration,
        first_byte: passage.meter.first_byte.map(|at| at.duration_since(passage.arrival.started)),
        own_share: passage.arrival.own_share,
        request_bytes: passage.content.bytes(),
        response_bytes: passage.meter.bytes,
    };
    series.ended(&ended, metrics);
}

/// The status of an answer of Bedrock's that is an error, or ended with one, and the label of what it names.
fn upstream_error(meter: &Meter) -> Option<(u16, &'static str)> {
    let (status, named) = (meter.status?, meter.failed_with());
    let label = named.map_or(NONE, |name| exception::known(name).unwrap_or(OTHER));
    (status >= 400 || named.is_some()).then_some((status, label))
}

/// For the console.
fn remember(passage: &Passage, status: Option<u16>, gateway: &Gateway) {
    let (Some(answered), Some(refusal)) = (&passage.answered, refusal(passage)) else { return };
    let (tenant, _, operation) = labels(passage);
    let caller = passage.caller.as_ref();
    gateway.refusals.note(Refused {
        at: Timestamp::now(),
        request_id: passage.arrival.request_id.clone(),
        tenant: tenant.to_owned(),
        principal: caller.map(|caller| caller.principal.subject.to_string()),
        operation,
        model: caller.and_then(|caller| caller.model.clone()),
        status,
        reason: refusal.reason,
        why: answered.why.clone(),
    });
}

/// What it cost, once that is known.
pub(super) fn bill(passage: &Passage) -> Option<&Bill> {
    passage.admitted.as_ref()?.charge.as_ref().and_then(Charge::bill)
}

/// A socket of IPv6 that takes both kinds shows those of IPv4 as if they were of its own.
fn shown(client: SocketAddr) -> SocketAddr {
    SocketAddr::new(client.ip().to_canonical(), client.port())
}

fn line<'a>(
    session: &'a ServerSession,
    error: Option<&'a str>,
    passage: &'a Passage,
    outcome: Outcome,
    (duration, stands_for): (Duration, u32),
) -> AccessLine<'a> {
    let (tenant, service, operation) = labels(passage);
    let arrival = &passage.arrival;
    let meter = &passage.meter;
    let request = session.req_header();
    let bill = bill(passage);
    let tokens = |kind: fn(&Usage) -> u64| bill.map(|bill| kind(&bill.usage));
    let principal = passage.caller.as_ref().map(|caller| &caller.principal);
    AccessLine {
        ts: Timestamp::now(),
        request_id: &arrival.request_id,
        trace_id: passage.trace.id(),
        tenant,
        principal: principal.map(|principal| principal.subject.as_ref()),
        issuer: principal.map(|principal| principal.issuer.as_ref()),
        credential: principal.map(|principal| principal.proof.kind()),
        key_id: principal.and_then(|principal| principal.proof.key_id()),
        client: session.client_addr().and_then(|client| client.as_inet()).copied().map(shown),
        client_certificate: client_certificate(session).and_then(ClientCertificate::logged_name),
        method: known_method(request.method.as_str()),
        service,
        operation,
        model: passage.caller.as_ref().and_then(|caller| caller.model.as_deref()),
        status: status(session, passage),
        outcome: outcome.label(),
        reason: refusal(passage).map(|refusal| refusal.reason),
        rule: passage.caller.as_ref().and_then(|caller| caller.rule.as_deref()),
        error,
        exception: meter.failed_with(),
        source: if meter.status.is_some() { "bedrock" } else { "gateway" },
        request_bytes: passage.content.bytes(),
        response_bytes: meter.bytes,
        input_tokens: tokens(|usage| usage.input_tokens),
        output_tokens: tokens(|usage| usage.output_tokens),
        cache_read_tokens: tokens(|usage| usage.cache_read_tokens),
        cache_write_tokens: tokens(|usage| usage.cache_write_tokens.saturating_add(usage.cache_write_1h_tokens)),
        cost_usd: bill.map(|bill| bill.cost),
        estimated: bill.map(|bill| bill.estimated).filter(|estimated| *estimated),
        events_in: passage.content.conversation().map(|conversation| conversation.events_in),
        events_out: passage.content.conversation().map(|conversation| conversation.events_out),
        first_byte: meter.first_byte.map(|at| at.duration_since(arrival.started)),
        duration,
        own: arrival.own_share,
        upstream_request_id: meter.upstream_request_id.as_deref(),
        retries: passage.attempts.resent,
        generation: passage.live.snapshot.generation,
        stands_for: Some(stands_for).filter(|requests| *requests > 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_of_ipv4_is_shown_as_one() {
        for (client, expected) in
            [("[::ffff:127.0.0.1]:1", "127.0.0.1:1"), ("[2001:db8::1]:2", "[2001:db8::1]:2"), ("192.0.2.7:3", "192.0.2.7:3")]
        {
            assert_eq!(shown(client.parse().unwrap()).to_string(), expected);
        }
    }
}
