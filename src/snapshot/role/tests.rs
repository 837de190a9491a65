//! Whose session is whose.

use std::{path::Path, time::UNIX_EPOCH};

use aws_credential_types::Credentials;

use crate::{
    auth::{ClaimTag, Proof},
    aws::role_sessions::handed::Room,
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
    let tag =
        |(key, value): &(&str, Option<&str>)| ClaimTag { key: (*key).into(), claim: (*key).into(), value: value.map(Into::into) };
    Principal {
        issuer: issuer.into(),
        subject: subject.into(),
        tenant: "acme".into(),
        groups: Vec::new(),
        other_groups: Vec::new(),
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

#[test]
fn a_predecessors_sessions_are_taken_if_a_principal_could_be_signed_for_with_them() {
    let now = UNIX_EPOCH + Duration::from_secs(1_795_305_600);
    let held = |tenant, principal: &Principal| {
        let sessions = RoleSessions::default();
        let _calls = sessions.take_calls();
        let role = role(tenant, &sessions);
        let expires = Some(now + Duration::from_secs(3_600));
        let credentials = Credentials::new("AKID", "secret", Some("token".to_owned()), expires, "test");
        role.session(principal, now).unwrap().succeed(credentials, now, 0.0);
        sessions.hand_over(Room::default(), now)
    };
    let alice = principal("corp", "alice", &[("team", Some("search"))]);
    for tenant in ["acme", "globex"] {
        let sessions = RoleSessions::default();
        let mut successor = role(tenant, &sessions);
        successor.tag_keys.clear();
        assert_eq!(successor.take_over(held(tenant, &alice), now), 0, "no claim makes tags any more");
        let mut successor = role(tenant, &sessions);
        successor.per_principal = !successor.per_principal;
        assert_eq!(successor.take_over(held(tenant, &alice), now), 0, "sessions are whose they were not");
        let successor = role(tenant, &sessions);
        assert_eq!(successor.take_over(held(tenant, &alice), now), 1);
        assert!(successor.session(&alice, now).unwrap().signer(now).is_some());
    }
}
