//! Ending without cutting anybody off. A process that stops says first that it is not ready, and takes whoever comes meanwhile; one that
//! has a successor leaves the sockets to it at once. Both tell every connection to go with its next answer, and let requests finish, up
//! to a bound.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use pingora_core::apps::HttpServerApp;
use pingora_proxy::HttpProxy;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{handover::Predecessors, sockets::Bound};
use crate::proxy::{
    Gateway, Live,
    listener::{Connections, Phase, Phases},
};

/// How often the number of open connections is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) struct Drain {
    /// True from the beginning of the end.
    begun: watch::Sender<bool>,
    traffic: watch::Sender<Phase>,
    admin: watch::Sender<Phase>,
    connections: Connections,
    live: Arc<ArcSwap<Live>>,
    proxy: Mutex<Option<Arc<HttpProxy<Gateway>>>>,
    /// Second handles of the listening sockets, to hand them over.
    sockets: Mutex<Vec<Bound>>,
}

impl Drain {
    pub fn new(begun: watch::Sender<bool>, live: Arc<ArcSwap<Live>>) -> Drain {
        let (traffic, admin) = Default::default();
        let (connections, proxy, sockets) = Default::default();
        Drain { begun, traffic, admin, connections, live, proxy, sockets }
    }

    /// True from the beginning of the end.
    pub fn begun(&self) -> watch::Receiver<bool> {
        self.begun.subscribe()
    }

    pub fn traffic(&self) -> Phases {
        Phases::new(self.traffic.subscribe())
    }

    /// The admin listener ends last.
    pub fn admin(&self) -> Phases {
        Phases::new(self.admin.subscribe())
    }

    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    /// The proxy whose idle connections are closed.
    pub fn closes(&self, proxy: Arc<HttpProxy<Gateway>>) {
        *self.proxy.lock().unwrap_or_else(PoisonError::into_inner) = Some(proxy);
    }

    /// A socket that is to be handed over one day.
    pub fn keeps(&self, socket: Bound) {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
    }

    /// The sockets, with the addresses that the configuration has for them.
    pub fn sockets(&self) -> std::io::Result<Vec<Bound>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Bound::again).collect()
    }

    /// Nobody follows.
    pub async fn stop(&self, predecessors: &Predecessors) {
        let downstream = self.live.load().snapshot.downstream.clone();
        let deadline = Instant::now() + Duration::from_secs(downstream.drain_seconds_max);
        self.begun.send_replace(true);
        self.traffic.send_replace(Phase::Leaving);
        sleep(Duration::from_secs(downstream.leave_seconds)).await;
        self.close_sockets();
        self.traffic.send_replace(Phase::Hurrying);
        let proxy = self.proxy.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(proxy) = proxy {
            proxy.http_cleanup().await;
        }
        self.until_quiet(deadline, predecessors).await;
        self.admin.send_replace(Phase::Hurrying);
    }

    /// Another process accepts at these sockets.
    pub async fn leave(&self, predecessors: &Predecessors) {
        let bound = Duration::from_secs(self.live.load().snapshot.downstream.drain_seconds_max);
        let deadline = Instant::now() + bound;
        self.begun.send_replace(true);
        self.close_sockets();
        // Idle connections may ask once more: whoever is about to could not know that it should not.
        self.traffic.send_replace(Phase::Closed);
        self.admin.send_replace(Phase::Closed);
        self.until_quiet(deadline, predecessors).await;
    }

    fn close_sockets(&self) {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn until_quiet(&self, deadline: Instant, predecessors: &Predecessors) {
        let quiet = || self.connections.count() == 0 && predecessors.count() == 0;
        while !quiet() && Instant::now() < deadline {
            sleep(LOOK_EVERY).await;
        }
        let cut = self.connections.count();
        if cut > 0 {
            tracing::warn!(connections = cut, "drain_seconds_max has passed; open connections are cut");
        }
    }
}
