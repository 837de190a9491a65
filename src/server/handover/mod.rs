//! One process takes over from another while both run: the upgrade of a binary under load. Who leads is the old one; until the last of
//! these steps it serves as if nothing had been, and whatever goes wrong before leaves it that way.
//!
//! | | the old process | the new one |
//! |---|---|---|
//! | 1 | starts the binary at its own path with its own arguments, and a [`link`] as its standard input | |
//! | 2 | gives the listening sockets | reads the configuration, which has to name the same ledger, binds what is new in it, compiles, asks for issuers' key sets and gets newer ones, gets credentials; asks for the sessions of tenants' roles, and takes those that its configuration would ask STS for |
//! | 3 | | `Prepared`, or `Failed` and why |
//! | 4 | writes the ledger and closes it, and gives the account: no request waits for longer than this takes | |
//! | 5 | `Yours` | opens the ledger, puts every account where it was, accepts: `Taken` |
//! | 6 | tells systemd that the new one is the main process: `Announced`; accepts no more; tells every connection to go with its next answer; says what its requests do to the account ([`Call`](crate::proxy::custody::Call)) | does it |
//! | 7 | exits when its last request has ended | what a process that died did not end is charged as after a kill |
//!
//! A process may be replaced while the one before it still drains: then the link to that one goes to the third with everything else,
//! and no process is in the middle of two others. If the new process dies while an old one drains, the old one lets its requests finish
//! and takes no new ones; their holds are in the ledger, and who opens it next charges them by estimate.

mod asked;
mod inherit;
mod key_sets;
mod link;
mod message;
mod predecessors;
mod sessions;
mod upgrade;

pub use self::upgrade::{Prepared, UpgradeError};
pub(super) use self::{
    inherit::{Given, Inheritance, Offer, Owned},
    predecessors::Predecessors,
    upgrade::{Giving, prepare},
};
