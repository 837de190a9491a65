//! Where host names are. They are looked up in the background, before a request needs them and ever again after, never by Pingora
//! (which blocks a thread, and panics on a name that is not there). The last good addresses serve while DNS fails; only a name that
//! has none at all is waited for.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use prometheus::IntCounter;
use tokio::{net::lookup_host, sync::Mutex as Turn, task::JoinSet, time::timeout};

/// How long a request waits for a name that has no address yet.
pub const WAIT_MAX: Duration = Duration::from_secs(3);

/// How long a look-up may take that nobody waits for: enough for a second name server to answer after the first did not.
const LOOK_UP_MAX: Duration = Duration::from_secs(12);

/// A host and a port.
pub type HostPort = (String, u16);

/// Where addresses come from.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// Looks a host up, however long it takes.
    async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The operating system.
pub struct System;

#[async_trait]
impl Resolver for System {
    async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(lookup_host((host, port)).await?.collect())
    }
}

/// The known addresses.
pub struct Addresses {
    resolver: Box<dyn Resolver>,
    names: Mutex<HashMap<HostPort, Arc<Name>>>,
    turn: AtomicUsize,
    failures: IntCounter,
}

struct Name {
    host: String,
    port: u16,
    /// The last good ones; empty if there never were any.
    addresses: ArcSwap<Vec<SocketAddr>>,
    /// Whether its failures matter to anybody.
    asked_for: AtomicBool,
    /// Held during a look-up.
    turn: Turn<()>,
    looked_up: AtomicU64,
}

impl Addresses {
    /// None yet. Look-ups that give no address for a name that a request asked for are counted.
    pub fn new(resolver: impl Resolver + 'static, failures: IntCounter) -> Addresses {
        Addresses { resolver: Box::new(resolver), names: Mutex::default(), turn: AtomicUsize::default(), failures }
    }

    /// The addresses of a host, in the order in which to try them; empty if there are none.
    pub async fn of(&self, host: &str, port: u16) -> Vec<SocketAddr> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return vec![SocketAddr::new(ip, port)];
        }
        let name = self.name(host, port);
        name.asked_for.store(true, Ordering::Relaxed);
        if name.addresses.load().is_empty() && timeout(WAIT_MAX, self.look_up(&name)).await.is_err() {
            tracing::warn!(host, "resolving host takes too long");
            self.failures.inc();
        }
        let mut addresses = name.addresses.load().to_vec();
        if !addresses.is_empty() {
            let first = self.turn.fetch_add(1, Ordering::Relaxed) % addresses.len();
            addresses.rotate_left(first);
        }
        by_turns(addresses)
    }

    /// Looks up those of these names that nobody has looked up before.
    pub async fn prepare(self: &Arc<Self>, mut names: HashSet<HostPort>) {
        names.retain(|name| !self.lock().contains_key(name));
        self.look_up_all(names).await;
    }

    /// Looks up all of these names, and forgets all others.
    pub async fn refresh(self: &Arc<Self>, names: HashSet<HostPort>) {
        self.lock().retain(|name, _| names.contains(name));
        self.look_up_all(names).await;
    }

    /// At the same time, so that one that is slow does not make the others old.
    async fn look_up_all(self: &Arc<Self>, names: HashSet<HostPort>) {
        let mut looking = JoinSet::new();
        for (host, port) in names {
            let (all, name) = (self.clone(), self.name(&host, port));
            looking.spawn(async move { all.look_up(&name).await });
        }
        looking.join_all().await;
    }

    /// Looks a name up, or waits for somebody who does. What fails changes nothing.
    async fn look_up(&self, name: &Name) {
        let before = name.looked_up.load(Ordering::Acquire);
        let _turn = name.turn.lock().await;
        if name.looked_up.load(Ordering::Acquire) != before {
            return;
        }
        let host = name.host.as_str();
        match timeout(LOOK_UP_MAX, self.resolver.look_up(host, name.port)).await {
            Ok(Ok(found)) if !found.is_empty() => name.addresses.store(Arc::new(found)),
            _ if !name.failure_matters() => tracing::debug!(host, "cannot resolve host, which no request needs"),
            failed => {
                self.failures.inc();
                match failed {
                    Ok(Ok(_)) => tracing::warn!(host, "cannot resolve host: it has no address"),
                    Ok(Err(error)) => tracing::warn!(host, %error, "cannot resolve host"),
                    Err(_) => tracing::warn!(host, "resolving host takes too long"),
                }
            }
        }
        name.looked_up.fetch_add(1, Ordering::Release);
    }

    fn name(&self, host: &str, port: u16) -> Arc<Name> {
        self.lock().entry((host.to_owned(), port)).or_insert_with(|| Arc::new(Name::new(host, port))).clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HostPort, Arc<Name>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// IPv4 and IPv6 by turns, beginning with the family of the first: a machine that has only one of them finds it with the second attempt.
fn by_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let family = addresses.first().map(SocketAddr::is_ipv6);
    let (same, others): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| Some(address.is_ipv6()) == family);
    let mut others = others.into_iter();
    let mut turns: Vec<SocketAddr> = same.into_iter().flat_map(|address| [Some(address), others.next()]).flatten().collect();
    turns.extend(others);
    turns
}

impl Name {
    fn new(host: &str, port: u16) -> Name {
        Name {
            host: host.to_owned(),
            port,
            addresses: ArcSwap::default(),
            asked_for: AtomicBool::default(),
            turn: Turn::default(),
            looked_up: AtomicU64::default(),
        }
    }

    /// Whether requests go, or would have gone, where this look-up says. One request for an endpoint that its region does not have is
    /// one failure, and not one every few seconds from then on.
    fn failure_matters(&self) -> bool {
        let is_there = !self.addresses.load().is_empty();
        if is_there { self.asked_for.load(Ordering::Relaxed) } else { self.asked_for.swap(false, Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests;
