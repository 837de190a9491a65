//! JSON web signatures and key sets that nobody here wrote: Wycheproof's, which `tests/clients/run wycheproof` brings. Each group of them is
//! the key set of an issuer. Prints a line for each, and fails if one is taken for what it is not.

#![allow(clippy::unwrap_used, clippy::expect_used)] // nothing here but checks

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
    time::SystemTime,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tollgate::{
    auth::{Authenticator, KeySet, KeySets, TokenCache},
    config::{Algorithm, Issuer},
};

const FILES: [&str; 2] = ["json_web_signature_test.json", "json_web_key_test.json"];

/// Every algorithm that there is: what an issuer may use is not what these are about.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The set as an issuer would publish it.
fn published(keys: &Value) -> Value {
    if keys.get("keys").is_some() { keys.clone() } else { json!({ "keys": [keys] }) }
}

/// How many of the keys would be used.
fn usable(keys: &Value) -> usize {
    KeySet::parse(published(keys).to_string().as_bytes()).map_or(0, |(set, _)| set.usable())
}

fn without_secrets(keys: &Value) -> usize {
    let is_public = |key: &&Value| key.get("d").is_none() && key.get("k").is_none();
    published(keys)["keys"].as_array().unwrap().iter().filter(is_public).count()
}

/// Whether an issuer with these keys has signed it.
fn is_accepted(keys: &Value, jws: &str) -> bool {
    let Ok((set, _)) = KeySet::parse(published(keys).to_string().as_bytes()) else { return false };
    let issuer: Issuer = toml::from_str("issuer = \"https://id.corp.example\"\naudiences = [\"tollgate\"]").unwrap();
    let issuers = BTreeMap::from([("corp".to_owned(), Issuer { algorithms: ALGORITHMS.to_vec(), ..issuer })]);
    let key_sets = Arc::new(KeySets::new());
    key_sets.store("corp", set);
    let authenticator = Authenticator::new(&issuers, key_sets, Arc::new(TokenCache::default()));
    authenticator.check_signature_alone(jws, SystemTime::now()).is_ok()
}

/// Why a signature that is valid is refused here all the same.
fn stricter(keys: &Value, jws: &str) -> Option<&'static str> {
    let has = |name: &str, value: &str| published(keys)["keys"].as_array().unwrap().iter().any(|key| key[name] == value);
    let (head, rest) = jws.split_once('.').unwrap();
    if has("kty", "oct") {
        return Some("a shared secret: whoever verifies could sign");
    }
    if has("crv", "P-521") {
        return Some("P-521 is not supported");
    }
    if rest.starts_with('.') {
        return Some("a token without claims");
    }
    let head: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap();
    (!has("alg", head["alg"].as_str().unwrap())).then_some("the key says that it is for another algorithm")
}

fn main() {
    let directory = PathBuf::from(env::args_os().nth(1).expect("the directory of the vectors"));
    let mut out = io::stdout();
    let (mut accepted, mut wrong) = (0, 0);
    for file in FILES {
        let vectors: Value = serde_json::from_slice(&fs::read(directory.join(file)).unwrap()).unwrap();
        for group in vectors["testGroups"].as_array().unwrap() {
            let private = &group["private"];
            let keys = group.get("public").unwrap_or(private);
            assert!(usable(private) <= without_secrets(private), "whoever reads {} can sign", group["comment"]);
            for test in group["tests"].as_array().unwrap() {
                let jws = test["jws"].as_str().map_or_else(|| test["jws"].to_string(), str::to_owned);
                let is_valid = test["result"] == "valid";
                let stricter = if is_valid { stricter(keys, &jws) } else { None };
                let is_accepted = is_accepted(keys, &jws);
                accepted += usize::from(is_accepted);
                let verdict = if is_accepted == (is_valid && stricter.is_none()) { "ok" } else { "failed" };
                wrong += usize::from(verdict == "failed");
                let became = if is_accepted { "accepted" } else { stricter.unwrap_or("refused") };
                writeln!(out, "{verdict} {file} {}: {} {became}", test["tcId"], test["comment"]).unwrap();
            }
        }
    }
    assert!(wrong == 0 && accepted > 0, "{wrong} of them, see above");
}
