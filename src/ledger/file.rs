//! The file of a ledger: made private, locked against a second writer, known from other files, and opened the way its promise needs.
//!
//! WAL lets others read while one writes. `synchronous = FULL` syncs the WAL at every commit, so that committed means on disk,
//! whether the process or the machine dies; `NORMAL` would sync at checkpoints only, and save little: commits are few, because
//! they are made for all that came in meanwhile.

use std::{
    fs::{self, OpenOptions, TryLockError},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, Error, ErrorCode, OpenFlags};

use super::{LedgerError, schema};

/// How long a write waits for somebody who writes from outside, such as an operator in sqlite3.
const BUSY_MAX: Duration = Duration::from_millis(250);

/// The WAL shrinks to this when it starts anew; a long reader or a full disk may have let it grow.
const WAL_BYTES_KEPT: i64 = 64 << 20;

/// Where a file says how it is written and read, and what it says without a WAL: <https://sqlite.org/fileformat2.html> §1.3.3.
const FILE_FORMAT_AT: usize = 18;
const FILE_FORMAT_ROLLBACK: [u8; 2] = [1, 1];

/// Says that nobody else writes to a ledger, as long as it lives, and not longer than the process.
#[derive(Debug)]
pub(super) struct Lock(fs::File);

impl Drop for Lock {
    /// Closing would do, but for a child that was forked and still shares the file.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Locks a file beside the ledger: nobody can lock the ledger itself without taking SQLite's own locks away. Beside the ledger itself,
/// whatever symbolic links lead there.
pub(super) fn lock(file: &Path) -> Result<Lock, LedgerError> {
    let cannot = |source| LedgerError::Open { file: file.to_owned(), source };
    // One that cannot be made may still be read. One that is there may be open in this process: see `connect_beside`.
    if !file.exists() {
        let _ = make(file);
    }
    let own = fs::canonicalize(file).ok().filter(|own| own.is_file());
    let beside = beside(own.as_deref().unwrap_or(file), ".lock");
    let options = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).clone();
    let lock = match options.open(&beside) {
        // Locked it can be all the same.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => fs::File::open(&beside),
        lock => lock,
    };
    let lock = lock.map_err(cannot)?;
    match lock.try_lock() {
        Ok(()) => Ok(Lock(lock)),
        Err(TryLockError::WouldBlock) => Err(LedgerError::InUse(file.to_owned())),
        Err(TryLockError::Error(error)) => Err(cannot(error)),
    }
}

/// A companion of the file, by the end of its name.
fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Makes the file if there is none, for its owner only. SQLite gives its companions the same mode.
pub(super) fn make(file: &Path) -> Result<(), LedgerError> {
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
    options.open(file).map(drop).map_err(|source| LedgerError::Open { file: file.to_owned(), source })
}

/// That the file has no second name: its companions and its lock go by the name, so that two gateways would not know of each other.
pub(super) fn look_for_links(file: &Path) -> Result<(), LedgerError> {
    match fs::metadata(file).map(|found| found.nlink()) {
        Ok(names) if names > 1 => Err(LedgerError::Linked { file: file.to_owned(), names }),
        _ => Ok(()),
    }
}

/// That the WAL beside the file is its own, as far as that can be told: a copy made with `VACUUM INTO` has had none yet. SQLite would take
/// the pages of the one for those of the other: <https://sqlite.org/howtocorrupt.html> §1.4.
fn look_for_strange_wal(file: &Path) -> Result<(), LedgerError> {
    let mut header = [0; FILE_FORMAT_AT + FILE_FORMAT_ROLLBACK.len()];
    let read = fs::File::open(file).and_then(|mut opened| opened.read_exact(&mut header));
    if read.is_ok() && header.ends_with(&FILE_FORMAT_ROLLBACK) && !has_no_wal(file) {
        return Err(LedgerError::StrangeWal(file.to_owned()));
    }
    Ok(())
}

/// Opens a file that is there for writing, and brings it up to date.
pub(super) fn connect(file: &Path) -> Result<Connection, LedgerError> {
    look_for_strange_wal(file)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags).map_err(|error| explain(file, error))?;
    if identify(file, &connection)? > 0 {
        look_for_damage(file, &connection)?;
    }
    prepare(&mut connection).map_err(|error| explain(file, error))?;
    Ok(connection)
}

/// Opens a ledger to read it, while a gateway writes or none. Not in the process that writes: see [`connect_beside`].
pub(super) fn connect_to_read(file: &Path) -> Result<Connection, LedgerError> {
    if !file.try_exists().map_err(|source| LedgerError::Open { file: file.to_owned(), source })? {
        return Err(LedgerError::Missing(file.to_owned()));
    }
    look_for_strange_wal(file)?;
    connect_beside(file)
}

/// The same in the process that writes, where nothing but SQLite may open the file: whoever closes it gives up every lock that the process has
/// on it, and the next that comes from outside takes itself for the last and deletes the WAL: <https://sqlite.org/howtocorrupt.html> §2.2.
pub(super) fn connect_beside(file: &Path) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(file, flags).map_err(|error| explain(file, error));
    let (connection, found) = match opened.and_then(|connection| known(file, connection)) {
        // SQLite makes an index of the WAL beside the file, if it can.
        Err(LedgerError::Sqlite { source, .. }) if lacks_room(&source) && has_no_wal(file) => {
            let alone = Connection::open_with_flags(alone(file), flags | OpenFlags::SQLITE_OPEN_URI);
            known(file, alone.map_err(|error| explain(file, error))?)?
        }
        known => known?,
    };
    match found {
        schema::VERSION => Ok(connection),
        _ => Err(LedgerError::Missing(file.to_owned())),
    }
}

/// A connection, and the version of what it has open.
fn known(file: &Path, connection: Connection) -> Result<(Connection, i64), LedgerError> {
    connection.busy_timeout(BUSY_MAX).map_err(|error| explain(file, error))?;
    let found = identify(file, &connection)?;
    Ok((connection, found))
}

fn lacks_room(error: &Error) -> bool {
    [ErrorCode::CannotOpen, ErrorCode::SystemIoFailure].map(Some).contains(&error.sqlite_error_code())
}

/// The file says all that there is to say, and nobody writes to it, or not yet.
fn has_no_wal(file: &Path) -> bool {
    fs::metadata(beside(file, "-wal")).map_or(true, |wal| wal.len() == 0)
}

/// A file that is read without anything beside it: <https://sqlite.org/uri.html>.
fn alone(file: &Path) -> String {
    let path = file.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{path}?immutable=1")
}

/// The version of a ledger, 0 of an empty file; an error for what is none.
fn identify(file: &Path, connection: &Connection) -> Result<i64, LedgerError> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let tables = || connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get::<_, i64>(0));
    let found = number("application_id").and_then(|id| Ok((id, number("user_version")?, tables()?)));
    match found.map_err(|error| explain(file, error))? {
        (0, 0, 0) => Ok(0),
        (schema::APPLICATION_ID, found, _) if found > schema::VERSION => Err(LedgerError::Newer { file: file.to_owned(), found }),
        (schema::APPLICATION_ID, found, _) => Ok(found),
        _ => Err(LedgerError::Foreign(file.to_owned())),
    }
}

fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_MAX)?;
    // Has an effect on an empty file only. Pruned pages go back to the system little by little.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
    schema::migrate(connection)
}

/// Looks through the small tables, on which every restart depends; `tollgate ledger verify` looks through all.
pub(super) fn look_for_damage(file: &Path, connection: &Connection) -> Result<(), LedgerError> {
    for table in ["sums", "holds"] {
        let found: String = connection
            .query_row("SELECT * FROM pragma_quick_check(?1)", [table], |row| row.get(0))
            .map_err(|error| explain(file, error))?;
        if found != "ok" {
            return Err(LedgerError::Damaged { file: file.to_owned(), found });
        }
    }
    Ok(())
}

/// Device and inode: SQLite would go on writing to a file that was moved or deleted.
pub(super) fn identity(file: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(file).map(|found| (found.dev(), found.ino()))
}

/// Whether two paths lead to one file, as far as it is there.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    one == other || matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

/// The identity of its WAL; nothing if it has none.
pub(super) fn identity_of_wal(file: &Path) -> Option<(u64, u64)> {
    identity(&beside(file, "-wal")).ok()
}

pub(super) fn explain(file: &Path, error: Error) -> LedgerError {
    let file = file.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => LedgerError::Foreign(file),
        Some(ErrorCode::DatabaseCorrupt) => LedgerError::Damaged { file, found: error.to_string() },
        _ => LedgerError::Sqlite { file, source: error },
    }
}
