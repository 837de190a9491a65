//! The way of a request. This file is the timetable, which `service` begins and ends: what is done to a request stands in the stations, in
//! this order: [`arrival`] → [`admit`] → [`body`] → [`attribute`] → [`assume`] → [`charge`] → [`exchange`] → [`finish`], and [`respond`] for what
//! is refused on the way; [`trace`] goes along. `exchange` asks [`upstream`] where to, has [`sign`] write the head, and shows [`meter`] the
//! answer. [`vend`] and [`usage_page`] answer for themselves. A request whose body is a stream of events has no `body`, and goes from
//! `charge` to [`conversation`], and then to `finish`.

pub mod addresses;
pub mod admit;
pub mod allow;
pub mod arrival;
pub mod assume;
pub mod attribute;
pub mod awaited;
pub mod body;
pub mod charge;
pub mod content;
pub mod conversation;
pub mod custody;
pub mod denial;
pub mod departure;
pub mod edge;
pub mod estimate;
pub mod exchange;
pub mod failure;
pub mod finish;
pub mod head;
pub mod hop;
mod keepalive;
pub mod listener;
pub mod listing;
pub mod load;
pub mod memory;
pub mod meter;
pub mod peers;
pub mod pool;
mod ready;
pub mod request;
pub mod respond;
mod sample;
mod service;
pub mod sign;
pub mod standings;
pub mod suspect;
pub mod trace;
pub mod upstream;
pub mod usage_page;
pub mod vend;
pub mod wire;

use std::{sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;
use pingora_core::{connectors::http::Connector, protocols::http::ServerSession};
use pingora_error::Result;
use tokio::sync::watch;

use self::{
    addresses::Addresses,
    admit::{Admitted, Caller},
    arrival::Arrival,
    body::ReadBody,
    content::Content,
    custody::Custody,
    denial::Denial,
    exchange::{Client, Payload},
    listener::handshake::Acceptors,
    load::Load,
    memory::BodyMemory,
    meter::Meter,
    peers::Peers,
    pool::Pool,
    respond::Answered,
    trace::Trace,
    upstream::Attempts,
};
use crate::{
    aws::CredentialsSlot,
    snapshot::Snapshot,
    telemetry::{AccessLog, Metrics, Outcome, Refusals, SpanQueue},
};

/// What a reload replaces: the snapshot, and what is made of it in Pingora's types.
pub struct Live {
    /// The configuration.
    pub snapshot: Snapshot,
    /// How its endpoints are connected to.
    pub peers: Peers,
    /// How its listeners shake hands; `None`: plaintext.
    pub acceptors: Vec<Option<Acceptors>>,
}

impl Live {
    /// Makes peers and acceptors of a snapshot.
    pub fn new(snapshot: Snapshot) -> Live {
        let tls = snapshot.listeners.iter().map(|listener| listener.tls.as_ref()).enumerate();
        let acceptors = tls.map(|(index, tls)| tls.map(|tls| Acceptors::new(tls, index))).collect();
        Live { peers: Peers::new(&snapshot), acceptors, snapshot }
    }
}

/// The gateway: what all requests share.
pub struct Gateway {
    /// The configuration in force.
    pub live: Arc<ArcSwap<Live>>,
    /// What the requests of tenants without a role are signed with.
    pub credentials: Arc<CredentialsSlot>,
    /// Where host names are.
    pub addresses: Arc<Addresses>,
    /// Upstream connections, but for those of streams in both directions.
    pub connections: Arc<Pool>,
    /// Upstream connections of streams in both directions.
    pub conversations: Connector,
    /// Room for requests.
    pub load: Arc<Load>,
    /// Room for request bodies.
    pub memory: Arc<BodyMemory>,
    /// What is held and was spent.
    pub custody: Arc<Custody>,
    /// No request is to begin any more.
    pub closing: watch::Sender<bool>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What was refused of late.
    pub refusals: Arc<Refusals>,
    /// One line a request.
    pub access_log: Arc<AccessLog>,
    /// Spans of requests whose traces are recorded.
    pub spans: Arc<SpanQueue>,
}

/// One request on its way. Each field belongs to a station, and those behind it read it.
pub struct Passage {
    /// What it began with, whatever is loaded meanwhile.
    live: Arc<Live>,
    /// `arrival`'s.
    arrival: Arrival,
    /// `trace`'s, which is told of attempts by `upstream` and `conversation`.
    trace: Trace,
    /// `admit`'s; what the body says of it is `body`'s, and the rule that refused it `respond`'s.
    caller: Option<Caller>,
    /// `admit`'s; completed by all from `body` to `charge`.
    admitted: Option<Admitted>,
    /// `body`'s, or `conversation`'s.
    content: Content,
    /// `upstream`'s.
    attempts: Attempts,
    /// `meter`'s.
    meter: Meter,
    /// `respond`'s, or `conversation`'s.
    answered: Option<Answered>,
}

impl Passage {
    fn begin(live: Arc<Live>) -> Box<Passage> {
        // Boxed: it goes from future to future.
        Box::new(Passage {
            live,
            arrival: Arrival::begin(),
            trace: Trace::default(),
            caller: None,
            admitted: None,
            content: Content::default(),
            attempts: Attempts::default(),
            meter: Meter::default(),
            answered: None,
        })
    }

    /// The last of Bedrock's answer came. Before the client can know that its request is over: the next one, sent at once, must find all
    /// that is left.
    fn answer_ends(&mut self) {
        charge::settle(self, Outcome::Completed);
        self.admitted.iter_mut().for_each(Admitted::release);
    }
}

/// Where an admitted request goes.
enum Next {
    Upstream(Payload, Client),
    /// All of it is done.
    Finish,
}

impl Gateway {
    /// All stations of a request whose head was read, but the last.
    async fn pass(&self, session: &mut ServerSession, passage: &mut Passage) -> Result<()> {
        if let Some(endpoint) = vend::endpoint(session, passage.live.snapshot.vends) {
            return Box::pin(vend::serve(session, passage, endpoint, self)).await;
        }
        if usage_page::is_asked_for(session) {
            return Box::pin(usage_page::serve(session, passage, self)).await;
        }
        match self.let_in(session, passage).await {
            Ok(Next::Finish) => Ok(()),
            Ok(Next::Upstream(payload, client)) => Box::pin(exchange::carry(session, passage, payload, client, self)).await,
            Err(denial) => Box::pin(respond::refuse(session, passage, denial)).await,
        }
    }

    /// Everything before upstream, and for a stream in both directions everything; a denial ends the request.
    async fn let_in(&self, session: &mut ServerSession, passage: &mut Passage) -> Result<Next, Denial> {
        let live = passage.live.clone();
        let bounds = &live.snapshot.bodies;
        let burden = self.load.take_on(live.snapshot.downstream.requests_max)?;
        let claim = admit::identify(session, &live.snapshot).await?;
        // Before a signature over the body is proved, nothing is told or counted of whom it would be.
        let early = match claim.needs_body() {
            true if request::opens_conversation(session, &live.snapshot) => Some(ReadBody::empty()),
            true => Some(body::read(session, passage, &self.memory, bounds).await?),
            false => None,
        };
        let identity = claim.prove(early.as_ref().map(|body| body.sha256.as_str()), SystemTime::now())?;
        let mut admitted = admit::admit(session, passage, identity, burden, &self.metrics)?;
        if admitted.is_conversation() {
            attribute::attribute(session, passage, &mut admitted, &mut ReadBody::default())?;
            assume::assume(passage, &mut admitted, self).await?;
            charge::hold(session, passage, &mut admitted, &mut ReadBody::default(), self).await?;
            passage.admitted = Some(admitted);
            // Boxed: what is rare must not make the memory of every request larger, which is moved when it begins.
            let carried = Box::pin(conversation::carry(session, passage, self)).await;
            if let Err(denial) = &carried {
                // Bedrock goes on with what it was sent, if it was the client who had to be refused.
                let given_up = Some(conversation::outcome(&denial.verdict())).filter(|outcome| *outcome == Outcome::Denied);
                Box::pin(respond::take_over(passage, given_up)).await;
            }
            return carried.map(|()| Next::Finish);
        }
        let mut body = match early {
            Some(body) => body,
            None => body::read_for(session, passage, &self.memory, bounds, &admitted).await?,
        };
        body::complete(session, passage, &mut admitted, &mut body)?;
        attribute::attribute(session, passage, &mut admitted, &mut body)?;
        assume::assume(passage, &mut admitted, self).await?;
        charge::hold(session, passage, &mut admitted, &mut body, self).await?;
        let billed = admitted.charge.is_some();
        let read_on = departure::Bounds::new(&live.snapshot.metering, &self.metrics.reading_on).filter(|_| billed);
        let client = Client::new(read_on, billed.then(|| self.custody.clone()));
        let (held, payload) = body.hold();
        passage.content = Content::Body(held);
        passage.admitted = Some(admitted);
        Ok(Next::Upstream(payload, client))
    }
}
