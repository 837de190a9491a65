//! The way of a request, as Pingora's phases call it. This file is the timetable: what is done to a request stands in the stations,
//! in this order: [`arrival`] → [`admit`] → [`body`] → [`upstream`] → [`sign`] → [`meter`] → [`finish`], and [`respond`] for what
//! is refused on the way.

pub mod addresses;
pub mod admit;
pub mod arrival;
pub mod body;
pub mod budget;
pub mod denial;
pub mod departure;
pub mod edge;
pub mod finish;
pub mod head;
pub mod listener;
pub mod load;
pub mod meter;
pub mod peers;
mod replay;
pub mod respond;
pub mod sign;
pub mod upstream;
pub mod wire;

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::{listeners::tls::Acceptor, modules::http::HttpModules, protocols::Digest, upstreams::peer::HttpPeer};
use pingora_error::{Error, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};

use self::{
    addresses::Addresses,
    admit::{Admitted, Caller},
    arrival::Arrival,
    body::HeldBody,
    budget::BodyBudget,
    denial::Denial,
    listener::handshake,
    load::Load,
    meter::Meter,
    peers::Peers,
    respond::Refused,
    upstream::Attempts,
};
use crate::{
    aws::CredentialsSlot,
    snapshot::Snapshot,
    telemetry::{AccessLog, Metrics},
};

/// What a reload replaces: the snapshot, and what is made of it in Pingora's types.
pub struct Live {
    /// The configuration.
    pub snapshot: Snapshot,
    /// How its endpoints are connected to.
    pub peers: Peers,
    /// How its listeners shake hands; `None`: plaintext.
    pub acceptors: Vec<Option<Acceptor>>,
}

impl Live {
    /// Makes peers and acceptors of a snapshot.
    pub fn new(snapshot: Snapshot) -> Live {
        let tls = snapshot.listeners.iter().map(|listener| listener.tls.as_ref());
        let acceptors = tls.map(|tls| tls.map(|tls| handshake::acceptor(tls.config.clone()))).collect();
        Live { peers: Peers::new(&snapshot), acceptors, snapshot }
    }
}

/// The gateway between Pingora's phases: what all requests share.
pub struct Gateway {
    /// The configuration in force.
    pub live: Arc<ArcSwap<Live>>,
    /// What upstream requests are signed with.
    pub credentials: Arc<CredentialsSlot>,
    /// Where host names are.
    pub addresses: Arc<Addresses>,
    /// Room for requests.
    pub load: Arc<Load>,
    /// Room for request bodies.
    pub budget: Arc<BodyBudget>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// One line a request.
    pub access_log: Arc<AccessLog>,
}

/// One request on its way. A field belongs to the station of its name.
pub struct Passage {
    live: Arc<Live>,
    arrival: Arrival,
    caller: Option<Caller>,
    admitted: Option<Admitted>,
    body: Option<HeldBody>,
    attempts: Attempts,
    meter: Meter,
    refused: Option<Refused>,
}

impl Gateway {
    /// Everything before upstream; a denial ends the request.
    async fn let_in(&self, session: &mut Session, passage: &mut Passage) -> Result<(), Denial> {
        let mut admitted = admit::admit(session, passage, &self.load, &self.metrics)?;
        passage.body = Some(body::take(session, passage, &mut admitted, &self.budget, &self.metrics).await?);
        passage.admitted = Some(admitted);
        Ok(())
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Passage;

    fn new_ctx(&self) -> Passage {
        Passage {
            live: self.live.load_full(),
            arrival: Arrival::now(),
            caller: None,
            admitted: None,
            body: None,
            attempts: Attempts::default(),
            meter: Meter::default(),
            refused: None,
        }
    }

    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, passage: &mut Passage) -> Result<()> {
        edge::head_was_read();
        edge::bound_writes(session.as_mut(), &passage.live.snapshot.downstream);
        passage.arrival = Arrival::begin();
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, passage: &mut Passage) -> Result<bool> {
        match self.let_in(session, passage).await {
            Ok(()) => Ok(false),
            Err(denial) => respond::refuse(session, passage, denial).await.map(|()| true),
        }
    }

    async fn upstream_peer(&self, _: &mut Session, passage: &mut Passage) -> Result<Box<HttpPeer>> {
        upstream::next_peer(passage, &self.addresses).await
    }

    fn fail_to_connect(&self, _: &mut Session, _: &HttpPeer, passage: &mut Passage, e: Box<Error>) -> Box<Error> {
        upstream::after_failed_connect(passage, e)
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        reused: bool,
        _: &HttpPeer,
        _: std::os::fd::RawFd,
        _: Option<&Digest>,
        passage: &mut Passage,
    ) -> Result<()> {
        upstream::connected(passage, reused, &self.metrics);
        Ok(())
    }

    async fn upstream_request_filter(&self, _: &mut Session, request: &mut RequestHeader, passage: &mut Passage) -> Result<()> {
        sign::prepare(request, passage, &self.credentials)?;
        passage.attempts.sent(&mut passage.arrival);
        Ok(())
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        e: Box<Error>,
        passage: &mut Passage,
        reused: bool,
    ) -> Box<Error> {
        upstream::after_failed_attempt(session, passage, e, reused, &self.metrics)
    }

    async fn upstream_response_filter(&self, _: &mut Session, response: &mut ResponseHeader, passage: &mut Passage) -> Result<()>
    where
        Self::CTX: Send + Sync,
    {
        meter::response_head(response, passage)
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        passage: &mut Passage,
    ) -> Result<Option<std::time::Duration>>
    where
        Self::CTX: Send + Sync,
    {
        passage.meter.chunk(body.as_ref(), end);
        if let Some(admitted) = passage.admitted.as_mut().filter(|_| end) {
            admitted.release();
        }
        Ok(None)
    }

    async fn fail_to_proxy(&self, session: &mut Session, e: &Error, passage: &mut Passage) -> FailToProxy
    where
        Self::CTX: Send + Sync,
    {
        respond::fail(session, passage, e).await
    }

    async fn logging(&self, session: &mut Session, e: Option<&Error>, passage: &mut Passage)
    where
        Self::CTX: Send + Sync,
    {
        finish::finish(session, e, passage, self);
    }

    fn suppress_error_log(&self, _: &Session, _: &Passage, _: &Error) -> bool {
        true // The access log has the error.
    }
}
