//! The memory that a conversation takes beside its buffers of fixed size, counted where bodies are: events that came in part or wait to go
//! on, and what lies in HTTP/2's window while the client is not read.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::Denial;
use crate::{
    config::Bodies,
    proxy::{
        edge::{Lent, STREAM_WINDOW_BYTES, Window},
        memory::{BodyMemory, Room},
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
    pub fn new(memory: &Arc<BodyMemory>, bodies: &Bodies) -> Held {
        let wait_max = Duration::from_secs(bodies.wait_seconds_max);
        Held { room: memory.room(), bytes_max: bodies.in_flight_bytes_max, wait_max }
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
    memory: Arc<BodyMemory>,
    bytes_max: u64,
    /// `None`: it is of no connection that could.
    window: Option<Arc<Window>>,
}

impl Loans {
    /// To one conversation, on the connection of this task's request.
    pub fn new(memory: &Arc<BodyMemory>, bodies: &Bodies) -> Loans {
        Loans { memory: memory.clone(), bytes_max: bodies.in_flight_bytes_max / 2, window: Window::of_request() }
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
        let mut room = self.memory.room();
        while room.grow(STREAM_WINDOW_BYTES.into(), self.bytes_max, LOAN_WAIT).await.is_err() {}
        (room, self.window.as_ref().map(Lent::of))
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use prometheus::IntGauge;
    use tokio::time::{Instant, sleep};

    use super::*;

    const MIB: u64 = STREAM_WINDOW_BYTES as u64;

    /// Room for four windows, what is taken of it, and its bounds.
    fn memory() -> (Arc<BodyMemory>, IntGauge, Bodies) {
        let gauge = IntGauge::new("held", "held").unwrap();
        let bodies = Bodies { in_flight_bytes_max: 4 * MIB, wait_seconds_max: 5, ..Bodies::default() };
        (BodyMemory::new(gauge.clone()), gauge, bodies)
    }

    #[tokio::test(start_paused = true)]
    async fn events_take_room_and_give_it_back_and_wait_for_it_only_so_long() {
        let (memory, gauge, bodies) = memory();
        let [mut first, mut second] = [(); 2].map(|()| Held::new(&memory, &bodies));
        for bytes in [100, 3 * MIB, 50] {
            first.hold(bytes).await.unwrap();
        }
        assert_eq!(gauge.get() as u64, 3 * MIB, "it keeps what it has until it says otherwise");
        second.hold(MIB).await.unwrap();
        let began = Instant::now();
        assert!(matches!(second.hold(MIB + WITHOUT_ROOM_MAX).await, Err(Denial::NoRoom)));
        assert_eq!(began.elapsed().as_secs(), 5);
        let waiting = async {
            sleep(Duration::from_secs(1)).await;
            first.keep(2 * MIB);
        };
        let (held, ()) = tokio::join!(second.hold(2 * MIB), waiting);
        assert_eq!((held.is_ok(), gauge.get() as u64), (true, 4 * MIB));
        drop((first, second));
        assert_eq!(gauge.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn short_events_wait_for_no_room() {
        let (memory, gauge, bodies) = memory();
        let [mut large, mut live] = [(); 2].map(|()| Held::new(&memory, &bodies));
        large.hold(4 * MIB).await.unwrap();
        let began = Instant::now();
        live.hold(WITHOUT_ROOM_MAX).await.unwrap();
        assert!(began.elapsed().is_zero());
        assert!(live.hold(WITHOUT_ROOM_MAX + 1).await.is_err());
        drop(live);
        assert_eq!(gauge.get() as u64, 4 * MIB, "what had no room gives none back");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_not_read_for_a_while_borrows_and_all_together_half() {
        let (memory, gauge, bodies) = memory();
        let window = Arc::new(Window::default());
        let loans = [(); 3].map(|()| Loans { window: Some(window.clone()), ..Loans::new(&memory, &bodies) });
        loans[0].cover(sleep(LENT_AFTER - Duration::from_millis(1))).await;
        assert_eq!(gauge.get(), 0);
        let long = Duration::from_secs(300);
        let waiting =
            async { tokio::join!(loans[0].cover(sleep(long)), loans[1].cover(sleep(long)), loans[2].cover(sleep(2 * long))) };
        let looking = async {
            let mut held = Vec::new();
            for seconds in [1, 298, 2] {
                sleep(Duration::from_secs(seconds)).await;
                held.push(gauge.get() as u64 / MIB);
            }
            held
        };
        let (_, held) = tokio::join!(waiting, looking);
        assert_eq!(held, [2, 2, 1], "the third borrows when the others have given back");
        assert_eq!(gauge.get(), 0);
        assert!(timeout(long, loans[0].cover(pending::<()>())).await.is_err());
        assert_eq!(gauge.get(), 0);
    }
}
