//! Attempts: the address of the next one, and whether there may be one. A request is sent once; the exception is a pooled connection
//! that had died before any byte of a response.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use pingora_core::{protocols::http::ServerSession, upstreams::peer::HttpPeer};
use pingora_error::{Error, ErrorSource, ErrorType, Result};

use super::{
    Denial, Live, Passage,
    addresses::{Addresses, HostPort},
    arrival::Arrival,
    failure::denied,
    respond,
};
use crate::{bedrock::Service, snapshot::Snapshot, telemetry::Metrics};

/// Attempts in all, failed connects included.
pub const ATTEMPTS_MAX: usize = 3;

/// A dead pooled connection shows itself this soon after the request is written; what breaks later may have been processed, and billed.
const DEAD_CONNECTION_SHOWS_WITHIN: Duration = Duration::from_millis(250);

/// The attempts of one request.
#[derive(Default)]
pub struct Attempts {
    addresses: Option<Vec<SocketAddr>>,
    next: usize,
    connecting_since: Option<Instant>,
    sent_at: Option<Instant>,
    /// Times the request went out on another connection after one had died.
    pub resent: u32,
}

impl Attempts {
    /// Whether any attempt got so far that Bedrock may have the request.
    pub fn was_sent(&self) -> bool {
        self.sent_at.is_some()
    }

    /// The request's head is about to be written.
    pub fn sent(&mut self, arrival: &mut Arrival) {
        let now = Instant::now();
        self.sent_at = Some(now);
        arrival.goes_upstream(now);
    }
}

/// The peer of the next attempt.
pub async fn next_peer(passage: &mut Passage, addresses: &Addresses) -> Result<Box<HttpPeer>> {
    let live = &passage.live;
    let Some(admitted) = &passage.admitted else { return Err(denied(Denial::Internal)) };
    let service = admitted.route().service;
    passage.trace.call_begins();
    if passage.attempts.addresses.is_none() {
        let began = Instant::now();
        let found = self::addresses(live, service, addresses).await;
        passage.arrival.waited += began.elapsed();
        passage.attempts.addresses = Some(found);
    }
    let known = passage.attempts.addresses.as_deref().unwrap_or_default();
    let Some(address) = known.get(passage.attempts.next % known.len().max(1)) else {
        return Err(denied(Denial::Unreachable));
    };
    passage.attempts.connecting_since = Some(Instant::now());
    // Where one pooled connection had died, the others of its age have too.
    let pooled = passage.attempts.resent == 0;
    Ok(if pooled { live.peers.peer(service, *address) } else { live.peers.fresh_peer(service, *address) })
}

/// Where a service is, in the order in which to try.
pub async fn addresses(live: &Live, service: Service, addresses: &Addresses) -> Vec<SocketAddr> {
    let endpoint = live.snapshot.endpoint(service);
    match live.snapshot.upstream.connect_to {
        Some(address) => vec![address],
        None => addresses.of(&endpoint.host, endpoint.port).await,
    }
}

/// The names of all hosts that requests may need the addresses of.
pub fn names(snapshot: &Snapshot) -> HashSet<HostPort> {
    let endpoints = snapshot.endpoints.iter().filter(|_| snapshot.upstream.connect_to.is_none());
    let named = endpoints.filter(|endpoint| endpoint.host.parse::<IpAddr>().is_err());
    named.map(|endpoint| (endpoint.host.clone(), endpoint.port)).collect()
}

/// Nothing was sent: the next address may be tried.
pub fn after_failed_connect(passage: &mut Passage, mut e: Box<Error>) -> Box<Error> {
    waited_for_connection(passage);
    passage.trace.mark("tollgate.connect_failed", e.etype().as_str());
    passage.attempts.next += 1;
    let addresses = passage.attempts.addresses.as_ref().map_or(0, Vec::len);
    e.set_retry(passage.attempts.next < addresses.min(ATTEMPTS_MAX));
    e
}

/// A connection is there.
pub fn connected(passage: &mut Passage, reused: bool, metrics: &Metrics) {
    waited_for_connection(passage);
    if let Some(admitted) = &passage.admitted {
        let state = if reused { "reused" } else { "new" };
        metrics.upstream_connections.with_label_values(&[admitted.route().service.name(), state]).inc();
    }
}

/// Something was sent: again only if the connection was dead before.
pub fn after_failed_attempt(
    session: &ServerSession,
    passage: &mut Passage,
    mut e: Box<Error>,
    reused: bool,
    metrics: &Metrics,
) -> Box<Error> {
    let broke = matches!(e.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError);
    let from_upstream = *e.esource() == ErrorSource::Upstream;
    let soon = passage.attempts.sent_at.is_some_and(|at| at.elapsed() < DEAD_CONNECTION_SHOWS_WITHIN);
    let unanswered = !passage.meter.heard && !respond::has_begun(session) && !answer_had_begun(&e);
    // Bedrock would generate, and bill, for nobody.
    let awaited = !passage.content.client_left();
    let again = reused && broke && from_upstream && soon && unanswered && awaited;
    if again {
        passage.attempts.resent += 1;
        passage.trace.mark("tollgate.resent", e.etype().as_str());
        if let Some(admitted) = &passage.admitted {
            metrics.upstream_retries.with_label_values(&[admitted.route().service.name()]).inc();
        }
    }
    e.set_retry(again);
    e
}

/// Whether part of a response's head had come. Pingora says so only in words: "… bytes already read: 12".
fn answer_had_begun(e: &Error) -> bool {
    let text = e.to_string();
    text.split("bytes already read: ").skip(1).any(|count| !count.starts_with('0'))
}

fn waited_for_connection(passage: &mut Passage) {
    if let Some(since) = passage.attempts.connecting_since.take() {
        passage.arrival.waited += since.elapsed();
    }
}
