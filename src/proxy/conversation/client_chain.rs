//! The chain that the client itself signs its events with. Only keys that the gateway gave out can be held against it; a client that comes
//! with a bearer token, or with the token beside placeholder keys, proves itself in the head, and the transport protects the rest.

use std::time::SystemTime;

use super::Denial;
use crate::aws::{
    ReceivedChain,
    event_chain::Hashed,
    event_stream::{Frame, SignedFrame},
};

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

    /// What the client's next frame wraps. Beside a bearer token the JavaScript SDK signs with placeholder keys, and Java's not at all: its
    /// events come bare.
    ///
    /// # Errors
    /// The frame is not signed, or is not the next of its chain.
    pub fn open(&mut self, frame: Frame, now: SystemTime) -> Result<Hashed, Denial> {
        let Some(chain) = &mut self.0 else {
            let event = if frame.is_event() { frame.into_bytes() } else { frame.signed()?.payload };
            return Ok(Hashed::new(event));
        };
        let SignedFrame { date, signature, payload } = frame.signed()?;
        let event = Hashed::new(payload);
        chain.verify(&event, date, &signature, now)?;
        Ok(event)
    }

    /// Whether the stream must end with a signed empty event. Where the chain proves anything, an end without it may be someone else's.
    pub fn must_be_closed(&self) -> bool {
        self.0.is_some()
    }
}
