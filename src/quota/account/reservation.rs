//! What an admitted request carries: it settles once, or gives back when it is dropped, whatever the way it ends.

use std::sync::{Arc, Mutex};

use super::{
    Account,
    ask::{Amounts, Now},
    book::{Book, Entry, Settled},
    lock::Lock,
    sums::Spent,
};

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

    /// What it holds.
    pub fn amounts(&self) -> Amounts {
        self.entry.as_ref().map(|entry| entry.hold.amounts).unwrap_or_default()
    }

    /// The day that will be charged, in the tenant's time zone.
    pub fn date(&self) -> jiff::civil::Date {
        self.entry.as_ref().map(|entry| entry.hold.date).unwrap_or_default()
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
