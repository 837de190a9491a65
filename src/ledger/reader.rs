//! Looks into a ledger while a gateway writes it, or none: a connection of its own that cannot write.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{
    Timestamp,
    civil::{Date, date},
};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{Entry, Hold, LedgerError, SumKey, Sums, file, rows};

/// Whose usage, and of which days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// One tenant; absent: all.
    pub tenant: Option<String>,
    /// The first day, in each tenant's own time zone.
    pub since: Option<Date>,
    /// The last day.
    pub until: Option<Date>,
}

/// What usage is told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Who pays.
    Tenant,
    /// What was used.
    Model,
    /// The tenant's calendar day.
    Day,
    /// Who called; from rows, so not beyond the retention time.
    Principal,
    /// What was called; from rows, so not beyond the retention time.
    Operation,
}

/// What is summed together. Principals of two tenants are two, whatever they are called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// With [`By::Principal`] alone.
    pub tenant: Option<Arc<str>>,
    /// Of the tenant, model, day, principal or operation.
    pub name: Arc<str>,
}

/// A ledger, to be read.
#[derive(Debug)]
pub struct Reader {
    file: PathBuf,
    connection: Connection,
}

impl Reader {
    /// Opens a ledger that a gateway has made; another process, if it runs: of its own there is [`Ledger::reader`](super::Ledger::reader).
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(file: impl Into<PathBuf>) -> Result<Reader, LedgerError> {
        let file = file.into();
        Ok(Reader { connection: file::connect_to_read(&file)?, file })
    }

    /// The same in the process that writes it.
    pub(super) fn beside(file: &Path) -> Result<Reader, LedgerError> {
        Ok(Reader { connection: file::connect_beside(file)?, file: file.to_owned() })
    }

    /// Usage by one property, in the order of its names.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn usage(&self, selection: &Selection, by: By) -> Result<Vec<(Group, Sums)>, LedgerError> {
        let mut groups = BTreeMap::<Group, Sums>::new();
        let table = if by.needs_rows() { ROWS_AS_SUMS } else { SUMS };
        self.each(table, selection, |row| {
            let tenant = if by == By::Principal { Some(row.get("tenant")?) } else { None };
            *groups.entry(Group { tenant, name: row.get(by.column())? }).or_default() += rows::sums(row)?;
            Ok(())
        })?;
        Ok(groups.into_iter().collect())
    }

    /// The sums as they are kept: by day, tenant and model, in this order.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn sums(&self, selection: &Selection) -> Result<Vec<(SumKey, Sums)>, LedgerError> {
        self.keyed(SUMS, selection).map(|sums| sums.into_iter().collect())
    }

    /// The charges written last, the last first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn recent(&self, tenant: Option<&str>, count_max: u32) -> Result<Vec<Entry>, LedgerError> {
        let sql = "SELECT * FROM requests WHERE ?1 IS NULL OR tenant = ?1 ORDER BY rowid DESC LIMIT ?2";
        let read = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_map((tenant, count_max), rows::entry)?.collect::<Result<_, _>>()
        };
        read().map_err(|error| self.explain(error))
    }

    /// Of the charges written last, `looked_at_max` at most, those of requests that were admitted from the one time to the other.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn latest(
        &self,
        tenant: Option<&str>,
        (since, until): (Timestamp, Timestamp),
        looked_at_max: u32,
        mut visit: impl FnMut(Entry),
    ) -> Result<(), LedgerError> {
        // Rows are numbered as they are written.
        let sql = "SELECT * FROM requests WHERE rowid > (SELECT max(rowid) FROM requests) - ?1
            AND time_ns BETWEEN ?2 AND ?3 AND (?4 IS NULL OR tenant = ?4) ORDER BY rowid";
        let mut read = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut found = statement.query((looked_at_max, rows::time_ns(since), rows::time_ns(until), tenant))?;
            while let Some(row) = found.next()? {
                visit(rows::entry(row)?);
            }
            Ok(())
        };
        read().map_err(|error| self.explain(error))
    }

    /// What running requests hold, and requests that a gateway that died was running.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn holds(&self) -> Result<Vec<Hold>, LedgerError> {
        rows::holds(&self.connection).map_err(|error| self.explain(error))
    }

    /// The first day that has all its rows; nothing if none was ever pruned.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn rows_since(&self) -> Result<Option<Date>, LedgerError> {
        let read = || {
            let sql = "SELECT pruned_before FROM retention WHERE pruned_before > '0000-00-00'";
            self.connection.query_row(sql, (), |row| rows::day(row, "pruned_before")).optional()
        };
        read().map_err(|error| self.explain(error))
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The sums that the rows come to, which is what their sums should be.
    pub(super) fn sums_of_rows(&self, selection: &Selection) -> Result<BTreeMap<SumKey, Sums>, LedgerError> {
        self.keyed(ROWS_AS_SUMS, selection)
    }

    fn keyed(&self, table: &str, selection: &Selection) -> Result<BTreeMap<SumKey, Sums>, LedgerError> {
        let mut sums = BTreeMap::<SumKey, Sums>::new();
        self.each(table, selection, |row| {
            *sums.entry(rows::key(row)?).or_default() += rows::sums(row)?;
            Ok(())
        })?;
        Ok(sums)
    }

    /// Added up here, because SQLite's `sum` fails where a sum leaves its range.
    fn each(
        &self,
        table: &str,
        selection: &Selection,
        mut row: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), LedgerError> {
        let first = selection.since.unwrap_or(Date::ZERO).to_string();
        let last = selection.until.unwrap_or(date(9999, 12, 31)).to_string();
        let read = || {
            let sql = format!("SELECT {table} WHERE day BETWEEN ?1 AND ?2 AND (?3 IS NULL OR tenant = ?3)");
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut found = statement.query((first, last, &selection.tenant))?;
            while let Some(found) = found.next()? {
                row(found)?;
            }
            Ok(())
        };
        read().map_err(|error| self.explain(error))
    }

    pub(super) fn explain(&self, error: rusqlite::Error) -> LedgerError {
        file::explain(&self.file, error)
    }
}

const SUMS: &str = "* FROM sums";

/// Every row as the sum of one request.
const ROWS_AS_SUMS: &str = "*, 1 AS requests, 0 AS without_row FROM requests";

impl By {
    /// Whether it is not told apart in the sums: days whose rows are pruned are missing then.
    pub fn needs_rows(self) -> bool {
        matches!(self, By::Principal | By::Operation)
    }

    fn column(self) -> &'static str {
        match self {
            By::Tenant => "tenant",
            By::Model => "model",
            By::Day => "day",
            By::Principal => "principal",
            By::Operation => "operation",
        }
    }
}
