//! What readers see while the ledger is written, and what `verify` finds.

use super::*;

fn spread(ledger: &Ledger) {
    let days =
        [(1, "acme", "ann", "claude"), (2, "acme", "bob", "nova"), (2, "globex", "ann", "claude"), (3, "acme", "ann", "claude")];
    for (n, (day, tenant, principal, model)) in days.into_iter().enumerate() {
        let (day, operation) = (date(2026, 11, day), if n == 1 { "InvokeModel" } else { "Converse" });
        let request = Request {
            day,
            tenant: tenant.into(),
            principal: principal.into(),
            model: model.into(),
            operation: operation.into(),
            ..request(&n.to_string())
        };
        ledger.settle(Entry { request, cost: NanoUsd(10_i64.pow(n as u32)), ..entry("") });
    }
    wait(ledger.durable()).unwrap();
}

fn costs(reader: &Reader, selection: &Selection, by: By) -> Vec<(String, i64)> {
    let usage = reader.usage(selection, by).unwrap();
    let name = |group: &Group| group.tenant.iter().map(|t| format!("{t}/")).collect::<String>() + &group.name;
    usage.iter().map(|(group, sums)| (name(group), sums.cost.0)).collect()
}

#[test]
fn usage_is_summed_by_every_property_while_the_ledger_is_open() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, _) = open(directory.path());
    spread(&ledger);
    let reader = Reader::open(ledger.file().unwrap()).unwrap();
    let all = Selection::default();
    let expected: [(By, &[(&str, i64)]); 5] = [
        (By::Tenant, &[("acme", 1_011), ("globex", 100)]),
        (By::Model, &[("claude", 1_101), ("nova", 10)]),
        (By::Day, &[("2026-11-01", 1), ("2026-11-02", 110), ("2026-11-03", 1_000)]),
        (By::Principal, &[("acme/ann", 1_001), ("acme/bob", 10), ("globex/ann", 100)]),
        (By::Operation, &[("Converse", 1_101), ("InvokeModel", 10)]),
    ];
    for (by, expected) in expected {
        let expected: Vec<_> = expected.iter().map(|(name, cost)| ((*name).to_owned(), *cost)).collect();
        assert_eq!(costs(&reader, &all, by), expected, "{by:?}");
    }
}

#[test]
fn tenant_and_days_select_and_both_days_are_within() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, _) = open(directory.path());
    spread(&ledger);
    let reader = Reader::open(ledger.file().unwrap()).unwrap();
    let total = |tenant: Option<&str>, since, until| {
        let day = |day: Option<i8>| day.map(|day| date(2026, 11, day));
        let selection = Selection { tenant: tenant.map(str::to_owned), since: day(since), until: day(until) };
        let by_rows: i64 = costs(&reader, &selection, By::Operation).iter().map(|(_, cost)| cost).sum();
        let by_sums: i64 = costs(&reader, &selection, By::Tenant).iter().map(|(_, cost)| cost).sum();
        assert_eq!(by_rows, by_sums);
        by_sums
    };
    assert_eq!(total(None, None, None), 1_111);
    assert_eq!(total(None, Some(2), Some(2)), 110);
    assert_eq!(total(Some("acme"), Some(2), None), 1_010);
    assert_eq!(total(Some("acme"), None, Some(2)), 11);
    assert_eq!(total(Some("nobody"), None, None), 0);
}

#[test]
fn a_reader_that_is_open_sees_what_is_written_later() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, _) = open(directory.path());
    let reader = Reader::open(ledger.file().unwrap()).unwrap();
    assert_eq!(reader.recent(None, 10).unwrap(), []);
    for id in ["a", "b", "c"] {
        ledger.settle(entry(id));
    }
    wait(ledger.durable()).unwrap();
    assert_eq!(reader.recent(None, 2).unwrap(), [entry("c"), entry("b")]);
    assert_eq!(reader.recent(Some("globex"), 2).unwrap(), []);
}

#[test]
fn a_ledger_that_is_sound_verifies_and_one_that_was_touched_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, _) = open(directory.path());
    spread(&ledger);
    let file = ledger.file().unwrap();
    let reader = Reader::open(file).unwrap();
    assert_eq!(reader.verify().unwrap(), Verdict { rows: 4, sums: 4, ..Verdict::default() });
    let touched = rusqlite::Connection::open(file).unwrap();
    touched.execute("UPDATE requests SET input_tokens = 2 WHERE id = '0'", ()).unwrap();
    touched.execute("DELETE FROM sums WHERE day = '2026-11-03'", ()).unwrap();
    let days: Vec<_> = reader.verify().unwrap().differences.into_iter().map(|(key, ..)| key.day).collect();
    assert_eq!(days, [date(2026, 11, 1), date(2026, 11, 3)]);
}

#[test]
fn old_rows_are_pruned_their_sums_stay_and_still_verify() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path()).file.unwrap();
    let kept = config::Ledger { retention_days: 3_660, ..config(directory.path()) };
    let (ledger, _) = Ledger::open(&kept, now()).unwrap();
    let old = Request { day: date(2020, 2, 29), ..request("") };
    for n in 0..2_500 {
        ledger.settle(Entry { request: Request { id: n.to_string().into(), ..old.clone() }, ..entry("") });
    }
    let young = Request { day: Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date(), ..request("young") };
    ledger.settle(Entry { request: young.clone(), ..entry("") });
    drop(ledger);
    let before = sums_on_disk(&path);
    // The store itself, so that the test says when.
    let (mut store, _) = Store::open(path.clone(), now(), now()).unwrap();
    let mut turns = 1;
    while store.prune(date(2026, 1, 1)).unwrap() {
        turns += 1;
    }
    assert_eq!(turns, 3, "in small transactions");
    assert_eq!(rows_on_disk(&path).iter().map(|row| &*row.request.id).collect::<Vec<_>>(), ["young"]);
    assert_eq!(sums_on_disk(&path), before);
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.rows_since().unwrap(), Some(date(2026, 1, 1)));
    assert_eq!(reader.verify().unwrap(), Verdict { rows: 1, sums: 1, ..Verdict::default() });
    let pages: i64 = reader.connection().pragma_query_value(None, "freelist_count", |row| row.get(0)).unwrap();
    assert!(pages < 20, "{pages} pages were not given back");
}
