//! The thread that owns the connection: writes what has gathered, tries again when the disk refuses, prunes in between.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{Timestamp, ToSpan, civil::Date};

use super::{
    queue::{Queue, Turn},
    state::Batch,
    store::{Store, utc_day},
    today::Today,
};
use crate::config;

/// Pauses between attempts to write: the first, doubled up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Between looks for rows that are too old.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);

/// Attempts to write when the gateway ends and the disk refuses.
const LAST_ATTEMPTS: u32 = 3;

pub(super) struct Writer {
    store: Store,
    queue: Arc<Queue>,
    /// How long things wait for others to be written with.
    gather: Duration,
    retention_days: u32,
    today: Today,
    /// The file has not been written to so far.
    waits: bool,
}

/// Until a file that was given up can be opened; nothing if the gateway ends before.
pub(super) fn regain(queue: &Queue, file: &Path) -> Option<Store> {
    let (mut pause, longest) = PAUSES;
    loop {
        let last = queue.is_closing();
        let error = match Store::open_or_read(file.to_owned(), Timestamp::MIN, Timestamp::now()) {
            Ok((store, ..)) => return Some(store),
            Err(error) => error,
        };
        queue.failed(error.to_string());
        if last {
            let rows = queue.health().rows_waiting;
            tracing::error!(%error, rows, "the ledger could not be opened before the end: these rows are lost");
            return None;
        }
        queue.rest(pause);
        pause = (pause * 2).min(longest);
    }
}

impl Writer {
    /// `waits`: until the file takes writes.
    pub(super) fn new(store: Store, queue: Arc<Queue>, config: &config::Ledger, now: Timestamp, waits: bool) -> Writer {
        let gather = Duration::from_millis(config.commit_milliseconds_max);
        let today = store.today(now);
        Writer { store, queue, gather, retention_days: config.retention_days, today, waits }
    }

    /// Returns when the queue is closed and all is written, or cannot be.
    pub(super) fn run(mut self) {
        let _alarm = Alarm(self.queue.clone());
        if self.waits {
            self.wait();
        }
        let mut prune_at = Instant::now();
        loop {
            match self.queue.next(self.gather, prune_at) {
                Turn::End => return,
                Turn::Idle => {}
                Turn::Write(batch) => {
                    if !self.write(&batch) {
                        return;
                    }
                }
            }
            if Instant::now() >= prune_at {
                prune_at = self.prune();
            }
        }
    }

    /// Until the file takes writes, or the gateway ends.
    fn wait(&mut self) {
        let (mut pause, longest) = PAUSES;
        while !self.queue.is_closing() {
            let Err(error) = self.store.try_out() else {
                self.queue.recovered();
                tracing::warn!("the ledger is written to again; nothing that waited is lost");
                return;
            };
            self.queue.failed(error.to_string());
            self.queue.rest(pause);
            pause = (pause * 2).min(longest);
        }
    }

    /// Until it is written; false if the gateway ends before.
    fn write(&mut self, batch: &Batch) -> bool {
        let (mut pause, longest) = PAUSES;
        let mut last_attempts = 0;
        loop {
            #[cfg(test)]
            self.store.connection().into_iter().for_each(|connection| self.queue.faults(connection));
            let Err(error) = self.store.write(batch) else { break };
            if self.queue.failed(error.to_string()) {
                tracing::error!(%error, "the ledger cannot be written to; trying again until it can");
            }
            last_attempts += u32::from(self.queue.is_closing());
            if last_attempts == LAST_ATTEMPTS {
                let rows = self.queue.health().rows_waiting;
                tracing::error!(%error, rows, "the ledger could not be written to before the end: these rows are lost");
                return false;
            }
            self.queue.rest(pause);
            pause = (pause * 2).min(longest);
        }
        if self.queue.committed(batch) {
            tracing::warn!("the ledger is written to again; nothing that waited is lost");
        }
        true
    }

    /// Some of what is too old; returns when to go on.
    fn prune(&mut self) -> Instant {
        let now = Instant::now();
        let today = self.today.by(utc_day(Timestamp::now()), now);
        match self.store.prune(first_day_kept(today, self.retention_days)) {
            Ok(true) => now,
            Ok(false) => now + PRUNE_EVERY,
            Err(error) => {
                tracing::warn!(%error, "old rows of the ledger cannot be pruned");
                now + PRUNE_EVERY
            }
        }
    }
}

fn first_day_kept(today: Date, retention_days: u32) -> Date {
    today.checked_sub(i64::from(retention_days).days()).unwrap_or(Date::MIN)
}

/// A thread that ends tells so, however it ends: admission must not believe in a ledger that nobody writes.
struct Alarm(Arc<Queue>);

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.failed("the ledger is closed".to_owned());
    }
}
