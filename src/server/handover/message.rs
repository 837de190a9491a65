//! What is said on a link. Both sides are of any two versions: what one does not understand ends the upgrade, and changes nothing. So what
//! an upgrade can do without is offered in [`FromOld::Hello`], and said to who asks for it: an older successor does not see the offer, and
//! an older predecessor makes none.

use std::{net::SocketAddr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

use crate::{
    auth::HandedKeySet,
    aws::HandedSession,
    proxy::custody::{Call, Reply},
    quota::{Counted, Portion},
};

/// Grows with every change of what has to be said. A successor of another number cannot take over; a restart can.
pub(super) const PROTOCOL: u32 = 1;

/// Says which process a hold is of: 0 the one that hands over, others the predecessors it still has, in their order.
pub(super) type Owner = u32;

/// From the old process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromOld {
    /// First of all.
    Hello {
        protocol: u32,
        /// Sessions of roles are there to be asked for.
        #[serde(default)]
        role_sessions: bool,
        /// So are issuers' key sets.
        #[serde(default)]
        key_sets: bool,
        /// The file of its ledger; nothing without one.
        #[serde(default)]
        ledger: Option<String>,
    },
    /// A listening socket comes with it.
    Socket { configured: SocketAddr, admin: bool },
    /// These were all sockets.
    Offered,
    /// Of a tenant's role; nothing if this process does not understand it.
    RoleSession(#[serde(deserialize_with = "if_understood")] Option<Box<HandedSession>>),
    /// These were all sessions of roles.
    RoleSessionsGiven,
    /// Of an issuer; nothing if this process does not understand it.
    KeySet(#[serde(deserialize_with = "if_understood")] Option<Box<HandedKeySet>>),
    /// These were all key sets.
    KeySetsGiven,
    /// Of a tenant's account. A hold without an owner is of a process that died.
    Account { tenant: Arc<str>, owner: Option<Owner>, portion: Portion },
    /// Of a tenant's request rates.
    Requests { tenant: Arc<str>, counted: Counted },
    /// A predecessor's link comes with it.
    Predecessor,
    /// That was all; the ledger is closed.
    Yours,
    /// systemd knows of the new process.
    Announced,
    /// Afterwards.
    Call(Call),
}

/// From the new one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromNew {
    /// It asks for the sessions of roles, which were offered.
    RoleSessions,
    /// It asks for issuers' key sets, which were offered.
    KeySets,
    /// It could serve.
    Prepared,
    /// It cannot, and this is why.
    Failed(String),
    /// It serves, and has the account.
    Taken,
    /// To a call, in their order.
    Reply(Reply),
}

/// Why it is not understood is told to nobody: serde's words have what they are about in them.
fn if_understood<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<Box<T>>, D::Error> {
    Ok(serde_json::from_value(serde_json::Value::deserialize(deserializer)?).ok())
}
