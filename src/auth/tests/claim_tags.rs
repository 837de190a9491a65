//! Claims that make session tags.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{Fixture, NOW, at, claims, fixture, header, sign, with};
use crate::auth::{Authenticator, ClaimTag};

/// What a token with these claims is tagged with: `team` from `department`, `center` from a member of an object.
fn tags(fixture: &Fixture, more: Value) -> Vec<(String, Option<String>)> {
    let token = sign(&header(), &with(claims(), more));
    let principal = fixture.authenticator.authenticate_token(&token, at(NOW)).unwrap();
    principal.tags.iter().map(|ClaimTag { key, value, .. }| (key.to_string(), value.as_deref().map(str::to_owned))).collect()
}

fn tagging(claims: &[(&str, &str)]) -> Fixture {
    let Fixture { key_sets, cache, authenticator } = fixture();
    let claims: BTreeMap<_, _> = claims.iter().map(|(key, claim)| ((*key).to_owned(), (*claim).to_owned())).collect();
    Fixture { key_sets, cache, authenticator: authenticator.with_claim_tags(&claims) }
}

#[test]
fn a_claim_is_a_tag_if_it_is_one_text_that_can_be_one() {
    let fixture = tagging(&[("team", "department"), ("center", "/billing/center")]);
    let tag = |key: &str, value: Option<&str>| (key.to_owned(), value.map(str::to_owned));
    assert_eq!(tags(&fixture, json!({})), []);
    assert_eq!(tags(&fixture, json!({ "department": "Search & Ads" })), [tag("team", None)]);
    let both = json!({ "department": "Suche größer", "billing": { "center": "C-12" } });
    assert_eq!(tags(&fixture, both), [tag("center", Some("C-12")), tag("team", Some("Suche größer"))]);
    for odd in [json!(7), json!(["a"]), json!({}), json!(true), json!("x".repeat(257)), json!("a\nb"), json!("*")] {
        assert_eq!(tags(&fixture, json!({ "department": odd })), [tag("team", None)], "{odd}");
    }
}

#[test]
fn what_is_noted_of_a_cached_token_is_what_the_configuration_in_force_wants() {
    let before = fixture();
    let more = json!({ "department": "search" });
    assert_eq!(tags(&before, more.clone()), []);
    let after = |claims: &[(&str, &str)]| {
        // Keys and cache live on; the rules are new.
        let issuers = BTreeMap::from([("corp".to_owned(), super::issuer())]);
        let claims = claims.iter().map(|(key, claim)| ((*key).to_owned(), (*claim).to_owned())).collect();
        let authenticator = Authenticator::new(&issuers, Arc::clone(&before.key_sets), Arc::clone(&before.cache));
        let authenticator = authenticator.with_claim_tags(&claims);
        Fixture { key_sets: Arc::clone(&before.key_sets), cache: Arc::clone(&before.cache), authenticator }
    };
    assert_eq!(tags(&after(&[("team", "department")]), more.clone()).len(), 1);
    assert_eq!(tags(&after(&[("unit", "department")]), more.clone())[0].0, "unit");
    assert_eq!(tags(&after(&[("team", "tenant")]), more)[0].1.as_deref(), Some("acme"));
}
