//! The client's events in, the gateway's out. Each event comes in a frame that the client signed, if it signs; the frame is checked and
//! dropped, and what it wraps goes on byte for byte in a frame that the gateway signs. Nothing of an event goes on before all of it was checked.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::{Bytes, BytesMut};

use super::{Denial, client_chain::ClientChain, limits::Allowance};
use crate::{
    aws::{
        EventChain,
        event_chain::{ChainError, Hashed},
        event_stream::{FrameError, Splitter},
    },
    config::Bidirectional,
    quota::TenantCounters,
    telemetry::BidirectionalOfTenant,
};

/// One stream's events, at the last one.
pub struct Resigner {
    frames: Splitter,
    client: ClientChain,
    chain: EventChain,
    allowance: Allowance,
    events: u64,
    /// The empty event that ends a stream was signed.
    closed: bool,
    measured: BidirectionalOfTenant,
}

impl Resigner {
    /// Before the first event.
    pub fn new(
        chain: EventChain,
        client: ClientChain,
        bounds: &Bidirectional,
        tenant: Arc<TenantCounters>,
        measured: BidirectionalOfTenant,
    ) -> Resigner {
        let (frames, allowance) = (Splitter::new(bounds.event_bytes_max), Allowance::new(bounds, tenant));
        Resigner { frames, client, chain, allowance, events: 0, closed: false, measured }
    }

    /// Events that went on.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Bytes that came.
    pub fn bytes(&self) -> u64 {
        self.allowance.bytes()
    }

    /// Bytes of the event that has begun.
    pub fn held(&self) -> u64 {
        self.frames.held() as u64
    }

    /// What it will have, once it has told; 0 between events.
    pub fn begun(&self) -> u64 {
        self.frames.begun() as u64
    }

    /// How long what was taken last has to wait before it goes on.
    pub fn wait(&mut self) -> Duration {
        let wait = self.allowance.wait();
        self.measured.held_back.inc_by(wait.as_secs_f64());
        wait
    }

    /// Takes a piece of the client's body; gives the events that became whole with it, signed.
    ///
    /// # Errors
    /// The stream is over: nobody knows where the next event would begin, or it may not come.
    pub fn take(&mut self, piece: Bytes, now: SystemTime) -> Result<Bytes, Denial> {
        self.allowance.take_bytes(piece.len(), tokio::time::Instant::now())?;
        self.measured.bytes_in.inc_by(piece.len() as u64);
        self.frames.push(piece);
        let mut out = BytesMut::new();
        while let Some(frame) = self.frames.next_frame()? {
            let began = Instant::now();
            if self.closed {
                return Err(Denial::EventAfterEnd);
            }
            let event = self.client.open(frame, now)?;
            self.allowance.take_event(began.into());
            self.chain.put(&mut out, &event, now);
            self.closed = event.is_empty();
            if !self.closed {
                self.events += 1;
                self.measured.events_in.inc();
                self.measured.resign.observe(began.elapsed().as_secs_f64());
            }
        }
        Ok(out.freeze())
    }

    /// The client's body ended; gives the closing event, if it did not come.
    ///
    /// # Errors
    /// It ended in the middle of an event, or without the end that proves it.
    pub fn end(&mut self, now: SystemTime) -> Result<Bytes, Denial> {
        if !self.frames.is_empty() {
            return Err(FrameError::Truncated.into());
        }
        if !self.closed && self.client.must_be_closed() {
            return Err(ChainError::Open.into());
        }
        let mut out = BytesMut::new();
        if !self.closed {
            self.closed = true;
            self.chain.put(&mut out, &Hashed::new(Bytes::new()), now);
        }
        Ok(out.freeze())
    }
}

#[cfg(test)]
mod tests;
