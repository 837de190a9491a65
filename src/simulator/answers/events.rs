//! Streams of events: a few first ones, one of text as often as the script says, a few last ones. Framed as AWS's event stream
//! (with its checksums) or as server-sent events.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::{Bytes, BytesMut};
use serde_json::Value;

use super::errors;
use crate::bedrock::Dialect;

/// How events are told from each other on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// `application/vnd.amazon.eventstream`.
    Aws,
    /// `event:` and `data:`, the event's name being its `type`.
    Anthropic,
    /// `data:` only, `[DONE]` at the end.
    OpenAi,
}

/// The events in the middle.
pub(super) enum Middle {
    /// Framed once, sent again and again.
    Same(Bytes),
    /// Each with its number.
    Numbered(Box<dyn Fn(u64) -> Bytes + Send + Sync>),
}

/// A stream of framed events.
pub(in super::super) struct Events {
    pub(super) framing: Framing,
    pub(super) first: Vec<Bytes>,
    pub(super) middle: Middle,
    pub(super) repeats: u64,
    pub(super) last: Vec<Bytes>,
}

impl Events {
    /// How many.
    pub fn count(&self) -> u64 {
        (self.first.len() as u64 + self.last.len() as u64).saturating_add(self.repeats)
    }

    /// The event of that index, framed.
    pub fn at(&self, index: u64) -> Bytes {
        let pick = |events: &[Bytes], index: u64| {
            usize::try_from(index).ok().and_then(|index| events.get(index)).cloned().unwrap_or_default()
        };
        let first = self.first.len() as u64;
        match index.checked_sub(first) {
            None => pick(&self.first, index),
            Some(index) if index < self.repeats => match &self.middle {
                Middle::Same(bytes) => bytes.clone(),
                Middle::Numbered(make) => make(index),
            },
            Some(index) => pick(&self.last, index - self.repeats),
        }
    }

    /// How this stream says that something went wrong: an exception of that name, or an error event.
    pub fn exception(&self, name: &str) -> Bytes {
        match self.framing {
            Framing::Aws => exception(name, errors::usual_message(name)),
            Framing::Anthropic => sse(Some("error"), &errors::inside_stream(Dialect::Anthropic, name)),
            Framing::OpenAi => sse(None, &errors::inside_stream(Dialect::OpenAi, name)),
        }
    }
}

/// One message of AWS's event stream.
pub(in super::super) fn event(name: &str, payload: &Value) -> Bytes {
    framed(&[(":event-type", name), (":content-type", "application/json"), (":message-type", "event")], payload.to_string())
}

/// A `chunk` with a payload that somebody else made.
pub(in super::super) fn chunk_of(payload: Bytes) -> Bytes {
    framed(&[(":event-type", "chunk"), (":content-type", "application/json"), (":message-type", "event")], payload)
}

/// An exception of that name, in AWS's framing.
pub(in super::super) fn exception(name: &str, message: &str) -> Bytes {
    let payload = serde_json::json!({"message": message}).to_string();
    framed(&[(":exception-type", name), (":content-type", "application/json"), (":message-type", "exception")], payload)
}

/// One server-sent event.
pub(super) fn sse(name: Option<&str>, data: &Value) -> Bytes {
    match name {
        Some(name) => Bytes::from(format!("event: {name}\ndata: {data}\n\n")),
        None => Bytes::from(format!("data: {data}\n\n")),
    }
}

/// One server-sent event named as its `type` says.
pub(super) fn named_sse(data: &Value) -> Bytes {
    sse(data["type"].as_str(), data)
}

fn framed(headers: &[(&str, &str)], payload: impl Into<Bytes>) -> Bytes {
    let header = |(name, value): &(&str, &str)| Header::new((*name).to_owned(), HeaderValue::String((*value).to_owned().into()));
    let message = Message::new_from_parts(headers.iter().map(header).collect(), payload);
    let mut frame = BytesMut::new();
    // It fails only for headers over 128 KiB and payloads over 16 MiB, which no script can ask for in one event that a client
    // would take; half a frame is then what goes out.
    let _ = write_message_to(&message, &mut frame);
    frame.freeze()
}
