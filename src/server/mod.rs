//! Composition: the only place that knows everything. Starts a gateway from its configuration file, and owns the background tasks.
//!
//! | file | job |
//! |---|---|
//! | `sockets`, `files_limit`, `assembly` | the start: addresses, room, and the parts put together |
//! | `watch`, `writing`, `reload`, `chronicle` | a configuration changes: noticed, written to its end, put in the place of the old one, remembered |
//! | [`key_sets`], [`credentials`], [`assume_role`], `resolving` | what others are asked for: issuers' keys, AWS credentials, sessions of roles, addresses; `chance` spreads when |
//! | [`account`] | the tenants' accounts from one process to the next, and what nobody ends |
//! | `vitals`, `figures`, `zeros`, `expiry`, `traces` | what is told: metrics and readiness, the console, series that begin, certificates, spans |
//! | [`Running`], `drain`, `handover`, `watchdog` | the end: asked for, in order, to the next process, or because nothing answers |

pub mod account;
mod assembly;
pub mod assume_role;
mod chance;
mod chronicle;
pub mod credentials;
mod drain;
mod expiry;
mod figures;
mod files_limit;
mod handover;
pub mod key_sets;
mod reload;
mod resolving;
mod running;
mod sockets;
mod traces;
mod vitals;
mod watch;
mod watchdog;
mod writing;
mod zeros;

use std::{
    io::Write,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context;
use tokio::{sync::watch as signal, time::timeout};

use self::{
    account::Orphans,
    assembly::{Keeping, Parts},
    drain::Drain,
    handover::{Given, Giving, Inheritance, Offer, Owned, Predecessors},
    reload::Reloader,
    running::until_credentials,
    sockets::Bound,
    watchdog::Doors,
};
pub use self::{
    handover::{Prepared, UpgradeError},
    running::Running,
    watchdog::Silent,
};
use crate::{
    config::{self, Config},
    ledger::LedgerError,
    proxy::{custody::Custody, listener::OwnConnections, upstream::names},
    quota::Now,
    snapshot::CompileError,
    telemetry::{Log, LogLines, history::SAMPLE_EVERY, logging::LogFilter, with_causes},
};

/// How long a process that is to take over waits for credentials.
const CREDENTIALS_MAX: Duration = Duration::from_secs(30);

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file is bad; the text is `check`'s.
    #[error("{0}")]
    Config(config::Problems),
    /// A file that it names is bad.
    #[error(transparent)]
    Compile(CompileError),
    /// The ledger is, and stays so until somebody puts it right.
    #[error(transparent)]
    Ledger(LedgerError),
    /// Everything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl StartError {
    /// What another attempt with the same files would not mend is told apart: nobody should try for ever.
    fn of(error: anyhow::Error) -> StartError {
        let error = match error.downcast() {
            Ok(error) => return StartError::Compile(error),
            Err(error) => error,
        };
        match error.downcast::<LedgerError>() {
            Ok(error) if error.is_lasting() => StartError::Ledger(error),
            Ok(error) => StartError::Other(error.into()),
            Err(error) => StartError::Other(error),
        }
    }
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
pub async fn start(path: PathBuf, log: &Log) -> Result<Running, StartError> {
    start_with(path, Some(log.filter.clone()), log.lines.clone()).await
}

/// [`start`], with the access log somewhere else than in the process's own.
///
/// # Errors
/// Those of [`start`].
pub async fn start_logging_to(
    path: PathBuf,
    log_filter: Option<LogFilter>,
    access_log: impl Write + Send + 'static,
) -> Result<Running, StartError> {
    start_with(path, log_filter, LogLines::new(access_log).context("cannot start the access log")?).await
}

async fn start_with(path: PathBuf, log_filter: Option<LogFilter>, log: LogLines) -> Result<Running, StartError> {
    install_crypto();
    let inheritance = Inheritance::found()?;
    let started = start_after(path, log_filter, log, inheritance.as_ref()).await;
    match (started, inheritance) {
        (Ok(ready), inheritance) => Ok(ready.run(inheritance).await.map_err(StartError::of)?),
        (Err(error), Some(inheritance)) => {
            inheritance.fail(error.to_string()).await;
            Err(error)
        }
        (Err(error), None) => Err(error),
    }
}

/// Bound and compiled; what is missing is the account.
struct Ready {
    config: Config,
    sockets: Vec<Bound>,
    parts: Parts,
    reloader: Arc<Reloader>,
}

async fn start_after(
    path: PathBuf,
    log_filter: Option<LogFilter>,
    log: LogLines,
    predecessor: Option<&Inheritance>,
) -> Result<Ready, StartError> {
    let (config, seen) = reload::read(&path).await?.map_err(StartError::Config)?;
    if let Some(filter) = &log_filter {
        filter.set(&config.log.level);
    }
    let offer = match predecessor {
        Some(predecessor) => predecessor.offer().await?,
        None => Offer::default(),
    };
    account::stays(&config, offer.ledger.as_deref())?;
    if predecessor.is_some() {
        // While the predecessor has it still, and nothing has to be given back.
        account::can_be_opened(&config).await?;
    }
    // Sockets first, so that an address in use is found before anything else starts.
    let sockets = sockets::bind(&config, offer.sockets)?;
    let keys = match predecessor {
        Some(predecessor) => predecessor.key_sets(offer.key_sets).await?,
        None => Vec::new(),
    };
    let parts = Parts::new(&config, log, &keys).await.map_err(StartError::of)?;
    parts.chronicle.read_from(&path, seen.clone());
    let resolved = resolving::prepare(&parts.gateway_addresses, &parts.live.load().snapshot);
    let reloader = Arc::new(Reloader::new(path, (&config, seen), &parts, log_filter));
    reloader.keep_credentials_fresh(&config)?;
    if let Some(predecessor) = predecessor {
        // The predecessor serves on, without waiting for names.
        resolved.await;
        let there = timeout(CREDENTIALS_MAX, until_credentials(&parts.credentials)).await;
        there.context("there are no AWS credentials; the log has the reason")?;
        // Late, so that they are what it signs with still.
        let handed = predecessor.role_sessions(offer.role_sessions).await?;
        assume_role::take_over(handed, &parts.live.load().snapshot, SystemTime::now());
    }
    Ok(Ready { config, sockets, parts, reloader })
}

impl Ready {
    /// Takes the account, from the ledger or from the process that has it, and serves.
    async fn run(self, inheritance: Option<Inheritance>) -> anyhow::Result<Running> {
        let given = match &inheritance {
            Some(inheritance) => Some(inheritance.prepared().await?),
            None => None,
        };
        let (keeping, owned) = match self.keep(given.as_ref()).await {
            Ok(kept) => kept,
            Err(error) => {
                if let Some(inheritance) = inheritance {
                    inheritance.fail(with_causes(error.as_ref())).await;
                }
                return Err(error);
            }
        };
        let running = self.serve(keeping)?;
        if let (Some(inheritance), Some(given)) = (inheritance, given) {
            let Keeping { custody, predecessors, .. } = &running.giving.keeping;
            inheritance.taken(given, owned, custody, predecessors).await?;
        }
        Ok(running)
    }

    async fn keep(&self, given: Option<&Given>) -> anyhow::Result<(Keeping, Vec<Owned>)> {
        let Parts { live, lasting, metrics, .. } = &self.parts;
        let (ledger, recovered) = account::open(&self.config, given.is_some()).await?;
        account::tell(&recovered.lost, &live.load().snapshot, metrics);
        let orphans = Arc::new(Orphans::default());
        let owned = match given {
            Some(given) => account::take_over(recovered, given, &live.load().snapshot, lasting, &orphans),
            None => {
                account::bring_back(recovered, &ledger, &live.load().snapshot, &lasting.accounts, &orphans);
                Vec::new()
            }
        };
        let ledger = Arc::new(ledger);
        let custody = Arc::new(Custody::new(live.clone(), lasting.clone(), ledger.clone()));
        let predecessors = Arc::new(Predecessors::new(lasting.clone(), orphans.clone()));
        Ok((Keeping { ledger, custody, orphans, predecessors }, owned))
    }

    fn serve(self, keeping: Keeping) -> anyhow::Result<Running> {
        let Ready { config, sockets, parts, reloader } = self;
        let (end, ending) = signal::channel(false);
        spawn_tasks(&parts, &keeping, &ending);
        let sessions_kept = keep_role_sessions(&parts);
        reloader.poll_key_sets(config.clone());
        reloader.export_spans(reloader.exporter(&config)?);
        watch::follow_file(reloader.clone(), ending.clone());
        let drain = Drain::new(end, parts.live.clone());
        let (credentials, metrics, live) = (parts.credentials.clone(), parts.metrics.clone(), parts.live.clone());
        let giving = Giving { live: live.clone(), lasting: parts.lasting.clone(), keeping: keeping.clone() };
        let own = OwnConnections::default();
        let (traffic, admin) = assembly::serve(sockets, &config, parts, keeping, &own, &drain)?;
        let doors = Arc::new(Doors { addresses: traffic.clone(), live, own });
        if let Some(patience) = watchdog::patience() {
            tokio::spawn(watchdog::report(doors.clone(), patience, ending));
        }
        Ok(Running { traffic, admin, credentials, metrics, reloader, doors, giving, drain, _sessions_kept: sessions_kept })
    }
}

fn spawn_tasks(parts: &Parts, keeping: &Keeping, ending: &signal::Receiver<bool>) {
    tokio::spawn({
        let (addresses, live, ending) = (parts.gateway_addresses.clone(), parts.live.clone(), ending.clone());
        async move { every(resolving::EVERY, ending, || addresses.refresh(names(&live.load().snapshot))).await }
    });
    tokio::spawn({
        let (live, ending) = (parts.live.clone(), ending.clone());
        expiry::warn(&live.load().snapshot, SystemTime::now());
        async move { every(expiry::SAY_EVERY, ending, || async { expiry::warn(&live.load().snapshot, SystemTime::now()) }).await }
    });
    tokio::spawn({
        let (custody, orphans, ending) = (keeping.custody.clone(), keeping.orphans.clone(), ending.clone());
        let (live, metrics) = (parts.live.clone(), parts.metrics.clone());
        let expire = move || {
            let mut lost = Vec::new();
            custody.here(|lasting, ledger| lost = account::expire(lasting, ledger, &orphans, &Now::read()));
            account::tell(&lost, &live.load().snapshot, &metrics);
        };
        async move { every(account::EXPIRE_EVERY, ending, || async { expire() }).await }
    });
    tokio::spawn({
        let (history, metrics, ending) = (parts.history.clone(), parts.metrics.clone(), ending.clone());
        async move { every(SAMPLE_EVERY, ending, || async { history.sample(&metrics, Instant::now()) }).await }
    });
}

/// Calls STS until what is given back is dropped: requests that are let finish need their sessions to the end.
fn keep_role_sessions(parts: &Parts) -> signal::Sender<bool> {
    let assuming = assume_role::Assuming {
        sessions: parts.lasting.role_sessions.clone(),
        sts: parts.sts.clone(),
        metrics: parts.metrics.clone(),
    };
    let (kept, ending) = signal::channel(false);
    tokio::spawn(assume_role::keep_sessions(Arc::new(assuming), ending));
    kept
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
