//! What is known of a connection, between those who see its bytes and those who wait for them.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::sync::Notify;

/// What is known of a connection's bytes so far.
#[derive(Debug, Default)]
pub struct Progress {
    requests_begun: AtomicU64,
    running: AtomicU64,
    /// The request that Pingora reads or serves, and the last whose head it could read (HTTP/1 only).
    serving: AtomicU64,
    taken: AtomicU64,
    greeted: AtomicBool,
    own: bool,
    /// A request has begun, and the connection is to go (HTTP/2 only).
    asked: AtomicBool,
    leaving: AtomicBool,
    advanced: Notify,
    fault: OnceLock<&'static str>,
    head_bytes_max: OnceLock<usize>,
}

/// Of a request's head, where whoever serves the connection did not say.
const HEAD_BYTES_MAX: usize = 64 << 10;

impl Progress {
    /// Of a new connection; `own`: the gateway's, to itself.
    pub fn new(own: bool) -> Progress {
        Progress { own, ..Progress::default() }
    }

    /// A head of more bytes ends the connection (HTTP/1 only, whose heads are gathered until they are complete). Before its first byte.
    pub fn bound_heads(&self, bytes_max: usize) {
        let _ = self.head_bytes_max.set(bytes_max);
    }

    pub(super) fn head_bytes_max(&self) -> usize {
        *self.head_bytes_max.get().unwrap_or(&HEAD_BYTES_MAX)
    }

    /// Whether the gateway connected to itself.
    pub fn is_own(&self) -> bool {
        self.own
    }

    pub(super) fn count_begun(&self, requests: u64) {
        self.requests_begun.store(requests, Ordering::Relaxed);
    }

    pub(super) fn greet(&self, greeted: bool) {
        self.greeted.store(greeted, Ordering::Relaxed);
    }

    /// Wakes those who wait for what was noted.
    pub(super) fn advance(&self) {
        self.advanced.notify_waiters();
    }

    /// Waits for the first byte of the connection's `count`-th request (HTTP/1 only).
    pub async fn request_begins(&self, count: u64) {
        self.until(|| self.requests_begun.load(Ordering::Relaxed) >= count).await;
    }

    /// Waits until HTTP/2's preface is complete.
    pub async fn begins(&self) {
        self.until(|| self.greeted.load(Ordering::Relaxed)).await;
    }

    /// Pingora reads the connection's `count`-th request from now on.
    pub fn serve(&self, count: u64) {
        self.serving.store(count, Ordering::Relaxed);
    }

    /// It could read the head.
    pub fn take_head(&self) {
        self.taken.store(self.serving.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Whether it could.
    pub fn head_is_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == self.serving.load(Ordering::Relaxed)
    }

    /// A request begins; whether the connection is to be told to go now (HTTP/2 only).
    pub fn asks(&self) -> bool {
        self.asked.store(true, Ordering::SeqCst);
        self.leaving.load(Ordering::SeqCst)
    }

    /// The connection is to go; whether it can be told now, or only when it has asked something (HTTP/2 only).
    pub fn leave(&self) -> bool {
        self.leaving.store(true, Ordering::SeqCst);
        self.asked.load(Ordering::SeqCst)
    }

    /// Whether a request is running (HTTP/2 only).
    pub fn is_busy(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0
    }

    async fn until(&self, so: impl Fn() -> bool) {
        loop {
            let mut advanced = std::pin::pin!(self.advanced.notified());
            advanced.as_mut().enable();
            if so() {
                return;
            }
            advanced.await;
        }
    }

    /// Why the gateway ended the connection; a metric label. The first reason stays.
    pub fn fault(&self) -> Option<&'static str> {
        self.fault.get().copied()
    }

    /// Says why the gateway ends the connection.
    pub fn blame(&self, reason: &'static str) {
        let _ = self.fault.set(reason);
    }
}

/// A request that is running, until it is dropped.
pub struct Running(Arc<Progress>);

impl Running {
    /// One more on this connection.
    pub fn on(progress: &Arc<Progress>) -> Running {
        progress.running.fetch_add(1, Ordering::Relaxed);
        Running(progress.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}
