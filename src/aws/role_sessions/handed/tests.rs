//! Two processes' sessions, and the bytes between them.

use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::aws::{SessionTag, role_sessions::CalledFor};

const LIFE: Duration = Duration::from_secs(3_600);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_305_600 + seconds)
}

fn role(arn: &str) -> Role {
    Role { arn: arn.to_owned(), external_id: None, lifetime: LIFE, transitive_tags: Vec::new() }
}

fn of_principal(subject: &str) -> SessionKey {
    SessionKey { principal: Some(("corp".into(), subject.into())), tags: Vec::new() }
}

/// A process whose tenant `acme` has these sessions, made at 0 and used in this order from then on.
fn process(keys: &[SessionKey]) -> (RoleSessions, Arc<TenantSessions>, CalledFor) {
    let sessions = RoleSessions::default();
    let (calls, acme) = (sessions.take_calls().unwrap(), sessions.of(&"acme".into(), role("one")));
    for (number, key) in (0..).zip(keys) {
        let session = acme.session(key, 100, at(0));
        session.want(at(0)).unwrap();
        let token = Some(format!("token-{number}"));
        let credentials =
            Credentials::new(format!("AKID{number}"), format!("secret-{number}"), token, Some(at(0) + LIFE), "test");
        session.succeed(credentials, at(0), 0.0);
        session.signer(at(1 + number)).unwrap();
    }
    (sessions, acme, calls)
}

/// As they come out of the link.
fn handed(sessions: &RoleSessions, most: usize, now: SystemTime) -> Vec<HandedSession> {
    handed_within(Room { sessions: most, ..Room::default() }, sessions, now)
}

fn handed_within(room: Room, sessions: &RoleSessions, now: SystemTime) -> Vec<HandedSession> {
    let over = |one: HandedSession| serde_json::from_slice(&serde_json::to_vec(&one).unwrap()).unwrap();
    sessions.hand_over(room, now).into_iter().map(over).collect()
}

fn subjects(handed: &[HandedSession]) -> Vec<&str> {
    handed.iter().map(|one| one.key.principal.as_ref().map_or("", |(_, subject)| subject)).collect()
}

#[test]
fn a_successor_signs_with_what_it_is_given_and_renews_it_as_its_predecessor_would() {
    let tagged = SessionKey { principal: None, tags: vec![SessionTag { key: "team".into(), value: "größe".into() }] };
    let keys = [SessionKey::default(), of_principal("alice"), tagged];
    let (before, _acme, _calls) = process(&keys);
    let (after, acme, mut calls) = process(&[]);
    assert_eq!(acme.take_over(handed(&before, 100, at(10)), 100, at(10)), 3);
    assert!(after.take_due(at(3_299)).is_empty());
    for (number, key) in keys.iter().enumerate() {
        let signer = acme.session(key, 100, at(3_298)).signer(at(3_298)).unwrap();
        let credentials = signer.credentials();
        let (id, secret, token) = (credentials.access_key_id(), credentials.secret_access_key(), credentials.session_token());
        assert_eq!((id, secret), (&*format!("AKID{number}"), &*format!("secret-{number}")));
        assert_eq!((token, credentials.expiry()), (Some(&*format!("token-{number}")), Some(at(0) + LIFE)));
    }
    assert!(calls.try_recv().is_err(), "STS is asked");
    assert_eq!(after.take_due(at(3_300)).len(), 3);
}

#[test]
fn what_nobody_used_lately_is_not_renewed_by_a_successor_either() {
    let (before, ..) = &process(&[SessionKey::default(), of_principal("once")]);
    let (after, acme, _calls) = process(&[]);
    acme.take_over(handed(before, 100, at(3_000)), 100, at(3_000));
    let due = after.take_due(at(3_300));
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].assumption().session_name, "acme");
}

#[test]
fn a_renewal_that_failed_is_tried_again_by_a_successor() {
    let (before, _acme, _calls) = process(&[SessionKey::default()]);
    before.take_due(at(3_300))[0].fail(at(3_300));
    let (after, acme, _calls) = process(&[]);
    acme.take_over(handed(&before, 1, at(3_300)), 9, at(3_300));
    assert_eq!(after.take_due(at(3_301)).len(), 1);
}

#[test]
fn a_predecessor_with_other_ideas_of_when_to_renew_puts_nothing_off() {
    let (before, _acme, _calls) = process(&[SessionKey::default()]);
    let late = handed(&before, 1, at(10)).into_iter().map(|one| {
        let course = Course { due: at(1_000_000), ..one.course };
        HandedSession { course, ..one }
    });
    let (after, acme, _calls) = process(&[]);
    assert_eq!(acme.take_over(late.collect(), 9, at(10)), 1);
    assert_eq!(after.take_due(at(3_300)).len(), 1);
}

#[test]
fn what_would_not_be_asked_for_in_the_same_words_is_not_taken() {
    let (before, _acme, _calls) = process(&[SessionKey::default(), of_principal("alice")]);
    let (sessions, globex) = (RoleSessions::default(), "globex".into());
    let others = [
        sessions.of(&globex, role("one")),
        sessions.of(&"acme".into(), role("two")),
        sessions.of(&"acme".into(), Role { external_id: Some("id".to_owned()), ..role("one") }),
        sessions.of(&"acme".into(), Role { lifetime: LIFE / 2, ..role("one") }),
        sessions.of(&"acme".into(), Role { transitive_tags: vec!["tenant".to_owned()], ..role("one") }),
    ];
    for other in others {
        assert_eq!(other.take_over(handed(&before, 9, at(10)), 9, at(10)), 0, "{:?}", other.role());
    }
    let same = sessions.of(&"acme".into(), role("one"));
    let expired = handed(&before, 9, at(10));
    assert_eq!(same.take_over(expired, 9, at(0) + LIFE), 0);
    assert!(handed(&before, 9, at(0) + LIFE).is_empty(), "nothing good is left");
    assert_eq!(same.take_over(handed(&before, 9, at(10)), 9, at(10)), 2);
    assert_eq!(same.take_over(handed(&before, 9, at(10)), 9, at(10)), 0, "it has them");
}

#[test]
fn what_is_kept_for_a_tenant_goes_first_and_then_what_was_used_last() {
    let keys = ["a", "b", "c"].map(of_principal);
    let all = [SessionKey::default()].into_iter().chain(keys).collect::<Vec<_>>();
    let (before, _acme, _calls) = process(&all);
    assert_eq!(subjects(&handed(&before, 3, at(10))), ["", "c", "b"]);
    // Of 4 + 3 + 5 + 8 + 7 bytes, and the principals' 5 more.
    for (bytes, fit) in [(26, &[][..]), (27, &[""]), (58, &[""]), (59, &["", "c"]), (1_000, &["", "c", "b", "a"])] {
        let room = Room { bytes, ..Room::default() };
        assert_eq!(subjects(&handed_within(room, &before, at(10))), fit, "{bytes} bytes");
    }
    let (_, acme, _) = process(&[]);
    assert_eq!(acme.take_over(handed(&before, 9, at(10)), 2, at(10)), 2);
    let held = acme.held.load();
    assert!(held.contains_key(&all[0]) && held.contains_key(&all[3]));
}

#[test]
fn a_session_that_another_version_tells_apart_by_more_is_not_understood() {
    let (before, _acme, _calls) = process(&[of_principal("alice")]);
    let session = serde_json::to_value(&handed(&before, 1, at(10))[0]).unwrap();
    for place in ["", "/role", "/key", "/course"] {
        let mut other = session.clone();
        other.pointer_mut(place).unwrap()["session_policy"] = "deny all".into();
        assert!(serde_json::from_value::<HandedSession>(other).is_err(), "{place}");
    }
    assert!(serde_json::from_value::<HandedSession>(session).is_ok());
}

#[test]
fn nothing_secret_is_printed() {
    let (before, _acme, _calls) = process(&[of_principal("alice")]);
    let printed = format!("{:?}", handed(&before, 1, at(10)));
    assert!(printed.contains("acme") && ["secret-", "token-", "AKID"].iter().all(|text| !printed.contains(text)), "{printed}");
}
