//! A file that cannot be written to: what admission is told, and that everything is there once it can.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::*;

/// Far longer than any wait here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

fn queue(ledger: &Ledger) -> Arc<Queue> {
    ledger.open.load_full().unwrap().queue.clone()
}

/// Says 500 charges while the file cannot be written, then lets it be written.
fn suffers(ledger: &Ledger, heal: impl FnOnce()) {
    let file = ledger.file().unwrap().to_owned();
    for n in 0..500 {
        ledger.hold(hold(&n.to_string()));
        ledger.settle(entry(&n.to_string()));
        ledger.settle(entry("again and again"));
    }
    until("the failure is noticed", || ledger.health().unwrap().error.is_some());
    assert_eq!(wait(ledger.durable()), Err(NotDurable));
    let health = ledger.health().unwrap();
    // What fits into the file as it is may have been written before the first failure.
    assert!(!health.writable && health.rows_waiting > 0 && health.lag > Duration::ZERO, "{health:?}");
    heal();
    until("it recovers", || ledger.health().unwrap().writable);
    wait(ledger.durable()).unwrap();
    let rows = rows_on_disk(&file);
    assert_eq!(rows.len(), 502, "500, the one said again and again, the one before");
    assert_eq!(sums_on_disk(&file), folded(&rows));
    let health = ledger.health().unwrap();
    assert_eq!((health.rows_waiting, health.rows_folded, health.lag), (0, 0, Duration::ZERO));
    assert!(ledger.admits());
}

fn open_with_a_row(directory: &Path, on_failure: OnFailure) -> Ledger {
    let (ledger, _) = Ledger::open(&config::Ledger { on_failure, ..config(directory) }, now()).unwrap();
    ledger.settle(entry("before"));
    wait(ledger.durable()).unwrap();
    ledger
}

#[test]
fn a_full_disk_refuses_new_spend_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open_with_a_row(directory.path(), OnFailure::Closed);
    let pages_max = |pages: i64| {
        move |connection: &Connection| {
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), (), |_| Ok(())).unwrap();
        }
    };
    queue(&ledger).inject(pages_max(1));
    suffers(&ledger, || {
        assert!(!ledger.admits());
        assert!(ledger.health().unwrap().error.unwrap().contains("full"));
        queue(&ledger).inject(pages_max(1_000_000));
    });
}

#[test]
fn a_file_that_somebody_locks_lets_spending_go_on_if_configured() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open_with_a_row(directory.path(), OnFailure::Open);
    let other = Connection::open(ledger.file().unwrap()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    suffers(&ledger, || {
        assert!(ledger.admits());
        other.execute_batch("ROLLBACK").unwrap();
    });
}

#[test]
fn a_file_that_was_moved_is_written_to_when_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open_with_a_row(directory.path(), OnFailure::Closed);
    let (file, aside) = (ledger.file().unwrap(), directory.path().join("aside"));
    fs::rename(file, &aside).unwrap();
    suffers(&ledger, || {
        assert!(ledger.health().unwrap().error.unwrap().contains("moved"));
        assert!(!file.exists(), "no new ledger is begun in secret");
        fs::rename(&aside, file).unwrap();
    });
}

#[test]
fn a_file_in_the_place_of_the_ledger_is_not_written_to_and_neither_is_damaged() {
    let vacuum: fn(&Path, &Path) = |file, copy| {
        Connection::open(file).unwrap().execute("VACUUM INTO ?1", [copy.to_str()]).unwrap();
    };
    let plain: fn(&Path, &Path) = |file, copy| {
        let whole = "PRAGMA wal_checkpoint(TRUNCATE)";
        Connection::open(file).unwrap().query_row(whole, (), |_| Ok(())).unwrap();
        fs::copy(file, copy).unwrap();
    };
    for make_copy in [vacuum, plain] {
        let directory = tempfile::tempdir().unwrap();
        let ledger = open_with_a_row(directory.path(), OnFailure::Closed);
        let (file, aside, copy) = (ledger.file().unwrap(), directory.path().join("aside"), directory.path().join("copy"));
        make_copy(file, &copy);
        let copied = fs::read(&copy).unwrap();
        fs::rename(file, &aside).unwrap();
        fs::rename(&copy, file).unwrap();
        suffers(&ledger, || {
            assert!(ledger.health().unwrap().error.unwrap().contains("replaced"));
            // Time for attempts on the file that took the first's place.
            let first = Instant::now();
            until("it was tried again", || first.elapsed() > Duration::from_millis(200));
            assert!(!ledger.health().unwrap().writable);
            fs::rename(file, &copy).unwrap();
            fs::rename(&aside, file).unwrap();
        });
        assert!(fs::read(&copy).unwrap() == copied);
        let path = file.to_owned();
        drop(ledger);
        assert_eq!(Reader::open(&path).unwrap().verify().unwrap(), Verdict { rows: 502, sums: 1, ..Verdict::default() });
    }
}

#[test]
fn a_wal_that_was_deleted_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open_with_a_row(directory.path(), OnFailure::Closed);
    let file = ledger.file().unwrap();
    let [wal, index] = ["-wal", "-shm"].map(|end| PathBuf::from(format!("{}{end}", file.display())));
    for number in 0..3 {
        ledger.settle(entry(&format!("before {number}")));
        wait(ledger.durable()).unwrap();
        fs::remove_file(&wal).unwrap();
        fs::remove_file(&index).unwrap();
        ledger.settle(entry(&format!("after {number}")));
        wait(ledger.durable()).unwrap();
        // As another process has it, after a kill.
        let copies = [("copy", file), ("copy-wal", &wal)].map(|(name, from)| (directory.path().join(name), from));
        for (to, from) in &copies {
            fs::copy(from, to).unwrap();
        }
        assert_eq!(rows_on_disk(&copies[0].0).len(), 1 + 2 * (number + 1));
        copies.iter().for_each(|(to, _)| fs::remove_file(to).unwrap());
    }
}

#[test]
fn a_connection_that_went_bad_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open_with_a_row(directory.path(), OnFailure::Closed);
    queue(&ledger).inject(|connection| connection.pragma_update(None, "query_only", true).unwrap());
    ledger.settle(entry("a"));
    assert_eq!(wait(ledger.durable()), Err(NotDurable));
    until("it recovers", || ledger.health().unwrap().writable);
    wait(ledger.durable()).unwrap();
    assert_eq!(rows_on_disk(ledger.file().unwrap()), [entry("before"), entry("a")]);
}

#[test]
fn beyond_the_bound_sums_are_kept_and_rows_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path()).file.unwrap();
    let (mut store, _) = Store::open(path.clone(), now(), now()).unwrap();
    let queue = Queue::new(10, std::iter::empty());
    queue.hold(hold("14").into());
    let fetch = || match queue.next(Duration::ZERO, Instant::now()) {
        queue::Turn::Write(batch) => batch,
        other => panic!("{other:?}"),
    };
    let holds = fetch();
    store.write(&holds).unwrap();
    queue.committed(&holds);
    for n in 0..15 {
        queue.settle(entry(&n.to_string()));
    }
    let health = queue.health();
    assert_eq!((health.rows_waiting, health.rows_folded), (10, 5));
    let batch = fetch();
    store.write(&batch).unwrap();
    queue.committed(&batch);
    assert_eq!(rows_on_disk(&path).len(), 10);
    let (key, sums) = &sums_on_disk(&path)[0];
    assert_eq!(*key, request("").key());
    assert_eq!((sums.requests, sums.without_row, sums.usage.output_tokens, sums.cost), (15, 5, 30, NanoUsd(90)));
    assert_eq!(holds_on_disk(&path), [], "the hold of a row that was given up ends all the same");
    assert_eq!(Reader::open(&path).unwrap().verify().unwrap(), Verdict { rows: 10, sums: 1, ..Verdict::default() });
    queue.settle(entry("later"));
    assert_eq!(queue.health().rows_waiting, 1, "there is room again");
}

#[test]
fn what_is_on_disk_is_durable_whatever_became_of_the_ledger_since() {
    let queue = Queue::new(10, std::iter::empty());
    queue.settle(entry("a"));
    let queue::Turn::Write(batch) = queue.next(Duration::ZERO, Instant::now()) else { panic!("nothing to write") };
    queue.committed(&batch);
    queue.failed("closed".to_owned());
    assert_eq!(wait(queue.durable()), Ok(()));
    queue.settle(entry("b"));
    assert_eq!(wait(queue.durable()), Err(NotDurable));
}

#[test]
fn a_writer_that_died_admits_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open_with_a_row(directory.path(), OnFailure::Closed);
    queue(&ledger).inject(|_| panic!("a bug"));
    ledger.settle(entry("a"));
    assert_eq!(wait(ledger.durable()), Err(NotDurable));
    until("admission knows", || !ledger.admits());
}

#[test]
fn the_end_does_not_wait_for_ever_for_a_disk_that_refuses() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open_with_a_row(directory.path(), OnFailure::Closed);
    let (file, aside) = (ledger.file().unwrap().to_owned(), directory.path().join("aside"));
    fs::rename(&file, &aside).unwrap();
    ledger.settle(entry("a"));
    drop(ledger);
    fs::rename(&aside, &file).unwrap();
    assert_eq!(rows_on_disk(&file), [entry("before")]);
}

#[test]
fn with_strict_durability_only_the_closed_mode_stops_a_request_whose_hold_is_not_on_disk() {
    for (on_failure, goes_on) in [(OnFailure::Closed, false), (OnFailure::Open, true)] {
        let directory = tempfile::tempdir().unwrap();
        let strict = config::Ledger { on_failure, durability: Durability::Strict, ..config(directory.path()) };
        let (ledger, _) = Ledger::open(&strict, now()).unwrap();
        let aside = directory.path().join("aside");
        fs::rename(ledger.file().unwrap(), &aside).unwrap();
        ledger.hold(hold("a"));
        assert_eq!(wait(ledger.acknowledged_hold()).is_ok(), goes_on);
        ledger.settle(entry("a"));
        assert_eq!(wait(ledger.acknowledged()), Err(NotDurable));
        fs::rename(&aside, ledger.file().unwrap()).unwrap();
        until("it recovers", || ledger.health().unwrap().writable);
        wait(ledger.acknowledged_hold()).unwrap();
        assert_eq!(rows_on_disk(ledger.file().unwrap()).len(), 1);
    }
}

#[test]
fn a_disk_that_is_full_at_the_start_is_as_one_that_fills_up_later() {
    for (on_failure, goes_on) in [(OnFailure::Closed, false), (OnFailure::Open, true)] {
        let directory = tempfile::tempdir().unwrap();
        let ledger = open_with_a_row(directory.path(), on_failure);
        ledger.hold(hold("a"));
        let path = ledger.file().unwrap().to_owned();
        drop(ledger);
        let settings = config::Ledger { on_failure, ..config(directory.path()) };
        let (store, recovered) = Store::lock(path.clone()).unwrap().read(hold("a").expires).unwrap();
        assert_eq!(recovered.holds, [hold("a")], "it has expired, and cannot be closed yet");
        assert_eq!(recovered.sums, folded(&[entry("before")]));
        let aside = directory.path().join("aside");
        fs::rename(&path, &aside).unwrap();
        let full = LedgerError::Open { file: path.clone(), source: std::io::ErrorKind::StorageFull.into() };
        assert!(full.is_the_disks());
        let (open, _) = Open::new((store, recovered, Some(full)), &settings, now()).unwrap();
        let ledger = Ledger { open: ArcSwapOption::from_pointee(open), left: Mutex::default(), settings };
        assert_eq!((ledger.admits(), ledger.health().unwrap().writable), (goes_on, false));
        ledger.settle(hold("a").lost());
        assert_eq!(wait(ledger.durable()), Err(NotDurable));
        fs::rename(&aside, &path).unwrap();
        until("it recovers", || ledger.health().unwrap().writable);
        wait(ledger.durable()).unwrap();
        assert!(ledger.admits());
        let rows = rows_on_disk(&path);
        assert_eq!(rows, [entry("before"), hold("a").lost()]);
        assert_eq!((sums_on_disk(&path), holds_on_disk(&path)), (folded(&rows), vec![]));
    }
}

#[test]
fn a_disk_that_is_full_at_the_start_ends_it_where_there_is_nothing_to_read() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", directory.path().join("ledger.sqlite")).unwrap();
    Ledger::open(&config(directory.path()), now()).unwrap_err();
}
