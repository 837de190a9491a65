//! `[[tenants.NAME.quotas]]`: what cannot be meant, and what hardly is.

use super::{Severity, examined, only_problem};

/// The end of a good file, with quotas after it.
fn with(quotas: &str) -> String {
    format!("limits = {{ requests_per_minute = 60 }}\n{quotas}")
}

#[test]
fn a_quota_that_is_wrong_is_reported_once_where_it_stands() {
    let cases = [
        ("tokens_per_day = 0", "quotas[0].tokens_per_day", "refuse every request"),
        ("max_tokens = 0", "quotas[0].max_tokens", "refuse every request"),
        ("tokens_per_day = -5", "quotas[0].tokens_per_day", "not negative"),
        ("tokens_per_day = 1.5", "quotas[0].tokens_per_day", "found the number `1.5`"),
        ("usd_per_day = 10", "quotas[0].usd_per_day", "put it in double quotes"),
        ("usd_per_day = \"0\"", "quotas[0].usd_per_day", "refuse every request"),
        ("usd_per_day = \"-1\"", "quotas[0].usd_per_day", "negative"),
        ("usd_per_day = \"$10\"", "quotas[0].usd_per_day", "without sign or unit"),
        ("usd_per_month = \"0.0000000001\"", "quotas[0].usd_per_month", "at most nine decimals"),
        ("usd_per_month = \"9223372037\"", "quotas[0].usd_per_month", "more than 9223372036.854775807 US dollars"),
        ("usd_per_month = \"99999999999999999999\"", "quotas[0].usd_per_month", "the most there can be"),
        ("usd_per_day = \"5\"\nusd_per_month = \"0\"", "quotas[0].usd_per_month", "refuse every request"),
        ("tokens_per_day = 5\ntokens_per_month = 0", "quotas[0].tokens_per_month", "refuse every request"),
        ("tokens_per_day = 99999999999999999999", "quotas[0].tokens_per_day", "18,446,744,073,709,551,615"),
        ("tokens_per_hour = 5", "quotas[0].tokens_per_hour", "did you mean `tokens_per_"),
        ("tokens_per_day = 5\nmax_tokens_over = \"cut\"", "quotas[0].max_tokens_over", "allowed here: `refuse` or `lower`"),
        ("models = []\ntokens_per_day = 5", "quotas[0].models", "limits nothing"),
        ("models = [\"\"]\ntokens_per_day = 5", "quotas[0].models[0]", "matches nothing"),
        ("models = [\"arn:aws:bedrock:*::foundation-model/x\"]\ntokens_per_day = 5", "quotas[0].models[0]", "after the `/`"),
        ("name = \"a b\"\ntokens_per_day = 5", "quotas[0].name", "not a name for a quota"),
        ("name = \"\"\ntokens_per_day = 5", "quotas[0].name", "not a name for a quota"),
        ("name = \"empty\"", "quotas[0]", "limits nothing"),
        ("tokens_per_day = 5\n[[tenants.acme.quotas]]\ntokens_per_day = 6", "quotas[1]", "has this name already: `all`"),
        (
            "name = \"x\"\ntokens_per_day = 5\n[[tenants.acme.quotas]]\nname = \"x\"\nusd_per_day = \"6\"",
            "quotas[1].name",
            "`tenants.acme.quotas[0]` has this name already",
        ),
        (
            "input_tokens_per_minute = 3\n[[tenants.acme.quotas]]\nname = \"input\"\ntokens_per_minute = 4",
            "quotas[1].name",
            "its `tokens_per_minute` and `tenants.acme.quotas[0].input_tokens_per_minute` would both be called `input-tokens-per-minute`",
        ),
        (
            "name = \"x-output\"\ntokens_per_day = 5\n[[tenants.acme.quotas]]\nname = \"x\"\noutput_tokens_per_day = 6",
            "quotas[1].name",
            "would both be called `x-output-tokens-per-day`",
        ),
        (
            "name = \"output\"\ntokens_per_day = 5\nusd_per_day = \"5\"\n[[tenants.acme.quotas]]\noutput_tokens_per_day = 6",
            "quotas[1]",
            "would both be called `output-tokens-per-day`",
        ),
        ("tokens_per_day = 6\ntokens_per_month = 5", "quotas[0].tokens_per_day", "more than `tokens_per_month`"),
        ("usd_per_day = \"6\"\nusd_per_month = \"5.99\"", "quotas[0].usd_per_day", "more than `usd_per_month`"),
        ("tokens_per_minute = 4_000\nmax_tokens = 4_096", "quotas[0].tokens_per_minute", "less than `max_tokens`, 4096"),
        ("tokens_per_day = 5\ncount_burndown = true", "quotas[0].count_burndown", "it does nothing"),
        ("tokens_per_day = 5\nmax_tokens_over = \"lower\"", "quotas[0].max_tokens_over", "nothing is lowered"),
        ("shadow = true\nmax_tokens = 5\nmax_tokens_over = \"lower\"", "quotas[0].max_tokens_over", "only reports"),
    ];
    for (quota, path, says) in cases {
        let text = with(&format!("[[tenants.acme.quotas]]\n{quota}"));
        let (_, _, found, report) = only_problem("limits = { requests_per_minute = 60 }", &text);
        assert_eq!(found, format!("tenants.acme.{path}"), "{quota}: {report}");
        assert!(report.contains(says), "{quota}: {report}");
    }
}

#[test]
fn a_time_zone_that_nobody_knows_is_refused() {
    for (zone, says) in
        [("Europe/Berlni", "did you mean `Europe/Berlin`?"), ("", "as IANA does"), ("nowhere-at-all", "as IANA does")]
    {
        let zone = with(&format!("time_zone = \"{zone}\""));
        let (_, _, found, report) = only_problem("limits = { requests_per_minute = 60 }", &zone);
        assert_eq!(found, "tenants.acme.time_zone", "{report}");
        assert!(report.contains(says), "{report}");
    }
}

#[test]
fn a_quota_for_models_that_the_tenant_may_not_use_is_warned_about() {
    let text =
        super::GOOD.replace("models = [\"*\"]", "models = [\"amazon.nova-*\"]") + "[[tenants.acme.quotas]]\ntokens_per_day = 5\n";
    assert_eq!(examined(&text).to_string(), "");
    for spelling in ["amazon.nova-lite", "amazon.nova-lite-v1:0", "*"] {
        let spelt = text
            .replace("amazon.nova-*", "amazon.nova-lite-v1:0")
            .replace("tokens_per_day", &format!("models = [\"{spelling}\"]\ntokens_per_day"));
        assert_eq!(examined(&spelt).to_string(), "", "{spelling}");
    }
    let problems = examined(&text.replace("tokens_per_day", "models = [\"anthropic.x\"]\ntokens_per_day"));
    let found: Vec<_> = problems.iter().map(|problem| (problem.severity, problem.key_path.as_str())).collect();
    assert_eq!(found, [(Severity::Warning, "tenants.acme.quotas[0].models[0]")], "{problems}");
}

#[test]
fn more_quotas_than_an_account_tells_apart_are_refused() {
    let quota = |index| format!("[[tenants.acme.quotas]]\nname = \"q{index}\"\ntokens_per_day = 5\n");
    let quotas: String = (0..33).map(quota).collect();
    assert_eq!(examined(&(super::GOOD.to_owned() + &quotas)).errors().count(), 1);
    let quotas: String = (0..32).map(quota).collect();
    assert_eq!(examined(&(super::GOOD.to_owned() + &quotas)).to_string(), "");
}

#[test]
fn a_reservation_must_outlive_a_silent_stream() {
    let (_, _, path, text) = only_problem("[issuers", "[account]\nreservation_seconds_max = 600\n[issuers");
    assert_eq!(path, "account.reservation_seconds_max");
    assert!(text.contains("`upstream.silence_seconds_max` is 600"), "{text}");
    let (_, _, _, text) = only_problem("[issuers", "[account]\nreservation_seconds_max = 0\n[issuers");
    assert!(text.contains("0 would"), "{text}");
}
