//! Signatures that others made: AWS's own suite, and aws-sigv4's signer with whatever may stand in a request.

use std::{path::PathBuf, process::Command};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::aws::{canonical::hex, sigv4::EMPTY_SHA256};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn verify(received: &Received<'_>, body_sha256: &str, secret: &str, now: SystemTime) -> Result<(), SignatureError> {
    let header = received.headers.get("authorization").unwrap().to_str().unwrap().to_owned();
    let authorization = Authorization::parse(&header)?;
    received.check_date(&authorization, now)?;
    let key = ScopedKey::derive(secret, &authorization);
    received.pending(&authorization, &[])?.verify(body_sha256, &key)
}

fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// Where cargo has the sources of aws-sigv4: AWS's test suite for signers is in them.
fn suite() -> PathBuf {
    let metadata = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--offline",
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ])
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == "aws-sigv4").unwrap();
    PathBuf::from(package["manifest_path"].as_str().unwrap()).with_file_name("aws-signing-test-suite/v4")
}

/// Those whose path no request that gets here has: dot segments, spaces, bytes outside ASCII; folded headers; and keys not signed
/// with (a session token that is there and not signed is refused by design).
fn is_refused_before(request: &str) -> bool {
    let target = request.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    path.split('/').any(|segment| segment == "." || segment == "..")
        || !target.is_ascii()
        || request.lines().next().is_some_and(|line| line.split(' ').count() != 3)
        || request.contains("\n ")
}

#[test]
fn aws_own_suite_verifies() {
    let (mut verified, mut passed_over) = (0, Vec::new());
    for entry in std::fs::read_dir(suite()).unwrap() {
        let folder = entry.unwrap().path();
        let read = |name: &str| std::fs::read_to_string(folder.join(name));
        let (Ok(request), Ok(context)) = (read("header-signed-request.txt"), read("context.json")) else { continue };
        let context: serde_json::Value = serde_json::from_str(&context).unwrap();
        let omits_token = context["omit_session_token"] == true;
        if is_refused_before(&request) || omits_token || context["normalize"] == false {
            passed_over.push(folder.file_name().unwrap().to_owned());
            continue;
        }
        let (head, body) = request.split_once("\n\n").unwrap_or((&request, ""));
        let mut lines = head.lines();
        let mut words = lines.next().unwrap().split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(':').unwrap();
            headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value.trim()).unwrap());
        }
        let received = Received { method, path, query, headers: &headers, authority: None };
        let at = parse_date(headers["x-amz-date"].to_str().unwrap()).unwrap();
        let secret = context["credentials"]["secret_access_key"].as_str().unwrap();
        let result = verify(&received, &sha256_hex(body.as_bytes()), secret, at);
        assert_eq!(result, Ok(()), "{}", folder.display());
        verified += 1;
    }
    assert!(verified >= 20, "{verified} verified, passed over: {passed_over:?}");
}

/// A request that aws-sigv4 signed, and its pieces.
#[derive(Clone, Debug)]
struct Signed {
    method: &'static str,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    announced: bool,
}

impl Signed {
    /// Signs, and adds the headers that carry the signature.
    fn sign(mut self, token: Option<&str>, now: SystemTime) -> Signed {
        let identity = Credentials::new("AKIDEXAMPLE", SECRET, token.map(str::to_owned), None, "test").into();
        let mut settings = SigningSettings::default();
        if self.announced {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let params = aws_sigv4::sign::v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("bedrock")
            .time(now)
            .settings(settings)
            .build()
            .unwrap();
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        let uri = format!("https://gw.example{}{query}", self.path);
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let signable = SignableRequest::new(self.method, uri, headers, SignableBody::Bytes(&self.body)).unwrap();
        let (instructions, _) = sign(signable, &params.into()).unwrap().into_parts();
        self.headers.extend(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())));
        self
    }

    fn verify(&self, now: SystemTime) -> Result<(), SignatureError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let received = Received { method: self.method, path: &self.path, query: &self.query, headers: &headers, authority: None };
        let hash = sha256_hex(&self.body);
        match received.payload()? {
            Payload::Announced(announced) if announced != hash => return Err(SignatureError::OtherPayload),
            Payload::SignedEvents => return Err(SignatureError::UnsignedPayload),
            _ => {}
        }
        verify(&received, &hash, SECRET, now)
    }
}

fn requests() -> impl Strategy<Value = Signed> {
    (
        prop::sample::select(vec!["GET", "POST", "PUT", "DELETE"]),
        prop::collection::vec("([A-Za-z0-9:._~$+=@,;!'()*-]|%[0-9A-F]{2}){1,12}", 0..5),
        any::<bool>(),
        prop::collection::vec(("[a-zA-Z0-9._~-]{1,3}", prop::option::of("[a-zA-Z0-9._~-]{0,3}|%20|%2F")), 0..5),
        "[!-~]{1,8}( {1,3}[!-~]{1,5}){0,2}",
        prop::collection::vec(any::<u8>(), 0..64),
        any::<bool>(),
    )
        .prop_filter("dot segments are refused before", |(_, segments, ..)| segments.iter().all(|s| s != "." && s != ".."))
        .prop_map(|(method, segments, trailing, query, header, body, announced)| {
            let pairs: Vec<String> =
                query.into_iter().map(|(n, v)| v.map_or(n.clone(), |value| format!("{n}={value}"))).collect();
            Signed {
                method,
                path: format!("/{}{}", segments.join("/"), if trailing && !segments.is_empty() { "/" } else { "" }),
                query: pairs.join("&"),
                headers: vec![("host".to_owned(), "gw.example".to_owned()), ("x-amz-target".to_owned(), header)],
                body,
                announced,
            }
        })
}

proptest! {
    #[test]
    fn what_aws_sigv4_signs_verifies_and_nothing_else(
        request in requests(),
        token in prop::option::of("[A-Za-z0-9/+=]{1,40}"),
        seconds in 1_000_000_000u64..4_000_000_000,
        flip in any::<prop::sample::Index>(),
        bit in 0u8..7,
    ) {
        let now = UNIX_EPOCH + Duration::from_secs(seconds);
        let signed = request.sign(token.as_deref(), now);
        prop_assert_eq!(signed.verify(now), Ok(()));

        let mut tampered = signed.clone();
        tampered.body.push(b'!');
        prop_assert!(tampered.verify(now).is_err());
        // One bit of one header's value. Spaces at the ends, and how many there are in a row, mean nothing.
        let mut tampered = signed.clone();
        let at = flip.index(tampered.headers.len());
        let value = &mut tampered.headers[at].1;
        let position = flip.index(value.len());
        let mut bytes = value.clone().into_bytes();
        bytes[position] ^= 1 << bit;
        let meaning = |text: &str| text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        if let Ok(text) = String::from_utf8(bytes)
            && HeaderValue::from_str(&text).is_ok()
            && meaning(&text) != meaning(value)
        {
            *value = text;
            prop_assert!(tampered.verify(now).is_err(), "{:?}", tampered.headers);
        }
    }
}

fn vanilla() -> Signed {
    Signed {
        method: "POST",
        path: "/model/m/converse".to_owned(),
        query: String::new(),
        headers: vec![("host".to_owned(), "gw.example".to_owned())],
        body: Vec::new(),
        announced: false,
    }
}

#[test]
fn the_clocks_may_differ_by_five_minutes() {
    let now = UNIX_EPOCH + Duration::from_secs(1_795_305_600);
    let signed = vanilla().sign(None, now);
    let at = |offset: i64| signed.verify(UNIX_EPOCH + Duration::from_secs(1_795_305_600u64.saturating_add_signed(offset)));
    assert_eq!((at(300), at(-300)), (Ok(()), Ok(())));
    assert_eq!(
        at(301).unwrap_err().to_string(),
        "Signature expired: 20261122T000000Z is now earlier than 20261122T000001Z (20261122T000501Z - 5 min.)"
    );
    assert!(at(-301).unwrap_err().to_string().starts_with("Signature not yet current: 20261122T000000Z is still later than"));
}

#[test]
fn every_amz_header_and_the_host_must_be_signed() {
    let now = UNIX_EPOCH + Duration::from_secs(1_795_305_600);
    let mut signed = vanilla().sign(None, now);
    signed.headers.push(("x-amz-target".to_owned(), "Other.Operation".to_owned()));
    assert_eq!(signed.verify(now), Err(SignatureError::NotSigned(HeaderName::from_static("x-amz-target"))));
    let mut signed = vanilla().sign(None, now);
    signed.headers.retain(|(name, _)| name != "host");
    assert_eq!(signed.verify(now), Err(SignatureError::Absent));
    let mut signed = vanilla().sign(None, now);
    for (_, value) in signed.headers.iter_mut().filter(|(name, _)| name == "authorization") {
        *value = value.replace("host;", "");
    }
    assert_eq!(signed.verify(now), Err(SignatureError::HostNotSigned));
}

#[test]
fn the_authority_of_http2_counts_as_host_by_either_name() {
    for name in ["host", ":authority"] {
        let headers = HeaderMap::from_iter([(HeaderName::from_static(DATE), HeaderValue::from_static("20261122T000000Z"))]);
        let value = format!(
            "AWS4-HMAC-SHA256 Credential=A/20261122/r/s/aws4_request, SignedHeaders={name};x-amz-date, Signature={EMPTY_SHA256}"
        );
        let authorization = Authorization::parse(&value).unwrap();
        let mut received = Received { method: "GET", path: "/", query: "", headers: &headers, authority: Some("gw:443") };
        let canonical = received.pending(&authorization, &[]).unwrap().canonical;
        let canonical = String::from_utf8(canonical).unwrap();
        assert!(canonical.starts_with(&format!("GET\n/\n\n{name}:gw:443\nx-amz-date:")), "{canonical}");
        received.authority = None;
        assert!(received.pending(&authorization, &[]).is_err());
    }
}

#[test]
fn what_signers_never_write_is_refused() {
    let good = format!("AWS4-HMAC-SHA256 Credential=A/20261122/r/s/aws4_request, SignedHeaders=a;b, Signature={EMPTY_SHA256}");
    assert!(Authorization::parse(&good).is_ok());
    assert!(Authorization::parse(&good.replace(", ", ",")).is_ok());
    for (from, to) in [
        ("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA512 "),
        ("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256"),
        ("/s/", "/"),
        ("/s/", "/s/s/"),
        ("aws4_request", "aws4_Request"),
        ("a;b", "b;a"),
        ("a;b", "a;a"),
        ("a;b", "A;b"),
        ("SignedHeaders=a;b, ", ""),
        ("SignedHeaders=a;b", "SignedHeaders=a, SignedHeaders=a;b"),
        ("Signature=e3", "Signature=E3"),
        ("Signature=e3", "Signature="),
        ("Signature=e3", "Signature=e"),
        (", Signature", ", X=1, Signature"),
        ("Credential", "credential"),
    ] {
        assert!(Authorization::parse(&good.replacen(from, to, 1)).is_err(), "{from} → {to}");
    }
}

#[test]
fn dates_and_payloads_are_read_strictly() {
    assert_eq!(parse_date("19700101T000010Z"), Some(UNIX_EPOCH + Duration::from_secs(10)));
    for text in [
        "",
        "20150830T1236007",
        "20150830 123600Z",
        "2015083xT123600Z",
        "20151330T123600Z",
        "+0150830T123600Z",
        "20150830T123600Z ",
    ] {
        assert_eq!(parse_date(text), None, "{text}");
    }
    let payload = |value: &str| {
        let headers = HeaderMap::from_iter([(HeaderName::from_static(PAYLOAD_HASH), HeaderValue::from_str(value).unwrap())]);
        Received { method: "GET", path: "/", query: "", headers: &headers, authority: None }.payload()
    };
    assert_eq!(payload(EMPTY_SHA256), Ok(Payload::Announced(EMPTY_SHA256.to_owned())));
    assert_eq!(payload(SIGNED_EVENTS), Ok(Payload::SignedEvents));
    for value in ["", "UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "e3b0", &EMPTY_SHA256.to_uppercase()] {
        assert_eq!(payload(value), Err(SignatureError::UnsignedPayload), "{value}");
    }
}
