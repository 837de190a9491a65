//! The tables of a ledger and their history. A file is brought from the version it has to [`VERSION`] in one transaction.

use rusqlite::{Connection, TransactionBehavior};

/// One script a version; only ever appended to.
pub(super) const MIGRATIONS: [&str; 2] = [include_str!("schema.sql"), UPSTREAM_REQUEST_ID];

/// By which a row is found in Bedrock's own logs.
const UPSTREAM_REQUEST_ID: &str = "ALTER TABLE requests ADD COLUMN upstream_request_id TEXT";

/// Columns that came later, of which a row without them has a value all the same: table, name, and what else there is to say. They make no
/// version of their own, because the versions before read and write a file that has them; so an upgrade can be taken back. Only
/// appended to, and only for small tables: SQLite looks through all of a table that gets one.
const COLUMNS: [(&str, &str, &str); 2] =
    [("holds", "tier", "TEXT NOT NULL DEFAULT 'standard'"), ("holds", "by_request", "INTEGER NOT NULL DEFAULT 0")];

/// `user_version` of a file this version writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// `application_id`, by which `file` and we tell a ledger from other SQLite files: "toll".
pub(super) const APPLICATION_ID: i64 = 0x746f_6c6c;

/// Brings a file of an older version, or an empty one, to this version.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found != VERSION {
        for script in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
            transaction.execute_batch(script)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    for (table, column, definition) in COLUMNS {
        let has = "SELECT count(*) FROM pragma_table_info(?1) WHERE name = ?2";
        if transaction.query_row(has, [table, column], |row| row.get::<_, i64>(0))? == 0 {
            transaction.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} {definition}"))?;
        }
    }
    transaction.commit()
}
