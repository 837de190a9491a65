//! Idle connections to Bedrock: given back after an answer, newest taken first. Whether one still stands is asked when it is taken, and of all
//! of them once a second. Pingora's own pool has a task for every idle connection, begun and ended with each request.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use pingora_core::{
    connectors::{ConnectorOptions, TransportConnector},
    protocols::Stream,
    upstreams::peer::Peer,
};
use pingora_error::Result;
use tokio::{io::AsyncReadExt, task::unconstrained};

/// How often those are let go that Bedrock closed, or that were idle for too long.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// See the module.
pub struct Pool {
    connector: TransportConnector,
    idle_max: usize,
    idle: Mutex<Idle>,
}

/// By where they lead and how: what Pingora hashes of a peer.
#[derive(Default)]
struct Idle {
    connections: HashMap<u64, Vec<IdleConnection>>,
    count: usize,
}

struct IdleConnection {
    stream: Stream,
    until: Instant,
}

impl Pool {
    /// Keeps up to so many, and looks after them for as long as it lives.
    pub fn start(idle_max: usize) -> Arc<Pool> {
        let connector = TransportConnector::new(Some(ConnectorOptions::new(0)));
        let pool = Arc::new(Pool { connector, idle_max, idle: Mutex::default() });
        tokio::spawn(sweep(Arc::downgrade(&pool)));
        pool
    }

    /// A connection, and whether it was used before.
    ///
    /// # Errors
    /// There was none, and a new one cannot be made.
    pub async fn take<P: Peer + Send + Sync + 'static>(&self, peer: &P) -> Result<(Stream, bool)> {
        match self.newest(peer.reuse_hash()) {
            Some(stream) => Ok((stream, true)),
            // Boxed: what is rare must not make the memory of every request larger, which is moved when it begins.
            None => Ok((Box::pin(self.connector.new_stream(peer)).await?, false)),
        }
    }

    /// Keeps a connection on which nothing is on its way.
    pub fn give_back<P: Peer>(&self, peer: &P, stream: Stream) {
        let Some(longest) = peer.idle_timeout().filter(|longest| !longest.is_zero()) else { return };
        let mut idle = self.idle();
        if idle.count < self.idle_max {
            idle.count += 1;
            let until = Instant::now() + longest;
            idle.connections.entry(peer.reuse_hash()).or_default().push(IdleConnection { stream, until });
        }
    }

    fn newest(&self, key: u64) -> Option<Stream> {
        let mut idle = self.idle();
        let now = Instant::now();
        loop {
            let mut connection = idle.connections.get_mut(&key)?.pop()?;
            idle.count -= 1;
            if connection.stands(now) {
                return Some(connection.stream);
            }
        }
    }

    fn sweep(&self) {
        let now = Instant::now();
        let mut idle = self.idle();
        idle.connections.retain(|_, connections| {
            connections.retain_mut(|connection| connection.stands(now));
            !connections.is_empty()
        });
        idle.count = idle.connections.values().map(Vec::len).sum();
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IdleConnection {
    /// Nobody has a reason to say anything on it: it is closed if there is anything to be read, were it only that it is closed.
    fn stands(&mut self, now: Instant) -> bool {
        if now >= self.until {
            return false;
        }
        let mut byte = [0];
        // Of many that are asked in one turn, Tokio would not let the last ones answer.
        let read = pin!(unconstrained(self.stream.read(&mut byte)));
        matches!(read.poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
    }
}

async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        match pool.upgrade() {
            Some(pool) => pool.sweep(),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use pingora_core::upstreams::peer::HttpPeer;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn peer(idle: Duration) -> HttpPeer {
        let mut peer = HttpPeer::new("127.0.0.1:9", false, String::new());
        peer.options.idle_timeout = Some(idle);
        peer
    }

    /// Gives back a connection; its other end.
    fn given(pool: &Pool, peer: &HttpPeer) -> DuplexStream {
        let (ours, theirs) = duplex(64);
        pool.give_back(peer, Box::new(ours));
        theirs
    }

    /// Whose other end it is that is taken.
    async fn taken(pool: &Pool, peer: &HttpPeer, ends: &mut [DuplexStream]) -> Option<usize> {
        let mut stream = pool.newest(peer.reuse_hash())?;
        stream.write_all(b"!").await.unwrap();
        stream.flush().await.unwrap();
        let mut byte = [0];
        ends.iter_mut().position(|end| {
            let read = pin!(end.read(&mut byte));
            matches!(read.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(1)))
        })
    }

    #[tokio::test]
    async fn the_newest_that_stands_is_taken() {
        let (pool, peer) = (Pool::start(9), peer(Duration::from_secs(60)));
        let mut ends: Vec<_> = (0..4).map(|_| given(&pool, &peer)).collect();
        // One is closed, and one says what nobody asked for.
        drop(ends.pop());
        ends[2].write_all(b"HTTP/1.1 408 Request Timeout\r\n").await.unwrap();
        assert_eq!(taken(&pool, &peer, &mut ends).await, Some(1));
        assert_eq!(taken(&pool, &peer, &mut ends).await, Some(0));
        assert_eq!(taken(&pool, &peer, &mut ends).await, None);
        assert_eq!(pool.idle().count, 0);
    }

    #[tokio::test]
    async fn others_do_not_get_it() {
        let (pool, mut fresh, peer) = (Pool::start(9), peer(Duration::ZERO), peer(Duration::from_secs(60)));
        let mut ends = [given(&pool, &peer), given(&pool, &fresh)];
        fresh.group_key = 1;
        assert_eq!(taken(&pool, &fresh, &mut ends).await, None);
        assert_eq!(pool.idle().count, 1);
        assert_eq!(taken(&pool, &peer, &mut ends).await, Some(0));
    }

    #[tokio::test]
    async fn more_than_it_keeps_are_closed_and_so_are_those_whose_time_is_over() {
        let (pool, long, short) = (Pool::start(3), peer(Duration::from_secs(60)), peer(Duration::from_nanos(1)));
        let mut ends = [given(&pool, &short), given(&pool, &long), given(&pool, &long), given(&pool, &long)];
        assert_eq!(pool.idle().count, 3);
        assert_eq!(ends[3].read(&mut [0]).await.unwrap(), 0);
        pool.sweep();
        assert_eq!(pool.idle().count, 2);
        assert_eq!(ends[0].read(&mut [0]).await.unwrap(), 0);
        assert_eq!(taken(&pool, &long, &mut ends).await, Some(2));
    }
}
