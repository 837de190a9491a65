//! A response body as the script wants it: its events paced, its bytes cut at odd offsets, its end clean or not.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::{sync::mpsc, time::Sleep};

use super::{
    answers::{Content, Events},
    connection::{End, InFlight},
    record::{Record, Served},
    script::{Behaviour, Moment},
};

/// Without `chunk_bytes`, a body is handed over in pieces of this size, so that a record does not call complete what a slow
/// client has not begun to read.
const PIECE_BYTES: usize = 65_536;

/// A response body.
pub(super) struct Body {
    pieces: Pieces,
    /// What is left of the piece being sent.
    rest: Bytes,
    piece_bytes: usize,
    /// Whether each piece is flushed by itself: the body then says "not yet" once between two pieces.
    flush_each: bool,
    flushing: bool,
    delay: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    ending: Ending,
    /// What `Content-Length` still promises.
    promised: Option<u64>,
    tail: Tail,
}

/// What comes after the last piece.
enum Ending {
    Clean,
    Exception(Bytes),
    Cut(End),
    Stall,
}

enum Pieces {
    Whole(Option<Bytes>),
    Events {
        events: Events,
        next: u64,
        end: u64,
    },
    /// `None` when it has ended.
    Live(Option<mpsc::Receiver<Bytes>>),
}

/// What is to be done with the end of the body, clean or not.
pub(super) struct Tail {
    pub record: Arc<Record>,
    /// `None` for requests that are not recorded, such as those for the record.
    pub served: Option<Arc<Served>>,
    pub in_flight: InFlight,
    pub close_after: bool,
    pub done: bool,
}

impl Body {
    pub fn new(content: Content, behaviour: &Behaviour, tail: Tail) -> Body {
        let cut = match (behaviour.reset, behaviour.close, behaviour.stall) {
            (Some(Moment::MidStream), _, _) => Some(Ending::Cut(End::Reset)),
            (_, Some(Moment::MidStream), _) => Some(Ending::Cut(End::Close)),
            (_, _, Some(Moment::MidStream)) => Some(Ending::Stall),
            _ => None,
        };
        let promised = match &content {
            Content::Whole(bytes) => Some(bytes.len() as u64),
            Content::Events(_) | Content::Live(_) => None,
        };
        let (pieces, ending) = match content {
            Content::Whole(bytes) if cut.is_some() => (Pieces::Whole(Some(bytes.slice(..bytes.len() / 2))), cut),
            Content::Whole(bytes) => (Pieces::Whole(Some(bytes)), None),
            // It misbehaves by itself.
            Content::Live(answers) => (Pieces::Live(Some(answers)), None),
            Content::Events(events) => {
                let exception = behaviour.exception.as_deref().map(|name| Ending::Exception(events.exception(name)));
                let (total, ending) = (events.count(), cut.or(exception));
                let end = if ending.is_some() { total / 2 } else { total };
                (Pieces::Events { events, next: 0, end }, ending)
            }
        };
        let mut body = Body {
            pieces,
            rest: Bytes::new(),
            piece_bytes: behaviour.chunk_bytes.unwrap_or(PIECE_BYTES).max(1),
            flush_each: behaviour.chunk_bytes.is_some(),
            flushing: false,
            delay: Duration::from_millis(behaviour.event_delay_ms.unwrap_or(0)),
            sleep: None,
            ending: ending.unwrap_or(Ending::Clean),
            promised,
            tail,
        };
        body.note_end();
        body
    }

    fn is_over(&self) -> bool {
        self.rest.is_empty() && self.pieces.are_over() && matches!(self.ending, Ending::Clean)
    }

    fn note_end(&mut self) {
        if self.is_over() {
            self.tail.done = true;
            if let Some(served) = &self.tail.served {
                self.tail.record.complete(served);
            }
        }
    }

    /// The next piece, when its time has come; `None` after the last.
    fn poll_piece(&mut self, cx: &mut Context) -> Poll<Option<Bytes>> {
        if self.rest.is_empty() {
            if self.pieces.are_over() {
                return Poll::Ready(None);
            }
            if self.pieces.are_paced() && !self.delay.is_zero() {
                let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.delay)));
                std::task::ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            self.rest = match &mut self.pieces {
                Pieces::Live(answers) => match answers.as_mut().map(|answers| answers.poll_recv(cx)) {
                    Some(Poll::Pending) => return Poll::Pending,
                    Some(Poll::Ready(Some(answer))) => answer,
                    Some(Poll::Ready(None)) | None => {
                        *answers = None;
                        self.note_end();
                        return Poll::Ready(None);
                    }
                },
                pieces => pieces.take(),
            };
        }
        if self.flushing {
            self.flushing = false;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.flushing = self.flush_each;
        let piece = self.rest.split_to(self.piece_bytes.min(self.rest.len()));
        Poll::Ready(Some(piece))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if let Some(piece) = std::task::ready!(this.poll_piece(cx)) {
            this.promised = this.promised.map(|promised| promised - piece.len() as u64);
            this.note_end();
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match std::mem::replace(&mut this.ending, Ending::Clean) {
            Ending::Clean => Poll::Ready(None),
            Ending::Exception(bytes) => {
                this.note_end();
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Ending::Cut(end) => {
                this.ending = Ending::Stall;
                this.tail.in_flight.connection().end(end);
                Poll::Pending
            }
            Ending::Stall => {
                this.ending = Ending::Stall;
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.promised.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Pieces {
    fn are_over(&self) -> bool {
        match self {
            Pieces::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Pieces::Events { next, end, .. } => next == end,
            Pieces::Live(answers) => answers.is_none(),
        }
    }

    /// The first event comes at once.
    fn are_paced(&self) -> bool {
        matches!(self, Pieces::Events { next, .. } if *next > 0)
    }

    fn take(&mut self) -> Bytes {
        match self {
            Pieces::Whole(bytes) => bytes.take().unwrap_or_default(),
            Pieces::Events { events, next, .. } => {
                *next += 1;
                events.at(*next - 1)
            }
            Pieces::Live(_) => Bytes::new(),
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        if self.done && self.close_after {
            self.in_flight.connection().end(End::Graceful);
        }
    }
}
