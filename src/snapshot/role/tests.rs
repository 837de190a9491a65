//! Whose session is whose.

use std::{path::Path, time::UNIX_EPOCH};

use crate::{
    auth::{ClaimTag, Proof},
    config::parse,
};

use super::*;

const CONFIG: &str = r#"
[[listeners]]
address = "127.0.0.1:0"
[upstream]
region = "us-east-1"
[roles]
arn = "arn:aws:iam::123456789012:role/tenants"
claim_tags = { team = "team" }
[issuers.corp]
issuer = "https://idp.example"
audiences = ["a"]
[tenants.acme]
[tenants.globex]
[tenants.globex.role]
per_principal = true
"#;

fn role(tenant: &str, sessions: &RoleSessions) -> AssumedRole {
    let config = parse(CONFIG, Path::new("t.toml")).unwrap_or_else(|problems| panic!("{problems}"));
    AssumedRole::compile(&tenant.into(), &config.tenants[tenant], &config, sessions).unwrap()
}

fn principal(issuer: &str, subject: &str, tags: &[(&str, Option<&str>)]) -> Principal {
    let tag = |(key, value): &(&str, Option<&str>)| ClaimTag { key: (*key).into(), value: value.map(Into::into) };
    Principal {
        issuer: issuer.into(),
        subject: subject.into(),
        tenant: "acme".into(),
        groups: Vec::new(),
        expires_at: UNIX_EPOCH,
        proof: Proof::Token,
        tags: tags.iter().map(tag).collect(),
    }
}

#[test]
fn a_tenants_principals_share_a_session_if_their_tags_are_alike() {
    let sessions = RoleSessions::default();
    let acme = role("acme", &sessions);
    let session = |principal: Principal| acme.session(&principal, UNIX_EPOCH).unwrap();
    let alice = session(principal("corp", "alice", &[]));
    assert!(Arc::ptr_eq(&alice, &session(principal("keys file", "bob", &[]))));
    assert!(Arc::ptr_eq(&alice, &session(principal("corp", "eve", &[("old", Some("x"))]))), "a tag that is not configured");
    let search = session(principal("corp", "alice", &[("team", Some("search"))]));
    let ads = session(principal("corp", "alice", &[("team", Some("ads"))]));
    assert!(!Arc::ptr_eq(&alice, &search) && !Arc::ptr_eq(&search, &ads));
    assert_eq!(search.assumption().session_name, "acme");
}

#[test]
fn each_principal_has_its_own_session_where_it_is_so_configured() {
    let sessions = RoleSessions::default();
    let globex = role("globex", &sessions);
    let session = |issuer, subject| globex.session(&principal(issuer, subject, &[]), UNIX_EPOCH).unwrap();
    let alice = session("corp", "alice");
    assert!(alice.assumption().session_name.starts_with("alice="));
    for other in [session("corp", "bob"), session("other", "alice"), session("corp", "alice ")] {
        assert!(!Arc::ptr_eq(&alice, &other));
    }
    assert!(Arc::ptr_eq(&alice, &session("corp", "alice")));
}

#[test]
fn a_claim_that_can_be_no_tag_makes_no_session() {
    let sessions = RoleSessions::default();
    let acme = role("acme", &sessions);
    let refused = acme.session(&principal("corp", "alice", &[("team", None)]), UNIX_EPOCH);
    assert_eq!(refused.err(), Some(UntaggableError("team".into())));
}
