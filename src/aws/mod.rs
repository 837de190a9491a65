//! AWS's own rules, apart from Bedrock: host names, SigV4, event streams and their chain of signatures, and the credentials a request
//! is signed with. No configuration, no clock: time is a parameter.

pub mod canonical;
pub mod credentials;
pub mod endpoint;
pub mod event_chain;
pub mod event_stream;
pub mod received;
pub mod sigv4;

pub use credentials::{CredentialsError, CredentialsSlot};
pub use event_chain::{EventChain, ReceivedChain};
pub use received::{Authorization, Received, SignatureError};
pub use sigv4::{Signer, Signing};
