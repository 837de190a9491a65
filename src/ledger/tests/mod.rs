//! The ledger on real files.

mod clocks;
mod crash;
mod faults;
mod interleaving;
mod opening;
mod reading;
mod recording;

use std::path::Path;

use jiff::{Timestamp, civil::date};

use super::*;
use crate::{
    bedrock::usage::{ServiceTier, Usage},
    pricing::NanoUsd,
};

fn config(directory: &Path) -> config::Ledger {
    config::Ledger { file: Some(directory.join("ledger.sqlite")), commit_milliseconds_max: 5, ..config::Ledger::default() }
}

fn open(directory: &Path) -> (Ledger, Recovered) {
    Ledger::open(&config(directory), now()).unwrap()
}

/// 22 November 2026, noon.
fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn request(id: &str) -> Request {
    Request {
        id: id.into(),
        time: now(),
        day: date(2026, 11, 22),
        tenant: "acme".into(),
        principal: "ann".into(),
        service: "bedrock-runtime".into(),
        operation: "Converse".into(),
        model: "claude".into(),
    }
}

fn entry(id: &str) -> Entry {
    Entry {
        request: request(id),
        upstream_request_id: Some("bedrock-1".into()),
        tier: ServiceTier::Standard,
        usage: Usage { input_tokens: 1, output_tokens: 2, cache_read_tokens: 3, cache_write_tokens: 4, cache_write_1h_tokens: 5 },
        cost: NanoUsd(6),
        price_source: "test".into(),
        estimated: false,
        by_request: false,
        outcome: "completed".into(),
    }
}

fn hold(id: &str) -> Hold {
    Hold {
        request: request(id),
        input_tokens: 100,
        output_tokens: 1_000,
        cost: NanoUsd(2_100),
        input_cost: NanoUsd(100),
        price_source: "test".into(),
        tier: ServiceTier::Priority,
        by_request: true,
        expires: "2026-11-22T13:00:00Z".parse().unwrap(),
    }
}

/// For what the writer has to do first.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// What is on disk, read by a connection of its own: every row, and what SQLite thinks of the file.
fn rows_on_disk(file: &Path) -> Vec<Entry> {
    let connection = file::connect_to_read(file).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    let mut statement = connection.prepare("SELECT * FROM requests ORDER BY rowid").unwrap();
    let rows = statement.query_map((), rows::entry);
    rows.unwrap().map(Result::unwrap).collect()
}

fn sums_on_disk(file: &Path) -> Vec<(SumKey, Sums)> {
    rows::sums_since(&file::connect_to_read(file).unwrap(), jiff::civil::Date::ZERO).unwrap()
}

fn holds_on_disk(file: &Path) -> Vec<Hold> {
    rows::holds(&file::connect_to_read(file).unwrap()).unwrap()
}

/// The oracle of sums: the fold of the rows.
fn folded(rows: &[Entry]) -> Vec<(SumKey, Sums)> {
    let mut sums = std::collections::BTreeMap::<SumKey, Sums>::new();
    for row in rows {
        *sums.entry(row.request.key()).or_default() += Sums::of(row);
    }
    sums.into_iter().collect()
}
