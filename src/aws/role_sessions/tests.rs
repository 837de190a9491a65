//! Sessions under a clock of the test's own, with a caller of its own.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::UNIX_EPOCH,
};

use aws_credential_types::Credentials;

use super::*;

const START: SystemTime = UNIX_EPOCH;

fn at(seconds: u64) -> SystemTime {
    START + Duration::from_secs(1_795_305_600 + seconds)
}

fn role(arn: &str) -> Role {
    Role { arn: arn.to_owned(), external_id: None, lifetime: Duration::from_secs(3_600), transitive_tags: Vec::new() }
}

fn keys(id: &str, expires: SystemTime) -> Credentials {
    Credentials::new(id, "secret", Some("token".to_owned()), Some(expires), "test")
}

fn of_principal(subject: &str) -> SessionKey {
    SessionKey { principal: Some(("corp".into(), subject.into())), tags: Vec::new() }
}

fn signs_as(session: &RoleSession, now: SystemTime) -> Option<String> {
    session.signer(now).map(|signer| signer.credentials().access_key_id().to_owned())
}

/// The sessions that somebody wants to be called for by now.
fn wanted(calls: &mut CalledFor) -> Vec<Arc<RoleSession>> {
    std::iter::from_fn(|| calls.try_recv().ok()).collect()
}

#[test]
fn a_session_is_its_tenants_and_its_keys_alone() {
    let sessions = RoleSessions::default();
    let (acme, globex) = (sessions.of(&"acme".into(), role("one")), sessions.of(&"globex".into(), role("one")));
    let shared = acme.session(&SessionKey::default(), 10, at(0));
    assert!(Arc::ptr_eq(&shared, &acme.session(&SessionKey::default(), 10, at(0))));
    assert!(!Arc::ptr_eq(&shared, &globex.session(&SessionKey::default(), 10, at(0))));
    let tag = |value: &str| SessionTag { key: "team".into(), value: value.into() };
    let other_issuer = SessionKey { principal: Some(("other".into(), "alice".into())), tags: Vec::new() };
    let tagged = |value| SessionKey { principal: None, tags: vec![tag(value)] };
    let keys = [of_principal("alice"), of_principal("bob"), other_issuer, tagged("a"), tagged("b")];
    let all: Vec<_> = keys.iter().map(|key| acme.session(key, 10, at(0))).chain([shared]).collect();
    for (position, session) in all.iter().enumerate() {
        assert!(all.iter().skip(position + 1).all(|other| !Arc::ptr_eq(session, other)));
    }
    let assumption = acme.session(&tagged("a"), 10, at(0)).assumption().clone();
    assert_eq!(assumption.session_name, "acme");
    assert_eq!(assumption.tags, [SessionTag { key: "tenant".into(), value: "acme".into() }, tag("a")]);
}

#[test]
fn a_reload_keeps_the_sessions_of_a_role_that_stays_and_no_others() {
    let sessions = RoleSessions::default();
    let before = sessions.of(&"acme".into(), role("one"));
    assert!(Arc::ptr_eq(&before, &sessions.of(&"acme".into(), role("one"))));
    let after = sessions.of(&"acme".into(), role("two"));
    assert!(!Arc::ptr_eq(&before, &after));
    let with_id = Role { external_id: Some("x".to_owned()), ..role("one") };
    assert!(!Arc::ptr_eq(&before, &sessions.of(&"acme".into(), with_id)));
    drop(before);
    assert_eq!(sessions.conditions(at(0)).len(), 1);
}

#[test]
fn many_at_once_make_one_call() {
    let sessions = RoleSessions::default();
    let mut calls = sessions.take_calls().unwrap();
    assert!(sessions.take_calls().is_none());
    let acme = sessions.of(&"acme".into(), role("one"));
    let waiting = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let session = acme.session(&SessionKey::default(), 10, at(0));
                    assert!(session.signer(at(0)).is_none());
                    waiting.fetch_add(usize::from(session.want(at(0)).is_some()), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(waiting.into_inner(), 400);
    let called = wanted(&mut calls);
    assert_eq!(called.len(), 1);
    let answered = called[0].want(at(0)).unwrap();
    called[0].succeed(keys("AKID", at(3_600)), at(1), 0.0);
    assert!(answered.has_changed().unwrap());
    assert_eq!(signs_as(&called[0], at(1)).as_deref(), Some("AKID"));
}

#[test]
fn credentials_are_renewed_before_they_expire_and_serve_until_then() {
    let sessions = RoleSessions::default();
    let mut calls = sessions.take_calls().unwrap();
    let acme = sessions.of(&"acme".into(), role("one"));
    let session = acme.session(&SessionKey::default(), 10, at(0));
    session.want(at(0)).unwrap();
    wanted(&mut calls)[0].succeed(keys("first", at(3_600)), at(0), 0.0);
    assert!(sessions.take_due(at(3_299)).is_empty());
    let due = sessions.take_due(at(3_300));
    assert_eq!(due.len(), 1);
    assert!(sessions.take_due(at(3_300)).is_empty(), "a second call beside the first");
    // It fails, and fails again, each time after a longer pause; nobody notices until the end.
    let mut now = 3_300;
    for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
        due[0].fail(at(now));
        assert_eq!(signs_as(&session, at(now)).as_deref(), Some("first"));
        assert!(sessions.take_due(at(now + pause - 1)).is_empty());
        now += pause;
        assert_eq!(sessions.take_due(at(now)).len(), 1);
    }
    assert!(due[0].succeed(keys("second", at(7_200)), at(now), 1.0), "it had failed");
    assert_eq!(signs_as(&session, at(3_600)).as_deref(), Some("second"));
    let condition = &sessions.conditions(at(3_600))[0];
    assert_eq!((condition.held, condition.earliest_expiry), (1, Some(at(7_200))));
}

#[test]
fn a_call_that_failed_is_not_waited_for_again_at_once() {
    let sessions = RoleSessions::default();
    let mut calls = sessions.take_calls().unwrap();
    let session = sessions.of(&"acme".into(), role("one")).session(&SessionKey::default(), 10, at(0));
    session.want(at(0)).unwrap();
    wanted(&mut calls)[0].fail(at(0));
    for _ in 0..1_000 {
        assert!(session.want(at(0)).is_none());
    }
    assert!(wanted(&mut calls).is_empty());
    assert!(session.want(at(1)).is_some(), "the pause is over");
    assert_eq!(wanted(&mut calls).len(), 1);
    session.fail(at(1));
    assert!(session.want(at(2)).is_none(), "the second pause is longer");
    assert!(session.want(at(0)).is_some(), "the clock was set back");
}

#[test]
fn waiting_has_a_bound() {
    let sessions = RoleSessions::default();
    let _calls = sessions.take_calls();
    let session = sessions.of(&"acme".into(), role("one")).session(&SessionKey::default(), 10, at(0));
    let waiting: Vec<_> = (0..2_000).filter_map(|_| session.want(at(0))).collect();
    assert_eq!(waiting.len(), 1_024);
}

#[test]
fn a_principals_session_is_renewed_only_while_it_is_used() {
    let sessions = RoleSessions::default();
    let mut calls = sessions.take_calls().unwrap();
    let acme = sessions.of(&"acme".into(), role("one"));
    let [once, often] = ["once", "often"].map(|subject| acme.session(&of_principal(subject), 10, at(0)));
    for session in [&once, &often] {
        session.want(at(0)).unwrap();
        wanted(&mut calls)[0].succeed(keys("AKID", at(3_600)), at(0), 0.0);
        assert!(session.signer(at(1)).is_some());
    }
    assert!(often.signer(at(3_000)).is_some());
    let due = sessions.take_due(at(3_300));
    assert_eq!(due.len(), 1);
    assert!(Arc::ptr_eq(&due[0], &often));
    due[0].succeed(keys("AKID2", at(7_200)), at(3_300), 0.0);
    assert!(sessions.take_due(at(3_601)).is_empty());
    assert_eq!(acme.held.load().len(), 1, "what expired and is not missed is forgotten");
}

#[test]
fn the_one_used_longest_ago_makes_room_in_its_own_tenant_alone() {
    let sessions = RoleSessions::default();
    let _calls = sessions.take_calls();
    let (acme, globex) = (sessions.of(&"acme".into(), role("one")), sessions.of(&"globex".into(), role("one")));
    let kept = globex.session(&SessionKey::default(), 3, at(0));
    let [a, b, c] = ["a", "b", "c"].map(|subject| acme.session(&of_principal(subject), 3, at(1)));
    a.signer(at(2));
    c.signer(at(3));
    let waiting = b.want(at(3));
    let d = acme.session(&of_principal("d"), 3, at(4));
    assert_eq!(acme.held.load().len(), 3);
    for (session, subject) in [(&a, "a"), (&c, "c"), (&d, "d")] {
        assert!(Arc::ptr_eq(session, &acme.session(&of_principal(subject), 3, at(5))));
    }
    assert!(!b.is_abandoned(), "somebody waits for it");
    drop(waiting);
    assert!(b.is_abandoned());
    assert!(Arc::ptr_eq(&kept, &globex.session(&SessionKey::default(), 3, at(9))));
}

#[test]
fn the_log_is_told_of_a_tenant_once_a_minute() {
    let sessions = RoleSessions::default();
    let _calls = sessions.take_calls();
    let (acme, globex) = (sessions.of(&"acme".into(), role("one")), sessions.of(&"globex".into(), role("one")));
    let [alice, bob] = ["alice", "bob"].map(|subject| acme.session(&of_principal(subject), 9, at(0)));
    assert!(sessions.is_news(&alice, at(0)));
    assert!(!sessions.is_news(&bob, at(59)));
    assert!(sessions.is_news(&globex.session(&SessionKey::default(), 9, at(0)), at(59)));
    assert!(sessions.is_news(&bob, at(60)));
}
