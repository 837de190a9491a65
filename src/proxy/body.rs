//! The request body, held whole: SigV4 signs its hash before the first byte of the head goes out. Read within bounds of size, time and
//! of the room for all bodies, hashed as it arrives, and kept for `exchange`, which sends it once per attempt.

mod pieces;

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http::{HeaderMap, Version, header};
use pingora_core::protocols::http::ServerSession;
use tokio::time::timeout_at;

use self::pieces::Pieces;
use super::{
    Denial, Passage,
    admit::Admitted,
    content::Content,
    exchange::Payload,
    memory::{BodyMemory, Room},
    ready::at_once,
};
use crate::{
    aws::{canonical::hex, sigv4::EMPTY_SHA256},
    config::Bodies,
};

/// Room taken at a time for a body whose length nobody said.
const STEP: u64 = 256 * 1024;

/// A body that was read whole; by default none.
#[derive(Default)]
pub struct ReadBody {
    /// In the pieces in which it came, or larger ones.
    pub pieces: Vec<Bytes>,
    length: u64,
    /// Hexadecimal.
    pub sha256: String,
    room: Option<Room>,
}

/// What later stations know of the body; the bytes themselves are `exchange`'s.
pub struct HeldBody {
    /// Bytes.
    pub length: u64,
    /// Hexadecimal.
    pub sha256: String,
    /// The client left while its answer was awaited, which is read on without it.
    pub client_left: bool,
}

/// Reads the body of somebody who is not known before it is there. Such a body takes room for no more than has come of it, and all of
/// them never more than half: with announcements alone nobody takes the room of those who are known.
pub async fn read(
    session: &mut ServerSession,
    passage: &mut Passage,
    memory: &Arc<BodyMemory>,
    bounds: &Bodies,
) -> Result<ReadBody, Denial> {
    let in_flight_bytes_max = (bounds.in_flight_bytes_max / 2).max(bounds.bytes_max);
    let bounds = Bodies { in_flight_bytes_max, ..bounds.clone() };
    read_within(session, passage, memory, &bounds, false).await
}

async fn read_within(
    session: &mut ServerSession,
    passage: &mut Passage,
    memory: &Arc<BodyMemory>,
    bounds: &Bodies,
    ahead: bool,
) -> Result<ReadBody, Denial> {
    if session.is_body_empty() {
        return Ok(ReadBody::empty());
    }
    let room = memory.room();
    let (pieces, hash) = (Pieces::default(), Context::new(&SHA256));
    let mut reading = Reading { pieces, length: 0, hash, room, ahead, waited: Duration::ZERO };
    let read = reading.read(session, bounds).await;
    passage.arrival.waited += reading.waited;
    passage.content = Content::Read(reading.length);
    read?;
    let sha256 = hex(reading.hash.finish().as_ref());
    Ok(ReadBody { pieces: reading.pieces.finish(), length: reading.length, sha256, room: Some(reading.room) })
}

/// Reads the body of a request that is admitted already: its caller may have a smaller maximum.
pub async fn read_for(
    session: &mut ServerSession,
    passage: &mut Passage,
    memory: &Arc<BodyMemory>,
    bounds: &Bodies,
    admitted: &Admitted,
) -> Result<ReadBody, Denial> {
    let rights = admitted.rights();
    let bytes_max = rights.body_bytes_max(bounds.bytes_max);
    let read = read_within(session, passage, memory, &Bodies { bytes_max, ..bounds.clone() }, true).await;
    read.map_err(|denial| match denial {
        Denial::BodyTooLarge { bytes_max } => rights.check_body(bytes_max.saturating_add(1)).err().map_or(denial, Denial::from),
        denial => denial,
    })
}

/// Completes the admission by what the body says, and the body by what policy puts into it.
pub fn complete(
    session: &ServerSession,
    passage: &mut Passage,
    admitted: &mut Admitted,
    body: &mut ReadBody,
) -> Result<(), Denial> {
    admitted.check_body(&body.sha256)?;
    admitted.rights().check_body(body.length)?;
    let headers = &session.req_header().headers;
    if admitted.must_read_body() {
        let read = admitted.read_body(headers, &body.pieces);
        if let Some(caller) = &mut passage.caller {
            let route = admitted.route();
            caller.called = Some((route.service.name(), route.operation_name()));
            caller.model = route.model.clone();
        }
        read?;
    }
    if let Some(pieces) = admitted.check_terms(headers, &body.pieces)? {
        body.replace(pieces);
    }
    Ok(())
}

impl ReadBody {
    /// No body.
    pub fn empty() -> ReadBody {
        ReadBody { pieces: Vec::new(), length: 0, sha256: EMPTY_SHA256.to_owned(), room: None }
    }

    /// Bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Puts other bytes in the place of what came: a few more or less of them.
    pub fn replace(&mut self, pieces: Vec<Bytes>) {
        let mut hash = Context::new(&SHA256);
        pieces.iter().for_each(|piece| hash.update(piece));
        self.sha256 = hex(hash.finish().as_ref());
        self.length = pieces.iter().map(|piece| piece.len() as u64).sum();
        let mut gathered = Pieces::default();
        pieces.into_iter().for_each(|piece| gathered.push(piece));
        self.pieces = gathered.finish();
    }

    /// What is known of it, and the bytes.
    pub fn hold(self) -> (HeldBody, Payload) {
        let held = HeldBody { length: self.length, sha256: self.sha256, client_left: false };
        (held, Payload { pieces: self.pieces, room: self.room })
    }
}

struct Reading {
    pieces: Pieces,
    length: u64,
    hash: Context,
    room: Room,
    /// Room is taken before the bytes come.
    ahead: bool,
    /// For the client and for room; hashing is the gateway's own time.
    waited: Duration,
}

impl Reading {
    async fn read(&mut self, session: &mut ServerSession, bounds: &Bodies) -> Result<(), Denial> {
        let announced = content_length(&session.req_header().headers);
        if announced.is_some_and(|length| length > bounds.bytes_max) {
            return Err(Denial::BodyTooLarge { bytes_max: bounds.bytes_max });
        }
        let mut room_for = 0;
        if self.ahead {
            room_for = announced.unwrap_or(STEP.min(bounds.bytes_max));
            self.grow(room_for, bounds).await?;
        }
        answer_expectation(session).await?;

        let mut began = None;
        loop {
            let mut read = pin!(session.read_request_body());
            // What is there already needs neither clock nor timer.
            let read = match at_once(read.as_mut()).await {
                Some(read) => read,
                None => {
                    let asked = Instant::now();
                    let seconds_max = bounds.patience_seconds(self.length);
                    let deadline = *began.get_or_insert(asked) + Duration::from_secs(seconds_max);
                    let read = timeout_at(deadline.into(), read).await;
                    self.waited += asked.elapsed();
                    read.map_err(|_| Denial::BodyTooSlow { seconds_max })?
                }
            };
            let Some(piece) = read.map_err(|_| Denial::BodyBroken)? else { return Ok(()) };
            self.length += piece.len() as u64;
            if self.length > bounds.bytes_max {
                return Err(Denial::BodyTooLarge { bytes_max: bounds.bytes_max });
            }
            if let Some(missing) = self.length.checked_sub(room_for).filter(|missing| *missing > 0) {
                let more = if self.ahead { missing.next_multiple_of(STEP) } else { missing };
                self.grow(more, bounds).await?;
                room_for += more;
            }
            self.hash.update(&piece);
            self.pieces.push(piece);
        }
    }

    async fn grow(&mut self, bytes: u64, bounds: &Bodies) -> Result<(), Denial> {
        if self.room.try_grow(bytes, bounds.in_flight_bytes_max).is_ok() {
            return Ok(());
        }
        let wait_max = Duration::from_secs(bounds.wait_seconds_max);
        let asked = Instant::now();
        let grown = self.room.grow(bytes, bounds.in_flight_bytes_max, wait_max).await;
        self.waited += asked.elapsed();
        grown.map_err(|_| Denial::NoRoom)
    }
}

/// The body's length, if the client said it. The head was found strict before, so there is one at most.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the client waits for a `100 Continue` before it sends its body.
pub fn expects_continue(session: &ServerSession) -> bool {
    let request = session.req_header();
    let expectation = request.headers.get(header::EXPECT).map(|value| value.as_bytes());
    request.version == Version::HTTP_11 && expectation.is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
}

async fn answer_expectation(session: &mut ServerSession) -> Result<(), Denial> {
    if !expects_continue(session) {
        return Ok(());
    }
    // Otherwise Pingora takes the 100 for an early response and closes the connection after the request.
    session.set_close_on_response_before_downstream_finish(false);
    let written = session.write_continue_response().await;
    session.set_close_on_response_before_downstream_finish(true);
    written.map_err(|_| Denial::BodyBroken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_the_place_of_a_body_is_held_in_few_pieces() {
        let mut body = ReadBody::empty();
        body.replace(vec![Bytes::from_static(b"{}"); 10_000]);
        assert_eq!((body.pieces.len(), body.length()), (1, 20_000));
        assert_eq!(body.pieces.concat(), b"{}".repeat(10_000));
    }
}
