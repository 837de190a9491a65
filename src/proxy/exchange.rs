//! The exchange with Bedrock: a connection, the request in one write, and the answer piece by piece as it comes, while the client is watched.
//! Where and how often is `upstream`'s, what the head says `sign`'s, and what is counted `meter`'s.

mod client;
mod sending;

use std::{mem, pin::pin};

use bytes::Bytes;
use http::{Method, Version, header};
use pingora_core::{
    protocols::{
        Stream,
        http::{HttpTask, ServerSession, v1::client::HttpSession},
    },
    upstreams::peer::HttpPeer,
};
use pingora_error::Result;
use pingora_http::ResponseHeader;

pub use self::client::{Client, LEFT};
use self::sending::{Sent, send};
use super::{
    Gateway, Passage, hop,
    memory::Room,
    meter,
    ready::at_once,
    sign,
    upstream::{self, ATTEMPTS_MAX},
};

/// Pieces of an answer that were there at once go to the client in one write, up to so many: as many as Pingora takes.
const BATCH_MAX: usize = 4;

/// What is sent, once per attempt, and the room it takes.
pub struct Payload {
    /// The body.
    pub pieces: Vec<Bytes>,
    /// Until nothing can be sent again.
    pub room: Option<Room>,
}

/// Everything from the first attempt to the end of the answer.
///
/// # Errors
/// It broke off, on either side. What the gateway says instead, if it still can, is `respond`'s.
pub async fn carry(
    session: &mut ServerSession,
    passage: &mut Passage,
    mut payload: Payload,
    mut client: Client,
    gateway: &Gateway,
) -> Result<()> {
    for _ in 1..ATTEMPTS_MAX {
        match attempt(session, passage, &mut payload, &mut client, gateway).await {
            Err(e) if e.retry() => {}
            ended => return ended.and_then(|()| client.end()),
        }
    }
    attempt(session, passage, &mut payload, &mut client, gateway).await.and_then(|()| client.end())
}

async fn attempt(
    session: &mut ServerSession,
    passage: &mut Passage,
    payload: &mut Payload,
    client: &mut Client,
    gateway: &Gateway,
) -> Result<()> {
    let peer = upstream::next_peer(passage, &gateway.addresses).await?;
    let (stream, reused) = match gateway.connections.take(&*peer).await {
        Ok(connected) => connected,
        Err(e) => return Err(upstream::after_failed_connect(passage, e.into_up())),
    };
    upstream::connected(passage, reused, &gateway.metrics);
    let exchanged = exchange(session, passage, (stream, &peer), payload, client, gateway).await;
    exchanged.map_err(|e| upstream::after_failed_attempt(session, passage, e, reused, &gateway.metrics))
}

async fn exchange(
    session: &mut ServerSession,
    passage: &mut Passage,
    (stream, peer): (Stream, &HttpPeer),
    payload: &mut Payload,
    client: &mut Client,
    gateway: &Gateway,
) -> Result<()> {
    let mut request = Box::new(session.req_header().clone());
    request.set_version(Version::HTTP_11);
    sign::prepare(&mut request, passage)?;
    passage.attempts.sent(&mut passage.arrival);
    let Sent { mut answer, unsent } = {
        let sending = pin!(send(stream, request, &payload.pieces, peer));
        client.beside(session, passage, sending).await?.map_err(|e| e.into_up())?
    };

    let mut batch = Vec::with_capacity(BATCH_MAX);
    while !batch.last().is_some_and(HttpTask::is_end) {
        let mut read = pin!(answer.read_response_task());
        let task = match at_once(read.as_mut()).await {
            Some(task) => task,
            None => {
                pass_on(&mut batch, session, passage, client).await?;
                client.beside(session, passage, read).await?
            }
        };
        match task {
            Ok(task) => batch.push(filter(task, session, passage, payload)?),
            Err(e) => {
                let _ = pass_on(&mut batch, session, passage, client).await;
                return Err(unsent.unwrap_or(e).into_up());
            }
        }
        if batch.len() >= BATCH_MAX && !batch.last().is_some_and(HttpTask::is_end) {
            pass_on(&mut batch, session, passage, client).await?;
        }
    }
    // Before the client knows of the end: its next request, sent at once, must find the connection.
    if unsent.is_none() {
        release(answer, peer, gateway).await;
    }
    client.write(session, passage, batch).await
}

/// Gives the client what has come, unless it is held until more of it is known: then it has a head and empty pieces, and may come to nothing.
async fn pass_on(
    batch: &mut Vec<HttpTask>,
    session: &mut ServerSession,
    passage: &mut Passage,
    client: &mut Client,
) -> Result<()> {
    match passage.meter.is_held() {
        true => Ok(()),
        false => client.write(session, passage, mem::take(batch)).await,
    }
}

/// A piece of the answer as it goes on.
fn filter(task: HttpTask, session: &ServerSession, passage: &mut Passage, payload: &mut Payload) -> Result<HttpTask> {
    match task {
        HttpTask::Header(mut head, end) => {
            let method = &session.req_header().method;
            // No piece of a body will tell that there is none.
            let whole = hop::is_whole(method, &head);
            meter::response_head(&mut head, passage)?;
            if whole {
                passage.answer_ends();
            }
            if !head.status.is_informational() {
                // No attempt can follow.
                *payload = Payload { pieces: Vec::new(), room: None };
                frame(method, &mut head, end)?;
            }
            Ok(HttpTask::Header(head, end))
        }
        HttpTask::Body(mut piece, end) => {
            meter::response_body(&mut piece, end, passage)?;
            if end {
                passage.answer_ends();
            }
            Ok(HttpTask::Body(piece, end))
        }
        other => Ok(other),
    }
}

/// A body that ends with its connection gets another end, so that the client's can go on.
fn frame(method: &Method, head: &mut ResponseHeader, end: bool) -> Result<()> {
    let bodiless = end || *method == Method::HEAD || matches!(head.status.as_u16(), 204 | 304);
    let framed = head.headers.contains_key(header::TRANSFER_ENCODING) || head.headers.contains_key(header::CONTENT_LENGTH);
    if !bodiless && !framed {
        head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    Ok(())
}

/// Gives the connection back for others, if it can go on.
async fn release(mut answer: HttpSession, peer: &HttpPeer, gateway: &Gateway) {
    answer.respect_keepalive();
    if let Some(stream) = answer.reuse().await {
        gateway.connections.give_back(peer, stream);
    }
}
