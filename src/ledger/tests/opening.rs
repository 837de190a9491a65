//! Which files are opened, which are refused and left as they are, and what a restart finds.

use std::{fs, os::unix::fs::PermissionsExt};

use rusqlite::Connection;

use super::*;

fn refusal(directory: &Path) -> LedgerError {
    Ledger::open(&config(directory), now()).unwrap_err()
}

#[test]
fn what_cannot_be_taken_back_yet_waits_in_memory_until_it_can() {
    for on_failure in [OnFailure::Closed, OnFailure::Open] {
        let directory = tempfile::tempdir().unwrap();
        let settings = config::Ledger { on_failure, ..config(directory.path()) };
        let (ledger, _) = Ledger::open(&settings, now()).unwrap();
        let (file, second) = (ledger.file().unwrap().to_owned(), directory.path().join("second"));
        for id in ["charged", "given back", "running"] {
            ledger.hold(hold(id));
        }
        wait(ledger.durable()).unwrap();
        assert!(ledger.close());

        std::fs::hard_link(&file, &second).unwrap();
        let error = ledger.reopen(now()).unwrap_err();
        assert!(matches!(error, LedgerError::Linked { .. }), "{error}");
        ledger.reopen_later(&error).unwrap();
        assert_eq!(ledger.admits(), on_failure == OnFailure::Open);
        ledger.settle(entry("charged"));
        ledger.release("given back");
        ledger.settle(entry("new"));
        let health = ledger.health().unwrap();
        assert!(health.error.is_some_and(|error| error.contains("hard links")));
        assert_eq!((health.writable, health.rows_waiting, health.holds), (false, 2, 1));
        assert_eq!(wait(ledger.durable()), Err(NotDurable));

        std::fs::remove_file(&second).unwrap();
        while !ledger.health().unwrap().writable {
            thread::yield_now();
        }
        assert!(ledger.admits());
        wait(ledger.durable()).unwrap();
        assert_eq!(rows_on_disk(&file), [entry("charged"), entry("new")]);
        assert_eq!(holds_on_disk(&file), [hold("running")]);
    }
}

#[test]
fn a_file_that_is_no_ledger_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path()).file.unwrap();
    let sqlite = directory.path().join("other");
    Connection::open(&sqlite).unwrap().execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    let long = b"[listeners]\n".repeat(1_000);
    for contents in [b"Dear diary".to_vec(), long, fs::read(&sqlite).unwrap()] {
        fs::write(&path, &contents).unwrap();
        let error = refusal(directory.path());
        assert!(matches!(error, LedgerError::Foreign(_)), "{error}");
        assert!(error.to_string().contains("set `file` in [ledger] to another path"));
        assert!(fs::read(&path).unwrap() == contents);
    }
}

#[test]
fn a_copy_beside_the_log_of_another_file_is_refused_until_that_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, _) = open(directory.path());
    let path = ledger.file().unwrap().to_owned();
    let beside = |end: &str| directory.path().join(format!("ledger.sqlite{end}"));
    let (copy, log) = (directory.path().join("copy"), directory.path().join("log"));
    ledger.settle(entry("a"));
    wait(ledger.durable()).unwrap();
    Connection::open(&path).unwrap().execute("VACUUM INTO ?1", [copy.to_str()]).unwrap();
    ledger.settle(entry("b"));
    wait(ledger.durable()).unwrap();
    fs::copy(beside("-wal"), &log).unwrap(); // as a process that is killed leaves it
    drop(ledger);
    fs::rename(&copy, &path).unwrap();
    fs::rename(&log, beside("-wal")).unwrap();
    let copied = fs::read(&path).unwrap();
    let error = refusal(directory.path());
    assert!(matches!(error, LedgerError::StrangeWal(_)), "{error}");
    assert!(error.to_string().contains("ledger.sqlite-wal and "), "{error}");
    assert!(matches!(Reader::open(&path).unwrap_err(), LedgerError::StrangeWal(_)));
    assert!(fs::read(&path).unwrap() == copied);
    fs::remove_file(beside("-wal")).unwrap();
    drop(open(directory.path()));
    assert_eq!(rows_on_disk(&path), [entry("a")]);
}

#[test]
fn a_ledger_is_one_by_whatever_path_it_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let by = |name: &str| config::Ledger { file: Some(directory.path().join(name)), ..config(directory.path()) };
    std::os::unix::fs::symlink("ledger.sqlite", directory.path().join("early")).unwrap();
    let (early, _) = Ledger::open(&by("early"), now()).unwrap();
    let path = config(directory.path()).file.unwrap();
    assert!(matches!(refusal(directory.path()), LedgerError::InUse(_)), "the file that the link made");
    drop(early);
    let (_ledger, _) = open(directory.path());
    std::os::unix::fs::symlink(&path, directory.path().join("soft")).unwrap();
    assert!(matches!(Ledger::open(&by("soft"), now()).unwrap_err(), LedgerError::InUse(_)));
    fs::hard_link(&path, directory.path().join("hard")).unwrap();
    let error = Ledger::open(&by("hard"), now()).unwrap_err();
    assert!(matches!(error, LedgerError::Linked { names: 2, .. }), "{error}");
}

#[test]
fn while_a_file_is_given_up_nobody_spends() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, _) = open(directory.path());
    ledger.close();
    assert!(!ledger.admits());
    ledger.reopen(now()).unwrap();
    assert!(ledger.admits());
    let careless = config::Ledger { on_failure: OnFailure::Open, ..config(directory.path()) };
    drop(ledger);
    let (ledger, _) = Ledger::open(&careless, now()).unwrap();
    ledger.close();
    assert!(ledger.admits());
}

#[test]
fn a_ledger_of_a_later_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path()).file.unwrap();
    drop(open(directory.path()));
    Connection::open(&path).unwrap().pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    assert!(matches!(refusal(directory.path()), LedgerError::Newer { found, .. } if found == schema::VERSION + 1));
    assert!(matches!(Reader::open(&path).unwrap_err(), LedgerError::Newer { .. }));
}

#[test]
fn a_ledger_of_the_first_version_is_brought_to_this_one_with_its_rows() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path()).file.unwrap();
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../schema.sql")).unwrap();
    old.pragma_update(None, "application_id", schema::APPLICATION_ID).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    let row = "INSERT INTO requests VALUES ('a', 0, '2026-11-22', 'acme', 'ann', 's', 'o', 'm', 'standard', 1, 2, 3, 4, 5, 6, 'p', 0, 0, 'x')";
    old.execute(row, ()).unwrap();
    drop(old);
    let (ledger, _) = open(directory.path());
    ledger.settle(entry("b"));
    drop(ledger);
    let ids: Vec<_> = rows_on_disk(&path).into_iter().map(|row| (row.request.id, row.upstream_request_id)).collect();
    assert_eq!(ids, [("a".into(), None), ("b".into(), Some("bedrock-1".into()))]);
}

#[test]
fn columns_that_came_later_are_added_and_the_versions_before_read_and_write_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path()).file.unwrap();
    let before = Connection::open(&path).unwrap();
    for script in schema::MIGRATIONS {
        before.execute_batch(script).unwrap();
    }
    before.pragma_update(None, "application_id", schema::APPLICATION_ID).unwrap();
    before.pragma_update(None, "user_version", 2).unwrap();
    let insert = |connection: &Connection, id: &str| {
        const SQL: &str = "INSERT OR REPLACE INTO holds (day, id, time_ns, tenant, principal, service, operation, model,
            input_tokens, output_tokens, cost_nano_usd, input_cost_nano_usd, price_source, expires_ns)
            VALUES ('2026-11-22', ?1, 1, 'acme', 'ann', 's', 'o', 'm', 1, 2, 3, 4, 'test', 9000000000000000000)";
        connection.execute(SQL, [id]).unwrap();
    };
    insert(&before, "before");
    let holds = || {
        let holds = Reader::open(&path).unwrap().holds().unwrap();
        holds.into_iter().map(|hold| (hold.request.id.to_string(), hold.tier, hold.by_request)).collect::<Vec<_>>()
    };
    let plain = |id: &str| (id.to_owned(), ServiceTier::Standard, false);
    assert_eq!(holds(), [plain("before")], "beside a gateway of the version before");
    drop(before);

    let (ledger, recovered) = open(directory.path());
    assert_eq!(recovered.holds.len(), 1);
    ledger.hold(hold("new"));
    drop(ledger);
    let back = Connection::open(&path).unwrap();
    assert_eq!(back.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap(), 2, "it is opened again");
    insert(&back, "taken back");
    assert_eq!(holds(), [plain("before"), plain("taken back"), ("new".to_owned(), ServiceTier::Priority, true)]);
}

#[test]
fn a_damaged_ledger_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path()).file.unwrap();
    let (ledger, _) = open(directory.path());
    for n in 0..2_000 {
        let request = Request { model: format!("model {n}").into(), ..request(&n.to_string()) };
        ledger.settle(Entry { request, ..entry("") });
    }
    drop(ledger);
    let sound = fs::read(&path).unwrap();
    let page = 4_096;
    let truncated = sound[..sound.len() / 2].to_vec();
    let mut overwritten = sound.clone();
    overwritten[page * 2..].chunks_mut(page).for_each(|page| page[..64].fill(0x5a));
    for damaged in [truncated, overwritten] {
        fs::write(&path, &damaged).unwrap();
        let error = refusal(directory.path());
        assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("Restore a backup"), "{error}");
        assert!(fs::read(&path).unwrap() == damaged);
    }
    fs::write(&path, sound).unwrap();
    assert_eq!(open(directory.path()).1.sums.len(), 2_000);
}

#[test]
fn a_second_writer_is_refused_while_the_first_lives_and_readers_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, _) = open(directory.path());
    let error = refusal(directory.path());
    assert!(matches!(error, LedgerError::InUse(_)), "{error}");
    assert!(Reader::open(ledger.file().unwrap()).is_ok());
    drop(ledger);
    open(directory.path());
}

#[test]
fn nobody_else_can_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, _) = open(directory.path());
    ledger.settle(entry("a"));
    wait(ledger.durable()).unwrap();
    let mut seen = 0;
    for found in fs::read_dir(directory.path()).unwrap().map(Result::unwrap) {
        assert_eq!(found.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", found.path());
        seen += 1;
    }
    assert_eq!(seen, 4, "the file, its WAL, their index, the lock");
}

#[test]
fn what_is_missing_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = directory.path().join("nowhere");
    assert!(refusal(&nowhere).to_string().contains("its directory must exist"));
    assert!(!nowhere.exists());
    let error = Reader::open(directory.path().join("none")).unwrap_err();
    assert!(matches!(error, LedgerError::Missing(_)), "{error}");
    fs::write(directory.path().join("empty"), "").unwrap();
    assert!(matches!(Reader::open(directory.path().join("empty")).unwrap_err(), LedgerError::Missing(_)));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "a reader makes nothing");
}

#[test]
fn a_restart_finds_this_months_and_last_months_sums() {
    let directory = tempfile::tempdir().unwrap();
    let days = [date(2026, 9, 30), date(2026, 10, 1), date(2026, 10, 31), date(2026, 11, 22)];
    let (ledger, _) = open(directory.path());
    for (n, day) in days.into_iter().enumerate() {
        ledger.settle(Entry { request: Request { day, ..request(&n.to_string()) }, ..entry("") });
    }
    drop(ledger);
    let found: Vec<_> = open(directory.path()).1.sums.into_iter().map(|(key, _)| key.day).collect();
    assert_eq!(found, days[1..]);
    // In Samoa it is still the last day of October, when it is the first of November in London.
    let new_month = "2026-11-01T10:00:00Z".parse().unwrap();
    let found = Ledger::open(&config(directory.path()), new_month).unwrap().1.sums;
    assert_eq!(found[0].0.day, days[0]);
}

#[test]
fn a_restart_finds_open_holds_and_charges_the_input_of_those_that_expired() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path()).file.unwrap();
    let long = Hold { expires: "2026-11-22T14:00:00Z".parse().unwrap(), ..hold("long") };
    let (ledger, _) = open(directory.path());
    ledger.hold(hold("short"));
    ledger.hold(long.clone());
    drop(ledger);
    assert_eq!(open(directory.path()).1.holds, [long.clone(), hold("short")]);

    let (ledger, recovered) = Ledger::open(&config(directory.path()), hold("short").expires).unwrap();
    assert_eq!(recovered.holds, std::slice::from_ref(&long));
    assert_eq!(recovered.sums, folded(&[hold("short").lost()]));
    let rows = rows_on_disk(&path);
    assert_eq!(rows, [hold("short").lost()]);
    let lost = &rows[0];
    assert_eq!((&*lost.outcome, lost.estimated, lost.usage.total(), lost.cost), (LOST, true, 100, NanoUsd(100)));
    assert_eq!((lost.tier, lost.by_request, &*lost.price_source), (ServiceTier::Priority, true, "test"));
    assert_eq!(recovered.lost, rows);

    ledger.settle(long.clone().lost());
    wait(ledger.durable()).unwrap();
    assert_eq!(holds_on_disk(&path), []);
    assert_eq!(sums_on_disk(&path), folded(&[lost.clone(), long.lost()]));
}

#[test]
fn a_ledger_that_is_given_up_is_another_processs_until_it_is_taken_back() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, _) = open(directory.path());
    ledger.settle(entry("a"));
    ledger.hold(hold("b"));
    assert!(ledger.close(), "all is written");
    let (other, recovered) = open(directory.path());
    assert_eq!((recovered.sums.len(), recovered.holds), (1, vec![hold("b")]));
    assert!(matches!(ledger.reopen(now()), Err(LedgerError::InUse(_))));
    drop(other);
    ledger.reopen(now()).unwrap();
    ledger.reopen(now()).unwrap();
    ledger.settle(entry("b"));
    wait(ledger.durable()).unwrap();
    assert_eq!(rows_on_disk(ledger.file().unwrap()), [entry("a"), entry("b")]);
    assert_eq!(holds_on_disk(ledger.file().unwrap()), []);
}

#[test]
fn what_a_running_process_gives_is_not_lost_though_it_has_expired() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, _) = open(directory.path());
    ledger.hold(hold("long"));
    assert!(ledger.close());
    let (taken, recovered) = Ledger::take_over(&config(directory.path()), hold("long").expires).unwrap();
    assert_eq!(recovered.holds, [hold("long")]);
    assert!(taken.close());
    assert_eq!(rows_on_disk(ledger.file().unwrap()), []);
}
