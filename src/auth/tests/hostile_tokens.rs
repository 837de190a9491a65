//! Tokens that must not get in, and beside them the honest ones that look alike and must.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::*;

fn raw_header(header: &str) -> String {
    keys().ec.sign(header, &claims().to_string())
}

#[test]
fn honest_tokens_of_every_key_get_in() {
    let fixture = fixture();
    let ed = json!({ "alg": "EdDSA", "kid": "ed" });
    for token in [good_token(), keys().sign_rs256(&claims()), keys().sign_ed(&ed, &claims())] {
        assert_eq!(fixture.verdict(&token), "acme/alice");
    }
    let minted = keys().ec.mint(ISSUER, AUDIENCE, "acme", "bob", Duration::from_secs(60), at(NOW));
    let principal = fixture.authenticator.authenticate_token(&minted, at(NOW)).unwrap();
    assert_eq!((&*principal.issuer, &*principal.subject, principal.expires_at), ("corp", "bob", at(NOW + 60)));
}

#[test]
fn headers_choose_a_key_and_nothing_else() {
    let mut cases = Vec::new();
    let mut case = |changes: Value, expected| {
        cases.push((changes.to_string(), sign(&with(header(), changes.clone()), &claims()), expected));
    };
    for name in ["crit", "b64", "zip", "jku", "jwk", "x5u", "x5c"] {
        for value in [json!([]), json!(["exp"]), json!(true), json!(false), json!("DEF"), json!({}), json!(0), json!("")] {
            case(json!({ name: value }), "token_header_forbidden");
        }
    }
    case(json!({ "jku": "https://evil.example/keys" }), "token_header_forbidden");
    case(json!({ "jwk": keys().ec_jwk() }), "token_header_forbidden");
    for value in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT"] {
        case(json!({ "typ": value }), "acme/alice");
    }
    case(json!({ "typ": null }), "acme/alice");
    for value in
        ["", "JOSE", "logout+jwt", "dpop+jwt", "secevent+jwt", "id_token", "JWT ", "application/application/jwt", "text/jwt"]
    {
        case(json!({ "typ": value }), "token_type");
    }
    for value in [json!(1), json!(["JWT"]), json!({}), json!(true)] {
        case(json!({ "typ": value }), "token_type");
    }
    for value in [json!("JWT"), json!("jwt"), json!("JSON"), json!(1)] {
        case(json!({ "cty": value }), "token_type");
    }
    let other_algorithms = ["none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "RS256", "RS512", "PS256", "ES384"];
    for value in
        other_algorithms.into_iter().chain(["ES512", "ES256K", "EdDSA", "es256", "ES256 ", "Ed25519", "dir", "RSA1_5", "ES256\0"])
    {
        case(json!({ "alg": value }), "algorithm");
    }
    for value in [json!(1), json!(["ES256"]), json!({}), json!(false), Value::Null] {
        case(json!({ "alg": value }), "token_malformed");
    }
    let traversals = [
        "../../../../etc/passwd",
        "/dev/null",
        "keys.json",
        "' OR 1=1 --",
        "$(id)",
        "http://evil.example/key",
        "*",
        "",
        ".",
        "\0",
    ];
    for value in traversals.into_iter().chain(["RSA", "rsa ", "../rsa", "RSA/rsa", "rsa\0", "\u{202e}rsa"]) {
        case(json!({ "kid": value }), "key_unknown");
    }
    for value in [json!(0), json!(["rsa"]), json!({}), json!(true), json!("k".repeat(257))] {
        case(json!({ "kid": value }), "token_malformed");
    }
    case(json!({ "kid": null }), "key_unknown"); // every key of the set has a name, so a token must name one
    case(json!({ "kid": "rsa" }), "algorithm"); // swapped: the key is for RS256
    case(json!({ "kid": "rsa", "alg": "RS256" }), "signature");
    case(json!({ "kid": "ed" }), "algorithm");
    case(json!({ "kid": "ed", "alg": "EdDSA" }), "signature");
    case(json!({ "kid": "ed", "alg": "Ed25519" }), "signature");
    case(json!({ "x5t": "thumbprint", "nonce": "Entra's" }), "acme/alice");
    assert_verdicts(cases);
}

#[test]
fn shared_secrets_made_of_public_keys_sign_nothing() {
    let ec_pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", keys().ec_jwk()["x"].as_str().unwrap());
    let secrets = [
        keys().rsa_jwk()["n"].to_string().into_bytes(),
        URL_SAFE_NO_PAD.decode(keys().rsa_jwk()["n"].as_str().unwrap()).unwrap(),
        keys().ec.key_set_json().into_bytes(),
        ec_pem.into_bytes(),
        Vec::new(),
        b"secret".to_vec(),
    ];
    let mut cases = Vec::new();
    for (secret, kid) in secrets.iter().flat_map(|secret| [(secret, "rsa"), (secret, keys().ec.key_id()), (secret, "ed")]) {
        for (written, algorithm) in [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)] {
            let signed = format!("{}.{}", b64(json!({ "alg": written, "kid": kid }).to_string()), b64(claims().to_string()));
            let tag = hmac::sign(&hmac::Key::new(algorithm, secret), signed.as_bytes());
            cases.push((format!("{written} {kid}"), format!("{signed}.{}", b64(tag)), "algorithm"));
        }
    }
    assert_verdicts(cases);
}

#[test]
fn an_rsa_key_without_alg_is_pinned_to_the_first_that_is_configured() {
    let ps_first = fixture_of(Issuer { algorithms: vec![Algorithm::PS256, Algorithm::RS256], ..issuer() });
    let rs_only = fixture();
    let (rs, ps) = (keys().sign_rs256(&claims()), keys().sign_ps256(&claims()));
    assert_eq!((rs_only.verdict(&rs), rs_only.verdict(&ps)), ("acme/alice".into(), "algorithm".into()));
    assert_eq!((ps_first.verdict(&rs), ps_first.verdict(&ps)), ("algorithm".into(), "acme/alice".into()));
    assert_eq!(ps_first.verdict(&good_token()), "algorithm"); // ES256 is not configured
}

#[test]
fn repeated_members_are_refused_at_any_depth() {
    let body = claims().to_string();
    let body = body.trim_matches(['{', '}']);
    let head = header().to_string();
    let head = head.trim_matches(['{', '}']);
    let mut cases = Vec::new();
    for repeated in [
        r#""iss":"https://id.corp.example""#,
        r#""tenant":"globex""#,
        r#""ten\u0061nt":"globex""#,
        r#""sub":"alice""#,
        r#""exp":1"#,
        r#""aud":"other""#,
        r#""unknown":1,"unknown":1"#,
        r#""deep":{"a":{"b":1,"b":2}}"#,
        r#""list":[{"a":1,"\u0061":1}]"#,
    ] {
        cases.push((repeated.to_owned(), raw_claims(&format!("{{{body},{repeated}}}")), "token_malformed"));
        cases.push((format!("first {repeated}"), raw_claims(&format!("{{{repeated},{body}}}")), "token_malformed"));
    }
    for repeated in [r#""alg":"none""#, r#""\u0061lg":"ES256""#, r#""kid":"rsa""#, r#""typ":"JWT""#, r#""x":{"y":1,"y":1}"#] {
        cases.push((repeated.to_owned(), raw_header(&format!("{{{head},{repeated}}}")), "token_malformed"));
    }
    assert_verdicts(cases);
}

#[test]
fn what_is_not_a_json_object_is_malformed() {
    let good = good_token();
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let body = claims().to_string();
    let bodies = [
        "",
        " ",
        "null",
        "1",
        "\"text\"",
        "[]",
        "{",
        "{}}",
        "{} {}",
        "{'iss':1}",
        "{\"a\":1,}",
        "\u{feff}{}",
        "{\"a\":\"\\ud800\"}",
        "//{}\n{}",
        &deep,
        &good,
        "{\"a\":\"\n\"}",
        "{a:1}",
        "<html>",
    ];
    let mut cases: Vec<_> = bodies.iter().map(|body| (format!("claims {body}"), raw_claims(body), "token_malformed")).collect();
    cases.extend(bodies.iter().map(|head| (format!("header {head}"), raw_header(head), "token_malformed")));
    cases.push(("nested as string".into(), raw_claims(&json!(good).to_string()), "token_malformed"));
    cases.push(("byte order mark".into(), raw_claims(&format!("\u{feff}{body}")), "token_malformed"));
    cases.push(("header as an array".into(), raw_header(r#"["ES256",null]"#), "token_malformed"));
    cases.push(("header without alg".into(), raw_header("{}"), "token_malformed"));
    let latin1 = format!("{}.{}.{}", b64(header().to_string()), b64(b"{\"iss\":\"\xe9\"}"), b64([1; 64]));
    cases.push(("latin 1".into(), latin1, "token_malformed"));
    let utf16: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
    cases.push(("utf-16".into(), format!("{}.{}.{}", b64(header().to_string()), b64(utf16), b64([1; 64])), "token_malformed"));
    assert_verdicts(cases);
}

#[test]
fn a_token_has_one_spelling() {
    let good = good_token();
    let [head, body, signature]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let standard = |text: &str| text.replace('-', "+").replace('_', "/");
    let mut cases = vec![
        ("empty", String::new()),
        ("dots", "..".into()),
        ("one segment", head.into()),
        ("two segments", format!("{head}.{body}")),
        ("no signature", format!("{head}.{body}.")),
        ("no header", format!(".{body}.{signature}")),
        ("no claims", format!("{head}..{signature}")),
        ("four segments", format!("{good}.{signature}")),
        ("five segments, as in JWE", format!("{good}.{signature}.{signature}")),
        ("trailing dot", format!("{good}.")),
        ("leading dot", format!(".{good}")),
        ("padded signature", format!("{good}=")),
        ("doubly padded signature", format!("{good}==")),
        ("padded claims", format!("{head}.{body}=.{signature}")),
        ("leading space", format!(" {good}")),
        ("trailing space", format!("{good} ")),
        ("trailing line break", format!("{good}\n")),
        ("line break inside", format!("{head}.\n{body}.{signature}")),
        ("zero byte", format!("{good}\0")),
        ("scheme left in", format!("Bearer {good}")),
        ("quoted", format!("\"{good}\"")),
        ("not base64", format!("{head}.{body}.!!!!")),
        ("percent", format!("{good}%3D")),
        ("not ascii", format!("{head}.{body}é.{signature}")),
        ("JSON serialization", json!({ "payload": body, "protected": head, "signature": signature }).to_string()),
        ("Bedrock API key", "ABSKQmVkcm9ja0FQSUtleS1hYmNkOnNlY3JldA==".into()),
        ("too long", format!("{head}.{}.{signature}", "A".repeat(16 * 1024))),
    ];
    if standard(signature) != signature {
        cases.push(("standard alphabet", format!("{head}.{body}.{}", standard(signature))));
    }
    // 64 bytes are 86 characters, the last of which has four bits to spare.
    let (kept, last) = signature.split_at(signature.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let index = alphabet.find(last).unwrap();
    for spare in 1..16 {
        cases.push(("spare bits", format!("{head}.{body}.{kept}{}", &alphabet[index + spare..=index + spare])));
    }
    assert_verdicts(cases.into_iter().map(|(name, token)| (name.to_owned(), token, "token_malformed")));
}

#[test]
fn signatures_verify_or_the_token_is_refused() {
    let good = good_token();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let other = keys().other_ec.sign(&header().to_string(), &claims().to_string());
    let globex = b64(with(claims(), json!({ "tenant": "globex" })).to_string());
    let (head, _) = signed.split_once('.').unwrap();
    // ECDSA's other encoding (ASN.1), as OpenSSL makes it: SEQUENCE { INTEGER r, INTEGER s }.
    let (r, s) = bytes.split_at(32);
    let der = [&[0x30, 70, 2, 33, 0][..], r, &[2, 33, 0], s].concat();
    let mut cases = vec![
        ("another key's", other.rsplit_once('.').unwrap().1.to_owned()),
        ("zeros", b64([0; 64])), // CVE-2022-21449
        ("ones", b64([255; 64])),
        ("one byte", b64([0])),
        ("one byte too few", b64(&bytes[..63])),
        ("one byte too many", b64([&bytes[..], &[0]].concat())),
        ("leading zero", b64([&[0], &bytes[..]].concat())),
        ("r and s exchanged", b64([s, r].concat())),
        ("r, then zeros", b64([r, &[0; 32]].concat())),
        ("ASN.1", b64(der)),
        ("an HMAC's size", b64([7; 32])),
        ("P-384's size", b64([7; 96])),
        ("RSA's size", b64([7; 256])),
    ]
    .into_iter()
    .map(|(name, signature)| (name.to_owned(), format!("{signed}.{signature}"), "signature"))
    .collect::<Vec<_>>();
    cases.push(("another tenant's claims".into(), format!("{head}.{globex}.{signature}"), "signature"));
    let ed = keys().sign_ed(&json!({ "alg": "EdDSA", "kid": "ed" }), &claims());
    cases.push(("Ed25519 with zeros".into(), format!("{}.{}", ed.rsplit_once('.').unwrap().0, b64([0; 64])), "signature"));
    for length in 1..bytes.len() {
        cases.push((format!("cut to {length}"), format!("{signed}.{}", b64(&bytes[..length])), "signature"));
    }
    assert_verdicts(cases);
}

#[test]
fn issuers_do_not_vouch_for_each_other() {
    let partner = Issuer { issuer: "https://partner.example".into(), audiences: vec!["partner".into()], ..issuer() };
    let issuers = BTreeMap::from([("corp".to_owned(), issuer()), ("partner".to_owned(), partner)]);
    let key_sets = Arc::new(KeySets::new());
    key_sets.store("corp", keys().set());
    let authenticator = Authenticator::new(&issuers, Arc::clone(&key_sets), Arc::new(TokenCache::default()));
    let theirs = with(claims(), json!({ "iss": "https://partner.example", "aud": "partner" }));
    let verdict = |token: &str| match authenticator.authenticate_token(token, at(NOW)) {
        Ok(principal) => principal.issuer.to_string(),
        Err(error) => error.reason().to_owned(),
    };

    assert_eq!(verdict(&sign(&header(), &theirs)), "keys_unavailable");
    let their_keys = KeySet::parse(keys().other_ec.key_set_json().as_bytes()).unwrap().0;
    key_sets.store("partner", their_keys);
    assert_eq!(verdict(&sign(&header(), &theirs)), "key_unknown");
    let their_header = with(header(), json!({ "kid": keys().other_ec.key_id() }));
    assert_eq!(verdict(&keys().other_ec.sign(&their_header.to_string(), &theirs.to_string())), "partner");
    let for_us = with(theirs, json!({ "aud": AUDIENCE }));
    assert_eq!(verdict(&keys().other_ec.sign(&their_header.to_string(), &for_us.to_string())), "audience");
    assert_eq!(verdict(&keys().other_ec.sign(&their_header.to_string(), &claims().to_string())), "key_unknown");
    assert_eq!(verdict(&good_token()), "corp");
}

#[test]
fn refusals_quote_nothing_of_the_token() {
    let marker = "cAnArY9";
    let fixture = fixture();
    let marked = |changes: Value| sign(&header(), &with(claims(), changes));
    let tokens = [
        marked(json!({ "iss": marker })),
        marked(json!({ "aud": marker })),
        marked(json!({ "tenant": format!("{marker}*") })),
        marked(json!({ "sub": format!(" {marker}") })),
        marked(json!({ "exp": marker })),
        sign(&with(header(), json!({ "kid": marker })), &claims()),
        sign(&with(header(), json!({ "alg": marker })), &claims()),
        sign(&with(header(), json!({ "typ": marker })), &claims()),
        format!("{marker}.{marker}.{marker}"),
    ];
    for token in tokens {
        let error = fixture.authenticator.authenticate_token(&token, at(NOW)).unwrap_err();
        let said = format!("{error} {error:?} {}", error.reason());
        assert!(!said.contains(marker) && !said.contains(&token), "{said}");
    }
    let principal = fixture.authenticator.authenticate_token(&good_token(), at(NOW)).unwrap();
    assert!(!format!("{principal:?} {:?} {:?}", fixture.authenticator, fixture.cache).contains("eyJ"));
}
