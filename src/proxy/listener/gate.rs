//! How many connections are open, how many may be, and what became of the others.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::OwnConnections;
use crate::{
    proxy::{
        Live,
        wire::{Terms, head_bytes_read},
    },
    snapshot,
    telemetry::{Counted, Metrics, NONE},
};

/// The number of open connections, over several listeners.
#[derive(Clone, Default)]
pub struct Connections(Arc<Counts>);

#[derive(Default)]
struct Counts {
    open: AtomicUsize,
    /// The cap was reached; said once, until there is room again.
    full: AtomicBool,
}

impl Connections {
    /// One more, unless there are `max`.
    fn open(&self, max: usize) -> Option<OpenConnection> {
        let opened = OpenConnection(self.clone());
        let before = self.0.open.fetch_add(1, Ordering::Relaxed);
        let full = before >= max;
        if self.0.full.swap(full, Ordering::Relaxed) != full && full {
            tracing::warn!(connections = before, "connections_max is reached; new connections are closed");
        }
        if full { None } else { Some(opened) }
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }
}

/// One of the open connections until it is dropped.
struct OpenConnection(Connections);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why connections are refused or cut.
const REASONS: [&str; 9] =
    ["connections_max", "allow_from", "proxy_protocol", "tls", "silent", "head_late", "malformed", "framing", "flood"];

/// What guards a listener: its rules in the configuration in force, and its counters.
pub struct Gate {
    live: Arc<ArcSwap<Live>>,
    /// Among the listeners as they were bound.
    index: usize,
    own: OwnConnections,
    /// What the limit on open files leaves for clients.
    files_max: usize,
    label: String,
    open: IntGauge,
    refused: IntCounterVec,
    streams_refused: IntCounter,
    heads_refused: IntCounter,
}

/// A place among the open connections.
pub(super) struct Place {
    _open: OpenConnection,
    _counted: Counted,
}

impl Gate {
    /// Guards the listener that was bound `index`-th, at this address.
    pub fn new(
        live: Arc<ArcSwap<Live>>,
        index: usize,
        bound: SocketAddr,
        own: OwnConnections,
        files_max: usize,
        metrics: &Metrics,
    ) -> Gate {
        let label = bound.to_string();
        let open = metrics.connections.with_label_values(&[&label]);
        let refused = metrics.connections_refused.clone();
        for reason in REASONS {
            // A rate needs the zero before the first.
            refused.with_label_values(&[label.as_str(), reason]).inc_by(0);
        }
        let streams_refused = metrics.streams_refused.with_label_values(&[&label]);
        let heads_refused = metrics.denials.with_label_values(&[NONE, "head"]);
        Gate { live, index, own, files_max, label, open, refused, streams_refused, heads_refused }
    }

    /// A place for a connection, if there is one.
    pub(super) fn admit(&self, connections: &Connections) -> Option<Place> {
        let max = usize::try_from(self.live.load().snapshot.downstream.connections_max).unwrap_or(usize::MAX);
        match connections.open(max.min(self.files_max)) {
            Some(open) => Some(Place { _open: open, _counted: Counted::in_gauge(self.open.clone()) }),
            None => {
                self.refuse("connections_max");
                None
            }
        }
    }

    /// Whether the gateway itself connects from there.
    pub(super) fn is_own(&self, peer: SocketAddr) -> bool {
        self.own.has(peer)
    }

    /// The listener as it is in the configuration in force.
    pub(super) fn rules(&self) -> Option<Arc<snapshot::Listener>> {
        self.live.load().snapshot.listeners.get(self.index).cloned()
    }

    /// The configuration in force.
    pub(super) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// How long a connection that opens now may have nothing to do.
    pub(super) fn idle_max(&self) -> Duration {
        Duration::from_secs(self.live.load().snapshot.downstream.idle_seconds_max)
    }

    /// Its place in the configuration.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// What a connection that opens now is held to.
    pub(super) fn terms(&self) -> Terms {
        let header_bytes_max = self.live.load().snapshot.downstream.header_bytes_max;
        Terms {
            head_bytes_max: head_bytes_read(header_bytes_max),
            write_wait_max: self.idle_max(),
            streams_refused: Some(self.streams_refused.clone()),
            heads_refused: Some(self.heads_refused.clone()),
        }
    }

    /// Counts a connection that the gateway closed for what its client did or is.
    pub(super) fn refuse(&self, reason: &'static str) {
        self.refused.with_label_values(&[&self.label, reason]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_open_as_may_be_and_a_closed_one_makes_room() {
        let connections = Connections::default();
        let first = connections.open(2).unwrap();
        let _second = connections.open(2).unwrap();
        assert!(connections.open(2).is_none());
        assert_eq!(connections.count(), 2, "what was refused is not open");
        drop(first);
        assert!(connections.open(2).is_some());
    }
}
