//! The table of operations, indexed by first path segment, and matching against it. Segments are compared decoded, as Bedrock does;
//! case counts, and so does a slash at the end.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

use super::RouteError;
use crate::bedrock::{Operation, Service, operations};

struct Pattern {
    operation: &'static Operation,
    segments: Vec<Segment>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    /// Sorts first: `/flows/aliases` is more specific than `/flows/{id}`.
    Literal(&'static str),
    Label,
}

static PATTERNS: LazyLock<HashMap<&'static str, Vec<Pattern>>> = LazyLock::new(|| {
    let mut index: HashMap<&'static str, Vec<Pattern>> = HashMap::new();
    for operation in operations() {
        let segments: Vec<Segment> = operation.uri[1..].split('/').map(segment).collect();
        if let Some(Segment::Literal(first)) = segments.first() {
            index.entry(first).or_default().push(Pattern { operation, segments });
        }
    }
    for patterns in index.values_mut() {
        patterns.sort_by(|a, b| a.segments.cmp(&b.segments));
    }
    index
});

fn segment(text: &'static str) -> Segment {
    if text.starts_with('{') { Segment::Label } else { Segment::Literal(text) }
}

impl Segment {
    fn matches(&self, text: &str) -> bool {
        match self {
            Segment::Literal(literal) => *literal == text,
            Segment::Label => !text.is_empty(),
        }
    }
}

/// The operations a request may be, all equally specific; of one service if that is `forced`. A slash that an operation's path ends in
/// may be missing where no other operation is without: the Rust SDK leaves it out.
pub fn matches(method: &str, segments: &[Cow<'_, str>], forced: Option<Service>) -> Vec<&'static Operation> {
    let found = exact_matches(method, segments, forced);
    if !found.is_empty() || segments.last().is_none_or(|last| last.is_empty()) {
        return found;
    }
    let with_slash: Vec<_> = segments.iter().cloned().chain([Cow::Borrowed("")]).collect();
    exact_matches(method, &with_slash, forced)
}

fn exact_matches(method: &str, segments: &[Cow<'_, str>], forced: Option<Service>) -> Vec<&'static Operation> {
    let mut best: Vec<&Pattern> = Vec::new();
    for pattern in below(segments) {
        // The number of segments tells most of them apart.
        let fits = pattern.segments.len() == segments.len()
            && pattern.operation.method == method
            && forced.is_none_or(|service| service == pattern.operation.service)
            && pattern.segments.iter().zip(segments).all(|(expected, text)| expected.matches(text));
        if fits && best.first().is_none_or(|first| same_shape(first, pattern)) {
            best.push(pattern);
        }
    }
    best.into_iter().map(|pattern| pattern.operation).collect()
}

fn same_shape(a: &Pattern, b: &Pattern) -> bool {
    a.segments == b.segments
}

/// The service whose patterns agree with a path for longest, for operations nobody knows yet.
pub fn nearest_service(segments: &[Cow<'_, str>]) -> Result<Service, RouteError> {
    // The root is every service's.
    if segments.iter().all(|segment| segment.is_empty()) {
        return Err(RouteError::UnknownPath);
    }
    let mut best: Option<(usize, Service)> = None;
    let mut tied = false;
    for pattern in below(segments) {
        let agreed = pattern.segments.iter().zip(segments).take_while(|(expected, text)| expected.matches(text)).count();
        let service = pattern.operation.service;
        match best {
            Some((length, other)) if agreed == length => tied |= other != service,
            Some((length, _)) if agreed < length => {}
            _ => (best, tied) = (Some((agreed, service)), false),
        }
    }
    match best {
        None => Err(RouteError::UnknownPath),
        Some((_, service)) if tied => Err(RouteError::Ambiguous(service)),
        Some((_, service)) => Ok(service),
    }
}

fn below(segments: &[Cow<'_, str>]) -> &'static [Pattern] {
    segments.first().and_then(|first| PATTERNS.get(first.as_ref())).map_or(&[], Vec::as_slice)
}
