//! What an admitted request carries: it settles once, or gives back when it is dropped, whatever the way it ends.

use std::sync::{Arc, Mutex};

use super::{
    Account, QuotaDenial, Quotas,
    ask::{Amounts, Now, nano_dollars},
    book::{Book, Entry, Settled},
    lock::Lock,
    sums::Spent,
};
use crate::pricing::NanoUsd;

/// Held amounts of one request.
pub struct Reservation<L: Lock = Mutex<Book>> {
    account: Arc<Account<L>>,
    /// Nothing once it is settled.
    entry: Option<Entry>,
}

impl<L: Lock> Reservation<L> {
    pub(super) fn new(account: Arc<Account<L>>, entry: Entry) -> Self {
        Reservation { account, entry: Some(entry) }
    }

    /// What it holds, as far as it was asked for here.
    pub fn amounts(&self) -> Amounts {
        self.entry.as_ref().map(|entry| entry.hold.amounts).unwrap_or_default()
    }

    /// The day that will be charged, in the tenant's time zone.
    pub fn date(&self) -> jiff::civil::Date {
        self.entry.as_ref().map(|entry| entry.hold.date).unwrap_or_default()
    }

    /// Holds so much more, in every limit that has the model or in none; gives what shadow limits would have said. Counted on the day of
    /// the admission, and in minutes as if it had been held from then on: as what it used will be.
    ///
    /// # Errors
    /// The gravest refusal, as of [`Account::reserve`]; it is never one for ever. What was held is held on.
    pub fn extend(
        &mut self,
        quotas: &Quotas,
        (input_tokens, output_tokens): (u64, u64),
        cost: NanoUsd,
        now: &Now,
    ) -> Result<Vec<QuotaDenial>, QuotaDenial> {
        let Some(entry) = &mut self.entry else { return Ok(Vec::new()) };
        let burndown = input_tokens.saturating_add(output_tokens.saturating_mul(entry.hold.burndown_factor));
        let more = Amounts { input_tokens, output_tokens, burndown, cost: nano_dollars(cost) };
        self.account.extend(quotas, entry, &more, now)
    }

    /// Leaves what is held to whoever ends the request, by its id.
    pub fn leave(mut self) {
        self.entry = None;
    }

    #[cfg(test)]
    pub(super) fn burndown_factor(&self) -> u64 {
        self.entry.as_ref().map_or(1, |entry| entry.hold.burndown_factor)
    }

    /// Charges what the request used, more than was held included, and gives back the rest. Exactly once, also if it has expired.
    pub fn settle(mut self, spent: &Spent, now: &Now) -> Settled {
        match self.entry.take() {
            Some(entry) => self.account.book.with(|book| book.settle(&entry, spent, now)),
            None => Settled { overdrawn: false, late: false },
        }
    }
}

/// Gives everything back: an abort, a failure that Bedrock does not bill, a panic.
impl<L: Lock> Drop for Reservation<L> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.account.book.with(|book| book.release(entry.id));
        }
    }
}

impl<L: Lock> std::fmt::Debug for Reservation<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reservation").field("amounts", &self.amounts()).finish_non_exhaustive()
    }
}
