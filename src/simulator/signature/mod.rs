//! Signature Version 4, verified from the bytes that were received, with code that shares nothing with the crate that signs.
//! What it refuses it refuses in AWS's words. It does not know credentials that expire: a script can say so in its place.

mod authorization;
mod canonical;
mod chain;
mod refusal;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use self::authorization::Authorization;
pub(super) use self::{authorization::claimed_service, chain::Chain, refusal::Refusal};
use super::SimulatorKey;

/// What AWS allows between the two clocks.
const SKEW_MAX_SECONDS: i64 = 300;

/// The literal that stands for the payload hash where each event of the request is signed by itself.
const SIGNED_EVENTS: &str = "STREAMING-AWS4-HMAC-SHA256-EVENTS";

/// A request as it came over the wire.
pub(super) struct Received<'a> {
    pub method: &'a str,
    /// Raw, as on the wire.
    pub path: &'a str,
    /// Raw, without the `?`.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    /// HTTP/2's `:authority`.
    pub authority: Option<&'a str>,
    /// Hexadecimal SHA-256 of the body's bytes.
    pub body_sha256: &'a str,
    /// Whether the operation's request is an event stream, whose events are signed one by one.
    pub signed_events: bool,
}

/// The scope that the host asks for.
pub(super) struct Expected<'a> {
    pub region: &'a str,
    /// `None`: any of Bedrock's.
    pub signing_name: Option<&'a str>,
}

/// The keys the simulator knows.
pub(super) struct Verifier {
    keys: RwLock<HashMap<String, Arc<SimulatorKey>>>,
    derived: Mutex<HashMap<String, [u8; 32]>>,
}

impl Verifier {
    pub fn new(keys: Vec<SimulatorKey>) -> Verifier {
        let keys = keys.into_iter().map(|key| (key.access_key_id.clone(), Arc::new(key)));
        Verifier { keys: RwLock::new(keys.collect()), derived: Mutex::default() }
    }

    /// Knows one more key; forgets none.
    pub fn trust(&self, key: SimulatorKey) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(key.access_key_id.clone(), Arc::new(key));
    }

    /// The access key id that signed the request, or why AWS would not believe it.
    pub fn verify(&self, received: &Received, expected: &Expected, now: Timestamp) -> Result<String, Refusal> {
        let authorization = Authorization::read(received.headers)?;
        check_scope(&authorization, expected)?;
        let date = check_date(&authorization, received.headers, now)?;
        let key = self.key(authorization.access_key_id, received.headers)?;
        check_signed_headers(&authorization, received.headers)?;
        let payload = payload_hash(received)?;

        let canonical = canonical::request(received, &authorization.signed_headers, payload)?;
        let to_sign = string_to_sign(date, &authorization.scope(), &canonical);
        let mut mac = keyed(&self.signing_key(&key, &authorization));
        mac.update(to_sign.as_bytes());
        // Constant-time: `verify_slice` compares with `subtle`.
        match mac.verify_slice(&authorization.signature) {
            Ok(()) => Ok(authorization.access_key_id.to_owned()),
            Err(_) => Err(Refusal::SignatureMismatch { canonical: String::from_utf8_lossy(&canonical).into_owned(), to_sign }),
        }
    }

    /// The chain that the events of a request continue, once its head is verified.
    pub fn chain(&self, headers: &HeaderMap) -> Option<Chain> {
        let authorization = Authorization::read(headers).ok()?;
        let key = self.key(authorization.access_key_id, headers).ok()?;
        Some(Chain::begin(&key, &authorization))
    }

    /// The key by its id, if the session token is that key's.
    fn key(&self, access_key_id: &str, headers: &HeaderMap) -> Result<Arc<SimulatorKey>, Refusal> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.get(access_key_id).cloned().ok_or(Refusal::UnknownKey)?;
        let mut tokens = headers.get_all("x-amz-security-token").iter().map(|value| value.as_bytes());
        let token = tokens.next();
        if tokens.next().is_some() || token != key.session_token.as_ref().map(|token| token.as_bytes()) {
            return Err(Refusal::WrongSessionToken);
        }
        Ok(key)
    }

    /// Derived once for each date, region and service. A wrong scope is refused before, so the number of entries is small; dates
    /// pass, so there is a bound.
    fn signing_key(&self, key: &SimulatorKey, authorization: &Authorization) -> [u8; 32] {
        let name = format!("{}/{}", authorization.access_key_id, authorization.scope());
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = derived.get(&name) {
            return *known;
        }
        let parts = [authorization.date, authorization.region, authorization.service, "aws4_request"];
        let signing_key = self::derived(&key.secret_access_key, parts);
        if derived.len() >= 64 {
            derived.clear();
        }
        derived.insert(name, signing_key);
        signing_key
    }
}

/// The key of a scope: its parts, each the message under the key before it.
fn derived(secret: &str, scope: [&str; 4]) -> [u8; 32] {
    let secret = format!("AWS4{secret}");
    let signing_key = scope.iter().fold(None, |key: Option<[u8; 32]>, part| {
        let mut mac = key.as_ref().map_or_else(|| keyed(secret.as_bytes()), |key| keyed(key));
        mac.update(part.as_bytes());
        Some(mac.finalize().into_bytes().into())
    });
    signing_key.unwrap_or_default()
}

fn check_scope(authorization: &Authorization, expected: &Expected) -> Result<(), Refusal> {
    if authorization.region != expected.region {
        return Err(Refusal::WrongRegion { expected: expected.region.to_owned() });
    }
    match expected.signing_name {
        Some(name) if name != authorization.service => Err(Refusal::WrongService { expected: name.to_owned() }),
        None if !authorization.service.starts_with("bedrock") => Err(Refusal::WrongService { expected: "bedrock".to_owned() }),
        _ => Ok(()),
    }
}

/// The request's own time, which has to be the scope's day and close to `now`.
fn check_date<'a>(authorization: &Authorization, headers: &'a HeaderMap, now: Timestamp) -> Result<&'a str, Refusal> {
    let date = headers.get("x-amz-date").and_then(|value| value.to_str().ok()).ok_or(Refusal::NoDate)?;
    let at = parse_date(date).ok_or(Refusal::NoDate)?;
    if !date.starts_with(authorization.date) || authorization.date.len() != 8 {
        return Err(Refusal::OtherDay { scope: authorization.date.to_owned(), date: date.to_owned() });
    }
    let age_seconds = now.as_second() - at.as_second();
    if age_seconds > SKEW_MAX_SECONDS {
        return Err(Refusal::Expired { date: date.to_owned(), now });
    }
    if age_seconds < -SKEW_MAX_SECONDS {
        return Err(Refusal::NotYetCurrent { date: date.to_owned(), now });
    }
    Ok(date)
}

/// `20261122T133000Z`.
fn parse_date(text: &str) -> Option<Timestamp> {
    let digits = |range: std::ops::Range<usize>| {
        text.get(range).filter(|part| part.bytes().all(|b| b.is_ascii_digit())).and_then(|part| part.parse::<i16>().ok())
    };
    let small = |range| digits(range).and_then(|n| i8::try_from(n).ok());
    if text.len() != 16 || text.as_bytes()[8] != b'T' || text.as_bytes()[15] != b'Z' {
        return None;
    }
    let civil =
        jiff::civil::DateTime::new(digits(0..4)?, small(4..6)?, small(6..8)?, small(9..11)?, small(11..13)?, small(13..15)?, 0);
    civil.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// AWS wants the host signed, and every `x-amz-*` header that is there; [`canonical::request`] refuses a signed header that is not.
fn check_signed_headers(authorization: &Authorization, headers: &HeaderMap) -> Result<(), Refusal> {
    let signed = |name: &str| authorization.signed_headers.contains(&name);
    if !signed("host") && !signed(":authority") {
        return Err(Refusal::HostNotSigned);
    }
    let unsigned = headers.keys().find(|name| name.as_str().starts_with("x-amz-") && !signed(name.as_str()));
    unsigned.map_or(Ok(()), |name| Err(Refusal::HeaderNotSigned { name: name.as_str().to_owned() }))
}

/// Whether a request says that its events are signed, instead of its whole body.
pub(super) fn announces_events(headers: &HeaderMap) -> bool {
    headers.get("x-amz-content-sha256").is_some_and(|value| value == SIGNED_EVENTS)
}

fn payload_hash<'a>(received: &Received<'a>) -> Result<&'a str, Refusal> {
    match received.headers.get("x-amz-content-sha256").map(|value| value.as_bytes()) {
        None => Ok(received.body_sha256),
        Some(b"UNSIGNED-PAYLOAD") => Err(Refusal::UnsignedPayload),
        Some(hash) if hash == SIGNED_EVENTS.as_bytes() && received.signed_events => Ok(SIGNED_EVENTS),
        Some(hash) if hash == received.body_sha256.as_bytes() => Ok(received.body_sha256),
        Some(_) => Err(Refusal::OtherPayload),
    }
}

fn string_to_sign(date: &str, scope: &str, canonical: &[u8]) -> String {
    format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical)))
}

/// HMAC-SHA256 takes a key of any length; padding it to a block here leaves nothing to fail.
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    let mut block = [0u8; 64];
    if key.len() <= 64 {
        block[..key.len()].copy_from_slice(key);
    } else {
        block[..32].copy_from_slice(&Sha256::digest(key));
    }
    Hmac::<Sha256>::new(&block.into())
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|&b| [digit(b >> 4), digit(b)]).collect()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn verifier() -> Verifier {
        Verifier::new(vec![SimulatorKey {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
        }])
    }

    /// One request of AWS's Signature Version 4 test suite: 2015-08-30T12:36:00Z, us-east-1, `service`.
    fn suite(method: &str, query: &str, headers: &[(&str, &str)], body_sha256: &str, signature: &str) -> Result<String, Refusal> {
        let mut map = HeaderMap::new();
        map.insert("host", HeaderValue::from_static("example.amazonaws.com"));
        map.insert("x-amz-date", HeaderValue::from_static("20150830T123600Z"));
        for (name, value) in headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let mut signed: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
        signed.sort_unstable();
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={}, Signature={signature}",
            signed.join(";")
        );
        map.insert("authorization", HeaderValue::from_str(&authorization).unwrap());
        let received = Received { method, path: "/", query, headers: &map, authority: None, body_sha256, signed_events: false };
        let now = "2015-08-30T12:40:00Z".parse().unwrap();
        verifier().verify(&received, &Expected { region: "us-east-1", signing_name: Some("service") }, now)
    }

    #[test]
    fn aws_own_vectors_verify() {
        let alphabet = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let form = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e";
        for result in [
            suite("GET", "", &[], EMPTY, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            suite(
                "GET",
                &format!("{alphabet}={alphabet}"),
                &[],
                EMPTY,
                "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
            ),
            suite(
                "GET",
                "",
                &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
                EMPTY,
                "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ),
            suite(
                "GET",
                "",
                &[("my-header1", "value4"), ("my-header1", "value1"), ("my-header1", "value3"), ("my-header1", "value2")],
                EMPTY,
                "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
            ),
            suite(
                "POST",
                "",
                &[
                    ("content-type", "application/x-www-form-urlencoded"),
                    ("content-length", "13"),
                    ("x-amz-content-sha256", form),
                ],
                form,
                "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
            ),
        ] {
            assert_eq!(result.unwrap(), "AKIDEXAMPLE");
        }
    }

    #[test]
    fn another_signature_is_refused_with_the_canonical_string() {
        let refusal = suite("GET", "", &[], EMPTY, &"0".repeat(64)).unwrap_err();
        assert_eq!(refusal.code(), "InvalidSignatureException");
        assert!(refusal.message().contains("The Canonical String for this request should have been\n'GET\n/\n\nhost:"));
        assert!(!refusal.summary().contains("Canonical"));
    }

    #[test]
    fn dates_are_read_strictly() {
        assert_eq!(parse_date("19700101T000010Z").map(Timestamp::as_second), Some(10));
        for text in ["", "20150830T1236007", "20150830 123600Z", "2015083xT123600Z", "20151330T123600Z", "+0150830T123600Z"] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }
}
