//! What is said is written, once, whatever the order and however many say it.

use std::thread;

use proptest::prelude::*;

use super::*;

#[test]
fn a_charge_is_on_disk_with_its_sum_and_without_its_hold() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, recovered) = open(directory.path());
    assert_eq!(recovered, Recovered::default());
    let file = ledger.file().unwrap();
    ledger.hold(hold("a"));
    wait(ledger.durable()).unwrap();
    assert_eq!(holds_on_disk(file), [hold("a")]);
    ledger.settle(entry("a"));
    wait(ledger.durable()).unwrap();
    assert_eq!(holds_on_disk(file), []);
    assert_eq!(rows_on_disk(file), [entry("a")]);
    assert_eq!(sums_on_disk(file), [(request("a").key(), Sums::of(&entry("a")))]);
}

#[test]
fn a_request_that_begins_and_ends_within_a_batch_leaves_its_hold_out() {
    let queue = Queue::new(10, std::iter::empty());
    for id in ["settled", "released"] {
        queue.hold(hold(id).into());
    }
    queue.settle(entry("settled"));
    queue.release("released");
    let queue::Turn::Write(batch) = queue.next(Duration::ZERO, std::time::Instant::now()) else { panic!("nothing to write") };
    assert_eq!((batch.holds.len(), batch.releases.len(), batch.closings.len()), (0, 0, 1));
    assert!(!batch.closings[0].held);
}

#[test]
fn a_released_hold_leaves_the_file_and_no_row() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, _) = open(directory.path());
    ledger.hold(hold("a"));
    wait(ledger.durable()).unwrap();
    ledger.release("a");
    ledger.release("never held");
    wait(ledger.durable()).unwrap();
    assert_eq!(holds_on_disk(ledger.file().unwrap()), []);
    assert_eq!(rows_on_disk(ledger.file().unwrap()), []);
    assert_eq!(ledger.health().unwrap().holds, 0);
}

#[test]
fn the_same_id_is_charged_once_also_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let (ledger, _) = open(directory.path());
        ledger.settle(entry("a"));
        ledger.settle(Entry { cost: NanoUsd(1_000_000), ..entry("a") });
        wait(ledger.durable()).unwrap();
        ledger.settle(entry("a"));
    }
    let file = directory.path().join("ledger.sqlite");
    assert_eq!(rows_on_disk(&file), [entry("a")]);
    assert_eq!(sums_on_disk(&file), folded(&[entry("a")]));
}

#[test]
fn a_dropped_ledger_has_written_everything() {
    let directory = tempfile::tempdir().unwrap();
    let slow = config::Ledger { commit_milliseconds_max: 500, ..config(directory.path()) };
    let (ledger, _) = Ledger::open(&slow, now()).unwrap();
    for n in 0..25_000 {
        ledger.settle(entry(&n.to_string()));
    }
    drop(ledger);
    let rows = rows_on_disk(&directory.path().join("ledger.sqlite"));
    assert_eq!(rows.len(), 25_000);
    assert_eq!(sums_on_disk(&directory.path().join("ledger.sqlite")), folded(&rows));
}

#[test]
fn many_threads_lose_nothing_and_each_acknowledgement_is_true() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, _) = open(directory.path());
    let file = ledger.file().unwrap();
    thread::scope(|scope| {
        for thread in 0..8 {
            let ledger = &ledger;
            scope.spawn(move || {
                for n in 0..200 {
                    let id = format!("{thread}-{n}");
                    ledger.hold(hold(&id));
                    ledger.settle(entry(&id));
                    // Every thread says these, too.
                    ledger.settle(entry(&format!("shared-{n}")));
                    if n % 50 == 0 {
                        wait(ledger.durable()).unwrap();
                        assert!(rows_on_disk(file).iter().any(|row| *row.request.id == id));
                    }
                }
            });
        }
    });
    wait(ledger.durable()).unwrap();
    let rows = rows_on_disk(file);
    assert_eq!(rows.len(), 8 * 200 + 200);
    assert_eq!(sums_on_disk(file), folded(&rows));
    assert_eq!(holds_on_disk(file), []);
}

#[test]
fn counts_beyond_every_range_stop_at_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, _) = open(directory.path());
    let most = Usage { input_tokens: u64::MAX, ..Usage::default() };
    for id in ["a", "b", "c"] {
        ledger.settle(Entry { usage: most, cost: NanoUsd::MAX, ..entry(id) });
    }
    wait(ledger.durable()).unwrap();
    let sums = sums_on_disk(ledger.file().unwrap())[0].1;
    assert_eq!((sums.requests, sums.usage.input_tokens, sums.cost), (3, i64::MAX.unsigned_abs(), NanoUsd::MAX));
}

#[test]
fn without_a_file_nothing_is_kept_and_nobody_waits() {
    let (ledger, recovered) = Ledger::open(&config::Ledger::default(), now()).unwrap();
    assert_eq!(recovered, Recovered::default());
    ledger.settle(entry("a"));
    wait(ledger.durable()).unwrap();
    assert!(ledger.admits() && ledger.health().is_none());
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let who = (0..40_u32, 0..3_u8, 0..3_u8, 1..4_i8);
    let what = (any::<[u32; 5]>(), any::<u32>(), any::<bool>(), any::<bool>());
    (who, what).prop_map(|((id, tenant, model, day), (tokens, cost, estimated, by_request))| Entry {
        request: Request {
            day: date(2026, 11, day),
            tenant: format!("t{tenant}").into(),
            model: format!("m{model}").into(),
            ..request(&id.to_string())
        },
        usage: Usage {
            input_tokens: tokens[0].into(),
            output_tokens: tokens[1].into(),
            cache_read_tokens: tokens[2].into(),
            cache_write_tokens: tokens[3].into(),
            cache_write_1h_tokens: tokens[4].into(),
        },
        cost: NanoUsd(cost.into()),
        estimated,
        by_request,
        ..entry("")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Ids repeat, so that some are said twice: the first counts.
    #[test]
    fn sums_are_the_fold_of_the_rows_through_every_restart(
        entries in prop::collection::vec(any_entry(), 0..80),
        restarts in prop::collection::vec(0..80_usize, 0..3),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = open(directory.path()).0;
        let mut expected: Vec<Entry> = Vec::new();
        for (n, entry) in entries.into_iter().enumerate() {
            if restarts.contains(&n) {
                drop(ledger);
                let (opened, recovered) = open(directory.path());
                prop_assert_eq!(recovered.sums, folded(&expected));
                ledger = opened;
            }
            if expected.iter().all(|known| known.request.id != entry.request.id) {
                expected.push(entry.clone());
            }
            ledger.settle(entry);
        }
        wait(ledger.durable()).unwrap();
        let file = ledger.file().unwrap();
        prop_assert_eq!(&rows_on_disk(file), &expected);
        prop_assert_eq!(sums_on_disk(file), folded(&expected));
    }
}
