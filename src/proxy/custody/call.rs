//! What a process that handed the account over says to its successor, and what it hears: the account's own calls, by request id.

use std::sync::Arc;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::{
    ledger::{Entry, Hold},
    pricing::NanoUsd,
    quota::{QuotaDenial, Standing},
};

/// One call of the account. Calls take effect in the order in which they are said.
#[derive(Debug, Serialize, Deserialize)]
pub enum Call {
    /// A request asks to run; what it holds is counted on the successor's day.
    Hold(Box<Hold>, u64),
    /// A running request asks for so much more input, output and money; the hold is as it would be with them.
    Grow(Box<Hold>, (u64, u64), NanoUsd),
    /// A request ended, with a charge.
    Settle(Box<Entry>),
    /// A request of that tenant and id ended, without.
    Release(Arc<str>, Arc<str>),
    /// Is all that was said before on disk?
    Durable,
}

/// What a call that asks is told.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// It may run, and is charged to that day.
    Held(Date, Vec<Standing>, Vec<QuotaDenial>),
    /// It may go on.
    Grown(Vec<QuotaDenial>),
    /// A limit binds.
    Denied(Box<QuotaDenial>),
    /// The successor's configuration has no tenant of that name.
    UnknownTenant,
    /// The ledger cannot be written to.
    Unavailable,
    /// Whether it is.
    Durable(bool),
}

impl Call {
    /// Whether it is answered.
    pub fn asks(&self) -> bool {
        matches!(self, Call::Hold(..) | Call::Grow(..) | Call::Durable)
    }
}

/// A call on its way.
pub struct Said {
    /// Which.
    pub call: Call,
    /// Who waits for its reply.
    pub waiting: Option<oneshot::Sender<Reply>>,
}

/// The way to the process that has the account now.
#[derive(Clone)]
pub struct Successor(mpsc::UnboundedSender<Said>);

impl Successor {
    /// A successor, and what was said to it: whoever has that brings it there.
    pub fn new() -> (Successor, mpsc::UnboundedReceiver<Said>) {
        let (say, said) = mpsc::unbounded_channel();
        (Successor(say), said)
    }

    /// Says what is not answered. False if it died.
    pub(super) fn say(&self, call: Call) -> bool {
        self.0.send(Said { call, waiting: None }).is_ok()
    }

    /// Asks; the reply never comes if it dies.
    pub(super) fn ask(&self, call: Call) -> oneshot::Receiver<Reply> {
        let (waiting, reply) = oneshot::channel();
        let _ = self.0.send(Said { call, waiting: Some(waiting) });
        reply
    }
}
