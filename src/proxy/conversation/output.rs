//! Bedrock's events on their way to the client. Bytes are not altered; they are let through in whole events, so that the gateway can end a
//! stream with an event of its own at any time, and what the events report as consumed is read on the side.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::{Bytes, BytesMut};

use crate::{
    aws::event_stream::Prelude,
    bedrock::sonic::{SpeechUsage, usage_in},
    telemetry::BidirectionalOfTenant,
};

/// Bedrock's events are smaller by far. What claims to be larger goes through as it comes.
const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What is set aside for an event before more of it came.
const BEGUN_BYTES_MAX: usize = 128 * 1024;

/// A usage event has about one thousand bytes; larger ones are audio.
const USAGE_BYTES_MAX: usize = 16 * 1024;

/// One answer, as far as it came.
pub struct Output {
    /// The beginning of an event.
    held: BytesMut,
    /// The bytes are no events, or not any more.
    opaque: bool,
    events: u64,
    usage: Option<SpeechUsage>,
    /// They have changed since somebody asked.
    moved: bool,
    /// Pieces of the client's that went to Bedrock, and those that had when these totals came.
    sent: Arc<AtomicU64>,
    counted: u64,
    measured: BidirectionalOfTenant,
}

impl Output {
    /// Before the first byte. `sent`: what goes to Bedrock is counted there.
    pub fn new(measured: BidirectionalOfTenant, sent: Arc<AtomicU64>) -> Output {
        Output { held: BytesMut::new(), opaque: false, events: 0, usage: None, moved: false, sent, counted: 0, measured }
    }

    /// The answer is no stream of events: it passes as it comes.
    pub fn is_opaque(&mut self) {
        self.opaque = true;
    }

    /// Events that went through.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The last totals.
    pub fn usage(&self) -> Option<SpeechUsage> {
        self.usage
    }

    /// The last totals, if they have changed since this was asked before.
    pub fn usage_moved(&mut self) -> Option<SpeechUsage> {
        std::mem::take(&mut self.moved).then_some(self.usage).flatten()
    }

    /// Whether something has gone to Bedrock since they came.
    pub fn is_uncounted(&self) -> bool {
        self.sent.load(Ordering::Relaxed) > self.counted
    }

    /// Takes a piece; gives what may go to the client now: the events that are whole.
    pub fn take(&mut self, piece: Bytes) -> Bytes {
        self.measured.bytes_out.inc_by(piece.len() as u64);
        if self.opaque {
            return piece;
        }
        if self.held.is_empty() {
            let whole = self.whole(&piece);
            self.hold(&piece[whole..]);
            return piece.slice(..whole);
        }
        self.held.extend_from_slice(&piece);
        let mut held = std::mem::take(&mut self.held);
        let whole = self.whole(&held);
        if whole == 0 {
            self.held = held;
            return Bytes::new();
        }
        let out = held.split_to(whole).freeze();
        // What is left is copied, so that it does not keep the memory of what went out.
        self.hold(&held);
        out
    }

    /// Keeps the beginning of an event, in as much memory as all of it needs, if that is not too much to believe.
    fn hold(&mut self, begun: &[u8]) {
        let total = Prelude::read(begun, EVENT_BYTES_MAX).ok().flatten().map_or(0, |prelude| prelude.total);
        self.held.reserve(total.clamp(begun.len(), BEGUN_BYTES_MAX.max(begun.len())));
        self.held.extend_from_slice(begun);
    }

    /// The answer ended: what is held, which is no event, goes as it came.
    pub fn rest(&mut self) -> Bytes {
        self.opaque = true;
        std::mem::take(&mut self.held).freeze()
    }

    /// Whether an event of the gateway's can follow what went out.
    pub fn is_between_events(&self) -> bool {
        !self.opaque
    }

    /// The length of the events that `bytes` begin with. All of it, from the first byte on that is none.
    fn whole(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            match Prelude::read(rest, EVENT_BYTES_MAX) {
                Ok(Some(prelude)) if prelude.total <= rest.len() => {
                    self.note(prelude.payload(rest));
                    at += prelude.total;
                }
                Ok(_) => return at,
                Err(_) => {
                    self.opaque = true;
                    return bytes.len();
                }
            }
        }
    }

    fn note(&mut self, payload: &[u8]) {
        self.events += 1;
        self.measured.events_out.inc();
        if payload.len() <= USAGE_BYTES_MAX {
            let Some(usage) = usage_in(payload) else { return };
            if self.usage.replace(usage) != Some(usage) {
                (self.moved, self.counted) = (true, self.sent.load(Ordering::Relaxed));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{aws::event_stream::text_frame, telemetry::Metrics};

    fn output() -> Output {
        Output::new(Metrics::new().unwrap().bidirectional.of_tenant("t"), Arc::default())
    }

    fn usage_event(total: u64) -> Bytes {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let json = format!(r#"{{"event":{{"usageEvent":{{"totalInputTokens":{total},"totalOutputTokens":1}}}}}}"#);
        text_frame(&[(":event-type", "chunk")], format!(r#"{{"bytes":"{}"}}"#, STANDARD.encode(json)).as_bytes())
    }

    #[test]
    fn events_pass_whole_and_unaltered_however_they_are_split() {
        let events = [usage_event(1), text_frame(&[(":event-type", "chunk")], &[b'x'; 40_000]), usage_event(7)];
        let bytes = events.concat();
        let ends: Vec<usize> = events.iter().scan(0, |at, event| Some((*at += event.len(), *at).1)).collect();
        for at in (0..=200).chain(40_000..bytes.len()) {
            let mut output = output();
            let mut got = Vec::new();
            for piece in [&bytes[..at], &bytes[at..]] {
                got.extend_from_slice(&output.take(Bytes::copy_from_slice(piece)));
                assert!(got.is_empty() || ends.contains(&got.len()), "split at {at}");
            }
            assert_eq!(got, bytes);
            assert_eq!((output.events(), output.usage().map(|usage| usage.input_tokens)), (3, Some(7)));
            assert!(output.is_between_events() && output.rest().is_empty());
        }
    }

    #[test]
    fn what_is_no_event_passes_too() {
        for bytes in [&b"{\"message\":\"this is no stream of events\"}"[..], &[0xFF; 100]] {
            let mut output = output();
            let mut got = Vec::new();
            for piece in bytes.chunks(5) {
                got.extend_from_slice(&output.take(Bytes::copy_from_slice(piece)));
            }
            got.extend_from_slice(&output.rest());
            assert_eq!(got, bytes);
            assert!(!output.is_between_events());
        }
        let mut output = output();
        let event = usage_event(3);
        assert!(output.take(event.slice(..50)).is_empty());
        assert_eq!(output.rest(), event.slice(..50));
    }
}
