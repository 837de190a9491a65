//! Vended credentials: an access key that speaks for a principal for a while. Everything is in the session token, sealed, and the
//! secret access key follows from it; so nothing is stored, and every gateway of a fleet verifies what one has vended.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{
    access_key_id,
    principal::{ClaimTag, GroupPrint, Principal, Proof},
    sealing::{Purpose, SealError, SealingKeys},
};
use crate::aws::canonical::{hex, hex_bytes};

/// What a client signs with, until it expires.
pub struct SessionCredentials {
    /// The id, which is no secret.
    pub access_key_id: String,
    /// The key to sign with.
    pub secret_access_key: SecretString,
    /// Sent with every request.
    pub session_token: SecretString,
    /// To the second.
    pub expires_at: SystemTime,
}

/// What is sealed in a session token.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<'a> {
    issuer: Cow<'a, str>,
    subject: Cow<'a, str>,
    tenant: Cow<'a, str>,
    /// Left out where there are none, so that a gateway that knows of no groups opens what is sealed here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<Cow<'a, str>>,
    /// Those that the configuration did not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    other_groups: Vec<GroupPrint>,
    /// Seconds since 1970.
    expires: u64,
    /// The SHA-256, in hexadecimal, of the API key that it was vended for. Once it was the key's id, which another key can have.
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<String>,
    /// The print of its issuer's rules, for this principal. Left out where there is none; so was it always, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<SealedTag<'a>>,
}

/// Key, claim and value of a session tag.
type SealedTag<'a> = (Cow<'a, str>, Cow<'a, str>, Option<Cow<'a, str>>);

/// A session token, opened.
pub(super) struct Session {
    pub principal: Principal,
    /// The SHA-256 of the API key that it was vended for, and that must still be good.
    pub api_key: Option<[u8; 32]>,
    /// The print of its issuer's rules, which must still be the same.
    pub rules: Option<u64>,
    pub secret_access_key: SecretString,
}

/// Makes credentials for a principal, for `lifetime` and no longer than what proved it: under `rules`, if an issuer has any, or as long
/// as there is the API key of this hash.
pub(super) fn vend(
    keys: &SealingKeys,
    principal: &Principal,
    rules: Option<u64>,
    api_key: Option<&[u8; 32]>,
    lifetime: Duration,
    now: SystemTime,
) -> Result<SessionCredentials, SealError> {
    let until = now.checked_add(lifetime).unwrap_or(now).min(principal.expires_at);
    let expires = until.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let sealed = Sealed {
        issuer: Cow::Borrowed(&principal.issuer),
        subject: Cow::Borrowed(&principal.subject),
        tenant: Cow::Borrowed(&principal.tenant),
        groups: principal.groups.iter().map(|group| Cow::Borrowed(&**group)).collect(),
        other_groups: principal.other_groups.clone(),
        expires,
        api_key: api_key.map(|hash| hex(hash)),
        rules,
        tags: principal.tags.iter().map(borrowed).collect(),
    };
    let text = serde_json::to_vec(&sealed).map_err(|_| SealError::Failed)?;

    let access_key_id = access_key_id::session()?;
    let session_token = keys.seal(Purpose::Session, &[&access_key_id], &text)?;
    let secret = keys.derive_secret(Purpose::Session, &access_key_id, &session_token).ok_or(SealError::Failed)?;
    Ok(SessionCredentials {
        access_key_id,
        secret_access_key: secret,
        session_token: session_token.into(),
        expires_at: UNIX_EPOCH + Duration::from_secs(expires),
    })
}

fn borrowed(tag: &ClaimTag) -> (Cow<'_, str>, Cow<'_, str>, Option<Cow<'_, str>>) {
    let ClaimTag { key, claim, value } = tag;
    (Cow::Borrowed(&**key), Cow::Borrowed(&**claim), value.as_deref().map(Cow::Borrowed))
}

/// Opens a session token that came with this access key id. Whether it has expired is for the caller to see.
pub(super) fn open(keys: &SealingKeys, access_key_id: &str, session_token: &str) -> Option<Session> {
    let text = keys.open(Purpose::Session, &[access_key_id], session_token)?;
    let sealed: Sealed<'_> = serde_json::from_slice(text.expose_secret()).ok()?;
    let api_key = match &sealed.api_key {
        Some(hash) => Some(hex_bytes(hash)?),
        None => None,
    };
    let principal = Principal {
        issuer: sealed.issuer.as_ref().into(),
        subject: sealed.subject.as_ref().into(),
        tenant: sealed.tenant.as_ref().into(),
        groups: sealed.groups.iter().map(|group| group.as_ref().into()).collect(),
        other_groups: sealed.other_groups,
        expires_at: UNIX_EPOCH.checked_add(Duration::from_secs(sealed.expires))?,
        proof: Proof::Session(Arc::from(access_key_id)),
        tags: sealed
            .tags
            .iter()
            .map(|(key, claim, value)| ClaimTag {
                key: (**key).into(),
                claim: (**claim).into(),
                value: value.as_deref().map(Into::into),
            })
            .collect(),
    };
    let secret_access_key = keys.derive_secret(Purpose::Session, access_key_id, session_token)?;
    Some(Session { principal, api_key, rules: sealed.rules, secret_access_key })
}
