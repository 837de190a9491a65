//! The limits of one conversation: what the client may send, and how long it may last.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::Denial;
use crate::config::Bidirectional;

/// What the client may send. 0 does not limit.
pub struct Allowance {
    events_per_second_max: u64,
    bytes_max: u64,
    second: Instant,
    events: u64,
    bytes: u64,
}

impl Allowance {
    /// Nothing was sent yet.
    pub fn new(bounds: &Bidirectional) -> Allowance {
        let Bidirectional { events_per_second_max, bytes_max, .. } = *bounds;
        Allowance { events_per_second_max, bytes_max, second: Instant::now(), events: 0, bytes: 0 }
    }

    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Some bytes came.
    pub fn take_bytes(&mut self, bytes: usize) -> Result<(), Denial> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        let over = self.bytes_max > 0 && self.bytes > self.bytes_max;
        if over { Err(Denial::StreamTooLarge { bytes_max: self.bytes_max }) } else { Ok(()) }
    }

    /// An event came. Seconds begin with their first event.
    pub fn take_event(&mut self, now: Instant) -> Result<(), Denial> {
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            (self.second, self.events) = (now, 0);
        }
        self.events += 1;
        let over = self.events_per_second_max > 0 && self.events > self.events_per_second_max;
        if over { Err(Denial::EventsTooFast { per_second_max: self.events_per_second_max }) } else { Ok(()) }
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

    fn bounds(events_per_second_max: u64, bytes_max: u64) -> Bidirectional {
        Bidirectional {
            events_per_second_max,
            bytes_max,
            idle_seconds_max: 10,
            total_seconds_max: 25,
            ..Bidirectional::default()
        }
    }

    #[test]
    fn each_second_has_its_own_events() {
        let mut allowance = Allowance::new(&bounds(3, 0));
        let start = Instant::now();
        for second in 0..3 {
            let now = start + Duration::from_secs(second * 2);
            assert!((0..3).all(|_| allowance.take_event(now).is_ok()));
            assert!(matches!(allowance.take_event(now), Err(Denial::EventsTooFast { per_second_max: 3 })));
        }
    }

    #[test]
    fn bytes_are_counted_and_zero_does_not_limit() {
        let mut allowance = Allowance::new(&bounds(0, 100));
        assert!(allowance.take_bytes(100).is_ok() && allowance.take_bytes(1).is_err());
        let mut allowance = Allowance::new(&bounds(0, 0));
        assert!(allowance.take_bytes(usize::MAX).is_ok() && allowance.take_bytes(usize::MAX).is_ok());
        assert!((0..100_000).all(|_| allowance.take_event(Instant::now()).is_ok()));
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
