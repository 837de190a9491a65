//! What an admitted request holds until it ends.

use std::{sync::Arc, time::Instant};

use jiff::{Timestamp, civil::Date};
use uuid::Uuid;

use super::ask::Amounts;

/// One open request.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) request: Uuid,
    pub(super) model: Arc<str>,
    /// The day of its admission: its charge belongs there, whenever it ends.
    pub(super) date: Date,
    pub(super) amounts: Amounts,
    pub(super) burndown_factor: u64,
    /// When it was admitted; nothing for what a former process admitted: minutes begin anew with the process.
    pub(super) admitted: Option<Instant>,
    pub(super) deadline: Instant,
}

/// A hold of a former process, as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenHold {
    /// The request's id.
    pub request: Uuid,
    /// As in [`Ask`](super::Ask).
    pub model: String,
    /// The day of its admission, in the tenant's time zone.
    pub date: Date,
    /// What it holds.
    pub amounts: Amounts,
    /// When that is given back.
    pub expires: Timestamp,
}

/// A hold that was given back because nobody saw its request end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Whose.
    pub tenant: Arc<str>,
    /// The request's id.
    pub request: Uuid,
    /// The model it was for.
    pub model: Arc<str>,
    /// The day of its admission.
    pub date: Date,
    /// What was given back.
    pub amounts: Amounts,
}
