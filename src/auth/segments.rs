//! A token taken apart: three segments of base64url, strictly (RFC 7515 §2, §7.1). Says nothing about what is in them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::credential::TOKEN_BYTES_MAX;

/// The parts of a compact JWS.
pub struct Segments<'a> {
    /// What the signature covers: header, dot, claims, as sent.
    pub signed: &'a str,
    /// The header, decoded.
    pub header: Vec<u8>,
    /// The claims, decoded.
    pub claims: Vec<u8>,
    /// The signature as sent; it is known to be base64url.
    pub signature: &'a str,
}

/// Takes `token` apart; nothing if it is not exactly three non-empty segments of canonical, unpadded base64url. One token has
/// one spelling: the engine refuses `=`, whitespace and bits that the last character carries beyond the last byte.
pub fn split(token: &str) -> Option<Segments<'_>> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    if header.is_empty() || claims.is_empty() || signature.is_empty() {
        return None;
    }
    URL_SAFE_NO_PAD.decode(signature).ok()?;
    Some(Segments {
        signed,
        header: URL_SAFE_NO_PAD.decode(header).ok()?,
        claims: URL_SAFE_NO_PAD.decode(claims).ok()?,
        signature,
    })
}
