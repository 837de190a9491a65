//! What the log says of a request: the members of its line, as JSON. Written by hand, since every request has one: serde_json looks at each byte of each name again, and the
//! line costs three times as much.

use std::{fmt::Write, net::SocketAddr, time::Duration};

use jiff::{Timestamp, fmt::temporal::DateTimePrinter};

use super::TraceId;
use crate::pricing::NanoUsd;

static PRINTER: DateTimePrinter = DateTimePrinter::new();

/// What is told of a request. Never a token, a key, a query string or a word of a prompt.
#[derive(Clone, Copy, Debug)]
pub struct AccessLine<'a> {
    /// When the request ended; in RFC 3339.
    pub ts: Timestamp,
    /// The gateway's id of the request, the client's `x-amzn-RequestId` if the gateway answered.
    pub request_id: &'a str,
    /// Of the trace that it belongs to: the caller's, or the gateway's own.
    pub trace_id: Option<TraceId>,
    /// Who is limited.
    pub tenant: &'a str,
    /// The subject of the token, or the name in the certificate.
    pub principal: Option<&'a str>,
    /// Who vouched for it: the issuer's name in the configuration, `keys file` or `client certificate`.
    pub issuer: Option<&'a str>,
    /// What the caller proved it with: `token`, `session`, `access_key`, `api_key` or `certificate`.
    pub credential: Option<&'static str>,
    /// The id of the access key or API key, the SHA-256 fingerprint of the certificate.
    pub key_id: Option<&'a str>,
    /// The client's address.
    pub client: Option<SocketAddr>,
    /// The name in the client's verified certificate.
    pub client_certificate: Option<&'a str>,
    /// `POST`
    pub method: &'a str,
    /// Endpoint prefix.
    pub service: &'a str,
    /// As AWS spells it.
    pub operation: &'a str,
    /// As the client named it.
    pub model: Option<&'a str>,
    /// Of the response; absent if none was sent.
    pub status: Option<u16>,
    /// How the request ended.
    pub outcome: &'static str,
    /// Why the gateway refused.
    pub reason: Option<&'static str>,
    /// The line of the configuration by which policy refused, as a key path.
    pub rule: Option<&'a str>,
    /// What Pingora says of a failure.
    pub error: Option<&'a str>,
    /// The exception that Bedrock answered with, or ended its stream with.
    pub exception: Option<&'a str>,
    /// Who answered: `gateway` or `bedrock`.
    pub source: &'static str,
    /// Body bytes in.
    pub request_bytes: u64,
    /// Body bytes out.
    pub response_bytes: u64,
    /// Tokens that went in fresh, as charged; absent where nothing is.
    pub input_tokens: Option<u64>,
    /// Tokens generated.
    pub output_tokens: Option<u64>,
    /// Tokens read from the cache.
    pub cache_read_tokens: Option<u64>,
    /// Tokens written to the cache.
    pub cache_write_tokens: Option<u64>,
    /// What that costs, in US dollars: a string, for money has exact decimals.
    pub cost_usd: Option<NanoUsd>,
    /// The tokens are a guess, because the answer broke off or says nothing of them.
    pub estimated: Option<bool>,
    /// Events from the client, of a stream in both directions.
    pub events_in: Option<u64>,
    /// Events from Bedrock, of a stream in both directions.
    pub events_out: Option<u64>,
    /// To the first byte of Bedrock's response; written in milliseconds, as all times.
    pub first_byte: Option<Duration>,
    /// In all.
    pub duration: Duration,
    /// What the gateway itself added before the request went upstream.
    pub own: Option<Duration>,
    /// Bedrock's id of the request.
    pub upstream_request_id: Option<&'a str>,
    /// Times the request was sent again.
    pub retries: u32,
    /// The configuration the request ran under.
    pub generation: u64,
    /// How many requests that went well this line is for, if not for its own alone.
    pub stands_for: Option<u32>,
}

/// Appends a member to an object that has one already.
macro_rules! member {
    ($out:ident, $name:literal, $value:expr) => {
        $out.push_str(concat!(",\"", $name, "\":"));
        Value::push($value, $out);
    };
}

/// The same, if there is a value.
macro_rules! option {
    ($out:ident, $name:literal, $value:expr) => {
        if let Some(value) = $value {
            member!($out, $name, value);
        }
    };
}

/// What a member may be.
trait Value {
    fn push(self, out: &mut String);
}

impl AccessLine<'_> {
    /// Appends the line, without its end.
    pub fn write(&self, out: &mut String) {
        out.push_str("{\"ts\":\"");
        // Memory takes all that is written to it.
        let _ = PRINTER.print_timestamp(&self.ts, &mut *out);
        out.push_str("\",\"level\":\"info\",\"msg\":\"request\"");
        member!(out, "request_id", self.request_id);
        option!(out, "trace_id", self.trace_id);
        member!(out, "tenant", self.tenant);
        option!(out, "principal", self.principal);
        option!(out, "issuer", self.issuer);
        option!(out, "credential", self.credential);
        option!(out, "key_id", self.key_id);
        option!(out, "client", self.client);
        option!(out, "client_certificate", self.client_certificate);
        member!(out, "method", self.method);
        member!(out, "service", self.service);
        member!(out, "operation", self.operation);
        option!(out, "model", self.model);
        option!(out, "status", self.status);
        member!(out, "outcome", self.outcome);
        option!(out, "reason", self.reason);
        option!(out, "rule", self.rule);
        option!(out, "error", self.error);
        option!(out, "exception", self.exception);
        member!(out, "source", self.source);
        member!(out, "request_bytes", self.request_bytes);
        member!(out, "response_bytes", self.response_bytes);
        option!(out, "input_tokens", self.input_tokens);
        option!(out, "output_tokens", self.output_tokens);
        option!(out, "cache_read_tokens", self.cache_read_tokens);
        option!(out, "cache_write_tokens", self.cache_write_tokens);
        option!(out, "cost_usd", self.cost_usd);
        option!(out, "estimated", self.estimated);
        option!(out, "events_in", self.events_in);
        option!(out, "events_out", self.events_out);
        option!(out, "first_byte_ms", self.first_byte);
        member!(out, "duration_ms", self.duration);
        option!(out, "own_ms", self.own);
        option!(out, "upstream_request_id", self.upstream_request_id);
        member!(out, "retries", self.retries);
        member!(out, "generation", self.generation);
        option!(out, "stands_for", self.stands_for);
        out.push('}');
    }
}

impl Value for &str {
    fn push(self, out: &mut String) {
        // To the end in any case, which the compiler turns into vector instructions. Seldom is there anything to escape.
        if self.bytes().fold(false, |found, byte| found | (byte < b' ') | (byte == b'"') | (byte == b'\\')) {
            out.push_str(&serde_json::to_string(self).unwrap_or_else(|_| "\"\"".to_owned()));
        } else {
            out.push('"');
            out.push_str(self);
            out.push('"');
        }
    }
}

impl Value for u64 {
    fn push(self, out: &mut String) {
        out.push_str(itoa::Buffer::new().format(self));
    }
}

impl Value for u32 {
    fn push(self, out: &mut String) {
        u64::from(self).push(out);
    }
}

impl Value for u16 {
    fn push(self, out: &mut String) {
        u64::from(self).push(out);
    }
}

impl Value for bool {
    fn push(self, out: &mut String) {
        out.push_str(if self { "true" } else { "false" });
    }
}

/// Milliseconds, to the microsecond.
impl Value for Duration {
    fn push(self, out: &mut String) {
        let microseconds = u64::try_from(self.as_micros()).unwrap_or(u64::MAX);
        (microseconds / 1_000).push(out);
        // One digit more, whose place the point takes.
        let start = out.len();
        (1_000 + microseconds % 1_000).push(out);
        out.replace_range(start..=start, ".");
    }
}

impl Value for TraceId {
    fn push(self, out: &mut String) {
        push_shown(self, out);
    }
}

impl Value for NanoUsd {
    fn push(self, out: &mut String) {
        push_shown(self, out);
    }
}

impl Value for SocketAddr {
    fn push(self, out: &mut String) {
        push_shown(self, out);
    }
}

/// What needs no escaping.
fn push_shown(value: impl std::fmt::Display, out: &mut String) {
    let _ = write!(out, "\"{value}\"");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;

    fn line<'a>(text: &'a str, number: u64, time: Duration) -> AccessLine<'a> {
        AccessLine {
            ts: Timestamp::UNIX_EPOCH,
            request_id: text,
            trace_id: None,
            tenant: text,
            principal: Some(text),
            issuer: Some(text),
            credential: Some("token"),
            key_id: None,
            client: Some(SocketAddr::from(([10, 0, 0, 1], 443))),
            client_certificate: Some(text),
            method: "POST",
            service: "bedrock-runtime",
            operation: "Converse",
            model: Some(text),
            status: Some(200),
            outcome: "completed",
            reason: None,
            rule: Some(text),
            error: Some(text),
            exception: Some(text),
            source: "bedrock",
            request_bytes: number,
            response_bytes: number,
            input_tokens: Some(number),
            output_tokens: Some(0),
            cache_read_tokens: None,
            cache_write_tokens: None,
            cost_usd: Some(NanoUsd(1_250)),
            estimated: Some(true),
            events_in: None,
            events_out: Some(number),
            first_byte: Some(time),
            duration: time,
            own: None,
            upstream_request_id: Some(text),
            retries: 1,
            generation: number,
            stands_for: Some(10),
        }
    }

    proptest! {
        #[test]
        fn a_line_is_json_and_says_what_it_is_told(
            text in "\\PC{0,20}|[\\x00-\\x7f\"\\\\]{0,20}",
            number: u64,
            microseconds in 0..10_000_000_000_u64,
        ) {
            let mut written = String::new();
            line(&text, number, Duration::from_micros(microseconds)).write(&mut written);
            let shown: Map<String, serde_json::Value> = serde_json::from_str(&written).unwrap();
            for name in [
                "request_id", "tenant", "principal", "issuer", "client_certificate", "model", "rule", "error", "exception", "upstream_request_id",
            ] {
                prop_assert_eq!(&shown[name], &json!(text), "{}", name);
            }
            for name in ["request_bytes", "response_bytes", "input_tokens", "events_out", "generation"] {
                prop_assert_eq!(&shown[name], &json!(number), "{}", name);
            }
            for name in ["first_byte_ms", "duration_ms"] {
                prop_assert_eq!((shown[name].as_f64().unwrap() * 1e3).round(), microseconds as f64, "{}", name);
            }
            prop_assert_eq!(shown.len(), 33);
        }
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let mut written = String::new();
        let none = Option::<&str>::None;
        let line =
            AccessLine { principal: none, first_byte: None, stands_for: None, ..line("x", 7, Duration::from_micros(12_034)) };
        line.write(&mut written);
        let start = r#"{"ts":"1970-01-01T00:00:00Z","level":"info","msg":"request","request_id":"x","tenant":"x","issuer":"x","#;
        assert!(written.starts_with(start), "{written}");
        let end = r#""events_out":7,"duration_ms":12.034,"upstream_request_id":"x","retries":1,"generation":7}"#;
        assert!(written.ends_with(end), "{written}");
        assert!(written.contains(r#""client":"10.0.0.1:443""#) && written.contains(r#""cost_usd":"0.00000125""#), "{written}");
    }

    #[test]
    fn the_operators_table_has_every_member_and_no_other() {
        const PAGE: &str = include_str!("../../docs/operations.md");
        let section = PAGE.split("\n## The log\n").nth(1).and_then(|rest| rest.split("\n### ").next()).unwrap();
        let cells = section.lines().filter_map(|row| row.strip_prefix("| `")?.split_once("` |"));
        let mut told: Vec<&str> = cells.flat_map(|(names, _)| names.split("` `")).collect();
        told.sort_unstable();
        let all = AccessLine {
            trace_id: Some(TraceId([1; 16])),
            key_id: Some("x"),
            reason: Some("x"),
            cache_read_tokens: Some(1),
            cache_write_tokens: Some(1),
            events_in: Some(1),
            own: Some(Duration::ZERO),
            ..line("x", 1, Duration::ZERO)
        };
        let mut written = String::new();
        all.write(&mut written);
        let shown: Map<String, serde_json::Value> = serde_json::from_str(&written).unwrap();
        let mut written_names: Vec<&str> = shown.keys().map(String::as_str).collect();
        written_names.sort_unstable();
        assert_eq!(told, written_names);
    }
}
