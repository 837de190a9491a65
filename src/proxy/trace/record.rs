//! The spans of a request that is over: one of the request, and one of the call of Bedrock if there was any, by OpenTelemetry's
//! conventions for HTTP and for GenAI. Never a token, a key, a query string or a word of a prompt.

use std::{
    borrow::Cow,
    time::{Instant, UNIX_EPOCH},
};

use http::Version;
use pingora_core::protocols::http::ServerSession;
use pingora_error::Error;

use super::{Spans, genai};
use crate::{
    bedrock::{Streams, operations, usage::Usage},
    proxy::{
        Gateway, Passage,
        finish::{bill, known_method, labels, refusal, status},
        request::split_target,
    },
    routing::Route,
    telemetry::{
        NONE, Outcome, SpanFate,
        otlp::{self, CLIENT, Event, KeyValue, SERVER, Span, Status, Value},
    },
};

/// Model ids go up to 2,048 characters, and a client names what it likes.
const TEXT_CHARS_MAX: usize = 256;

/// Makes the spans of a request, if its trace is recorded, and hands them over to be sent.
pub fn record(session: &ServerSession, e: Option<&Error>, passage: &Passage, outcome: Outcome, gateway: &Gateway) {
    let Some(spans) = passage.trace.spans.as_deref().filter(|spans| spans.request.is_sampled()) else { return };
    let Some(traces) = &passage.live.snapshot.traces else { return };
    let moment = Moment { session, e, passage, outcome, spans };
    let made: Vec<Span> = [Some(moment.request()), moment.call()].into_iter().flatten().collect();
    let count = made.len();
    if !gateway.spans.push(made, traces.queued_spans_max) {
        gateway.metrics.spans.count(SpanFate::Dropped, count);
    }
}

/// Everything there is to know at the end of a request.
struct Moment<'a> {
    session: &'a ServerSession,
    e: Option<&'a Error>,
    passage: &'a Passage,
    outcome: Outcome,
    spans: &'a Spans,
}

impl Moment<'_> {
    /// What the client had from the gateway.
    fn request(&self) -> Span {
        let (passage, header) = (self.passage, self.session.req_header());
        let (tenant, service, operation) = labels(passage);
        let template = self.template(service, operation);
        let method = known_method(header.method.as_str());
        let tls = self.session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
        let client = self.session.client_addr().and_then(|client| client.as_inet()).map(|it| it.ip().to_canonical().to_string());

        let mut attributes = Attributes::default();
        attributes.add("http.request.method", method);
        attributes.maybe("http.route", template);
        attributes.maybe("url.path", self.path(operation).as_deref().map(short));
        attributes.add("url.scheme", if tls { "https" } else { "http" });
        attributes.maybe("network.protocol.version", protocol(header.version));
        attributes.maybe("client.address", client);
        attributes.maybe("http.response.status_code", status(self.session, passage).map(u64::from));
        attributes.add("tollgate.request_id", passage.arrival.request_id.as_str());
        attributes.add("tollgate.tenant", tenant);
        attributes.add("tollgate.outcome", self.outcome.label());
        // Known of refused requests, too, whose route is gone.
        attributes.maybe("tollgate.operation", Some(operation).filter(|operation| *operation != NONE));
        let failure = self.failure_of_request();
        attributes.maybe("error.type", failure.as_deref());

        let refused = refusal(passage).map(|refusal| Event {
            time_unix_nano: self.nanos(Instant::now()),
            name: "tollgate.refused".to_owned(),
            attributes: vec![KeyValue::new("tollgate.reason", refusal.reason)],
        });
        Span {
            name: template.map_or_else(|| method.to_owned(), |template| format!("{method} {template}")),
            kind: SERVER,
            parent_span_id: passage.trace.caller.map_or_else(Vec::new, |caller| caller.span_id.0.to_vec()),
            span_id: self.spans.request.span_id.0.to_vec(),
            flags: otlp::flags(self.spans.request.flags(), passage.trace.caller.is_some()),
            start_time_unix_nano: self.nanos(passage.arrival.started),
            attributes: attributes.0,
            events: refused.into_iter().collect(),
            status: failure.map(Status::error),
            ..self.blank()
        }
    }

    /// What the gateway had from Bedrock; nothing if it was not called.
    fn call(&self) -> Option<Span> {
        let began = self.spans.call_began?;
        let (passage, route) = (self.passage, self.route()?);
        let (meter, live) = (&passage.meter, &passage.live);
        let endpoint = live.snapshot.endpoint(route.service);
        let model = passage.caller.as_ref().and_then(|caller| caller.model.as_deref()).map(short);
        let operation = route.operation.map(|known| known.0);
        let runs = operation.and_then(|operation| genai::operation_name(operation, model.as_deref()));

        let mut attributes = Attributes::default();
        if let Some(runs) = runs {
            attributes.add("gen_ai.operation.name", runs);
            attributes.add("gen_ai.provider.name", "aws.bedrock");
            attributes.maybe("gen_ai.request.model", model.as_deref());
            let streams = operation.is_some_and(|operation| operation.streams != Streams::Neither);
            attributes.maybe("gen_ai.request.stream", streams.then_some(true));
            let bill = bill(passage);
            bill.iter().for_each(|bill| attributes.usage(&bill.usage));
            attributes.maybe("tollgate.usage_estimated", bill.map(|bill| bill.estimated).filter(|estimated| *estimated));
        }
        attributes.add("server.address", endpoint.host.as_str());
        attributes.add("server.port", u64::from(endpoint.port));
        attributes.add("cloud.region", live.snapshot.region.as_str());
        attributes.add("rpc.system", "aws-api");
        attributes.add("rpc.service", route.service.name());
        attributes.add("rpc.method", route.operation_name());
        attributes.add("http.request.method", known_method(self.session.req_header().method.as_str()));
        attributes.maybe("http.response.status_code", meter.status.map(u64::from));
        let resent = Some(u64::from(passage.attempts.resent)).filter(|resent| *resent > 0);
        attributes.maybe("http.request.resend_count", resent);
        attributes.maybe("aws.request_id", meter.upstream_request_id.as_deref().map(short));
        let failure = self.failure_of_call();
        attributes.maybe("error.type", failure.as_deref());

        Some(Span {
            name: match (runs, model) {
                (Some(runs), Some(model)) => format!("{runs} {model}"),
                (Some(runs), None) => runs.to_owned(),
                (None, _) => format!("{}/{}", route.service.name(), route.operation_name()),
            },
            kind: CLIENT,
            parent_span_id: self.spans.request.span_id.0.to_vec(),
            span_id: self.spans.call.span_id.0.to_vec(),
            flags: otlp::flags(self.spans.call.flags(), false),
            start_time_unix_nano: self.nanos(began),
            attributes: attributes.0,
            events: self.attempts(),
            status: failure.map(Status::error),
            ..self.blank()
        })
    }

    /// What both have: the trace, and the end.
    fn blank(&self) -> Span {
        let state = self.passage.trace.has_state.then(|| self.session.req_header().headers.get_all(&super::STATE));
        let state = state.into_iter().flatten().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",");
        Span {
            trace_id: self.spans.request.trace_id.0.to_vec(),
            trace_state: state,
            end_time_unix_nano: self.nanos(Instant::now()),
            ..Span::default()
        }
    }

    fn attempts(&self) -> Vec<Event> {
        let event =
            |name: &str, at: Instant, attributes| Event { time_unix_nano: self.nanos(at), name: name.to_owned(), attributes };
        let marks =
            self.spans.marks.iter().map(|mark| event(mark.name, mark.at, vec![KeyValue::new("error.type", mark.error.as_str())]));
        let first_byte = self.passage.meter.first_byte.map(|at| event("tollgate.first_byte", at, Vec::new()));
        marks.chain(first_byte).collect()
    }

    /// The operation's path pattern. Of refused requests only the operation's name is left.
    fn template(&self, service: &str, operation: &str) -> Option<&'static str> {
        let named = || operations().iter().find(|known| known.name == operation && known.service.name() == service);
        let routed = self.route().and_then(|route| route.operation).map(|known| known.0);
        routed.or_else(named).map(|known| known.uri)
    }

    /// Of what leads nowhere, or is from nobody, a path is whatever a scanner likes.
    fn path(&self, operation: &str) -> Option<Cow<'_, str>> {
        let sent = || Some(String::from_utf8_lossy(split_target(self.session.req_header()).0)).filter(|_| operation != NONE);
        self.route().map(|route| Cow::Borrowed(&*route.path)).or_else(sent)
    }

    fn route(&self) -> Option<&Route> {
        self.passage.admitted.as_ref().map(|admitted| admitted.route())
    }

    /// A refusal is no failure of the gateway; a client that left is none of anybody.
    fn failure_of_request(&self) -> Option<String> {
        match (self.outcome, status(self.session, self.passage)) {
            (Outcome::ClientLeft, _) => None,
            (_, Some(status)) if status >= 500 => {
                Some(refusal(self.passage).map_or(status.to_string(), |it| it.reason.to_owned()))
            }
            (Outcome::UpstreamFailed | Outcome::GatewayFailed, _) => Some(self.outcome.label().to_owned()),
            _ => None,
        }
    }

    fn failure_of_call(&self) -> Option<String> {
        let meter = &self.passage.meter;
        match (meter.status, self.outcome) {
            (Some(status), _) if status >= 400 => Some(meter.exception.clone().unwrap_or(status.to_string())),
            (_, Outcome::ClientLeft | Outcome::Completed) => None,
            (_, outcome) => Some(self.e.map_or(outcome.label(), |e| e.etype().as_str()).to_owned()),
        }
    }

    /// Nanoseconds since 1970 of a moment of this request.
    fn nanos(&self, at: Instant) -> u64 {
        let began = self.spans.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = at.saturating_duration_since(self.passage.arrival.started);
        u64::try_from(began.saturating_add(since).as_nanos()).unwrap_or(u64::MAX)
    }
}

#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn add(&mut self, key: &str, value: impl Into<Value>) {
        self.0.push(KeyValue::new(key, value));
    }

    fn maybe(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(key, value);
        }
    }

    /// Input is all that went in, what came from the cache included, as the conventions count it.
    fn usage(&mut self, usage: &Usage) {
        self.add("gen_ai.usage.input_tokens", usage.input_total());
        self.add("gen_ai.usage.output_tokens", usage.output_tokens);
        let written = usage.cache_write_tokens.saturating_add(usage.cache_write_1h_tokens);
        let some = |tokens: u64| Some(tokens).filter(|tokens| *tokens > 0);
        self.maybe("gen_ai.usage.cache_read.input_tokens", some(usage.cache_read_tokens));
        self.maybe("gen_ai.usage.cache_creation.input_tokens", some(written));
    }
}

fn protocol(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}

fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_names_is_bounded() {
        assert_eq!(short("é"), "é");
        assert_eq!(short(&"é".repeat(3_000)).chars().count(), TEXT_CHARS_MAX + 1);
        assert_eq!([known_method("POST"), known_method("BREW")], ["POST", "_OTHER"]);
    }
}
