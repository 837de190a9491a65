//! Requests running at once: a permit that gives itself back.

use pingora_limits::inflight::Guard;

/// Counts as one running request until it is dropped.
#[derive(Debug)]
pub struct Permit(pub(super) Guard);

impl Permit {
    /// How many of the tenant's requests are running, this one included.
    pub fn running(&self) -> u64 {
        u64::try_from(self.0.get()).unwrap_or(0)
    }
}
