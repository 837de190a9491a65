//! The old process's part: it starts the new one, and leads.

use std::{
    collections::HashMap,
    env, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use sd_notify::NotifyState;
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, unbounded_channel},
        oneshot,
    },
    time::timeout,
};

use super::{
    inherit::VARIABLE,
    key_sets,
    link::Link,
    message::{FromNew, FromOld, Owner, PROTOCOL},
    sessions,
};
use crate::{
    ledger::{Ledger, LedgerError},
    proxy::{
        Live,
        custody::{Predecessor, Reply, Said},
    },
    quota::{Now, Portion},
    server::{assembly::Keeping, drain::Drain},
    snapshot::{Lasting, Snapshot},
};

/// For the new process to get ready: key sets and credentials may have to be waited for.
const PREPARE_MAX: Duration = Duration::from_secs(60);
/// For the ledger to take what waits.
const LEDGER_MAX: Duration = Duration::from_secs(10);
/// For the new process to hear of the account, and to open the ledger. Requests wait for it.
const TAKE_MAX: Duration = Duration::from_secs(20);
/// For a message to a process that has taken over.
const SAY_MAX: Duration = Duration::from_secs(1);

/// Why there was no upgrade. The running process serves on.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The binary cannot be started.
    #[error("cannot start {}: {source}", program.to_string_lossy())]
    Start {
        /// As this process was started.
        program: std::ffi::OsString,
        /// Why.
        source: io::Error,
    },
    /// The new process says that it cannot serve.
    #[error("the new process cannot serve: {0}")]
    Failed(String),
    /// It ended.
    #[error("the new process ended before it had taken over: see its last lines in the log")]
    Ended,
    /// It takes too long.
    #[error("the new process took longer than {} s to get ready, and was killed", .0.as_secs())]
    Late(Duration),
    /// What waits cannot be written, and must not be left behind.
    #[error("the ledger cannot be written to; only a process that has written everything can give it up")]
    Ledger,
    /// The socket between the two failed.
    #[error("cannot speak to the new process: {0}")]
    Link(#[from] io::Error),
}

/// What this process gives.
pub(in crate::server) struct Giving {
    pub live: Arc<arc_swap::ArcSwap<Live>>,
    pub lasting: Arc<Lasting>,
    pub keeping: Keeping,
}

/// A process that could take over.
pub struct Prepared {
    link: Link,
    process: Started,
}

/// A started process, killed if it is dropped.
struct Started(Option<Child>);

impl Started {
    fn id(&self) -> u32 {
        self.0.as_ref().map_or(0, Child::id)
    }

    /// It goes its own way, and is reaped when it ends.
    fn release(mut self) {
        reap(self.0.take());
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
        }
        reap(self.0.take());
    }
}

/// On a thread of its own, that nobody waits for.
fn reap(child: Option<Child>) {
    if let Some(mut child) = child {
        let wait = thread::Builder::new().name("reap".to_owned()).spawn(move || child.wait());
        drop(wait);
    }
}

/// Starts a successor, and waits until it is ready.
pub(in crate::server) async fn prepare(drain: &Drain, giving: &Giving) -> Result<Prepared, UpgradeError> {
    let (link, end) = Link::pair()?;
    let process = start(end)?;
    let Giving { lasting, keeping, .. } = giving;
    let ready = async {
        let offered = offer(&link, drain, &keeping.ledger).await;
        loop {
            // Why it does not take what is offered, it may have said.
            match link.receive().await? {
                Some((FromNew::RoleSessions, _)) => sessions::give(&link, &lasting.role_sessions).await?,
                Some((FromNew::KeySets, _)) => key_sets::give(&link, &lasting.key_sets).await?,
                Some((FromNew::Prepared, _)) => return Ok(()),
                Some((FromNew::Failed(reason), _)) => return Err(UpgradeError::Failed(reason)),
                _ => return offered.map_or_else(|error| Err(error.into()), |()| Err(UpgradeError::Ended)),
            }
        }
    };
    timeout(PREPARE_MAX, ready).await.map_err(|_| UpgradeError::Late(PREPARE_MAX))??;
    Ok(Prepared { link, process })
}

async fn offer(link: &Link, drain: &Drain, ledger: &Ledger) -> io::Result<()> {
    let ledger = ledger.file().and_then(Path::to_str).map(str::to_owned);
    link.send(&FromOld::Hello { protocol: PROTOCOL, role_sessions: true, key_sets: true, ledger }).await?;
    for bound in drain.sockets()? {
        let socket = FromOld::Socket { configured: bound.configured, admin: bound.admin };
        link.send_with(&socket, Some(bound.socket.as_fd())).await?;
    }
    link.send(&FromOld::Offered).await
}

/// The same command line: what is at its path now.
fn start(end: OwnedFd) -> Result<Started, UpgradeError> {
    let mut words = env::args_os();
    let program = words.next().unwrap_or_default();
    let mut command = Command::new(&program);
    command.args(words).env(VARIABLE, "1").stdin(Stdio::from(end));
    // What systemd passed has been taken, and comes over the link.
    command.env_remove("LISTEN_FDS").env_remove("LISTEN_PID").env_remove("LISTEN_FDNAMES");
    match command.spawn() {
        Ok(child) => Ok(Started(Some(child))),
        Err(source) => Err(UpgradeError::Start { program, source }),
    }
}

impl Giving {
    /// Gives the account to a process that is ready; afterwards everything is said to it. To be brought to its end once it has begun. Says
    /// which process that is.
    pub async fn hand_over(&self, prepared: Prepared) -> Result<u32, UpgradeError> {
        // Most of what waits is written while nobody waits for it.
        self.written().await?;
        let former = self.keeping.predecessors.stop().await;
        let said = self.keeping.custody.give_up();
        let Prepared { link, process } = prepared;
        match self.give(&link, &former).await {
            Ok(()) => {
                // By the process that systemd takes for the main one still; nobody else's word counts.
                let successor = process.id();
                let _ = sd_notify::notify(&[NotifyState::MainPid(successor)]);
                let _ = timeout(SAY_MAX, link.send(&FromOld::Announced)).await;
                process.release();
                tokio::spawn(bring(link, said));
                Ok(successor)
            }
            Err(error) => {
                // Only a process that is gone has let go of the ledger.
                drop((link, process));
                self.take_back(said, former).await;
                Err(error)
            }
        }
    }

    async fn written(&self) -> Result<(), UpgradeError> {
        match timeout(LEDGER_MAX, self.keeping.ledger.durable()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(UpgradeError::Ledger),
        }
    }

    async fn give(&self, link: &Link, former: &[(Predecessor, Link)]) -> Result<(), UpgradeError> {
        self.written().await?;
        let ledger = self.keeping.ledger.clone();
        if !tokio::task::spawn_blocking(move || ledger.close()).await.unwrap_or(false) {
            return Err(UpgradeError::Ledger);
        }
        // The link takes some hundreds of messages, and then waits for whoever reads.
        timeout(TAKE_MAX, self.tell(link, former)).await.map_err(|_| UpgradeError::Late(TAKE_MAX))?
    }

    async fn tell(&self, link: &Link, former: &[(Predecessor, Link)]) -> Result<(), UpgradeError> {
        for message in self.account(former) {
            link.send(&message).await?;
        }
        for (_, former) in former {
            link.send_with(&FromOld::Predecessor, Some(former.fd())).await?;
        }
        link.send(&FromOld::Yours).await?;
        match link.receive().await? {
            Some((FromNew::Taken, _)) => Ok(()),
            Some((FromNew::Failed(reason), _)) => Err(UpgradeError::Failed(reason)),
            _ => Err(UpgradeError::Ended),
        }
    }

    /// All that the new process has to know.
    fn account(&self, former: &[(Predecessor, Link)]) -> Vec<FromOld> {
        let (live, now) = (self.live.load(), Now::read());
        let owners = self.owners(former);
        let mut messages = Vec::new();
        for account in self.lasting.accounts.all() {
            let tenant = account.tenant();
            let quotas = quotas(&live.snapshot, tenant);
            for portion in account.hand_over(quotas, &now) {
                let owner = match &portion {
                    Portion::Hold(hold) => owners.get(&hold.request).copied().unwrap_or(Some(0)),
                    // The ledger has them, and they are many.
                    Portion::Sum(..) if self.keeping.ledger.file().is_some() => continue,
                    Portion::Sum(..) | Portion::Minute(..) => None,
                };
                messages.push(FromOld::Account { tenant: tenant.clone(), owner, portion });
            }
        }
        for (tenant, counters) in self.lasting.counters.all() {
            messages.push(FromOld::Requests { tenant: tenant.into(), counted: counters.hand_over(Instant::now()) });
        }
        messages
    }

    /// Of holds that are not this process's own: the predecessor that they are of, or nobody.
    fn owners(&self, former: &[(Predecessor, Link)]) -> HashMap<uuid::Uuid, Option<Owner>> {
        let mut owners: HashMap<_, _> = self.keeping.orphans.ids().into_iter().map(|id| (id, None)).collect();
        for (number, (predecessor, _)) in (1..).zip(former) {
            owners.extend(predecessor.open().filter_map(|id| Some((id.parse().ok()?, Some(number)))));
        }
        owners
    }

    /// The new process has taken nothing: all is as it was.
    async fn take_back(&self, said: UnboundedReceiver<Said>, former: Vec<(Predecessor, Link)>) {
        let ledger = self.keeping.ledger.clone();
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || reopen(&ledger)).await {
            tracing::error!(%error, "the ledger is not opened again; nothing is recorded until the next start");
        }
        self.keeping.custody.take_back(said).await;
        former.into_iter().for_each(|(one, link)| self.keeping.predecessors.serve(one, link));
    }
}

/// A process that was killed lets go of its lock a moment later; for anything else nobody waits.
fn reopen(ledger: &Ledger) -> Result<(), LedgerError> {
    for _ in 0..100 {
        match ledger.reopen(Timestamp::now()) {
            Err(LedgerError::InUse(_)) => thread::sleep(Duration::from_millis(20)),
            Err(why) => return ledger.reopen_later(&why),
            Ok(()) => return Ok(()),
        }
    }
    ledger.reopen(Timestamp::now()).or_else(|why| ledger.reopen_later(&why))
}

/// Brings what is said here to the successor, and its replies back, for as long as it lives. Neither waits for the other: both sides'
/// queues are short.
async fn bring(link: Link, mut said: UnboundedReceiver<Said>) {
    let (expect, mut expected) = unbounded_channel();
    let write = async {
        while let Some(Said { call, waiting }) = said.recv().await {
            waiting.into_iter().for_each(|waiting| drop(expect.send(waiting)));
            if link.send(&FromOld::Call(call)).await.is_err() {
                return true;
            }
        }
        false
    };
    let read = async {
        while let Ok(Some((FromNew::Reply(reply), _))) = link.receive().await {
            let Some(waiting): Option<oneshot::Sender<Reply>> = expected.recv().await else { break };
            let _ = waiting.send(reply);
        }
        true
    };
    let lost = tokio::select! { lost = write => lost, lost = read => lost };
    if lost {
        tracing::error!("the process that took over is gone; requests that still run here finish, and are charged by estimate");
    }
}

fn quotas<'a>(snapshot: &'a Snapshot, tenant: &str) -> Option<&'a crate::quota::Quotas> {
    snapshot.tenants.get(tenant).map(|tenant| &tenant.quotas)
}
