//! AWS's own rules, apart from Bedrock: host names, SigV4, and the credentials a request is signed with. No configuration, no
//! clock: time is a parameter.

pub mod credentials;
pub mod endpoint;
pub mod sigv4;

pub use credentials::{CredentialsError, CredentialsSlot};
pub use sigv4::{Signer, Signing};
