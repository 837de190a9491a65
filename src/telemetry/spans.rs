//! Spans between the requests that make them and the task that sends them: a bounded queue that no request waits for, and what became of
//! each span, counted.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use prometheus::IntCounterVec;
use tokio::sync::Notify;

use super::{otlp::Span, table::Table};

/// Where spans wait to be sent.
#[derive(Default)]
pub struct SpanQueue {
    waiting: Mutex<VecDeque<Span>>,
    arrived: Notify,
}

/// What became of spans.
pub struct SpanMetrics {
    spans: IntCounterVec,
}

/// What may become of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanFate {
    /// The collector has it.
    Exported,
    /// The collector does not want it.
    Rejected,
    /// The collector could not be reached, or failed, too often.
    Failed,
    /// There was no room for it to wait.
    Dropped,
}

impl SpanFate {
    fn label(self) -> &'static str {
        match self {
            SpanFate::Exported => "exported",
            SpanFate::Rejected => "rejected",
            SpanFate::Failed => "failed",
            SpanFate::Dropped => "dropped",
        }
    }
}

impl SpanQueue {
    /// Puts spans of one request in; false if there is no room for all of them, and none is.
    pub fn push(&self, spans: Vec<Span>, spans_max: usize) -> bool {
        let mut waiting = self.lock();
        if waiting.len().saturating_add(spans.len()) > spans_max {
            return false;
        }
        waiting.extend(spans);
        drop(waiting);
        self.arrived.notify_one();
        true
    }

    /// Takes the oldest, at most so many.
    pub fn take(&self, spans_max: usize) -> Vec<Span> {
        let mut waiting = self.lock();
        let count = waiting.len().min(spans_max);
        waiting.drain(..count).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until there may be one.
    pub async fn arrived(&self) {
        if self.is_empty() {
            self.arrived.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Span>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpanMetrics {
    pub(super) fn new(t: &mut Table) -> Result<SpanMetrics, prometheus::Error> {
        let spans = t.counters(
            "tollgate_spans_total",
            "Spans of traces; result is exported, rejected by the collector, failed to be sent, or dropped for want of room.",
            &["result"],
        )?;
        // An increase can only be seen of what is there before.
        for fate in [SpanFate::Exported, SpanFate::Rejected, SpanFate::Failed, SpanFate::Dropped] {
            spans.with_label_values(&[fate.label()]);
        }
        Ok(SpanMetrics { spans })
    }

    /// Counts.
    pub fn count(&self, fate: SpanFate, spans: usize) {
        self.spans.with_label_values(&[fate.label()]).inc_by(spans as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Span {
        Span { name: name.to_owned(), ..Span::default() }
    }

    #[test]
    fn spans_of_a_request_find_room_together_or_not_at_all() {
        let queue = SpanQueue::default();
        assert!(queue.push(vec![named("a"), named("b")], 3));
        assert!(!queue.push(vec![named("c"), named("d")], 3));
        assert!(queue.push(vec![named("e")], 3));
        let names = |spans: Vec<Span>| spans.into_iter().map(|span| span.name).collect::<Vec<_>>();
        assert_eq!(names(queue.take(2)), ["a", "b"]);
        assert_eq!(names(queue.take(2)), ["e"]);
        assert!(queue.is_empty());
    }

    #[tokio::test]
    async fn who_waits_for_a_span_is_told_of_one_that_was_there_before() {
        let queue = SpanQueue::default();
        assert!(queue.push(vec![named("a")], 1));
        queue.arrived().await;
        queue.take(1);
        let (waited, pushed) = tokio::join!(queue.arrived(), async { queue.push(vec![named("b")], 1) });
        assert_eq!((waited, pushed), ((), true));
    }
}
