//! What an admitted request holds until it ends.

use std::{sync::Arc, time::Instant};

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};
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
    /// When it was admitted, as far as this process knows: since then it counts in minutes.
    pub(super) admitted: Instant,
    pub(super) deadline: Instant,
}

/// A hold of another process: as the ledger has it of one that died, or as one says it that hands the account over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenHold {
    /// The request's id.
    #[serde(with = "id")]
    pub request: Uuid,
    /// As in [`Ask`](super::Ask).
    pub model: String,
    /// The day of its admission, in the tenant's time zone.
    pub date: Date,
    /// What it holds.
    pub amounts: Amounts,
    /// As in [`Ask`](super::Ask); the ledger does not know it, and has 1.
    pub burndown_factor: u64,
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

/// An id as text.
mod id {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use uuid::Uuid;

    pub fn serialize<S: Serializer>(id: &Uuid, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Uuid, D::Error> {
        String::deserialize(from)?.parse().map_err(Error::custom)
    }
}
