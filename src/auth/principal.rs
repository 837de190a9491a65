//! The authenticated caller. Holds no token, so printing it leaks none.

use std::{sync::Arc, time::SystemTime};

/// Who calls, acting for a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The issuer's name in the configuration.
    pub issuer: Arc<str>,
    /// The token's `sub`.
    pub subject: Arc<str>,
    /// The tenant the token names; whether it is configured is policy's question.
    pub tenant: Arc<str>,
    /// The token's `exp`.
    pub expires_at: SystemTime,
}
