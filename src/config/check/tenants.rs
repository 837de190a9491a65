//! `[tenants.NAME]`: names that no token has, and limits that refuse everything. What tenants may is looked at in `policy`.

use std::collections::BTreeMap;

use super::{Check, KeyPath, quotas, words};
use crate::config::{Config, RequestLimits, Tenant, suggest::suggest};

pub(super) fn check(check: &mut Check<'_>, tenants: &BTreeMap<String, Tenant>) {
    if tenants.is_empty() {
        check.warning(KeyPath::of("tenants"), "no tenant: every request will be refused", "add a `[tenants.NAME]` section");
    }
    for (name, tenant) in tenants {
        let path = KeyPath::of("tenants").key(name);
        if !words::is_tenant(name) {
            let help = "use 1 to 64 of `A-Z a-z 0-9 . _ -`, and more than `.` or `..`: it becomes a metric label, and part of a page's path";
            check.key_error(path.clone(), "not a name for a tenant", help);
        }
        if words::NOBODY.contains(&name.as_str()) {
            let message = format!("`{name}` is what metrics call those who have no name there");
            check.key_error(path.clone(), message, "use another name: the tenant would share its series with unknown callers");
        }
        limits(check, &tenant.limits, &path.clone().key("limits"));
        quotas::check(check, tenant, &path);
    }
}

/// Whoever is told to be of a tenant that has no section is refused.
pub(super) fn known(check: &mut Check<'_>, config: &Config, name: &str, path: KeyPath) {
    // That there are none has been said.
    if config.tenants.is_empty() || config.tenants.contains_key(name) {
        return;
    }
    let help = match suggest(name, config.tenants.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "add a `[tenants.NAME]` section: without it every request is refused".to_owned(),
    };
    check.warning(path, format!("there is no tenant `{}`", name.escape_debug()), help);
}

fn limits(check: &mut Check<'_>, limits: &RequestLimits, path: &KeyPath) {
    let values = [
        ("requests_per_second", limits.requests_per_second.map(u64::from)),
        ("requests_per_minute", limits.requests_per_minute.map(u64::from)),
        ("concurrent_requests", limits.concurrent_requests.map(u64::from)),
        ("stream_events_per_second", limits.stream_events_per_second),
        ("stream_bytes_per_second", limits.stream_bytes_per_second),
    ];
    for (key, value) in values {
        if value == Some(0) {
            check.error(
                path.clone().key(key),
                "0 would let nothing through, ever",
                "remove the line for no limit of its own; to refuse everything, use a smaller allow-list (`models`, `operations`): SDKs do not retry that",
            );
        }
    }
}
