//! The account: tokens and money, reserved before, settled after. One lock a tenant, all limits of a request at once or none, and no
//! disk: the ledger keeps what must survive, and brings it back with [`Account::restore`].
//!
//! What is counted is kept by what it counts (`book`), so a limit that is new or changed starts from what was used before it. Calendar
//! windows are civil dates in the tenant's zone (`calendar`), minutes are buckets on the clock that never jumps (`bucket`).

mod ask;
mod balance;
mod book;
mod bucket;
mod calendar;
mod counters;
mod denial;
mod handed;
mod hold;
mod lock;
mod quotas;
mod reservation;
mod scope;
pub mod statement;
mod sums;
mod tally;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::civil::Date;

pub use ask::{Amounts, Ask, Now};
pub use balance::{Balance, Explanation};
pub use book::{Book, Settled, Tolls};
pub use denial::{CapDenial, Occupied, QuotaDenial, QuotaKind};
pub use handed::Portion;
pub use hold::{Expired, OpenHold};
pub use lock::Lock;
pub use quotas::{Cap, Quotas};
pub use reservation::Reservation;
pub use statement::Statement;
pub use sums::Spent;

use self::{book::Entry, statement::Taken};
use crate::quota::Standing;

/// All tenants' accounts, by name; they outlive reloads.
#[derive(Default)]
pub struct Accounts {
    tenants: Mutex<HashMap<String, Arc<Account>>>,
}

/// One tenant's account.
pub struct Account<L: Lock = Mutex<Book>> {
    tenant: Arc<str>,
    book: L,
}

/// A request that fits.
pub struct Grant<L: Lock = Mutex<Book>> {
    /// Held until it is settled or dropped.
    pub reservation: Reservation<L>,
    /// One per limit that is enforced, with the request counted.
    pub standings: Vec<Standing>,
    /// What shadow limits would have said.
    pub shadowed: Vec<QuotaDenial>,
}

impl<L: Lock> fmt::Debug for Grant<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Grant { reservation, standings, shadowed } = self;
        let mut shown = f.debug_struct("Grant");
        shown.field("reservation", reservation).field("standings", standings).field("shadowed", shadowed).finish()
    }
}

impl Accounts {
    /// The account of a tenant; made on first use.
    pub fn of(&self, tenant: &str) -> Arc<Account> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = tenants.get(tenant) {
            return account.clone();
        }
        let account = Arc::new(Account::new(tenant));
        tenants.insert(tenant.to_owned(), account.clone());
        account
    }

    /// Every account there is, by name.
    pub fn all(&self) -> Vec<Arc<Account>> {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Arc<Account>> = tenants.values().cloned().collect();
        all.sort_by(|a, b| a.tenant.cmp(&b.tenant));
        all
    }

    /// Gives back what requests hold that nobody saw end. To be called every few seconds.
    pub fn expire(&self, now: &Now) -> Vec<Expired> {
        self.all().iter().flat_map(|account| account.expire(now)).collect()
    }
}

impl<L: Lock> Account<L> {
    fn new(tenant: &str) -> Self {
        Account { tenant: tenant.into(), book: L::new(Book::default()) }
    }

    /// Whose account it is.
    pub fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    /// Holds what a request may use in every limit that has its model, or says which limit binds and holds nothing.
    ///
    /// # Errors
    /// The gravest refusal: of one that can never fit, one that has to wait for a window, and one that has to wait for a refill or for
    /// requests that run; of the last that with the longest wait, and of equals the first in the file.
    pub fn reserve(self: &Arc<Self>, quotas: &Quotas, ask: &Ask<'_>, now: &Now) -> Result<Grant<L>, QuotaDenial> {
        let asked = Amounts::asked(ask);
        let (mut denial, mut shadowed) = (None, Vec::new());
        let mut standings = Vec::with_capacity(quotas.limits.len());
        let entry = self.book.with(|book| {
            book.read(quotas, Some(ask.model), now, |limit, reading| {
                let asked = asked.get(limit.measure);
                match balance::judge(&self.tenant, limit, &reading, asked, now) {
                    Err(refusal) if limit.shadow => shadowed.push(refusal),
                    Err(refusal) => denial = Some(balance::graver(denial.take(), refusal)),
                    Ok(()) if limit.shadow => {}
                    Ok(()) => standings.push(balance::standing(limit, &reading, asked, now)),
                }
            });
            match denial {
                Some(denial) => Err(denial),
                None => Ok(book.hold(quotas, ask, now)),
            }
        })?;
        Ok(Grant { reservation: Reservation::new(self.clone(), entry), standings, shadowed })
    }

    /// Lets a request hold more in every limit that has its model, or says which limit binds and changes nothing. Gives what shadow limits
    /// would have said.
    fn extend(&self, quotas: &Quotas, entry: &mut Entry, more: &Amounts, now: &Now) -> Result<Vec<QuotaDenial>, QuotaDenial> {
        let (mut denial, mut shadowed) = (None, Vec::new());
        self.book.with(|book| {
            let own = book.held_by(entry.id);
            book.read_on(quotas, Some(&entry.hold.model), Some(entry.hold.date), now, |limit, reading| {
                let asked = (own.get(limit.measure), more.get(limit.measure));
                match balance::judge_more(&self.tenant, limit, &reading, asked, now) {
                    Err(refusal) if limit.shadow => shadowed.push(refusal),
                    Err(refusal) => denial = Some(balance::graver(denial.take(), refusal)),
                    Ok(()) => {}
                }
            });
            if denial.is_none() {
                book.grow(entry, more);
            }
        });
        denial.map_or(Ok(shadowed), Err)
    }

    /// Which limits a request would meet, and the answer it would get; `max_tokens` is what it asks for, if it does.
    pub fn explain(&self, quotas: &Quotas, ask: &Ask<'_>, max_tokens: Option<u64>, now: &Now) -> Explanation {
        let asked = Amounts::asked(ask);
        let (mut limits, mut denial) = (Vec::new(), None);
        self.book.with(|book| {
            book.read(quotas, Some(ask.model), now, |limit, reading| {
                let verdict = balance::judge(&self.tenant, limit, &reading, asked.get(limit.measure), now);
                if let (false, Err(refusal)) = (limit.shadow, &verdict) {
                    denial = Some(balance::graver(denial.take(), refusal.clone()));
                }
                limits.push((Balance::of(limit, &reading, now), verdict));
            });
        });
        let over = |cap: &&Cap| max_tokens.is_some_and(|asked| asked > cap.max);
        let cap = quotas.max_tokens_for(ask.model).filter(over);
        let cap = cap.map(|cap| cap.denial(&self.tenant, max_tokens.unwrap_or_default()));
        Explanation { limits, cap, answer: denial.map_or(Ok(()), Err) }
    }

    /// How the tenant stands against every limit.
    pub fn balances(&self, quotas: &Quotas, now: &Now) -> Vec<Balance> {
        let mut balances = Vec::with_capacity(quotas.limits.len());
        self.book.with(|book| {
            book.read(quotas, None, now, |limit, reading| balances.push(Balance::of(limit, &reading, now)));
        });
        balances
    }

    /// All that the tenant may see of its account; `running`: how many of its requests are, holding something or not.
    pub fn statement(&self, quotas: &Quotas, running: u64, now: &Now) -> Statement {
        let taken = self.book.with(|book| Taken::of(book, quotas, now));
        taken.statement(&self.tenant, quotas, running, now)
    }

    /// Gives back what requests hold that nobody saw end.
    pub fn expire(&self, now: &Now) -> Vec<Expired> {
        self.book.with(|book| book.expire(&self.tenant, now))
    }

    /// Settled sums per day and model that a former process left, each once.
    pub fn restore<'a>(&self, sums: impl IntoIterator<Item = (Date, &'a str, Spent)>) {
        self.book.with(|book| sums.into_iter().for_each(|(date, model, spent)| book.restore(date, model, &spent)));
    }

    /// What a former process left open: it expires after `hold_max` at the latest. In minutes it counts since `admitted`, so that it has its
    /// place among what is replayed.
    pub fn restore_hold(&self, hold: &OpenHold, admitted: Instant, hold_max: Duration, now: &Now) {
        self.book.with(|book| book.restore_hold(hold, admitted, hold_max, now));
    }

    /// Lets the minutes know what was used a moment ago, the oldest first and before the first request; nothing else is changed.
    pub fn replay(&self, quotas: &Quotas, model: &str, used: &Amounts, at: &Now) {
        self.book.with(|book| book.replay(quotas, model, used, at));
    }

    /// Settled sums per day and model, of the current and the previous month at least, in the order of days.
    pub fn sums(&self) -> Vec<(Date, Arc<str>, Spent)> {
        self.book.with(|book| book.sums().map(|(date, model, spent)| (date, model.clone(), *spent)).collect())
    }

    /// What running requests hold, per request: how many, and of all together by each measure.
    pub fn reserved(&self) -> (u64, Amounts) {
        self.book
            .with(|book| book.holds().fold((0, Amounts::default()), |(count, sum), hold| (count + 1, sum.and(&hold.amounts))))
    }

    /// What should not happen often, counted since the start.
    pub fn tolls(&self) -> Tolls {
        self.book.with(|book| book.tolls())
    }
}
