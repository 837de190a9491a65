//! A reload forgives nothing and invents nothing; and what clients name does not fill the memory.

use super::{super::*, *};

#[test]
fn a_limit_that_is_new_or_changed_starts_from_what_was_used() {
    let (account, now) = (account(), noon());
    let first = quotas("");
    assert!(first.is_empty());
    let settled = account.reserve(&first, &ask(CLAUDE, 300, 50), &now).unwrap();
    let _open = account.reserve(&first, &ask(CLAUDE, 200, 0), &now).unwrap();
    let _other = account.reserve(&first, &ask(NOVA, 70, 0), &now).unwrap();
    settled.reservation.settle(&Spent::request(usage(100, 20), NanoUsd(200_000)), &now);
    for (toml, expected) in [
        ("[[quotas]]\ntokens_per_day = 400", (120, 270)),
        ("[[quotas]]\ntokens_per_day = 4_000", (120, 270)),
        ("[[quotas]]\nmodels = [\"*claude*\"]\ninput_tokens_per_month = 400", (100, 200)),
        ("[[quotas]]\nmodels = [\"*nova*\"]\ntokens_per_day = 400", (0, 70)),
        ("[[quotas]]\nusd_per_day = \"1\"", (200_000, 270_000)),
        ("[[quotas]]\ntokens_per_minute = 1_000", (0, 270)),
    ] {
        assert_eq!(used(&account, &quotas(toml), &now), expected, "{toml}");
    }
}

#[test]
fn a_bucket_keeps_its_level_when_its_amount_changes() {
    let (account, now) = (account(), noon());
    let (small, large) = (quotas("[[quotas]]\ntokens_per_minute = 600"), quotas("[[quotas]]\ntokens_per_minute = 6_000"));
    account
        .reserve(&small, &ask(CLAUDE, 600, 0), &now)
        .unwrap()
        .reservation
        .settle(&Spent::request(usage(600, 0), NanoUsd::ZERO), &now);
    assert_eq!(balance(&account, &large, &now).remaining, 5_400);
    assert_eq!(balance(&account, &large, &after(&now, 3)).remaining, 5_700);
}

#[test]
fn two_limits_that_count_the_same_differ_in_what_they_allow() {
    let (account, now) = (account(), noon());
    let quotas =
        quotas("[[quotas]]\ntokens_per_minute = 6_000\n[[quotas]]\nname = \"watched\"\nshadow = true\ntokens_per_minute = 600");
    let grant = account.reserve(&quotas, &ask(CLAUDE, 600, 0), &now).unwrap();
    grant.reservation.settle(&Spent::request(usage(600, 0), NanoUsd::ZERO), &now);
    let remaining: Vec<u64> = account.balances(&quotas, &after(&now, 3)).iter().map(|balance| balance.remaining).collect();
    assert_eq!(remaining, [5_700, 30]);
}

#[test]
fn an_older_configuration_that_comes_late_is_still_judged_by_its_own_limits() {
    let (account, now) = (account(), noon());
    let (old, new) = (quotas("[[quotas]]\ntokens_per_day = 100"), quotas("[[quotas]]\ntokens_per_day = 1_000"));
    let _held = account.reserve(&new, &ask(CLAUDE, 500, 0), &now).unwrap();
    assert_eq!(account.reserve(&old, &ask(CLAUDE, 50, 0), &now).unwrap_err().amount, 100);
    assert!(account.reserve(&new, &ask(CLAUDE, 500, 0), &now).is_ok());
}

#[test]
fn a_thousand_reloads_leave_no_more_than_two_configurations() {
    let (account, now) = (account(), noon());
    for generation in 0..1_000 {
        let quotas =
            quotas(&format!("[[quotas]]\nmodels = [\"model-{generation}*\"]\ntokens_per_day = 100\ntokens_per_minute = 9"));
        assert!(account.reserve(&quotas, &ask(&format!("model-{generation}"), 101, 0), &now).is_err());
    }
    account.book.with(|book| assert!(book.slots() <= 4, "{}", book.slots()));
}

#[test]
fn names_that_clients_make_up_are_not_kept() {
    let (account, now) = (account(), noon());
    let quotas = quotas("[[quotas]]\nmodels = [\"*9\"]\ntokens_per_day = 100");
    for guess in 0..5_000 {
        let _ = account.reserve(&quotas, &ask(&format!("model-{guess}"), 101, 0), &now);
    }
    account.book.with(|book| assert!(book.models() <= 512, "{}", book.models()));
    assert_eq!(account.sums(), []);
    // And those beyond the bound are still limited.
    assert!(account.reserve(&quotas, &ask("model-xyz9", 101, 0), &now).is_err());
    assert!(account.reserve(&quotas, &ask(&"x".repeat(10_000), 101, 0), &now).is_ok());
}

#[test]
fn a_tenants_load_does_not_change_anothers_verdict() {
    let (accounts, now) = (Accounts::default(), noon());
    let quotas = quotas("[[quotas]]\ntokens_per_day = 1_000");
    let _held = accounts.of("a").reserve(&quotas, &ask(CLAUDE, 1_000, 0), &now).unwrap();
    assert!(accounts.of("a").reserve(&quotas, &ask(CLAUDE, 1, 0), &now).is_err());
    assert!(accounts.of("b").reserve(&quotas, &ask(CLAUDE, 1_000, 0), &now).is_ok());
}

#[test]
fn an_explicit_zero_is_a_request_that_used_nothing() {
    let (account, now) = (account(), noon());
    let quotas = quotas("[[quotas]]\ntokens_per_day = 1_000");
    account
        .reserve(&quotas, &ask(CLAUDE, 1_000, 0), &now)
        .unwrap()
        .reservation
        .settle(&Spent::request(Usage::default(), NanoUsd::ZERO), &now);
    assert_eq!(used(&account, &quotas, &now), (0, 0));
    assert_eq!(account.sums()[0].2.requests, 1);
}

#[test]
fn a_restored_hold_does_not_outlive_the_longest_reservation_whatever_the_clock_said() {
    let (account, now) = (account(), at("1970-01-01T00:00:00Z"));
    let quotas = quotas("[[quotas]]\ntokens_per_day = 1_000");
    let amounts = Amounts { input_tokens: 1_000, ..Amounts::default() };
    let date = "1970-01-01".parse().unwrap();
    let expires = "2026-11-22T12:00:00Z".parse().unwrap();
    let hold = OpenHold { request: uuid::Uuid::nil(), model: CLAUDE.to_owned(), date, amounts, burndown_factor: 1, expires };
    account.restore_hold(&hold, now.monotonic, Duration::from_secs(60), &now);
    assert_eq!(used(&account, &quotas, &now), (0, 1_000));
    assert_eq!(account.expire(&after(&now, 59)), []);
    assert_eq!(account.expire(&after(&now, 60)).len(), 1);
    assert_eq!(used(&account, &quotas, &now), (0, 0));
}
