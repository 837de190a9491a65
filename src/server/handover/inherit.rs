//! The new process's part: it gets ready beside the old one, and says so, or why it cannot.

use std::{env, net::TcpListener, os::fd::AsFd, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use tokio::time::timeout;

use super::{
    key_sets,
    link::Link,
    message::{FromNew, FromOld, Owner, PROTOCOL},
    predecessors::Predecessors,
    sessions,
};
use crate::{
    auth::HandedKeySet,
    aws::HandedSession,
    proxy::custody::{Custody, Predecessor, predecessor::Open},
    quota::{Counted, Portion},
    server::sockets::Bound,
};

/// Set for a process that is started to take over: its standard input is the link.
pub(super) const VARIABLE: &str = "TOLLGATE_HANDOVER";

/// For the old process to write its ledger and to say what it has to say.
const ACCOUNT_MAX: Duration = Duration::from_secs(60);

/// For the old process to tell systemd which one is the main process now.
const ANNOUNCE_MAX: Duration = Duration::from_secs(5);

/// The old process, before it has given the account.
pub(in crate::server) struct Inheritance {
    link: Link,
}

/// What there is to be had of the old process while it serves, and the file of its ledger.
#[derive(Default)]
pub(in crate::server) struct Offer {
    pub sockets: Vec<Bound>,
    pub role_sessions: bool,
    pub key_sets: bool,
    pub ledger: Option<PathBuf>,
}

/// The account, as the old process gave it.
#[derive(Default)]
pub(in crate::server) struct Given {
    pub portions: Vec<(Arc<str>, Option<Owner>, Portion)>,
    pub counted: Vec<(Arc<str>, Counted)>,
    predecessors: Vec<Link>,
}

/// What a request of a former process holds, and of which one.
pub(in crate::server) type Owned = (Owner, Arc<str>, Open);

impl Inheritance {
    /// The process that started this one to take over from it, if one did.
    pub fn found() -> anyhow::Result<Option<Inheritance>> {
        if env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let end = std::io::stdin().as_fd().try_clone_to_owned()?;
        // Whatever this process starts must not have it: the link ends when the last one closes it.
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        let link =
            Link::of(end).with_context(|| format!("{VARIABLE} is set, but standard input is no link to a running gateway"))?;
        Ok(Some(Inheritance::of(link)))
    }

    /// What comes by this link.
    pub(super) fn of(link: Link) -> Inheritance {
        Inheritance { link }
    }

    /// The sockets that it has, and what it can be asked for.
    pub async fn offer(&self) -> anyhow::Result<Offer> {
        let mut offer = Offer::default();
        loop {
            match self.link.receive().await.context("cannot hear the running gateway")? {
                Some((FromOld::Hello { protocol: PROTOCOL, role_sessions, key_sets, ledger }, _)) => {
                    offer = Offer { role_sessions, key_sets, ledger: ledger.map(PathBuf::from), ..offer };
                }
                Some((FromOld::Hello { protocol, .. }, _)) => {
                    bail!("the running gateway hands over by protocol {protocol}, this one takes {PROTOCOL}: restart instead")
                }
                Some((FromOld::Socket { configured, admin }, Some(fd))) => {
                    offer.sockets.push(Bound { configured, admin, socket: TcpListener::from(fd) });
                }
                Some((FromOld::Offered, _)) => return Ok(offer),
                _ => bail!("the running gateway does not hand over as expected: restart instead"),
            }
        }
    }

    /// The sessions of tenants' roles that it has; none of one that does not offer any.
    pub async fn role_sessions(&self, offered: bool) -> anyhow::Result<Vec<HandedSession>> {
        if offered { sessions::ask(&self.link).await } else { Ok(Vec::new()) }
    }

    /// The key sets of issuers that it has; none of one that does not offer any.
    pub async fn key_sets(&self, offered: bool) -> anyhow::Result<Vec<HandedKeySet>> {
        if offered { key_sets::ask(&self.link).await } else { Ok(Vec::new()) }
    }

    /// Why this process cannot take over; the other one goes on.
    pub async fn fail(&self, reason: String) {
        let _ = self.link.send(&FromNew::Failed(reason)).await;
    }

    /// This process could serve: now it gets the account.
    pub async fn prepared(&self) -> anyhow::Result<Given> {
        self.link.send(&FromNew::Prepared).await?;
        let given = timeout(ACCOUNT_MAX, self.given()).await;
        given.context("the running gateway does not give the account")?
    }

    async fn given(&self) -> anyhow::Result<Given> {
        let mut given = Given::default();
        loop {
            match self.link.receive().await? {
                Some((FromOld::Account { tenant, owner, portion }, _)) => given.portions.push((tenant, owner, portion)),
                Some((FromOld::Requests { tenant, counted }, _)) => given.counted.push((tenant, counted)),
                Some((FromOld::Predecessor, Some(link))) => given.predecessors.push(Link::of(link)?),
                Some((FromOld::Yours, _)) => return Ok(given),
                _ => bail!("the running gateway has not given the account; it goes on"),
            }
        }
    }

    /// This process serves, and has the account. `open`: what requests of former processes hold.
    pub async fn taken(
        self,
        given: Given,
        open: Vec<Owned>,
        custody: &Arc<Custody>,
        predecessors: &Predecessors,
    ) -> anyhow::Result<()> {
        let links: Vec<Link> = [self.link].into_iter().chain(given.predecessors).collect();
        let mut former: Vec<Predecessor> = links.iter().map(|_| Predecessor::new(custody.clone())).collect();
        for (owner, id, open) in open {
            if let Some(one) = usize::try_from(owner).ok().and_then(|owner| former.get_mut(owner)) {
                one.runs(id, open);
            }
        }
        if let Some(link) = links.first() {
            link.send(&FromNew::Taken).await.context("the running gateway has gone")?;
            // Before that, systemd would not believe a word of this process.
            let announced = timeout(ANNOUNCE_MAX, link.receive::<FromOld>()).await;
            if !matches!(announced, Ok(Ok(Some((FromOld::Announced, _))))) {
                tracing::warn!("the process before this one has not told systemd");
            }
        }
        former.into_iter().zip(links).for_each(|(one, link)| predecessors.serve(one, link));
        Ok(())
    }
}
