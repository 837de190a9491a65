//! OTLP's messages, as far as spans need them: <https://github.com/open-telemetry/opentelemetry-proto>, whose own names and numbers these
//! are. Only what is sent; the tests read it with the messages that OpenTelemetry publishes.

use std::borrow::Cow;

use prost::Message;

/// `SPAN_KIND_SERVER`: somebody called here.
pub const SERVER: i32 = 2;
/// `SPAN_KIND_CLIENT`: a call from here.
pub const CLIENT: i32 = 3;
/// `STATUS_CODE_ERROR`.
const ERROR: i32 = 2;
/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK` and `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK`.
const IS_REMOTE_KNOWN: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// What is sent at once.
#[derive(Clone, PartialEq, Message)]
pub struct ExportTraceServiceRequest {
    /// All of one resource.
    #[prost(message, repeated, tag = "1")]
    pub resource_spans: Vec<ResourceSpans>,
}

/// What a collector answers.
#[derive(Clone, PartialEq, Message)]
pub struct ExportTraceServiceResponse {
    /// What it did not take.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<ExportTracePartialSuccess>,
}

/// What a collector did not take.
#[derive(Clone, PartialEq, Message)]
pub struct ExportTracePartialSuccess {
    /// How many.
    #[prost(int64, tag = "1")]
    pub rejected_spans: i64,
    /// Why.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// Spans of one process.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceSpans {
    /// The process.
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// By who made them.
    #[prost(message, repeated, tag = "2")]
    pub scope_spans: Vec<ScopeSpans>,
}

/// What spans are of.
#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    /// `service.name` and others.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

/// Spans of one library.
#[derive(Clone, PartialEq, Message)]
pub struct ScopeSpans {
    /// The library.
    #[prost(message, optional, tag = "1")]
    pub scope: Option<InstrumentationScope>,
    /// In no order.
    #[prost(message, repeated, tag = "2")]
    pub spans: Vec<Span>,
}

/// What made spans.
#[derive(Clone, PartialEq, Message)]
pub struct InstrumentationScope {
    /// `tollgate`
    #[prost(string, tag = "1")]
    pub name: String,
    /// Of the binary.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// Something that took time.
#[derive(Clone, PartialEq, Message)]
pub struct Span {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    /// 8 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    /// `tracestate`
    #[prost(string, tag = "3")]
    pub trace_state: String,
    /// 8 bytes; empty: it begins its trace.
    #[prost(bytes = "vec", tag = "4")]
    pub parent_span_id: Vec<u8>,
    /// Those of `traceparent`, and whether the parent is in another process.
    #[prost(fixed32, tag = "16")]
    pub flags: u32,
    /// One of few.
    #[prost(string, tag = "5")]
    pub name: String,
    /// [`SERVER`] or [`CLIENT`].
    #[prost(int32, tag = "6")]
    pub kind: i32,
    /// Nanoseconds since 1970.
    #[prost(fixed64, tag = "7")]
    pub start_time_unix_nano: u64,
    /// Nanoseconds since 1970.
    #[prost(fixed64, tag = "8")]
    pub end_time_unix_nano: u64,
    /// What is known of it.
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    /// What happened in it.
    #[prost(message, repeated, tag = "11")]
    pub events: Vec<Event>,
    /// Absent: nothing is said.
    #[prost(message, optional, tag = "15")]
    pub status: Option<Status>,
}

/// Something that happened in a span.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Nanoseconds since 1970.
    #[prost(fixed64, tag = "1")]
    pub time_unix_nano: u64,
    /// One of few.
    #[prost(string, tag = "2")]
    pub name: String,
    /// What is known of it.
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<KeyValue>,
}

/// How a span ended.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// For people.
    #[prost(string, tag = "2")]
    pub message: String,
    /// 0: unset; 2: an error.
    #[prost(int32, tag = "3")]
    pub code: i32,
}

/// An attribute.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    /// As the semantic conventions call it.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// A value of an attribute.
#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    /// One of them.
    #[prost(oneof = "Value", tags = "1, 2, 3, 4")]
    pub value: Option<Value>,
}

/// What a value may be.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Value {
    /// Text.
    #[prost(string, tag = "1")]
    Text(String),
    /// Truth.
    #[prost(bool, tag = "2")]
    Truth(bool),
    /// A whole number.
    #[prost(int64, tag = "3")]
    Integer(i64),
    /// Another number.
    #[prost(double, tag = "4")]
    Number(f64),
}

impl KeyValue {
    /// An attribute.
    pub fn new(key: impl Into<String>, value: impl Into<Value>) -> KeyValue {
        KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value.into()) }) }
    }
}

impl Status {
    /// It failed so.
    pub fn error(message: impl Into<String>) -> Status {
        Status { message: message.into(), code: ERROR }
    }
}

/// [`Span::flags`]: those of `traceparent`, and whether the parent is in another process.
pub fn flags(traceparent: u8, parent_is_remote: bool) -> u32 {
    u32::from(traceparent) | IS_REMOTE_KNOWN | if parent_is_remote { IS_REMOTE } else { 0 }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<Cow<'_, str>> for Value {
    fn from(text: Cow<'_, str>) -> Value {
        Value::Text(text.into_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Truth(truth)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Number(number)
    }
}
