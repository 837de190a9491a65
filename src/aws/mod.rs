//! AWS's own rules, apart from Bedrock: host names, SigV4, event streams and their chain of signatures, and the credentials a request
//! is signed with, be they the gateway's or a session of a tenant's role. No configuration, no clock: time is a parameter.

pub mod assumption;
pub mod canonical;
pub mod credentials;
pub mod endpoint;
pub mod event_chain;
pub mod event_stream;
pub mod received;
pub mod role_session;
pub mod role_sessions;
pub mod sigv4;

pub use assumption::{Assumption, Role, SessionTag};
pub use credentials::{CredentialsError, CredentialsSlot};
pub use event_chain::{EventChain, ReceivedChain};
pub use received::{Authorization, Received, SignatureError};
pub use role_session::RoleSession;
pub use role_sessions::{RoleSessions, SessionKey, TenantSessions, handed::HandedSession};
pub use sigv4::{Signer, Signing};
