//! The account as a document: figures that add up, in the tenant's time, money as text.

use serde_json::{Value, json};

use super::{super::*, *};

fn shown(account: &Account, quotas: &Quotas, running: u64, now: &Now) -> Value {
    serde_json::to_value(account.statement(quotas, running, now)).unwrap()
}

#[test]
fn a_statement_tells_what_is_spent_held_and_left_by_model_and_day() {
    let (account, now) = (account(), at("2026-11-22T23:30:00Z"));
    let quotas = quotas("time_zone = \"Europe/Berlin\"\n[[quotas]]\ntokens_per_day = 1_000\nusd_per_month = \"0.01\"");
    let settle = |model, spent: Spent, now: &Now| {
        account.reserve(&quotas, &ask(model, 100, 0), now).unwrap().reservation.settle(&spent, now);
    };
    let cached = Usage { cache_read_tokens: 3, cache_write_tokens: 5, cache_write_1h_tokens: 7, ..usage(60, 20) };
    // Berlin's 21st, and twice its 23rd.
    settle(CLAUDE, Spent::request(usage(1, 1), NanoUsd(1)), &at("2026-11-21T12:00:00Z"));
    settle(CLAUDE, Spent::request(cached, NanoUsd(1_000_000)), &now);
    settle(NOVA, Spent::estimate(usage(5, 0), NanoUsd(2_500_000)), &now);
    let _held = account.reserve(&quotas, &ask(CLAUDE, 50, 10), &now).unwrap();

    let shown = shown(&account, &quotas, 4, &now);
    let (nova, claude) = (
        json!({"model": NOVA, "requests": 1, "input_tokens": 5, "output_tokens": 0, "cache_read_tokens": 0,
               "cache_write_tokens": 0, "cache_write_1h_tokens": 0, "cost_usd": "0.0025", "estimated": 1}),
        json!({"model": CLAUDE, "requests": 1, "input_tokens": 60, "output_tokens": 20, "cache_read_tokens": 3,
               "cache_write_tokens": 5, "cache_write_1h_tokens": 7, "cost_usd": "0.001", "estimated": 0}),
    );
    assert_eq!((&shown["tenant"], &shown["time_zone"]), (&json!("acme"), &json!("Europe/Berlin")));
    assert_eq!(shown["time"], "2026-11-23T00:30:00+01:00");
    assert_eq!(shown["today"]["by_model"], json!([nova, claude]), "the dearest first");
    assert_eq!((&shown["today"]["date"], &shown["today"]["cost_usd"]), (&json!("2026-11-23"), &json!("0.0035")));
    let month = &shown["month"];
    assert_eq!((&month["first_day"], &month["cost_usd"]), (&json!("2026-11-01"), &json!("0.003500001")));
    assert_eq!((&month["by_model"][1]["cost_usd"], &month["by_day"][0]["day"]), (&json!("0.001000001"), &json!("2026-11-21")));
    assert_eq!((&month["by_day"][1]["requests"], &month["by_day"][1]["estimated"]), (&json!(2), &json!(1)));
    let running = json!({"requests": 4, "holding": 1, "input_tokens": 50, "output_tokens": 10, "cost_usd": "0.0001"});
    assert_eq!(shown["running"], running);
    assert_eq!(
        shown["limits"],
        json!([
            {"quota": "all", "limit": "tokens-per-day", "unit": "tokens", "shadow": false, "amount": 1_000, "spent": 100,
             "reserved": 60, "remaining": 840, "resets": "2026-11-24T00:00:00+01:00", "exhausted_at": "2026-11-23T05:00:00+01:00"},
            {"quota": "all", "limit": "usd-per-month", "unit": "usd", "shadow": false, "amount": "0.01", "spent": "0.003500001",
             "reserved": "0.0001", "remaining": "0.006399999", "resets": "2026-12-01T00:00:00+01:00", "exhausted_at": null},
        ])
    );
}

#[test]
fn what_is_restored_is_in_the_statement_and_other_months_are_not() {
    let (account, now) = (account(), noon());
    let quotas = quotas("");
    let spent = Spent { requests: 3, estimated: 2, ..Spent::request(usage(30, 3), NanoUsd(3)) };
    let days = ["2026-10-31", "2026-11-01", "2026-12-01"].map(|day| (day.parse().unwrap(), CLAUDE, spent));
    account.restore(days);
    let shown = shown(&account, &quotas, 0, &now);
    assert_eq!((&shown["today"]["requests"], &shown["today"]["by_model"]), (&json!(0), &json!([])));
    assert_eq!((&shown["month"]["requests"], &shown["month"]["estimated"]), (&json!(3), &json!(2)));
    assert_eq!((&shown["limits"], &shown["time_zone"]), (&json!([]), &json!("UTC")));
}

/// Havana's clocks go back at one in the morning of the first of November.
#[test]
fn each_moment_is_shown_as_the_tenants_clock_stands_then() {
    let (account, now) = (account(), at("2026-11-01T04:30:00Z"));
    let quotas = quotas("time_zone = \"America/Havana\"\n[[quotas]]\ntokens_per_day = 1_000");
    let spent = Spent::request(usage(900, 0), NanoUsd(0));
    account.reserve(&quotas, &ask(CLAUDE, 900, 0), &now).unwrap().reservation.settle(&spent, &now);
    let shown = shown(&account, &quotas, 0, &now);
    let limit = &shown["limits"][0];
    assert_eq!(shown["time"], "2026-11-01T00:30:00-04:00");
    assert_eq!((&limit["spent"], &limit["exhausted_at"]), (&json!(900), &json!("2026-11-01T00:33:20-04:00")));
    assert_eq!(limit["resets"], "2026-11-02T00:00:00-05:00");
}
