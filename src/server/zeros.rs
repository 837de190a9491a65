//! The zeros before the first counts: Prometheus sees no increase in a series that begins, so what an alert waits for is there from the start.

use crate::{snapshot::Snapshot, telemetry::Metrics};

/// Begins the series of the tenants in force.
pub(super) fn begin(snapshot: &Snapshot, metrics: &Metrics) {
    for tenant in snapshot.tenants.values() {
        metrics.account.begin(&tenant.name);
        if tenant.role.is_some() {
            metrics.role_sessions.begin(&tenant.name);
        }
    }
}
