//! The limits of one conversation: what the client may send, and how long it may last.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::Denial;
use crate::{config::Bidirectional, quota::TenantCounters};

/// What the client may send. 0 does not limit.
pub struct Allowance {
    events_per_second_max: u64,
    bytes_per_second_max: u64,
    bytes_max: u64,
    /// Of all the tenant's streams.
    tenant: Arc<TenantCounters>,
    bytes: u64,
    wait: Duration,
}

impl Allowance {
    /// Nothing was sent yet.
    pub fn new(bounds: &Bidirectional, tenant: Arc<TenantCounters>) -> Allowance {
        let Bidirectional { events_per_second_max, bytes_per_second_max, bytes_max, .. } = *bounds;
        Allowance { events_per_second_max, bytes_per_second_max, bytes_max, tenant, bytes: 0, wait: Duration::ZERO }
    }

    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How long what came since this was asked before has to wait.
    pub fn wait(&mut self) -> Duration {
        std::mem::take(&mut self.wait)
    }

    /// Some bytes came.
    pub fn take_bytes(&mut self, bytes: usize, now: Instant) -> Result<(), Denial> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes_max > 0 && self.bytes > self.bytes_max {
            return Err(Denial::StreamTooLarge { bytes_max: self.bytes_max });
        }
        let wait = self.tenant.take_bytes(bytes as u64, self.bytes_per_second_max, now.into_std());
        self.wait = self.wait.max(wait);
        Ok(())
    }

    /// An event came.
    pub fn take_event(&mut self, now: Instant) {
        let wait = self.tenant.take_event(self.events_per_second_max, now.into_std());
        self.wait = self.wait.max(wait);
    }
}

/// How long a conversation lasts, and how long it has been silent.
pub struct Clock {
    began: Instant,
    idle: Duration,
    total: Duration,
    /// Milliseconds since the beginning.
    last: AtomicU64,
}

impl Clock {
    /// Begins now.
    pub fn new(bounds: &Bidirectional) -> Clock {
        let seconds = Duration::from_secs;
        let (idle, total) = (seconds(bounds.idle_seconds_max), seconds(bounds.total_seconds_max));
        Clock { began: Instant::now(), idle, total, last: AtomicU64::new(0) }
    }

    /// Something went through, in either direction.
    pub fn moved(&self) {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(passed, Ordering::Relaxed);
    }

    /// Ends when the conversation has lasted too long, or nothing has moved for too long.
    pub async fn expired(&self) -> Denial {
        let end = self.began + self.total;
        loop {
            let silent = self.began + Duration::from_millis(self.last.load(Ordering::Relaxed)) + self.idle;
            let now = Instant::now();
            if now >= end {
                return Denial::StreamTooLong { seconds_max: self.total.as_secs() };
            }
            if now >= silent {
                return Denial::StreamIdle { seconds_max: self.idle.as_secs() };
            }
            sleep_until(end.min(silent)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::Counters;

    fn bounds(events_per_second_max: u64, bytes_max: u64) -> Bidirectional {
        Bidirectional {
            events_per_second_max,
            bytes_max,
            idle_seconds_max: 10,
            total_seconds_max: 25,
            ..Bidirectional::default()
        }
    }

    fn allowance(bounds: &Bidirectional) -> Allowance {
        Allowance::new(bounds, Counters::default().of("acme"))
    }

    #[test]
    fn a_tenants_streams_share_its_seconds() {
        let bounds = Bidirectional { bytes_per_second_max: 1_000, ..bounds(3, 0) };
        let (counters, now) = (Counters::default(), Instant::now());
        let mut streams = ["acme", "acme", "acme", "globex"].map(|tenant| Allowance::new(&bounds, counters.of(tenant)));
        streams.iter_mut().for_each(|stream| stream.take_event(now));
        assert!(streams.iter_mut().all(|stream| stream.wait().is_zero()));
        let [one, two, _, other] = &mut streams;
        two.take_event(now);
        other.take_event(now);
        assert_eq!((two.wait().as_millis(), two.wait(), other.wait()), (333, Duration::ZERO, Duration::ZERO));
        one.take_bytes(600, now).unwrap();
        two.take_bytes(600, now).unwrap();
        other.take_bytes(600, now).unwrap();
        assert_eq!([one.wait(), two.wait(), other.wait()].map(|wait| wait.as_millis()), [0, 200, 0]);
    }

    #[test]
    fn bytes_are_counted_and_zero_does_not_limit() {
        let now = Instant::now();
        let mut bounded = allowance(&bounds(0, 100));
        assert!(bounded.take_bytes(100, now).is_ok() && bounded.take_bytes(1, now).is_err());
        let mut unbounded = allowance(&bounds(0, 0));
        assert!((0..2).all(|_| unbounded.take_bytes(usize::MAX, now).is_ok()));
        (0..100_000).for_each(|_| unbounded.take_event(now));
        assert_eq!(unbounded.wait(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_and_so_does_time_in_all() {
        let clock = Clock::new(&bounds(0, 0));
        assert!(matches!(clock.expired().await, Denial::StreamIdle { seconds_max: 10 }));
        assert_eq!(clock.began.elapsed().as_secs(), 10);
        let clock = Clock::new(&bounds(0, 0));
        let busy = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                clock.moved();
            }
        };
        let denial = tokio::select! { denial = clock.expired() => denial, () = busy => panic!("never ends") };
        assert!(matches!(denial, Denial::StreamTooLong { seconds_max: 25 }), "{denial:?}");
    }
}
