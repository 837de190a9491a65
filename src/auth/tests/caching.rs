//! What the cache may answer, and what it must forget.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::*;
use crate::config::KeyOrigin;

fn counts(fixture: &Fixture) -> (u64, u64) {
    (fixture.cache.hits(), fixture.cache.misses())
}

/// Another authenticator over the same key sets and cache, as a reload makes it.
fn reloaded(fixture: &Fixture, issuers: &[(&str, Issuer)]) -> Authenticator {
    let issuers = issuers.iter().map(|(name, issuer)| ((*name).to_owned(), issuer.clone())).collect();
    Authenticator::new(&issuers, Arc::clone(&fixture.key_sets), Arc::clone(&fixture.cache))
}

#[test]
fn a_good_token_is_verified_once() {
    let fixture = fixture();
    let token = good_token();
    let first = fixture.authenticator.authenticate_token(&token, at(NOW)).unwrap();
    let second = fixture.authenticator.authenticate_token(&token, at(NOW + 1)).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(counts(&fixture), (1, 1));
}

#[test]
fn refusals_are_not_kept() {
    let fixture = fixture();
    let token = sign(&header(), &with(claims(), json!({ "nbf": NOW + 100 })));
    assert_eq!(fixture.verdict(&token), "not_yet_valid");
    assert!(fixture.cache.is_empty());
    assert_eq!(fixture.verdict_at(&token, at(NOW + 100)), "acme/alice");
    assert_eq!(counts(&fixture), (0, 2));
}

#[test]
fn tokens_with_the_same_prefix_or_suffix_are_different_tokens() {
    let fixture = fixture();
    let good = good_token();
    assert_eq!(fixture.verdict(&good), "acme/alice");
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = signed.split_once('.').unwrap();
    let globex = b64(with(claims(), json!({ "tenant": "globex" })).to_string());
    assert_eq!(fixture.verdict(&format!("{signed}.{}", b64([9; 64]))), "signature");
    assert_eq!(fixture.verdict(&format!("{head}.{globex}.{signature}")), "signature");
    assert_eq!(fixture.verdict(&format!("{good}AAA")), "token_malformed");
    assert_eq!(fixture.verdict(&sign(&header(), &with(claims(), json!({ "sub": "bob" })))), "acme/bob");
    assert_eq!(fixture.cache.hits(), 0);
}

#[test]
fn verdicts_lapse_with_the_token_and_after_five_minutes() {
    let fixture = fixture();
    let long = good_token();
    let short = sign(&header(), &with(claims(), json!({ "exp": NOW + 10 })));
    for token in [&long, &short] {
        assert_eq!(fixture.verdict(token), "acme/alice");
    }
    assert_eq!(fixture.verdict_at(&short, at(NOW + 9)), "acme/alice");
    assert_eq!(counts(&fixture), (1, 2));
    // Within the leeway it is still good, but never out of the cache.
    assert_eq!(fixture.verdict_at(&short, at(NOW + 10)), "acme/alice");
    assert_eq!(counts(&fixture), (1, 3));
    assert_eq!(fixture.verdict_at(&short, at(NOW + 70)), "expired");
    assert_eq!(fixture.verdict_at(&long, at(NOW + 299)), "acme/alice");
    assert_eq!(counts(&fixture), (2, 4));
    assert_eq!(fixture.verdict_at(&long, at(NOW + 300)), "acme/alice");
    assert_eq!(counts(&fixture), (2, 5));
}

#[test]
fn a_clock_that_is_set_back_verifies_again() {
    let fixture = fixture();
    let token = good_token();
    assert_eq!(fixture.verdict(&token), "acme/alice");
    assert_eq!(fixture.verdict_at(&token, at(NOW) - Duration::from_millis(500)), "acme/alice");
    assert_eq!(fixture.cache.hits(), 1);
    assert_eq!(fixture.verdict_at(&token, at(NOW - 10_000)), "issued_in_future");
}

#[test]
fn a_changed_key_set_forgets_and_an_equal_one_does_not() {
    let fixture = fixture();
    let token = good_token();
    assert_eq!(fixture.verdict(&token), "acme/alice");
    let generation = fixture.key_sets.generation("corp");

    let reordered = key_set(&json!([keys().ed_jwk(), keys().rsa_jwk(), keys().ec_jwk()]));
    fixture.key_sets.store("corp", reordered);
    assert_eq!(fixture.key_sets.generation("corp"), generation);
    assert_eq!(fixture.verdict(&token), "acme/alice");
    assert_eq!(fixture.cache.hits(), 1);

    fixture.key_sets.store("corp", key_set(&json!([keys().rsa_jwk()])));
    assert!(fixture.key_sets.generation("corp") > generation);
    assert_eq!(fixture.verdict(&token), "key_unknown");

    fixture.key_sets.store("corp", keys().set());
    assert_eq!(fixture.verdict(&token), "acme/alice");
    assert_eq!(fixture.cache.hits(), 1);
}

#[test]
fn another_issuers_keys_do_not_forget_this_ones() {
    let fixture = fixture();
    let token = good_token();
    assert_eq!(fixture.verdict(&token), "acme/alice");
    fixture.key_sets.store("partner", keys().set());
    assert_eq!(fixture.verdict(&token), "acme/alice");
    assert_eq!(fixture.cache.hits(), 1);
    assert_eq!(fixture.key_sets.generation("nobody"), 0);
}

#[test]
fn a_reload_with_other_rules_never_serves_an_old_verdict() {
    let fixture = fixture();
    let token = good_token();
    assert_eq!(fixture.verdict(&token), "acme/alice");
    let reason = |authenticator: &Authenticator| match authenticator.authenticate_token(&token, at(NOW)) {
        Ok(principal) => principal.issuer.to_string(),
        Err(error) => error.reason().to_owned(),
    };
    let changes: [(Issuer, &str); 7] = [
        (Issuer { audiences: vec!["other".into()], ..issuer() }, "audience"),
        (Issuer { audiences: Vec::new(), ..issuer() }, "audience"),
        (Issuer { algorithms: vec![Algorithm::RS256], ..issuer() }, "algorithm"),
        (Issuer { algorithms: Vec::new(), ..issuer() }, "algorithm"),
        (Issuer { tenant_claim: "org".into(), ..issuer() }, "claim_missing"),
        (Issuer { token_lifetime_seconds_max: 60, ..issuer() }, "lifetime"),
        (Issuer { issuer: "https://elsewhere.example".into(), ..issuer() }, "issuer_unknown"),
    ];
    for (changed, expected) in changes {
        assert_eq!(reason(&reloaded(&fixture, &[("corp", changed)])), expected);
    }
    assert_eq!(reason(&reloaded(&fixture, &[])), "issuer_unknown"); // the issuer was removed
    assert_eq!(reason(&reloaded(&fixture, &[("renamed", issuer())])), "keys_unavailable");

    let before = fixture.cache.hits();
    assert_eq!(reason(&reloaded(&fixture, &[("corp", issuer())])), "corp"); // nothing changed
    assert_eq!(fixture.cache.hits(), before + 1);
}

#[test]
fn keys_belong_to_the_place_they_came_from() {
    let source = KeyOrigin::Url("https://id.corp.example/keys".into());
    let elsewhere = KeyOrigin::Url("https://id2.corp.example/keys".into());
    let issuers = |origin: &KeyOrigin| {
        let KeyOrigin::Url(url) = origin else { panic!("{origin:?}") };
        BTreeMap::from([("corp".to_owned(), Issuer { key_set: KeySetSource::Url(url.clone()), ..issuer() })])
    };
    let key_sets = Arc::new(KeySets::new());
    let cache = Arc::new(TokenCache::default());
    let old = Authenticator::new(&issuers(&source), Arc::clone(&key_sets), Arc::clone(&cache));
    let new = Authenticator::new(&issuers(&elsewhere), Arc::clone(&key_sets), Arc::clone(&cache));
    let good = |authenticator: &Authenticator| authenticator.authenticate_token(&good_token(), at(NOW)).is_ok();

    assert!(key_sets.store_from("corp", &source, keys().set(), None, at(NOW)));
    assert!(!key_sets.store_from("corp", &source, keys().set(), None, at(NOW)));
    assert!(good(&old) && !good(&new));
    key_sets.store_from("corp", &elsewhere, keys().set(), None, at(NOW));
    assert!(good(&old) && good(&new));
    key_sets.retain(|_, known| known == Some(&elsewhere));
    assert!(!key_sets.has_keys("corp", &source) && key_sets.has_keys("corp", &elsewhere));
    assert!(good(&old)); // a snapshot that is still in use keeps what it had
}

#[test]
fn the_cache_is_bounded() {
    let key_sets = Arc::new(KeySets::new());
    key_sets.store("corp", keys().set());
    let cache = Arc::new(TokenCache::new(50));
    let issuers = BTreeMap::from([("corp".to_owned(), issuer())]);
    let authenticator = Authenticator::new(&issuers, key_sets, Arc::clone(&cache));
    for subject in 0..300 {
        let token = sign(&header(), &with(claims(), json!({ "sub": subject.to_string() })));
        let principal = authenticator.authenticate_token(&token, at(NOW)).unwrap();
        assert_eq!(*principal.subject, subject.to_string());
    }
    assert!(cache.len() <= 64, "{}", cache.len());
}
