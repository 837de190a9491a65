//! What holds for every input.

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::auth::{credential::extract, query_carries_credential};

#[test]
fn a_token_with_any_bit_flipped_is_refused() {
    let fixture = fixture();
    for token in [good_token(), keys().sign_rs256(&claims()), keys().sign_ed(&json!({ "alg": "EdDSA", "kid": "ed" }), &claims())]
    {
        assert_eq!(fixture.verdict(&token), "acme/alice");
        for (position, bit) in (0..token.len()).flat_map(|position| (0..8).map(move |bit| (position, bit))) {
            let mut bytes = token.clone().into_bytes();
            bytes[position] ^= 1 << bit;
            let mut headers = HeaderMap::new();
            // What no header can carry does not reach us.
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { continue };
            headers.insert("x-api-key", value);
            let verdict = fixture.authenticator.authenticate(&headers, at(NOW));
            assert!(verdict.is_err(), "bit {bit} of byte {position}");
        }
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(Value::from(NOW)),
        Just(Value::from(ISSUER)),
        Just(Value::from(AUDIENCE)),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..4)
                .prop_map(Value::from_iter::<std::collections::BTreeMap<String, Value>>),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_refused_without_a_panic(text in "\\PC{0,200}", seconds in any::<u32>()) {
        prop_assert!(fixture().authenticator.authenticate_token(&text, at(seconds.into())).is_err());
    }

    #[test]
    fn any_segments_are_refused_without_a_panic(head in any::<Vec<u8>>(), body in any::<Vec<u8>>(), signature in any::<Vec<u8>>()) {
        let token = format!("{}.{}.{}", b64(head), b64(&body), b64(&signature));
        prop_assert!(fixture().authenticator.authenticate_token(&token, at(NOW)).is_err());
        let known_header = format!("{}.{}.{}", b64(header().to_string()), b64(body), b64(signature));
        prop_assert!(fixture().authenticator.authenticate_token(&known_header, at(NOW)).is_err());
    }

    #[test]
    fn signed_claims_of_any_shape_yield_only_clean_names(
        name in prop::sample::select(vec!["iss", "aud", "sub", "tenant", "exp", "iat", "nbf", "other"]),
        value in json_value(),
        seconds in prop_oneof![Just(NOW), any::<u32>().prop_map(u64::from)],
    ) {
        let mut changed = claims();
        changed[name] = value;
        if let Ok(principal) = fixture().authenticator.authenticate_token(&sign(&header(), &changed), at(seconds)) {
            prop_assert!(principal.tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)));
            prop_assert!(!principal.subject.is_empty() && !principal.subject.chars().any(char::is_control));
            prop_assert!(principal.expires_at + Duration::from_secs(60) > at(seconds));
        }
    }

    #[test]
    fn any_headers_are_read_without_a_panic(value in any::<Vec<u8>>(), bearer in any::<bool>()) {
        let value = if bearer { [b"Bearer ".to_vec(), value].concat() } else { value };
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", value);
            if let Ok(credential) = extract(&headers) {
                prop_assert!(credential.token().bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }

    #[test]
    fn any_query_is_read_without_a_panic(query in "\\PC{0,60}", escapes in "[%&=+;a-f0-9]{0,40}") {
        query_carries_credential(&query);
        query_carries_credential(&escapes);
        let hidden = format!("{query}&access_token=1");
        prop_assert!(query_carries_credential(&hidden));
    }

    #[test]
    fn any_bytes_are_read_as_a_key_set_without_a_panic(bytes in any::<Vec<u8>>(), member in json_value()) {
        let _ = KeySet::parse(&bytes);
        for name in ["kty", "crv", "x", "y", "kid", "alg", "use", "key_ops", "n", "e"] {
            for mut key in [keys().ec_jwk(), keys().rsa_jwk(), keys().ed_jwk()] {
                key[name] = member.clone();
                let _ = KeySet::parse(json!({ "keys": [key] }).to_string().as_bytes());
            }
        }
    }
}
