//! A tenant's account as the ledger has it: what a gateway that started now would begin with, and the last minutes besides.

use std::time::Duration;

use jiff::{SignedDuration, tz::TimeZone};

use crate::{
    config::Config,
    ledger::{LedgerError, Reader, Selection},
    pricing::PriceBook,
    quota::Now,
    server::account::{minutes, spent},
    snapshot::Tenant,
};

/// No calendar month goes further back, wherever it is counted.
const MONTH_MAX: SignedDuration = SignedDuration::from_hours(33 * 24);

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
    account.restore(sums.iter().map(|(key, sums)| (key.day, &*key.model, spent(sums))));
    let mut recent = minutes::charged(&reader, Some(&*tenant.name), prices, now.wall)?;
    recent.extend(own.filter_map(|hold| minutes::running(hold, prices)));
    minutes::replay(recent, |_| (account.clone(), Some(&tenant.quotas)), held_for, now);
    Ok(None)
}
