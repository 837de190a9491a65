//! Signature Version 4 for one request: the canonical request is made here from the bytes that will be sent, the key comes from
//! aws-sigv4. That crate's own `sign` derives the key anew for every request and goes through `http::Uri`, which costs three times
//! as much; it is the oracle of this file's tests.
//!
//! Rules: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_credential_types::Credentials;
use aws_lc_rs::digest::{SHA256, digest};
use aws_sigv4::sign::v4::generate_signing_key;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use sha2::Sha256;

use super::{
    canonical::{push_collapsed, push_head, push_hex},
    received::ALGORITHM,
};

/// SHA-256 of nothing, in hexadecimal.
pub const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Credentials with the signing keys derived from them.
pub struct Signer {
    credentials: Credentials,
    /// The session token as it is sent; made once, since it is long.
    security_token: Result<Option<HeaderValue>, UnsignableError>,
    keys: Mutex<Vec<Arc<SigningKey>>>,
}

/// A derived key and what else is the same in all signatures of a day; one per service name and region is kept.
struct SigningKey {
    day: u64,
    region: String,
    service: &'static str,
    /// `20261122/us-east-1/bedrock/aws4_request`
    scope: String,
    /// How `Authorization` begins: up to the names of the headers.
    authorization: String,
    /// Has taken in the key already, which is half of the work.
    key: Hmac<Sha256>,
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
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the AWS credentials do not fit into request headers")]
pub struct UnsignableError;

impl Signer {
    /// Signs with these credentials.
    pub fn new(credentials: Credentials) -> Signer {
        let security_token = credentials.session_token().map(|token| {
            let mut value = HeaderValue::from_str(token).map_err(|_| UnsignableError)?;
            value.set_sensitive(true);
            Ok(value)
        });
        Signer { credentials, security_token: security_token.transpose(), keys: Mutex::new(Vec::new()) }
    }

    /// What it signs with.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// When the credentials expire.
    pub fn expiry(&self) -> Option<SystemTime> {
        self.credentials.expiry()
    }

    /// Signs one request at `now`.
    pub fn sign(&self, request: &Signing<'_>, now: SystemTime) -> Result<Signed, UnsignableError> {
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let date = basic_date(seconds);
        let token = self.credentials.session_token();

        let mut headers: Vec<(&str, &str)> = Vec::with_capacity(request.headers.len() + 2);
        headers.extend_from_slice(request.headers);
        headers.push(("x-amz-date", &date));
        headers.extend(token.map(|token| ("x-amz-security-token", token)));
        headers.sort_by_key(|(name, _)| *name);

        let (canonical, signed_names) = canonical_request(request, &headers);
        let key = self.key(request, &date, seconds)?;
        // Of the length that they come to, since what is longer than it has to be is copied once more.
        let text = &[ALGORITHM, "\n", &date, "\n", &key.scope, "\n"];
        let text = with_hex(text, digest(&SHA256, &canonical).as_ref());
        let signature = key.key.clone().chain_update(&text).finalize().into_bytes();
        let authorization = with_hex(&[&key.authorization, &signed_names, ", Signature="], &signature);
        let header = |text: String| HeaderValue::try_from(text).map_err(|_| UnsignableError);
        let security_token = self.security_token.clone()?;
        Ok(Signed { authorization: header(authorization)?, date: header(date)?, security_token, signature: signature.into() })
    }

    fn key(&self, request: &Signing<'_>, date: &str, seconds: u64) -> Result<Arc<SigningKey>, UnsignableError> {
        let day = seconds / 86_400;
        let mut keys = self.keys.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(found) = keys.iter().find(|k| k.day == day && k.service == request.service && k.region == request.region) {
            return Ok(found.clone());
        }
        let derived = self.derived_key(request.region, request.service, seconds);
        let key = Hmac::new_from_slice(&derived).map_err(|_| UnsignableError)?;
        let scope = [&date[..8], "/", request.region, "/", request.service, "/aws4_request"].concat();
        let key_id = self.credentials.access_key_id();
        let authorization = [ALGORITHM, " Credential=", key_id, "/", &scope, ", SignedHeaders="].concat();
        let region = request.region.to_owned();
        let signing_key = Arc::new(SigningKey { day, region, service: request.service, scope, authorization, key });
        keys.retain(|k| k.day == day);
        keys.push(signing_key.clone());
        Ok(signing_key)
    }

    /// The key for everything signed on the day of `seconds` since 1970.
    pub(super) fn derived_key(&self, region: &str, service: &str, seconds: u64) -> [u8; 32] {
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        let derived = generate_signing_key(self.credentials.secret_access_key(), time, region, service);
        let mut key = [0; 32];
        key.copy_from_slice(derived.as_ref());
        key
    }
}

/// One text after the other, and 32 bytes in hexadecimal behind them.
fn with_hex(texts: &[&str], bytes: &[u8]) -> String {
    let mut out = String::with_capacity(texts.iter().map(|text| text.len()).sum::<usize>() + 2 * bytes.len());
    texts.iter().for_each(|text| out.push_str(text));
    push_hex(&mut out, bytes);
    out
}

/// The canonical request and the list of signed header names.
fn canonical_request(request: &Signing<'_>, headers: &[(&str, &str)]) -> (Vec<u8>, String) {
    let values: usize = headers.iter().map(|(name, value)| 2 * name.len() + value.len() + 3).sum();
    let mut text = Vec::with_capacity(128 + 3 * request.path.len() + 3 * request.query.len() + values);
    push_head(&mut text, request.method, request.path, request.query);

    let mut names = String::with_capacity(96);
    let mut previous = "";
    for (name, value) in headers {
        if *name == previous {
            text.pop();
            text.push(b',');
        } else {
            if !names.is_empty() {
                names.push(';');
            }
            names.push_str(name);
            text.extend_from_slice(name.as_bytes());
            text.push(b':');
            previous = name;
        }
        push_collapsed(&mut text, value);
        text.push(b'\n');
    }
    text.push(b'\n');
    text.extend_from_slice(names.as_bytes());
    text.push(b'\n');
    text.extend_from_slice(request.body_sha256.as_bytes());
    (text, names)
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
    let mut date = String::with_capacity(16);
    [year / 100 % 100, year % 100, month, day].into_iter().for_each(|number| push_two_digits(&mut date, number));
    date.push('T');
    [hour, minute, second].into_iter().for_each(|number| push_two_digits(&mut date, number));
    date.push('Z');
    date
}

fn push_two_digits(out: &mut String, number: u64) {
    let digit = |value: u64| char::from(b'0' + (value % 10) as u8);
    out.push(digit(number / 10));
    out.push(digit(number));
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
