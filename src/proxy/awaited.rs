//! Identity when the key it hangs on is only now being fetched: an issuer that signs with a new key at once must not cost a request.
//! Waits a bounded time, and only for a fetch that is due anyway.

use std::time::SystemTime;

use crate::auth::{Authenticator, IdentityError, wanted::WAIT_MAX};

/// Runs `identify`, and again if it met a key that nobody had.
pub async fn identity<T>(
    authenticator: &Authenticator,
    identify: impl Fn(SystemTime) -> Result<T, IdentityError>,
) -> Result<T, IdentityError> {
    let now = SystemTime::now();
    match identify(now) {
        Err(IdentityError::UnknownKey(issuer)) => {
            if let Some(mut fetched) = authenticator.want_keys(&issuer, now) {
                // Too late or not, the second look tells.
                let _ = tokio::time::timeout(WAIT_MAX, fetched.changed()).await;
            }
            // Without a wait, too: the keys may have come between the look and the question.
            identify(SystemTime::now())
        }
        identified => identified,
    }
}
