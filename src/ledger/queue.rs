//! Where the request path leaves what is to be written, and the writer fetches it. Nobody waits here but the writer: a call
//! costs a short lock. Memory is bounded: rows beyond the bound live on in their sums.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    Entry, Hold, NotDurable,
    state::{Batch, Closing, Health, ROWS_TOGETHER_MAX, State},
};

/// Rows that may wait in memory, about 40 MB.
pub(super) const ROWS_WAITING_MAX: usize = 100_000;

/// What the writer is to do next.
#[derive(Debug)]
pub(super) enum Turn {
    Write(Batch),
    /// Nothing to write until the time given.
    Idle,
    /// All is written, and nothing more will come.
    End,
}

/// How far the writer is.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    committed: u64,
    failures: u64,
}

#[derive(Debug)]
pub(super) struct Queue {
    rows_waiting_max: usize,
    state: Mutex<State>,
    changed: Condvar,
    progress: watch::Sender<Progress>,
}

impl Queue {
    /// `written_holds`: those that the file has already.
    pub(super) fn new(rows_waiting_max: usize, written_holds: impl Iterator<Item = Arc<str>>) -> Queue {
        let state = State { written_holds: written_holds.collect(), ..State::default() };
        Queue { rows_waiting_max, state: Mutex::new(state), changed: Condvar::new(), progress: watch::Sender::default() }
    }

    pub(super) fn hold(&self, hold: Arc<Hold>) {
        self.say(|state| {
            state.holds.insert(hold.request.id.clone(), hold);
        });
    }

    pub(super) fn release(&self, id: &str) {
        self.say(|state| {
            if let Some(id) = state.end_hold(id) {
                state.releases.push(id);
            }
        });
    }

    pub(super) fn settle(&self, entry: Entry) {
        let closing = Closing::new(entry);
        self.say(|state| state.settle(closing, self.rows_waiting_max));
    }

    fn say(&self, what: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        let first = state.waiting_since.is_none();
        state.waiting_since.get_or_insert_with(Instant::now);
        state.said += 1;
        what(&mut state);
        if first || state.closings.len() == ROWS_TOGETHER_MAX {
            self.changed.notify_all();
        }
    }

    /// Until all that was said before is on disk, or a write has failed.
    pub(super) async fn durable(&self) -> Result<(), NotDurable> {
        let (said, mut progress) = {
            let mut state = self.lock();
            // A ledger that was closed since then has an error, and everything on disk.
            if self.progress.borrow().committed >= state.said {
                return Ok(());
            }
            if state.error.is_some() {
                return Err(NotDurable);
            }
            state.urgent = true;
            self.changed.notify_all();
            (state.said, self.progress.subscribe())
        };
        let failures = progress.borrow().failures;
        let end = progress.wait_for(|now| now.committed >= said || now.failures > failures).await;
        end.is_ok_and(|now| now.committed >= said).then_some(()).ok_or(NotDurable)
    }

    /// The ids of the holds in the file, when all is written.
    pub(super) fn held(&self) -> Vec<Arc<str>> {
        let state = self.lock();
        state.written_holds.iter().chain(state.holds.keys()).cloned().collect()
    }

    pub(super) fn health(&self) -> Health {
        self.lock().health()
    }

    /// Whether the last write succeeded, and none takes longer than `lag_max`.
    pub(super) fn keeps_up(&self, lag_max: Duration) -> bool {
        let state = self.lock();
        state.error.is_none() && state.lag() <= lag_max
    }

    /// Nothing more will be said.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_all();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// Waits until there is something to write, and `gather` more, so that others come along; or until `idle_until`.
    pub(super) fn next(&self, gather: Duration, idle_until: Instant) -> Turn {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let until = match state.waiting_since {
                Some(since) => {
                    let due = since + gather;
                    let enough = state.closings.len() >= ROWS_TOGETHER_MAX || state.urgent || state.closing;
                    if enough || now >= due {
                        return Turn::Write(state.take());
                    }
                    due
                }
                None if state.closing => return Turn::End,
                None if now >= idle_until => return Turn::Idle,
                None => idle_until,
            };
            state = self.changed.wait_timeout(state, until - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The batch fetched last is on disk. True if an attempt before failed.
    pub(super) fn committed(&self, batch: &Batch) -> bool {
        let mut state = self.lock();
        (state.writing_since, state.writing_rows) = (None, 0);
        self.progress.send_modify(|progress| progress.committed = batch.upto);
        state.error.take().is_some()
    }

    /// The file takes writes.
    pub(super) fn recovered(&self) {
        self.lock().error = None;
    }

    /// The batch fetched last could not be written, and waits. True if the writes before succeeded.
    pub(super) fn failed(&self, error: String) -> bool {
        let mut state = self.lock();
        let first = state.error.replace(error).is_none();
        self.progress.send_modify(|progress| progress.failures += 1);
        first
    }

    /// Waits before the next attempt; not longer than until the queue is closed.
    pub(super) fn rest(&self, pause: Duration) {
        let state = self.lock();
        let _ = self.changed.wait_timeout_while(state, pause, |state| !state.closing);
    }

    #[cfg(test)]
    pub(super) fn inject(&self, fault: impl FnOnce(&rusqlite::Connection) + Send + 'static) {
        self.lock().faults.0.push(Box::new(fault));
    }

    #[cfg(test)]
    pub(super) fn faults(&self, connection: &rusqlite::Connection) {
        let faults = std::mem::take(&mut self.lock().faults.0);
        faults.into_iter().for_each(|fault| fault(connection));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
