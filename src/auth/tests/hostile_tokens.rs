//! Tokens that must not get in, and beside them the honest ones that look alike and must.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::*;

/// Signs claims written as text, so that they can be what no JSON library would write.
fn raw_claims(claims: &str) -> String {
    keys().ec.sign(&header().to_string(), claims)
}

fn raw_header(header: &str) -> String {
    keys().ec.sign(header, &claims().to_string())
}

#[track_caller]
fn assert_verdicts(cases: impl IntoIterator<Item = (String, String, &'static str)>) {
    let fixture = fixture();
    let mut wrong = Vec::new();
    for (name, token, expected) in cases {
        let verdict = fixture.verdict(&token);
        if verdict != expected {
            wrong.push(format!("{name}: {verdict}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
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
fn claims_have_exact_types_and_values() {
    let changed = |changes: Value| sign(&header(), &with(claims(), changes));
    let long_subject = "s".repeat(257);
    let long_tenant = "t".repeat(65);
    let mut cases = Vec::new();
    let mut case = |changes: Value, expected| cases.push((changes.to_string(), changed(changes.clone()), expected));

    // Absent.
    for (name, expected) in [("iss", "claim_missing"), ("aud", "claim_missing"), ("exp", "claim_missing")] {
        case(json!({ name: null }), expected);
    }
    case(json!({ "sub": null }), "claim_missing");
    case(json!({ "tenant": null }), "claim_missing");
    case(json!({ "iat": null }), "acme/alice");

    // iss: one string, exactly.
    for value in [json!([ISSUER]), json!(1), json!(true), json!({ "iss": ISSUER }), json!([])] {
        case(json!({ "iss": value }), "claim_invalid");
    }
    for value in ["", "https://id.corp.example/", "HTTPS://id.corp.example", " https://id.corp.example", "https://evil.example"] {
        case(json!({ "iss": value }), "issuer_unknown");
    }
    case(json!({ "iss": format!("{ISSUER}\0") }), "issuer_unknown");
    case(json!({ "iss": format!("{ISSUER}.evil.example") }), "issuer_unknown");
    case(json!({ "iss": "https://id.c\u{43e}rp.example" }), "issuer_unknown");

    // aud: a string or strings, one of them exactly ours.
    case(json!({ "aud": ["other", AUDIENCE] }), "acme/alice");
    case(json!({ "aud": "https://gateway.example" }), "acme/alice");
    for value in [json!([]), json!("other"), json!(["other"]), json!("TOLLGATE"), json!("tollgate "), json!("tollgat"), json!("")]
    {
        case(json!({ "aud": value }), "audience");
    }
    for value in [json!("*"), json!(["*"]), json!("tollgate,other"), json!("tollgate other"), json!("toll*")] {
        case(json!({ "aud": value }), "audience");
    }
    for value in
        [json!(1), json!(true), json!({ "aud": AUDIENCE }), json!([AUDIENCE, 1]), json!([[AUDIENCE]]), json!([AUDIENCE, {}])]
    {
        case(json!({ "aud": value }), "claim_invalid");
    }

    // sub.
    let tabbed = "ali\tce";
    let unprintable = ["", " alice", "alice ", "\nalice", tabbed, "ali\0ce", "ali\u{7f}ce", "ali\u{85}ce", "ali\u{a0}ce"];
    let invisible =
        ["ali\u{200b}ce", "ali\u{202e}ce", "ali\u{2066}ce", "\u{feff}alice", "ali\u{ad}ce", "ali\u{2028}ce", "a\u{e0061}"];
    for value in unprintable.into_iter().chain(invisible).chain([long_subject.as_str(), " ", "\u{3000}", "ali\r\nx-tenant: evil"])
    {
        case(json!({ "sub": value }), "claim_invalid");
    }
    for value in [json!(1), json!(["alice"]), json!({ "sub": "alice" }), json!(false), json!(1.5)] {
        case(json!({ "sub": value }), "claim_invalid");
    }
    case(json!({ "sub": "arn:aws:iam::1:role/x y" }), "acme/arn:aws:iam::1:role/x y");
    case(json!({ "sub": "Jörg Müller" }), "acme/Jörg Müller");

    // The tenant.
    let homoglyphs = ["\u{430}cme", "acm\u{435}", "ａcme", "acme\u{301}", "ac\u{200d}me", "\u{202e}emca", "acme\u{fe0f}"];
    let patterns =
        ["*", "ac*", "a?me", "[a]cme", "acme|globex", "%61cme", "acme/../globex", "acme,globex", "acme:globex", "^acme$"];
    let spaced =
        ["", " acme", "acme ", "ac me", "acme\n", "acme\0", "\tacme", "acme\r\n", "ac\u{a0}me", "acme;", "acme#", "\"acme\""];
    for value in homoglyphs.into_iter().chain(patterns).chain(spaced).chain([long_tenant.as_str()]) {
        case(json!({ "tenant": value }), "claim_invalid");
    }
    for value in [json!(1), json!(["acme"]), json!({ "name": "acme" }), json!(true), json!(0.5)] {
        case(json!({ "tenant": value }), "claim_invalid");
    }
    case(json!({ "tenant": "ACME" }), "ACME/alice"); // another tenant than acme: policy's question
    assert_verdicts(cases);
}

#[test]
fn null_is_not_absence() {
    let text = claims().to_string();
    let nulls = ["iss", "aud", "sub", "tenant", "exp", "iat", "nbf"].map(|name| {
        let mut object = claims();
        object[name] = Value::Null;
        (name.to_owned(), raw_claims(&object.to_string()), "claim_invalid")
    });
    assert_verdicts(nulls);
    assert_eq!(fixture().verdict(&raw_claims(&text)), "acme/alice");
}

#[test]
fn times_are_checked_against_now() {
    let mut cases = Vec::new();
    let mut case = |changes: Value, expected| {
        cases.push((changes.to_string(), sign(&header(), &with(claims(), changes.clone())), expected));
    };
    // The leeway is 60 seconds, and `exp` is the first instant at which the token is bad (RFC 7519 §4.1.4).
    case(json!({ "exp": NOW - 59 + 60 }), "acme/alice");
    case(json!({ "exp": NOW - 59, "iat": NOW - 100 }), "acme/alice");
    case(json!({ "exp": NOW - 60, "iat": NOW - 100 }), "expired");
    case(json!({ "exp": NOW - 1000, "iat": NOW - 2000 }), "expired");
    case(json!({ "exp": 0, "iat": null }), "expired");
    case(json!({ "exp": 1, "iat": null }), "expired");
    case(json!({ "exp": NOW as f64 + 0.5 }), "acme/alice");
    case(json!({ "exp": NOW as f64 - 60.5, "iat": NOW - 100 }), "expired");
    case(json!({ "nbf": NOW + 60 }), "acme/alice");
    case(json!({ "nbf": NOW + 61 }), "not_yet_valid");
    case(json!({ "nbf": NOW as f64 + 60.5 }), "not_yet_valid");
    case(json!({ "iat": NOW + 60 }), "acme/alice");
    case(json!({ "iat": NOW + 61 }), "issued_in_future");
    case(json!({ "iat": NOW + 10_000, "exp": NOW + 20_000 }), "issued_in_future");
    // Lifetime.
    case(json!({ "iat": NOW, "exp": NOW + 86_400 }), "acme/alice");
    case(json!({ "iat": NOW, "exp": NOW + 86_401 }), "lifetime");
    case(json!({ "iat": NOW - 86_400, "exp": NOW + 1 }), "lifetime");
    case(json!({ "iat": null, "exp": NOW + 86_400 }), "acme/alice");
    case(json!({ "iat": null, "exp": NOW + 86_401 }), "lifetime");
    case(json!({ "iat": 0, "exp": NOW + 1 }), "lifetime");
    case(json!({ "exp": 253_402_300_799_u64 }), "lifetime");
    // Contradictions.
    case(json!({ "iat": NOW, "exp": NOW }), "claim_invalid");
    case(json!({ "iat": NOW, "exp": NOW - 1 }), "claim_invalid");
    case(json!({ "nbf": NOW + 30, "exp": NOW + 20 }), "claim_invalid");
    // Not numbers of seconds.
    for name in ["exp", "iat", "nbf"] {
        let string = NOW.to_string();
        for value in [json!(string), json!("2026-11-22T00:00:00Z"), json!([NOW]), json!({}), json!(true), json!("NaN")] {
            case(json!({ name: value }), "claim_invalid");
        }
        for value in [json!(-1), json!(-0.5), json!(-1e300), json!(1e300), json!(u64::MAX), json!(i64::MAX), json!(i64::MIN)] {
            case(json!({ name: value }), "claim_invalid");
        }
        case(json!({ name: 253_402_300_800_u64 }), "claim_invalid");
        case(json!({ name: NOW * 1_000 }), "claim_invalid"); // milliseconds
    }
    assert_verdicts(cases);
}

#[test]
fn numbers_that_json_does_not_have_are_malformed() {
    let written =
        ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "0x10", "01", "+1", "1.", ".5", "1e", "--1", "1_000", "nan"];
    assert_verdicts(written.map(|number| {
        let claims = format!(r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"alice","tenant":"acme","exp":{number}}}"#);
        (number.to_owned(), raw_claims(&claims), "token_malformed")
    }));
}

#[test]
fn clocks_may_be_anywhere() {
    let fixture = fixture();
    let before_1970 = at(0).checked_sub(Duration::from_secs(10)).unwrap();
    let year_2100 = at(4_102_444_800);
    assert_eq!(fixture.verdict_at(&good_token(), before_1970), "issued_in_future");
    assert_eq!(fixture.verdict_at(&good_token(), at(0)), "issued_in_future");
    assert_eq!(fixture.verdict_at(&good_token(), year_2100), "expired");
    let at_2100 = with(claims(), json!({ "iat": 4_102_444_800_u64, "exp": 4_102_444_900_u64 }));
    assert_eq!(fixture.verdict_at(&sign(&header(), &at_2100), year_2100), "acme/alice");
    let at_1970 = with(claims(), json!({ "iat": 0, "exp": 100 }));
    assert_eq!(fixture.verdict_at(&sign(&header(), &at_1970), at(0)), "acme/alice");
    assert_eq!(fixture.verdict_at(&sign(&header(), &at_1970), before_1970), "acme/alice"); // an unset clock reads as 1970
    assert_eq!(fixture.verdict_at(&sign(&header(), &at_1970), at(200_000_000_000)), "expired");
}

#[test]
fn leeway_and_lifetime_have_bounds_whatever_is_configured() {
    let extreme = Issuer { leeway_seconds: u64::MAX, token_lifetime_seconds_max: u64::MAX, ..issuer() };
    let fixture = fixture_of(extreme);
    let expired_for = |seconds: u64| sign(&header(), &with(claims(), json!({ "iat": NOW - 9_000, "exp": NOW - seconds })));
    assert_eq!(fixture.verdict(&expired_for(299)), "acme/alice");
    assert_eq!(fixture.verdict(&expired_for(300)), "expired");
    assert_eq!(fixture.verdict(&sign(&header(), &with(claims(), json!({ "iat": NOW + 301 })))), "issued_in_future");
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
