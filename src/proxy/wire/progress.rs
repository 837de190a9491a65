//! What is known of a connection, between those who see its bytes and those who wait for them.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

/// What is known of a connection's bytes so far.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    requests_begun: AtomicU64,
    running: AtomicU64,
    /// Times that bytes came or went (HTTP/2 only).
    moves: AtomicU64,
    /// When the last request ended: milliseconds since the beginning (HTTP/2 only).
    rested: AtomicU64,
    /// The request that Pingora reads or serves, and the last whose head it could read (HTTP/1 only).
    serving: AtomicU64,
    taken: AtomicU64,
    /// The request line being read has bytes that Pingora spells otherwise (HTTP/1 only).
    respelled: AtomicBool,
    greeted: AtomicBool,
    own: bool,
    /// A request has begun, and the connection is to go (HTTP/2 only).
    asked: AtomicBool,
    leaving: AtomicBool,
    advanced: Notify,
    fault: OnceLock<&'static str>,
}

impl Progress {
    /// Of a new connection; `own`: the gateway's, to itself.
    pub fn new(own: bool) -> Progress {
        Progress {
            began: Instant::now(),
            requests_begun: AtomicU64::default(),
            running: AtomicU64::default(),
            moves: AtomicU64::default(),
            rested: AtomicU64::default(),
            serving: AtomicU64::default(),
            taken: AtomicU64::default(),
            respelled: AtomicBool::default(),
            greeted: AtomicBool::default(),
            own,
            asked: AtomicBool::default(),
            leaving: AtomicBool::default(),
            advanced: Notify::default(),
            fault: OnceLock::default(),
        }
    }

    /// Whether the gateway connected to itself.
    pub fn is_own(&self) -> bool {
        self.own
    }

    pub(super) fn count_begun(&self, requests: u64) {
        self.requests_begun.store(requests, Ordering::Relaxed);
    }

    pub(super) fn respell(&self, respelled: bool) {
        self.respelled.store(respelled, Ordering::Relaxed);
    }

    /// Whether Pingora percent-encoded what it could not read in the target of the request being served (HTTP/1 only).
    pub fn target_is_respelled(&self) -> bool {
        self.respelled.load(Ordering::Relaxed)
    }

    pub(super) fn greet(&self, greeted: bool) {
        self.greeted.store(greeted, Ordering::Relaxed);
    }

    /// Wakes those who wait for what was noted.
    pub(super) fn advance(&self) {
        self.advanced.notify_waiters();
    }

    /// Whether the first byte of the connection's `count`-th request has come (HTTP/1 only).
    pub fn has_begun(&self, count: u64) -> bool {
        self.requests_begun.load(Ordering::Relaxed) >= count
    }

    /// Waits until HTTP/2's preface is complete.
    pub async fn begins(&self) {
        self.until(|| self.greeted.load(Ordering::Relaxed)).await;
    }

    /// Pingora reads the connection's `count`-th request from now on.
    pub fn serve(&self, count: u64) {
        self.serving.store(count, Ordering::Relaxed);
    }

    /// Which one that is; 0 if nobody said.
    pub(super) fn serving(&self) -> u64 {
        self.serving.load(Ordering::Relaxed)
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

    pub(super) fn move_on(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    /// A number that stays while no byte comes or goes (HTTP/2 only).
    pub fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }

    /// Whether a request is running (HTTP/2 only).
    pub fn is_busy(&self) -> bool {
        self.running.load(Ordering::Acquire) > 0
    }

    /// Waits until no request has been running for so long (HTTP/2 only).
    pub async fn rests(&self, most: Duration) {
        loop {
            let quiet = if self.is_busy() { Duration::ZERO } else { self.age().saturating_sub(self.rested_at()) };
            if quiet >= most {
                return;
            }
            sleep(most - quiet).await;
        }
    }

    /// Of the connection.
    fn age(&self) -> Duration {
        self.began.elapsed()
    }

    fn rested_at(&self) -> Duration {
        Duration::from_millis(self.rested.load(Ordering::Relaxed))
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
        let now = u64::try_from(self.0.age().as_millis()).unwrap_or(u64::MAX);
        self.0.rested.store(now, Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_rests_from_its_beginning_or_from_the_end_of_its_last_request() {
        const MOST: Duration = Duration::from_secs(60);
        let began = Instant::now();
        let progress = Arc::new(Progress::new(false));
        progress.rests(MOST).await;
        assert_eq!(began.elapsed(), MOST);

        let [long, short] = [(); 2].map(|()| Running::on(&progress));
        let resting = async {
            progress.rests(MOST).await;
            began.elapsed()
        };
        let asking = async {
            sleep(Duration::from_secs(10)).await;
            drop(short);
            sleep(Duration::from_secs(90)).await;
            drop(long);
            began.elapsed()
        };
        let (rested, asked) = tokio::join!(resting, asking);
        assert_eq!(rested, asked + MOST);
    }
}
