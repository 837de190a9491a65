//! The last minutes of a ledger, replayed: limits per minute go on where they were, for the process that starts and for whoever looks at
//! an account from outside of the one that keeps it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    ledger::{Entry, Hold, LedgerError, Reader},
    pricing::PriceBook,
    quota::{Account, Amounts, Now, OpenHold, Quotas},
};

/// A minute's bucket that was overdrawn is not full before.
const LOOK_BACK: SignedDuration = SignedDuration::from_mins(5);

/// Rows that are looked at, the last ones: some ten megabytes.
const ROWS_MAX: u32 = 200_000;

/// A request of the last minutes.
pub struct Recent {
    /// Who pays.
    pub tenant: String,
    admitted: Timestamp,
    of: Of,
}

enum Of {
    Charged(String, Amounts),
    Running(OpenHold),
}

/// What was charged lately, of one tenant or of all.
///
/// # Errors
/// The ledger cannot be read.
pub fn charged(reader: &Reader, tenant: Option<&str>, prices: &PriceBook, now: Timestamp) -> Result<Vec<Recent>, LedgerError> {
    let since = now.checked_sub(LOOK_BACK).unwrap_or(Timestamp::MIN);
    // A clock that was far ahead says nothing of the last minutes.
    let until = now.checked_add(LOOK_BACK).unwrap_or(Timestamp::MAX);
    let mut recent = Vec::new();
    reader.latest(tenant, (since, until), ROWS_MAX, |Entry { request, usage, cost, .. }| {
        let amounts = Amounts::used(&usage, cost, prices.burndown(&request.model));
        let of = Of::Charged(request.model.to_string(), amounts);
        recent.push(Recent { tenant: request.tenant.to_string(), admitted: request.time, of });
    })?;
    Ok(recent)
}

/// What a running request holds; nothing if no gateway can have written it.
pub fn running(hold: &Hold, prices: &PriceBook) -> Option<Recent> {
    let open = open_hold(hold, prices.burndown(&hold.request.model))?;
    Some(Recent { tenant: hold.request.tenant.to_string(), admitted: hold.request.time, of: Of::Running(open) })
}

/// Puts requests where they were, in the order of their admission: `account_of` finds a tenant's. `held_for`: the longest that anything is
/// held on.
pub fn replay<'a>(
    mut recent: Vec<Recent>,
    account_of: impl Fn(&str) -> (Arc<Account>, Option<&'a Quotas>),
    held_for: Duration,
    now: &Now,
) {
    recent.sort_by_key(|request| request.admitted);
    for Recent { tenant, admitted, of } in recent {
        let (account, quotas) = account_of(&tenant);
        let at = Now { monotonic: instant(admitted, now), wall: admitted };
        match (of, quotas) {
            (Of::Charged(model, amounts), Some(quotas)) => account.replay(quotas, &model, &amounts, &at),
            (Of::Charged(..), None) => {}
            (Of::Running(open), _) => account.restore_hold(&open, at.monotonic, held_for, now),
        }
    }
}

/// When that was on the clock that never jumps; of what it cannot say, now.
fn instant(time: Timestamp, now: &Now) -> Instant {
    let ago = Duration::try_from(now.wall.duration_since(time)).unwrap_or_default();
    now.monotonic.checked_sub(ago).unwrap_or(now.monotonic)
}

fn open_hold(hold: &Hold, burndown_factor: u64) -> Option<OpenHold> {
    let burndown = hold.input_tokens.saturating_add(hold.output_tokens.saturating_mul(burndown_factor));
    Some(OpenHold {
        request: hold.request.id.parse().ok()?,
        model: hold.request.model.to_string(),
        date: hold.request.day,
        amounts: Amounts {
            input_tokens: hold.input_tokens,
            output_tokens: hold.output_tokens,
            burndown,
            cost: u64::try_from(hold.cost.0).unwrap_or(0),
        },
        burndown_factor,
        expires: hold.expires,
    })
}
