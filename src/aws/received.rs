//! Signature Version 4 of a request that was received: the `Authorization` header taken apart, and the signature verified over the
//! bytes as they came. Knows no keys: whose key signed is asked by who calls. Compares in constant time.
//!
//! Rules: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
};
use http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretBox};

use super::canonical::{hex_bytes, push_collapsed, push_head, push_hex};

/// The algorithm's name, as the header begins.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Stands for the payload's hash where each event of the request's stream is signed by itself.
pub const SIGNED_EVENTS: &str = "STREAMING-AWS4-HMAC-SHA256-EVENTS";

/// What AWS allows between the two clocks.
const SKEW_MAX: Duration = Duration::from_secs(300);

const DATE: &str = "x-amz-date";
const PAYLOAD_HASH: &str = "x-amz-content-sha256";

/// Why a signature is refused. Display is for the caller, in AWS's words, and tells nothing of what was computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The header, or what has to stand beside it, is not whole.
    #[error("{0}")]
    Incomplete(&'static str),
    /// The scope's day is not the request's.
    #[error("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.")]
    OtherDay,
    /// The request is too old.
    #[error("Signature expired: {date} is now earlier than {earliest} ({now} - 5 min.)")]
    Expired {
        /// `X-Amz-Date`
        date: String,
        /// The oldest that would do.
        earliest: String,
        /// By this gateway's clock.
        now: String,
    },
    /// The request is ahead of its time.
    #[error("Signature not yet current: {date} is still later than {latest} ({now} + 5 min.)")]
    NotYetCurrent {
        /// `X-Amz-Date`
        date: String,
        /// The newest that would do.
        latest: String,
        /// By this gateway's clock.
        now: String,
    },
    /// Signed for a region that this gateway is not for; which it is for.
    #[error("Credential should be scoped to a valid region: {}.", quoted(.0))]
    Region(Vec<String>),
    /// Signed for another service than the one that is called; which it is, or, if nothing is called such, which there are.
    #[error("Credential should be scoped to correct service: {}.", quoted(.0))]
    Service(Vec<String>),
    /// Neither `host` nor `:authority` is signed.
    #[error("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")]
    HostNotSigned,
    /// A header that decides something came without being signed.
    #[error("There were headers present in the request which were not signed: '{0}'.")]
    NotSigned(HeaderName),
    /// A header is said to be signed that did not come.
    #[error("A header that is listed in 'SignedHeaders' is not in the request.")]
    Absent,
    /// The payload has to be signed.
    #[error("The payload must be signed: 'x-amz-content-sha256' has to be the SHA-256 of the body.")]
    UnsignedPayload,
    /// The payload is a stream, whose events have to be signed.
    #[error(
        "The events of this operation are signed one by one: 'x-amz-content-sha256' has to be '{SIGNED_EVENTS}', or that of no body."
    )]
    UnsignedEvents,
    /// The body is not the one that was signed.
    #[error("The provided 'x-amz-content-sha256' header does not match what was computed.")]
    OtherPayload,
    /// Anything that was signed is not what came, or the key is another.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and \
         signing method. Consult the service documentation for details."
    )]
    Mismatch,
}

/// Any of them.
fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    quoted.join(" or ")
}

/// What `Authorization: AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…` says, unproved.
#[derive(Clone, Copy, Debug)]
pub struct Authorization<'a> {
    /// Whose key.
    pub access_key_id: &'a str,
    /// `20261122`
    pub date: &'a str,
    /// `us-east-1`
    pub region: &'a str,
    /// `bedrock`
    pub service: &'a str,
    signed_headers: &'a str,
    signature: [u8; 32],
}

impl<'a> Authorization<'a> {
    /// Takes the header apart. Each parameter once, nothing else, names of headers in lower case and in order: what every SDK sends.
    ///
    /// # Errors
    /// [`SignatureError::Incomplete`].
    pub fn parse(value: &'a str) -> Result<Authorization<'a>, SignatureError> {
        let incomplete = SignatureError::Incomplete;
        let parameters = value.strip_prefix(ALGORITHM).and_then(|rest| rest.strip_prefix(' '));
        let parameters = parameters.ok_or(incomplete("Unsupported AWS 'algorithm' in the Authorization header."))?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for parameter in parameters.split(',') {
            let place = match parameter.trim_matches(' ').split_once('=') {
                Some(("Credential", value)) => credential.replace(value),
                Some(("SignedHeaders", value)) => signed_headers.replace(value),
                Some(("Signature", value)) => signature.replace(value),
                _ => return Err(incomplete("The Authorization header has a parameter that is not known.")),
            };
            if place.is_some() {
                return Err(incomplete("The Authorization header has a parameter more than once."));
            }
        }
        let credential = credential.ok_or(incomplete("Authorization header requires 'Credential' parameter."))?;
        let signed_headers = signed_headers.ok_or(incomplete("Authorization header requires 'SignedHeaders' parameter."))?;
        let signature = signature.ok_or(incomplete("Authorization header requires 'Signature' parameter."))?;

        let elements: Vec<&str> = credential.split('/').collect();
        let &[access_key_id, date, region, service, "aws4_request"] = elements.as_slice() else {
            return Err(incomplete("Credential must have exactly 5 slash-delimited elements, the last being 'aws4_request'."));
        };
        if !signed_headers.split(';').is_sorted_by(|a, b| a < b) || signed_headers.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(incomplete("SignedHeaders must be in lower case, sorted, and each named once."));
        }
        let lower_case = !signature.bytes().any(|b| b.is_ascii_uppercase());
        let signature = hex_bytes(signature).filter(|_| lower_case);
        let signature = signature.ok_or(incomplete("Signature must be 64 hexadecimal digits in lower case."))?;
        Ok(Authorization { access_key_id, date, region, service, signed_headers, signature })
    }

    /// The signature itself, unproved.
    pub fn signature(&self) -> [u8; 32] {
        self.signature
    }

    /// The day after the scope's, in its form; `None` if that is no day.
    pub fn next_day(&self) -> Option<String> {
        let day = jiff::civil::Date::strptime("%Y%m%d", self.date).ok()?;
        Some(day.tomorrow().ok()?.strftime("%Y%m%d").to_string())
    }

    /// The same of another day.
    pub fn on<'b>(&self, date: &'b str) -> Authorization<'b>
    where
        'a: 'b,
    {
        Authorization { date, ..*self }
    }

    fn signs(&self, name: &str) -> bool {
        self.signed_headers.split(';').any(|signed| signed == name)
    }
}

/// A request as it came over the wire.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// `POST`
    pub method: &'a str,
    /// The path, still encoded, before anything is taken off it.
    pub path: &'a str,
    /// The query as it came, without `?`.
    pub query: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// HTTP/2's `:authority`.
    pub authority: Option<&'a str>,
}

/// What the request says its payload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: the hash of the body that comes is signed.
    Unannounced,
    /// Lower-case hexadecimal SHA-256.
    Announced(String),
    /// An event stream whose events are signed one by one.
    SignedEvents,
}

/// A signature that only lacks the payload's hash.
pub struct Pending {
    canonical: Vec<u8>,
    /// Date and scope.
    preamble: String,
    signature: [u8; 32],
}

impl<'a> Received<'a> {
    /// When the request says it was signed.
    ///
    /// # Errors
    /// No such header, two, not a time, or one too far from `now`; a scope of another day.
    pub fn check_date(&self, authorization: &Authorization<'_>, now: SystemTime) -> Result<(), SignatureError> {
        let date = self.single(DATE)?.ok_or(SignatureError::Incomplete(NO_DATE))?;
        let at = parse_date(date).ok_or(SignatureError::Incomplete(NO_DATE))?;
        if date.get(..8) != Some(authorization.date) {
            return Err(SignatureError::OtherDay);
        }
        if now.duration_since(at).is_ok_and(|age| age > SKEW_MAX) {
            let earliest = basic_date(now.checked_sub(SKEW_MAX).unwrap_or(now));
            return Err(SignatureError::Expired { date: date.to_owned(), earliest, now: basic_date(now) });
        }
        if at.duration_since(now).is_ok_and(|ahead| ahead > SKEW_MAX) {
            let latest = basic_date(now.checked_add(SKEW_MAX).unwrap_or(now));
            return Err(SignatureError::NotYetCurrent { date: date.to_owned(), latest, now: basic_date(now) });
        }
        Ok(())
    }

    /// What `X-Amz-Content-Sha256` says.
    ///
    /// # Errors
    /// Anything but a hash or [`SIGNED_EVENTS`].
    pub fn payload(&self) -> Result<Payload, SignatureError> {
        match self.single(PAYLOAD_HASH)? {
            None => Ok(Payload::Unannounced),
            Some(SIGNED_EVENTS) => Ok(Payload::SignedEvents),
            Some(hash) if hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) => {
                Ok(Payload::Announced(hash.to_owned()))
            }
            Some(_) => Err(SignatureError::UnsignedPayload),
        }
    }

    /// Everything of the signature but the payload's hash. `deciding` names headers beside `x-amz-*` that have to be signed if
    /// they came.
    ///
    /// # Errors
    /// What must be signed is not, or is not there.
    pub fn pending(&self, authorization: &Authorization<'_>, deciding: &[&str]) -> Result<Pending, SignatureError> {
        if !authorization.signs("host") && !authorization.signs(":authority") {
            return Err(SignatureError::HostNotSigned);
        }
        let decides = |name: &str| name.starts_with("x-amz-") || deciding.contains(&name);
        if let Some(name) = self.headers.keys().find(|name| decides(name.as_str()) && !authorization.signs(name.as_str())) {
            return Err(SignatureError::NotSigned(name.clone()));
        }
        let date = self.single(DATE)?.ok_or(SignatureError::Incomplete(NO_DATE))?;
        let Authorization { date: day, region, service, .. } = authorization;
        let preamble = format!("{ALGORITHM}\n{date}\n{day}/{region}/{service}/aws4_request\n");

        let mut canonical = Vec::with_capacity(1024);
        push_head(&mut canonical, self.method, self.path, self.query);
        for name in authorization.signed_headers.split(';') {
            canonical.extend_from_slice(name.as_bytes());
            canonical.push(b':');
            self.push_values(&mut canonical, name)?;
            canonical.push(b'\n');
        }
        canonical.push(b'\n');
        canonical.extend_from_slice(authorization.signed_headers.as_bytes());
        canonical.push(b'\n');
        Ok(Pending { canonical, preamble, signature: authorization.signature })
    }

    /// All values of a header in the order they came, comma-joined. The host of HTTP/2 is `:authority`, by either name.
    fn push_values(&self, out: &mut Vec<u8>, name: &str) -> Result<(), SignatureError> {
        let mut values = self.headers.get_all(name).iter().peekable();
        if values.peek().is_none() || name == ":authority" {
            let authority = self.authority.filter(|_| matches!(name, "host" | ":authority"));
            out.extend_from_slice(authority.ok_or(SignatureError::Absent)?.as_bytes());
            return Ok(());
        }
        for (index, value) in values.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            push_collapsed(out, std::str::from_utf8(value.as_bytes()).map_err(|_| SignatureError::Mismatch)?);
        }
        Ok(())
    }

    fn single(&self, name: &str) -> Result<Option<&'a str>, SignatureError> {
        let mut values = self.headers.get_all(name).iter();
        let Some(first) = values.next() else { return Ok(None) };
        match (first.to_str(), values.next()) {
            (Ok(text), None) => Ok(Some(text)),
            _ => Err(SignatureError::Incomplete("'X-Amz-Date' and 'X-Amz-Content-Sha256' must be plain text, and come once.")),
        }
    }
}

impl Pending {
    /// Whether the signature is that of `key` over the request with a payload of this hash (hexadecimal, or [`SIGNED_EVENTS`]).
    ///
    /// # Errors
    /// [`SignatureError::Mismatch`].
    pub fn verify(mut self, payload_hash: &str, key: &ScopedKey) -> Result<(), SignatureError> {
        self.canonical.extend_from_slice(payload_hash.as_bytes());
        let mut text = self.preamble;
        push_hex(&mut text, digest(&SHA256, &self.canonical).as_ref());
        hmac::verify(&key.to_hmac(), text.as_bytes(), &self.signature).map_err(|_| SignatureError::Mismatch)
    }
}

/// A key derived from a secret access key for one day, region and service. Wiped when it goes.
pub struct ScopedKey(SecretBox<[u8; 32]>);

impl ScopedKey {
    /// Derives the key for a scope.
    pub fn derive(secret_access_key: &str, authorization: &Authorization<'_>) -> ScopedKey {
        let secret = SecretBox::new(Box::new([b"AWS4", secret_access_key.as_bytes()].concat()));
        let mut key = SecretBox::new(Box::new([0; 32]));
        let mut from: &[u8] = secret.expose_secret();
        for part in [authorization.date, authorization.region, authorization.service, "aws4_request"] {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, from), part.as_bytes());
            let mut next = Box::new([0; 32]);
            next.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
            key = SecretBox::new(next);
            from = key.expose_secret();
        }
        ScopedKey(key)
    }

    pub(super) fn to_hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.0.expose_secret())
    }
}

const NO_DATE: &str = "Authorization header requires existence of an 'X-Amz-Date' header, as 20261122T131500Z.";

/// `20261122T131500Z`, and nothing else.
fn parse_date(text: &str) -> Option<SystemTime> {
    let bytes = text.as_bytes();
    let digits = bytes.iter().enumerate().all(|(at, b)| if matches!(at, 8 | 15) { true } else { b.is_ascii_digit() });
    if bytes.len() != 16 || bytes.get(8) != Some(&b'T') || bytes.get(15) != Some(&b'Z') || !digits {
        return None;
    }
    let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    let at = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(at).ok()?))
}

fn basic_date(time: SystemTime) -> String {
    Timestamp::try_from(time).unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests;
