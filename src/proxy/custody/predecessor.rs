//! What a process does for the one before it, whose last requests still run: its calls, on the accounts that are kept here now.

use std::{collections::HashMap, sync::Arc};

use super::{Call, Custody, Reply, held::settle_by_id};
use crate::{
    ledger::{self, Ledger},
    pricing::NanoUsd,
    quota::{Ask, Now, Permit},
    snapshot::Tenant,
};

/// A former process, and what its requests hold here.
pub struct Predecessor {
    custody: Arc<Custody>,
    /// By request id. Each has a place among its tenant's running requests.
    open: HashMap<Arc<str>, (Open, Permit)>,
}

/// One of its running requests.
pub struct Open {
    /// Whose.
    pub tenant: Arc<str>,
    /// As the ledger has it.
    pub hold: Option<ledger::Hold>,
}

impl Predecessor {
    /// Holds nothing yet.
    pub fn new(custody: Arc<Custody>) -> Predecessor {
        Predecessor { custody, open: HashMap::new() }
    }

    /// One of its requests runs, and its hold is in the account already.
    pub fn runs(&mut self, id: Arc<str>, open: Open) {
        let permit = self.custody.lasting.counters.of(&open.tenant).run();
        self.open.insert(id, (open, permit));
    }

    /// The ids of its running requests.
    pub fn open(&self) -> impl Iterator<Item = &Arc<str>> {
        self.open.keys()
    }

    /// It is gone; what it did not end.
    pub fn into_open(self) -> Vec<(Arc<str>, Open)> {
        self.open.into_iter().map(|(id, (open, _))| (id, open)).collect()
    }

    /// Does what is said, and gives the reply to what asks.
    pub async fn answer(&mut self, call: Call) -> Option<Reply> {
        let (custody, now) = (self.custody.clone(), Now::read());
        let ledger = &custody.ledger;
        match call {
            Call::Hold(hold, burndown_factor) => Some(self.hold(*hold, burndown_factor, ledger, &now).await),
            Call::Grow(hold, more, dearer) => Some(self.grow(*hold, more, dearer, ledger, &now)),
            Call::Settle(entry) => {
                self.open.remove(&entry.request.id);
                settle_by_id(&custody, &entry, &now);
                ledger.settle(*entry);
                None
            }
            Call::Release(tenant, id) => {
                self.open.remove(&id);
                drop(id.parse().ok().and_then(|id| custody.lasting.accounts.of(&tenant).reclaim(id)));
                ledger.release(&id);
                None
            }
            Call::Durable => Some(Reply::Durable(ledger.durable().await.is_ok())),
        }
    }

    async fn hold(&mut self, mut hold: ledger::Hold, burndown_factor: u64, ledger: &Ledger, now: &Now) -> Reply {
        let Some(tenant) = self.tenant(&hold) else { return Reply::UnknownTenant };
        let (false, Ok(request)) = (!ledger.admits(), hold.request.id.parse()) else { return Reply::Unavailable };
        let ask = Ask {
            request,
            model: &hold.request.model,
            input_tokens: hold.input_tokens,
            output_tokens: hold.output_tokens,
            burndown_factor,
            cost: hold.cost,
        };
        let grant = match tenant.account.reserve(&tenant.quotas, &ask, now) {
            Ok(grant) => grant,
            Err(denial) => return Reply::Denied(Box::new(denial)),
        };
        let day = grant.reservation.date();
        hold.request.day = day;
        ledger.hold(hold.clone());
        if ledger.acknowledged_hold().await.is_err() {
            ledger.release(&hold.request.id);
            return Reply::Unavailable;
        }
        grant.reservation.leave();
        self.runs(hold.request.id.clone(), Open { tenant: tenant.name.clone(), hold: Some(hold) });
        Reply::Held(day, grant.standings, grant.shadowed)
    }

    fn grow(&mut self, hold: ledger::Hold, more: (u64, u64), dearer: NanoUsd, ledger: &Ledger, now: &Now) -> Reply {
        let Some(tenant) = self.tenant(&hold) else { return Reply::UnknownTenant };
        let reservation = hold.request.id.parse().ok().and_then(|id| tenant.account.reclaim(id));
        // What has expired holds nothing any more; its end charges it all the same.
        let Some(mut reservation) = reservation else { return Reply::Grown(Vec::new()) };
        let extended = reservation.extend(&tenant.quotas, more, dearer, now);
        reservation.leave();
        match extended {
            Ok(shadowed) => {
                ledger.hold(hold.clone());
                self.runs(hold.request.id.clone(), Open { tenant: tenant.name.clone(), hold: Some(hold) });
                Reply::Grown(shadowed)
            }
            Err(denial) => Reply::Denied(Box::new(denial)),
        }
    }

    fn tenant(&self, hold: &ledger::Hold) -> Option<Arc<Tenant>> {
        self.custody.live.load().snapshot.tenants.get(&*hold.request.tenant).cloned()
    }
}
