//! Where host names are. Names are resolved in the background and on first use, never by Pingora (which blocks a thread, and panics
//! on a name that is not there); the last good addresses serve while DNS fails.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use prometheus::IntCounter;
use tokio::{net::lookup_host, time::timeout};

/// How long a request waits for the first answer about a name.
const FIRST_LOOKUP_MAX: Duration = Duration::from_secs(3);

/// By host and port.
type Known = HashMap<(String, u16), Arc<Vec<SocketAddr>>>;

/// The known addresses.
pub struct Addresses {
    known: Mutex<Known>,
    turn: AtomicUsize,
    failures: IntCounter,
}

impl Addresses {
    /// None yet; look-ups that give no address are counted.
    pub fn new(failures: IntCounter) -> Addresses {
        Addresses { known: Mutex::default(), turn: AtomicUsize::default(), failures }
    }

    /// The addresses of a host, in the order in which to try them; empty if there are none.
    pub async fn of(&self, host: &str, port: u16) -> Vec<SocketAddr> {
        let known = self.known(host, port);
        let addresses = match known {
            Some(addresses) => addresses,
            None => self.look_up(host, port).await,
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut addresses = addresses.to_vec();
        if !addresses.is_empty() {
            let first = turn % addresses.len();
            addresses.rotate_left(first);
        }
        addresses
    }

    /// Asks again about every name that was ever asked about; failures change nothing.
    pub async fn refresh(&self) {
        let names: Vec<_> = self.lock().keys().cloned().collect();
        for (host, port) in names {
            self.look_up(&host, port).await;
        }
    }

    async fn look_up(&self, host: &str, port: u16) -> Arc<Vec<SocketAddr>> {
        let found: Vec<SocketAddr> = match timeout(FIRST_LOOKUP_MAX, lookup_host((host, port))).await {
            Ok(Ok(found)) => found.collect(),
            Ok(Err(error)) => {
                tracing::warn!(host, %error, "cannot resolve host");
                Vec::new()
            }
            Err(_) => {
                tracing::warn!(host, "resolving host takes too long");
                Vec::new()
            }
        };
        if found.is_empty() {
            self.failures.inc();
            return self.known(host, port).unwrap_or_default();
        }
        let found = Arc::new(found);
        self.lock().insert((host.to_owned(), port), found.clone());
        found
    }

    fn known(&self, host: &str, port: u16) -> Option<Arc<Vec<SocketAddr>>> {
        self.lock().get(&(host.to_owned(), port)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[tokio::test]
    async fn last_good_addresses_outlive_a_failing_name_which_is_counted() {
        let failures = Metrics::new().unwrap().resolve_failures;
        let addresses = Addresses::new(failures.clone());
        let good = Arc::new(vec![SocketAddr::from(([127, 0, 0, 1], 1)), SocketAddr::from(([127, 0, 0, 2], 1))]);
        addresses.lock().insert(("no-such-host.invalid".to_owned(), 1), good);
        addresses.refresh().await;
        let (first, second) = (addresses.of("no-such-host.invalid", 1).await, addresses.of("no-such-host.invalid", 1).await);
        assert_eq!(first.len(), 2);
        assert_ne!(first[0], second[0], "addresses take turns");
        assert_eq!(failures.get(), 1, "only the refresh asked");
        assert!(addresses.of("never-seen.invalid", 1).await.is_empty());
        assert_eq!(failures.get(), 2);
    }
}
