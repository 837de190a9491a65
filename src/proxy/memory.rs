//! Room in memory for the request bodies, and for what is held of events, at once. Whoever finds none waits; the limit is a parameter,
//! since it reloads.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus::IntGauge;
use tokio::{sync::Notify, time::timeout};

/// The bytes held by all requests together.
pub struct BodyMemory {
    held: AtomicU64,
    freed: Notify,
    gauge: IntGauge,
}

/// A request's share; dropping it gives the room back.
pub struct Room {
    memory: Arc<BodyMemory>,
    bytes: u64,
}

/// There was no room for as long as a request may wait.
#[derive(Debug, PartialEq, Eq)]
pub struct NoRoom;

impl BodyMemory {
    /// Nothing held; `gauge` shows what is.
    pub fn new(gauge: IntGauge) -> Arc<BodyMemory> {
        Arc::new(BodyMemory { held: AtomicU64::new(0), freed: Notify::new(), gauge })
    }

    /// An empty share, to be grown.
    pub fn room(self: &Arc<Self>) -> Room {
        Room { memory: self.clone(), bytes: 0 }
    }

    fn try_take(&self, bytes: u64, bytes_max: u64) -> bool {
        let taken = self
            .held
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |held| held.checked_add(bytes).filter(|&held| held <= bytes_max));
        if taken.is_ok() {
            self.gauge.add(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        taken.is_ok()
    }
}

impl Room {
    /// Adds `bytes` to the share if there is room for them now.
    pub fn try_grow(&mut self, bytes: u64, bytes_max: u64) -> Result<(), NoRoom> {
        if !self.memory.try_take(bytes, bytes_max) {
            return Err(NoRoom);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Adds `bytes` to the share, waiting up to `wait_max` while all shares together would be more than `bytes_max`.
    pub async fn grow(&mut self, bytes: u64, bytes_max: u64, wait_max: Duration) -> Result<(), NoRoom> {
        let memory = &self.memory;
        let taken = async {
            loop {
                // Listening before looking: what is freed in between is not missed.
                let mut freed = std::pin::pin!(memory.freed.notified());
                freed.as_mut().enable();
                if memory.try_take(bytes, bytes_max) {
                    return;
                }
                freed.await;
            }
        };
        timeout(wait_max, taken).await.map_err(|_| NoRoom)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Room {
    /// The share.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back what is more than `bytes` of the share.
    pub fn shrink_to(&mut self, bytes: u64) {
        let freed = self.bytes.saturating_sub(bytes);
        if freed > 0 {
            self.bytes -= freed;
            self.memory.held.fetch_sub(freed, Ordering::AcqRel);
            self.memory.gauge.sub(i64::try_from(freed).unwrap_or(i64::MAX));
            self.memory.freed.notify_waiters();
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn room_is_waited_for_and_given_back() {
        let gauge = IntGauge::new("held", "held").unwrap();
        let memory = BodyMemory::new(gauge.clone());
        let wait = Duration::from_secs(5);
        let mut first = memory.room();
        first.grow(70, 100, wait).await.unwrap();
        assert_eq!(memory.room().grow(40, 100, wait).await, Err(NoRoom));
        let waiting = tokio::spawn({
            let mut room = memory.room();
            async move { room.grow(40, 100, wait).await.map(|()| room) }
        });
        tokio::task::yield_now().await;
        drop(first);
        let second = waiting.await.unwrap().unwrap();
        assert_eq!(gauge.get(), 40);
        drop(second);
        assert_eq!(gauge.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_that_shrinks_makes_room_for_others() {
        let gauge = IntGauge::new("held", "held").unwrap();
        let memory = BodyMemory::new(gauge.clone());
        let mut first = memory.room();
        first.try_grow(100, 100).unwrap();
        let mut second = memory.room();
        let wait = Duration::from_secs(5);
        let growing = second.grow(60, 100, wait);
        let shrinking = async {
            tokio::task::yield_now().await;
            for bytes in [200, 100, 70, 40] {
                first.shrink_to(bytes);
            }
        };
        let (grown, ()) = tokio::join!(growing, shrinking);
        assert_eq!((grown, first.bytes(), second.bytes(), gauge.get()), (Ok(()), 40, 60, 100));
    }
}
