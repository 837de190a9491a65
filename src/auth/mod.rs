//! Who is calling: from a request's headers to a [`Principal`], or to the reason why not. Fails closed; pure decisions, given
//! headers, the issuers' rules, their key sets and `now`. Fetches nothing (`server::key_sets` does) and knows no policy: whether
//! the tenant exists and what it may call is asked later.
//!
//! The way of a token: [`credential`] finds the one token, [`cache`] knows it already or [`verify`] looks into it: [`segments`]
//! takes it apart, `header` and [`claims`] say what may be in it, [`key_set`] has the key and pins the algorithm, [`tenant_rule`]
//! says whose it is. A key that nobody has is [`wanted`].
//!
//! The way of a signature: [`credential`] knows by the access key's id that the gateway gave the key out, [`claim`] checks everything
//! of it but the body, [`issued`] says whose key it is: a [`session`]'s, which is [`sealing`] turned inside out and held against its
//! issuer's rules (`issuer_print`), or one of the [`key_ring`].
//!
//! The way of a certificate: the handshake has verified it, [`certificate`] has its names, and [`voucher`] says whom they stand for,
//! and what that means for a token that comes over the same connection.

pub mod access_key_id;
pub mod api_key;
pub mod cache;
pub mod certificate;
pub mod claim;
pub mod claims;
pub mod credential;
pub mod error;
pub mod fingerprint;
pub mod group_rule;
mod header;
pub mod issued;
mod issuer_print;
pub mod json;
pub mod key;
pub mod key_ring;
pub mod key_set;
pub mod key_sets;
pub mod mint;
pub mod principal;
mod roca;
pub mod sealing;
pub mod segments;
pub mod session;
pub mod tenant_rule;
pub mod verify;
pub mod voucher;
pub mod wanted;

#[cfg(test)]
mod tests;

pub use cache::TokenCache;
pub use certificate::ClientCertificate;
pub use claim::{Claim, Identity, Signed};
pub use credential::{Credential, CredentialError, query_carries_credential};
pub use error::IdentityError;
pub use issued::Issued;
pub use key_ring::{KeyRing, KeyRingError};
pub use key_set::{KeyProblem, KeySet, KeySetError};
pub use key_sets::{HandedKeySet, KeySets};
pub use mint::DevelopmentIssuer;
pub use principal::{ClaimTag, GroupPrint, Principal, Proof};
pub use sealing::{SealError, SealingKeys};
pub use session::SessionCredentials;
pub use verify::Authenticator;
pub use voucher::{CertificateRules, Voucher};

/// Chooses aws-lc-rs as jsonwebtoken's cryptography, for the process. Any number of calls do the same as one.
///
/// jsonwebtoken 11 panics at its first use when a second backend is compiled in by somebody else's feature and none was chosen.
pub fn install_crypto() {
    // An error says that one is installed already, which is what was asked for.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}
