//! An issuer's public keys (JWKS, RFC 7517 §5), read one by one, so that a bad key is set aside and the good ones serve.

use std::{collections::HashMap, fmt};

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::{
    fingerprint::Fingerprint,
    json::Checked,
    key::{Key, KeyRefusal},
};

/// Largest key set, in bytes.
pub const KEY_SET_BYTES_MAX: usize = 150_000;
/// Most keys in a set.
pub const KEYS_MAX: usize = 100;

const KEY_ID_BYTES_MAX: usize = 256;

/// The keys of an issuer that may verify signatures; at least one.
#[derive(Clone)]
pub struct KeySet {
    named: HashMap<String, Key>,
    unnamed: Vec<Key>,
    fingerprint: [u8; 32],
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("named", &self.named.len()).field("unnamed", &self.unnamed.len()).finish()
    }
}

/// A key that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyProblem {
    /// Its place in `keys`, from 0.
    pub index: usize,
    /// Its `kid`, if it has one.
    pub key_id: Option<String>,
    /// Why it is not used.
    pub refusal: KeyRefusal,
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key_id {
            Some(key_id) => write!(f, "keys[{}] (kid {key_id:?}): {}", self.index, self.refusal),
            None => write!(f, "keys[{}]: {}", self.index, self.refusal),
        }
    }
}

/// Why there is no key set.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeySetError {
    /// Over [`KEY_SET_BYTES_MAX`].
    #[error("the key set has more than {KEY_SET_BYTES_MAX} bytes")]
    TooLarge,
    /// Not a key set at all, such as an HTML page.
    #[error("the key set is not a JSON object with an array `keys`")]
    NotAKeySet,
    /// Over [`KEYS_MAX`].
    #[error("the key set has {0} keys; at most {KEYS_MAX} are read")]
    TooManyKeys(usize),
    /// Empty, or every key was set aside.
    #[error("the key set has no usable key{}", listed(.0))]
    NoUsableKey(Vec<KeyProblem>),
}

fn listed(problems: &[KeyProblem]) -> String {
    problems.iter().map(|problem| format!("; {problem}")).collect()
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Checked>,
}

/// One entry of `keys`, read.
struct Entry {
    key_id: Option<String>,
    key: Result<Key, KeyRefusal>,
}

impl KeySet {
    /// Reads a key set and says which keys were set aside.
    ///
    /// # Errors
    /// The document is not a key set, breaks a bound, or has no usable key: an empty set is an outage, not a rotation.
    pub fn parse(json: &[u8]) -> Result<(KeySet, Vec<KeyProblem>), KeySetError> {
        if json.len() > KEY_SET_BYTES_MAX {
            return Err(KeySetError::TooLarge);
        }
        // A derived struct reads an array as well; RFC 7517 says object.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(KeySetError::NotAKeySet);
        }
        let document: Document = serde_json::from_slice(json).map_err(|_| KeySetError::NotAKeySet)?;
        if document.keys.len() > KEYS_MAX {
            return Err(KeySetError::TooManyKeys(document.keys.len()));
        }
        let mut entries: Vec<Entry> = document.keys.into_iter().map(Entry::read).collect();
        refuse_ambiguous(&mut entries);
        KeySet::collect(entries)
    }

    fn collect(entries: Vec<Entry>) -> Result<(KeySet, Vec<KeyProblem>), KeySetError> {
        let (mut named, mut unnamed, mut problems) = (HashMap::new(), Vec::new(), Vec::new());
        for (index, entry) in entries.into_iter().enumerate() {
            match (entry.key, entry.key_id) {
                (Ok(key), Some(key_id)) => drop(named.insert(key_id, key)),
                (Ok(key), None) => unnamed.push(key),
                (Err(refusal), key_id) => problems.push(KeyProblem { index, key_id, refusal }),
            }
        }
        if named.is_empty() && unnamed.is_empty() {
            return Err(KeySetError::NoUsableKey(problems));
        }
        unnamed.sort_by_key(Key::kind);
        let fingerprint = fingerprint(&named, &unnamed);
        Ok((KeySet { named, unnamed, fingerprint }, problems))
    }

    /// The key named `key_id`: exactly, as a name in a map and never as a path, a URL or a pattern.
    pub fn named(&self, key_id: &str) -> Option<&Key> {
        self.named.get(key_id)
    }

    /// Keys without a `kid`, at most one of each type, for tokens without one.
    pub fn unnamed(&self) -> &[Key] {
        &self.unnamed
    }

    /// How many keys are used.
    pub fn usable(&self) -> usize {
        self.named.len() + self.unnamed.len()
    }

    /// True if both sets verify the same, whatever the order and spelling of their documents.
    pub fn same_keys(&self, other: &KeySet) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Entry {
    fn read(written: Checked) -> Entry {
        let Checked { value: Value::Object(members), repeats: false } = written else {
            return Entry { key_id: None, key: Err(KeyRefusal::NotAnObject) };
        };
        match members.get("kid") {
            None => Entry { key_id: None, key: Key::parse(&members) },
            Some(Value::String(key_id)) if (1..=KEY_ID_BYTES_MAX).contains(&key_id.len()) => {
                Entry { key_id: Some(key_id.clone()), key: Key::parse(&members) }
            }
            Some(_) => Entry { key_id: None, key: Err(KeyRefusal::InvalidKeyId) },
        }
    }
}

/// A `kid` names one key or none, counting keys that are refused for other reasons: which one the issuer meant is not for us to
/// guess. A key without one is used only if no other usable key has its type.
fn refuse_ambiguous(entries: &mut [Entry]) {
    let mut times: HashMap<String, usize> = HashMap::new();
    for key_id in entries.iter().filter_map(|entry| entry.key_id.clone()) {
        *times.entry(key_id).or_default() += 1;
    }
    for entry in entries.iter_mut() {
        if entry.key.is_ok() && entry.key_id.as_ref().is_some_and(|key_id| times.get(key_id).is_some_and(|times| *times > 1)) {
            entry.key = Err(KeyRefusal::RepeatedKeyId);
        }
    }
    let kinds: Vec<_> = entries.iter().filter_map(|entry| entry.key.as_ref().ok().map(Key::kind)).collect();
    for entry in entries.iter_mut().filter(|entry| entry.key_id.is_none()) {
        if entry.key.as_ref().is_ok_and(|key| kinds.iter().filter(|kind| **kind == key.kind()).count() > 1) {
            entry.key = Err(KeyRefusal::AmbiguousWithoutKeyId);
        }
    }
}

fn fingerprint(named: &HashMap<String, Key>, unnamed: &[Key]) -> [u8; 32] {
    let mut sorted: Vec<_> = named.iter().collect();
    sorted.sort_by_key(|(key_id, _)| *key_id);
    let mut fingerprint = Fingerprint::new();
    for (key_id, key) in sorted {
        fingerprint.add(key_id.as_bytes());
        key.add_to(&mut fingerprint);
    }
    fingerprint.add(b""); // no key id is empty: what follows has none
    unnamed.iter().for_each(|key| key.add_to(&mut fingerprint));
    fingerprint.finish()
}
