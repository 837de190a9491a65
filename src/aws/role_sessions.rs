//! The sessions of every tenant's role: found by everything that tells them apart, bounded in number for each tenant by itself, renewed
//! while they are used. Reading takes no lock; a new session copies its tenant's table.

pub mod handed;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{
    Assumption, RoleSession,
    assumption::{Role, SessionTag, principal_session_name, tenant_session_name},
    role_session::Calls,
};

/// How often the log may say that a tenant's role cannot be assumed.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// The key of the tag that every session has.
pub const TENANT_TAG: &str = "tenant";

/// All of them.
pub struct RoleSessions {
    /// Those that a configuration or a request still holds.
    tenants: Mutex<Vec<Weak<TenantSessions>>>,
    calls: Calls,
    called_for: Mutex<Option<CalledFor>>,
}

/// Sessions to be called for, by whoever calls STS.
pub type CalledFor = mpsc::UnboundedReceiver<Arc<RoleSession>>;

/// The sessions of one tenant, in one role.
pub struct TenantSessions {
    tenant: Arc<str>,
    role: Arc<Role>,
    held: ArcSwap<HashMap<SessionKey, Arc<RoleSession>>>,
    /// Held while `held` is replaced.
    changing: Mutex<()>,
    /// When the log was last told of a failure.
    told: Mutex<Option<SystemTime>>,
    calls: Calls,
}

/// What tells the sessions of one tenant's role apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionKey {
    /// Whose it is, if each principal has one: who vouches, and for whom.
    pub principal: Option<(Arc<str>, Arc<str>)>,
    /// Besides the tenant.
    pub tags: Vec<SessionTag>,
}

/// How the sessions of a tenant are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionsCondition {
    /// Its name.
    pub tenant: Arc<str>,
    /// With credentials that are good.
    pub held: usize,
    /// When the first of those expire.
    pub earliest_expiry: Option<SystemTime>,
}

impl SessionKey {
    /// Of the one session that all principals without tags share.
    fn is_shared(&self) -> bool {
        *self == SessionKey::default()
    }
}

impl Default for RoleSessions {
    fn default() -> RoleSessions {
        let (calls, called_for) = mpsc::unbounded_channel();
        RoleSessions { tenants: Mutex::default(), calls, called_for: Mutex::new(Some(called_for)) }
    }
}

impl RoleSessions {
    /// The sessions of a tenant in a role: those there are, if its role is what it was.
    pub fn of(&self, tenant: &Arc<str>, role: Role) -> Arc<TenantSessions> {
        let mut tenants = lock(&self.tenants);
        tenants.retain(|known| known.strong_count() > 0);
        let is_same = |known: &Arc<TenantSessions>| known.tenant == *tenant && *known.role == role;
        if let Some(known) = tenants.iter().filter_map(Weak::upgrade).find(is_same) {
            return known;
        }
        let new = Arc::new(TenantSessions {
            tenant: tenant.clone(),
            role: Arc::new(role),
            held: ArcSwap::default(),
            changing: Mutex::default(),
            told: Mutex::default(),
            calls: self.calls.clone(),
        });
        tenants.push(Arc::downgrade(&new));
        new
    }

    /// What is to be called for, for the one task that calls; nothing the second time.
    pub fn take_calls(&self) -> Option<CalledFor> {
        lock(&self.called_for).take()
    }

    /// The sessions to be renewed at `now`; forgets those that nobody needs.
    pub fn take_due(&self, now: SystemTime) -> Vec<Arc<RoleSession>> {
        let tenants = self.all();
        tenants.iter().for_each(|tenant| tenant.forget(now));
        let held: Vec<_> = tenants.iter().map(|tenant| tenant.held.load_full()).collect();
        held.iter().flat_map(|held| held.values()).filter(|session| session.take_due(now)).cloned().collect()
    }

    /// How those of each tenant are at `now`.
    pub fn conditions(&self, now: SystemTime) -> Vec<SessionsCondition> {
        self.all().iter().map(|tenant| tenant.condition(now)).collect()
    }

    /// Whether a failure of this session's tenant is news: seldom more often than once a minute.
    pub fn is_news(&self, session: &RoleSession, now: SystemTime) -> bool {
        let tenant = self.all().into_iter().find(|tenant| tenant.tenant == *session.tenant());
        tenant.is_none_or(|tenant| {
            let mut told = lock(&tenant.told);
            let is_news = told.is_none_or(|at| now.duration_since(at).map_or(true, |since| since >= SAY_EVERY));
            if is_news {
                *told = Some(now);
            }
            is_news
        })
    }

    fn all(&self) -> Vec<Arc<TenantSessions>> {
        lock(&self.tenants).iter().filter_map(Weak::upgrade).collect()
    }
}

impl TenantSessions {
    /// The role.
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// The session of a key, used at `now`. A new one takes the place of the one used longest ago if there would be more than
    /// `sessions_max`.
    pub fn session(&self, key: &SessionKey, sessions_max: usize, now: SystemTime) -> Arc<RoleSession> {
        if let Some(known) = self.held.load().get(key) {
            return known.clone();
        }
        let _turn = lock(&self.changing);
        let held = self.held.load_full();
        if let Some(known) = held.get(key) {
            return known.clone();
        }
        let mut changed = HashMap::clone(&held);
        while changed.len() >= sessions_max.max(1) {
            let Some(oldest) = changed.iter().min_by_key(|(_, session)| session.last_used()).map(|(key, _)| key.clone()) else {
                break;
            };
            changed.remove(&oldest).iter().for_each(|session| session.evict());
        }
        let session = Arc::new(self.new_session(key, now));
        changed.insert(key.clone(), session.clone());
        self.held.store(Arc::new(changed));
        session
    }

    fn new_session(&self, key: &SessionKey, now: SystemTime) -> RoleSession {
        RoleSession::new(self.tenant.clone(), self.assumption(key), key.is_shared(), self.calls.clone(), now)
    }

    fn assumption(&self, key: &SessionKey) -> Assumption {
        let session_name = match &key.principal {
            Some((issuer, subject)) => principal_session_name(&self.tenant, issuer, subject),
            None => tenant_session_name(&self.tenant),
        };
        let tenant = SessionTag { key: TENANT_TAG.into(), value: self.tenant.clone() };
        let tags = [tenant].into_iter().chain(key.tags.iter().cloned()).collect();
        Assumption { role: self.role.clone(), session_name, tags }
    }

    fn forget(&self, now: SystemTime) {
        if !self.held.load().values().any(|session| session.is_forgotten(now)) {
            return;
        }
        let _turn = lock(&self.changing);
        let mut changed = HashMap::clone(&self.held.load());
        changed.retain(|_, session| !session.is_forgotten(now));
        self.held.store(Arc::new(changed));
    }

    fn condition(&self, now: SystemTime) -> SessionsCondition {
        let held = self.held.load();
        let good = || held.values().filter(|session| session.is_good(now));
        SessionsCondition {
            tenant: self.tenant.clone(),
            held: good().count(),
            earliest_expiry: good().filter_map(|session| session.expiry()).min(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
