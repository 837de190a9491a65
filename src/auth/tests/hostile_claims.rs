//! Claims that an issuer should never sign, signed: types, names and times.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

/// A case of [`assert_verdicts`]: good claims with `changes`.
fn changed(changes: Value, expected: &'static str) -> (String, String, &'static str) {
    (changes.to_string(), sign(&header(), &with(claims(), changes)), expected)
}

#[test]
fn what_is_required_may_not_be_absent() {
    let mut cases = Vec::new();
    let mut case = |changes: Value, expected| cases.push(changed(changes, expected));
    for (name, expected) in [("iss", "claim_missing"), ("aud", "claim_missing"), ("exp", "claim_missing")] {
        case(json!({ name: null }), expected);
    }
    case(json!({ "sub": null }), "claim_missing");
    case(json!({ "tenant": null }), "claim_missing");
    case(json!({ "iat": null }), "acme/alice");
    assert_verdicts(cases);
}

#[test]
fn the_issuer_is_one_string_exactly() {
    let mut cases = Vec::new();
    let mut case = |changes: Value, expected| cases.push(changed(changes, expected));
    for value in [json!([ISSUER]), json!(1), json!(true), json!({ "iss": ISSUER }), json!([])] {
        case(json!({ "iss": value }), "claim_invalid");
    }
    for value in ["", "https://id.corp.example/", "HTTPS://id.corp.example", " https://id.corp.example", "https://evil.example"] {
        case(json!({ "iss": value }), "issuer_unknown");
    }
    case(json!({ "iss": format!("{ISSUER}\0") }), "issuer_unknown");
    case(json!({ "iss": format!("{ISSUER}.evil.example") }), "issuer_unknown");
    case(json!({ "iss": "https://id.c\u{43e}rp.example" }), "issuer_unknown");
    assert_verdicts(cases);
}

#[test]
fn one_audience_is_exactly_ours() {
    let mut cases = Vec::new();
    let mut case = |changes: Value, expected| cases.push(changed(changes, expected));
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
    assert_verdicts(cases);
}

#[test]
fn subjects_are_printable() {
    let long_subject = "s".repeat(257);
    let mut cases = Vec::new();
    let mut case = |changes: Value, expected| cases.push(changed(changes, expected));
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
    assert_verdicts(cases);
}

#[test]
fn tenants_are_plain_ascii_names() {
    let long_tenant = "t".repeat(65);
    let mut cases = Vec::new();
    let mut case = |changes: Value, expected| cases.push(changed(changes, expected));
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
    let mut case = |changes: Value, expected| cases.push(changed(changes, expected));
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
