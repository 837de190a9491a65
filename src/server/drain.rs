//! Ending without cutting anybody off. A process that stops says first that it is not ready, and takes whoever comes meanwhile; one that
//! has a successor leaves the sockets to it at once. Both tell every connection to go with its next answer, and let requests finish, up
//! to a bound.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{handover::Predecessors, sockets::Bound};
use crate::{
    config::Downstream,
    proxy::{
        Gateway, Live,
        listener::{Connections, Phase, Phases},
        load::Load,
    },
};

/// How often the number of open connections is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) struct Drain {
    /// True from the beginning of the end.
    begun: watch::Sender<bool>,
    traffic: watch::Sender<Phase>,
    admin: watch::Sender<Phase>,
    connections: Connections,
    load: Arc<Load>,
    live: Arc<ArcSwap<Live>>,
    gateway: Mutex<Option<Arc<Gateway>>>,
    /// Second handles of the listening sockets, to hand them over.
    sockets: Mutex<Vec<Bound>>,
}

impl Drain {
    pub fn new(begun: watch::Sender<bool>, live: Arc<ArcSwap<Live>>) -> Drain {
        let (traffic, admin) = Default::default();
        let (connections, load, gateway, sockets) = Default::default();
        Drain { begun, traffic, admin, connections, load, live, gateway, sockets }
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

    pub fn load(&self) -> Arc<Load> {
        self.load.clone()
    }

    /// The gateway whose idle connections are closed.
    pub fn closes(&self, gateway: Arc<Gateway>) {
        *self.gateway.lock().unwrap_or_else(PoisonError::into_inner) = Some(gateway);
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
        let deadline = Deadline::fixed(&downstream, Instant::now());
        self.begun.send_replace(true);
        self.traffic.send_replace(Phase::Leaving);
        sleep(Duration::from_secs(downstream.leave_seconds)).await;
        self.close_sockets();
        self.traffic.send_replace(Phase::Hurrying);
        if let Some(gateway) = self.gateway.lock().unwrap_or_else(PoisonError::into_inner).take() {
            gateway.close();
        }
        self.until_quiet(deadline, predecessors).await;
        self.admin.send_replace(Phase::Hurrying);
    }

    /// Another process accepts at these sockets.
    pub async fn leave(&self, predecessors: &Predecessors) {
        let downstream = self.live.load().snapshot.downstream.clone();
        let deadline = Deadline::moving(&downstream, Instant::now());
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

    async fn until_quiet(&self, mut deadline: Deadline, predecessors: &Predecessors) {
        let quiet = || self.connections.count() == 0 && predecessors.count() == 0;
        let mut begun = self.load.begun();
        while !quiet() && Instant::now() < deadline.at {
            sleep(LOOK_EVERY).await;
            if begun != self.load.begun() {
                begun = self.load.begun();
                deadline.for_one_that_begins(Instant::now());
            }
        }
        let cut = self.connections.count();
        if cut > 0 {
            tracing::warn!(connections = cut, "drain_seconds_max has passed; open connections are cut");
        }
    }
}

/// When what still runs is cut.
struct Deadline {
    at: Instant,
    /// A request that begins does not move it beyond this.
    latest: Instant,
    bound: Duration,
}

impl Deadline {
    /// The same for all that runs.
    fn fixed(downstream: &Downstream, now: Instant) -> Deadline {
        let bound = Duration::from_secs(downstream.drain_seconds_max);
        Deadline { at: now + bound, latest: now + bound, bound }
    }

    /// Whoever kept a connection may ask once more over it, and that request has as long as those that ran already: the last that may
    /// comes from a connection that was idle for as long as it may be, after an answer that took as long as it may.
    fn moving(downstream: &Downstream, now: Instant) -> Deadline {
        let fixed = Deadline::fixed(downstream, now);
        Deadline { latest: fixed.at + Duration::from_secs(downstream.idle_seconds_max) + fixed.bound, ..fixed }
    }

    fn for_one_that_begins(&mut self, now: Instant) {
        self.at = self.at.max(self.latest.min(now + self.bound));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_after_a_hand_over_has_the_whole_bound_and_nobody_has_more_than_twice() {
        let downstream = Downstream { drain_seconds_max: 600, idle_seconds_max: 60, ..Downstream::default() };
        let (began, after) = (Instant::now(), Duration::from_secs);
        let (mut fixed, mut moving) = (Deadline::fixed(&downstream, began), Deadline::moving(&downstream, began));
        assert_eq!((fixed.at, moving.at), (began + after(600), began + after(600)));
        for (begins, ends) in [(59, 659), (655, 1_255), (700, 1_260), (1_259, 1_260)] {
            fixed.for_one_that_begins(began + after(begins));
            moving.for_one_that_begins(began + after(begins));
            assert_eq!((fixed.at, moving.at), (began + after(600), began + after(ends)), "{begins}");
        }
    }
}
