//! Spans on their way to the collector: gathered, sent in batches, tried again where that may help, and given up in time. No request
//! waits for any of it. Each configuration has an exporter of its own; the queue is the process's.

mod collector;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use self::collector::{Collector, Refusal};
use super::ended;
use crate::{
    config::Traces,
    telemetry::{Metrics, SpanFate, SpanQueue, otlp::Span},
};

/// How long spans wait for others, to be sent with them.
const GATHER: Duration = Duration::from_secs(1);

/// Spans sent at once.
const BATCH_SPANS_MAX: usize = 512;

/// Times that a batch is sent before it is given up; meanwhile the queue fills.
const ATTEMPTS_MAX: u32 = 4;

/// The pause after the first failure, which doubles; and the longest, whatever a collector asks for.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A task that sends spans until it is told to stop.
pub(super) struct Exporter {
    end: watch::Sender<bool>,
    /// Another one sends what waits.
    has_successor: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

/// An exporter that can be started: everything it needs was there.
pub(super) struct Ready(Work);

struct Work {
    collector: Collector,
    queue: Arc<SpanQueue>,
    metrics: Arc<Metrics>,
    has_successor: Arc<AtomicBool>,
    /// Nothing has got through since it was said that nothing does.
    failing: bool,
}

/// Reads what an exporter needs.
///
/// # Errors
/// A header's secret or the authorities' file cannot be used.
pub(super) fn ready(traces: &Traces, queue: &Arc<SpanQueue>, metrics: &Arc<Metrics>) -> anyhow::Result<Ready> {
    let collector = Collector::new(traces)?;
    let (queue, metrics, has_successor) = (queue.clone(), metrics.clone(), Arc::default());
    Ok(Ready(Work { collector, queue, metrics, has_successor, failing: false }))
}

impl Ready {
    /// Sends from now on.
    pub(super) fn start(self) -> Exporter {
        let (end, ending) = watch::channel(false);
        Exporter { end, has_successor: self.0.has_successor.clone(), task: tokio::spawn(self.0.run(ending)) }
    }
}

impl Exporter {
    /// Ends with the batch in hand: what waits is the successor's, whose collector may be the one that takes it.
    pub(super) async fn leave(self, within: Duration) {
        self.has_successor.store(true, Ordering::Relaxed);
        self.stop(within).await;
    }

    /// Sends what waits, and ends; what is not sent by then is lost.
    pub(super) async fn stop(self, within: Duration) {
        self.end.send_replace(true);
        let aborted = self.task.abort_handle();
        if timeout(within, self.task).await.is_err() {
            aborted.abort();
            tracing::warn!("the collector did not take the last spans in time");
        }
    }
}

impl Work {
    async fn run(mut self, ending: watch::Receiver<bool>) {
        loop {
            let ends = tokio::select! {
                () = ended(ending.clone()) => true,
                () = self.queue.arrived() => timeout(GATHER, ended(ending.clone())).await.is_ok(),
            };
            while !self.has_successor.load(Ordering::Relaxed) {
                let spans = self.queue.take(BATCH_SPANS_MAX);
                if spans.is_empty() {
                    break;
                }
                self.deliver(spans, &ending).await;
            }
            if ends {
                return;
            }
        }
    }

    /// Sends a batch, and counts what becomes of it.
    async fn deliver(&mut self, spans: Vec<Span>, ending: &watch::Receiver<bool>) {
        let count = spans.len();
        let batch = self.collector.batch(spans);
        let mut pause = PAUSE;
        for attempt in 1..=ATTEMPTS_MAX {
            let refusal = match self.collector.send(batch.clone()).await {
                Ok(rejected) => return self.taken(count, rejected),
                Err(refusal) => refusal,
            };
            let last = attempt == ATTEMPTS_MAX || *ending.borrow();
            match refusal {
                Refusal::Temporary { wait, .. } if !last => {
                    let wait = wait.unwrap_or(pause).min(PAUSE_MAX);
                    pause = pause.saturating_mul(2);
                    tokio::select! {
                        () = sleep(wait) => {}
                        () = ended(ending.clone()) => {}
                    }
                }
                refusal => return self.given_up(count, &refusal),
            }
        }
    }

    fn taken(&mut self, count: usize, rejected: usize) {
        let rejected = rejected.min(count);
        self.metrics.spans.count(SpanFate::Exported, count.saturating_sub(rejected));
        if rejected > 0 {
            self.metrics.spans.count(SpanFate::Rejected, rejected);
        }
        if std::mem::take(&mut self.failing) {
            tracing::info!("the collector takes spans again");
        }
    }

    fn given_up(&mut self, count: usize, refusal: &Refusal) {
        let fate = if matches!(refusal, Refusal::Final { .. }) { SpanFate::Rejected } else { SpanFate::Failed };
        self.metrics.spans.count(fate, count);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(error = %refusal, "the collector does not take spans; they are dropped until it does");
        }
    }
}
