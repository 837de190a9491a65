//! One connection as its requests see it: they can end it, in the three ways in which a peer can, and it ends itself when it has
//! been idle for as long as the script says.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// How a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// RST.
    Reset,
    /// FIN, and nothing of what HTTP or TLS would say before it.
    Close,
    /// As HTTP and TLS want it: what is being answered goes out first.
    Graceful,
}

/// Shared between the task that drives a connection and the requests on it.
#[derive(Debug)]
pub(super) struct Connection {
    /// Counts from 1.
    pub number: u64,
    end: AtomicU8,
    end_changed: Notify,
    in_flight: AtomicUsize,
    /// 0: never.
    idle_ms: AtomicU64,
    activity: Notify,
}

impl Connection {
    pub fn new(number: u64, idle_ms: Option<u64>) -> Connection {
        Connection {
            number,
            end: AtomicU8::new(0),
            end_changed: Notify::new(),
            in_flight: AtomicUsize::new(0),
            idle_ms: AtomicU64::new(idle_ms.unwrap_or(0)),
            activity: Notify::new(),
        }
    }

    /// Asks the driving task to end the connection. It first hands to the kernel what has been written.
    pub fn end(&self, end: End) {
        self.end.store(end as u8 + 1, Ordering::Release);
        self.end_changed.notify_one();
    }

    /// Waits for [`Connection::end`].
    pub async fn ended(&self) -> End {
        loop {
            self.end_changed.notified().await;
            if let Some(end) = self.wanted_end() {
                return end;
            }
        }
    }

    /// What the connection is to end with, if anything.
    pub fn wanted_end(&self) -> Option<End> {
        [End::Reset, End::Close, End::Graceful].into_iter().find(|end| self.end.load(Ordering::Acquire) == *end as u8 + 1)
    }

    /// A request has begun: the connection is not idle until the guard is dropped.
    pub fn begin(self: &Arc<Connection>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        self.note_activity();
        InFlight(self.clone())
    }

    /// Most scripts never close idle connections: then the driving task need not wake.
    fn note_activity(&self) {
        if self.idle_ms.load(Ordering::Acquire) > 0 {
            self.activity.notify_one();
        }
    }

    /// From now on closes when idle this long.
    pub fn close_when_idle(&self, idle_ms: u64) {
        self.idle_ms.store(idle_ms, Ordering::Release);
    }

    /// Waits until the connection has been idle for as long as it may.
    pub async fn idle(&self) {
        loop {
            let idle_ms = self.idle_ms.load(Ordering::Acquire);
            let deadline = Instant::now() + Duration::from_millis(idle_ms);
            if idle_ms == 0 || self.in_flight.load(Ordering::Acquire) > 0 {
                self.activity.notified().await;
            } else if tokio::time::timeout_at(deadline, self.activity.notified()).await.is_err() {
                return;
            }
        }
    }
}

/// A request on a connection, from its header to the last byte of its answer.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Connection>);

impl InFlight {
    pub fn connection(&self) -> &Connection {
        &self.0
    }

    /// For whoever ends the connection later.
    pub fn shared(&self) -> Arc<Connection> {
        self.0.clone()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.0.note_activity();
    }
}
