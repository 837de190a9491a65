//! A tenant's account as the ledger has it: what a gateway that started now would begin with, and the last minutes besides.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use crate::{
    config::Config,
    ledger::{Entry, LedgerError, Reader, Selection},
    pricing::PriceBook,
    quota::{Amounts, Now},
    server::account::{open_hold, spent},
    snapshot::Tenant,
};

/// A minute's bucket that was overdrawn is not full before.
const LOOK_BACK: SignedDuration = SignedDuration::from_mins(5);

/// No calendar month goes further back, wherever it is counted.
const MONTH_MAX: SignedDuration = SignedDuration::from_hours(33 * 24);

/// Rows that are looked at for minutes.
const ROWS_MAX: u32 = 50_000;

/// Puts the tenant's account where the ledger has it, and says what of that is not so.
///
/// # Errors
/// The ledger cannot be read.
pub(super) fn restore(
    config: &Config,
    tenant: &Tenant,
    prices: &PriceBook,
    now: &Now,
) -> Result<Option<&'static str>, LedgerError> {
    let Some(file) = &config.ledger.file else { return Ok(Some("no ledger is configured: as if nothing were used")) };
    let reader = match Reader::open(file) {
        Err(LedgerError::Missing(_)) => return Ok(Some("there is no ledger yet: as if nothing were used")),
        reader => reader?,
    };
    let since = now.wall.checked_sub(MONTH_MAX).unwrap_or(now.wall).to_zoned(TimeZone::UTC).date();
    let selection = Selection { tenant: Some(tenant.name.to_string()), since: Some(since), until: None };
    let sums = reader.sums(&selection)?;
    let holds = reader.holds()?;
    let held_for = Duration::from_secs(config.account.reservation_seconds_max);
    let own = holds.iter().filter(|hold| hold.request.tenant == tenant.name && hold.expires > now.wall);
    let account = &tenant.account;
    account.restore(sums.iter().map(|(key, sums)| (key.day, &*key.model, spent(sums))), [], held_for, now);
    let mut minutes = recent(&reader, tenant, prices, now.wall)?;
    for hold in own {
        let Some(open) = open_hold(hold) else { continue };
        let burndown_factor = prices.burndown(&open.model);
        let burndown = open.amounts.input_tokens.saturating_add(open.amounts.output_tokens.saturating_mul(burndown_factor));
        minutes.push((hold.request.time, open.model.clone(), Amounts { burndown, ..open.amounts }));
        account.restore([], [open], held_for, now);
    }
    minutes.sort_by_key(|(time, ..)| *time);
    for (time, model, amounts) in minutes {
        let ago = Duration::try_from(now.wall.duration_since(time)).unwrap_or_default();
        let Some(monotonic) = now.monotonic.checked_sub(ago) else { continue };
        account.replay(&tenant.quotas, &model, &amounts, &Now { monotonic, wall: time });
    }
    Ok(None)
}

/// What was charged lately, by the time of admission.
fn recent(
    reader: &Reader,
    tenant: &Tenant,
    prices: &PriceBook,
    now: Timestamp,
) -> Result<Vec<(Timestamp, String, Amounts)>, LedgerError> {
    let since = now.checked_sub(LOOK_BACK).unwrap_or(Timestamp::MIN);
    let used = |entry: &Entry| {
        let model = entry.request.model.to_string();
        let amounts = Amounts::used(&entry.usage, entry.cost, prices.burndown(&model));
        (entry.request.time, model, amounts)
    };
    let entries = reader.recent(Some(&tenant.name), ROWS_MAX)?;
    Ok(entries.iter().filter(|entry| entry.request.time >= since).map(used).collect())
}
