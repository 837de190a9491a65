//! A session on its way from a process to its successor, which takes what it would ask STS for in the same words. Its secrets are for the
//! link between the two alone: nothing here prints them.

use std::{collections::HashMap, fmt, sync::Arc, time::SystemTime};

use aws_credential_types::Credentials;
use serde::{Deserialize, Serialize};

use super::{RoleSession, RoleSessions, SessionKey, TenantSessions, lock};
use crate::aws::{assumption::Role, role_session::Course};

/// Each has one to three kilobytes, as STS makes them.
const SESSIONS_MAX: usize = 10_000;
const BYTES_MAX: usize = 64 << 20;

/// A session with credentials that are good. One that another version tells apart by more than this is not understood, and not taken.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandedSession {
    tenant: Arc<str>,
    role: Role,
    key: SessionKey,
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expires: SystemTime,
    course: Course,
}

/// How much may go over. STS is asked for what is more, when it is used.
pub struct Room {
    sessions: usize,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Room {
        Room { sessions: SESSIONS_MAX, bytes: BYTES_MAX }
    }
}

impl Room {
    /// Whether one more has room; it takes it then.
    pub fn takes(&mut self, session: &HandedSession) -> bool {
        match (self.sessions.checked_sub(1), self.bytes.checked_sub(session.length())) {
            (Some(sessions), Some(bytes)) => {
                *self = Room { sessions, bytes };
                true
            }
            _ => false,
        }
    }
}

impl HandedSession {
    /// Whose it is.
    pub fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    /// What tells it from others of the same role.
    pub fn key(&self) -> &SessionKey {
        &self.key
    }

    /// Bytes of its texts.
    fn length(&self) -> usize {
        let principal = self.key.principal.as_ref().map_or(0, |(issuer, subject)| issuer.len() + subject.len());
        let tags: usize = self.key.tags.iter().map(|tag| tag.key.len() + tag.value.len()).sum();
        let credentials = [&self.access_key_id, &self.secret_access_key, &self.session_token].map(String::len);
        self.tenant.len() + self.role.arn.len() + principal + tags + credentials.iter().sum::<usize>()
    }

    fn of(session: &RoleSession, key: &SessionKey, now: SystemTime) -> Option<HandedSession> {
        let signer = session.current(now)?;
        let credentials = signer.credentials();
        Some(HandedSession {
            tenant: session.tenant().clone(),
            role: Role::clone(&session.assumption().role),
            key: key.clone(),
            access_key_id: credentials.access_key_id().to_owned(),
            secret_access_key: credentials.secret_access_key().to_owned(),
            session_token: credentials.session_token()?.to_owned(),
            expires: credentials.expiry()?,
            course: session.course(),
        })
    }
}

impl fmt::Debug for HandedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandedSession").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl RoleSessions {
    /// What a successor would have to ask STS for, as far as there is room: first those that are always kept, then the last used.
    pub fn hand_over(&self, mut room: Room, now: SystemTime) -> Vec<HandedSession> {
        let tables: Vec<_> = self.all().iter().map(|tenant| tenant.held.load_full()).collect();
        let mut sessions: Vec<_> =
            tables.iter().flat_map(|held| held.iter()).filter(|(_, session)| session.is_good(now)).collect();
        sessions.sort_by_cached_key(|(key, session)| std::cmp::Reverse((key.is_shared(), session.last_used())));
        let handed = sessions.into_iter().filter_map(|(key, session)| HandedSession::of(session, key, now));
        handed.filter(|session| room.takes(session)).collect()
    }
}

impl TenantSessions {
    /// Takes what a predecessor held of this tenant in this role, if it is good at `now` and there is room; says how many.
    pub fn take_over(&self, handed: Vec<HandedSession>, sessions_max: usize, now: SystemTime) -> usize {
        let _turn = lock(&self.changing);
        let mut changed = HashMap::clone(&self.held.load());
        let before = changed.len();
        for one in handed {
            let is_ours = one.tenant == self.tenant && one.role == *self.role && one.expires > now;
            if !is_ours || changed.len() >= sessions_max || changed.contains_key(&one.key) {
                continue;
            }
            let session = self.new_session(&one.key, now);
            let token = Some(one.session_token);
            let credentials = Credentials::new(one.access_key_id, one.secret_access_key, token, Some(one.expires), "AssumeRole");
            session.resume(credentials, one.course, now);
            changed.insert(one.key, Arc::new(session));
        }
        let taken = changed.len() - before;
        self.held.store(Arc::new(changed));
        taken
    }
}

#[cfg(test)]
mod tests;
