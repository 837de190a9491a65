//! How far a listener's life has come. It only ever goes on.

use tokio::sync::watch;

/// What connections are told, and which are still taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing special.
    #[default]
    Serving,
    /// Connections are taken; each is told to go with its next answer: GOAWAY, or `Connection: close`.
    Leaving,
    /// None is taken any more. Those that are open may ask once more.
    Closed,
    /// Those that ask nothing are closed.
    Hurrying,
}

/// Where the others learn of it.
#[derive(Clone, Debug)]
pub struct Phases(watch::Receiver<Phase>);

impl Phases {
    /// Told by the sender of that receiver.
    pub fn new(phase: watch::Receiver<Phase>) -> Phases {
        Phases(phase)
    }

    /// Whether it has come so far.
    pub fn reached(&self, phase: Phase) -> bool {
        *self.0.borrow() >= phase
    }

    /// Waits until it has; for ever if nobody is left who could tell.
    pub async fn reach(&mut self, phase: Phase) {
        if self.0.wait_for(|now| *now >= phase).await.is_err() {
            std::future::pending().await
        }
    }
}
