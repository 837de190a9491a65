//! The tenants' accounts over the life of processes: brought back from the ledger at start, and freed of what nobody will end.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use uuid::Uuid;

use super::handover::{Given, Owned};
use crate::{
    config::Config,
    ledger::{Hold, Ledger, Recovered, Sums},
    proxy::custody::predecessor::Open,
    quota::{Accounts, Amounts, Now, OpenHold, Portion, Spent},
    snapshot::{Lasting, Snapshot},
};

/// How often holds are looked through for expired ones.
pub(super) const EXPIRE_EVERY: Duration = Duration::from_secs(5);

/// Nobody runs what a dead process had admitted. Bedrock may still generate for it, and a client's retry comes right away: for so long
/// its hold stays, and is then charged by estimate.
pub(super) const AFTERMATH_MAX: Duration = Duration::from_secs(60);

/// What a former process had admitted and did not see end.
#[derive(Default)]
pub(super) struct Orphans(Mutex<HashMap<Uuid, Hold>>);

impl Orphans {
    /// Charged by estimate when its hold expires.
    pub fn add(&self, id: Uuid, hold: Hold) {
        self.lock().insert(id, hold);
    }

    pub fn ids(&self) -> Vec<Uuid> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Hold>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the ledger, and tells where the account stood. `taking`: from a process that runs.
pub(super) async fn open(config: &Config, taking: bool) -> anyhow::Result<(Ledger, Recovered)> {
    let settings = config.ledger.clone();
    let open = if taking { Ledger::take_over } else { Ledger::open };
    Ok(tokio::task::spawn_blocking(move || open(&settings, Timestamp::now())).await??)
}

/// Puts every account where it was when the last process ended.
pub(super) fn bring_back(recovered: Recovered, accounts: &Accounts, orphans: &Orphans) {
    let now = Now::read();
    bring_back_sums(&recovered, accounts, &now);
    let mut running = 0;
    for hold in recovered.holds {
        let Some(open) = open_hold(&hold) else { continue };
        let id = open.request;
        accounts.of(&hold.request.tenant).restore([], [open], AFTERMATH_MAX, &now);
        orphans.add(id, hold);
        running += 1;
    }
    if running > 0 {
        tracing::warn!(requests = running, "the ledger has requests that were running when the gateway ended last");
    }
}

fn bring_back_sums(recovered: &Recovered, accounts: &Accounts, now: &Now) {
    for (key, sums) in &recovered.sums {
        accounts.of(&key.tenant).restore([(key.day, &*key.model, spent(sums))], [], AFTERMATH_MAX, now);
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
    bring_back_sums(&recovered, &lasting.accounts, &now);
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
    given.counted.iter().for_each(|(tenant, counted)| lasting.counters.of(tenant).take_over(*counted));
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

/// What the ledger has of a running request; nothing if no gateway can have written it.
pub fn open_hold(hold: &Hold) -> Option<OpenHold> {
    Some(OpenHold {
        request: hold.request.id.parse().ok()?,
        model: hold.request.model.to_string(),
        date: hold.request.day,
        amounts: Amounts {
            input_tokens: hold.input_tokens,
            output_tokens: hold.output_tokens,
            burndown: hold.input_tokens.saturating_add(hold.output_tokens),
            cost: u64::try_from(hold.cost.0).unwrap_or(0),
        },
        burndown_factor: 1,
        expires: hold.expires,
    })
}

/// Gives back what has expired, and charges what a former process had begun.
pub(super) fn expire(lasting: &Lasting, ledger: &Ledger, orphans: &Orphans, now: &Now) {
    for expired in lasting.accounts.expire(now) {
        let orphan = orphans.lock().remove(&expired.request);
        let Some(orphan) = orphan else {
            tracing::warn!(tenant = %expired.tenant, request_id = %expired.request, "a hold expired before its request ended");
            continue;
        };
        let lost = orphan.lost();
        let spent = Spent::estimate(lost.usage, lost.cost);
        lasting.accounts.of(&expired.tenant).restore([(expired.date, &*expired.model, spent)], [], AFTERMATH_MAX, now);
        ledger.settle(lost);
    }
}
