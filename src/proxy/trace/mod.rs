//! A request's part in a trace. What the caller says of it is taken up or left out, and never a reason to refuse; Bedrock is told what
//! goes on from it; and where `[traces]` is, spans are made of it, once, when the request is over. Without that section there is nothing
//! but a look for `traceparent`.

mod genai;
mod record;

use std::time::{Instant, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_core::protocols::http::ServerSession;
use pingora_error::Result;

pub use record::record;

use super::{
    Passage,
    arrival::{Arrival, random_id},
    failure::internal,
};
use crate::{
    config::Traces,
    telemetry::{SpanId, TraceContext, TraceId, trace_context::is_state},
};

static PARENT: HeaderName = HeaderName::from_static("traceparent");
static STATE: HeaderName = HeaderName::from_static("tracestate");

/// What is known of the trace that a request belongs to.
#[derive(Default)]
pub struct Trace {
    /// What the caller says, if it is well-formed.
    caller: Option<TraceContext>,
    /// Its `tracestate` is well-formed, too.
    has_state: bool,
    spans: Option<Box<Spans>>,
}

/// The spans that are made of a request.
struct Spans {
    /// The request, as its callee would be told of it.
    request: TraceContext,
    /// The call of Bedrock, with all its attempts.
    call: TraceContext,
    began: SystemTime,
    call_began: Option<Instant>,
    marks: Vec<Mark>,
}

/// Something that went wrong with an attempt.
struct Mark {
    name: &'static str,
    at: Instant,
    error: String,
}

/// Takes up what a head that has just been read says of a trace.
pub fn begin(session: &ServerSession, passage: &mut Passage) {
    let traces = passage.live.snapshot.traces.as_ref();
    passage.trace = Trace::begin(&session.req_header().headers, traces, &passage.arrival);
}

impl Trace {
    /// Of a request with these headers; `traces` is the section of the configuration.
    fn begin(headers: &HeaderMap, traces: Option<&Traces>, arrival: &Arrival) -> Trace {
        let mut parents = headers.get_all(&PARENT).iter();
        // Of two nobody knows which one is meant.
        let caller = match (parents.next(), parents.next()) {
            (Some(parent), None) => TraceContext::parse(parent.as_bytes()),
            _ => None,
        };
        let states = || headers.get_all(&STATE).iter().map(HeaderValue::as_bytes);
        let has_state = caller.is_some() && states().next().is_some() && is_state(states());
        Trace { caller, has_state, spans: traces.map(|traces| Box::new(Spans::begin(caller, traces, arrival))) }
    }

    /// The trace, for the log.
    pub fn id(&self) -> Option<TraceId> {
        self.spans.as_ref().map(|spans| spans.request.trace_id).or(self.caller.map(|caller| caller.trace_id))
    }

    /// Whether Bedrock gets what the caller said under this name.
    pub fn passes_on(&self, name: &str) -> bool {
        match name {
            "traceparent" => self.caller.is_some(),
            "tracestate" => self.has_state,
            _ => true,
        }
    }

    /// Has Bedrock told that its part belongs to our call; where no spans are made, to what the caller said, which is there already.
    pub fn tell(&self, headers: &mut HeaderMap) -> Result<()> {
        if let Some(spans) = &self.spans {
            headers.insert(&PARENT, spans.call.to_string().try_into().map_err(internal)?);
        }
        Ok(())
    }

    /// Bedrock is about to be called; only the first time counts.
    pub fn call_begins(&mut self) {
        if let Some(spans) = &mut self.spans {
            spans.call_began.get_or_insert_with(Instant::now);
        }
    }

    /// An attempt failed, and another may follow.
    pub fn mark(&mut self, name: &'static str, error: &str) {
        if let Some(spans) = &mut self.spans {
            spans.marks.push(Mark { name, at: Instant::now(), error: error.to_owned() });
        }
    }
}

impl Spans {
    fn begin(caller: Option<TraceContext>, traces: &Traces, arrival: &Arrival) -> Spans {
        let [request, call] = span_ids();
        // Who has the id of a request has its trace.
        let trace_id = caller.map_or(TraceId(arrival.id.into_bytes()), |caller| caller.trace_id);
        let sampled = match caller {
            Some(caller) if traces.obey_callers => caller.is_sampled(),
            _ => is_chosen(trace_id, traces.sample_ratio),
        };
        let request =
            caller.map_or_else(|| TraceContext::root(trace_id, request, sampled), |caller| caller.child(request, sampled));
        let began = SystemTime::now().checked_sub(arrival.started.elapsed()).unwrap_or_else(SystemTime::now);
        Spans { request, call: request.child(call, sampled), began, call_began: None, marks: Vec::new() }
    }
}

/// Two, neither of which is all zeros: a UUID has its version in the one half and its variant in the other.
fn span_ids() -> [SpanId; 2] {
    let id = random_id().as_u128();
    [(id >> 64) as u64, id as u64].map(|half| SpanId(half.to_be_bytes()))
}

/// By the last 7 bytes, which are random, as OpenTelemetry's samplers choose: all that are asked choose the same traces.
fn is_chosen(TraceId(bytes): TraceId, ratio: f64) -> bool {
    let random = u128::from_be_bytes(bytes) & ((1 << 56) - 1);
    random as f64 >= (1.0 - ratio) * (1_u64 << 56) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "traceparent";
    const STATE: &str = "tracestate";
    const PARENT_SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn traces(more: &str) -> Traces {
        toml::from_str(&format!("endpoint = \"http://localhost\"\n{more}")).unwrap()
    }

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().fold(HeaderMap::new(), |mut map, (name, value)| {
            map.append(*name, HeaderValue::from_static(value));
            map
        })
    }

    /// `traceparent` and `tracestate` as Bedrock gets them.
    fn told(trace: &Trace, headers: &HeaderMap) -> [Option<String>; 2] {
        let passed_on = headers.iter().filter(|(name, _)| trace.passes_on(name.as_str()));
        let mut headers: HeaderMap = passed_on.map(|(name, value)| (name.clone(), value.clone())).collect();
        trace.tell(&mut headers).unwrap();
        [PARENT, STATE].map(|name| headers.get(name).map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn without_traces_what_is_well_formed_goes_on_as_it_came_and_nothing_else() {
        for (fields, parent_stays, state_stays) in [
            (&[(PARENT, PARENT_SAMPLED)][..], true, false),
            (&[(PARENT, PARENT_SAMPLED), (STATE, "a=1"), (STATE, "b=2")], true, true),
            (&[(PARENT, PARENT_SAMPLED), (STATE, "A=1")], true, false),
            (&[(PARENT, "00-0-0-0"), (STATE, "a=1")], false, false),
            (&[(PARENT, PARENT_SAMPLED), (PARENT, PARENT_SAMPLED), (STATE, "a=1")], false, false),
            (&[(STATE, "a=1")], false, false),
            (&[], false, false),
        ] {
            let headers = headers(fields);
            let trace = Trace::begin(&headers, None, &Arrival::begin());
            let [parent, state] = told(&trace, &headers);
            assert_eq!(parent.is_some_and(|parent| parent == PARENT_SAMPLED), parent_stays, "{fields:?}");
            assert_eq!(state.is_some(), state_stays, "{fields:?}");
            assert_eq!(trace.id().is_some(), parent_stays, "{fields:?}");
        }
    }

    #[test]
    fn with_traces_bedrock_is_told_of_our_call_in_the_callers_trace() {
        let (headers, arrival) = (headers(&[(PARENT, PARENT_SAMPLED), (STATE, "a=1")]), Arrival::begin());
        let trace = Trace::begin(&headers, Some(&traces("")), &arrival);
        let [parent, state] = told(&trace, &headers);
        let parent = TraceContext::parse(parent.unwrap().as_bytes()).unwrap();
        assert_eq!((parent.trace_id.to_string().as_str(), parent.is_sampled()), ("4bf92f3577b34da6a3ce929d0e0e4736", true));
        let spans = trace.spans.unwrap();
        assert_eq!(parent.span_id, spans.call.span_id);
        assert_ne!(spans.call.span_id, spans.request.span_id);
        assert_eq!(state.as_deref(), Some("a=1"));
    }

    #[test]
    fn a_trace_that_begins_here_has_the_id_of_its_request() {
        let arrival = Arrival::begin();
        let trace = Trace::begin(&HeaderMap::new(), Some(&traces("")), &arrival);
        assert_eq!(trace.id().unwrap().to_string(), arrival.request_id.replace('-', ""));
        assert!(trace.spans.unwrap().request.is_sampled());
    }

    #[test]
    fn callers_decide_unless_they_are_not_obeyed() {
        let sampled = |parent: &'static str, more: &str| {
            let trace = Trace::begin(&headers(&[(PARENT, parent)]), Some(&traces(more)), &Arrival::begin());
            trace.spans.unwrap().call.is_sampled()
        };
        let not_sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        assert!(sampled(PARENT_SAMPLED, "sample_ratio = 0"));
        assert!(!sampled(not_sampled, ""));
        assert!(!sampled(PARENT_SAMPLED, "sample_ratio = 0\nobey_callers = false"));
        assert!(sampled(not_sampled, "obey_callers = false"));
    }

    #[test]
    fn a_ratio_is_the_share_of_traces_that_are_chosen() {
        let chosen = |ratio: f64| (0..10_000).filter(|_| is_chosen(TraceId(random_id().into_bytes()), ratio)).count();
        assert_eq!((chosen(0.0), chosen(1.0)), (0, 10_000));
        // Seven standard deviations.
        assert!((650..=1_350).contains(&chosen(0.1)), "{}", chosen(0.1));
        let (low, high) = (TraceId([0xff; 16]), TraceId([0; 16]));
        assert!(is_chosen(low, 0.000_1) && !is_chosen(high, 0.999));
    }
}
