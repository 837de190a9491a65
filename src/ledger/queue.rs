//! Where the request path leaves what is to be written, and the writer fetches it. Nobody waits here but the writer: a call
//! costs a short lock. Memory is bounded: rows beyond the bound live on in their sums.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{Entry, Hold, NotDurable, SumKey, Sums};

/// Rows that may wait in memory, about 40 MB.
pub(super) const ROWS_WAITING_MAX: usize = 100_000;

/// Rows of one transaction.
pub(super) const ROWS_TOGETHER_MAX: usize = 10_000;

/// A row to be written.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) entry: Entry,
    /// Whether its hold has been written.
    pub(super) held: bool,
    number: u64,
    since: Instant,
}

/// What is written in one transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) holds: Vec<Hold>,
    pub(super) releases: Vec<Arc<str>>,
    pub(super) closings: VecDeque<Closing>,
    /// Of rows that found no room.
    pub(super) folded: HashMap<SumKey, Sums>,
    /// All that was said up to this one is in it, or written already.
    upto: u64,
}

/// What the writer is to do next.
#[derive(Debug)]
pub(super) enum Turn {
    Write(Batch),
    /// Nothing to write until the time given.
    Idle,
    /// All is written, and nothing more will come.
    End,
}

#[derive(Debug, Default)]
struct State {
    holds: HashMap<Arc<str>, Hold>,
    releases: Vec<Arc<str>>,
    closings: VecDeque<Closing>,
    folded: HashMap<SumKey, Sums>,
    /// Ids of the holds that are in the file, or on their way.
    written_holds: HashSet<Arc<str>>,
    /// How often something was said; the number of what was said last.
    said: u64,
    /// When the oldest that waits was said.
    waiting_since: Option<Instant>,
    /// The same of what is being written, and its rows.
    writing_since: Option<Instant>,
    writing_rows: usize,
    rows_folded: u64,
    urgent: bool,
    closing: bool,
    error: Option<String>,
    #[cfg(test)]
    faults: Faults,
}

/// What tests do to the writer's connection before it writes.
#[cfg(test)]
type Fault = Box<dyn FnOnce(&rusqlite::Connection) + Send>;

#[cfg(test)]
#[derive(Default)]
struct Faults(Vec<Fault>);

#[cfg(test)]
impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} faults", self.0.len())
    }
}

/// How far the writer is.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    committed: u64,
    failures: u64,
}

/// How the ledger fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The last write succeeded.
    pub writable: bool,
    /// Age of the oldest thing that is not on disk yet.
    pub lag: Duration,
    /// Rows in memory that are not on disk yet.
    pub rows_waiting: usize,
    /// Rows given up since the start because too many waited; their sums are not lost.
    pub rows_folded: u64,
    /// Holds in the file, or on their way.
    pub holds: usize,
    /// Why the last write failed.
    pub error: Option<String>,
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

    pub(super) fn hold(&self, hold: Hold) {
        self.say(|state, _| {
            state.holds.insert(hold.request.id.clone(), hold);
        });
    }

    pub(super) fn release(&self, id: &str) {
        self.say(|state, _| {
            if let Some(id) = state.end_hold(id) {
                state.releases.push(id);
            }
        });
    }

    pub(super) fn settle(&self, entry: Entry) {
        self.say(|state, now| {
            let held = state.end_hold(&entry.request.id);
            if state.closings.len() + state.writing_rows < self.rows_waiting_max {
                state.closings.push_back(Closing { entry, held: held.is_some(), number: state.said, since: now });
            } else {
                *state.folded.entry(entry.request.key()).or_default() += Sums { without_row: 1, ..Sums::of(&entry) };
                state.rows_folded += 1;
                state.releases.extend(held);
            }
        });
    }

    fn say(&self, what: impl FnOnce(&mut State, Instant)) {
        let now = Instant::now();
        let mut state = self.lock();
        let first = state.waiting_since.is_none();
        state.waiting_since.get_or_insert(now);
        state.said += 1;
        what(&mut state, now);
        if first || state.closings.len() == ROWS_TOGETHER_MAX {
            self.changed.notify_all();
        }
    }

    /// Until all that was said before is on disk, or a write has failed.
    pub(super) async fn durable(&self) -> Result<(), NotDurable> {
        let (said, mut progress) = {
            let mut state = self.lock();
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

    pub(super) fn health(&self) -> Health {
        let state = self.lock();
        Health {
            writable: state.error.is_none(),
            lag: state.lag(),
            rows_waiting: state.closings.len() + state.writing_rows,
            rows_folded: state.rows_folded,
            holds: state.written_holds.len() + state.holds.len(),
            error: state.error.clone(),
        }
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
        let faults = mem::take(&mut self.lock().faults.0);
        faults.into_iter().for_each(|fault| fault(connection));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The id, if the hold must be deleted from the file. One that nobody has fetched yet never gets there.
    fn end_hold(&mut self, id: &str) -> Option<Arc<str>> {
        match self.holds.remove(id) {
            Some(_) => None,
            None => self.written_holds.take(id),
        }
    }

    fn lag(&self) -> Duration {
        self.writing_since.or(self.waiting_since).map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn take(&mut self) -> Batch {
        let rest = self.closings.split_off(self.closings.len().min(ROWS_TOGETHER_MAX));
        let closings = mem::replace(&mut self.closings, rest);
        let next = self.closings.front();
        let batch = Batch {
            holds: mem::take(&mut self.holds).into_values().collect(),
            releases: mem::take(&mut self.releases),
            folded: mem::take(&mut self.folded),
            upto: next.map_or(self.said, |next| next.number - 1),
            closings,
        };
        let next_since = next.map(|next| next.since);
        self.writing_since = mem::replace(&mut self.waiting_since, next_since);
        self.writing_rows = batch.closings.len();
        self.written_holds.extend(batch.holds.iter().map(|hold| hold.request.id.clone()));
        self.urgent &= next_since.is_some();
        batch
    }
}
