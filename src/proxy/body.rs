//! The request body, held whole: SigV4 signs its hash before the first byte of the head goes out. Read within bounds of size, time and
//! of the room for all bodies, hashed as it arrives, and played back once per attempt by `replay`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http::{HeaderMap, Version, header};
use pingora_core::protocols::http::ServerSession;
use pingora_proxy::Session;
use tokio::time::timeout_at;

use super::{
    Denial, Passage,
    admit::Admitted,
    budget::{BodyBudget, Room},
    replay::{self, Slot},
};
use crate::{
    aws::{canonical::push_hex, sigv4::EMPTY_SHA256},
    config::Bodies,
};

/// Room taken at a time for a body whose length nobody said.
const STEP: u64 = 256 * 1024;

/// What later stations know of the body; the bytes themselves lie in the session's replay.
pub struct HeldBody {
    /// Bytes.
    pub length: u64,
    /// Hexadecimal.
    pub sha256: String,
    slot: Slot,
}

/// A body that has come, and its room.
pub struct WholeBody {
    /// As it came.
    pub pieces: Vec<Bytes>,
    /// Bytes.
    pub length: u64,
    /// Hexadecimal.
    pub sha256: String,
    room: Option<Room>,
}

/// Reads the body.
pub async fn read(
    session: &mut Session,
    passage: &mut Passage,
    budget: &Arc<BodyBudget>,
    bounds: &Bodies,
) -> Result<WholeBody, Denial> {
    if session.as_mut().is_body_empty() {
        return Ok(WholeBody { pieces: Vec::new(), length: 0, sha256: EMPTY_SHA256.to_owned(), room: None });
    }
    let mut reading =
        Reading { pieces: Vec::new(), length: 0, hash: Context::new(&SHA256), room: budget.room(), waited: Duration::ZERO };
    let read = reading.read(session, bounds).await;
    passage.arrival.waited += reading.waited;
    read?;
    let mut sha256 = String::with_capacity(64);
    push_hex(&mut sha256, reading.hash.finish().as_ref());
    Ok(WholeBody { pieces: reading.pieces, length: reading.length, sha256, room: Some(reading.room) })
}

/// Completes the admission by the body, and makes the session play it back.
pub fn hold(session: &mut Session, passage: &mut Passage, admitted: &mut Admitted, body: WholeBody) -> Result<HeldBody, Denial> {
    let WholeBody { pieces, length, sha256, room } = body;
    admitted.check_body(&sha256)?;
    if admitted.must_read_body() {
        let read = admitted.read_body(&pieces);
        if let Some(caller) = &mut passage.caller {
            let route = admitted.route();
            caller.called = Some((route.service.name(), route.operation_name()));
            caller.model = route.model.clone();
        }
        read?;
    }
    let slot = replay::install(session, pieces, room);
    Ok(HeldBody { length, sha256, slot })
}

impl HeldBody {
    /// Puts the client's real session back in place of the replay.
    pub fn give_back(&self, session: &mut Session) {
        replay::remove(session, &self.slot);
    }
}

struct Reading {
    pieces: Vec<Bytes>,
    length: u64,
    hash: Context,
    room: Room,
    /// For the client and for room; hashing is the gateway's own time.
    waited: Duration,
}

impl Reading {
    async fn read(&mut self, session: &mut Session, bounds: &Bodies) -> Result<(), Denial> {
        let announced = content_length(&session.req_header().headers);
        if announced.is_some_and(|length| length > bounds.bytes_max) {
            return Err(Denial::BodyTooLarge { bytes_max: bounds.bytes_max });
        }
        let mut room_for = announced.unwrap_or(STEP.min(bounds.bytes_max));
        self.grow(room_for, bounds).await?;
        answer_expectation(session.as_mut()).await?;

        let seconds_max = bounds.read_seconds_max;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(seconds_max);
        loop {
            let asked = Instant::now();
            let read = timeout_at(deadline, session.as_mut().read_request_body()).await;
            self.waited += asked.elapsed();
            let piece = read.map_err(|_| Denial::BodyTooSlow { seconds_max })?.map_err(|_| Denial::BodyBroken)?;
            let Some(piece) = piece else { return Ok(()) };
            self.length += piece.len() as u64;
            if self.length > bounds.bytes_max {
                return Err(Denial::BodyTooLarge { bytes_max: bounds.bytes_max });
            }
            while self.length > room_for {
                self.grow(STEP, bounds).await?;
                room_for += STEP;
            }
            self.hash.update(&piece);
            if !piece.is_empty() {
                self.pieces.push(piece);
            }
        }
    }

    async fn grow(&mut self, bytes: u64, bounds: &Bodies) -> Result<(), Denial> {
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
