//! Sealing: authenticated encryption under keys that the gateways of a fleet share, so that what one gave out any of them can read,
//! and nobody has to store it. Does not know what is sealed.
//!
//! `tgs1.2026-11.<base64url>`: what it is and its version, the key's id, and nonce and ciphertext of AES-256-GCM. All that is readable,
//! and what the caller names beside, is authenticated.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey},
    hmac,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox, SecretString};

use super::fingerprint::Fingerprint;
use crate::config::{self, SecretError};

const NONCE_BYTES: usize = 12;

/// What is sealed, which is the beginning of its text. One does not open as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A session token.
    Session,
    /// The secret of an access key in the keys file.
    AccessKey,
}

impl Purpose {
    /// The text's beginning.
    pub const fn prefix(self) -> &'static str {
        match self {
            Purpose::Session => "tgs1",
            Purpose::AccessKey => "tgk1",
        }
    }

    /// Whether a text is one of this kind, or pretends to be.
    pub fn claims(self, text: &str) -> bool {
        text.strip_prefix(self.prefix()).is_some_and(|rest| rest.starts_with('.'))
    }
}

/// The keys: the first seals, all open.
pub struct SealingKeys(Vec<SealingKey>);

struct SealingKey {
    id: String,
    aead: RandomizedNonceKey,
    derive: hmac::Key,
}

/// A key that cannot seal, or a machine without randomness.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The secret is not where it should be.
    #[error("sealing key {id}: {error}")]
    Unreadable {
        /// The key's.
        id: String,
        /// Why.
        error: SecretError,
    },
    /// The secret is something else.
    #[error("sealing key {id}: not 32 bytes in base64")]
    NotAKey {
        /// The key's.
        id: String,
    },
    /// There is no key to seal with.
    #[error("there is no sealing key")]
    NoKey,
    /// The cryptography failed.
    #[error("sealing failed")]
    Failed,
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

impl SealingKeys {
    /// Fetches the configured keys.
    ///
    /// # Errors
    /// One of them is not there, or not a key.
    pub fn read(keys: &[config::SealingKey]) -> Result<SealingKeys, SealError> {
        let read = |key: &config::SealingKey| {
            let id = || key.id.clone();
            let secret = key.secret.read().map_err(|error| SealError::Unreadable { id: id(), error })?;
            let bytes = SecretBox::new(Box::new(STANDARD.decode(secret.expose_secret().trim()).unwrap_or_default()));
            SealingKey::new(&key.id, bytes.expose_secret()).ok_or_else(|| SealError::NotAKey { id: id() })
        };
        keys.iter().map(read).collect::<Result<_, _>>().map(SealingKeys)
    }

    /// Seals `secret` together with `context`, which has to be the same when it is opened.
    ///
    /// # Errors
    /// There is no key, or no randomness.
    pub fn seal(&self, purpose: Purpose, context: &[&str], secret: &[u8]) -> Result<String, SealError> {
        let key = self.0.first().ok_or(SealError::NoKey)?;
        let mut sealed = secret.to_vec();
        let aad = authenticated(purpose, &key.id, context);
        let nonce = key.aead.seal_in_place_append_tag(Aad::from(aad), &mut sealed).map_err(|_| SealError::Failed)?;
        let mut bytes = nonce.as_ref().to_vec();
        bytes.append(&mut sealed);
        Ok(format!("{}.{}.{}", purpose.prefix(), key.id, URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// What was sealed, if the text, its purpose and its context are as they were.
    pub fn open(&self, purpose: Purpose, context: &[&str], sealed: &str) -> Option<SecretBox<Vec<u8>>> {
        let (key, bytes) = self.locate(purpose, sealed)?;
        // Strict: no padding, no stray bits, so that a text has one spelling.
        let bytes = URL_SAFE_NO_PAD.decode(bytes).ok()?;
        let (nonce, ciphertext) = bytes.split_at_checked(NONCE_BYTES)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut secret = SecretBox::new(Box::new(ciphertext.to_vec()));
        let aad = authenticated(purpose, &key.id, context);
        let length = key.aead.open_in_place(nonce, Aad::from(aad), secret.expose_secret_mut()).ok()?.len();
        secret.expose_secret_mut().truncate(length);
        Some(secret)
    }

    /// A secret that follows from a sealed text and a name, for whoever has the key: it needs to be stored nowhere.
    pub fn derive_secret(&self, purpose: Purpose, name: &str, sealed: &str) -> Option<SecretString> {
        let (key, _) = self.locate(purpose, sealed)?;
        let mut over = Fingerprint::new();
        [name, sealed].iter().for_each(|part| over.add(part.as_bytes()));
        let tag = hmac::sign(&key.derive, &over.finish());
        // 30 bytes are 40 characters, as AWS's secret access keys have.
        tag.as_ref().get(..30).map(|bytes| SecretString::from(STANDARD.encode(bytes)))
    }

    fn locate<'t>(&self, purpose: Purpose, sealed: &'t str) -> Option<(&SealingKey, &'t str)> {
        let mut parts = sealed.splitn(3, '.');
        let (prefix, id, bytes) = (parts.next()?, parts.next()?, parts.next()?);
        let key = self.0.iter().find(|key| key.id == id)?;
        (prefix == purpose.prefix()).then_some((key, bytes))
    }
}

impl SealingKey {
    /// One key a use, derived from the one that is configured.
    fn new(id: &str, bytes: &[u8]) -> Option<SealingKey> {
        if bytes.len() != 32 {
            return None;
        }
        let root = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let aead = RandomizedNonceKey::new(&AES_256_GCM, hmac::sign(&root, b"tollgate: seal").as_ref()).ok()?;
        let derive = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, b"tollgate: derive").as_ref());
        Some(SealingKey { id: id.to_owned(), aead, derive })
    }
}

fn authenticated(purpose: Purpose, key_id: &str, context: &[&str]) -> [u8; 32] {
    let mut over = Fingerprint::new();
    over.add(purpose.prefix().as_bytes());
    over.add(key_id.as_bytes());
    context.iter().for_each(|part| over.add(part.as_bytes()));
    over.finish()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Keys of these ids, each made of its own byte.
    pub fn sealing_keys(ids: &[(&str, u8)]) -> SealingKeys {
        SealingKeys(ids.iter().map(|(id, byte)| SealingKey::new(id, &[*byte; 32]).unwrap()).collect())
    }

    fn opened(keys: &SealingKeys, purpose: Purpose, context: &[&str], sealed: &str) -> Option<Vec<u8>> {
        keys.open(purpose, context, sealed).map(|secret| secret.expose_secret().clone())
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let old = sealing_keys(&[("old", 1)]);
        let both = sealing_keys(&[("new", 2), ("old", 1)]);
        let new = sealing_keys(&[("new", 2)]);
        let before = old.seal(Purpose::Session, &["a"], b"secret").unwrap();
        let after = both.seal(Purpose::Session, &["a"], b"secret").unwrap();
        assert!(before.starts_with("tgs1.old.") && after.starts_with("tgs1.new."));
        assert_eq!(opened(&both, Purpose::Session, &["a"], &before).unwrap(), b"secret");
        assert_eq!(opened(&new, Purpose::Session, &["a"], &after).unwrap(), b"secret");
        assert_eq!(opened(&new, Purpose::Session, &["a"], &before), None);
        // Another key of the same id.
        assert_eq!(opened(&sealing_keys(&[("old", 3)]), Purpose::Session, &["a"], &before), None);
        assert!(sealing_keys(&[]).seal(Purpose::Session, &[], b"").is_err());
    }

    #[test]
    fn context_and_purpose_are_part_of_it() {
        let keys = sealing_keys(&[("k", 1)]);
        let sealed = keys.seal(Purpose::Session, &["ab", "c"], b"secret").unwrap();
        assert!(opened(&keys, Purpose::Session, &["ab", "c"], &sealed).is_some());
        for context in [&["a", "bc"][..], &["abc"], &["ab"], &["ab", "c", ""], &["AB", "c"]] {
            assert_eq!(opened(&keys, Purpose::Session, context, &sealed), None, "{context:?}");
        }
        assert_eq!(opened(&keys, Purpose::AccessKey, &["ab", "c"], &sealed.replace("tgs1", "tgk1")), None);
        assert_eq!(opened(&keys, Purpose::AccessKey, &["ab", "c"], &sealed), None);
    }

    proptest! {
        #[test]
        fn no_other_text_opens(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<prop::sample::Index>()) {
            let keys = sealing_keys(&[("k", 1), ("l", 2)]);
            let sealed = keys.seal(Purpose::Session, &["a"], b"{\"tenant\":\"acme\"}").unwrap();
            let mut bytes = sealed.clone().into_bytes();
            bytes[at.index(sealed.len())] ^= 1 << bit;
            if let Ok(text) = String::from_utf8(bytes) {
                prop_assert!(keys.open(Purpose::Session, &["a"], &text).is_none(), "{text}");
            }
            prop_assert!(keys.open(Purpose::Session, &["a"], &sealed[..cut.index(sealed.len())]).is_none());
            for text in [format!("{sealed}="), format!("{sealed}A"), format!(" {sealed}"), format!("{sealed}.")] {
                prop_assert!(keys.open(Purpose::Session, &["a"], &text).is_none(), "{text}");
            }
        }
    }

    #[test]
    fn keys_do_not_print() {
        assert_eq!(format!("{:?}", sealing_keys(&[("a", 65)])), "[\"a\"]");
    }
}
