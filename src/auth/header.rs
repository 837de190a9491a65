//! What a token's header may say. It chooses a key by name and nothing else: the algorithm is the key's (RFC 8725 §3.1), and keys
//! that travel with the token, or are pointed to by it, are never used.

use serde_json::{Map, Value};

use super::{error::IdentityError, json};

/// Members that change what the signature means or where the key comes from. Their presence refuses, whatever their value:
/// `crit` and `b64` (RFC 7515 §4.1.11, RFC 7797), `zip` (a bomb), keys by value or by URL (§4.1.2–4.1.6).
const FORBIDDEN: [&str; 7] = ["crit", "b64", "zip", "jku", "jwk", "x5u", "x5c"];

/// Longest key id believed to be one, in bytes.
const KEY_ID_BYTES_MAX: usize = 256;

/// The two members of a header that matter.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// `alg`; must be what the key is pinned to.
    pub algorithm: String,
    /// `kid`.
    pub key_id: Option<String>,
}

/// Reads a decoded header.
///
/// # Errors
/// [`IdentityError::Malformed`], [`IdentityError::ForbiddenHeader`] or [`IdentityError::NotAnAccessToken`].
pub fn parse(bytes: &[u8]) -> Result<Header, IdentityError> {
    let mut members = json::object(bytes).ok_or(IdentityError::Malformed)?;
    if let Some(name) = FORBIDDEN.into_iter().find(|name| members.contains_key(*name)) {
        return Err(IdentityError::ForbiddenHeader(name));
    }
    if !has_accepted_type(&members) || members.contains_key("cty") {
        return Err(IdentityError::NotAnAccessToken);
    }
    let Some(Value::String(algorithm)) = members.remove("alg") else { return Err(IdentityError::Malformed) };
    let key_id = match members.remove("kid") {
        None => None,
        Some(Value::String(key_id)) if key_id.len() <= KEY_ID_BYTES_MAX => Some(key_id),
        Some(_) => return Err(IdentityError::Malformed),
    };
    Ok(Header { algorithm, key_id })
}

/// `typ` absent, `JWT` or `at+jwt` (RFC 9068 §2.1), in any case, with or without `application/` (RFC 7515 §4.1.9). Logout tokens,
/// security events and DPoP proofs are signed with the same keys and name other types.
fn has_accepted_type(members: &Map<String, Value>) -> bool {
    match members.get("typ") {
        None => true,
        Some(Value::String(written)) => {
            let written = written.to_ascii_lowercase();
            matches!(written.strip_prefix("application/").unwrap_or(&written), "jwt" | "at+jwt")
        }
        Some(_) => false,
    }
}
