//! A gateway that runs: what whoever started it can ask of it, until it ends.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{sync::watch as signal, time::timeout};

use super::{
    drain::Drain,
    handover::{self, Giving, Prepared, UpgradeError},
    reload::Reloader,
    watchdog::{Doors, Silent},
};
use crate::{aws::CredentialsSlot, ledger::Ledger, telemetry::Metrics};

/// How long the end waits for the last charges to be on disk.
const LAST_CHARGES_MAX: Duration = Duration::from_secs(10);

/// How long the end waits for the collector to take the last spans.
const LAST_SPANS_MAX: Duration = Duration::from_secs(5);

/// A running gateway.
pub struct Running {
    /// Where traffic is taken, in the order of the file.
    pub traffic: Vec<SocketAddr>,
    /// Where operators connect.
    pub admin: SocketAddr,
    pub(super) credentials: Arc<CredentialsSlot>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) reloader: Arc<Reloader>,
    pub(super) doors: Arc<Doors>,
    pub(super) giving: Giving,
    pub(super) drain: Drain,
    /// Dropping it ends the task that calls STS.
    pub(super) _sessions_kept: signal::Sender<bool>,
}

impl Running {
    /// Waits until there are credentials to sign with.
    pub async fn ready(&self) {
        until_credentials(&self.credentials).await;
    }

    /// The account on disk, for whoever closes it when nothing runs any more.
    pub fn ledger(&self) -> Arc<Ledger> {
        self.giving.keeping.ledger.clone()
    }

    /// Reads the configuration again, whether or not the file changed; to the end, also if nobody waits for that any more.
    pub async fn reload(&self) -> bool {
        let reloader = self.reloader.clone();
        tokio::spawn(async move { reloader.reload().await }).await.unwrap_or(false)
    }

    /// Whether it is being read at this moment.
    pub fn is_reloading(&self) -> bool {
        self.reloader.is_reloading()
    }

    /// Asks every traffic listener for an answer, as the watchdog does, for as long as that takes. One asks at a time.
    ///
    /// # Errors
    /// One of them closed the connection instead.
    pub async fn answers(&self) -> Result<(), Silent> {
        self.doors.answer().await
    }

    /// Starts what is at this program's path now, as this process was started, and waits until it could take over. May be given up at
    /// any time.
    ///
    /// # Errors
    /// It cannot serve; nothing has changed.
    pub async fn prepare_successor(&self) -> Result<Prepared, UpgradeError> {
        handover::prepare(&self.drain, &self.giving).await.inspect_err(|_| self.metrics.upgrades_failed.inc())
    }

    /// Gives it everything, and says which process it is. What is left then is [`Running::leave`].
    ///
    /// # Errors
    /// It could not take over after all; this process serves on.
    pub async fn hand_over(&self, prepared: Prepared) -> Result<u32, UpgradeError> {
        self.giving.hand_over(prepared).await.inspect_err(|_| self.metrics.upgrades_failed.inc())
    }

    /// Ends after a successor has taken over: returns when the last request is through or `downstream.drain_seconds_max` have passed.
    pub async fn leave(self) {
        self.drain.leave(&self.giving.keeping.predecessors).await;
        self.last_words().await;
    }

    /// Ends in order; returns when the last request is through or `downstream.drain_seconds_max` have passed.
    pub async fn stop(self) {
        self.drain.stop(&self.giving.keeping.predecessors).await;
        self.last_words().await;
    }

    /// Charges and spans that still wait.
    async fn last_words(&self) {
        let charges = async {
            if !matches!(timeout(LAST_CHARGES_MAX, self.giving.keeping.custody.durable()).await, Ok(Ok(()))) {
                tracing::error!("the last charges were not written in time");
            }
        };
        tokio::join!(charges, self.reloader.stop_exporting(LAST_SPANS_MAX));
    }
}

/// However it ends.
impl Drop for Running {
    fn drop(&mut self) {
        self.giving.keeping.custody.close();
    }
}

/// Waits until there are some.
pub(super) async fn until_credentials(credentials: &CredentialsSlot) {
    while credentials.current(SystemTime::now()).is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
