//! Where the current AWS credentials lie for the request path: read without a lock, replaced by a background task.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use aws_credential_types::Credentials;

use super::Signer;

/// The current credentials, or none yet.
#[derive(Default)]
pub struct CredentialsSlot {
    current: ArcSwapOption<Signer>,
}

/// Why nothing can be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The provider has not delivered yet.
    #[error("no AWS credentials yet")]
    None,
    /// The last ones expired and were not replaced.
    #[error("the AWS credentials have expired")]
    Expired,
}

impl CredentialsSlot {
    /// Replaces the credentials; requests that already hold the old ones go on with them.
    pub fn store(&self, credentials: Credentials) {
        self.current.store(Some(Arc::new(Signer::new(credentials))));
    }

    /// What to sign with at `now`.
    pub fn current(&self, now: SystemTime) -> Result<Arc<Signer>, CredentialsError> {
        let signer = self.current.load_full().ok_or(CredentialsError::None)?;
        match signer.expiry() {
            Some(expiry) if expiry <= now => Err(CredentialsError::Expired),
            _ => Ok(signer),
        }
    }

    /// When the current credentials expire; `None` without credentials and for those that never do.
    pub fn expiry(&self) -> Option<SystemTime> {
        self.current.load().as_ref().and_then(|signer| signer.expiry())
    }
}

/// When to fetch new credentials: five minutes before the old ones expire, or halfway through shorter lives, never sooner than in a second.
pub fn refresh_after(expiry: Option<SystemTime>, now: SystemTime) -> Option<Duration> {
    let left = expiry?.duration_since(now).unwrap_or_default();
    let early = left.saturating_sub(Duration::from_secs(300)).max(left / 2);
    Some(early.max(Duration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn keys(expiry: Option<SystemTime>) -> Credentials {
        Credentials::new("AKID", "secret", None, expiry, "test")
    }

    #[test]
    fn none_then_valid_then_expired() {
        let slot = CredentialsSlot::default();
        assert_eq!(slot.current(NOW).err(), Some(CredentialsError::None));
        slot.store(keys(Some(NOW + Duration::from_secs(10))));
        assert!(slot.current(NOW + Duration::from_secs(9)).is_ok());
        assert_eq!(slot.current(NOW + Duration::from_secs(10)).err(), Some(CredentialsError::Expired));
        slot.store(keys(None));
        assert!(slot.current(NOW + Duration::from_secs(1 << 40)).is_ok());
    }

    #[test]
    fn refresh_is_early_but_never_busy() {
        let after = |left: u64| refresh_after(Some(NOW + Duration::from_secs(left)), NOW).map(|d| d.as_secs());
        assert_eq!(after(3600), Some(3300));
        assert_eq!(after(400), Some(200));
        assert_eq!(after(0), Some(1));
        assert_eq!(refresh_after(None, NOW), None);
        assert_eq!(refresh_after(Some(NOW), NOW + Duration::from_secs(99)), Some(Duration::from_secs(1)));
    }
}
