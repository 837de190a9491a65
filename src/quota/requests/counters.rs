//! The counters of all tenants, by name. A reload finds a tenant's counters as they were, so that reloading forgives nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use pingora_limits::inflight::Inflight;
use serde::{Deserialize, Serialize};

use super::{Permit, pace::Pace, rate::Window};
use crate::{
    config::RequestLimits,
    quota::{LimitKind, Standing},
};

/// A request that does not fit: the limit, and the wait.
type Refusal = (Standing, Duration);

/// How soon a client may try again when all its slots are taken: nobody knows when a stream ends.
const RETRY_WHEN_BUSY: Duration = Duration::from_secs(1);

/// All tenants' counters.
pub struct Counters {
    running: Arc<Inflight>,
    tenants: Mutex<HashMap<String, Arc<TenantCounters>>>,
}

/// What a tenant's counters say, on their way from a process to its successor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    second: u32,
    minute: u32,
}

/// One tenant's counters.
pub struct TenantCounters {
    tenant: String,
    running: Arc<Inflight>,
    windows: Mutex<Windows>,
    /// Of all streams together.
    events: Mutex<Pace>,
    bytes: Mutex<Pace>,
}

struct Windows {
    second: Window,
    minute: Window,
}

impl Default for Counters {
    fn default() -> Self {
        Counters { running: Arc::new(Inflight::new()), tenants: Mutex::default() }
    }
}

impl Counters {
    /// Every tenant's counters there are.
    pub fn all(&self) -> Vec<(String, Arc<TenantCounters>)> {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.iter().map(|(tenant, counters)| (tenant.clone(), counters.clone())).collect()
    }

    /// The counters of a tenant; made on first use.
    pub fn of(&self, tenant: &str) -> Arc<TenantCounters> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || {
            let windows = Windows { second: Window::new(Duration::from_secs(1)), minute: Window::new(Duration::from_secs(60)) };
            let running = self.running.clone();
            let (events, bytes) = Default::default();
            Arc::new(TenantCounters { tenant: tenant.to_owned(), running, windows: Mutex::new(windows), events, bytes })
        };
        tenants.entry(tenant.to_owned()).or_insert_with(made).clone()
    }
}

impl TenantCounters {
    /// What a successor has to count on from.
    pub fn hand_over(&self, now: Instant) -> Counted {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        Counted { second: windows.second.used(now), minute: windows.minute.used(now) }
    }

    /// Counts what a predecessor counted, all of it as of now: no limit has more room than it had.
    pub fn take_over(&self, counted: Counted, now: Instant) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.second.count(counted.second, now);
        windows.minute.count(counted.minute, now);
    }

    /// A slot for a request that another process has let in.
    pub fn run(&self) -> Permit {
        Permit(self.running.incr(&self.tenant, 1).0)
    }

    /// Takes a slot among the running requests.
    pub(super) fn start(&self, limit: Option<u32>, standings: &mut Vec<Standing>) -> Result<Permit, Refusal> {
        let (guard, running) = self.running.incr(&self.tenant, 1);
        let Some(quota) = limit else { return Ok(Permit(guard)) };
        let running = u32::try_from(running).unwrap_or(u32::MAX);
        let kind = LimitKind::ConcurrentRequests;
        let standing = Standing::of_requests(kind, quota, quota.saturating_sub(running), RETRY_WHEN_BUSY);
        if running > quota {
            return Err((standing, RETRY_WHEN_BUSY));
        }
        standings.push(standing);
        Ok(Permit(guard))
    }

    /// Counts an event of a stream; how long it has to wait. 0 a second does not limit.
    pub fn take_event(&self, per_second: u64, now: Instant) -> Duration {
        take(&self.events, 1, per_second, now)
    }

    /// The same for bytes.
    pub fn take_bytes(&self, bytes: u64, per_second: u64, now: Instant) -> Duration {
        take(&self.bytes, bytes, per_second, now)
    }

    /// Counts a request in both windows, or in neither.
    pub(super) fn count(&self, limits: &RequestLimits, standings: &mut Vec<Standing>, now: Instant) -> Result<(), Refusal> {
        // The lock makes reading and counting one step; without it two requests could take the last place.
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let Windows { second, minute } = &mut *windows;
        let mut asked = [
            (LimitKind::RequestsPerSecond, limits.requests_per_second, second),
            (LimitKind::RequestsPerMinute, limits.requests_per_minute, minute),
        ];
        for (kind, limit, window) in &mut asked {
            let Some(quota) = *limit else { continue };
            let remaining = quota.saturating_sub(window.used(now));
            if remaining == 0 {
                let standing = Standing::of_requests(*kind, quota, remaining, window.reset(now));
                return Err((standing, window.wait(quota, now)));
            }
            standings.push(Standing::of_requests(*kind, quota, remaining - 1, window.length()));
        }
        asked.into_iter().filter(|(_, limit, _)| limit.is_some()).for_each(|(_, _, window)| window.count(1, now));
        Ok(())
    }
}

fn take(pace: &Mutex<Pace>, amount: u64, per_second: u64, now: Instant) -> Duration {
    if per_second == 0 {
        return Duration::ZERO;
    }
    pace.lock().unwrap_or_else(PoisonError::into_inner).take(amount, per_second, now)
}
