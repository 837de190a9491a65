//! Why a ledger cannot be used, and what to do about it. No variant leads to a file being deleted or overwritten.

use std::{io, path::PathBuf};

use super::schema::VERSION;

/// A ledger cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The configuration names no file.
    #[error("the configuration has no ledger: set `file` in [ledger]")]
    NoFile,
    /// Nothing has been written yet.
    #[error("there is no ledger at {}: has the gateway run with this configuration?", .0.display())]
    Missing(PathBuf),
    /// The file, or the lock beside it, cannot be made or opened.
    #[error("cannot open the ledger {}: {source}; its directory must exist, and the gateway's user be able to write there", file.display())]
    Open {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process writes to it.
    #[error("another process has the ledger {} open: one gateway a ledger; stop the other, or give this one a `file` of its own", .0.display())]
    InUse(PathBuf),
    /// It has more names than one.
    #[error("the ledger {} has {names} names (hard links): its log and its lock go by the name, so another gateway could have it open unnoticed; remove the others", file.display())]
    Linked {
        /// Which.
        file: PathBuf,
        /// How many.
        names: u64,
    },
    /// It was put where another one had been, whose WAL is still there.
    #[error("the ledger {name} is a copy, and {name}-wal belongs to the file that was there before: together they would be damaged. To go on with the copy, move {name}-wal and {name}-shm away", name = .0.display())]
    StrangeWal(PathBuf),
    /// It is some other file.
    #[error("{} is not a tollgate ledger: it is left as it is; set `file` in [ledger] to another path", .0.display())]
    Foreign(PathBuf),
    /// A later tollgate wrote it.
    #[error("the ledger {} has format {found}, this tollgate knows up to {VERSION}: run the version that wrote it, or a newer one", file.display())]
    Newer {
        /// Which.
        file: PathBuf,
        /// `user_version`.
        found: i64,
    },
    /// SQLite says that the file is not sound.
    #[error("the ledger {} is damaged ({found}): it is left as it is. Restore a backup, with the -wal and -shm that are there moved away; or save what can be saved with `sqlite3 {} .recover`, move the file and its -wal away, and start anew", file.display(), file.display())]
    Damaged {
        /// Which.
        file: PathBuf,
        /// What SQLite found.
        found: String,
    },
    /// SQLite cannot do what was asked.
    #[error("the ledger {}: {source}", file.display())]
    Sqlite {
        /// Which.
        file: PathBuf,
        /// What it says.
        source: rusqlite::Error,
    },
}

impl LedgerError {
    /// Whether it stays so until somebody puts it right: no other attempt with the same file ends otherwise.
    pub fn is_lasting(&self) -> bool {
        use LedgerError::{Damaged, Foreign, Linked, Newer, StrangeWal};
        matches!(self, Linked { .. } | StrangeWal(_) | Foreign(_) | Newer { .. } | Damaged { .. })
    }

    /// Whether the disk refuses, which may pass: it is full, read-only or broken. What somebody has to put right is none of that.
    pub(super) fn is_the_disks(&self) -> bool {
        match self {
            LedgerError::Open { source, .. } => {
                use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
                [StorageFull, QuotaExceeded, ReadOnlyFilesystem].contains(&source.kind())
            }
            LedgerError::Sqlite { source, .. } => {
                use rusqlite::ErrorCode::{DiskFull, ReadOnly, SystemIoFailure};
                [DiskFull, ReadOnly, SystemIoFailure].map(Some).contains(&source.sqlite_error_code())
            }
            _ => false,
        }
    }
}

/// A charge is not on disk yet. It is kept, and written as soon as the disk takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger cannot be written to at the moment")]
pub struct NotDurable;
