//! What is done to the file: one transaction a batch, in which rows, sums and holds change together or not at all.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Instant,
};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use super::{
    Entry, Hold, LedgerError, SumKey, Sums, file,
    rows::{self, HoldRows, RequestRows},
    schema::VERSION,
    state::Batch,
    today::{self, Today},
};

/// Rows pruned in one transaction.
const ROWS_PRUNED_TOGETHER: u32 = 1_000;

/// Free pages given back to the system after it.
const PAGES_FREED_TOGETHER: usize = 500;

/// Days that are looked at to find out which can be believed.
const DAYS_LOOKED_AT: u32 = 32;

/// The file of a ledger, and the only connection that writes to it.
#[derive(Debug)]
pub(super) struct Store {
    file: PathBuf,
    /// Absent after a failure that may be the connection's own.
    connection: Option<Connection>,
    /// The file's: no other is written to in its place, whatever has its name.
    identity: Option<(u64, u64)>,
    /// Its WAL's, once it has one: what is written to a deleted one is nowhere after the end of the process.
    wal: Option<(u64, u64)>,
    /// The last day that the file vouched for when it was opened.
    known: Option<Date>,
    /// Last: given back when the connection is closed.
    _lock: file::Lock,
}

/// Why something was not written. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the file has been moved, replaced or deleted")]
    Gone,
    #[error(transparent)]
    Closed(#[from] LedgerError),
}

/// Where the account stood when the gateway ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Of the month before the current one and everything later.
    pub sums: Vec<(SumKey, Sums)>,
    /// Charges of those that had expired, made just now.
    pub lost: Vec<Entry>,
    /// Of requests that were running, and have not expired. Settle each with [`Hold::lost`] when it does.
    pub holds: Vec<Hold>,
}

impl Store {
    /// Makes or opens the file, and closes what expired before `lost_before`, while nobody had it open.
    pub(super) fn open(path: PathBuf, lost_before: Timestamp, now: Timestamp) -> Result<(Store, Recovered), LedgerError> {
        Store::lock(path)?.opened(lost_before, now)
    }

    /// The same; but a file that is there and can only be read is read, and why it cannot be written comes with it.
    pub(super) fn open_or_read(
        path: PathBuf,
        lost_before: Timestamp,
        now: Timestamp,
    ) -> Result<(Store, Recovered, Option<LedgerError>), LedgerError> {
        let why = match Store::lock(path.clone())?.opened(lost_before, now) {
            Ok((store, recovered)) => return Ok((store, recovered, None)),
            Err(error) => error,
        };
        if !why.is_the_disks() {
            return Err(why);
        }
        match Store::lock(path)?.read(now) {
            Ok((store, recovered)) => Ok((store, recovered, Some(why))),
            Err(_) => Err(why),
        }
    }

    pub(super) fn lock(path: PathBuf) -> Result<Store, LedgerError> {
        let lock = file::lock(&path)?;
        Ok(Store { file: path, connection: None, identity: None, wal: None, known: None, _lock: lock })
    }

    fn opened(mut self, lost_before: Timestamp, now: Timestamp) -> Result<(Store, Recovered), LedgerError> {
        let path = &self.file;
        file::make(path)?;
        file::look_for_links(path)?;
        let mut connection = file::connect(path)?;
        self.identity = Some(file::identity(path).map_err(|source| LedgerError::Open { file: path.clone(), source })?);
        self.known = known_day(&connection).map_err(|error| file::explain(path, error))?;
        let recovered = recover(&mut connection, lost_before, self.known, now).map_err(|error| file::explain(path, error))?;
        self.connection = Some(connection);
        Ok((self, recovered))
    }

    /// What can be told without writing: nothing is closed yet.
    pub(super) fn read(mut self, now: Timestamp) -> Result<(Store, Recovered), LedgerError> {
        let path = &self.file;
        let connection = file::connect_to_read(path)?;
        self.identity = file::identity(path).ok();
        file::look_for_damage(path, &connection)?;
        self.known = known_day(&connection).map_err(|error| file::explain(path, error))?;
        let holds = rows::holds(&connection).map_err(|error| file::explain(path, error))?;
        let sums = counting(&connection, self.known, now).map_err(|error| file::explain(path, error))?;
        Ok((self, Recovered { sums, lost: Vec::new(), holds }))
    }

    /// Whether the file takes writes: one that changes nothing.
    pub(super) fn try_out(&mut self) -> Result<(), WriteError> {
        let tried = self.connection().and_then(|connection| Ok(connection.pragma_update(None, "user_version", VERSION)?));
        if tried.is_err() {
            self.connection = None;
        }
        tried
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The day to go by, when the clock says that it is `now`.
    pub(super) fn today(&self, now: Timestamp) -> Today {
        Today::new(self.known, utc_day(now), Instant::now())
    }

    /// Writes all of a batch, or nothing.
    pub(super) fn write(&mut self, batch: &Batch) -> Result<(), WriteError> {
        let result = self.connection().and_then(|connection| write(connection, batch));
        let passing = [Some(ErrorCode::DiskFull), Some(ErrorCode::DatabaseBusy), Some(ErrorCode::DatabaseLocked)];
        match &result {
            Ok(()) => {}
            Err(WriteError::Sqlite(error)) if passing.contains(&error.sqlite_error_code()) => {}
            // Closed before it is opened again: SQLite deletes the WAL by its name.
            Err(_) => self.connection = None,
        }
        result
    }

    /// The connection, opened again if it was given up; never to a file that nobody sees any more.
    pub(super) fn connection(&mut self) -> Result<&mut Connection, WriteError> {
        let found = file::identity(&self.file).map_err(|_| WriteError::Gone)?;
        if *self.identity.get_or_insert(found) != found {
            return Err(WriteError::Gone);
        }
        self.look_after_wal();
        match &mut self.connection {
            Some(connection) => Ok(connection),
            none => Ok(none.insert(file::connect(&self.file)?)),
        }
    }

    /// Closes the connection if its WAL was deleted or replaced: then SQLite writes what it had to the file.
    fn look_after_wal(&mut self) {
        let known = self.wal.take();
        if self.connection.is_none() {
            return;
        }
        let found = file::identity_of_wal(&self.file);
        if known.is_none_or(|known| Some(known) == found) {
            self.wal = found;
        } else {
            tracing::error!(file = %self.file.display(), "the ledger's -wal was deleted or replaced; what it had is written to the file");
            self.connection = None;
        }
    }

    /// Prunes some rows of the days before one; true if there are more.
    pub(super) fn prune(&mut self, before: Date) -> Result<bool, WriteError> {
        let connection = self.connection()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = before.to_string();
        let pruned = transaction
            .prepare_cached(
                "DELETE FROM requests WHERE rowid IN (SELECT rowid FROM requests WHERE day < ?1 ORDER BY day LIMIT ?2)",
            )?
            .execute((&before, ROWS_PRUNED_TOGETHER))?;
        if pruned > 0 {
            transaction.execute("UPDATE retention SET pruned_before = max(pruned_before, ?1)", [&before])?;
        }
        transaction.commit()?;
        // A row a page: freed as they are fetched.
        let mut freeing = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES_FREED_TOGETHER})"))?;
        let mut freed = freeing.query(())?;
        while freed.next()?.is_some() {}
        Ok(pruned == ROWS_PRUNED_TOGETHER as usize)
    }
}

/// By a few of the days that have charges, the last ones.
fn known_day(connection: &Connection) -> rusqlite::Result<Option<Date>> {
    rows::last_days(connection, DAYS_LOOKED_AT).map(|days| today::last_known(&days))
}

fn recover(
    connection: &mut Connection,
    lost_before: Timestamp,
    known: Option<Date>,
    now: Timestamp,
) -> rusqlite::Result<Recovered> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (expired, holds): (Vec<_>, Vec<_>) = rows::holds(&transaction)?.into_iter().partition(|hold| hold.expires <= lost_before);
    let lost: Vec<Entry> = expired.into_iter().map(Hold::lost).collect();
    let mut sums = HashMap::new();
    {
        let mut rows = RequestRows::of(&transaction)?;
        for entry in &lost {
            delete_hold(&transaction, &entry.request.id)?;
            insert(&mut rows, entry, &mut sums)?;
        }
    }
    add(&transaction, &sums)?;
    transaction.commit()?;
    Ok(Recovered { sums: counting(connection, known, now)?, lost, holds })
}

/// The sums that may count in a window.
fn counting(connection: &Connection, known: Option<Date>, now: Timestamp) -> rusqlite::Result<Vec<(SumKey, Sums)>> {
    // A clock that is ahead would leave out what counts once it is put right.
    let today = known.map_or(utc_day(now), |known| known.min(utc_day(now)));
    rows::sums_since(connection, month_before(today))
}

fn write(connection: &mut Connection, batch: &Batch) -> Result<(), WriteError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut rows = HoldRows::of(&transaction)?;
        batch.holds.values().try_for_each(|hold| rows.insert(hold))?;
    }
    for id in &batch.releases {
        delete_hold(&transaction, id)?;
    }
    let mut sums = batch.folded.clone();
    {
        let mut rows = RequestRows::of(&transaction)?;
        for closing in &batch.closings {
            if closing.held {
                delete_hold(&transaction, &closing.entry.request.id)?;
            }
            insert(&mut rows, &closing.entry, &mut sums)?;
        }
    }
    add(&transaction, &sums)?;
    Ok(transaction.commit()?)
}

/// A request that has a row already is not charged again.
fn insert<'r>(rows: &mut RequestRows<'_, 'r>, entry: &'r Entry, sums: &mut HashMap<SumKey, Sums>) -> rusqlite::Result<()> {
    if rows.insert(entry)? {
        *sums.entry(entry.request.key()).or_default() += Sums::of(entry);
    }
    Ok(())
}

fn delete_hold(transaction: &Transaction<'_>, id: &str) -> rusqlite::Result<()> {
    transaction.prepare_cached("DELETE FROM holds WHERE id = ?1")?.execute([id]).map(drop)
}

/// Added here and not by SQLite, which would make a floating-point number of what overflows.
fn add(transaction: &Transaction<'_>, sums: &HashMap<SumKey, Sums>) -> rusqlite::Result<()> {
    for (key, more) in sums {
        let mut sum = rows::sum(transaction, key)?.unwrap_or_default();
        sum += *more;
        rows::write_sum(transaction, key, &sum)?;
    }
    Ok(())
}

/// The first of the month before, wherever on Earth it is `today`.
fn month_before(today: Date) -> Date {
    let yesterday = today.yesterday().unwrap_or(Date::MIN);
    yesterday.first_of_month().yesterday().unwrap_or(Date::MIN).first_of_month()
}

pub(super) fn utc_day(now: Timestamp) -> Date {
    now.to_zoned(TimeZone::UTC).date()
}
