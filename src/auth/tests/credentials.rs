//! The one token of a request, among everything that clients and attackers send.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::auth::credential::{CredentialError, extract, query_carries_credential};

const SIGV4: &str =
    "AWS4-HMAC-SHA256 Credential=placeholder/20261122/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=00";

fn headers(lines: &[(&str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

fn found(lines: &[(&str, &[u8])]) -> Result<String, CredentialError> {
    extract(&headers(lines)).map(|credential| credential.token().to_owned())
}

#[test]
fn each_place_that_an_sdk_uses_is_read() {
    let token = Ok("a.b.c".to_owned());
    assert_eq!(found(&[("authorization", b"Bearer a.b.c")]), token);
    assert_eq!(found(&[("authorization", b"bEaReR   a.b.c")]), token);
    assert_eq!(found(&[("x-amz-security-token", b"a.b.c")]), token);
    assert_eq!(found(&[("x-amz-security-token", b"a.b.c"), ("authorization", SIGV4.as_bytes())]), token);
    assert_eq!(found(&[("x-api-key", b"a.b.c")]), token);
    assert_eq!(found(&[("x-api-key", b"a.b.c"), ("authorization", b"Bearer a.b.c"), ("x-amz-security-token", b"a.b.c")]), token);
}

#[test]
fn nothing_and_permanent_keys_are_told_apart() {
    assert_eq!(found(&[]), Err(CredentialError::Missing));
    assert_eq!(found(&[("x-other", b"a.b.c")]), Err(CredentialError::Missing));
    assert_eq!(found(&[("authorization", SIGV4.as_bytes())]), Err(CredentialError::NoSessionToken));
    assert_eq!(found(&[("authorization", b"AWS4-ECDSA-P256-SHA256 Credential=x")]), Err(CredentialError::NoSessionToken));
    assert!(CredentialError::NoSessionToken.to_string().contains("AWS_SESSION_TOKEN"));
}

#[test]
fn two_tokens_are_refused() {
    for lines in [
        [("authorization", &b"Bearer a.b.c"[..]), ("x-api-key", b"a.b.d")],
        [("authorization", b"Bearer a.b.c"), ("x-amz-security-token", b"A.b.c")],
        [("x-api-key", b"a.b.c"), ("x-amz-security-token", b"a.b.c.d")],
    ] {
        assert_eq!(found(&lines), Err(CredentialError::Conflicting));
    }
    let three: [(&str, &[u8]); 3] = [("authorization", b"Bearer a"), ("x-amz-security-token", b"a"), ("x-api-key", b"b")];
    assert_eq!(found(&three), Err(CredentialError::Conflicting));
}

#[test]
fn repeated_headers_are_refused_even_when_equal() {
    for (name, value) in [
        ("authorization", &b"Bearer a.b.c"[..]),
        ("authorization", SIGV4.as_bytes()),
        ("x-api-key", b"a.b.c"),
        ("x-amz-security-token", b"a.b.c"),
    ] {
        assert!(matches!(found(&[(name, value), (name, value)]), Err(CredentialError::Repeated(_))), "{name}");
    }
    let mixed: [(&str, &[u8]); 3] =
        [("x-api-key", b"a.b.c"), ("authorization", b"Bearer a.b.c"), ("authorization", SIGV4.as_bytes())];
    assert_eq!(found(&mixed), Err(CredentialError::Repeated("Authorization")));
}

#[test]
fn other_schemes_are_refused_even_beside_a_token() {
    for value in [
        "Basic YTpi",
        "basic YTpi",
        "Digest x",
        "Negotiate x",
        "a.b.c",
        "Bearer:a.b.c",
        "Bearer\ta.b.c",
        "Token a.b.c",
        "BearerX a",
    ] {
        assert_eq!(found(&[("authorization", value.as_bytes())]), Err(CredentialError::UnsupportedScheme), "{value}");
        let beside: [(&str, &[u8]); 2] = [("authorization", value.as_bytes()), ("x-api-key", b"a.b.c")];
        assert_eq!(found(&beside), Err(CredentialError::UnsupportedScheme), "{value}");
    }
}

#[test]
fn malformed_tokens_are_refused_in_every_place() {
    let too_long = vec![b'a'; 16 * 1024 + 1];
    let tokens: [&[u8]; 9] = [b"", b"a b", b"a\tb", b" a", b"a ", b"\xe9", "а.b.c".as_bytes(), b"a\xff", b"a.b.c, d.e.f"];
    for token in tokens {
        for name in ["x-api-key", "x-amz-security-token"] {
            assert!(matches!(found(&[(name, token)]), Err(CredentialError::Malformed(_))), "{name} {token:?}");
        }
        if token != b" a" {
            let bearer = [b"Bearer ", token].concat();
            assert!(matches!(found(&[("authorization", &bearer)]), Err(CredentialError::Malformed(_))), "{token:?}");
        }
    }
    assert_eq!(found(&[("authorization", b"Bearer")]), Err(CredentialError::Malformed("Authorization")));
    assert_eq!(found(&[("authorization", b"")]), Err(CredentialError::Malformed("Authorization")));
    assert_eq!(found(&[("x-api-key", &too_long)]), Err(CredentialError::TooLong("x-api-key")));
    assert!(found(&[("x-api-key", &too_long[1..])]).is_ok());
    // A bad token is not forgiven because a good one stands beside it.
    assert!(found(&[("x-api-key", b""), ("authorization", b"Bearer a.b.c")]).is_err());
}

#[test]
fn credentials_do_not_print() {
    let headers = headers(&[("x-api-key", b"secret.secret.secret")]);
    assert!(!format!("{:?}", extract(&headers).unwrap()).contains("secret"));
}

#[test]
fn tokens_in_query_strings_are_seen() {
    for query in [
        "access_token=a.b.c",
        "a=1&X-Amz-Security-Token=x",
        "x-amz-security-token=x",
        "X-Amz-Credential=x&b=2",
        "X-Amz-Signature",
        "X%2DAmz%2dSignature=1",
        "%61ccess_token=a",
        "ACCESS%5FTOKEN=a",
        "id_token=",
        "a;jwt=1",
        "Authorization=Bearer+x",
        "api_key=1",
        "x-api-key=1",
        "&&bearer=1",
        "jwt",
    ] {
        assert!(query_carries_credential(query), "{query}");
    }
    for query in [
        "",
        "&",
        "=",
        "type=SYSTEM_DEFINED",
        "nextToken=abc",
        "tagKeys=a&tagKeys=jwtx",
        "a=access_token",
        "%",
        "%zz=1",
        "%6=1",
        "x=jwt",
        "access_tokens=1",
        "%2561ccess_token=1",
    ] {
        assert!(!query_carries_credential(query), "{query}");
    }
}
