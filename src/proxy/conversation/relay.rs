//! The two directions of a conversation. Each waits only for its own reader and its own writer: what the one side does not take, the other
//! is not asked for. Whatever ends a conversation early resets Bedrock's stream, and tells the client in an event if it can.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use bytes::Bytes;
use http::header;
use pingora_core::protocols::http::v2::{client::Http2Session, server::HttpSession, write_body};
use pingora_http::ResponseHeader;
use serde_json::json;
use tokio::{sync::oneshot, time::timeout};

use super::{
    Account, Content, Denial, Passage, Verdict,
    held::{Held, Loans},
    limits::Clock,
    outcome,
    output::Output,
    resign::Resigner,
    sending::Sent,
};
use crate::{
    aws::event_stream::text_frame,
    config::Bodies,
    proxy::{charge, failure::blame, meter},
    telemetry::{Metrics, Outcome},
};

/// How long a client that reads nothing may take to read the event that ends its stream.
const LAST_EVENT_MAX: Duration = Duration::from_secs(5);

/// How a conversation ended.
#[derive(Debug)]
pub enum Ended {
    /// Bedrock's whole answer went out.
    Complete,
    /// The client went away.
    ClientLeft,
    /// The client has the beginning of an answer, and as its last event what ended it; see [`Denial::told_to_operators`].
    Denied(Verdict, Option<String>),
    /// The client has nothing of an answer yet.
    Unanswered(Denial),
}

impl Ended {
    /// After an answer has begun.
    fn by(denial: &Denial) -> Ended {
        Ended::Denied(denial.verdict(), denial.told_to_operators())
    }

    /// As the account and the log know it; of one that nobody has an answer of, its failure says more.
    pub fn outcome(&self) -> Outcome {
        match self {
            Ended::Complete => Outcome::Completed,
            Ended::ClientLeft => Outcome::ClientLeft,
            Ended::Denied(verdict, _) => outcome(verdict),
            Ended::Unanswered(_) => Outcome::UpstreamFailed,
        }
    }
}

/// What comes after a piece of Bedrock's answer.
enum Next {
    More,
    End,
    Refused(Denial),
}

/// Both streams. They are locked for as long as one of them is asked, never while anything waits.
pub struct Both<'a> {
    /// To the client.
    pub downstream: &'a Mutex<&'a mut HttpSession>,
    /// To Bedrock.
    pub upstream: &'a Mutex<Http2Session>,
    /// What the conversation's time is measured by.
    pub clock: &'a Clock,
    /// How long the client may take over an event.
    pub bodies: &'a Bodies,
    /// Makes good what the client's connection has to hold while this stream is not read.
    pub loans: &'a Loans,
    /// Counters.
    pub metrics: &'a Metrics,
    /// Pieces of the client's that went to Bedrock.
    pub sent: &'a AtomicU64,
}

/// What the client is to be told, once it is known.
type Stop = oneshot::Receiver<Denial>;

impl Both<'_> {
    /// Carries events until either side ends, or something has to end it.
    pub async fn relay(&self, resigner: &mut Resigner, held: Held, output: &mut Output, passage: &mut Passage) -> Ended {
        let (stop, stopped) = oneshot::channel();
        let mut sending = pin!(self.send(resigner, held));
        let mut receiving = pin!(self.receive(output, passage, stopped));
        let mut expired = pin!(self.clock.expired());
        let mut sent = false;
        let denial = loop {
            tokio::select! {
                biased;
                end = &mut sending, if !sent => match end {
                    Sent::Done => sent = true,
                    Sent::ClientLeft => return Ended::ClientLeft,
                    Sent::Refused(denial) => break denial,
                },
                end = &mut receiving => return end,
                denial = &mut expired => break denial,
            }
        };
        let ended = Ended::by(&denial);
        let _ = stop.send(denial);
        // It may wait for a client that reads nothing; then the stream is reset without a word.
        timeout(LAST_EVENT_MAX, receiving).await.unwrap_or(ended)
    }

    /// Bedrock's events, to the client.
    async fn receive(&self, output: &mut Output, passage: &mut Passage, mut stopped: Stop) -> Ended {
        let response = tokio::select! {
            biased;
            denial = told(&mut stopped) => return Ended::Unanswered(denial),
            response = self.response_head(passage) => response,
            () = self.client_left_before_head() => return Ended::ClientLeft,
        };
        let (response, mut first) = match response {
            Ok(began) => began,
            Err(denial) => return Ended::Unanswered(denial),
        };
        self.clock.moved();
        if !is_event_stream(&response) {
            output.is_opaque();
        }
        let mut writer = {
            let mut downstream = lock(self.downstream);
            let written = downstream.write_response_header(Box::new(response), false);
            let (Ok(()), Some(writer)) = (written, downstream.take_response_body_writer()) else { return Ended::ClientLeft };
            writer
        };
        loop {
            let piece = tokio::select! {
                biased;
                denial = told(&mut stopped) => Err(denial),
                piece = async { if first.is_some() { Ok(first.take()) } else { self.answered(passage).await } } => piece,
                _ = poll_fn(|cx| writer.poll_reset(cx)) => return Ended::ClientLeft,
            };
            self.clock.moved();
            let (bytes, ended) = match self.pass(piece, output, passage).await {
                (bytes, Next::More) => (bytes, None),
                (bytes, Next::End) => (bytes, Some(Ended::Complete)),
                // A reset is the only end that no client takes for a whole answer when no event can be told from the next.
                (_, Next::Refused(denial)) if !output.is_between_events() => return Ended::by(&denial),
                (before, Next::Refused(denial)) => ([before, exception(&denial)].concat().into(), Some(Ended::by(&denial))),
            };
            let end = ended.is_some();
            if let Some(ended) = &ended {
                let is_uncounted = output.is_uncounted();
                passage.content = Content::Conversation(Account { usage: output.usage(), is_uncounted, ..Account::default() });
                charge::conversation_ends(passage, ended.outcome()).await;
            }
            if let Some(admitted) = passage.admitted.as_mut().filter(|_| end) {
                admitted.release();
            }
            if (end || !bytes.is_empty()) && write_body(&mut writer, bytes, end, None).await.is_err() {
                return Ended::ClientLeft;
            }
            if let Some(ended) = ended {
                return ended;
            }
            self.clock.moved();
        }
    }

    /// What may go to the client of a piece of the answer, or of its end (`None`), and what comes after that.
    async fn pass(&self, piece: Result<Option<Bytes>, Denial>, output: &mut Output, passage: &mut Passage) -> (Bytes, Next) {
        let piece = match piece {
            Ok(Some(piece)) => piece,
            Ok(None) => {
                passage.meter.chunk(&mut None, true);
                return (output.rest(), Next::End);
            }
            Err(denial) => return (Bytes::new(), Next::Refused(denial)),
        };
        passage.meter.chunk(&mut Some(piece.clone()), false);
        let whole = output.take(piece);
        let Some(used) = output.usage_moved() else { return (whole, Next::More) };
        let Some(admitted) = &mut passage.admitted else { return (whole, Next::More) };
        match admitted.afford(used, self.metrics).await {
            Ok(()) => (whole, Next::More),
            Err(denial) => (whole, Next::Refused(denial)),
        }
    }

    /// The next piece of Bedrock's answer; `None` at its end.
    async fn answered(&self, passage: &Passage) -> Result<Option<Bytes>, Denial> {
        let piece = poll_fn(|cx| lock(self.upstream).poll_read_response_body(cx)).await;
        piece.transpose().map_err(|e| {
            tracing::warn!(error = %e, request_id = passage.arrival.request_id, "Bedrock's answer broke off");
            Denial::UpstreamBrokeOff
        })
    }

    /// The head of Bedrock's answer, as the client gets it; of an error that had to be looked at before, its body as well.
    async fn response_head(&self, passage: &mut Passage) -> Result<(ResponseHeader, Option<Bytes>), Denial> {
        let read = poll_fn(|cx| lock(self.upstream).poll_read_response_header(cx)).await;
        read.map_err(|e| {
            tracing::warn!(error = %e, request_id = passage.arrival.request_id, "Bedrock's answer did not begin");
            Denial::UpstreamBroken
        })?;
        let mut response = lock(self.upstream).response_header().cloned().ok_or(Denial::UpstreamBroken)?;
        meter::response_head(&mut response, passage).map_err(|e| blame(&e))?;
        let mut first = None;
        while passage.meter.is_held() {
            first = self.answered(passage).await?;
            let end = first.is_none();
            meter::clear(&mut first, end, passage)?;
        }
        Ok((response, first))
    }

    async fn client_left_before_head(&self) {
        poll_fn(|cx| {
            let mut downstream = lock(self.downstream);
            let idle = pin!(downstream.idle());
            idle.poll(cx).map(drop)
        })
        .await;
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for something to tell; for ever if nobody is left who could.
async fn told(stopped: &mut Stop) -> Denial {
    match stopped.await {
        Ok(denial) => denial,
        Err(_) => std::future::pending().await,
    }
}

fn is_event_stream(response: &ResponseHeader) -> bool {
    let kind = response.headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    kind.is_some_and(|kind| kind.starts_with(b"application/vnd.amazon.eventstream"))
}

/// The last event of a stream that the gateway ends, as SDKs type it: `validationException` for a `ValidationException`.
fn exception(denial: &Denial) -> Bytes {
    let name = denial.verdict().aws;
    let mut kind = name.to_owned();
    if let Some(first) = kind.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    let headers = [(":exception-type", kind.as_str()), (":content-type", "application/json"), (":message-type", "exception")];
    text_frame(&headers, json!({"message": denial.to_string()}).to_string().as_bytes())
}
