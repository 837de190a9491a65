//! `[[tenants.NAME.quotas]]`: limits that would refuse everything or nothing, amounts that are none, names that are not one's own.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use wildmatch::WildMatch;

use super::{Check, KeyPath};
use crate::{
    config::{
        MaxTokensOver, Quota, Tenant,
        quotas::{QUOTAS_MAX, policy_name},
        suggest::suggest,
    },
    pricing::{NanoUsd, NotMoney, find_by_name, spellings},
};

const NAME_BYTES_MAX: usize = 64;

pub(super) fn check(check: &mut Check<'_>, tenant: &Tenant, path: &KeyPath) {
    time_zone(check, &tenant.time_zone, path.clone().key("time_zone"));
    let path = path.clone().key("quotas");
    if tenant.quotas.len() > QUOTAS_MAX {
        let message = format!("{} quotas: a tenant may have {QUOTAS_MAX}", tenant.quotas.len());
        check.error(path.clone(), message, "join those of models that share a limit, with globs");
    }
    let mut labels: BTreeMap<String, usize> = BTreeMap::new();
    let mut policies = BTreeMap::new();
    for (index, quota) in tenant.quotas.iter().enumerate() {
        let at = path.clone().index(index);
        name(check, quota, &at);
        let (label, named) = (quota.label(index + 1), if quota.name.is_some() { at.clone().key("name") } else { at.clone() });
        if let Some(other) = labels.insert(label.clone(), index) {
            let message = format!("`{path}[{other}]` has this name already: `{}`", label.escape_debug());
            check.error(named, message, "give each a `name` of its own: refusals and metrics say which limit it was");
        } else if let Some((limit, other, policy)) = same_policy(quota, &label, &at, &mut policies) {
            let message = format!("its `{limit}` and `{other}` would both be called `{}`", policy.escape_debug());
            check.error(named, message, "give one of the two quotas another `name`: header fields say which limit it is");
        }
        models(check, quota, tenant, &at);
        amounts(check, quota, &at);
        proportions(check, quota, &at);
        ways(check, quota, &at);
    }
}

/// The first limit of a quota that is called as one of the quotas before it is, that one, and what both are called.
fn same_policy(
    quota: &Quota,
    label: &str,
    at: &KeyPath,
    policies: &mut BTreeMap<String, KeyPath>,
) -> Option<(&'static str, KeyPath, String)> {
    let mut same = None;
    for limit in quota.limits() {
        let policy = policy_name(label, limit);
        if let Some(other) = policies.insert(policy.clone(), at.clone().key(limit)) {
            same = same.or(Some((limit, other, policy)));
        }
    }
    same
}

fn time_zone(check: &mut Check<'_>, name: &str, path: KeyPath) {
    if TimeZone::get(name).is_ok() {
        return;
    }
    let known: Vec<String> = jiff::tz::db().available().map(|zone| zone.to_string()).collect();
    let help = match suggest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write it as IANA does: `Europe/Berlin`, `America/New_York`, `UTC`".to_owned(),
    };
    check.error(path, format!("`{}` is not a time zone", name.escape_debug()), help);
}

fn name(check: &mut Check<'_>, quota: &Quota, at: &KeyPath) {
    let Some(name) = &quota.name else { return };
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !plain || !(1..=NAME_BYTES_MAX).contains(&name.len()) {
        let help = "use 1 to 64 of `A-Z a-z 0-9 . _ -`: it becomes a metric label and part of a header field";
        check.error(at.clone().key("name"), "not a name for a quota", help);
    }
}

fn models(check: &mut Check<'_>, quota: &Quota, tenant: &Tenant, at: &KeyPath) {
    let at = at.clone().key("models");
    if quota.models.is_empty() {
        check.error(at, "no model: this quota limits nothing", "remove the line to limit all models together, or the quota");
        return;
    }
    for (index, glob) in quota.models.iter().enumerate() {
        let at = at.clone().index(index);
        if glob.is_empty() {
            check.error(at, "empty: it matches nothing", "remove it, or write `*` for all");
        } else if glob.contains(":foundation-model/") || glob.contains(":inference-profile/") {
            let help = "write what stands after the `/`: `anthropic.claude-*`, `us.amazon.nova-*`";
            check.warning(at, "matches no model: an ARN of this kind counts as the id it stands for", help);
        } else if tenant.models.iter().all(|allowed| apart(allowed, glob)) && !tenant.models.is_empty() {
            check.warning(at, "matches nothing that the tenant may use", "compare it with the tenant's `models`");
        }
    }
}

/// Certainly no model matches both: names of two models without wildcards, or a name of one that does not match the other's glob.
fn apart(one: &str, other: &str) -> bool {
    let wild = |glob: &str| glob.contains(['*', '?']);
    let has = |glob: &str, model: &str| {
        let pattern = WildMatch::new(glob);
        find_by_name(model, |name| pattern.matches(name).then_some(())).is_some()
            || spellings(glob).iter().any(|name| name == model)
    };
    match (wild(one), wild(other)) {
        (true, true) => false,
        (true, false) => !has(one, other),
        (false, _) => !has(other, one),
    }
}

fn amounts(check: &mut Check<'_>, quota: &Quota, at: &KeyPath) {
    const REFUSES_ALL: &str =
        "remove the line for no limit; to refuse everything, use a smaller allow-list (`models`, `operations`)";
    let tokens = quota.token_limits().into_iter().chain([("max_tokens", quota.max_tokens)]);
    for (key, _) in tokens.clone().filter(|(_, amount)| *amount == Some(0)) {
        check.error(at.clone().key(key), "0 would refuse every request", REFUSES_ALL);
    }
    for (key, text) in quota.money_limits() {
        let at = at.clone().key(key);
        match text.map(str::parse::<NanoUsd>) {
            Some(Err(error)) => {
                let help = match error {
                    NotMoney::Form => "write dollars as a string, `\"12.50\"`, without sign or unit",
                    NotMoney::Decimals => {
                        "round it to at most nine decimals: a billionth of a dollar is the least that is counted"
                    }
                    NotMoney::TooMuch => "lower it, or remove the line for no limit",
                };
                check.error(at, error.to_string(), help);
            }
            Some(Ok(amount)) if amount < NanoUsd::ZERO => {
                check.error(at, "negative: no request would fit", "write dollars without a sign, `\"12.50\"`");
            }
            Some(Ok(NanoUsd::ZERO)) => check.error(at, "0 would refuse every request", REFUSES_ALL),
            _ => {}
        }
    }
    let written = tokens.map(|(key, amount)| (key, amount.is_some()));
    let written = written.chain(quota.money_limits().map(|(key, text)| (key, text.is_some())));
    // What could not be read has been reported, and says that something was meant.
    let unread = |key: &str| check.root.span_of(&at.clone().key(key).0).is_none();
    if !written.into_iter().any(|(key, written)| written || unread(key)) {
        check.warning(at.clone(), "limits nothing", "add an amount, such as `tokens_per_day`, or remove it");
    }
}

/// Limits that can never be reached, because another is smaller.
fn proportions(check: &mut Check<'_>, quota: &Quota, at: &KeyPath) {
    // Of a month of 0 something worse has been said.
    let over = |day: Option<u64>, month: Option<u64>| day.zip(month).is_some_and(|(day, month)| month > 0 && day > month);
    let dollars = |text: &Option<String>| text.as_deref()?.parse::<NanoUsd>().ok();
    for (key, than, is_over) in [
        ("tokens_per_day", "tokens_per_month", over(quota.tokens_per_day, quota.tokens_per_month)),
        ("input_tokens_per_day", "input_tokens_per_month", over(quota.input_tokens_per_day, quota.input_tokens_per_month)),
        ("output_tokens_per_day", "output_tokens_per_month", over(quota.output_tokens_per_day, quota.output_tokens_per_month)),
        (
            "usd_per_day",
            "usd_per_month",
            dollars(&quota.usd_per_day)
                .zip(dollars(&quota.usd_per_month))
                .is_some_and(|(day, month)| month > NanoUsd::ZERO && day > month),
        ),
    ] {
        if is_over {
            let message = format!("more than `{than}`: it can never bind");
            check.warning(at.clone().key(key), message, "lower it, or remove the line");
        }
    }
    let Some(max_tokens) = quota.max_tokens else { return };
    for (key, amount) in quota.token_limits().into_iter().filter(|(key, _)| !key.starts_with("input")) {
        if amount.is_some_and(|amount| (1..max_tokens).contains(&amount)) {
            let message = format!("less than `max_tokens`, {max_tokens}: a request that asks for that many can never fit");
            check.warning(at.clone().key(key), message, "raise it, or lower `max_tokens`");
        }
    }
}

/// Ways to count and to refuse for limits that are not there.
fn ways(check: &mut Check<'_>, quota: &Quota, at: &KeyPath) {
    if quota.count_burndown && !check.has(&at.clone().key("tokens_per_minute")) {
        let help = "add `tokens_per_minute`, which is what it is about, or remove it";
        check.warning(at.clone().key("count_burndown"), "there is no `tokens_per_minute`: it does nothing", help);
    }
    if quota.max_tokens_over == MaxTokensOver::Lower {
        let at = at.clone().key("max_tokens_over");
        if !check.has(&at.parent().key("max_tokens")) {
            check.warning(at, "there is no `max_tokens`: nothing is lowered", "add `max_tokens`, or remove it");
        } else if quota.shadow {
            check.warning(at, "a shadow quota lowers nothing, it only reports", "remove it, or `shadow = true`");
        }
    }
}
