//! The metrics of tenants' AWS sessions, a part of the one table. Labels are the tenants' names in the configuration.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::table::Table;

/// Of all tenants that have a role.
pub struct RoleSessionMetrics {
    held: IntGaugeVec,
    expiry: IntGaugeVec,
    calls: IntCounterVec,
}

/// How a call of AssumeRole ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssumeRoleOutcome {
    /// With credentials.
    Ok,
    /// STS said no: the role's trust policy, the tags, the external id.
    Denied,
    /// STS could not be asked, or gave no answer that can be used.
    Failed,
}

impl AssumeRoleOutcome {
    /// The label.
    pub fn label(self) -> &'static str {
        match self {
            AssumeRoleOutcome::Ok => "ok",
            AssumeRoleOutcome::Denied => "denied",
            AssumeRoleOutcome::Failed => "failed",
        }
    }
}

impl RoleSessionMetrics {
    pub(super) fn new(t: &mut Table) -> Result<RoleSessionMetrics, prometheus::Error> {
        Ok(RoleSessionMetrics {
            held: t.gauges(
                "tollgate_role_sessions",
                "Sessions of a tenant's AWS role with credentials that are good.",
                &["tenant"],
            )?,
            expiry: t.gauges(
                "tollgate_role_session_expiry_timestamp_seconds",
                "When the first of a tenant's sessions expires; absent without any.",
                &["tenant"],
            )?,
            calls: t.counters(
                "tollgate_assume_role_calls_total",
                "Calls of AssumeRole; outcome is ok, denied by STS, or failed.",
                &["tenant", "outcome"],
            )?,
        })
    }

    /// Shows that nothing was called yet.
    pub fn begin(&self, tenant: &str) {
        for outcome in [AssumeRoleOutcome::Ok, AssumeRoleOutcome::Denied, AssumeRoleOutcome::Failed] {
            self.calls.with_label_values(&[tenant, outcome.label()]);
        }
    }

    /// Counts a call.
    pub fn called(&self, tenant: &str, outcome: AssumeRoleOutcome) {
        self.calls.with_label_values(&[tenant, outcome.label()]).inc();
    }

    /// Shows how many sessions these tenants hold and when the first expires, in seconds since 1970, and of no others.
    pub fn show<'a>(&self, conditions: impl IntoIterator<Item = (&'a str, usize, Option<i64>)>) {
        self.held.reset();
        self.expiry.reset();
        for (tenant, held, expiry) in conditions {
            self.held.with_label_values(&[tenant]).add(i64::try_from(held).unwrap_or(i64::MAX));
            if let Some(expiry) = expiry {
                let shown = self.expiry.with_label_values(&[tenant]);
                // After a reload a tenant may still have sessions of its old role.
                shown.set(if shown.get() == 0 { expiry } else { expiry.min(shown.get()) });
            }
        }
    }
}
