//! Who is calling: from a request's headers to a [`Principal`], or to the reason why not. Fails closed; pure decisions, given
//! headers, the issuers' rules, their key sets and `now`. Fetches nothing (`server::key_sets` does) and knows no policy: whether
//! the tenant exists and what it may call is asked later.
//!
//! The way of a token: [`credential`] finds the one token, [`cache`] knows it already or [`verify`] looks into it: [`segments`]
//! takes it apart, [`header`] and [`claims`] say what may be in it, [`key_set`] has the key and pins the algorithm.

pub mod cache;
pub mod claims;
pub mod credential;
pub mod error;
pub mod fingerprint;
pub mod header;
pub mod json;
pub mod key;
pub mod key_set;
pub mod key_sets;
pub mod mint;
pub mod principal;
pub mod segments;
pub mod verify;

#[cfg(test)]
mod tests;

pub use cache::TokenCache;
pub use credential::{Credential, CredentialError, query_carries_credential};
pub use error::IdentityError;
pub use key_set::{KeyProblem, KeySet, KeySetError};
pub use key_sets::KeySets;
pub use mint::DevelopmentIssuer;
pub use principal::Principal;
pub use verify::Authenticator;

/// Chooses aws-lc-rs as jsonwebtoken's cryptography, for the process. Any number of calls do the same as one.
///
/// jsonwebtoken 11 panics at its first use when a second backend is compiled in by somebody else's feature and none was chosen.
pub fn install_crypto() {
    // An error says that one is installed already, which is what was asked for.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}
