//! The keys file, compiled: access keys by their ids, API keys by their hashes. A key that cannot be used voids the file, so that an
//! operator hears of it before a client does.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
    time::SystemTime,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::{
    access_key_id, api_key, claims,
    error::IdentityError,
    principal::{Principal, Proof},
    sealing::{Purpose, SealError, SealingKeys},
};
use crate::{
    aws::canonical::{hex, hex_bytes},
    config::{AccessKey, ApiKey, KeysFile},
};

/// All keys that are not disabled.
#[derive(Default)]
pub struct KeyRing {
    access_keys: HashMap<String, Holder>,
    /// A lookup by the hash of a secret of 256 bits tells nothing by the time it takes.
    api_keys: HashMap<[u8; 32], Arc<Principal>>,
}

/// Who signs with an access key, and the secret.
pub(super) struct Holder {
    pub principal: Arc<Principal>,
    pub secret_access_key: SecretString,
}

/// Keys named in one message; a sealing key that is gone voids all that it sealed.
const NAMED_MAX: usize = 8;

/// Keys that cannot be used.
#[derive(Debug)]
pub struct KeyRingError(Vec<UnusableKey>);

/// One of them.
#[derive(Debug, thiserror::Error)]
#[error("the key `{}` {problem}", id.escape_debug())]
pub struct UnusableKey {
    id: String,
    problem: &'static str,
}

impl KeyRingError {
    /// Each of them, in the order of the file.
    pub fn keys(&self) -> &[UnusableKey] {
        &self.0
    }
}

impl fmt::Display for KeyRingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<String> = self.0.iter().take(NAMED_MAX).map(UnusableKey::to_string).collect();
        write!(f, "keys file: {}", named.join("; "))?;
        match self.0.len().saturating_sub(NAMED_MAX) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl std::error::Error for KeyRingError {}

/// A new key: what its holder gets, and what goes into the keys file.
pub struct NewKey {
    /// The access key id, or what logs call the API key.
    pub id: String,
    /// The secret access key, or the API key itself.
    pub secret: SecretString,
    /// A table for the keys file.
    pub entry: String,
}

/// For whom a new key is.
pub struct NewKeyFor<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// Who calls.
    pub principal: Option<&'a str>,
    /// The groups its holder is in.
    pub groups: &'a [String],
    /// Until when.
    pub expires: Option<Timestamp>,
}

impl KeyRing {
    /// Opens and checks every key.
    ///
    /// # Errors
    /// All that cannot be used.
    pub fn new(file: &KeysFile, sealing: Option<&SealingKeys>) -> Result<KeyRing, KeyRingError> {
        let mut ring = KeyRing::default();
        let mut unusable = Vec::new();
        for key in &file.access_keys {
            match holder(key, sealing) {
                Ok(_) if key.disabled => {}
                Ok(holder) => drop(ring.access_keys.insert(key.id.clone(), holder)),
                Err(problem) => unusable.push(UnusableKey { id: key.id.clone(), problem }),
            }
        }
        // A key that is disabled under one id is not good under another.
        let mut hashes = HashSet::new();
        for key in &file.api_keys {
            match hash_and_holder(key) {
                Ok((hash, _)) if !hashes.insert(hash) => {
                    unusable.push(UnusableKey { id: key.id.clone(), problem: "has the `sha256` of another key" });
                }
                Ok(_) if key.disabled => {}
                Ok((hash, holder)) => drop(ring.api_keys.insert(hash, holder)),
                Err(problem) => unusable.push(UnusableKey { id: key.id.clone(), problem }),
            }
        }
        if unusable.is_empty() { Ok(ring) } else { Err(KeyRingError(unusable)) }
    }

    /// Who holds an API key.
    ///
    /// # Errors
    /// Nobody, or not any more.
    pub(super) fn api_key(&self, token: &str, now: SystemTime) -> Result<Arc<Principal>, IdentityError> {
        let hash = api_key::sha256(&SecretString::from(token)).ok_or(IdentityError::UnknownApiKey)?;
        let principal = self.api_keys.get(&hash).ok_or(IdentityError::UnknownApiKey)?;
        if now < principal.expires_at { Ok(Arc::clone(principal)) } else { Err(IdentityError::KeyExpired) }
    }

    /// The SHA-256 of the API key of this id. Another key can have the id later, but not the hash.
    pub(super) fn hash_of_api_key(&self, id: &str) -> Option<&[u8; 32]> {
        self.api_key_of(id).map(|(hash, _)| hash)
    }

    /// Who holds the API key of this hash, whether or not it has expired.
    pub(super) fn holder_of_api_key(&self, hash: &[u8; 32]) -> Option<&Arc<Principal>> {
        self.api_keys.get(hash)
    }

    /// Who holds a key of this id, an access key's or an API key's.
    pub(super) fn holder(&self, id: &str) -> Option<&Arc<Principal>> {
        let of_access_key = self.access_keys.get(id).map(|holder| &holder.principal);
        of_access_key.or_else(|| self.api_key_of(id).map(|(_, holder)| holder))
    }

    fn api_key_of(&self, id: &str) -> Option<(&[u8; 32], &Arc<Principal>)> {
        self.api_keys.iter().find(|(_, principal)| principal.proof.key_id() == Some(id))
    }

    /// Who holds an access key.
    pub(super) fn access_key(&self, id: &str) -> Option<&Holder> {
        self.access_keys.get(id)
    }
}

/// Makes an access key.
///
/// # Errors
/// There is no sealing key, or no randomness.
pub fn new_access_key(holder: &NewKeyFor<'_>, sealing: &SealingKeys) -> Result<NewKey, SealError> {
    let id = access_key_id::permanent()?;
    let mut bytes = [0; 30];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SealError::Failed)?;
    let secret = STANDARD.encode(bytes);
    let context = [id.as_str(), holder.tenant, holder.principal.unwrap_or_default()];
    let sealed = sealing.seal(Purpose::AccessKey, &context, secret.as_bytes())?;
    let entry = format!("[[access_keys]]\n{}sealed_secret = \"{sealed}\"\n", holder.lines(&id));
    Ok(NewKey { id, secret: secret.into(), entry })
}

/// Makes an API key.
///
/// # Errors
/// There is no randomness.
pub fn new_api_key(holder: &NewKeyFor<'_>) -> Result<NewKey, SealError> {
    let secret = api_key::generate()?;
    let hash = api_key::sha256(&secret).ok_or(SealError::Failed)?;
    let hex = hex(&hash);
    // The hash's own beginning: it tells nothing of the key, and finds the key's line for whoever has the key.
    let id = format!("tg-{}", hex.get(..12).unwrap_or_default());
    let entry = format!("[[api_keys]]\n{}sha256 = \"{hex}\"\n", holder.lines(&id));
    Ok(NewKey { id, secret, entry })
}

impl NewKeyFor<'_> {
    fn lines(&self, id: &str) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let mut lines = format!("id = {}\ntenant = {}\n", quoted(id), quoted(self.tenant));
        if let Some(principal) = self.principal {
            lines += &format!("principal = {}\n", quoted(principal));
        }
        if !self.groups.is_empty() {
            lines += &format!("groups = {}\n", toml::Value::from(self.groups.to_vec()));
        }
        if let Some(expires) = self.expires {
            lines += &format!("expires = \"{expires}\"\n");
        }
        lines
    }
}

fn holder(key: &AccessKey, sealing: Option<&SealingKeys>) -> Result<Holder, &'static str> {
    let proof = Proof::AccessKey(key.id.as_str().into());
    let principal = principal(&key.tenant, key.principal.as_deref(), &key.id, &key.groups, key.expires, proof)?;
    if !access_key_id::is_own(&key.id) {
        return Err("has an id that this gateway does not make");
    }
    let sealing = sealing.ok_or("is sealed, but `[vending]` has no keys")?;
    let secret_access_key =
        open(sealing, key).ok_or("does not open: its sealing key is gone, or its id, tenant or principal was changed")?;
    Ok(Holder { principal: Arc::new(principal), secret_access_key })
}

fn open(sealing: &SealingKeys, key: &AccessKey) -> Option<SecretString> {
    let context = [key.id.as_str(), &key.tenant, key.principal.as_deref().unwrap_or_default()];
    let secret = sealing.open(Purpose::AccessKey, &context, &key.sealed_secret)?;
    std::str::from_utf8(secret.expose_secret()).ok().map(SecretString::from)
}

fn hash_and_holder(key: &ApiKey) -> Result<([u8; 32], Arc<Principal>), &'static str> {
    let proof = Proof::ApiKey(key.id.as_str().into());
    let principal = principal(&key.tenant, key.principal.as_deref(), &key.id, &key.groups, key.expires, proof)?;
    let hash = hex_bytes(&key.sha256).ok_or("has no `sha256` of 64 hexadecimal digits")?;
    Ok((hash, Arc::new(principal)))
}

fn principal(
    tenant: &str,
    subject: Option<&str>,
    id: &str,
    groups: &[String],
    expires: Option<Timestamp>,
    proof: Proof,
) -> Result<Principal, &'static str> {
    if !claims::is_tenant(tenant) {
        return Err("has a tenant that no tenant can be called");
    }
    let subject = subject.unwrap_or(id);
    if !claims::is_subject(subject) {
        return Err("has a principal or an id that logs cannot show");
    }
    Ok(Principal {
        issuer: Principal::KEYS_FILE.into(),
        subject: subject.into(),
        tenant: tenant.into(),
        groups: groups.iter().map(|group| group.as_str().into()).collect(),
        other_groups: Vec::new(),
        expires_at: expires.map_or_else(Principal::never, SystemTime::from),
        proof,
        tags: Vec::new(),
    })
}
