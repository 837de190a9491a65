//! Composition: the only place that knows everything. Starts a gateway from its configuration file, owns the background tasks, and
//! ends it in order: not ready, no new connections, running requests finish.

pub mod account;
mod assembly;
mod chronicle;
pub mod credentials;
mod drain;
mod expiry;
mod figures;
mod files_limit;
pub mod key_sets;
mod reload;
mod traces;
mod vitals;
mod watch;
mod watchdog;

use std::{
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context;
use tokio::{sync::watch as signal, time::timeout};

pub use self::watchdog::Silent;
use self::{drain::Drain, reload::Reloader, watchdog::Doors};
use crate::{
    aws::CredentialsSlot,
    config::{self, Config},
    ledger::Ledger,
    proxy::listener::OwnConnections,
    quota::Now,
    telemetry::{AccessLog, history::SAMPLE_EVERY, logging::LogFilter},
};

/// How often host names are resolved again.
const RESOLVE_EVERY: Duration = Duration::from_secs(15);

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
    credentials: Arc<CredentialsSlot>,
    ledger: Arc<Ledger>,
    reloader: Arc<Reloader>,
    doors: Arc<Doors>,
    drain: Drain,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file is bad; the text is `check`'s.
    #[error("{0}")]
    Config(config::Problems),
    /// Everything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// Chooses aws-lc-rs as the cryptography of this process. Any number of calls do the same as one.
pub fn install_crypto() {
    // An error says that one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    crate::auth::install_crypto();
}

/// Starts a gateway on the current runtime. Returns when its addresses are bound; it may not be ready yet (see `/readyz`).
///
/// # Errors
/// The configuration is bad, a file it names changed in between, or an address cannot be bound.
pub async fn start(path: PathBuf, log_filter: Option<LogFilter>) -> Result<Running, StartError> {
    start_logging_to(path, log_filter, std::io::stdout()).await
}

/// [`start`], with the access log somewhere else than on standard output.
///
/// # Errors
/// Those of [`start`].
pub async fn start_logging_to(
    path: PathBuf,
    log_filter: Option<LogFilter>,
    access_log: impl Write + Send + 'static,
) -> Result<Running, StartError> {
    install_crypto();
    let config = config::read(&path).map_err(StartError::Config)?;
    let access_log = AccessLog::new(access_log).context("cannot start the access log")?;
    Ok(start_with(path, config, log_filter, access_log).await?)
}

async fn start_with(
    path: PathBuf,
    config: Config,
    log_filter: Option<LogFilter>,
    access_log: AccessLog,
) -> anyhow::Result<Running> {
    if let Some(filter) = &log_filter {
        filter.set(&config.log.level);
    }
    // Before anything takes time: what changes from now on is a change.
    let seen = watch::fingerprint(&reload::files(&path, &config)).await;
    let sockets = assembly::bind(&config)?;
    let parts = assembly::Parts::new(&config, access_log).await?;
    parts.chronicle.read_from(&path, chronicle::prints(&reload::files(&path, &config)).await);
    let (end, ending) = signal::channel(false);

    tokio::spawn({
        let (addresses, ending) = (parts.gateway_addresses.clone(), ending.clone());
        async move { every(RESOLVE_EVERY, ending, || addresses.refresh()).await }
    });
    tokio::spawn({
        let (live, ending) = (parts.live.clone(), ending.clone());
        expiry::warn(&live.load().snapshot, SystemTime::now());
        async move { every(expiry::SAY_EVERY, ending, || async { expiry::warn(&live.load().snapshot, SystemTime::now()) }).await }
    });
    tokio::spawn({
        let (lasting, ledger, orphans) = (parts.lasting.clone(), parts.ledger.clone(), parts.orphans.clone());
        let ending = ending.clone();
        async move {
            every(account::EXPIRE_EVERY, ending, || async { account::expire(&lasting, &ledger, &orphans, &Now::read()) }).await
        }
    });
    tokio::spawn({
        let (history, metrics, ending) = (parts.history.clone(), parts.metrics.clone(), ending.clone());
        async move { every(SAMPLE_EVERY, ending, || async { history.sample(&metrics, Instant::now()) }).await }
    });
    let reloader = Arc::new(Reloader::new(path, &config, &parts, log_filter));
    reloader.keep_credentials_fresh(&config).await?;
    reloader.poll_key_sets(config.clone());
    reloader.export_spans(reloader.exporter(&config)?);
    watch::follow_file(reloader.clone(), seen, ending.clone()).context("cannot watch the configuration's directory")?;

    let drain = Drain::new(end, parts.live.clone());
    let (credentials, ledger, live) = (parts.credentials.clone(), parts.ledger.clone(), parts.live.clone());
    let own = OwnConnections::default();
    let (traffic, admin) = assembly::serve(sockets, &config, parts, &own, &drain)?;
    let doors = Arc::new(Doors { addresses: traffic.clone(), live, own });
    if let Some(patience) = watchdog::patience() {
        tokio::spawn(watchdog::report(doors.clone(), patience, ending));
    }
    Ok(Running { traffic, admin, credentials, ledger, reloader, doors, drain })
}

impl Running {
    /// Waits until there are credentials to sign with.
    pub async fn ready(&self) {
        while self.credentials.current(SystemTime::now()).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Reads the configuration again, whether or not the file changed.
    pub async fn reload(&self) -> bool {
        self.reloader.reload().await
    }

    /// Asks every traffic listener for an answer, as the watchdog does, for as long as that takes. One asks at a time.
    ///
    /// # Errors
    /// One of them closed the connection instead.
    pub async fn answers(&self) -> Result<(), Silent> {
        self.doors.answer().await
    }

    /// Ends in order; returns when the last request is through or `downstream.drain_seconds_max` have passed.
    pub async fn stop(self) {
        self.drain.run().await;
        let charges = async {
            if timeout(LAST_CHARGES_MAX, self.ledger.durable()).await.is_err() {
                tracing::error!("the ledger did not take the last charges in time");
            }
        };
        tokio::join!(charges, self.reloader.stop_exporting(LAST_SPANS_MAX));
    }
}

async fn every<F: Future<Output = ()>>(period: Duration, ending: signal::Receiver<bool>, mut work: impl FnMut() -> F) {
    while tokio::time::timeout(period, ended(ending.clone())).await.is_err() {
        work().await;
    }
}

/// Resolves when the signal is true, or nobody is left to make it so.
async fn ended(mut ending: signal::Receiver<bool>) {
    let _ = ending.wait_for(|&ends| ends).await;
}
