//! What the admin listener asks the process: metrics that are read when somebody looks, readiness, and how tenants stand.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tokio::sync::watch;

use super::{
    assembly::{Keeping, Parts},
    figures,
    reload::unix_seconds,
};
use crate::{
    admin::Vitals,
    console::Figures,
    quota::{LimitKind, Now, Statement},
    snapshot::Tenant,
};

pub(super) struct GatewayVitals {
    pub parts: Parts,
    pub keeping: Keeping,
    pub draining: watch::Receiver<bool>,
    /// As bound, in the order of the file.
    pub traffic: Vec<SocketAddr>,
    /// Held by whoever looks at metrics: what is read then is set anew, and nobody else may see it half done.
    pub looking: Mutex<()>,
}

/// An object, so that there is room for more beside it.
#[derive(serde::Serialize)]
struct AllTenants {
    tenants: Vec<Statement>,
}

impl Vitals for GatewayVitals {
    fn metrics(&self) -> Result<Vec<u8>, prometheus::Error> {
        let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = &self.parts.metrics;
        let tokens = &self.parts.lasting.tokens;
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        metrics.token_cache_hits.set(number(tokens.hits()));
        metrics.token_cache_misses.set(number(tokens.misses()));
        metrics.token_cache_entries.set(number(tokens.len() as u64));
        metrics.ready.set(self.unready().is_empty().into());
        metrics.credentials_expiry.set(self.parts.credentials.expiry().map_or(0, unix_seconds));
        let conditions = self.parts.lasting.key_sets.conditions(SystemTime::now());
        metrics.key_sets.show(conditions.iter().map(|condition| (&*condition.issuer, condition.keys, condition.age)));
        metrics.predecessors.set(i64::try_from(self.keeping.predecessors.count()).unwrap_or(i64::MAX));
        self.role_sessions();
        self.balances();
        self.ledger_health();
        metrics.render()
    }

    fn unready(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        if *self.draining.borrow() {
            reasons.push("stopping");
        }
        if self.parts.credentials.current(SystemTime::now()).is_err() {
            reasons.push("no AWS credentials");
        }
        if !self.keeping.custody.admits() {
            reasons.push("the ledger cannot be written");
        }
        reasons
    }

    fn usage(&self) -> serde_json::Result<Vec<u8>> {
        let live = self.parts.live.load();
        let mut tenants: Vec<&Arc<Tenant>> = live.snapshot.tenants.values().collect();
        tenants.sort_by(|a, b| a.name.cmp(&b.name));
        let now = Now::read();
        let tenants = tenants.into_iter().map(|tenant| self.statement(tenant, &now)).collect();
        serde_json::to_vec(&AllTenants { tenants })
    }

    fn usage_of(&self, tenant: &str) -> Option<serde_json::Result<Vec<u8>>> {
        let live = self.parts.live.load();
        let tenant = live.snapshot.tenants.get(tenant)?;
        Some(serde_json::to_vec(&self.statement(tenant, &Now::read())))
    }

    fn figures(&self) -> Figures {
        figures::gather(self, self.unready())
    }
}

impl GatewayVitals {
    pub(super) fn statement(&self, tenant: &Tenant, now: &Now) -> Statement {
        let running = self.parts.metrics.in_flight.with_label_values(&[&tenant.name]).get();
        tenant.account.statement(&tenant.quotas, u64::try_from(running).unwrap_or(0), now)
    }

    fn role_sessions(&self) {
        let conditions = self.parts.lasting.role_sessions.conditions(SystemTime::now());
        let shown = conditions.iter().map(|of| (&*of.tenant, of.held, of.earliest_expiry.map(unix_seconds)));
        self.parts.metrics.role_sessions.show(shown);
    }

    /// How every tenant of the configuration in force stands.
    fn balances(&self) {
        let metrics = &self.parts.metrics;
        metrics.account.quota_remaining.reset();
        metrics.account.quota_reserved.reset();
        let now = Now::read();
        for tenant in self.parts.live.load().snapshot.tenants.values() {
            for balance in tenant.account.balances(&tenant.quotas, &now) {
                let limit = LimitKind::Per(balance.measure, balance.span).name();
                let labels = [&*tenant.name, &*balance.quota, limit];
                let share = |amount: u64| amount as f64 / balance.amount.max(1) as f64;
                metrics.account.quota_remaining.with_label_values(&labels).set(share(balance.remaining));
                metrics.account.quota_reserved.with_label_values(&labels).set(share(balance.reserved));
            }
        }
    }

    fn ledger_health(&self) {
        let metrics = &self.parts.metrics;
        let health = self.keeping.ledger.health();
        let mut writable = true;
        // A file without health is given up; a successor has its own metric.
        self.keeping.custody.here(|_, ledger| {
            writable = health.as_ref().map_or(ledger.file().is_none(), |health| health.writable);
        });
        metrics.account.ledger_writable.set(writable.into());
        metrics.account.ledger_lag.set(health.as_ref().map_or(0.0, |health| health.lag.as_secs_f64()));
        metrics.account.ledger_waiting.set(health.map_or(0, |health| i64::try_from(health.rows_waiting).unwrap_or(i64::MAX)));
    }
}
