//! Ids of the gateway's own access keys: as long as AWS's, with beginnings that AWS does not use, so that a request tells by them
//! whether its signature is to be believed or was made with placeholders.

use super::sealing::SealError;

/// Of vended credentials, which need their session token.
const SESSION: &str = "TGSA";
/// Of access keys in the keys file.
const STATIC: &str = "TGAK";

/// RFC 4648 §6.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// An id for vended credentials.
pub(super) fn session() -> Result<String, SealError> {
    random(SESSION)
}

/// An id for a key of the keys file.
pub(super) fn permanent() -> Result<String, SealError> {
    random(STATIC)
}

/// Whether this gateway, or another of its fleet, could have given out a key of this id.
pub fn is_own(id: &str) -> bool {
    id.starts_with(SESSION) || id.starts_with(STATIC)
}

fn random(prefix: &str) -> Result<String, SealError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SealError::Failed)?;
    let letters = bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte % 32)));
    Ok(prefix.chars().chain(letters.map(|letter| char::from(*letter))).collect())
}
