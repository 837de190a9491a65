//! InvokeModelWithBidirectionalStream: request and answer are streams of events, and both run at once. Pingora's proxy sends one or the
//! other at a time, and ends a stream by resetting it; here the two directions do not wait for each other, a stream has limits in time, and
//! what ends it is told in an event. Connections and HTTP/2 are Pingora's.
//!
//! | file | job |
//! |---|---|
//! | [`connect`] | an HTTP/2 stream to Bedrock, its head signed |
//! | [`resign`] | the client's events in, the gateway's out: checked, unwrapped, signed in a chain of the gateway's own |
//! | [`client_chain`] | the client's chain, where its keys are ours |
//! | [`output`] | Bedrock's events on their way: whole, counted, read for usage |
//! | [`relay`] | the two directions, and what ends them |
//! | [`sending`] | the one that leads to Bedrock |
//! | [`held`] | room for what is held of events, and for what is not read meanwhile |
//! | [`limits`] | events a second, bytes, silence, duration |

pub mod client_chain;
pub mod connect;
pub mod held;
pub mod limits;
pub mod output;
pub mod relay;
pub mod resign;
pub mod sending;

use std::{
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::{Instant, SystemTime},
};

use pingora_core::protocols::http::{ServerSession, client::HttpSession as UpstreamSession};

use self::{
    client_chain::ClientChain,
    held::{Held, Loans},
    limits::Clock,
    output::Output,
    relay::Ended,
    resign::Resigner,
};
use super::{
    Denial, Gateway, Passage,
    content::Content,
    denial::Verdict,
    request::received,
    respond::{Answered, Refusal},
};
use crate::{
    aws::EventChain,
    bedrock::sonic::SpeechUsage,
    telemetry::{Counted, Outcome},
};

/// What is told of a conversation after it.
#[derive(Debug, Default)]
pub struct Account {
    /// Events from the client that went on, the closing one not counted.
    pub events_in: u64,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Events from Bedrock.
    pub events_out: u64,
    /// The last totals that Bedrock reported.
    pub usage: Option<SpeechUsage>,
    /// Events went to Bedrock after that.
    pub is_uncounted: bool,
    /// How it ended; `None` if it never began.
    pub outcome: Option<Outcome>,
}

/// Carries one conversation to its end.
///
/// # Errors
/// Nothing of an answer was written yet, and this is to be the answer.
pub async fn carry(session: &mut ServerSession, passage: &mut Passage, gateway: &Gateway) -> Result<(), Denial> {
    let tenant = passage.admitted.as_ref().ok_or(Denial::Internal)?.tenant().clone();
    let bounds = passage.live.snapshot.bidirectional.of_tenant(&tenant.limits);
    let measured = gateway.metrics.bidirectional.of_tenant(&tenant.name);
    let _open = Counted::in_gauge(measured.open.clone());
    passage.content = Content::Conversation(Account::default());

    // The credentials of this moment sign to the end, whatever they are replaced by meanwhile.
    let now = SystemTime::now();
    let signer = passage.admitted.as_ref().ok_or(Denial::Internal)?.signer(now)?;
    let client = passage.live.snapshot.authenticator.event_chain(&received(session)?, now)?;
    let client = client.map_or_else(ClientChain::of_placeholders, ClientChain::of_keys);
    let bodies = passage.live.snapshot.bodies.clone();
    let (held, loans) = (Held::new(&gateway.memory, &bodies), Loans::new(&gateway.memory, &bodies));
    let connected = loans.cover(connect::connect(passage, gateway)).await?;
    let (head, seed) = connect::head(session, passage, &signer, now)?;
    let service = passage.admitted.as_ref().ok_or(Denial::Internal)?.route().service;
    let chain = EventChain::new(signer, &passage.live.snapshot.region, service.signing_name(), seed);
    let mut resigner = Resigner::new(chain, client, &bounds, tenant.counters.clone(), measured.clone());
    let sent = Arc::<AtomicU64>::default();
    let mut output = Output::new(measured, sent.clone());

    let ServerSession::H2(downstream) = session else { return Err(Denial::Internal) };
    let mut upstream = connected.stream;
    upstream.write_request_header(head, false).map_err(|_| Denial::UpstreamBroken)?;
    passage.arrival.goes_upstream(Instant::now());
    let upstream = Mutex::new(upstream);
    let (downstream, clock) = (Mutex::new(downstream), Clock::new(&bounds));
    let (bodies, loans, metrics) = (&bodies, &loans, &*gateway.metrics);
    let both = relay::Both { downstream: &downstream, upstream: &upstream, clock: &clock, bodies, loans, metrics, sent: &sent };
    let ended = both.relay(&mut resigner, held, &mut output, passage).await;

    let stream = UpstreamSession::H2(upstream.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner));
    gateway.conversations.release_http_session(stream, &*connected.peer, connected.peer.options.idle_timeout).await;
    conclude(passage, &resigner, &output, ended)
}

/// Notes what came of it.
fn conclude(passage: &mut Passage, resigner: &Resigner, output: &Output, ended: Ended) -> Result<(), Denial> {
    let (outcome, told) = match ended {
        Ended::Complete => (Some(Outcome::Completed), Ok(())),
        Ended::ClientLeft => (Some(Outcome::ClientLeft), Ok(())),
        Ended::Denied(verdict, why) => {
            passage.answered = Some(Answered { status: None, refusal: Some(Refusal::of(&verdict)), why });
            (Some(outcome(&verdict)), Ok(()))
        }
        Ended::Unanswered(denial @ (Denial::UpstreamBroken | Denial::UpstreamBrokeOff | Denial::Unpassable(_))) => {
            (Some(Outcome::UpstreamFailed), Err(denial))
        }
        Ended::Unanswered(denial) => (None, Err(denial)),
    };
    let (events_in, bytes_in, is_uncounted) = (resigner.events(), resigner.bytes(), output.is_uncounted());
    let account = Account { events_in, bytes_in, events_out: output.events(), usage: output.usage(), is_uncounted, outcome };
    passage.content = Content::Conversation(account);
    told
}

/// Of a conversation that ends with a denial.
pub fn outcome(verdict: &Verdict) -> Outcome {
    match Refusal::of(verdict) {
        Refusal { failed: false, .. } => Outcome::Denied,
        Refusal { reason: "upstream_broken", .. } => Outcome::UpstreamFailed,
        _ => Outcome::GatewayFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_that_the_gateway_ends_is_not_held_against_bedrock() {
        assert_eq!(outcome(&Denial::UpstreamBroken.verdict()), Outcome::UpstreamFailed);
        assert_eq!(outcome(&Denial::LedgerUnavailable.verdict()), Outcome::GatewayFailed);
        assert_eq!(outcome(&Denial::EventAfterEnd.verdict()), Outcome::Denied);
    }
}
