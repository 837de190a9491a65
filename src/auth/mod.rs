//! Who is calling: from a request's headers to a principal, or to the reason why not. Fails closed; pure decisions, given
//! headers, the issuers' rules, their key sets and `now`. Fetches nothing (`server::key_sets` does) and knows no policy: whether
//! the tenant exists and what it may call is asked later.

pub mod claims;
pub mod credential;
pub mod error;
pub mod fingerprint;
pub mod header;
pub mod json;
pub mod key;
pub mod key_set;
pub mod key_sets;
pub mod segments;

pub use credential::{Credential, CredentialError, query_carries_credential};
pub use error::IdentityError;
pub use key_set::{KeyProblem, KeySet, KeySetError};
pub use key_sets::KeySets;
