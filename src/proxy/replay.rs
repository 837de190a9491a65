//! A downstream session that plays a held request body back, as often as attempts are made, and is the client's real session in
//! everything else. Stock Pingora 0.9.1 forgets a body over 64 KiB once it is read; it lets a custom session be put in the real one's place.
//! The trait is hidden (`pingora_core::protocols::http::custom::server`), hence the exact version in Cargo.toml; PR #816 there is
//! to replace this file.

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora_core::protocols::{
    Digest,
    http::{
        HttpTask, ServerSession,
        custom::{CustomMessageWrite, server::Session as CustomSession},
    },
    l4::socket::SocketAddr,
};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use super::{
    custody::Custody,
    departure::{Bounds, ClientLeft, Departure},
    memory::Room,
};

/// What the replay shares with the stations.
#[derive(Clone, Default)]
pub struct Slot {
    /// Where the real session lies after the replay is dropped.
    real: Arc<Mutex<Option<Box<ServerSession>>>>,
    /// Whether the client left in the middle.
    pub client_left: ClientLeft,
    head_is_held: Arc<AtomicBool>,
}

impl Slot {
    /// Holds the head of the answer until what this gives is dropped, or the answer is at its end. If it fails before, there was no head, and
    /// the gateway can answer in its place.
    pub fn hold_head(&self) -> HeadHold {
        self.head_is_held.store(true, Ordering::Release);
        HeadHold(self.head_is_held.clone())
    }
}

/// See [`Slot::hold_head`].
#[derive(Default)]
pub struct HeadHold(Arc<AtomicBool>);

impl Drop for HeadHold {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

type MessageReader = Box<dyn futures_core::Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>;

struct Replay {
    inner: Box<ServerSession>,
    slot: Slot,
    pieces: Vec<Bytes>,
    room: Option<Room>,
    next: usize,
    length: usize,
    /// A head that is held, and the empty pieces behind it.
    held: Vec<HttpTask>,
    departure: Departure,
    /// Acknowledges the charge before the end is told.
    custody: Option<Arc<Custody>>,
}

/// Puts a replay of `pieces` in the place of the client's session. `bounds`: how far the answer is read when the client leaves;
/// `custody`: what has to acknowledge the charge before the client sees the end.
pub fn install(
    session: &mut Session,
    pieces: Vec<Bytes>,
    room: Option<Room>,
    bounds: Option<Bounds>,
    custody: Option<Arc<Custody>>,
) -> Slot {
    let slot = Slot::default();
    let inner = mem::replace(&mut session.downstream_session, nobody());
    let length = pieces.iter().map(Bytes::len).sum();
    let departure = Departure::new(bounds, slot.client_left.clone());
    let replay = Replay { inner, slot: slot.clone(), pieces, room, next: 0, length, held: Vec::new(), departure, custody };
    *session.downstream_session = ServerSession::new_custom(Box::new(replay));
    slot
}

/// Puts the client's session back. Does nothing the second time.
pub fn remove(session: &mut Session, slot: &Slot) {
    if !session.downstream_session.is_custom() {
        return;
    }
    *session.downstream_session = ServerSession::new_custom(Box::new(()));
    if let Some(inner) = slot.real.lock().unwrap_or_else(PoisonError::into_inner).take() {
        session.downstream_session = inner;
    }
}

/// A session that is never asked anything.
fn nobody() -> Box<ServerSession> {
    Box::new(ServerSession::new_custom(Box::new(())))
}

impl Drop for Replay {
    fn drop(&mut self) {
        *self.slot.real.lock().unwrap_or_else(PoisonError::into_inner) = Some(mem::replace(&mut self.inner, nobody()));
    }
}

impl Replay {
    fn next_piece(&mut self) -> Option<Bytes> {
        let piece = self.pieces.get(self.next).cloned();
        self.next += usize::from(piece.is_some());
        piece
    }

    fn leave(&mut self, e: Box<Error>) -> Result<()> {
        self.inner.set_keepalive(None);
        self.departure.leave(e)
    }

    /// After the head of a final response no attempt can follow, so nothing has to be played again.
    fn forget_body_after(&mut self, tasks: &[HttpTask]) {
        let is_final = |task: &HttpTask| matches!(task, HttpTask::Header(head, _) if !head.status.is_informational());
        if self.next >= self.pieces.len() && tasks.iter().any(is_final) {
            self.pieces = Vec::new();
            self.next = 0;
            self.room = None;
        }
    }

    /// What is to be written now: nothing while the head is held, and nothing but the failure if it fails meanwhile.
    fn release(&mut self, mut tasks: Vec<HttpTask>) -> Vec<HttpTask> {
        let is_held = self.slot.head_is_held.load(Ordering::Acquire);
        if is_held && tasks.iter().any(|task| matches!(task, HttpTask::Failed(_))) {
            self.held.clear();
            tasks.retain(|task| matches!(task, HttpTask::Failed(_)));
        } else if is_held && !tasks.iter().any(HttpTask::is_end) {
            self.held.append(&mut tasks);
        } else if !self.held.is_empty() {
            self.held.append(&mut tasks);
            return mem::take(&mut self.held);
        }
        tasks
    }
}

#[async_trait]
impl CustomSession for Replay {
    fn req_header(&self) -> &RequestHeader {
        self.inner.req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.inner.req_header_mut()
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        Ok(self.next_piece())
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.next = self.pieces.len();
        Ok(())
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, _end: bool) -> Result<()> {
        self.inner.write_response_header(head).await
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, _end: bool) -> Result<()> {
        self.inner.write_response_header_ref(head).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.inner.write_response_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.inner.write_response_trailers(trailers).await
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        self.forget_body_after(&tasks);
        if self.departure.is_reading_on() {
            return self.departure.swallow(tasks);
        }
        let tasks = self.release(tasks);
        if tasks.is_empty() {
            return Ok(false);
        }
        let (end, failed) = (tasks.iter().any(HttpTask::is_end), tasks.iter().any(|task| matches!(task, HttpTask::Failed(_))));
        if end && let Some(custody) = self.custody.take() {
            // One that cannot be written waits in memory; to hold the answer back for as long would help nobody.
            let _ = custody.acknowledged().await;
        }
        match self.inner.response_duplex_vec(tasks).await {
            Err(e) if !failed => self.leave(e).map(|()| end),
            written => written,
        }
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.inner.get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.inner.get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.inner.get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.inner.request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.inner.response_written()
    }

    async fn shutdown(&mut self, _code: u32, _why: &str) {
        self.inner.shutdown().await;
    }

    fn is_body_done(&mut self) -> bool {
        self.next >= self.pieces.len()
    }

    async fn finish(&mut self) -> Result<()> {
        if self.departure.is_reading_on() {
            return Ok(());
        }
        self.inner.finish_body().await
    }

    fn is_body_empty(&mut self) -> bool {
        self.length == 0
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if !no_body_expected && let Some(piece) = self.next_piece() {
            return Ok(Some(piece));
        }
        // Nothing is left to send; what remains is to notice a client that leaves.
        if !self.departure.is_reading_on() {
            match self.inner.read_body_or_idle(true).await {
                Err(e) => self.leave(e)?,
                read => return read,
            }
        }
        Err(self.departure.enough().await)
    }

    fn body_bytes_sent(&self) -> usize {
        self.inner.body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.inner.body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.inner.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.inner.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.inner.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.inner.server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.inner.to_h1_raw()
    }

    /// The proxy calls this once at the start of each attempt: here the tape is rewound.
    fn enable_retry_buffering(&mut self) {
        self.next = 0;
    }

    fn retry_buffer_truncated(&self) -> bool {
        false
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        None
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(&mut self) -> Option<MessageReader> {
        None
    }

    fn restore_custom_message_reader(&mut self, _reader: MessageReader) -> Result<()> {
        Error::e_explain(ErrorType::InternalError, "no custom messages here")
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _writer: Box<dyn CustomMessageWrite>) -> Result<()> {
        Error::e_explain(ErrorType::InternalError, "no custom messages here")
    }
}
