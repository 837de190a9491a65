//! What waits to be written, and what is being written: the bookkeeping of [`Queue`](super::queue::Queue), under its lock.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Entry, Hold, SumKey, Sums};

/// Rows of one transaction.
pub(super) const ROWS_TOGETHER_MAX: usize = 10_000;

/// A row to be written.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) entry: Entry,
    /// Whether its hold has been written.
    pub(super) held: bool,
    /// Of what was said, and when.
    number: u64,
    since: Instant,
}

/// What is written in one transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) holds: HashMap<Arc<str>, Arc<Hold>>,
    pub(super) releases: Vec<Arc<str>>,
    pub(super) closings: VecDeque<Box<Closing>>,
    /// Of rows that found no room.
    pub(super) folded: HashMap<SumKey, Sums>,
    /// All that was said up to this one is in it, or written already.
    pub(super) upto: u64,
}

/// Holds are shared and rows are boxed, so that little is copied while the lock is held and a collection grows or is divided.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) holds: HashMap<Arc<str>, Arc<Hold>>,
    pub(super) releases: Vec<Arc<str>>,
    pub(super) closings: VecDeque<Box<Closing>>,
    pub(super) folded: HashMap<SumKey, Sums>,
    /// Ids of the holds that are in the file, or on their way.
    pub(super) written_holds: HashSet<Arc<str>>,
    /// How often something was said; the number of what was said last.
    pub(super) said: u64,
    /// When the oldest that waits was said.
    pub(super) waiting_since: Option<Instant>,
    /// The same of what is being written, and its rows.
    pub(super) writing_since: Option<Instant>,
    pub(super) writing_rows: usize,
    pub(super) rows_folded: u64,
    pub(super) urgent: bool,
    pub(super) closing: bool,
    pub(super) error: Option<String>,
    #[cfg(test)]
    pub(super) faults: Faults,
}

/// What tests do to the writer's connection before it writes.
#[cfg(test)]
pub(super) type Fault = Box<dyn FnOnce(&rusqlite::Connection) + Send>;

#[cfg(test)]
#[derive(Default)]
pub(super) struct Faults(pub(super) Vec<Fault>);

#[cfg(test)]
impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} faults", self.0.len())
    }
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

impl Closing {
    pub(super) fn new(entry: Entry) -> Box<Closing> {
        Box::new(Closing { entry, held: false, number: 0, since: Instant::now() })
    }
}

impl State {
    /// The id, if the hold must be deleted from the file. One that nobody has fetched yet never gets there.
    pub(super) fn end_hold(&mut self, id: &str) -> Option<Arc<str>> {
        self.holds.remove(id);
        self.written_holds.take(id)
    }

    /// `rows_max`: beyond so many the row is given up, and its sum kept.
    pub(super) fn settle(&mut self, mut closing: Box<Closing>, rows_max: usize) {
        let held = self.end_hold(&closing.entry.request.id);
        if self.rows() < rows_max {
            (closing.held, closing.number) = (held.is_some(), self.said);
            self.closings.push_back(closing);
        } else {
            let sums = Sums { without_row: 1, ..Sums::of(&closing.entry) };
            *self.folded.entry(closing.entry.request.key()).or_default() += sums;
            self.rows_folded += 1;
            self.releases.extend(held);
        }
    }

    pub(super) fn health(&self) -> Health {
        Health {
            writable: self.error.is_none(),
            lag: self.lag(),
            rows_waiting: self.rows(),
            rows_folded: self.rows_folded,
            holds: self.written_holds.len() + self.holds.len(),
            error: self.error.clone(),
        }
    }

    fn rows(&self) -> usize {
        self.closings.len() + self.writing_rows
    }

    pub(super) fn lag(&self) -> Duration {
        self.writing_since.or(self.waiting_since).map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(super) fn take(&mut self) -> Batch {
        let rest = self.closings.split_off(self.closings.len().min(ROWS_TOGETHER_MAX));
        let closings = mem::replace(&mut self.closings, rest);
        let next = self.closings.front();
        let batch = Batch {
            holds: mem::take(&mut self.holds),
            releases: mem::take(&mut self.releases),
            folded: mem::take(&mut self.folded),
            upto: next.map_or(self.said, |next| next.number - 1),
            closings,
        };
        let next_since = next.map(|next| next.since);
        self.writing_since = mem::replace(&mut self.waiting_since, next_since);
        self.writing_rows = batch.closings.len();
        self.written_holds.extend(batch.holds.keys().cloned());
        self.urgent &= next_since.is_some();
        batch
    }
}
