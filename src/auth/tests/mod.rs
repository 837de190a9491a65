//! Honest and hostile tokens against the whole of `auth`: what is shared by the tables in the files below.

mod caching;
mod certificates;
mod claim_tags;
mod credentials;
mod hostile_claims;
mod hostile_keys;
mod hostile_tokens;
mod issued;
mod properties;
mod providers;
mod vectors;
mod wycheproof;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Authenticator, DevelopmentIssuer, KeySet, KeySets, TokenCache};
use crate::config::{Algorithm, Issuer, KeySetSource};

pub(super) const ISSUER: &str = "https://id.corp.example";
pub(super) const AUDIENCE: &str = "tollgate";
/// 2026-11-22, when every test is.
pub(super) const NOW: u64 = 1_795_305_600;

pub(super) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Keys are made once: RSA takes its time.
pub(super) struct Keys {
    pub(super) ec: DevelopmentIssuer,
    pub(super) other_ec: DevelopmentIssuer,
    rsa: RsaKeyPair,
    ed: Ed25519KeyPair,
}

pub(super) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| Keys {
        ec: DevelopmentIssuer::generate().unwrap(),
        other_ec: DevelopmentIssuer::generate().unwrap(),
        rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        ed: Ed25519KeyPair::generate().unwrap(),
    })
}

impl Keys {
    pub(super) fn ec_jwk(&self) -> Value {
        let set: Value = serde_json::from_str(&self.ec.key_set_json()).unwrap();
        set["keys"][0].clone()
    }

    /// Without `alg`, as Entra ID publishes its keys.
    pub(super) fn rsa_jwk(&self) -> Value {
        let components = RsaPublicKeyComponents::<Vec<u8>>::from(self.rsa.public_key());
        json!({ "kty": "RSA", "use": "sig", "kid": "rsa", "n": b64(components.n), "e": b64(components.e) })
    }

    pub(super) fn ed_jwk(&self) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": b64(self.ed.public_key()) })
    }

    pub(super) fn set(&self) -> KeySet {
        key_set(&json!([self.ec_jwk(), self.rsa_jwk(), self.ed_jwk()]))
    }

    pub(super) fn sign_rsa(&self, encoding: &'static dyn RsaEncoding, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let mut signature = vec![0; self.rsa.public_modulus_len()];
        self.rsa.sign(encoding, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", b64(signature))
    }

    pub(super) fn sign_rs256(&self, claims: &Value) -> String {
        self.sign_rsa(&RSA_PKCS1_SHA256, &json!({ "alg": "RS256", "kid": "rsa" }), claims)
    }

    pub(super) fn sign_ps256(&self, claims: &Value) -> String {
        self.sign_rsa(&RSA_PSS_SHA256, &json!({ "alg": "PS256", "kid": "rsa" }), claims)
    }

    pub(super) fn sign_ed(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        format!("{signed}.{}", b64(self.ed.sign(signed.as_bytes())))
    }
}

pub(super) fn key_set(keys: &Value) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap().0
}

pub(super) fn issuer() -> Issuer {
    Issuer {
        issuer: ISSUER.to_owned(),
        audiences: vec![AUDIENCE.to_owned(), "https://gateway.example".to_owned()],
        algorithms: vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA],
        tenant_claim: "tenant".to_owned(),
        key_set: KeySetSource::File("keys.json".into()),
        key_set_refresh_seconds: 300,
        token_lifetime_seconds_max: 86_400,
        leeway_seconds: 60,
        ..toml::from_str("issuer = \"\"\naudiences = []").unwrap()
    }
}

/// The authenticator of one issuer named `corp`, and what it reads.
pub(super) struct Fixture {
    pub(super) key_sets: Arc<KeySets>,
    pub(super) cache: Arc<TokenCache>,
    pub(super) authenticator: Authenticator,
}

pub(super) fn fixture() -> Fixture {
    fixture_of(issuer())
}

pub(super) fn fixture_of(issuer: Issuer) -> Fixture {
    let key_sets = Arc::new(KeySets::new());
    key_sets.store("corp", keys().set());
    let cache = Arc::new(TokenCache::default());
    let issuers = BTreeMap::from([("corp".to_owned(), issuer)]);
    let authenticator = Authenticator::new(&issuers, Arc::clone(&key_sets), Arc::clone(&cache));
    Fixture { key_sets, cache, authenticator }
}

impl Fixture {
    /// What became of `token`: `tenant/subject`, or the reason of the refusal.
    pub(super) fn verdict_at(&self, token: &str, now: SystemTime) -> String {
        match self.authenticator.authenticate_token(token, now) {
            Ok(principal) => format!("{}/{}", principal.tenant, principal.subject),
            Err(error) => error.reason().to_owned(),
        }
    }

    pub(super) fn verdict(&self, token: &str) -> String {
        self.verdict_at(token, at(NOW))
    }
}

pub(super) fn header() -> Value {
    json!({ "alg": "ES256", "typ": "JWT", "kid": keys().ec.key_id() })
}

pub(super) fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "tenant": "acme", "iat": NOW - 10, "exp": NOW + 3600 })
}

/// `object` with `changes` merged over it; `null` removes a member.
pub(super) fn with(mut object: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        let members = object.as_object_mut().unwrap();
        if value.is_null() { drop(members.remove(name)) } else { drop(members.insert(name.clone(), value.clone())) }
    }
    object
}

pub(super) fn good_token() -> String {
    sign(&header(), &claims())
}

pub(super) fn sign(header: &Value, claims: &Value) -> String {
    keys().ec.sign(&header.to_string(), &claims.to_string())
}

/// Signs claims written as text, so that they can be what no JSON library would write.
pub(super) fn raw_claims(claims: &str) -> String {
    keys().ec.sign(&header().to_string(), claims)
}

/// Holds tokens, each with a name for the report, against [`fixture`]; each must have the verdict beside it.
#[track_caller]
pub(super) fn assert_verdicts(cases: impl IntoIterator<Item = (String, String, &'static str)>) {
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
