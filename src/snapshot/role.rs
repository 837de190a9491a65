//! A tenant's own AWS identity, compiled: which session of its role a principal's requests are signed with.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    auth::Principal,
    aws::{HandedSession, Role, RoleSession, RoleSessions, SessionKey, SessionTag, TenantSessions},
    config::{Config, RoleOfTenant, Tenant},
};

/// A tenant's role.
pub struct AssumedRole {
    sessions: Arc<TenantSessions>,
    per_principal: bool,
    /// Keys of tags that claims make, in the configuration's order.
    tag_keys: Vec<Arc<str>>,
    sessions_max: usize,
    wait_max: Duration,
}

/// A claim that should make a session tag holds nothing that can be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the claim for the session tag {0} is not one text that AWS takes as a tag")]
pub struct UntaggableError(pub Arc<str>);

impl AssumedRole {
    /// The role of a tenant of `config`, with the sessions it has already; nothing for one that the gateway's own credentials are for.
    pub fn compile(name: &Arc<str>, tenant: &Tenant, config: &Config, sessions: &RoleSessions) -> Option<AssumedRole> {
        let roles = &config.roles;
        let RoleOfTenant { arn, external_id, per_principal, duration_seconds } = roles.of(tenant)?;
        let lifetime = Duration::from_secs(duration_seconds);
        let role = Role { arn, external_id, lifetime, transitive_tags: roles.transitive_tags.clone() };
        Some(AssumedRole {
            sessions: sessions.of(name, role),
            per_principal,
            tag_keys: roles.claim_tags.keys().map(|key| key.as_str().into()).collect(),
            sessions_max: roles.sessions_per_tenant_max,
            wait_max: Duration::from_secs(roles.wait_seconds_max),
        })
    }

    /// The session that this principal's requests are signed with, at `now`.
    ///
    /// # Errors
    /// The principal would have a tag that no session can have.
    pub fn session(&self, principal: &Principal, now: SystemTime) -> Result<Arc<RoleSession>, UntaggableError> {
        let owner = || (principal.issuer.clone(), principal.subject.clone());
        let key = SessionKey { principal: self.per_principal.then(owner), tags: self.tags(principal)? };
        Ok(self.sessions.session(&key, self.sessions_max, now))
    }

    /// Takes those sessions of a predecessor that a principal of this configuration could be signed for with, at `now`; says how many.
    pub fn take_over(&self, mut handed: Vec<HandedSession>, now: SystemTime) -> usize {
        handed.retain(|session| {
            let SessionKey { principal, tags } = session.key();
            principal.is_some() == self.per_principal && tags.iter().all(|tag| self.tag_keys.contains(&tag.key))
        });
        self.sessions.take_over(handed, self.sessions_max, now)
    }

    /// Sealed credentials may bring tags of an older configuration.
    fn tags(&self, principal: &Principal) -> Result<Vec<SessionTag>, UntaggableError> {
        let tags = principal.tags.iter().filter(|tag| self.tag_keys.contains(&tag.key));
        tags.map(|tag| match &tag.value {
            Some(value) => Ok(SessionTag { key: tag.key.clone(), value: value.clone() }),
            None => Err(UntaggableError(tag.key.clone())),
        })
        .collect()
    }

    /// How long a request waits for a session that is not there yet.
    pub fn wait_max(&self) -> Duration {
        self.wait_max
    }

    /// The role.
    pub fn role(&self) -> &Role {
        self.sessions.role()
    }

    /// Whether each principal has a session of its own.
    pub fn per_principal(&self) -> bool {
        self.per_principal
    }
}

#[cfg(test)]
mod tests;
