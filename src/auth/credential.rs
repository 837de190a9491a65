//! The one token that a request carries, and where. Does not look into it.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use thiserror::Error;

use super::access_key_id;
use crate::aws::received::ALGORITHM;

/// Longest token, in bytes. Tokens of identity providers have one to four thousand.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Query parameters that carry credentials: SigV4's (presigned requests), RFC 6750 §2.3's, and what people invent.
const CREDENTIAL_PARAMETERS: [&str; 10] = [
    "x-amz-security-token",
    "x-amz-credential",
    "x-amz-signature",
    "access_token",
    "id_token",
    "authorization",
    "api_key",
    "x-api-key",
    "bearer",
    "jwt",
];

/// The token a request carries: ASCII, no whitespace, at most [`TOKEN_BYTES_MAX`]. Not verified.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Credential<'a> {
    token: &'a str,
}

impl<'a> Credential<'a> {
    /// The token as it was sent.
    pub fn token(&self) -> &'a str {
        self.token
    }
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("token_bytes", &self.token.len()).finish()
    }
}

/// Why no single token could be found. Display is for the caller.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CredentialError {
    /// Nothing that could be a credential.
    #[error(
        "The request carries no token. Send your identity provider's token as `Authorization: Bearer` \
         (AWS_BEARER_TOKEN_BEDROCK), as the session token of placeholder AWS keys (AWS_SESSION_TOKEN), or as `x-api-key`."
    )]
    Missing,
    /// SigV4 with permanent keys.
    #[error(
        "The request is signed with AWS keys but carries no token. Put your identity provider's token into AWS_SESSION_TOKEN; \
         the access key and the secret key may be placeholders."
    )]
    NoSessionToken,
    /// Two tokens that differ.
    #[error("The request carries two different tokens. Send one.")]
    Conflicting,
    /// The same header twice, even with equal values: which one counts is a matter of opinion among proxies.
    #[error("The request has the header `{0}` more than once. Send it once.")]
    Repeated(&'static str),
    /// Basic, Digest, Negotiate, …
    #[error("The Authorization scheme is not supported. Use `Authorization: Bearer` followed by your token.")]
    UnsupportedScheme,
    /// Empty, not ASCII, or with whitespace or control bytes in it.
    #[error("The token in `{0}` is empty or has bytes that no token has. Check how it was copied.")]
    Malformed(&'static str),
    /// Longer than any token.
    #[error("The token in `{0}` is longer than 16,384 bytes.")]
    TooLong(&'static str),
}

impl CredentialError {
    /// A label for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            CredentialError::Missing => "credential_missing",
            CredentialError::NoSessionToken => "session_token_missing",
            CredentialError::Conflicting => "credentials_conflicting",
            CredentialError::Repeated(_) => "credential_repeated",
            CredentialError::UnsupportedScheme => "scheme_unsupported",
            CredentialError::Malformed(_) => "credential_malformed",
            CredentialError::TooLong(_) => "token_too_long",
        }
    }
}

/// What a request is to be believed for.
#[derive(Clone, Copy, Debug)]
pub enum Presented<'a> {
    /// A token, wherever it stands.
    Token(Credential<'a>),
    /// A signature with a key that this gateway gave out.
    Signature {
        /// The `Authorization` header.
        authorization: &'a str,
        /// `X-Amz-Security-Token`, if there is one.
        session_token: Option<&'a str>,
    },
}

/// Finds the signature of an access key of this gateway's own, or else the token.
///
/// # Errors
/// [`extract`]'s, and a token beside a signature that counts.
pub fn present(headers: &HeaderMap) -> Result<Presented<'_>, CredentialError> {
    let authorization = single(headers, &AUTHORIZATION, "Authorization")?;
    // A token is long, and all of it would have to be looked at to be text.
    let signature = authorization.filter(|value| value.as_bytes().starts_with(ALGORITHM.as_bytes()));
    let own = signature.and_then(|value| value.to_str().ok()).filter(|value| signer(value).is_some_and(access_key_id::is_own));
    let Some(authorization) = own else {
        return token_beside(headers, authorization).map(Presented::Token);
    };
    if headers.contains_key(API_KEY) {
        return Err(CredentialError::Conflicting);
    }
    let session = single(headers, &SECURITY_TOKEN, "X-Amz-Security-Token")?;
    let session = session.map(|value| token(value.as_bytes(), "X-Amz-Security-Token")).transpose()?;
    Ok(Presented::Signature { authorization, session_token: session.map(|credential| credential.token) })
}

/// Finds the token of a request for vended credentials: `Authorization` with or without `Bearer`, since SDKs send what they were given
/// (`AWS_CONTAINER_AUTHORIZATION_TOKEN`) as it is.
///
/// # Errors
/// No token, or none that could be one.
pub fn container_token(headers: &HeaderMap) -> Result<Credential<'_>, CredentialError> {
    let value = single(headers, &AUTHORIZATION, "Authorization")?.ok_or(CredentialError::Missing)?;
    match authorization(value) {
        Err(CredentialError::UnsupportedScheme) if !value.as_bytes().contains(&b' ') => token(value.as_bytes(), "Authorization"),
        Ok(Authorization::Bearer(credential)) => Ok(credential),
        Ok(_) => Err(CredentialError::UnsupportedScheme),
        Err(error) => Err(error),
    }
}

/// The access key id of a SigV4 header, as far as there is one.
fn signer(authorization: &str) -> Option<&str> {
    let rest = authorization.strip_prefix(ALGORITHM)?;
    let (_, credential) = rest.split_once("Credential=")?;
    credential.split(['/', ',', ' ']).next()
}

/// Finds the token in `Authorization: Bearer`, `X-Amz-Security-Token` or `x-api-key`.
///
/// # Errors
/// No token, more than one, or a header that nobody should have to interpret.
pub fn extract(headers: &HeaderMap) -> Result<Credential<'_>, CredentialError> {
    token_beside(headers, single(headers, &AUTHORIZATION, "Authorization")?)
}

/// The same, given the one header that has been looked up.
fn token_beside<'a>(headers: &'a HeaderMap, value: Option<&'a HeaderValue>) -> Result<Credential<'a>, CredentialError> {
    let authorization = value.map_or(Ok(Authorization::Absent), authorization)?;
    let session = single(headers, &SECURITY_TOKEN, "X-Amz-Security-Token")?;
    let session = session.map(|value| token(value.as_bytes(), "X-Amz-Security-Token")).transpose()?;
    let api_key = single(headers, &API_KEY, "x-api-key")?;
    let api_key = api_key.map(|value| token(value.as_bytes(), "x-api-key")).transpose()?;

    let bearer = if let Authorization::Bearer(credential) = authorization { Some(credential) } else { None };
    let mut found = [bearer, session, api_key].into_iter().flatten();
    match (found.next(), authorization) {
        (Some(first), _) if found.all(|other| other == first) => Ok(first),
        (Some(_), _) => Err(CredentialError::Conflicting),
        (None, Authorization::Signature) => Err(CredentialError::NoSessionToken),
        (None, _) => Err(CredentialError::Missing),
    }
}

/// True if a query string has a parameter that carries a credential. Such a request is refused and its query never logged:
/// query strings end in histories, proxies' logs and `Referer`.
pub fn query_carries_credential(query: &str) -> bool {
    query.split(['&', ';']).any(|parameter| {
        let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
        let name = form_decoded(name.as_bytes());
        CREDENTIAL_PARAMETERS.iter().any(|secret| secret.as_bytes().eq_ignore_ascii_case(&name))
    })
}

#[derive(Clone, Copy)]
enum Authorization<'a> {
    Absent,
    Bearer(Credential<'a>),
    /// SigV4 with placeholder keys: it proves nothing to us and is not looked at.
    Signature,
}

fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    called: &'static str,
) -> Result<Option<&'a HeaderValue>, CredentialError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(CredentialError::Repeated(called)) } else { Ok(first) }
}

fn authorization(value: &HeaderValue) -> Result<Authorization<'_>, CredentialError> {
    let bytes = value.as_bytes();
    if bytes.is_empty() {
        return Err(CredentialError::Malformed("Authorization"));
    }
    let (scheme, rest) = match bytes.iter().position(|byte| *byte == b' ') {
        Some(space) => bytes.split_at(space),
        None => (bytes, &[][..]),
    };
    if scheme.eq_ignore_ascii_case(b"Bearer") {
        // RFC 9110 §11.4: one or more spaces.
        let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
        token(rest.get(spaces..).unwrap_or_default(), "Authorization").map(Authorization::Bearer)
    } else if scheme.eq_ignore_ascii_case(b"AWS4-HMAC-SHA256") || scheme.eq_ignore_ascii_case(b"AWS4-ECDSA-P256-SHA256") {
        Ok(Authorization::Signature)
    } else {
        Err(CredentialError::UnsupportedScheme)
    }
}

fn token<'a>(bytes: &'a [u8], place: &'static str) -> Result<Credential<'a>, CredentialError> {
    if bytes.len() > TOKEN_BYTES_MAX {
        return Err(CredentialError::TooLong(place));
    }
    // To the end in any case, which the compiler turns into vector instructions.
    let printable = !bytes.is_empty() && bytes.iter().fold(true, |printable, byte| printable & byte.is_ascii_graphic());
    match std::str::from_utf8(bytes) {
        Ok(token) if printable => Ok(Credential { token }),
        _ => Err(CredentialError::Malformed(place)),
    }
}

/// Bytes with `%XX` and `+` decoded, as form decoders do; what is not an escape stays.
pub fn form_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let escape = match (first, tail) {
            (b'%', [high, low, after @ ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| (high << 4 | low, after)),
            _ => None,
        };
        match escape {
            Some((byte, after)) => {
                decoded.push(byte);
                rest = after;
            }
            None => decoded.push(if *first == b'+' { b' ' } else { *first }),
        }
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
