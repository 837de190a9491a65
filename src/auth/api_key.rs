//! API keys: `tg_`, 256 random bits and a checksum. The gateway keeps a hash; the checksum finds keys that were copied badly, and lets
//! scanners of repositories know one when they see it.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};

use super::sealing::SealError;
use crate::config::API_KEY_PREFIX as PREFIX;

const RANDOM_CHARACTERS: usize = 43;
const CHECK_CHARACTERS: usize = 6;

/// A new key.
///
/// # Errors
/// There is no randomness.
pub fn generate() -> Result<SecretString, SealError> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SealError::Failed)?;
    let random = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    Ok(SecretString::from(format!("{random}{}", checksum(&random))))
}

/// Whether a token is an API key rather than a JWT, good or not.
pub fn claims(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// What the keys file has of a key, if it is whole.
pub fn sha256(key: &SecretString) -> Option<[u8; 32]> {
    let key = key.expose_secret();
    if key.len() != PREFIX.len() + RANDOM_CHARACTERS + CHECK_CHARACTERS {
        return None;
    }
    let (random, check) = key.split_at_checked(PREFIX.len() + RANDOM_CHARACTERS)?;
    (claims(key) && check == checksum(random)).then(|| hash(key))
}

fn checksum(random: &str) -> String {
    URL_SAFE_NO_PAD.encode(hash(random)).chars().take(CHECK_CHARACTERS).collect()
}

fn hash(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(digest(&SHA256, text.as_bytes()).as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}
