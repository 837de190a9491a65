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
