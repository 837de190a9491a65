//! Who keeps the tenants' accounts: this process, or the one that took over from it while its last requests run. The stations call the
//! same things either way; at any moment one process alone changes an account and writes the ledger.
//!
//! | file | job |
//! |---|---|
//! | [`held`] | what a request holds, until it is settled or given back |
//! | [`call`] | what is said to a successor |
//! | [`predecessor`] | what a successor does with it |

pub mod call;
pub mod held;
pub mod predecessor;

use std::sync::{
    Arc, PoisonError, RwLock, RwLockReadGuard,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc::UnboundedReceiver, oneshot};

pub use self::{
    call::{Call, Reply, Said, Successor},
    held::{Granted, Held},
    predecessor::Predecessor,
};
use super::{Denial, Live};
use crate::{
    ledger::{self, Ledger, NotDurable},
    quota::{Ask, Now},
    snapshot::{Lasting, Tenant},
};

/// The accounts and their ledger, as the stations reach them.
pub struct Custody {
    live: Arc<ArcSwap<Live>>,
    lasting: Arc<Lasting>,
    ledger: Arc<Ledger>,
    /// Locked for as long as something is done to an account here, so that nothing is once this is set.
    successor: RwLock<Option<Successor>>,
    closed: AtomicBool,
}

impl Custody {
    /// Here.
    pub fn new(live: Arc<ArcSwap<Live>>, lasting: Arc<Lasting>, ledger: Arc<Ledger>) -> Custody {
        Custody { live, lasting, ledger, successor: RwLock::default(), closed: AtomicBool::new(false) }
    }

    /// Who keeps the accounts, if it is not this process. That does not change before the answer is dropped.
    fn keeper(&self) -> RwLockReadGuard<'_, Option<Successor>> {
        self.successor.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is done to all accounts at once, if they are kept here.
    pub fn here(&self, work: impl FnOnce(&Lasting, &Ledger)) {
        // Kept until the work is done: a process that hands over waits for it.
        let keeper = self.keeper();
        if keeper.is_none() {
            work(&self.lasting, &self.ledger);
        }
    }

    /// The process ends: requests that have not ended yet are cut.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether new requests may spend. A successor says that when it is asked for a hold.
    pub fn admits(&self) -> bool {
        // Kept until both are known: a process that hands over in between closes its ledger.
        let keeper = self.keeper();
        keeper.is_some() || self.ledger.admits()
    }

    /// Holds what a request asks for, or says why not. The hold's day is the account's to say.
    pub async fn hold(
        self: &Arc<Self>,
        tenant: &Tenant,
        ask: &Ask<'_>,
        hold: Arc<ledger::Hold>,
        now: &Now,
    ) -> Result<Granted, Denial> {
        let asked = match &*self.keeper() {
            None => Err(self.hold_here(tenant, ask, hold, now)),
            Some(successor) => Ok((successor.ask(Call::Hold(Box::new((*hold).clone()), ask.burndown_factor)), hold)),
        };
        match asked {
            Ok((reply, hold)) => Held::elsewhere(self.clone(), hold).granted(reply).await,
            Err(granted) => {
                let granted = granted?;
                // With `strict`, a request that is upstream is on disk.
                self.ledger.acknowledged_hold().await.map_err(|_| Denial::LedgerUnavailable)?;
                Ok(granted)
            }
        }
    }

    fn hold_here(
        self: &Arc<Self>,
        tenant: &Tenant,
        ask: &Ask<'_>,
        mut hold: Arc<ledger::Hold>,
        now: &Now,
    ) -> Result<Granted, Denial> {
        let grant = tenant.account.reserve(&tenant.quotas, ask, now)?;
        Arc::make_mut(&mut hold).request.day = grant.reservation.date();
        self.ledger.hold(hold.clone());
        let held = Held::here(self.clone(), grant.reservation, hold);
        Ok(Granted { held, standings: grant.standings, shadowed: grant.shadowed })
    }

    /// With `strict`, waits until all that was said before is on disk; otherwise returns at once.
    ///
    /// # Errors
    /// It is not yet. What was said is kept.
    pub async fn acknowledged(&self) -> Result<(), NotDurable> {
        if !self.ledger.is_strict() {
            return Ok(());
        }
        match self.ask_whether_durable() {
            None => self.ledger.acknowledged().await,
            Some(reply) => durable(reply).await,
        }
    }

    /// Waits until all that was said before is on disk.
    ///
    /// # Errors
    /// It is not yet; or there is nobody any more who could say so.
    pub async fn durable(&self) -> Result<(), NotDurable> {
        match self.ask_whether_durable() {
            None => self.ledger.durable().await,
            Some(reply) => durable(reply).await,
        }
    }

    fn ask_whether_durable(&self) -> Option<oneshot::Receiver<Reply>> {
        self.keeper().as_ref().map(|successor| successor.ask(Call::Durable))
    }

    /// From now on nothing is done to an account here: everything is said to the successor.
    pub fn give_up(&self) -> UnboundedReceiver<Said> {
        let (successor, said) = Successor::new();
        *self.successor.write().unwrap_or_else(PoisonError::into_inner) = Some(successor);
        said
    }

    /// The successor took nothing: what was said to it is done here.
    pub async fn take_back(self: &Arc<Self>, mut said: UnboundedReceiver<Said>) {
        *self.successor.write().unwrap_or_else(PoisonError::into_inner) = None;
        let mut own = Predecessor::new(self.clone());
        while let Ok(Said { call, waiting }) = said.try_recv() {
            let asks_for = match &call {
                Call::Hold(hold, _) => Some((hold.request.tenant.clone(), hold.request.id.clone())),
                _ => None,
            };
            let (Some(reply), Some(waiting)) = (own.answer(call).await, waiting) else { continue };
            if let (Err(Reply::Held(..)), Some((tenant, id))) = (waiting.send(reply), asks_for) {
                // Whoever asked is gone, and found nothing to give back yet.
                own.answer(Call::Release(tenant, id)).await;
            }
        }
    }
}

async fn durable(reply: oneshot::Receiver<Reply>) -> Result<(), NotDurable> {
    match reply.await {
        Ok(Reply::Durable(true)) => Ok(()),
        _ => Err(NotDurable),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{config, snapshot::Snapshot};

    #[test]
    fn nothing_is_given_up_while_something_is_done_here_nor_done_here_afterwards() {
        let text = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[upstream]\nregion = \"us-east-1\"\n";
        let config = config::parse(text, Path::new("tollgate.toml")).unwrap_or_else(|problems| panic!("{problems}"));
        let lasting = Arc::new(Lasting::default());
        let live = Arc::new(ArcSwap::from_pointee(Live::new(Snapshot::compile(&config, 1, &lasting).unwrap())));
        let (ledger, _) = Ledger::open(&config.ledger, jiff::Timestamp::now()).unwrap();
        let custody = Custody::new(live, lasting, Arc::new(ledger));
        let mut done = false;
        custody.here(|_, _| {
            assert!(custody.successor.try_write().is_err());
            done = true;
        });
        assert!(done);
        let _said = custody.give_up();
        custody.here(|_, _| panic!("it is another's"));
    }
}
