//! The tenants' accounts over the life of processes: brought back from the ledger at start, and freed of what nobody will end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    config::Config,
    ledger::{Hold, Ledger, Recovered, Sums},
    quota::{Accounts, Amounts, Now, OpenHold, Spent},
    snapshot::Lasting,
};

/// How often holds are looked through for expired ones.
pub(super) const EXPIRE_EVERY: Duration = Duration::from_secs(5);

/// Nobody runs what a dead process had admitted. Bedrock may still generate for it, and a client's retry comes right away: for so long
/// its hold stays, and is then charged by estimate.
const AFTERMATH_MAX: Duration = Duration::from_secs(60);

/// What a former process had admitted and did not see end.
#[derive(Default)]
pub(super) struct Orphans(Mutex<HashMap<Uuid, Hold>>);

/// Opens the ledger and puts every account where it was.
pub(super) async fn restore(config: &Config, accounts: &Accounts) -> anyhow::Result<(Arc<Ledger>, Orphans)> {
    let settings = config.ledger.clone();
    let opened = tokio::task::spawn_blocking(move || Ledger::open(&settings, Timestamp::now())).await?;
    let (ledger, recovered) = opened.context("cannot open the ledger")?;
    let orphans = bring_back(recovered, accounts, &Now::read());
    Ok((Arc::new(ledger), orphans))
}

fn bring_back(recovered: Recovered, accounts: &Accounts, now: &Now) -> Orphans {
    for (key, sums) in &recovered.sums {
        accounts.of(&key.tenant).restore([(key.day, &*key.model, spent(sums))], [], AFTERMATH_MAX, now);
    }
    let mut orphans = HashMap::new();
    for hold in recovered.holds {
        let Some(open) = open_hold(&hold) else { continue };
        let id = open.request;
        accounts.of(&hold.request.tenant).restore([], [open], AFTERMATH_MAX, now);
        orphans.insert(id, hold);
    }
    if !orphans.is_empty() {
        tracing::warn!(requests = orphans.len(), "the ledger has requests that were running when the gateway ended last");
    }
    Orphans(Mutex::new(orphans))
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
        let orphan = orphans.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&expired.request);
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
