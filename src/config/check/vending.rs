//! `[vending]` and `[keys]`: sealing keys that seal nothing, and keys of tenants that would never pass.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret;

use super::{Check, KeyPath};
use crate::config::{API_KEY_PREFIX, Config, KeysFile, SealingKey, Vending};

/// Shorter, and SDKs that refresh five minutes early would refresh for every request.
const LIFETIME_SECONDS_MIN: u64 = 900;
/// AWS's own maximum for an assumed role.
const LIFETIME_SECONDS_MAX: u64 = 43_200;

const HELP_KEY: &str = "make one with `openssl rand -base64 32`";

pub(super) fn check(check: &mut Check<'_>, config: &Config) {
    let Some(vending) = &config.vending else { return };
    let at = |key: &str| KeyPath::of("vending").key(key);
    if vending.sealing_keys.is_empty() {
        check.error(at("sealing_keys"), "no key: nothing can be sealed", "add `{ id = \"…\", secret = { file = \"…\" } }`");
    }
    if !vending.sts && !vending.container_credentials && config.keys.is_none() {
        let help = "leave one of `sts` and `container_credentials` on, or remove the section";
        check.warning(
            KeyPath::of("vending"),
            "both ways are off: nothing is vended, and there are no `[keys]` to be sealed",
            help,
        );
    }
    let mut seen = BTreeSet::new();
    for (index, key) in vending.sealing_keys.iter().enumerate() {
        let path = at("sealing_keys").index(index).key("id");
        if !SealingKey::is_id(&key.id) {
            check.error(path, "not an id for a key", "use 1 to 32 of `A-Z a-z 0-9 _ -`: a date does well");
        } else if !seen.insert(&key.id) {
            check.error(path, "another key has this id", "what is sealed names its key: give each an id of its own");
        }
    }
    if vending.lifetime_seconds == 0 || vending.lifetime_seconds > LIFETIME_SECONDS_MAX {
        let help = format!("use {LIFETIME_SECONDS_MIN} to {LIFETIME_SECONDS_MAX}, as AWS does");
        check.error(at("lifetime_seconds"), "not a lifetime that SDKs know", help);
    } else if vending.lifetime_seconds < LIFETIME_SECONDS_MIN {
        let help = format!("use at least {LIFETIME_SECONDS_MIN}: SDKs refresh ten to fifteen minutes before the end");
        check.warning(at("lifetime_seconds"), "so short that some SDKs refresh for every request", help);
    }
}

/// Everything that needs the disk and the environment, but for modes, which `files` looks at.
pub(super) fn files(check: &mut Check<'_>, config: &Config) {
    if let Some(vending) = &config.vending {
        sealing_keys(check, vending);
    }
    let Some(keys) = &config.keys else { return };
    let path = KeyPath::of("keys").key("file");
    match KeysFile::read(&keys.file) {
        Ok(file) => keys_file(check, config, &file, &path),
        Err(error) => check.error(path, error.to_string(), error.help()),
    }
}

fn sealing_keys(check: &mut Check<'_>, vending: &Vending) {
    for (index, key) in vending.sealing_keys.iter().enumerate() {
        // What cannot be read has been reported.
        let Ok(secret) = key.secret.read() else { continue };
        let decoded = STANDARD.decode(secret.expose_secret().trim()).unwrap_or_default();
        if decoded.len() != 32 {
            let path = KeyPath::of("vending").key("sealing_keys").index(index).key("secret");
            check.error(path, "not 32 bytes in base64", HELP_KEY);
        }
    }
}

fn keys_file(check: &mut Check<'_>, config: &Config, file: &KeysFile, path: &KeyPath) {
    let access_keys = file.access_keys.iter().map(|key| (&key.id, &key.tenant, &key.groups));
    let api_keys = file.api_keys.iter().map(|key| (&key.id, &key.tenant, &key.groups));
    let mut seen = BTreeSet::new();
    for (id, tenant, groups) in access_keys.chain(api_keys) {
        if id.starts_with(API_KEY_PREFIX) {
            // Nothing below says which: the id would be in logs.
            let help = "logs tell keys apart by their ids: take another, and make a new key";
            check.error(path.clone(), "an API key itself is the id of a key", help);
            continue;
        }
        if !seen.insert(id) {
            let help = "logs tell keys apart by their ids: keep one of them";
            check.error(path.clone(), format!("two keys have the id `{}`", id.escape_debug()), help);
        }
        if !config.tenants.contains_key(tenant) {
            let message = format!("the key `{}` is for `{}`, which is no tenant", id.escape_debug(), tenant.escape_debug());
            check.warning(path.clone(), message, "its requests will be refused: add the tenant, or remove the key");
        }
        for group in groups.iter().filter(|group| !config.groups.contains_key(*group)) {
            let message = format!("the key `{}` is in `{}`, which is no group", id.escape_debug(), group.escape_debug());
            check.warning(
                path.clone(),
                message,
                "it grants nothing, and binds nobody: compare it with the `[groups.NAME]` sections",
            );
        }
    }
    if let (false, None) = (file.access_keys.is_empty(), &config.vending) {
        let help = "their secrets are sealed: add `[vending]` with the key that sealed them";
        check.error(path.clone(), "there are access keys in it, but no sealing key", help);
    }
}
