//! `[issuers.NAME]`: issuers whose tokens could never pass, or pass for too long.

use std::collections::BTreeMap;

use super::{Check, KeyPath, upstream::shown, words};
use crate::config::{Issuer, KeySetSource};

/// More than this is not clock difference any more but a longer life for stolen tokens.
const LEEWAY_SECONDS_MAX: u64 = 300;

/// A token that lives shorter is spent before a request with its retries is through.
const TOKEN_LIFETIME_SECONDS_MIN: u64 = 60;

pub(super) fn check(check: &mut Check<'_>, issuers: &BTreeMap<String, Issuer>) {
    if issuers.is_empty() {
        check.warning(KeyPath::of("issuers"), "no issuer: every token will be refused", "add an `[issuers.NAME]` section");
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
    if issuer.tenant_claim.is_empty() {
        check.error(at("tenant_claim"), "empty", "write the name of the claim that names the tenant");
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

fn key_set(check: &mut Check<'_>, issuer: &Issuer, at: &dyn Fn(&str) -> KeyPath) {
    if let KeySetSource::Url(url) = &issuer.key_set
        && let Some((fault, help)) = words::url_fault(url, true)
    {
        check.error(at("key_set").key("url"), format!("`{}` {fault}", shown(url)), help);
    }
    if issuer.key_set_refresh_seconds == 0 {
        check.error(at("key_set_refresh_seconds"), "0 would poll without pause", "remove the line to get the default, 300");
    }
}
