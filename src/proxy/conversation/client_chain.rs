//! The chain that the client itself signs its events with. Only keys that the gateway gave out can be held against it; a client that comes
//! with a bearer token, or with the token beside placeholder keys, proves itself in the head, and the transport protects the rest.

use std::{sync::Arc, time::SystemTime};

use crate::aws::{EventChain, Signer, event_chain::ChainError, event_stream::SignedFrame};

/// What the client's signatures are held against.
pub struct ClientChain(Option<EventChain>);

impl ClientChain {
    /// Keys that nobody knows: nothing can be held against them.
    pub fn of_placeholders() -> ClientChain {
        ClientChain(None)
    }

    /// Keys of ours, over the client's own scope; `seed` is the signature of the request's head, which has been verified.
    pub fn of_keys(signer: Arc<Signer>, region: &str, service: &'static str, seed: [u8; 32]) -> ClientChain {
        ClientChain(Some(EventChain::new(signer, region, service, seed)))
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
