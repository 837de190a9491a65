//! Clocks that are wrong: nothing is deleted by their word, and nothing is forgotten.

use jiff::{ToSpan, civil::Date};

use super::*;

/// Charges of these days; the file as a process leaves it whose clock was right.
fn charged_on(directory: &Path, days: &[Date]) {
    let last = days.last().unwrap().to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
    let (ledger, _) = Ledger::open(&config(directory), last).unwrap();
    for (n, &day) in days.iter().enumerate() {
        ledger.settle(Entry { request: Request { day, ..request(&format!("{day} {n}")) }, ..entry("") });
    }
}

#[test]
fn a_start_far_ahead_of_the_last_charge_prunes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path()).file.unwrap();
    // To these, the clock that this test goes by is years ahead.
    let days = [date(2020, 1, 5), date(2020, 1, 6), date(2020, 1, 6)];
    charged_on(directory.path(), &days);
    for _ in 0..2 {
        // A turn of the writer, and the look for old rows that follows it.
        let (ledger, _) = Ledger::open(&config(directory.path()), Timestamp::now()).unwrap();
        ledger.settle(entry("in a wrong year"));
        ledger.settle(Entry { request: Request { day: date(2026, 11, 23), ..request("in another time zone") }, ..entry("") });
        wait(ledger.durable()).unwrap();
        drop(ledger);
        assert_eq!(rows_on_disk(&path).len(), days.len() + 2);
    }
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.rows_since().unwrap(), None);
    assert_eq!(reader.verify().unwrap(), Verdict { rows: 5, sums: 4, ..Verdict::default() });
}

#[test]
fn what_is_older_than_the_retention_time_by_the_files_own_days_is_pruned() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path()).file.unwrap();
    let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let days: Vec<Date> = [200, 20, 6, 5, 4, 3, 2, 1, 0].map(|ago: i64| today - ago.days()).into();
    charged_on(directory.path(), &days);
    let (ledger, _) = Ledger::open(&config(directory.path()), Timestamp::now()).unwrap();
    ledger.settle(Entry { request: Request { day: today, ..request("now") }, ..entry("") });
    drop(ledger);
    let kept: Vec<Date> = rows_on_disk(&path).into_iter().map(|row| row.request.day).collect();
    assert_eq!(kept, [&days[1..], &[today]].concat());
}

#[test]
fn a_start_with_a_clock_in_2030_finds_the_sums_that_count_when_it_is_put_right() {
    let directory = tempfile::tempdir().unwrap();
    let days = [date(2026, 10, 31), date(2026, 11, 22)];
    charged_on(directory.path(), &days);
    let wrong: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    for seen in [&days[..], &[days[0], days[1], date(2030, 1, 1), date(2030, 1, 2)]] {
        let (ledger, recovered) = Ledger::open(&config(directory.path()), wrong).unwrap();
        assert_eq!(recovered.sums.iter().map(|(key, _)| key.day).collect::<Vec<_>>(), seen);
        for day in [date(2030, 1, 1), date(2030, 1, 2)] {
            ledger.settle(Entry { request: Request { day, ..request(&day.to_string()) }, ..entry("") });
        }
    }
}
