//! `[issuers.NAME]`: issuers whose tokens could never pass, or pass for too long, or name their tenant in two ways.

use std::collections::BTreeMap;

use super::{Check, KeyPath, tenants, upstream::shown, words};
use crate::config::{Config, Issuer, KeySetSource, suggest::suggest};

/// More than this is not clock difference any more but a longer life for stolen tokens.
const LEEWAY_SECONDS_MAX: u64 = 300;

/// A token that lives shorter is spent before a request with its retries is through.
const TOKEN_LIFETIME_SECONDS_MIN: u64 = 60;

pub(super) fn check(check: &mut Check<'_>, config: &Config) {
    let issuers = &config.issuers;
    if issuers.is_empty() && config.keys.is_none() {
        let help = "add an `[issuers.NAME]` section, or `[keys]`";
        check.warning(KeyPath::of("issuers"), "no issuer and no keys: every request will be refused", help);
    }
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, issuer) in issuers {
        let at = |key: &str| KeyPath::of("issuers").key(name).key(key);
        if issuer.issuer.is_empty() {
            check.error(at("issuer"), "empty", "write the tokens' `iss` claim, exactly");
        } else if let Some(other) = seen.insert(&issuer.issuer, name) {
            check.error(
                at("issuer"),
                format!("`issuers.{other}` is this issuer already"),
                "put the audiences and algorithms of both into one section: which of two would check a token is anybody's guess",
            );
        }
        claims(check, issuer, &at);
        requirements(check, issuer, &at);
        tenant(check, config, issuer, &at);
        key_set(check, issuer, &at);
    }
}

fn claims(check: &mut Check<'_>, issuer: &Issuer, at: &dyn Fn(&str) -> KeyPath) {
    if issuer.audiences.is_empty() {
        let help = "name what the tokens' `aud` claim says when they are meant for this gateway";
        check.error(at("audiences"), "no audience: every token of this issuer would be refused", help);
    }
    for (index, audience) in issuer.audiences.iter().enumerate() {
        if audience.is_empty() {
            check.error(at("audiences").index(index), "empty", "remove it, or write what the `aud` claim says");
        }
    }
    if issuer.algorithms.is_empty() {
        let help = "remove the line to get the default, `[\"RS256\", \"ES256\"]`";
        check.error(at("algorithms"), "no algorithm: every token of this issuer would be refused", help);
    }
    if issuer.leeway_seconds > LEEWAY_SECONDS_MAX {
        let help = format!("use at most {LEEWAY_SECONDS_MAX}, and time synchronisation");
        check.error(at("leeway_seconds"), "more than clocks differ: it would prolong the life of stolen tokens", help);
    }
    if issuer.token_lifetime_seconds_max < TOKEN_LIFETIME_SECONDS_MIN {
        let help = format!("use at least {TOKEN_LIFETIME_SECONDS_MIN}; it is in seconds");
        check.error(at("token_lifetime_seconds_max"), "shorter than tokens can usefully live", help);
    }
}

fn requirements(check: &mut Check<'_>, issuer: &Issuer, at: &dyn Fn(&str) -> KeyPath) {
    if issuer.audience_claim.is_empty() {
        check.error(at("audience_claim"), "empty", "remove the line to get the default, `aud`");
    }
    for (claim, accepted) in &issuer.required_claims {
        if accepted.is_empty() {
            let help = "list the values that are accepted, or remove the claim";
            check.error(at("required_claims").key(claim), "no value would do: every token would be refused", help);
        }
    }
    for (index, scope) in issuer.required_scopes.iter().enumerate() {
        if scope.is_empty() || scope.contains(' ') {
            check.error(at("required_scopes").index(index), "not one scope", "write each scope as a string of its own");
        }
    }
}

/// One way to the tenant; which of two was meant would decide who pays.
fn tenant(check: &mut Check<'_>, config: &Config, issuer: &Issuer, at: &dyn Fn(&str) -> KeyPath) {
    if issuer.tenant_claim.is_empty() {
        check.error(at("tenant_claim"), "empty", "write the name of the claim that names the tenant");
    }
    if let Some(tenant) = &issuer.tenant {
        if !words::is_tenant(tenant) {
            check.error(at("tenant"), "no token could name such a tenant", words::TENANT);
        } else {
            tenants::known(check, config, tenant, at("tenant"));
        }
        let others = [
            ("tenant_claim", issuer.tenant_claim != "tenant"),
            ("tenants", issuer.tenants.is_some()),
            ("tenant_prefix", issuer.tenant_prefix.is_some()),
        ];
        for (other, _) in others.into_iter().filter(|(_, written)| *written) {
            let help = format!("remove `{other}`, or remove `tenant` to let the claim decide");
            check.key_error(at(other), "`tenant` says already whose all tokens of this issuer are", help);
        }
    } else if issuer.tenant_prefix.is_some() && issuer.tenants.is_some() {
        let help = "write whole values in `tenants`, or remove it";
        check.key_error(at("tenant_prefix"), "`tenants` says already which values stand for which tenant", help);
    }
    if issuer.tenant.is_none() && issuer.tenants.as_ref().is_some_and(BTreeMap::is_empty) {
        let help = "add `VALUE = \"TENANT\"`; or remove `tenants` to let the claim itself name the tenant";
        check.warning(at("tenants"), "empty: no value stands for a tenant, and every token of this issuer is refused", help);
    }
    for (value, tenant) in issuer.tenants.iter().flatten() {
        let path = at("tenants").key(value);
        if words::is_tenant(tenant) {
            tenants::known(check, config, tenant, path);
        } else {
            check.error(path, format!("`{tenant}` can be no tenant"), words::TENANT);
        }
    }
    if issuer.tenant_prefix.as_ref().is_some_and(String::is_empty) {
        check.error(at("tenant_prefix"), "empty: every value begins with that", "remove the line: the claim names the tenant");
    }
}

/// Groups that nobody is in, or that nobody has heard of.
pub(super) fn groups(check: &mut Check<'_>, config: &Config) {
    for (name, issuer) in &config.issuers {
        let at = |key: &str| KeyPath::of("issuers").key(name).key(key);
        if issuer.groups_claim.as_ref().is_some_and(String::is_empty) {
            check.error(at("groups_claim"), "empty", "write the name of the claim that names groups, or remove the line");
        }
        if issuer.groups_prefix.as_ref().is_some_and(String::is_empty) {
            check.error(at("groups_prefix"), "empty: every value begins with that", "remove the line");
        }
        let written = [("groups_prefix", issuer.groups_prefix.is_some()), ("groups", issuer.groups.is_some())];
        for (key, _) in written.into_iter().filter(|(_, written)| *written && issuer.groups_claim.is_none()) {
            check.key_error(at(key), "no claim to look at", "say with `groups_claim` which claim names groups");
        }
        if issuer.groups_prefix.is_some() && issuer.groups.is_some() {
            let help = "write whole values in `groups`, or remove it";
            check.key_error(at("groups_prefix"), "`groups` says already which values stand for which group", help);
        }
        if issuer.groups.as_ref().is_some_and(BTreeMap::is_empty) {
            let help = "add `VALUE = \"GROUP\"`; or remove `groups` to let the claim itself name groups";
            check.warning(at("groups"), "empty: no value stands for a group", help);
        }
        for (value, group) in issuer.groups.iter().flatten().filter(|(_, group)| !config.groups.contains_key(*group)) {
            let help = match suggest(group, config.groups.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "add a `[groups.NAME]` section".to_owned(),
            };
            check.warning(at("groups").key(value), format!("there is no group `{}`", group.escape_debug()), help);
        }
    }
}

fn key_set(check: &mut Check<'_>, issuer: &Issuer, at: &dyn Fn(&str) -> KeyPath) {
    match &issuer.key_set {
        KeySetSource::File(_) => {}
        KeySetSource::Url(url) => {
            if let Some((fault, help)) = words::url_fault(url, true) {
                check.error(at("key_set").key("url"), format!("`{}` {fault}", shown(url)), help);
            }
        }
        KeySetSource::Discovery(false) => {
            let help = "write `{ url = \"https://…\" }` or `{ file = \"…\" }`, or remove the line";
            check.error(at("key_set").key("discovery"), "then where are the keys?", help);
        }
        KeySetSource::Discovery(true) => {
            if let Some((fault, _)) = words::url_fault(&issuer.issuer, true).filter(|_| !issuer.issuer.is_empty()) {
                let help = "say with `key_set` where the keys are; without it they are looked for at the issuer";
                check.error(at("issuer"), format!("`{}` {fault}", shown(&issuer.issuer)), help);
            }
        }
    }
    if issuer.key_set_refresh_seconds == 0 {
        check.error(at("key_set_refresh_seconds"), "0 would poll without pause", "remove the line to get the default, 300");
    }
    if issuer.key_set_outage_seconds_max < issuer.key_set_refresh_seconds {
        let help = "use at least an hour, 3600: an issuer's trouble should not be yours at once";
        check.error(at("key_set_outage_seconds_max"), "keys would lapse between two polls that succeed", help);
    }
}
