//! The account's durable form: a row a request and sums per tenant, model and day, in one SQLite file. It records what was decided and
//! decides nothing.
//!
//! # What is promised
//!
//! The request path says what it has to say and goes on; one writer fetches what has gathered and writes it in one transaction:
//! rows, sums and holds change together. A charge is *acknowledged* when that transaction is committed, and committed means
//! synced (see `file`): no kill -9 and no loss of power undoes it, and a request id is charged once, however often it is said.
//!
//! - `durability = "group"`: a charge is acknowledged within a second after the end of its answer (`commit_milliseconds_max` of
//!   waiting and a sync), as long as the disk takes writes. A gateway killed in that second loses the charge, but not the hold
//!   of a request that ran for longer than that: see [`Hold::lost`].
//! - `durability = "strict"`: [`Ledger::acknowledged`] returns after the commit, and the client sees the end of its answer after
//!   that. Nothing that a client has seen the end of is ever lost.
//!
//! While the file cannot be written, everything waits in memory and is tried again, up to once a second, until it can:
//! nothing is lost but by the end of the process. [`Ledger::admits`] tells whether new requests may spend meanwhile. Beyond
//! 100,000 rows (`queue::ROWS_WAITING_MAX`) only their sums wait: lost are the rows (who, when, which operation), not tokens or money.
//!
//! # One owner
//!
//! A file belongs to one process at a time. [`Ledger::close`] writes what waits and gives it up, for a process that takes over;
//! [`Ledger::reopen`] takes it back, and [`Ledger::reopen_later`] where that cannot be done yet: then all waits in memory, as for a file that
//! cannot be written. In between nothing may be said: it would be lost.
//!
//! # What is not here
//!
//! Limits, windows and prices. Which request may run is decided in `quota`, which begins with what [`Recovered`] says.

mod entry;
mod error;
mod file;
mod queue;
mod reader;
mod rows;
mod schema;
mod state;
mod store;
mod sums;
mod today;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use tokio::time::timeout;

pub use entry::{Entry, Hold, LOST, Request};
pub use error::{LedgerError, NotDurable};
pub use file::is_same_file;
pub use reader::{By, Group, Reader, Selection};
pub use state::Health;
pub use store::Recovered;
pub use sums::{SumKey, Sums};
pub use verify::Verdict;

use crate::config::{self, Durability, OnFailure};
use queue::Queue;
use store::Store;
use writer::Writer;

/// A write that takes longer counts as a failure, for `on_failure`: the disk has stalled.
const STALL: Duration = Duration::from_secs(5);

/// How long the end of the process waits for the last rows to be written.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// The account on disk; or, if the configuration names no file, nowhere.
#[derive(Debug)]
pub struct Ledger {
    open: ArcSwapOption<Open>,
    /// The ids of the holds in a file that was given up.
    left: Mutex<Vec<Arc<str>>>,
    settings: config::Ledger,
}

/// A file, where its account stood, and why it cannot be written to, if it cannot.
type Opened = (Store, Recovered, Option<LedgerError>);

#[derive(Debug)]
struct Open {
    queue: Arc<Queue>,
    ended: Mutex<Receiver<()>>,
}

impl Ledger {
    /// Why no attempt to open the file would succeed, as far as that can be told while another process has it open; not in that process
    /// itself. One that cannot be read now may be another user's. Blocks.
    pub fn obstacle(config: &config::Ledger) -> Option<LedgerError> {
        let file = config.file.as_ref().filter(|file| file.exists())?;
        let found = file::look_for_links(file).and_then(|()| Reader::open(file).map(drop));
        found.err().filter(LedgerError::is_lasting)
    }

    /// Opens or makes the file, and tells where the account stood at `now`. Blocks. On a disk that refuses to write, a file that can be read
    /// is as good: it is as if the disk had begun to refuse later.
    ///
    /// # Errors
    /// The file cannot be used; it has not been changed then. Says what to do.
    pub fn open(config: &config::Ledger, now: Timestamp) -> Result<(Ledger, Recovered), LedgerError> {
        let file = config.file.clone();
        Ledger::new(config, file.map(|file| Store::open_or_read(file, now, now)).transpose()?, now)
    }

    /// The same after another process has closed it, whose requests still run: what they hold is left to them, expired or not. The file has
    /// to take writes: otherwise the other process goes on.
    ///
    /// # Errors
    /// As of [`Ledger::open`].
    pub fn take_over(config: &config::Ledger, now: Timestamp) -> Result<(Ledger, Recovered), LedgerError> {
        let opened = config.file.clone().map(|file| Store::open(file, Timestamp::MIN, now)).transpose()?;
        Ledger::new(config, opened.map(|(store, recovered)| (store, recovered, None)), now)
    }

    fn new(config: &config::Ledger, opened: Option<Opened>, now: Timestamp) -> Result<(Ledger, Recovered), LedgerError> {
        let (open, recovered) = match opened {
            Some(opened) => {
                let (open, recovered) = Open::new(opened, config, now)?;
                (Some(Arc::new(open)), recovered)
            }
            None => (None, Recovered::default()),
        };
        Ok((Ledger { open: ArcSwapOption::new(open), left: Mutex::default(), settings: config.clone() }, recovered))
    }

    /// Writes what waits, and gives the file up. Blocks. False if the disk has stalled: then the file is given up with the process.
    pub fn close(&self) -> bool {
        let Some(open) = self.open.swap(None) else { return true };
        let closed = open.close();
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = open.queue.held();
        closed
    }

    /// Takes a file back that was given up; what was said to it before is in it. Blocks.
    ///
    /// # Errors
    /// As of [`Ledger::open`].
    pub fn reopen(&self, now: Timestamp) -> Result<(), LedgerError> {
        if let (Some(file), None) = (&self.settings.file, &*self.open.load()) {
            let opened = Store::open_or_read(file.clone(), Timestamp::MIN, now)?;
            self.open.store(Some(Arc::new(Open::new(opened, &self.settings, now)?.0)));
        }
        Ok(())
    }

    /// The same as soon as it can be done, where it cannot now and this is why: until then what is said waits in memory.
    ///
    /// # Errors
    /// There is no thread to try it on.
    pub fn reopen_later(&self, why: &LedgerError) -> Result<(), LedgerError> {
        if let (Some(file), None) = (&self.settings.file, &*self.open.load()) {
            let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
            self.open.store(Some(Arc::new(Open::later(file, left, why, &self.settings)?)));
        }
        Ok(())
    }

    /// Reads the file, if there is one, beside the writer. Blocks.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn reader(&self) -> Result<Option<Reader>, LedgerError> {
        self.file().map(Reader::beside).transpose()
    }

    /// The file, if there is one. Its own process must not open it: it would lose its locks on it.
    pub fn file(&self) -> Option<&Path> {
        self.settings.file.as_deref()
    }

    /// Whether clients wait until their charge is on disk.
    pub fn is_strict(&self) -> bool {
        self.settings.durability == Durability::Strict
    }

    /// A request was admitted. Does not wait.
    pub fn hold(&self, hold: impl Into<Arc<Hold>>) {
        if let Some(open) = &*self.open.load() {
            open.queue.hold(hold.into());
        }
    }

    /// A request has ended, with a charge; its hold ends with it. Does not wait. A second charge of the same id does nothing.
    pub fn settle(&self, entry: Entry) {
        if let Some(open) = &*self.open.load() {
            open.queue.settle(entry);
        }
    }

    /// A request has ended and there is nothing to record; its hold ends. Does not wait.
    pub fn release(&self, id: &str) {
        if let Some(open) = &*self.open.load() {
            open.queue.release(id);
        }
    }

    /// With `durability = "strict"`, waits until all that was said before is on disk, but not for a disk that has stalled; otherwise
    /// returns at once.
    ///
    /// # Errors
    /// A write has failed, or takes too long. What was said is kept and tried again.
    pub async fn acknowledged(&self) -> Result<(), NotDurable> {
        match self.settings.durability {
            Durability::Strict => timeout(STALL, self.durable()).await.unwrap_or(Err(NotDurable)),
            Durability::Group => Ok(()),
        }
    }

    /// The same for a request that is about to begin: where new requests may spend while the file cannot be written, it goes on.
    ///
    /// # Errors
    /// As above.
    pub async fn acknowledged_hold(&self) -> Result<(), NotDurable> {
        let acknowledged = self.acknowledged().await;
        if self.settings.on_failure == OnFailure::Open { Ok(()) } else { acknowledged }
    }

    /// Waits until all that was said before is on disk.
    ///
    /// # Errors
    /// A write has failed. What was said is kept and tried again.
    pub async fn durable(&self) -> Result<(), NotDurable> {
        match self.open.load_full() {
            Some(open) => open.queue.durable().await,
            None => Ok(()),
        }
    }

    /// Whether new requests may spend: false while the file cannot be written, or is given up, unless the configuration says they may.
    pub fn admits(&self) -> bool {
        let writes = || self.open.load().as_ref().map_or(self.settings.file.is_none(), |open| open.queue.keeps_up(STALL));
        self.settings.on_failure == OnFailure::Open || writes()
    }

    /// How it fares; nothing without a file.
    pub fn health(&self) -> Option<Health> {
        self.open.load().as_ref().map(|open| open.queue.health())
    }
}

impl Drop for Ledger {
    /// Waits until everything is written, but not for ever.
    fn drop(&mut self) {
        self.close();
    }
}

impl Open {
    fn new(
        (store, recovered, why_not): Opened,
        config: &config::Ledger,
        now: Timestamp,
    ) -> Result<(Open, Recovered), LedgerError> {
        let file = store.file().to_owned();
        let queue = Arc::new(Queue::new(queue::ROWS_WAITING_MAX, recovered.holds.iter().map(|hold| hold.request.id.clone())));
        if let Some(error) = &why_not {
            tracing::error!(%error, "the ledger can only be read; trying again until it can be written to");
            queue.failed(error.to_string());
        }
        let writer = Writer::new(store, queue.clone(), config, now, why_not.is_some());
        let ended = on_a_thread(&file, move || writer.run())?;
        Ok((Open { queue, ended }, recovered))
    }

    /// Of a file that cannot be opened yet, in which are the holds that are `left`.
    fn later(file: &Path, left: Vec<Arc<str>>, why: &LedgerError, config: &config::Ledger) -> Result<Open, LedgerError> {
        let queue = Arc::new(Queue::new(queue::ROWS_WAITING_MAX, left.into_iter()));
        tracing::error!(error = %why, "the ledger cannot be opened again; trying until it can");
        queue.failed(why.to_string());
        let (config, own, path) = (config.clone(), queue.clone(), file.to_owned());
        let ended = on_a_thread(file, move || {
            if let Some(store) = writer::regain(&own, &path) {
                Writer::new(store, own, &config, Timestamp::now(), true).run();
            }
        })?;
        Ok(Open { queue, ended })
    }

    /// Disconnected: all is written, and the file is closed. Timed out: the disk has stalled, and nobody waits for it any longer.
    fn close(&self) -> bool {
        self.queue.close();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.recv_timeout(CLOSE_MAX) == Err(RecvTimeoutError::Disconnected)
    }
}

/// What it returns tells when that is done.
fn on_a_thread(file: &Path, run: impl FnOnce() + Send + 'static) -> Result<Mutex<Receiver<()>>, LedgerError> {
    let (ending, ended) = sync_channel(0);
    let run = move || {
        run();
        drop(ending);
    };
    let thread = thread::Builder::new().name("ledger".to_owned()).spawn(run);
    thread.map_err(|source| LedgerError::Open { file: file.to_owned(), source })?;
    Ok(Mutex::new(ended))
}
