//! The chain that the client itself signs its events with. Only keys that the gateway gave out can be held against it; a client that comes
//! with a bearer token, or with the token beside placeholder keys, proves itself in the head, and the transport protects the rest.

use std::time::SystemTime;

use crate::aws::{ReceivedChain, event_chain::ChainError, event_stream::SignedFrame};

/// What the client's signatures are held against.
pub struct ClientChain(Option<ReceivedChain>);

impl ClientChain {
    /// Keys that nobody knows: nothing can be held against them.
    pub fn of_placeholders() -> ClientChain {
        ClientChain(None)
    }

    /// Keys of ours.
    pub fn of_keys(chain: ReceivedChain) -> ClientChain {
        ClientChain(Some(chain))
    }

    /// Whether `frame` is the client's next event.
    pub fn verify(&mut self, frame: &SignedFrame, now: SystemTime) -> Result<(), ChainError> {
        self.0.as_mut().map_or(Ok(()), |chain| chain.verify(frame, now))
    }

    /// Whether the stream must end with a signed empty event. Where the chain proves anything, an end without it may be someone else's.
    pub fn must_be_closed(&self) -> bool {
        self.0.is_some()
    }
}
