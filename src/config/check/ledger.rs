//! `[ledger]`: promises that cannot be held, and a file that has no directory.

use std::path::Path;

use super::{Check, KeyPath};
use crate::config::{Durability, Ledger};

/// `durability = "group"` promises that a charge is on disk within a second; so much of it may be spent waiting for others.
const COMMIT_MILLISECONDS_MAX: u64 = 500;

/// Ten years; more is a slip of the finger.
const RETENTION_DAYS_MAX: u32 = 3_660;

pub(super) fn check(check: &mut Check<'_>, ledger: &Ledger) {
    let at = |key: &str| KeyPath::of("ledger").key(key);
    if !(1..=COMMIT_MILLISECONDS_MAX).contains(&ledger.commit_milliseconds_max) {
        check.error(
            at("commit_milliseconds_max"),
            format!("{} milliseconds is not between 1 and {COMMIT_MILLISECONDS_MAX}", ledger.commit_milliseconds_max),
            "the ledger promises a second in all, writing included; the default is 200",
        );
    }
    if !(1..=RETENTION_DAYS_MAX).contains(&ledger.retention_days) {
        check.error(
            at("retention_days"),
            format!("{} days is not between 1 and {RETENTION_DAYS_MAX}", ledger.retention_days),
            "rows that are younger than a day are needed to know a request that was charged already",
        );
    }
    if !check.has(&at("file")) {
        let promises = [("durability", ledger.durability == Durability::Strict), ("on_failure", check.has(&at("on_failure")))];
        for (key, _) in promises.into_iter().filter(|(_, promised)| *promised) {
            check.warning(at(key), "without a `file` nothing is kept, and this does nothing", "add `file`, or remove the line");
        }
    }
    if ledger.file.as_ref().is_some_and(|file| file.as_os_str().is_empty() || file.file_name().is_none()) {
        check.error(at("file"), "not the path of a file", "write a path such as `/var/lib/tollgate/ledger.sqlite`");
    }
}

/// Only a warning about the directory: the unit may make it (`StateDirectory=`) when the gateway starts.
pub(super) fn files(check: &mut Check<'_>, ledger: &Ledger) {
    // Without a name it is no file, as has been said.
    let Some(file) = ledger.file.as_ref().filter(|file| file.file_name().is_some()) else { return };
    let path = KeyPath::of("ledger").key("file");
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if file.is_dir() {
        check.error(path, format!("`{}` is a directory", file.display()), "name a file in it");
    } else if !directory.is_dir() {
        let help = "make it, and give it to the gateway's user; the systemd unit makes /var/lib/tollgate itself";
        check.warning(path, format!("there is no directory `{}`", directory.display()), help);
    }
}
