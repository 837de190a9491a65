//! Keys and tokens that nobody here wrote: the examples of RFC 7515, RFC 7517 and RFC 8037.

use serde_json::json;

use super::*;
use crate::auth::{
    key::KeyRefusal,
    key_set::{KeyProblem, KeySetError},
    segments,
};

/// RFC 7515 §A.2.1 and §A.3.1: the same claims.
const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

const RSA_MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pC\
gNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5Zw\
Kh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

const RSA_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1d\
nZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7no\
OPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

#[track_caller]
fn assert_verifies(jwk: Value, algorithm: Algorithm, token: &str) {
    let set = key_set(&json!([jwk]));
    let [key] = set.unnamed() else { panic!("one key without a name") };
    assert_eq!(key.pinned(&[algorithm]), Some(algorithm));
    let segments = segments::split(token).unwrap();
    assert!(key.verifies(algorithm, segments.signed.as_bytes(), segments.signature));
    let altered = segments.signed.replacen('e', "f", 1);
    assert!(!key.verifies(algorithm, altered.as_bytes(), segments.signature));
}

#[test]
fn rfc_7515_a2_rs256() {
    let jwk = json!({ "kty": "RSA", "n": RSA_MODULUS, "e": "AQAB" });
    assert_verifies(jwk, Algorithm::RS256, &format!("eyJhbGciOiJSUzI1NiJ9.{CLAIMS}.{RSA_SIGNATURE}"));
}

#[test]
fn rfc_7515_a3_es256() {
    let jwk = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    assert_verifies(jwk, Algorithm::ES256, &format!("eyJhbGciOiJFUzI1NiJ9.{CLAIMS}.{signature}"));
}

#[test]
fn rfc_8037_a4_ed25519() {
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
                 hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert_verifies(jwk, Algorithm::EdDSA, token);
}

#[test]
fn rfc_7515_a5_unsecured_and_appendix_e_critical_are_refused() {
    let fixture = fixture_of(Issuer { issuer: "joe".into(), ..issuer() });
    assert_eq!(fixture.verdict(&format!("eyJhbGciOiJub25lIn0.{CLAIMS}.")), "token_malformed");
    // With something where the signature belongs it is looked at, and fails for its claims' sake: no key is without a name.
    assert_eq!(fixture.verdict(&format!("eyJhbGciOiJub25lIn0.{CLAIMS}.AAAA")), "key_unknown");
    let critical = "eyJhbGciOiJub25lIiwNCiAiY3JpdCI6WyJodHRwOi8vZXhhbXBsZS5jb20vVU5ERUZJTkVEIl0sDQogImh0dHA6Ly9leGFtcGxlLmNvbS9VTkRFRklORU\
                    QiOnRydWUNCn0.RkFJTA.AAAA";
    assert_eq!(fixture.verdict(critical), "token_header_forbidden");
}

#[test]
fn rfc_7515_a1_hs256_is_refused() {
    let fixture = fixture_of(Issuer { issuer: "joe".into(), ..issuer() });
    let unnamed = with(keys().rsa_jwk(), json!({ "kid": null }));
    fixture.key_sets.store("corp", key_set(&json!([unnamed])));
    let token = format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{CLAIMS}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    assert_eq!(fixture.verdict(&token), "key_unknown");
}

#[test]
fn rfc_7517_a1_public_keys_serve_signatures_only() {
    let modulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64\
                   tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91Cb\
                   OpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let document = json!({ "keys": [
        {
            "kty": "EC", "crv": "P-256", "use": "enc", "kid": "1",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        },
        { "kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29" },
    ] });
    let (set, problems) = KeySet::parse(document.to_string().as_bytes()).unwrap();
    let expected = KeyProblem { index: 0, key_id: Some("1".into()), refusal: KeyRefusal::NotForSignatures };
    assert_eq!(problems, [expected]);
    assert!(set.named("2011-04-29").is_some() && set.usable() == 1);
}

#[test]
fn rfc_7517_a3_symmetric_keys_are_refused() {
    let document = json!({ "keys": [
        { "kty": "oct", "alg": "A128KW", "k": "GawgguFyGrWKav7AX4VKUg" },
        {
            "kty": "oct", "kid": "HMAC key used in JWS spec Appendix A.1 example",
            "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        },
    ] });
    let Err(KeySetError::NoUsableKey(problems)) = KeySet::parse(document.to_string().as_bytes()) else { panic!("refused") };
    assert!(problems.iter().all(|problem| problem.refusal == KeyRefusal::SharedSecret) && problems.len() == 2);
}
