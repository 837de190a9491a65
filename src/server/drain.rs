//! Ending without cutting anybody off: not ready first, then no new connections, then running requests finish, up to a bound.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use pingora_core::apps::HttpServerApp;
use pingora_proxy::HttpProxy;
use tokio::{sync::watch, time::Instant};

use crate::proxy::{Gateway, Live, listener::Connections};

/// How often the number of open connections is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) struct Drain {
    begun: watch::Sender<bool>,
    last: watch::Sender<bool>,
    connections: Connections,
    live: Arc<ArcSwap<Live>>,
    proxy: Mutex<Option<Arc<HttpProxy<Gateway>>>>,
}

impl Drain {
    pub fn new(begun: watch::Sender<bool>, live: Arc<ArcSwap<Live>>) -> Drain {
        Drain { begun, last: watch::Sender::new(false), connections: Connections::default(), live, proxy: Mutex::default() }
    }

    /// True from the beginning of the end.
    pub fn begun(&self) -> watch::Receiver<bool> {
        self.begun.subscribe()
    }

    /// True when everything is through: the admin listener ends last.
    pub fn last(&self) -> watch::Receiver<bool> {
        self.last.subscribe()
    }

    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    /// The proxy whose idle connections are closed.
    pub fn closes(&self, proxy: Arc<HttpProxy<Gateway>>) {
        *self.proxy.lock().unwrap_or_else(PoisonError::into_inner) = Some(proxy);
    }

    pub async fn run(self) {
        let bound = Duration::from_secs(self.live.load().snapshot.downstream.drain_seconds_max);
        let deadline = Instant::now() + bound;
        // Listeners stop accepting, HTTP/2 connections send GOAWAY, HTTP/1.1 ones are closed after their request.
        self.begun.send_replace(true);
        let proxy = self.proxy.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(proxy) = proxy {
            proxy.http_cleanup().await;
        }
        while self.connections.count() > 0 && Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let cut = self.connections.count();
        if cut > 0 {
            tracing::warn!(connections = cut, "drain_seconds_max has passed; open connections are cut");
        }
        self.last.send_replace(true);
    }
}
