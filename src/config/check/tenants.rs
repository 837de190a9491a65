//! `[tenants.NAME]`: names that no token, service or operation has, and tenants that can do nothing.

use std::collections::BTreeMap;

use wildmatch::WildMatch;

use super::{Check, KeyPath, quotas, upstream::services_help};
use crate::{
    bedrock::{Service, operations},
    config::{RequestLimits, Tenant, suggest::suggest},
};

const NAME_BYTES_MAX: usize = 64;

pub(super) fn check(check: &mut Check<'_>, tenants: &BTreeMap<String, Tenant>) {
    if tenants.is_empty() {
        check.warning(KeyPath::of("tenants"), "no tenant: every request will be refused", "add a `[tenants.NAME]` section");
    }
    for (name, tenant) in tenants {
        let path = KeyPath::of("tenants").key(name);
        if !is_tenant_name(name) {
            let help = "use 1 to 64 of `A-Z a-z 0-9 . _ -`: it becomes a metric label";
            check.key_error(path.clone(), "not a name for a tenant", help);
        }
        allow_lists(check, tenant, &path);
        services(check, tenant, &path);
        operation_globs(check, tenant, &path);
        limits(check, &tenant.limits, &path.clone().key("limits"));
        quotas::check(check, tenant, &path);
    }
}

fn is_tenant_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn allow_lists(check: &mut Check<'_>, tenant: &Tenant, path: &KeyPath) {
    for (key, list) in [("models", &tenant.models), ("services", &tenant.services), ("operations", &tenant.operations)] {
        if list.is_empty() {
            let help = format!("name what is allowed, or write `{key} = [\"*\"]` to allow all");
            check.warning(path.clone().key(key), format!("no {key}: this tenant is allowed nothing"), help);
        }
        for (index, entry) in list.iter().enumerate() {
            if entry.is_empty() {
                check.error(
                    path.clone().key(key).index(index),
                    "empty: it allows nothing",
                    "remove it, or write `*` to allow all",
                );
            }
        }
    }
}

fn services(check: &mut Check<'_>, tenant: &Tenant, path: &KeyPath) {
    for (index, name) in tenant.services.iter().enumerate() {
        if !name.is_empty() && name != "*" && name.parse::<Service>().is_err() {
            let message = format!("`{}` is not a Bedrock service", name.escape_debug());
            check.error(path.clone().key("services").index(index), message, services_help(name));
        }
    }
}

/// Only a warning: AWS adds operations, and a configuration may be older or newer than the table.
fn operation_globs(check: &mut Check<'_>, tenant: &Tenant, path: &KeyPath) {
    for (index, glob) in tenant.operations.iter().enumerate() {
        let matcher = WildMatch::new(glob);
        if glob.is_empty() || operations().iter().any(|operation| matcher.matches(operation.name)) {
            continue;
        }
        let help = match suggest(glob, operations().iter().map(|operation| operation.name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                "operations are spelled as in AWS's API reference, `ConverseStream`; ones this version does not know need `*`"
                    .to_owned()
            }
        };
        let message = format!("`{}` matches no operation this version knows", glob.escape_debug());
        check.warning(path.clone().key("operations").index(index), message, help);
    }
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
