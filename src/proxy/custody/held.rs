//! A request's part of its tenant's account, wherever that is kept: settled once, or given back when it is dropped.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Call, Custody, Denial, Reply};
use crate::{
    ledger::{self, Entry, NotDurable},
    pricing::NanoUsd,
    quota::{Amounts, Now, QuotaDenial, Reservation, Spent, Standing},
    snapshot::Tenant,
};

/// A request that fits.
pub struct Granted {
    /// Until it is settled or dropped.
    pub held: Held,
    /// One per limit that is enforced, with the request counted.
    pub standings: Vec<Standing>,
    /// What shadow limits would have said.
    pub shadowed: Vec<QuotaDenial>,
}

/// What one request holds.
pub struct Held {
    custody: Arc<Custody>,
    /// Nothing if it was made elsewhere: then it is found by the request's id.
    reservation: Option<Reservation>,
    /// As the ledger has it.
    hold: Arc<ledger::Hold>,
    open: bool,
}

impl Held {
    pub(super) fn here(custody: Arc<Custody>, reservation: Reservation, hold: Arc<ledger::Hold>) -> Held {
        Held { custody, reservation: Some(reservation), hold, open: true }
    }

    /// Asked for already: whoever drops this gives back what may be granted after all.
    pub(super) fn elsewhere(custody: Arc<Custody>, hold: Arc<ledger::Hold>) -> Held {
        Held { custody, reservation: None, hold, open: true }
    }

    pub(super) async fn granted(mut self, reply: oneshot::Receiver<Reply>) -> Result<Granted, Denial> {
        let denial = match reply.await {
            Ok(Reply::Held(day, standings, shadowed)) => {
                Arc::make_mut(&mut self.hold).request.day = day;
                return Ok(Granted { held: self, standings, shadowed });
            }
            Ok(reply) => denial(reply),
            Err(_) => Denial::LedgerUnavailable,
        };
        self.open = false;
        Err(denial)
    }

    /// As the ledger has it.
    pub fn hold(&self) -> &ledger::Hold {
        &self.hold
    }

    /// Whether it is neither settled nor given back.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Holds so much input and output, and so much money, instead of less; gives what shadow limits would have said. `spent`: what of the
    /// money is spent already, whatever becomes of the request.
    ///
    /// # Errors
    /// A limit binds, and what was held is held on; or nobody can say.
    pub async fn grow(
        &mut self,
        tenant: &Tenant,
        (input_tokens, output_tokens): (u64, u64),
        (cost, spent): (NanoUsd, NanoUsd),
        now: &Now,
    ) -> Result<Vec<QuotaDenial>, Denial> {
        let held = &self.hold;
        let more = (input_tokens.saturating_sub(held.input_tokens), output_tokens.saturating_sub(held.output_tokens));
        let dearer = cost.saturating_sub(held.cost);
        let input_cost = held.input_cost.max(spent);
        let grown = Arc::new(ledger::Hold { input_tokens, output_tokens, cost, input_cost, ..(**held).clone() });
        let custody = self.custody.clone();
        let asked = match &*custody.keeper() {
            None => Err(self.grow_here(tenant, more, dearer, &grown, now)),
            Some(successor) => Ok(successor.ask(Call::Grow(Box::new((*grown).clone()), more, dearer))),
        };
        let shadowed = match asked {
            Err(here) => here?,
            Ok(reply) => match reply.await {
                Ok(Reply::Grown(shadowed)) => shadowed,
                Ok(reply) => return Err(denial(reply)),
                Err(_) => return Err(Denial::LedgerUnavailable),
            },
        };
        self.hold = grown;
        Ok(shadowed)
    }

    fn grow_here(
        &mut self,
        tenant: &Tenant,
        more: (u64, u64),
        dearer: NanoUsd,
        grown: &Arc<ledger::Hold>,
        now: &Now,
    ) -> Result<Vec<QuotaDenial>, QuotaDenial> {
        if self.reservation.is_none() {
            self.reservation = grown.request.id.parse().ok().and_then(|id| tenant.account.reclaim(id));
        }
        let shadowed = match &mut self.reservation {
            Some(reservation) => reservation.extend(&tenant.quotas, more, dearer, now)?,
            None => Vec::new(),
        };
        self.custody.ledger.hold(grown.clone());
        Ok(shadowed)
    }

    /// Charges what the request used, and gives back the rest; whether that is more than it held.
    pub fn settle(&mut self, entry: Entry, now: &Now) -> bool {
        let used = Amounts::used(&entry.usage, entry.cost, 1);
        let overdrawn = used.exceed(&Amounts {
            input_tokens: self.hold.input_tokens,
            output_tokens: self.hold.output_tokens,
            burndown: 0,
            cost: u64::try_from(self.hold.cost.0).unwrap_or(0),
        });
        self.open = false;
        match (&*self.custody.keeper(), self.reservation.take()) {
            (None, reservation) => {
                match reservation {
                    Some(reservation) => drop(reservation.settle(&spent(&entry), now)),
                    None => settle_by_id(&self.custody, &entry, now),
                }
                self.custody.ledger.settle(entry);
            }
            (Some(successor), reservation) => {
                reservation.into_iter().for_each(Reservation::leave);
                let id = entry.request.id.clone();
                if !successor.say(Call::Settle(Box::new(entry))) {
                    tracing::error!(request_id = %id, "no process takes this charge; who opens the ledger next makes it by estimate");
                }
            }
        }
        overdrawn
    }

    /// As [`Custody::acknowledged`].
    ///
    /// # Errors
    /// As there.
    pub async fn acknowledged(&self) -> Result<(), NotDurable> {
        self.custody.acknowledged().await
    }

    /// Gives back all of it. Does nothing once it is settled.
    pub fn release(&mut self) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let request = &self.hold.request;
        match (&*self.custody.keeper(), self.reservation.take()) {
            (None, reservation) => {
                if reservation.is_none() {
                    drop(reclaim(&self.custody, request));
                }
                drop(reservation);
                self.custody.ledger.release(&request.id);
            }
            (Some(successor), reservation) => {
                reservation.into_iter().for_each(Reservation::leave);
                successor.say(Call::Release(request.tenant.clone(), request.id.clone()));
            }
        }
    }
}

/// A request that ends in any other way, a panic included, costs nothing; but what ends because the process does was cut, and stays held
/// for whoever opens the ledger next.
impl Drop for Held {
    fn drop(&mut self) {
        if !self.custody.is_closed() {
            self.release();
        } else if let Some(reservation) = self.reservation.take() {
            reservation.leave();
        }
    }
}

/// What a request holds whose reservation is somewhere else; nothing if it has expired.
pub(super) fn reclaim(custody: &Custody, request: &ledger::Request) -> Option<Reservation> {
    custody.lasting.accounts.of(&request.tenant).reclaim(request.id.parse().ok()?)
}

/// Charges such a request.
pub(super) fn settle_by_id(custody: &Custody, entry: &Entry, now: &Now) {
    let request = &entry.request;
    match reclaim(custody, request) {
        Some(reservation) => drop(reservation.settle(&spent(entry), now)),
        None => {
            let sum = (request.day, &*request.model, spent(entry));
            custody.lasting.accounts.of(&request.tenant).restore([sum]);
        }
    }
}

fn spent(entry: &Entry) -> Spent {
    let spend = if entry.estimated { Spent::estimate } else { Spent::request };
    spend(entry.usage, entry.cost)
}

fn denial(reply: Reply) -> Denial {
    match reply {
        Reply::Denied(denial) => (*denial).into(),
        Reply::UnknownTenant => Denial::UnknownTenant,
        _ => Denial::LedgerUnavailable,
    }
}
