//! Key sets with bad keys in them, and documents that are none.

use serde_json::json;

use super::*;
use crate::auth::{
    key::KeyRefusal::{self, *},
    key_set::{KEY_SET_BYTES_MAX, KEYS_MAX, KeySetError},
};

/// `key` between two good ones: they serve, and it is set aside for `refusal`.
#[track_caller]
fn assert_set_aside(key: Value, refusal: KeyRefusal) {
    let document = json!({ "keys": [keys().ed_jwk(), key, keys().rsa_jwk()] });
    let (set, problems) = KeySet::parse(document.to_string().as_bytes()).unwrap();
    let found: Vec<_> = problems.iter().map(|problem| (problem.index, problem.refusal)).collect();
    assert_eq!(found, [(1, refusal)], "{document}");
    assert!(set.named("ed").is_some() && set.named("rsa").is_some() && set.usable() == 2);
}

fn ec(changes: Value) -> Value {
    with(keys().ec_jwk(), changes)
}

fn rsa(changes: Value) -> Value {
    with(with(keys().rsa_jwk(), json!({ "kid": "changed" })), changes)
}

#[test]
fn bad_keys_are_set_aside_and_good_ones_serve() {
    for value in [json!(null), json!(1), json!("key"), json!([]), json!(true), json!(1.5), json!([{}])] {
        assert_set_aside(value, NotAnObject);
    }
    assert_set_aside(json!({}), UnsupportedType);
    for value in [json!("ec"), json!("AKP"), json!(""), json!(1), json!(["EC"]), json!("RSA\0")] {
        assert_set_aside(ec(json!({ "kty": value })), UnsupportedType);
    }
    assert_set_aside(ec(json!({ "kty": "RSA" })), InvalidNumbers);
    assert_set_aside(json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "s", "alg": "HS256" }), SharedSecret);
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        assert_set_aside(ec(json!({ name: "AQAB" })), Private);
        assert_set_aside(rsa(json!({ name: "AQAB" })), Private);
    }
    for value in [json!("enc"), json!("SIG"), json!(""), json!(["sig"]), json!(1)] {
        assert_set_aside(ec(json!({ "use": value })), NotForSignatures);
    }
    for value in
        [json!([]), json!(["sign"]), json!("verify"), json!(["VERIFY"]), json!([1]), json!({}), json!(["encrypt", "wrapKey"])]
    {
        assert_set_aside(ec(json!({ "key_ops": value })), NotForVerification);
    }
    for value in ["P-521", "secp256k1", "P-192", "p-256", "Ed25519", "", "prime256v1"] {
        assert_set_aside(ec(json!({ "crv": value })), UnsupportedCurve);
    }
    assert_set_aside(ec(json!({ "crv": null })), UnsupportedCurve);
    assert_set_aside(ec(json!({ "crv": "P-384" })), InvalidNumbers);
    for value in [
        json!("RS256"),
        json!("ES384"),
        json!("ES512"),
        json!("HS256"),
        json!("none"),
        json!("es256"),
        json!(1),
        json!(["ES256"]),
    ] {
        assert_set_aside(ec(json!({ "alg": value })), UnfitAlgorithm);
    }
    for value in ["ES256", "RSA-OAEP", "RS1", "HS256", ""] {
        assert_set_aside(rsa(json!({ "alg": value })), UnfitAlgorithm);
    }
    for value in [json!(""), json!(1), json!(["a"]), json!({}), json!("k".repeat(257))] {
        assert_set_aside(ec(json!({ "kid": value })), InvalidKeyId);
    }
    for crv in ["Ed448", "X25519", "P-256", ""] {
        let key = with(keys().ed_jwk(), json!({ "kid": "okp", "crv": crv }));
        assert_set_aside(key, UnsupportedCurve);
    }
    let x25519 = with(keys().ed_jwk(), json!({ "kid": "okp", "x": b64([1; 31]) }));
    assert_set_aside(x25519, InvalidNumbers);
}

#[test]
fn ed25519_is_eddsas_other_name() {
    let named = |alg: &str| key_set(&json!([with(keys().ed_jwk(), json!({ "alg": alg }))]));
    assert!(named("Ed25519").same_keys(&named("EdDSA")));
    for alg in ["Ed448", "ed25519", "ES256", ""] {
        assert_set_aside(with(keys().ed_jwk(), json!({ "kid": "okp", "alg": alg })), UnfitAlgorithm);
    }
    assert_set_aside(ec(json!({ "alg": "Ed25519" })), UnfitAlgorithm);
    assert_set_aside(rsa(json!({ "alg": "Ed25519" })), UnfitAlgorithm);
    let token = |alg: &str| keys().sign_ed(&json!({ "alg": alg, "kid": "ed" }), &claims());
    let verdicts = ["Ed25519", "EdDSA", "Ed448", "ed25519"].map(|alg| fixture().verdict(&token(alg)));
    assert_eq!(verdicts, ["acme/alice", "acme/alice", "algorithm", "algorithm"]);
}

#[test]
fn numbers_must_make_a_key() {
    let x = keys().ec_jwk()["x"].as_str().unwrap().to_owned();
    for value in
        [json!(""), json!(1), json!(null), json!("!"), json!(format!("{x}=")), json!(b64([0; 32])), json!(b64([255; 32]))]
    {
        assert_set_aside(ec(json!({ "x": value })), InvalidNumbers);
    }
    assert_set_aside(ec(json!({ "y": x })), InvalidNumbers); // not on the curve
    assert_set_aside(ec(json!({ "x": b64([0; 32]), "y": b64([0; 32]) })), InvalidNumbers); // the point at infinity, as some write it
    assert_set_aside(ec(json!({ "x": b64([0; 33]) })), InvalidNumbers);
    for value in
        [json!(""), json!("AA"), json!("AQ"), json!("Ag"), json!(b64([255; 9])), json!("AQAB="), json!(null), json!(65537)]
    {
        assert_set_aside(rsa(json!({ "e": value })), InvalidNumbers);
    }
    for value in [json!(null), json!(1), json!("!"), json!([])] {
        assert_set_aside(rsa(json!({ "n": value })), InvalidNumbers);
    }
    let modulus = |bits: usize| {
        let mut bytes = vec![0xff; bits.div_ceil(8)];
        bytes[0] = 0xff >> (bytes.len() * 8 - bits);
        b64(bytes)
    };
    for bits in [1, 512, 1024, 2040, 2047, 8193, 16_384] {
        assert_set_aside(rsa(json!({ "n": modulus(bits) })), RsaSize);
    }
    let (set, problems) = KeySet::parse(json!({ "keys": [rsa(json!({ "n": modulus(2048) }))] }).to_string().as_bytes()).unwrap();
    assert!(problems.is_empty() && set.usable() == 1);
    // 2,047 bits with zeros before them are no more bits.
    assert_set_aside(rsa(json!({ "n": b64([vec![0; 64], vec![0x7f; 256]].concat()) })), RsaSize);
}

#[test]
fn a_leading_zero_that_some_libraries_write_is_forgiven() {
    let modulus = URL_SAFE_NO_PAD.decode(keys().rsa_jwk()["n"].as_str().unwrap()).unwrap();
    let padded = with(keys().rsa_jwk(), json!({ "n": b64([vec![0], modulus].concat()) }));
    let fixture = fixture();
    fixture.key_sets.store("corp", key_set(&json!([padded])));
    assert_eq!(fixture.verdict(&keys().sign_rs256(&claims())), "acme/alice");
}

#[test]
fn repeated_key_ids_are_all_refused() {
    let twin = with(keys().ed_jwk(), json!({ "kid": keys().ec.key_id() }));
    let encrypting = with(keys().rsa_jwk(), json!({ "use": "enc" }));
    let document = json!({ "keys": [keys().ec_jwk(), twin, keys().ed_jwk(), keys().rsa_jwk(), encrypting] });
    let (set, problems) = KeySet::parse(document.to_string().as_bytes()).unwrap();
    let refusals: Vec<_> = problems.iter().map(|problem| (problem.index, problem.refusal)).collect();
    assert_eq!(refusals, [(0, RepeatedKeyId), (1, RepeatedKeyId), (3, RepeatedKeyId), (4, NotForSignatures)]);
    assert!(set.usable() == 1 && set.named("ed").is_some());
}

#[test]
fn repeated_members_spoil_their_key_only() {
    let ec = keys().ec_jwk().to_string();
    let twice = ec.replacen('{', r#"{"kid":"other","\u006bid":"third","#, 1);
    let document = format!(r#"{{"keys":[{twice},{}]}}"#, keys().ed_jwk());
    let (set, problems) = KeySet::parse(document.as_bytes()).unwrap();
    assert_eq!(problems.iter().map(|problem| problem.refusal).collect::<Vec<_>>(), [NotAnObject]);
    assert_eq!(set.usable(), 1);
}

#[test]
fn keys_without_a_name_serve_tokens_without_one() {
    let nameless = |key: Value| with(key, json!({ "kid": null }));
    let fixture = fixture();
    let token = sign(&with(header(), json!({ "kid": null })), &claims());

    fixture.key_sets.store("corp", key_set(&json!([nameless(keys().ec_jwk()), nameless(keys().rsa_jwk()), keys().ed_jwk()])));
    assert_eq!(fixture.verdict(&token), "acme/alice");
    assert_eq!(fixture.verdict(&good_token()), "key_unknown"); // it names a key, and none has that name
    let rs256 = keys().sign_rsa(&RSA_PKCS1_SHA256, &json!({ "alg": "RS256" }), &claims());
    assert_eq!(fixture.verdict(&rs256), "acme/alice");
    let mismatched = keys().sign_rsa(&RSA_PKCS1_SHA256, &json!({ "alg": "ES256" }), &claims());
    assert_eq!(fixture.verdict(&mismatched), "signature");

    let other: Value = serde_json::from_str(&keys().other_ec.key_set_json()).unwrap();
    let two = json!({ "keys": [nameless(keys().ec_jwk()), other["keys"][0], keys().ed_jwk()] });
    let (set, problems) = KeySet::parse(two.to_string().as_bytes()).unwrap();
    assert_eq!(problems.iter().map(|problem| (problem.index, problem.refusal)).collect::<Vec<_>>(), [(0, AmbiguousWithoutKeyId)]);
    fixture.key_sets.store("corp", set);
    assert_eq!(fixture.verdict(&token), "key_unknown");
}

#[test]
fn what_is_not_a_key_set_is_refused_whole() {
    let not_sets = [
        "",
        " ",
        "null",
        "[]",
        "{}",
        "[[]]",
        r#"{"keys":{}}"#,
        r#"{"keys":null}"#,
        r#"{"keys":[}"#,
        r#"{"keys":[]} x"#,
        r#"{"Keys":[]}"#,
        r#"{"keys":[],"keys":[]}"#,
        "<!DOCTYPE html><html></html>",
        "\u{feff}{\"keys\":[]}",
        r#"{"jwks_uri":"https://x"}"#,
        "{\"keys\":[1e999]}",
    ];
    for document in not_sets {
        assert_eq!(KeySet::parse(document.as_bytes()).unwrap_err(), KeySetError::NotAKeySet, "{document}");
    }
    assert_eq!(KeySet::parse(format!("[[{}]]", keys().ec_jwk()).as_bytes()).unwrap_err(), KeySetError::NotAKeySet);
    assert_eq!(KeySet::parse(br#"{"keys":[]}"#).unwrap_err(), KeySetError::NoUsableKey(Vec::new()));
    let deep = format!(r#"{{"keys":[{}{}]}}"#, "[".repeat(500), "]".repeat(500));
    assert_eq!(KeySet::parse(deep.as_bytes()).unwrap_err(), KeySetError::NotAKeySet);
}

#[test]
fn key_sets_have_bounds() {
    let named = |index: usize| with(keys().ed_jwk(), json!({ "kid": index.to_string() }));
    let of = |count: usize| json!({ "keys": (0..count).map(named).collect::<Vec<_>>() }).to_string();
    assert_eq!(KeySet::parse(of(KEYS_MAX).as_bytes()).unwrap().0.usable(), KEYS_MAX);
    assert_eq!(KeySet::parse(of(KEYS_MAX + 1).as_bytes()).unwrap_err(), KeySetError::TooManyKeys(KEYS_MAX + 1));
    let mut padded = of(1);
    padded.push_str(&" ".repeat(KEY_SET_BYTES_MAX - padded.len()));
    assert!(KeySet::parse(padded.as_bytes()).is_ok());
    padded.push(' ');
    assert_eq!(KeySet::parse(padded.as_bytes()).unwrap_err(), KeySetError::TooLarge);
}

#[test]
fn problems_say_which_key_and_why() {
    let document = json!({ "keys": [keys().ed_jwk(), ec(json!({ "kid": "a\nb", "use": "enc" }))] });
    let (_, problems) = KeySet::parse(document.to_string().as_bytes()).unwrap();
    assert_eq!(problems[0].to_string(), r#"keys[1] (kid "a\nb"): `use` is not `sig`"#);
}

#[test]
fn development_issuers_come_back_from_their_pem() {
    let issuer = DevelopmentIssuer::generate().unwrap();
    let again = DevelopmentIssuer::from_private_key_pem(issuer.private_key_pem()).unwrap();
    assert_eq!((issuer.key_id(), issuer.key_set_json()), (again.key_id(), again.key_set_json()));
    assert!(issuer.private_key_pem().lines().all(|line| line.len() <= 64));
    assert!(!format!("{issuer:?}").contains("PRIVATE"));
    for pem in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", &issuer.key_set_json()] {
        assert!(DevelopmentIssuer::from_private_key_pem(pem).is_err());
    }
    assert!(
        KeySet::parse(issuer.key_set_json().as_bytes()).is_ok_and(|(set, problems)| set.usable() == 1 && problems.is_empty())
    );
}
