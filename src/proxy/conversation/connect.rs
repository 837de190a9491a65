//! A stream to Bedrock: HTTP/2 and nothing else, on a connection of its own, so that a reader who is slow holds up nobody else's events.
//! Another address is tried when one cannot be connected to; once the head is written, nothing is tried again.

use std::time::{Instant, SystemTime};

use pingora_core::{
    protocols::http::{ServerSession, client::HttpSession, v2::client::Http2Session},
    upstreams::peer::HttpPeer,
};
use pingora_http::RequestHeader;

use super::{Denial, Gateway, Passage};
use crate::{
    aws::Signer,
    proxy::{
        failure::blame,
        sign,
        upstream::{ATTEMPTS_MAX, addresses},
    },
};

/// A connection on which nothing was sent.
pub struct Connected {
    /// The stream.
    pub stream: Http2Session,
    /// What the connection is pooled by.
    pub peer: Box<HttpPeer>,
}

/// Connects to the first address that answers.
pub async fn connect(passage: &mut Passage, gateway: &Gateway) -> Result<Connected, Denial> {
    let service = passage.admitted.as_ref().ok_or(Denial::Internal)?.route().service;
    let began = Instant::now();
    passage.trace.call_begins();
    let mut denial = Denial::Unreachable;
    for address in addresses(&passage.live, service, &gateway.addresses).await.into_iter().take(ATTEMPTS_MAX) {
        let peer = passage.live.peers.conversation_peer(service, address);
        match gateway.conversations.get_http_session(&*peer).await {
            Ok((HttpSession::H2(stream), reused)) => {
                passage.arrival.waited += began.elapsed();
                let state = if reused { "reused" } else { "new" };
                gateway.metrics.upstream_connections.with_label_values(&[service.name(), state]).inc();
                return Ok(Connected { stream, peer });
            }
            Ok(_) => {
                tracing::error!(%address, service = service.name(), "the endpoint does not speak HTTP/2");
                denial = Denial::UpstreamWithoutHttp2;
            }
            Err(e) => {
                passage.trace.mark("tollgate.connect_failed", e.etype().as_str());
                denial = blame(&e.into_up());
            }
        }
    }
    passage.arrival.waited += began.elapsed();
    Err(denial)
}

/// The request's head as Bedrock gets it, and its signature, with which the chain of events begins.
pub fn head(
    session: &ServerSession,
    passage: &Passage,
    signer: &Signer,
    now: SystemTime,
) -> Result<(Box<RequestHeader>, [u8; 32]), Denial> {
    let mut request = Box::new(session.req_header().clone());
    let seed = sign::prepare_events(&mut request, passage, signer, now).map_err(|e| blame(&e))?;
    Ok((request, seed))
}
