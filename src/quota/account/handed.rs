//! An account on its way from a process to its successor: in portions, each small enough for a message. What one gives, the other takes,
//! and every limit stands where it stood; only minutes may be found a little fuller, by what had been refilled of open requests.

use std::{sync::Arc, time::Duration};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Account, Lock, Now, OpenHold, Quotas, Reservation, Spent, hold::Hold};

/// One thing that an account has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Portion {
    /// What was settled of a model on a day. Who has a ledger has it from there.
    Sum(Date, Arc<str>, Spent),
    /// What the minutes of the limit of that name count beside open requests.
    Minute(Arc<str>, u64),
    /// What a running request holds.
    Hold(OpenHold),
}

impl<L: Lock> Account<L> {
    /// All that a successor has to know, of the limits in force.
    pub fn hand_over(&self, quotas: Option<&Quotas>, now: &Now) -> Vec<Portion> {
        self.book.with(|book| {
            let sums = book.sums().map(|(date, model, spent)| Portion::Sum(date, model.clone(), *spent));
            let mut portions: Vec<Portion> = sums.collect();
            if let Some(quotas) = quotas {
                book.read(quotas, None, now, |limit, reading| {
                    let used = reading.bucket.map_or(0, |bucket| bucket.used().saturating_sub(bucket.reserved()));
                    if used > 0 {
                        portions.push(Portion::Minute(limit.policy.clone(), used));
                    }
                });
            }
            portions.extend(book.holds().map(|hold| Portion::Hold(open_hold(hold, now))));
            portions
        })
    }

    /// Takes what a predecessor gave.
    pub fn take_over(&self, quotas: Option<&Quotas>, portion: &Portion, now: &Now) {
        self.book.with(|book| match (portion, quotas) {
            (Portion::Sum(date, model, spent), _) => book.restore(*date, model, spent),
            (Portion::Minute(policy, used), Some(quotas)) => book.charge_minute(quotas, policy, *used, now),
            (Portion::Minute(..), None) => {}
            (Portion::Hold(open), _) => book.restore_hold(open, now.monotonic, Duration::MAX, now),
        });
    }

    /// What the request of that id holds.
    pub fn reclaim(self: &Arc<Self>, request: Uuid) -> Option<Reservation<L>> {
        let entry = self.book.with(|book| book.entry_of(request))?;
        Some(Reservation::new(self.clone(), entry))
    }

    /// Nobody will end the request of that id: what it holds expires after `left` at the latest. False if that has expired already.
    pub fn orphan(&self, request: Uuid, left: Duration, now: &Now) -> bool {
        let deadline = now.monotonic.checked_add(left).unwrap_or(now.monotonic);
        self.book.with(|book| book.orphan(request, deadline))
    }
}

fn open_hold(hold: &Hold, now: &Now) -> OpenHold {
    let left = hold.deadline.saturating_duration_since(now.monotonic);
    OpenHold {
        request: hold.request,
        model: hold.model.to_string(),
        date: hold.date,
        amounts: hold.amounts,
        burndown_factor: hold.burndown_factor,
        expires: now.wall.checked_add(left).unwrap_or(jiff::Timestamp::MAX),
    }
}
