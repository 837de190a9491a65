//! Keys that a token names and the issuer's key set lacks: the one place through which tokens ask for a fetch. Decides whether one is
//! due, and who may wait for it; fetches nothing.
//!
//! Anybody can write a token with a random `kid`, so what tokens can cause is one fetch per [`COOL_DOWN`] and issuer, whatever
//! their number, and what they can hold up is themselves.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::sync::{Notify, watch};

/// From one fetch that tokens asked for to the next.
pub const COOL_DOWN: Duration = Duration::from_secs(30);

/// A fetch that has not ended by then is not waited for any more.
pub const WAIT_MAX: Duration = Duration::from_secs(3);

/// More requests than this do not wait.
const WAITING_MAX: usize = 1_024;

/// Whether a fetch was asked for, and who waits for it.
#[derive(Default)]
pub struct Wanted {
    asked: Mutex<Asked>,
    fetch: Notify,
    fetched: watch::Sender<()>,
}

#[derive(Default)]
struct Asked {
    at: Option<SystemTime>,
    answered: bool,
}

/// Resolves when a fetch has ended, well or not.
pub type Fetched = watch::Receiver<()>;

impl Wanted {
    /// Asks for a fetch at `now` if none was asked for lately; nothing to wait for if none is coming.
    pub fn want(&self, now: SystemTime) -> Option<Fetched> {
        let mut asked = self.asked();
        // A clock that was set back begins anew.
        let since = asked.at.and_then(|at| now.duration_since(at).ok());
        match since {
            Some(since) if since < COOL_DOWN => {
                let coming = !asked.answered && since < WAIT_MAX;
                (coming && self.fetched.receiver_count() < WAITING_MAX).then(|| self.fetched.subscribe())
            }
            _ => {
                *asked = Asked { at: Some(now), answered: false };
                self.fetch.notify_one();
                Some(self.fetched.subscribe())
            }
        }
    }

    /// Resolves when somebody has asked. For the one task that fetches.
    pub async fn asked_for(&self) {
        self.fetch.notified().await;
    }

    /// A fetch has ended.
    pub fn answer(&self) {
        self.asked().answered = true;
        self.fetched.send_replace(());
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(wanted: &Wanted) -> usize {
        let mut asks = 0;
        while futures_now(wanted.asked_for()) {
            asks += 1;
        }
        asks
    }

    fn futures_now(future: impl Future<Output = ()>) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(future).poll(&mut context).is_ready()
    }

    #[test]
    fn ten_thousand_tokens_ask_once_a_cool_down() {
        let wanted = Wanted::default();
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_305_600);
        for period in 0..3 {
            let begins = start + COOL_DOWN * period;
            for token in 0..10_000 {
                drop(wanted.want(begins + Duration::from_millis(2) * token));
            }
            assert_eq!(asks(&wanted), 1, "period {period}");
            wanted.answer();
        }
    }

    #[test]
    fn only_what_is_coming_is_waited_for_and_not_by_everybody() {
        let wanted = Wanted::default();
        let now = SystemTime::UNIX_EPOCH + COOL_DOWN;
        let first = wanted.want(now).unwrap();
        assert!(wanted.want(now + WAIT_MAX).is_none()); // nobody fetches: too late
        let waiting: Vec<_> = (0..2 * WAITING_MAX).filter_map(|_| wanted.want(now)).collect();
        assert_eq!(waiting.len(), WAITING_MAX - 1);
        assert!(!first.has_changed().unwrap());
        wanted.answer();
        assert!(first.has_changed().unwrap());
        drop(waiting);
        assert!(wanted.want(now).is_none()); // the keys are as new as they get
        assert!(wanted.want(now - COOL_DOWN).is_some()); // the clock was set back
    }
}
