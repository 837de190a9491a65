//! Signature Version 4 for one request: the canonical request is made here from the bytes that will be sent, the key and the
//! HMAC come from aws-sigv4. That crate's own `sign` derives the key anew for every request and goes through `http::Uri`, which
//! costs three times as much; it is the oracle of this file's tests.
//!
//! Rules: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::{
    fmt::Write,
    sync::Mutex,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_credential_types::Credentials;
use aws_lc_rs::digest::{SHA256, digest};
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use http::HeaderValue;

/// SHA-256 of nothing, in hexadecimal.
pub const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Credentials with the signing keys derived from them.
pub struct Signer {
    credentials: Credentials,
    keys: Mutex<Vec<SigningKey>>,
}

/// A derived key; one per service name and region is kept, for the current day.
struct SigningKey {
    day: u64,
    region: String,
    service: &'static str,
    key: [u8; 32],
}

/// What is signed.
pub struct Signing<'a> {
    /// `POST`
    pub method: &'a str,
    /// The path as it is sent, still encoded.
    pub path: &'a str,
    /// The query as it is sent, without `?`.
    pub query: &'a str,
    /// The headers to sign, lower-case names. `x-amz-date` and `x-amz-security-token` are added here.
    pub headers: &'a [(&'a str, &'a str)],
    /// Hexadecimal SHA-256 of the body.
    pub body_sha256: &'a str,
    /// AWS region.
    pub region: &'a str,
    /// Signing name.
    pub service: &'static str,
}

/// The headers that carry a signature.
pub struct Signed {
    /// `Authorization`
    pub authorization: HeaderValue,
    /// `X-Amz-Date`
    pub date: HeaderValue,
    /// `X-Amz-Security-Token`, for temporary credentials.
    pub security_token: Option<HeaderValue>,
    /// The signature itself: where the events of a body are signed too, theirs begin with it.
    pub signature: [u8; 32],
}

/// Something in the request cannot stand in a header.
#[derive(Debug, thiserror::Error)]
#[error("the AWS credentials do not fit into request headers")]
pub struct UnsignableError;

impl Signer {
    /// Signs with these credentials.
    pub fn new(credentials: Credentials) -> Signer {
        Signer { credentials, keys: Mutex::new(Vec::new()) }
    }

    /// When the credentials expire.
    pub fn expiry(&self) -> Option<SystemTime> {
        self.credentials.expiry()
    }

    /// Signs one request at `now`.
    pub fn sign(&self, request: &Signing<'_>, now: SystemTime) -> Result<Signed, UnsignableError> {
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let date = basic_date(seconds);
        let day = &date[..8];
        let token = self.credentials.session_token();

        let mut headers: Vec<(&str, &str)> = Vec::with_capacity(request.headers.len() + 2);
        headers.extend_from_slice(request.headers);
        headers.push(("x-amz-date", &date));
        headers.extend(token.map(|token| ("x-amz-security-token", token)));
        headers.sort_by_key(|(name, _)| *name);

        let (canonical, signed_names) = canonical_request(request, &headers);
        let mut text = String::with_capacity(256);
        let _ = write!(text, "AWS4-HMAC-SHA256\n{date}\n{day}/{}/{}/aws4_request\n", request.region, request.service);
        push_hex(&mut text, digest(&SHA256, canonical.as_bytes()).as_ref());
        let signature = calculate_signature(self.key(request.region, request.service, seconds), text.as_bytes());

        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{day}/{}/{}/aws4_request, SignedHeaders={signed_names}, Signature={signature}",
            self.credentials.access_key_id(),
            request.region,
            request.service,
        );
        let header = |text: &str| HeaderValue::from_str(text).map_err(|_| UnsignableError);
        let mut security_token = token.map(header).transpose()?;
        security_token.iter_mut().for_each(|value| value.set_sensitive(true));
        let signature = unhex(&signature);
        Ok(Signed { authorization: header(&authorization)?, date: header(&date)?, security_token, signature })
    }

    /// The key for everything signed on the day of `seconds` since 1970.
    pub(super) fn key(&self, region: &str, service: &'static str, seconds: u64) -> [u8; 32] {
        let day = seconds / 86_400;
        let mut keys = self.keys.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(found) = keys.iter().find(|k| k.day == day && k.service == service && k.region == region) {
            return found.key;
        }
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        let derived = generate_signing_key(self.credentials.secret_access_key(), time, region, service);
        let mut key = [0; 32];
        key.copy_from_slice(derived.as_ref());
        keys.retain(|k| k.day == day);
        keys.push(SigningKey { day, region: region.to_owned(), service, key });
        key
    }
}

/// The canonical request and the list of signed header names.
fn canonical_request(request: &Signing<'_>, headers: &[(&str, &str)]) -> (String, String) {
    let mut text = String::with_capacity(1024);
    text.push_str(request.method);
    text.push('\n');
    push_canonical_path(&mut text, request.path);
    text.push('\n');
    push_canonical_query(&mut text, request.query);
    text.push('\n');

    let mut names = String::with_capacity(96);
    let mut previous = "";
    for (name, value) in headers {
        if *name == previous {
            text.pop();
            text.push(',');
        } else {
            if !names.is_empty() {
                names.push(';');
            }
            names.push_str(name);
            text.push_str(name);
            text.push(':');
            previous = name;
        }
        push_collapsed(&mut text, value);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&names);
    text.push('\n');
    text.push_str(request.body_sha256);
    (text, names)
}

/// Each segment encoded once more, as every service but S3 wants it; consecutive slashes are one. Dot segments never come here.
fn push_canonical_path(out: &mut String, path: &str) {
    let start = out.len();
    let mut previous = 0;
    for byte in path.bytes() {
        match byte {
            b'/' if previous == b'/' => {}
            b'/' => out.push('/'),
            byte => push_encoded(out, byte),
        }
        previous = byte;
    }
    if out.len() == start {
        out.push('/');
    }
}

/// Sorted by name, then value, both in their encoded form; `a` counts as `a=`.
fn push_canonical_query(out: &mut String, query: &str) {
    if query.is_empty() {
        return;
    }
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (reencoded(name), reencoded(value))
        })
        .collect();
    pairs.sort_unstable();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(value);
    }
}

/// Percent-decodes what is an escape, and encodes every byte that is not unreserved. A `+` is a plus.
fn reencoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        let escape = (byte == b'%').then(|| bytes.get(index + 1..index + 3).and_then(hex_byte)).flatten();
        push_encoded(&mut out, escape.unwrap_or(byte));
        index += if escape.is_some() { 3 } else { 1 };
    }
    out
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let high = char::from(*digits.first()?).to_digit(16)?;
    let low = char::from(*digits.get(1)?).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

fn push_encoded(out: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        out.push(char::from(byte));
    } else {
        out.push('%');
        out.push(char::from(HEX_UPPER[usize::from(byte >> 4)]));
        out.push(char::from(HEX_UPPER[usize::from(byte & 15)]));
    }
}

/// Outer whitespace gone, inner runs of spaces one.
fn push_collapsed(out: &mut String, value: &str) {
    let mut previous = ' ';
    for c in value.trim_matches([' ', '\t']).chars() {
        if c != ' ' || previous != ' ' {
            out.push(c);
        }
        previous = c;
    }
}

const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";
const HEX_LOWER: &[u8; 16] = b"0123456789abcdef";

/// Appends lower-case hexadecimal.
pub fn push_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        out.push(char::from(HEX_LOWER[usize::from(byte >> 4)]));
        out.push(char::from(HEX_LOWER[usize::from(byte & 15)]));
    }
}

fn unhex(digits: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = hex_byte(pair).unwrap_or_default();
    }
    bytes
}

/// `20261122T131500Z` of seconds since 1970 (civil-from-days, Howard Hinnant's algorithm).
pub(super) fn basic_date(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    use proptest::prelude::*;

    use super::*;

    fn credentials(token: Option<&str>) -> Credentials {
        Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token.map(str::to_owned), None, "test")
    }

    /// What aws-sigv4 itself signs for the same request.
    fn oracle(request: &Signing<'_>, token: Option<&str>, now: SystemTime) -> String {
        let identity = credentials(token).into();
        let params = aws_sigv4::sign::v4::SigningParams::builder()
            .identity(&identity)
            .region(request.region)
            .name(request.service)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .unwrap();
        let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
        let host = request.headers.iter().find(|(name, _)| *name == "host").unwrap().1;
        let uri = format!("https://{host}{}{query}", request.path);
        let body = SignableBody::Precomputed(request.body_sha256.to_owned());
        let signable = SignableRequest::new(request.method, uri, request.headers.iter().copied(), body).unwrap();
        let (_, signature) = sign(signable, &params.into()).unwrap().into_parts();
        signature
    }

    fn ours(request: &Signing<'_>, token: Option<&str>, now: SystemTime) -> String {
        let signed = Signer::new(credentials(token)).sign(request, now).unwrap();
        let text = signed.authorization.to_str().unwrap();
        text.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    proptest! {
        #[test]
        fn agrees_with_aws_sigv4(
            segments in prop::collection::vec("([A-Za-z0-9:._~$+=@,;!'()*-]|%[0-9A-F]{2}){1,12}", 0..5),
            trailing in any::<bool>(),
            query in prop::collection::vec(("[a-zA-Z0-9._~-]{1,3}", prop::option::of("[a-zA-Z0-9._~-]{0,3}|%20|%2F")), 0..5),
            header in "[!-~]{1,8}( {1,3}[!-~]{1,5}){0,2}",
            token in prop::option::of("[A-Za-z0-9/+=]{1,40}"),
            seconds in 0u64..4_000_000_000,
        ) {
            prop_assume!(segments.iter().all(|s| s != "." && s != ".."));
            let path = format!("/{}{}", segments.join("/"), if trailing && !segments.is_empty() { "/" } else { "" });
            let query: Vec<String> = query
                .into_iter()
                .map(|(name, value)| value.map_or(name.clone(), |value| format!("{name}={value}")))
                .collect();
            let request = Signing {
                method: "POST",
                path: &path,
                query: &query.join("&"),
                headers: &[("host", "bedrock-runtime.us-east-1.amazonaws.com"), ("x-amz-target", &header)],
                body_sha256: EMPTY_SHA256,
                region: "us-east-1",
                service: "bedrock",
            };
            let now = UNIX_EPOCH + Duration::from_secs(seconds);
            prop_assert_eq!(ours(&request, token.as_deref(), now), oracle(&request, token.as_deref(), now));
        }
    }

    #[test]
    fn keys_are_kept_for_the_day_and_the_service() {
        let signer = Signer::new(credentials(None));
        let mut request = Signing {
            method: "GET",
            path: "/",
            query: "",
            headers: &[("host", "h")],
            body_sha256: EMPTY_SHA256,
            region: "us-east-1",
            service: "bedrock",
        };
        let day = |n: u64| UNIX_EPOCH + Duration::from_secs(n * 86_400);
        signer.sign(&request, day(1)).unwrap();
        request.service = "bedrock-agentcore";
        signer.sign(&request, day(1)).unwrap();
        assert_eq!(signer.keys.lock().unwrap().len(), 2);
        signer.sign(&request, day(2)).unwrap();
        assert_eq!(signer.keys.lock().unwrap().len(), 1);
    }

    #[test]
    fn dates_are_civil() {
        assert_eq!(basic_date(0), "19700101T000000Z");
        assert_eq!(basic_date(951_827_696), "20000229T123456Z");
        assert_eq!(basic_date(4_102_444_799), "20991231T235959Z");
    }
}
