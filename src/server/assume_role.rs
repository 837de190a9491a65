//! Sessions of tenants' roles, made by STS's AssumeRole: at once where a request waits for one, and early where one is in use. The calls are
//! signed with the gateway's own credentials, and bounded in time and number, for each tenant apart.

mod sts;

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time,
};

pub use self::sts::{AssumeRoleError, Sts};
use super::chance::chance;
use crate::{
    aws::{HandedSession, RoleSession, RoleSessions},
    snapshot::Snapshot,
    telemetry::Metrics,
};

/// How often it is looked which sessions are due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Calls at once, for all tenants and for one: one whose role is slow to assume holds nobody else up.
const CALLS_MAX: usize = 64;
const CALLS_PER_TENANT_MAX: usize = 8;

/// What makes the calls.
pub struct Assuming {
    /// Whose sessions.
    pub sessions: Arc<RoleSessions>,
    /// Where STS is, by the configuration in force.
    pub sts: Arc<ArcSwap<Sts>>,
    /// Where calls are counted.
    pub metrics: Arc<Metrics>,
}

/// Room for calls.
struct Rooms {
    all: Arc<Semaphore>,
    tenants: HashMap<Arc<str>, Weak<Semaphore>>,
}

/// Takes what a predecessor held of every tenant that has the same role still.
pub(super) fn take_over(handed: Vec<HandedSession>, snapshot: &Snapshot, now: SystemTime) {
    let given = handed.len();
    let mut of_tenants: HashMap<Arc<str>, Vec<HandedSession>> = HashMap::new();
    for session in handed {
        of_tenants.entry(session.tenant().clone()).or_default().push(session);
    }
    let role = |tenant: &str| snapshot.tenants.get(tenant).and_then(|tenant| tenant.role.as_ref());
    let taken: usize =
        of_tenants.into_iter().filter_map(|(tenant, sessions)| Some(role(&tenant)?.take_over(sessions, now))).sum();
    if given > 0 {
        tracing::info!(given, taken, "the process before this one gave its sessions of tenants' roles");
    }
}

/// Calls for sessions until `ending` is true.
pub async fn keep_sessions(assuming: Arc<Assuming>, mut ending: watch::Receiver<bool>) {
    let Some(mut wanted) = assuming.sessions.take_calls() else { return };
    let mut rooms = Rooms { all: Arc::new(Semaphore::new(CALLS_MAX)), tenants: HashMap::new() };
    let mut calls = JoinSet::new();
    let mut looks = time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        let due = tokio::select! {
            session = wanted.recv() => Vec::from_iter(session),
            _ = looks.tick() => assuming.sessions.take_due(SystemTime::now()),
            Some(_) = calls.join_next() => continue,
            _ = ending.wait_for(|&ends| ends) => return,
        };
        for session in due {
            let (room, all) = (rooms.of(session.tenant()), rooms.all.clone());
            let assuming = assuming.clone();
            calls.spawn(async move {
                // Neither is ever closed.
                let _turn = room.acquire().await;
                let _room = all.acquire().await;
                assuming.call(&session).await;
            });
        }
    }
}

impl Rooms {
    fn of(&mut self, tenant: &Arc<str>) -> Arc<Semaphore> {
        if let Some(room) = self.tenants.get(tenant).and_then(Weak::upgrade) {
            return room;
        }
        self.tenants.retain(|_, room| room.strong_count() > 0);
        let room = Arc::new(Semaphore::new(CALLS_PER_TENANT_MAX));
        self.tenants.insert(tenant.clone(), Arc::downgrade(&room));
        room
    }
}

impl Assuming {
    async fn call(&self, session: &RoleSession) {
        let unanswered = Unanswered(session);
        if session.is_abandoned() {
            return;
        }
        let assumed = self.sts.load_full().assume(session.assumption()).await;
        std::mem::forget(unanswered);
        let now = SystemTime::now();
        let (tenant, role) = (&**session.tenant(), session.assumption().role.arn.as_str());
        match assumed {
            Ok(credentials) => {
                self.metrics.role_sessions.called(tenant, sts::OK);
                if session.succeed(credentials, now, chance()) {
                    tracing::info!(tenant, role, "the tenant's role can be assumed again");
                }
            }
            Err(error) => {
                self.metrics.role_sessions.called(tenant, error.outcome());
                session.fail(now);
                if self.sessions.is_news(session, now) {
                    let left =
                        if session.is_good(now) { "its session serves until it expires" } else { "its requests are refused" };
                    let session = session.assumption().session_name.as_str();
                    tracing::warn!(tenant, role, session, %error, "cannot assume the tenant's role; {left}");
                }
            }
        }
    }
}

/// A call that ends in no other way, a panic included, has failed.
struct Unanswered<'a>(&'a RoleSession);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.0.fail(SystemTime::now());
    }
}
