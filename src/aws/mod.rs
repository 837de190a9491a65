//! AWS's own rules, apart from Bedrock: host names, SigV4, and the credentials a request is signed with. No configuration, no
//! clock: time is a parameter.

pub mod canonical;
pub mod credentials;
pub mod endpoint;
pub mod received;
pub mod sigv4;

pub use credentials::{CredentialsError, CredentialsSlot};
pub use received::{Authorization, Received, SignatureError};
pub use sigv4::{Signer, Signing};
