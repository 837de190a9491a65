//! The tenants' accounts over the life of processes: brought back from the ledger at start, and freed of what nobody will end.

pub mod minutes;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    StartError,
    handover::{Given, Owned},
};
use crate::{
    config::Config,
    ledger::{self, Entry, Hold, Ledger, LedgerError, Recovered, Request, Sums},
    proxy::{charge::Bill, custody::predecessor::Open},
    quota::{Accounts, Now, Portion, Spent},
    snapshot::{Lasting, Snapshot},
    telemetry::{Metrics, TenantSeries},
};

/// How often holds are looked through for expired ones.
pub(super) const EXPIRE_EVERY: Duration = Duration::from_secs(5);

/// Nobody runs what a dead process had admitted. Bedrock may still generate for it, and a client's retry comes right away: for so long
/// its hold stays, and is then charged by estimate.
pub(super) const AFTERMATH_MAX: Duration = Duration::from_secs(60);

/// What a former process had admitted and did not see end.
#[derive(Default)]
pub(super) struct Orphans(Mutex<Left>);

#[derive(Default)]
struct Left {
    /// Whose holds are in an account.
    held: HashMap<Uuid, Hold>,
    /// Whose holds had expired before.
    expired: Vec<Hold>,
}

impl Orphans {
    /// Charged by estimate when its hold expires.
    pub fn add(&self, id: Uuid, hold: Hold) {
        self.lock().held.insert(id, hold);
    }

    /// No account has its hold any more: charged when holds are looked through next.
    pub fn expired(&self, id: Uuid) {
        let mut left = self.lock();
        let hold = left.held.remove(&id);
        left.expired.extend(hold);
    }

    pub fn ids(&self) -> Vec<Uuid> {
        self.lock().held.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the configuration keeps the account where the process before this one does, if that has a ledger: windows go by what stands in the
/// file, and what running requests hold stands there, too.
///
/// # Errors
/// It names another file, or none.
pub(super) fn stays(config: &Config, kept: Option<&Path>) -> anyhow::Result<()> {
    let (Some(kept), named) = (kept, config.ledger.file.as_deref()) else { return Ok(()) };
    if named.is_some_and(|named| ledger::is_same_file(named, kept)) {
        return Ok(());
    }
    let named = named.map_or("has no ledger".to_owned(), |named| format!("names the ledger {}", named.display()));
    bail!(
        "the configuration {named}, and the running gateway keeps the account in {}: an upgrade goes on with that file. Set `file` in [ledger] \
         back to it; or stop the gateway, move the file, and start it again",
        kept.display()
    )
}

/// Whether nothing is known that would keep the ledger from being opened; it may be another process's still.
///
/// # Errors
/// What keeps it, until somebody puts it right.
pub(super) async fn can_be_opened(config: &Config) -> Result<(), StartError> {
    let settings = config.ledger.clone();
    let obstacle = tokio::task::spawn_blocking(move || Ledger::obstacle(&settings)).await;
    obstacle.context("cannot look at the ledger")?.map_or(Ok(()), |error| Err(StartError::Ledger(error)))
}

/// Opens the ledger, and tells where the account stood. `taking`: from a process that runs.
pub(super) async fn open(config: &Config, taking: bool) -> anyhow::Result<(Ledger, Recovered)> {
    let settings = config.ledger.clone();
    let open = if taking { Ledger::take_over } else { Ledger::open };
    Ok(tokio::task::spawn_blocking(move || open(&settings, Timestamp::now())).await??)
}

/// Puts every account where it was when the last process ended.
pub(super) fn bring_back(recovered: Recovered, ledger: &Ledger, snapshot: &Snapshot, accounts: &Accounts, orphans: &Orphans) {
    let now = Now::read();
    bring_back_sums(&recovered, accounts);
    let mut recent = charged_lately(ledger, snapshot, &now).unwrap_or_else(|error| {
        tracing::error!(%error, "the last minutes of the ledger cannot be read; limits per minute begin with all that they have");
        Vec::new()
    });
    let mut running = 0;
    for hold in recovered.holds {
        let Ok(id) = hold.request.id.parse() else { continue };
        recent.extend(minutes::running(&hold, &snapshot.prices));
        orphans.add(id, hold);
        running += 1;
    }
    let account_of = |tenant: &str| (accounts.of(tenant), snapshot.tenants.get(tenant).map(|tenant| &tenant.quotas));
    minutes::replay(recent, account_of, AFTERMATH_MAX, &now);
    if running > 0 {
        tracing::warn!(requests = running, "the ledger has requests that were running when the gateway ended last");
    }
}

fn charged_lately(ledger: &Ledger, snapshot: &Snapshot, now: &Now) -> Result<Vec<minutes::Recent>, LedgerError> {
    let Some(reader) = ledger.reader()? else { return Ok(Vec::new()) };
    minutes::charged(&reader, None, &snapshot.prices, now.wall)
}

fn bring_back_sums(recovered: &Recovered, accounts: &Accounts) {
    for (key, sums) in &recovered.sums {
        accounts.of(&key.tenant).restore([(key.day, &*key.model, spent(sums))]);
    }
}

/// Puts every account where the process that gives it has it: settled sums by the ledger, everything else as it says.
/// Returns what its requests, and those of the processes before it, hold.
pub(super) fn take_over(
    recovered: Recovered,
    given: &Given,
    snapshot: &Snapshot,
    lasting: &Lasting,
    orphans: &Orphans,
) -> Vec<Owned> {
    let now = Now::read();
    bring_back_sums(&recovered, &lasting.accounts);
    let holds = recovered.holds.into_iter().filter_map(|hold| Some((hold.request.id.parse().ok()?, hold)));
    let mut holds: HashMap<Uuid, Hold> = holds.collect();
    let mut owned = Vec::new();
    for (tenant, owner, portion) in &given.portions {
        let quotas = snapshot.tenants.get(&**tenant).map(|tenant| &tenant.quotas);
        lasting.accounts.of(tenant).take_over(quotas, portion, &now);
        let Portion::Hold(open) = portion else { continue };
        match (owner, holds.remove(&open.request)) {
            (Some(owner), hold) => owned.push((*owner, open.request.to_string().into(), Open { tenant: tenant.clone(), hold })),
            (None, Some(hold)) => orphans.add(open.request, hold),
            (None, None) => {}
        }
    }
    given.counted.iter().for_each(|(tenant, counted)| lasting.counters.of(tenant).take_over(*counted, Instant::now()));
    // What the ledger alone has runs longer than anything may be held. Its end charges it all the same.
    for (id, hold) in holds {
        owned.push((0, id.to_string().into(), Open { tenant: hold.request.tenant.clone(), hold: Some(hold) }));
    }
    owned
}

/// What the ledger has of a day and model, as the account has it.
pub fn spent(sums: &Sums) -> Spent {
    Spent { usage: sums.usage, cost: sums.cost, requests: sums.requests, estimated: sums.estimated }
}

/// Gives back what has expired, and charges what a former process had begun: these charges.
pub(super) fn expire(lasting: &Lasting, ledger: &Ledger, orphans: &Orphans, now: &Now) -> Vec<Entry> {
    let mut ended = std::mem::take(&mut orphans.lock().expired);
    for expired in lasting.accounts.expire(now) {
        let orphan = orphans.lock().held.remove(&expired.request);
        if orphan.is_none() {
            tracing::warn!(tenant = %expired.tenant, request_id = %expired.request, "a hold expired before its request ended");
        }
        ended.extend(orphan);
    }
    let charge = |orphan: Hold| {
        let lost = orphan.lost();
        let Entry { request: Request { tenant, day, model, .. }, usage, cost, .. } = &lost;
        lasting.accounts.of(tenant).restore([(*day, &**model, Spent::estimate(*usage, *cost))]);
        ledger.settle(lost.clone());
        lost
    };
    ended.into_iter().map(charge).collect()
}

/// Says of requests, in metrics and log, that they were charged by estimate.
pub(super) fn tell(lost: &[Entry], snapshot: &Snapshot, metrics: &Metrics) {
    for entry in lost {
        let Entry { request: Request { id, tenant, operation, model, .. }, usage, cost, .. } = entry;
        tracing::warn!(
            request_id = %id, %tenant, %operation, %model, input_tokens = usage.input_tokens, cost_usd = %cost,
            "charged by estimate, as lost: the process that ran this request is gone"
        );
        let bill = Bill::of_lost(entry);
        match snapshot.tenants.get(&**tenant) {
            Some(tenant) => bill.count(&tenant.series, metrics),
            None => bill.count(&TenantSeries::new(tenant.clone()), metrics),
        }
    }
}
