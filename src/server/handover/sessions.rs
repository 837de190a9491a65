//! The sessions of tenants' roles, given before anything else is: nobody waits for it, and a successor that has them asks STS for nothing.
//! They go over the link from memory to memory.

use std::{io, time::SystemTime};

use super::{
    asked::{self, Said},
    link::Link,
    message::{FromNew, FromOld},
};
use crate::aws::{HandedSession, RoleSessions, role_sessions::handed::Room};

/// The old process's part. A session whose tags are longer than a message may be stays behind: STS is asked for it.
pub(super) async fn give(link: &Link, sessions: &RoleSessions) -> io::Result<()> {
    let each = sessions.hand_over(Room::default(), SystemTime::now());
    let each = each.into_iter().map(|session| FromOld::RoleSession(Some(Box::new(session))));
    asked::give(link, each, &FromOld::RoleSessionsGiven).await.map(drop)
}

/// The new one's.
pub(super) async fn ask(link: &Link) -> anyhow::Result<Vec<HandedSession>> {
    let mut room = Room::default();
    let hear = |message| match message {
        FromOld::RoleSession(session) => Said::One(session.map(|one| *one).filter(|session| room.takes(session))),
        FromOld::RoleSessionsGiven => Said::All,
        _ => Said::Other,
    };
    asked::ask(link, &FromNew::RoleSessions, hear).await
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use aws_credential_types::Credentials;
    use serde_json::json;

    use super::*;
    use crate::{
        aws::{Role, SessionKey, TenantSessions},
        server::handover::Inheritance,
    };

    /// A process with so many sessions of one tenant.
    fn process(count: usize) -> (RoleSessions, Arc<TenantSessions>) {
        let sessions = RoleSessions::default();
        let _calls = sessions.take_calls();
        let role = Role {
            arn: "arn:aws:iam::123456789012:role/one".to_owned(),
            external_id: None,
            lifetime: Duration::from_secs(3_600),
            transitive_tags: Vec::new(),
        };
        let (acme, now) = (sessions.of(&"acme".into(), role), SystemTime::now());
        for number in 0..count {
            let key = SessionKey { principal: Some(("corp".into(), format!("user-{number}").into())), tags: Vec::new() };
            let expires = Some(now + Duration::from_secs(3_600));
            let credentials = Credentials::new("AKID", "secret", Some("t".repeat(1_500)), expires, "test");
            acme.session(&key, count, now).succeed(credentials, now, 0.0);
        }
        (sessions, acme)
    }

    /// What comes of these messages, of a version that is not this one.
    async fn asked(messages: Vec<serde_json::Value>) -> anyhow::Result<Vec<HandedSession>> {
        let (old, new) = Link::pair().unwrap();
        let new = Link::of(new).unwrap();
        for message in messages {
            old.send(&message).await.unwrap();
        }
        ask(&new).await
    }

    #[tokio::test]
    async fn more_sessions_than_the_link_takes_at_once_come_whole() {
        let (sessions, _acme) = process(1_000);
        let (old, new) = Link::pair().unwrap();
        let new = Link::of(new).unwrap();
        let giving = tokio::spawn(async move {
            assert!(matches!(old.receive().await, Ok(Some((FromNew::RoleSessions, _)))));
            give(&old, &sessions).await.unwrap();
        });
        let handed = ask(&new).await.unwrap();
        giving.await.unwrap();
        let (_, successor) = process(0);
        assert_eq!(successor.take_over(handed, 1_000, SystemTime::now()), 1_000);
    }

    #[tokio::test]
    async fn a_session_longer_than_a_message_stays_behind() {
        let (sessions, acme) = process(2);
        let (now, expires) = (SystemTime::now(), Some(SystemTime::now() + Duration::from_secs(3_600)));
        let credentials = Credentials::new("AKID", "secret", Some("t".repeat(200_000)), expires, "test");
        acme.session(&SessionKey::default(), 9, now).succeed(credentials, now, 0.0);
        let (old, new) = Link::pair().unwrap();
        let new = Link::of(new).unwrap();
        let (given, handed) = tokio::join!(give(&old, &sessions), ask(&new));
        given.unwrap();
        assert_eq!(handed.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn what_is_not_understood_of_another_version_is_left_and_not_told() {
        let (sessions, _acme) = process(1);
        let good = serde_json::to_value(&sessions.hand_over(Room::default(), SystemTime::now())[0]).unwrap();
        let mut wider = good.clone();
        wider["role"]["session_policy"] = "deny all".into();
        let messages = [json!("a secret"), wider, good].map(|session| json!({ "RoleSession": session }));
        let handed = asked(messages.into_iter().chain([json!("RoleSessionsGiven")]).collect()).await.unwrap();
        assert_eq!(handed.len(), 1);
        assert!(asked(vec![json!("Yours")]).await.is_err(), "something else");
    }

    #[tokio::test]
    async fn a_predecessor_that_offers_no_sessions_is_not_asked_for_any() {
        let (old, new) = Link::pair().unwrap();
        let inheritance = Inheritance::of(Link::of(new).unwrap());
        for (hello, offers) in [(json!({ "protocol": 1 }), false), (json!({ "protocol": 1, "role_sessions": true }), true)] {
            old.send(&json!({ "Hello": hello })).await.unwrap();
            old.send(&json!("Offered")).await.unwrap();
            assert_eq!(inheritance.offer().await.unwrap().role_sessions, offers);
        }
        assert!(inheritance.role_sessions(false).await.unwrap().is_empty());
        drop(inheritance);
        assert!(old.receive::<FromNew>().await.unwrap().is_none(), "nothing was said");
    }
}
