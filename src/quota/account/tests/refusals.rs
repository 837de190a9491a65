//! What the caller reads: which limit, how much is left, until when; and the same words in advance.

use std::collections::BTreeSet;

use super::{super::*, *};
use crate::config::MaxTokensOver;

fn refusal(quotas: &Quotas, before: &[Ask<'_>], ask: &Ask<'_>) -> QuotaDenial {
    let (account, now) = (account(), noon());
    let held: Vec<_> = before.iter().map(|ask| account.reserve(quotas, ask, &now).unwrap()).collect();
    let denial = account.reserve(quotas, ask, &now).unwrap_err();
    assert_eq!(account.explain(quotas, ask, None, &now).answer.unwrap_err().to_string(), denial.to_string());
    drop(held);
    denial
}

/// The same, where what was before is not held but spent.
fn refusal_after(quotas: &Quotas, before: &Ask<'_>, ask: &Ask<'_>) -> QuotaDenial {
    let (account, now) = (account(), noon());
    spend(&account, quotas, before, &now);
    account.reserve(quotas, ask, &now).unwrap_err()
}

fn spend(account: &Arc<Account>, quotas: &Quotas, ask: &Ask<'_>, now: &Now) {
    let grant = account.reserve(quotas, ask, now).unwrap();
    grant.reservation.settle(&Spent::request(usage(ask.input_tokens, ask.output_tokens), ask.cost), now);
}

#[test]
fn a_spent_day_says_what_is_left_and_when_it_resets_in_the_tenants_time() {
    let quotas =
        quotas("time_zone = \"Europe/Berlin\"\n[[quotas]]\nname = \"claude\"\nmodels = [\"*claude*\"]\ntokens_per_day = 100_000");
    let denial = refusal_after(&quotas, &ask(CLAUDE, 90_000, 9_880), &ask(CLAUDE, 200, 4_000));
    assert_eq!(
        denial.to_string(),
        "tenant acme has 120 of 100000 tokens per day left for `claude`; this request needs up to 4200; it resets 2026-11-23T00:00:00+01:00"
    );
    assert_eq!((denial.kind, denial.retry_after, denial.reason()), (QuotaKind::Spent, None, "tokens-per-day"));
}

#[test]
fn an_empty_bucket_says_how_long_to_wait() {
    let quotas = quotas("[[quotas]]\ntokens_per_minute = 6_000");
    let denial = refusal(&quotas, &[ask(CLAUDE, 5_000, 500)], &ask(CLAUDE, 100, 1_001));
    let text = "tenant acme has 500 of 6000 tokens per minute left; this request needs up to 1101; try again in 6010 ms";
    assert_eq!(denial.to_string(), text);
    assert_eq!(denial.retry_after, Some(Duration::from_millis(6_010)));
}

#[test]
fn money_is_shown_in_dollars() {
    let quotas = quotas("[[quotas]]\nusd_per_month = \"0.01\"");
    let denial = refusal_after(&quotas, &ask(CLAUDE, 4_000, 1_000), &ask(CLAUDE, 500, 200));
    let text = "tenant acme has 0.001 of 0.01 US dollars per month left; this request may cost 0.0015; it resets 2026-12-01T00:00:00+00:00";
    assert_eq!(denial.to_string(), text);
}

#[test]
fn a_request_that_can_never_fit_is_told_so_whatever_else_binds() {
    let quotas = quotas("[[quotas]]\ntokens_per_minute = 6_000\ntokens_per_day = 100_000\noutput_tokens_per_day = 4_000");
    let denial = refusal(&quotas, &[ask(CLAUDE, 3_000, 0)], &ask(CLAUDE, 200, 4_001));
    let text = "this request needs up to 4001 output tokens, but tenant acme has 4000 per day in all, so it can never fit; \
                set a lower max_tokens";
    assert_eq!((denial.to_string().as_str(), denial.kind, denial.retry_after), (text, QuotaKind::Never, None));
}

#[test]
fn the_advice_for_what_can_never_fit_is_one_that_helps() {
    for (limit, advice) in [
        ("input_tokens_per_day", "; shorten the input"),
        ("output_tokens_per_minute", "; set a lower max_tokens"),
        ("tokens_per_month", "; set a lower max_tokens or shorten the input"),
    ] {
        let text = refusal(&quotas(&format!("[[quotas]]\n{limit} = 10")), &[], &ask(CLAUDE, 11, 11)).to_string();
        assert!(text.ends_with(&format!("it can never fit{advice}")), "{text}");
    }
}

#[test]
fn what_running_requests_hold_is_refused_for_now_and_what_is_spent_until_the_reset() {
    let quotas = quotas(
        "[[quotas]]\nusd_per_month = \"0.01\"\n[[quotas]]\nname = \"claude\"\nmodels = [\"*claude*\"]\ntokens_per_day = 1_000",
    );
    let (account, now) = (account(), noon());
    spend(&account, &quotas, &ask(NOVA, 1_000, 0), &now);
    let (first, second) = (ask(CLAUDE, 600, 0), ask(CLAUDE, 401, 0));
    let running = account.reserve(&quotas, &first, &now).unwrap();
    let denial = account.reserve(&quotas, &second, &now).unwrap_err();
    let text = "tenant acme has 400 of 1000 tokens per day left for `claude`, with 0 spent and 600 held by running requests; \
                this request needs up to 401; try again when some of them have ended";
    assert_eq!((denial.to_string().as_str(), denial.kind), (text, QuotaKind::Temporary));
    assert_eq!((denial.retry_after, denial.resets), (Some(Duration::from_secs(1)), None));
    running.reservation.settle(&Spent::request(usage(600, 0), NanoUsd::ZERO), &now);
    assert_eq!(account.reserve(&quotas, &second, &now).unwrap_err().kind, QuotaKind::Spent);

    let costly = ask(NOVA, 5_000, 0);
    let _running = account.reserve(&quotas, &costly, &now).unwrap();
    let text = "tenant acme has 0.004 of 0.01 US dollars per month left, with 0.001 spent and 0.005 held by running requests; \
                this request may cost 0.005; try again when some of them have ended";
    assert_eq!(account.reserve(&quotas, &costly, &now).unwrap_err().to_string(), text);
}

#[test]
fn what_a_request_holds_itself_is_not_in_the_way_of_others_alone() {
    let quotas = quotas("[[quotas]]\ntokens_per_day = 1_000");
    let (account, now) = (account(), noon());
    let mut reservation = account.reserve(&quotas, &ask(CLAUDE, 600, 0), &now).unwrap().reservation;
    let refused = |reservation: &mut Reservation| reservation.extend(&quotas, (401, 0), NanoUsd::ZERO, &now).unwrap_err().kind;
    assert_eq!(refused(&mut reservation), QuotaKind::Spent);
    let _other = account.reserve(&quotas, &ask(CLAUDE, 300, 0), &now).unwrap();
    assert_eq!(refused(&mut reservation), QuotaKind::Spent);
    let denial = reservation.extend(&quotas, (400, 0), NanoUsd::ZERO, &now).unwrap_err();
    assert_eq!((denial.kind, denial.retry_after), (QuotaKind::Temporary, Some(Duration::from_secs(1))));
}

#[test]
fn a_spent_window_outranks_an_empty_bucket_for_waiting_would_not_help() {
    let quotas = quotas("[[quotas]]\ntokens_per_minute = 1_000\ntokens_per_day = 1_000");
    assert_eq!(refusal_after(&quotas, &ask(CLAUDE, 900, 0), &ask(CLAUDE, 200, 0)).kind, QuotaKind::Spent);
}

#[test]
fn of_two_empty_buckets_the_one_that_is_waited_for_longer_is_named() {
    let quotas = quotas("[[quotas]]\ntokens_per_minute = 6_000\noutput_tokens_per_minute = 600");
    let denial = refusal(&quotas, &[ask(CLAUDE, 5_500, 500)], &ask(CLAUDE, 0, 600));
    assert_eq!((denial.reason(), denial.retry_after), ("output-tokens-per-minute", Some(Duration::from_secs(50))));
    assert!(denial.to_string().contains("has 100 of 600 output tokens per minute left"), "{denial}");
    let denial = refusal(&quotas, &[ask(CLAUDE, 5_500, 500)], &ask(CLAUDE, 5_000, 110));
    assert_eq!((denial.reason(), denial.retry_after), ("tokens-per-minute", Some(Duration::from_millis(51_100))));
}

#[test]
fn two_models_are_alike_until_some_limit_or_cap_has_one_of_them() {
    let everything = quotas("[[quotas]]\ntokens_per_day = 1_000\nmax_tokens = 10");
    assert!(!everything.tell_models_apart() && everything.treat_alike(CLAUDE, NOVA));
    for of_nova in ["tokens_per_day = 1_000", "usd_per_day = \"1\"\nshadow = true", "max_tokens = 10"] {
        let quotas = quotas(&format!("[[quotas]]\ntokens_per_day = 1_000\n[[quotas]]\nmodels = [\"amazon.*\"]\n{of_nova}"));
        assert!(quotas.tell_models_apart() && !quotas.treat_alike(CLAUDE, NOVA), "{of_nova}");
        assert!(quotas.treat_alike(NOVA, "amazon.nova-reel-v1:0") && quotas.treat_alike(CLAUDE, "none"), "{of_nova}");
    }
}

#[test]
fn a_quota_has_its_models_in_every_spelling() {
    for (globs, spellings) in [
        ("openai.gpt-oss-120b-1:0", &["openai.gpt-oss-120b-1:0", "openai.gpt-oss-120b", "gpt-oss-120b"][..]),
        ("openai.gpt-oss-120b", &["openai.gpt-oss-120b-1:0", "openai.gpt-oss-120b", "gpt-oss-120b"]),
        ("*anthropic.claude-*", &["claude-opus-4-5", "anthropic.claude-opus-4-5-20251101-v1:0", "us.anthropic.claude-haiku-4-5"]),
        (
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            &["us.anthropic.claude-haiku-4-5", "us.anthropic.claude-haiku-4-5-20251001-v1"],
        ),
        ("openai.gpt-of-next-year-1:0", &["openai.gpt-of-next-year", "openai.gpt-of-next-year-1:0"]),
    ] {
        let text = format!("[[quotas]]\nmodels = [\"{globs}\"]\ntokens_per_day = 1_000\nmax_tokens = 500\nusd_per_day = \"1\"");
        let (quotas, now) = (quotas(&text), noon());
        for first in spellings {
            let account = account();
            account
                .reserve(&quotas, &ask(first, 600, 0), &now)
                .unwrap()
                .reservation
                .settle(&Spent::request(usage(600, 0), NanoUsd::ZERO), &now);
            for asked in spellings {
                assert!(account.reserve(&quotas, &ask(asked, 600, 0), &now).is_err(), "{asked} after {first}");
                assert!(quotas.max_tokens_for(asked).is_some() && quotas.limit_money(asked), "{asked}");
                assert!(quotas.treat_alike(first, asked), "{first} {asked}");
            }
            assert!(account.reserve(&quotas, &ask(NOVA, 600, 0), &now).is_ok());
            // As after a restart, where only sums are left.
            let restored = self::account();
            restored.restore(account.sums().iter().map(|(date, model, spent)| (*date, &**model, *spent)));
            assert!(spellings.iter().all(|asked| restored.reserve(&quotas, &ask(asked, 600, 0), &now).is_err()), "{first}");
        }
    }
    let quotas = quotas("[[quotas]]\nmodels = [\"us.amazon.nova-lite-v1:0\"]\nmax_tokens = 500");
    assert!(quotas.max_tokens_for("us.amazon.nova-lite").is_some());
    assert!(quotas.max_tokens_for("eu.amazon.nova-lite").is_none() && quotas.max_tokens_for("amazon.nova-lite").is_none());
}

#[test]
fn nothing_is_held_of_any_limit_if_one_says_no() {
    let (account, now) = (account(), noon());
    let quotas = quotas("[[quotas]]\ntokens_per_minute = 1_000\ntokens_per_day = 1_000\nusd_per_day = \"0.000001\"");
    let before = account.balances(&quotas, &now);
    assert_eq!(account.reserve(&quotas, &ask(CLAUDE, 100, 100), &now).unwrap_err().measure, crate::quota::Measure::Cost);
    assert_eq!(account.balances(&quotas, &now), before);
    assert_eq!(account.reserved(), (0, Amounts::default()));
}

#[test]
fn a_shadow_limit_counts_and_reports_but_refuses_nothing() {
    let (account, now) = (account(), noon());
    let quotas = quotas("[[quotas]]\nshadow = true\ntokens_per_day = 1_000\nmax_tokens = 10");
    for (asked, reported) in [(800, 0), (800, 1), (2_000, 1)] {
        let grant = account.reserve(&quotas, &ask(CLAUDE, asked, 0), &now).unwrap();
        assert_eq!((grant.shadowed.len(), grant.standings.len()), (reported, 0));
        grant.reservation.settle(&Spent::request(usage(asked, 0), NanoUsd::ZERO), &now);
    }
    assert_eq!(used(&account, &quotas, &now), (3_600, 0));
    assert_eq!((quotas.max_tokens_for(CLAUDE), quotas.shadow_max_tokens_for(CLAUDE).next().unwrap().max), (None, 10));
}

#[test]
fn what_takes_nothing_of_a_limit_passes_though_it_is_overdrawn() {
    let (account, now) = (account(), noon());
    let quotas = quotas("[[quotas]]\noutput_tokens_per_day = 100");
    let grant = account.reserve(&quotas, &ask(CLAUDE, 0, 100), &now).unwrap();
    assert!(grant.reservation.settle(&Spent::request(usage(0, 130), NanoUsd::ZERO), &now).overdrawn);
    assert_eq!(balance(&account, &quotas, &now).remaining, 0);
    assert!(account.reserve(&quotas, &ask(CLAUDE, 500, 0), &now).is_ok());
    assert!(account.reserve(&quotas, &ask(CLAUDE, 0, 1), &now).is_err());
    assert_eq!(account.tolls().overdrawn, 1);
}

#[test]
fn burndown_weighs_output_and_gives_cache_reads_back() {
    let (account, now) = (account(), noon());
    let quotas = quotas("[[quotas]]\ncount_burndown = true\ntokens_per_minute = 10_000");
    let grant = account.reserve(&quotas, &ask(CLAUDE, 1_000, 200), &now).unwrap();
    assert_eq!(used(&account, &quotas, &now), (0, 2_000));
    let usage = Usage { cache_read_tokens: 700, cache_write_tokens: 50, cache_write_1h_tokens: 50, ..usage(200, 100) };
    grant.reservation.settle(&Spent::request(usage, NanoUsd::ZERO), &now);
    assert_eq!(used(&account, &quotas, &now), (800, 0));
}

#[test]
fn the_smallest_cap_that_applies_counts() {
    let quotas = quotas(
        "[[quotas]]\nmax_tokens = 8_192\nmax_tokens_over = \"lower\"\n[[quotas]]\nname = \"claude\"\nmodels = [\"*claude*\"]\nmax_tokens = 4_096",
    );
    let (claude, nova) = (quotas.max_tokens_for(CLAUDE).unwrap(), quotas.max_tokens_for(NOVA).unwrap());
    assert_eq!((claude.max, claude.over, nova.max, nova.over), (4_096, MaxTokensOver::Refuse, 8_192, MaxTokensOver::Lower));
    let explained = account().explain(&quotas, &ask(CLAUDE, 1, 5_000), Some(5_000), &noon());
    let text = "tenant acme may ask for at most 4096 max_tokens for `claude`; this request asks for 5000";
    assert_eq!(explained.cap.unwrap().to_string(), text);
    assert!(account().explain(&quotas, &ask(CLAUDE, 1, 4_096), Some(4_096), &noon()).cap.is_none());
}

#[test]
fn limits_are_asked_in_the_order_of_the_reference_and_have_names_of_their_own() {
    let quotas = quotas(
        r#"
[[quotas]]
usd_per_month = "5"
usd_per_day = "1"
output_tokens_per_month = 9
input_tokens_per_month = 8
tokens_per_month = 7
output_tokens_per_day = 6
input_tokens_per_day = 5
tokens_per_day = 4
output_tokens_per_minute = 3
input_tokens_per_minute = 2
tokens_per_minute = 1
[[quotas]]
models = ["*nova*"]
tokens_per_day = 1
"#,
    );
    let names: Vec<&str> = quotas.limits.iter().map(|limit| &*limit.policy).collect();
    let expected = [
        "tokens-per-minute",
        "input-tokens-per-minute",
        "output-tokens-per-minute",
        "tokens-per-day",
        "input-tokens-per-day",
        "output-tokens-per-day",
        "tokens-per-month",
        "input-tokens-per-month",
        "output-tokens-per-month",
        "usd-per-day",
        "usd-per-month",
        "*nova*-tokens-per-day",
    ];
    assert_eq!(names, expected);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    let amounts: Vec<u64> = quotas.limits.iter().map(|limit| limit.amount).take(10).collect();
    assert_eq!(amounts, [1, 2, 3, 4, 5, 6, 7, 8, 9, 1_000_000_000]);
}

#[test]
fn standings_count_the_request_itself() {
    let (account, now) = (account(), noon());
    let quotas = quotas("[[quotas]]\ntokens_per_minute = 6_000\nusd_per_day = \"0.01\"");
    let grant = account.reserve(&quotas, &ask(CLAUDE, 500, 100), &now).unwrap();
    let shown: Vec<_> =
        grant.standings.iter().map(|s| (s.name(), s.kind.unit(), s.quota, s.remaining, s.reset.as_secs())).collect();
    assert_eq!(
        shown,
        [("tokens-per-minute", Some("tokens"), 6_000, 5_400, 6), ("usd-per-day", Some("micro-usd"), 10_000, 9_000, 43_200)]
    );
}

#[test]
fn the_forecast_is_a_line_from_the_windows_start() {
    let (account, now) = (account(), noon());
    let quotas = quotas("[[quotas]]\ntokens_per_day = 1_000");
    let spend = |tokens| {
        let grant = account.reserve(&quotas, &ask(CLAUDE, tokens, 0), &now).unwrap();
        grant.reservation.settle(&Spent::request(usage(tokens, 0), NanoUsd::ZERO), &now);
    };
    assert_eq!(balance(&account, &quotas, &now).exhausted, None);
    spend(500);
    assert_eq!(balance(&account, &quotas, &now).exhausted, None);
    spend(250);
    assert_eq!(balance(&account, &quotas, &now).exhausted.unwrap().to_string(), "2026-11-22T16:00:00Z");
}
