//! The memory that a conversation takes beside its buffers of fixed size, counted where bodies are: events that came in part or wait to go
//! on, and what lies in HTTP/2's window while the client is not read.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::Denial;
use crate::{
    config::Bodies,
    proxy::{
        budget::{BodyBudget, Room},
        edge::{Lent, STREAM_WINDOW_BYTES, Window},
    },
};

/// So much needs no room where there is none: the short events of a voice do not wait for long documents, and its HTTP/2 window is larger.
const WITHOUT_ROOM_MAX: u64 = 16 << 10;

/// A client that is not read for less than this borrows nothing.
const LENT_AFTER: Duration = Duration::from_millis(100);

/// How long a loan is waited for at a time.
const LOAN_WAIT: Duration = Duration::from_secs(60);

/// Room for the events of one conversation.
pub struct Held {
    room: Room,
    bytes_max: u64,
    wait_max: Duration,
}

impl Held {
    /// Nothing yet.
    pub fn new(budget: &Arc<BodyBudget>, bodies: &Bodies) -> Held {
        let wait_max = Duration::from_secs(bodies.wait_seconds_max);
        Held { room: budget.room(), bytes_max: bodies.in_flight_bytes_max, wait_max }
    }

    /// Takes room for so many bytes in all, waiting for it as bodies do. An event takes it as soon as it tells its length: two that had
    /// half of theirs would wait for each other.
    ///
    /// # Errors
    /// There was none for too long.
    pub async fn hold(&mut self, bytes: u64) -> Result<(), Denial> {
        let more = bytes.saturating_sub(self.room.bytes());
        if more == 0 || self.room.try_grow(more, self.bytes_max).is_ok() || bytes <= WITHOUT_ROOM_MAX {
            return Ok(());
        }
        self.room.grow(more, self.bytes_max, self.wait_max).await.map_err(|_| Denial::NoRoom)
    }

    /// So many bytes are left; gives back the rest.
    pub fn keep(&mut self, bytes: u64) {
        self.room.shrink_to(bytes);
    }
}

/// What a client has sent and nobody reads counts against its connection's window, which all its streams share: a few that stand still
/// would stop the others. So each that is not read for a while borrows as much again for its connection, if there is room. All of them
/// leave half of the room to bodies.
pub struct Loans {
    budget: Arc<BodyBudget>,
    bytes_max: u64,
    /// `None`: it is of no connection that could.
    window: Option<Arc<Window>>,
}

impl Loans {
    /// To one conversation, on the connection of this task's request.
    pub fn new(budget: &Arc<BodyBudget>, bodies: &Bodies) -> Loans {
        Loans { budget: budget.clone(), bytes_max: bodies.in_flight_bytes_max / 2, window: Window::of_request() }
    }

    /// Waits for what keeps the gateway from reading the client.
    pub async fn cover<T>(&self, waiting: impl Future<Output = T>) -> T {
        let mut waiting = pin!(waiting);
        if let Ok(done) = timeout(LENT_AFTER, waiting.as_mut()).await {
            return done;
        }
        let _loan = tokio::select! {
            biased;
            done = waiting.as_mut() => return done,
            loan = self.lend() => loan,
        };
        waiting.await
    }

    /// As much as the client can send on one stream.
    async fn lend(&self) -> (Room, Option<Lent>) {
        let mut room = self.budget.room();
        while room.grow(STREAM_WINDOW_BYTES.into(), self.bytes_max, LOAN_WAIT).await.is_err() {}
        (room, self.window.as_ref().map(Lent::of))
    }
}
