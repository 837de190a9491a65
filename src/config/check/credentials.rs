//! `[credentials]`: keys that could sign nothing.

use secrecy::ExposeSecret;

use super::{Check, KeyPath};
use crate::config::StaticCredentials;

fn at(key: &str) -> KeyPath {
    KeyPath::of("credentials").key(key)
}

pub(super) fn check(check: &mut Check<'_>, credentials: Option<&StaticCredentials>) {
    let Some(credentials) = credentials else { return };
    let id = &credentials.access_key_id;
    if id.is_empty() {
        let help = "write the id as AWS prints it, or remove `[credentials]` to use the SDK's default chain";
        check.error(at("access_key_id"), "empty", help);
    } else if !StaticCredentials::is_plain(id) {
        let help = "write it as AWS prints it, without spaces and line breaks";
        check.error(at("access_key_id"), "not an id of AWS's: no request could be signed with it", help);
    }
}

/// What secrets hold, once they can be read; that they can has been checked.
pub(super) fn files(check: &mut Check<'_>, credentials: Option<&StaticCredentials>) {
    let Some(credentials) = credentials else { return };
    let secrets =
        [("secret_access_key", Some(&credentials.secret_access_key)), ("session_token", credentials.session_token.as_ref())];
    for (key, secret) in secrets {
        let secret = secret.and_then(|secret| secret.read().ok());
        if secret.is_some_and(|secret| !StaticCredentials::is_plain(secret.expose_secret())) {
            let help = "it must be one line as AWS prints it: ASCII without spaces";
            check.error(at(key), "the secret is none of AWS's: no request could be signed with it", help);
        }
    }
}
