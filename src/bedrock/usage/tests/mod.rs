//! Answers as clients recorded them or AWS and the providers document them, cut everywhere.

mod cuts;
mod documents;
mod filter;
mod streams;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue as Value, StatusCode};
use serde_json::json;

use super::{Reading, ServiceTier, Usage, UsageReader};
use crate::bedrock::{Operation, operations};

pub(super) const JSON: &str = "application/json";
pub(super) const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";
pub(super) const SSE: &str = "text/event-stream; charset=utf-8";

/// An answer and what it says.
pub(super) struct Case {
    pub name: &'static str,
    pub operation: &'static str,
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Vec<u8>,
    pub usage: Option<Usage>,
    pub tier: Option<ServiceTier>,
}

impl Case {
    pub fn new(name: &'static str, operation: &'static str, body: impl Into<Vec<u8>>, usage: Option<Usage>) -> Case {
        Case { name, operation, content_type: JSON, headers: vec![], body: body.into(), usage, tier: None }
    }

    pub fn reader(&self) -> UsageReader {
        self.reader_of(None)
    }

    pub fn reader_of(&self, model: Option<&str>) -> UsageReader {
        let header = |(name, value): &(&'static str, &'static str)| (HeaderName::from_static(name), Value::from_static(value));
        let mut headers: HeaderMap = self.headers.iter().map(header).collect();
        headers.insert("content-type", Value::from_static(self.content_type));
        UsageReader::for_answer(named(self.operation), model, StatusCode::OK, &headers)
    }

    pub fn read(&self, pieces: &[&[u8]]) -> Reading {
        let mut reader = self.reader();
        pieces.iter().for_each(|piece| reader.chunk(piece));
        reader.end();
        reader.reading()
    }

    pub fn is_read_exactly(&self) {
        let reading = self.read(&[&self.body]);
        assert_eq!((reading.usage, reading.tier), (self.usage, self.tier), "{}", self.name);
        assert!(reading.complete && !reading.failed, "{}", self.name);
    }
}

pub(super) fn named(name: &str) -> &'static Operation {
    operations().iter().find(|operation| operation.name == name).unwrap()
}

/// Input, output, read from the cache, written to it for five minutes, for an hour.
pub(super) fn tokens(counts: [u64; 5]) -> Option<Usage> {
    let [input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens] = counts;
    Some(Usage { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens })
}

pub(super) fn message(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let header = |(name, value): &(&str, &str)| Header::new((*name).to_owned(), HeaderValue::String((*value).to_owned().into()));
    let message = Message::new_from_parts(headers.iter().map(header).collect(), payload.to_owned());
    let mut frame = Vec::new();
    write_message_to(&message, &mut frame).unwrap();
    frame
}

pub(super) fn event(kind: &str, payload: &str) -> Vec<u8> {
    message(&[(":event-type", kind), (":content-type", JSON), (":message-type", "event")], payload)
}

/// The provider's event inside Bedrock's.
pub(super) fn chunk(inner: &str) -> Vec<u8> {
    event("chunk", &json!({"bytes": STANDARD.encode(inner), "p": "abcdefghijklmnopqrstuvwxyzABCDEF"}).to_string())
}
