//! Calendar windows: their edges, what straddles them, and clocks that jump.

use jiff::Timestamp;

use super::{super::*, *};

#[test]
fn a_charge_counts_on_the_day_of_its_admission() {
    let account = account();
    let quotas = quotas("time_zone = \"Europe/Berlin\"\n[[quotas]]\ntokens_per_day = 1_000");
    let evening = at("2026-11-22T22:59:59Z");
    let morning = after(&evening, 1);
    let grant = account.reserve(&quotas, &ask(CLAUDE, 900, 0), &evening).unwrap();
    assert_eq!((used(&account, &quotas, &evening), used(&account, &quotas, &morning)), ((0, 900), (0, 0)));
    assert!(account.reserve(&quotas, &ask(CLAUDE, 1_000, 0), &morning).is_ok());
    grant.reservation.settle(&Spent::request(usage(600, 0), NanoUsd::ZERO), &morning);
    assert_eq!((used(&account, &quotas, &morning), used(&account, &quotas, &evening)), ((0, 0), (600, 0)));
}

#[test]
fn a_day_ends_at_the_tenants_midnight_also_when_summer_time_begins_or_ends() {
    for (midnight, zone) in [
        ("2026-03-29T22:00:00Z", "Europe/Berlin"),
        ("2026-10-25T23:00:00Z", "Europe/Berlin"),
        // Summer time begins at midnight: the day begins at one.
        ("2017-10-15T03:00:00Z", "America/Sao_Paulo"),
        // It ends at midnight: eleven at night comes twice.
        ("2018-02-18T03:00:00Z", "America/Sao_Paulo"),
    ] {
        let account = account();
        let quotas = quotas(&format!("time_zone = \"{zone}\"\n[[quotas]]\ntokens_per_day = 1_000"));
        let start = at(midnight);
        let before = Now { wall: start.wall - SignedDuration::from_nanos(1), ..start };
        let grant = account.reserve(&quotas, &ask(CLAUDE, 1_000, 0), &before).unwrap();
        grant.reservation.settle(&Spent::request(usage(1_000, 0), NanoUsd::ZERO), &before);
        let denial = account.reserve(&quotas, &ask(CLAUDE, 1, 0), &before).unwrap_err();
        assert_eq!(denial.resets.unwrap().0, start.wall, "{zone}");
        assert!(account.reserve(&quotas, &ask(CLAUDE, 1_000, 0), &start).is_ok());
    }
}

#[test]
fn a_month_has_all_of_its_days() {
    let account = account();
    let quotas = quotas("[[quotas]]\ntokens_per_month = 3_100");
    for day in 1..=31 {
        let now = at(&format!("2026-10-{day:02}T08:00:00Z"));
        account
            .reserve(&quotas, &ask(CLAUDE, 100, 0), &now)
            .unwrap()
            .reservation
            .settle(&Spent::request(usage(100, 0), NanoUsd::ZERO), &now);
    }
    assert!(account.reserve(&quotas, &ask(CLAUDE, 1, 0), &at("2026-10-31T23:59:59Z")).is_err());
    assert!(account.reserve(&quotas, &ask(CLAUDE, 3_100, 0), &at("2026-11-01T00:00:00Z")).is_ok());
}

#[test]
fn a_clock_that_jumps_finds_its_sums_again_when_it_comes_back() {
    let account = account();
    let quotas = quotas("[[quotas]]\ntokens_per_minute = 1_000_000\ntokens_per_day = 1_000\ntokens_per_month = 5_000");
    let now = noon();
    let spend = |now: &Now| {
        account
            .reserve(&quotas, &ask(CLAUDE, 600, 0), now)
            .map(|grant| grant.reservation.settle(&Spent::request(usage(600, 0), NanoUsd::ZERO), now))
    };
    spend(&now).unwrap();
    for wall in [
        "1970-01-01T00:00:00Z",
        "2030-06-01T00:00:00Z",
        "-009999-01-02T01:59:59Z",
        "9999-12-30T22:00:00Z",
        "2026-11-23T00:00:00Z",
    ] {
        let jumped = Now { wall: wall.parse().unwrap(), ..now };
        spend(&jumped).unwrap();
        assert_eq!(spend(&jumped).unwrap_err().remaining, 400, "{wall}");
        assert_eq!(spend(&now).unwrap_err().remaining, 400, "{wall}");
    }
    for wall in [Timestamp::MIN, Timestamp::MAX] {
        let _ = (spend(&Now { wall, ..now }), account.balances(&quotas, &Now { wall, ..now }));
    }
}

#[test]
fn many_days_in_the_future_do_not_push_out_the_present() {
    let account = account();
    let quotas = quotas("[[quotas]]\ntokens_per_day = 1_000");
    let spend = |now: &Now| {
        let grant = account.reserve(&quotas, &ask(CLAUDE, 10, 0), now).unwrap();
        grant.reservation.settle(&Spent::request(usage(10, 0), NanoUsd::ZERO), now);
    };
    let (now, future) = (noon(), at("2030-01-01T12:00:00Z"));
    spend(&now);
    (0..60).for_each(|day| spend(&after(&future, day * 86_400)));
    assert_eq!(used(&account, &quotas, &now), (10, 0));
    (0..200).for_each(|day| spend(&after(&future, day * 86_400)));
    assert!(account.sums().len() <= 100);
}

#[test]
fn buckets_do_not_know_the_wall_clock() {
    let account = account();
    let quotas = quotas("[[quotas]]\ntokens_per_minute = 600");
    let now = noon();
    account
        .reserve(&quotas, &ask(CLAUDE, 600, 0), &now)
        .unwrap()
        .reservation
        .settle(&Spent::request(usage(600, 0), NanoUsd::ZERO), &now);
    let tomorrow = Now { wall: at("2026-11-23T12:00:00Z").wall, ..now };
    assert_eq!(account.reserve(&quotas, &ask(CLAUDE, 10, 0), &tomorrow).unwrap_err().retry_after, Some(Duration::from_secs(1)));
    let yesterday = Now { wall: at("2026-11-21T12:00:00Z").wall, monotonic: now.monotonic + Duration::from_secs(1) };
    assert!(account.reserve(&quotas, &ask(CLAUDE, 10, 0), &yesterday).is_ok());
}

#[test]
fn a_hold_expires_by_the_clock_that_never_jumps_and_is_still_charged_once() {
    let account = account();
    let quotas = quotas("[[quotas]]\ntokens_per_day = 1_000\n");
    let now = noon();
    let slow = account.reserve(&quotas, &ask(CLAUDE, 1_000, 0), &now).unwrap();
    let jumped = Now { wall: at("2026-12-24T00:00:00Z").wall, ..now };
    assert_eq!(account.expire(&jumped), []);
    let expired = account.expire(&after(&now, 7_200));
    assert_eq!(expired.iter().map(|expired| expired.amounts.input_tokens).collect::<Vec<_>>(), [1_000]);
    let other = account.reserve(&quotas, &ask(CLAUDE, 700, 0), &now).unwrap();
    assert_eq!(
        slow.reservation.settle(&Spent::request(usage(900, 0), NanoUsd(7)), &now),
        Settled { overdrawn: false, late: true }
    );
    assert_eq!(used(&account, &quotas, &now), (900, 700));
    drop(other);
    assert_eq!(used(&account, &quotas, &now), (900, 0));
    assert_eq!(account.sums()[0].2, Spent::request(usage(900, 0), NanoUsd(7)));
    assert_eq!(account.tolls(), Tolls { overdrawn: 0, expired: 1, late: 1 });
}
