//! The tables of a ledger and their history. A file is brought from the version it has to [`VERSION`] in one transaction.

use rusqlite::{Connection, TransactionBehavior};

/// One script a version; only ever appended to.
const MIGRATIONS: [&str; 2] = [include_str!("schema.sql"), UPSTREAM_REQUEST_ID];

/// By which a row is found in Bedrock's own logs.
const UPSTREAM_REQUEST_ID: &str = "ALTER TABLE requests ADD COLUMN upstream_request_id TEXT";

/// `user_version` of a file this version writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// `application_id`, by which `file` and we tell a ledger from other SQLite files: "toll".
pub(super) const APPLICATION_ID: i64 = 0x746f_6c6c;

/// Brings a file of an older version, or an empty one, to this version.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == VERSION {
        return Ok(());
    }
    for script in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(script)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}
