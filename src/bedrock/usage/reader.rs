//! Reads an answer's usage from a copy of its bytes, in whatever pieces they come and whichever of Bedrock's shapes they have. It holds no
//! part of the body: a reader is two JSON scanners and the counts, about 2 KiB, and the headers of an event (≤ 4 KiB) that was cut.

use http::{HeaderMap, StatusCode, header};

use super::{
    Metering, Reading, ServiceTier,
    events::Events,
    lines::Lines,
    metering::is_traced,
    tally::{Manner, Tally},
    tree::{self, Count, Field},
};
use crate::bedrock::{Operation, json::Scanner};

/// What begins all headers that say something of usage: most answers have none of them.
const OF_USAGE: &str = "x-amzn-bedrock-";
/// `InvokeModel`'s counts. The input's is of what was neither read from the cache nor written to it.
const COUNTS: [(&str, Count); 4] = [
    ("input-token-count", Count::Input),
    ("output-token-count", Count::Output),
    ("cache-read-input-token-count", Count::CacheRead),
    ("cache-write-input-token-count", Count::CacheWrite),
];
const SERVICE_TIER: &str = "service-tier";
/// Bedrock counts itself what their models use.
const INVOKES: [&str; 2] = ["InvokeModel", "InvokeModelWithResponseStream"];

/// Types of events that say something about usage, or have generated text.
const MODEL_EVENTS: &[&str] = &["chunk", "contentBlockDelta", "metadata"];
const AGENT_EVENTS: &[&str] = &["trace"];

/// Whose input tokens `ConverseStream` tells with the cached ones among them, and adds those again to its total, where `Converse` and AWS's
/// documentation do not: measured by others on GPT-5.6 (earendil-works/pi#8752, maximhq/bifrost#6942).
const GROSS_IN_STREAMS: &str = "openai.";

/// Reads one answer: made at its head, fed its body.
pub struct UsageReader {
    tally: Tally,
    wire: Wire,
}

/// What the body is.
enum Wire {
    /// Nothing to read: an error, an operation without usage, an encoding that is not understood.
    Nothing,
    Document(Box<Scanner<Field>>),
    Events(Box<Events>),
    Lines(Box<Lines>),
}

impl UsageReader {
    /// For the answer with this head, of an operation that may be unknown. What an answer's shape is, its content type says; providers'
    /// shapes are told apart by their names.
    ///
    /// `model`: what stands behind a profile, where that is known.
    pub fn for_answer<'a>(
        operation: impl Into<Option<&'a Operation>>,
        model: Option<&str>,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> UsageReader {
        let operation = operation.into();
        let agent = operation.is_some_and(is_traced);
        let mut tally = Tally::new(operation.map_or_else(Manner::default, |operation| Manner::of(operation, model)));
        tally.failed = !status.is_success();
        if tally.failed || !operation.is_none_or(Metering::tells_tokens) {
            return UsageReader { tally, wire: Wire::Nothing };
        }
        for (name, value) in headers {
            if let Some(name) = name.as_str().strip_prefix(OF_USAGE)
                && let Ok(value) = value.to_str()
            {
                hear(&mut tally, name, value);
            }
        }
        UsageReader { tally, wire: Wire::of(headers, agent) }
    }

    /// The next piece of the body.
    pub fn chunk(&mut self, piece: &[u8]) {
        match &mut self.wire {
            Wire::Nothing => {}
            Wire::Document(scanner) => scanner.push(piece, &mut self.tally),
            Wire::Events(events) => events.push(piece, &mut self.tally),
            Wire::Lines(lines) => lines.push(piece, &mut self.tally),
        }
    }

    /// The body came to its proper end. Not to be called for one that was cut.
    pub fn end(&mut self) {
        let whole = match &mut self.wire {
            Wire::Nothing => true,
            Wire::Document(scanner) => scanner.is_done() || self.tally.is_counted_by_bedrock(),
            Wire::Events(events) => events.is_between(),
            Wire::Lines(lines) => lines.end(&mut self.tally),
        };
        if whole {
            self.tally.ends();
        }
    }

    /// The exception that ended a stream of events, if it said which.
    pub fn exception(&self) -> Option<&str> {
        match &self.wire {
            Wire::Events(events) => events.exception.as_deref(),
            _ => None,
        }
    }

    /// What is known now.
    pub fn reading(&self) -> Reading {
        let tally = &self.tally;
        let complete = match &self.wire {
            Wire::Nothing => tally.final_seen,
            // How long cache writes live is only in the body.
            Wire::Document(scanner) => {
                let from_headers = tally.is_counted_by_bedrock() && tally.bedrock.cache_write.unwrap_or(0) == 0;
                from_headers || tally.final_in_document() || scanner.is_done() || tally.final_seen
            }
            Wire::Events(_) => tally.final_seen || tally.is_counted_by_bedrock(),
            Wire::Lines(_) => tally.final_seen,
        };
        tally.reading(complete)
    }
}

impl Manner {
    fn of(operation: &Operation, model: Option<&str>) -> Manner {
        let is = |name| operation.name == name;
        Manner {
            sums: is_traced(operation) || is("InvokeHarness"),
            input_is_gross: is("ConverseStream") && model.is_some_and(|model| model.contains(GROSS_IN_STREAMS)),
            // Elsewhere a guardrail's work is told in words of the operation's own, or beside the model's counts.
            may_be_blocked: INVOKES.contains(&operation.name),
        }
    }
}

/// What a header says.
fn hear(tally: &mut Tally, name: &str, value: &str) {
    if name == SERVICE_TIER {
        tally.bedrocks_tier = Some(ServiceTier::parse(value));
    }
    let kind = COUNTS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
    if let (Some(kind), Ok(count)) = (kind, value.trim().parse()) {
        tally.bedrock.set(kind, count);
    }
}

impl Wire {
    fn of(headers: &HeaderMap, agent: bool) -> Wire {
        let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok()).unwrap_or_default();
        if !matches!(text(header::CONTENT_ENCODING), "" | "identity") {
            return Wire::Nothing;
        }
        let content_type = text(header::CONTENT_TYPE);
        let is = |kind: &str| content_type.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind));
        if agent {
            Wire::Events(Box::new(Events::new(&tree::TRACE, AGENT_EVENTS)))
        } else if is("application/vnd.amazon.eventstream") {
            Wire::Events(Box::new(Events::new(&tree::EVENT, MODEL_EVENTS)))
        } else if is("text/event-stream") {
            Wire::Lines(Box::new(Lines::new(&tree::EVENT)))
        } else {
            Wire::Document(Box::new(Scanner::new(&tree::BODY)))
        }
    }
}
