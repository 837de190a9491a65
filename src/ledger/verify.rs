//! Adds a ledger up again: do the sums agree with their rows, and is the file sound?

use std::collections::BTreeSet;

use super::{LedgerError, Reader, Selection, SumKey, Sums};

/// Findings of SQLite beyond which a file is as damaged as can be.
const FINDINGS_MAX: u32 = 20;

/// What was looked at, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Rows added up.
    pub rows: u64,
    /// Sums that were compared with them.
    pub sums: usize,
    /// Sums that are not what their rows come to: as kept, and as added up.
    pub differences: Vec<(SumKey, Sums, Sums)>,
    /// What SQLite finds wrong with the file.
    pub damage: Vec<String>,
}

impl Reader {
    /// Looks at the whole file, and at all days whose rows are all kept. Of sums that say some rows were given up, when memory
    /// ran short while the disk was full, only the count of requests can be compared.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn verify(&self) -> Result<Verdict, LedgerError> {
        // One state of the file for both: a gateway may be writing.
        let transaction = self.connection().unchecked_transaction().map_err(|error| self.explain(error))?;
        let days = Selection { since: self.rows_since()?, ..Selection::default() };
        let (kept, added) = (self.sums(&days)?, self.sums_of_rows(&days)?);
        let mut verdict =
            Verdict { rows: added.values().map(|sums| sums.requests).sum(), sums: kept.len(), ..Verdict::default() };
        let mut keys: BTreeSet<&SumKey> = added.keys().collect();
        for (key, sums) in &kept {
            keys.remove(key);
            let found = added.get(key).copied().unwrap_or_default();
            let same = if sums.without_row == 0 { *sums == found } else { sums.requests == found.requests + sums.without_row };
            if !same {
                verdict.differences.push((key.clone(), *sums, found));
            }
        }
        let without_sum = keys.into_iter().map(|key| (key.clone(), Sums::default(), added.get(key).copied().unwrap_or_default()));
        verdict.differences.extend(without_sum);
        verdict.damage = self.damage().map_err(|error| self.explain(error))?;
        drop(transaction);
        Ok(verdict)
    }

    fn damage(&self) -> rusqlite::Result<Vec<String>> {
        let mut statement = self.connection().prepare(&format!("PRAGMA integrity_check({FINDINGS_MAX})"))?;
        let found: Vec<String> = statement.query_map((), |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(if found == ["ok"] { Vec::new() } else { found })
    }
}
