//! What stands between an accepted connection and its requests: the deadline for a request's head, which Pingora has per read only
//! (pingora#447), and the connection's own settings.

mod http2;
mod window;

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora_core::{
    apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp},
    protocols::{
        ALPN, Stream,
        http::{
            ServerSession,
            v2::server::{H2Options, default_h2_options},
        },
    },
    server::ShutdownWatch,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

pub use self::window::{Lent, Window};
use super::{
    Gateway, Live,
    listener::{Application, Opening},
    wire::{Progress, Running, head_bytes_read},
};
use crate::config::Downstream;

/// 64 KiB, the protocol's default, would make a 25 MB upload take 19 s at a round trip of 50 ms.
pub const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// What a client can make the gateway hold before anybody has room for it: `connections_max` times this is the worst there is, and only
/// for callers with a valid token, since everybody else's bytes are thrown away as they come. What is [`Lent`] beyond has room among bodies.
const CONNECTION_WINDOW_BYTES: u32 = 2 << 20;
const RESETS_PENDING_MAX: usize = 20;
const FAULTS_MAX: usize = 100;

tokio::task_local! {
    static PROGRESS: Arc<Progress>;
}

/// Tells the deadline of this task's request that its head has come.
pub fn head_was_read() {
    // Streams of HTTP/2 have no deadline here: their head is complete before there is a stream.
    let _ = PROGRESS.try_with(|progress| progress.take_head());
}

/// Whether this task's request came over a connection of the gateway's own (HTTP/1 only, which is what it speaks to itself).
pub fn is_own() -> bool {
    PROGRESS.try_with(|progress| progress.is_own()).unwrap_or(false)
}

/// Whether Pingora percent-encoded what it could not read in the target of this task's request: its bytes cannot go on unchanged.
pub fn target_is_respelled() -> bool {
    PROGRESS.try_with(|progress| progress.target_is_respelled()).unwrap_or(false)
}

/// A client that takes nothing of its answer for as long as an idle connection may last is gone: it would hold its stream, its slot
/// among the tenant's requests and an upstream connection for ever. What is read of it has bounds elsewhere: a body's patience, and how
/// long is read on after a refusal. Pingora's own, a minute for each read over HTTP/1, would end uploads that may pause for longer.
pub fn bound(session: &mut ServerSession, bounds: &Downstream) {
    session.set_write_timeout(Some(Duration::from_secs(bounds.idle_seconds_max)));
    session.set_read_timeout(None);
}

/// Makes the edge of each new connection.
#[derive(Clone)]
pub struct Edges {
    /// What is behind all of them.
    pub gateway: Arc<Gateway>,
    /// Whose bounds are in force.
    pub live: Arc<ArcSwap<Live>>,
}

impl Application for Edges {
    type App = Entrance;
    const H2C: bool = true;

    fn serve(&self, opening: Opening) -> Arc<Entrance> {
        let bounds = self.live.load().snapshot.downstream.clone();
        let mut options = HttpServerOptions::default();
        // No h2_idle_timeout: the listener ends what idles, in order.
        options.h2c = opening.prior_knowledge;
        // Pingora counts the requests after the first.
        options.keepalive_request_limit = Some(bounds.requests_per_connection_max.saturating_sub(1));
        let Opening { progress, end, lapses, .. } = opening;
        let (gateway, window, requests) = (self.gateway.clone(), Arc::default(), AtomicU64::new(0));
        Arc::new(Entrance(Arc::new(Edge { gateway, bounds, options, progress, end, lapses, window, requests })))
    }
}

/// Leads a connection to its edge: Pingora's own way for HTTP/1, and for HTTP/2 one on which a window can grow.
pub struct Entrance(Arc<Edge>);

#[async_trait]
impl ServerApp for Entrance {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        if self.0.options.h2c || matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            http2::serve(&self.0, stream, shutdown.clone()).await;
            return None;
        }
        self.0.process_new(stream, shutdown).await
    }
}

/// The gateway behind one connection.
pub struct Edge {
    gateway: Arc<Gateway>,
    /// Those in force when it connected.
    bounds: Downstream,
    options: HttpServerOptions,
    progress: Arc<Progress>,
    end: watch::Sender<bool>,
    lapses: Option<Instant>,
    /// All streams' (HTTP/2 only).
    window: Arc<Window>,
    /// Begun so far.
    requests: AtomicU64,
}

#[async_trait]
impl HttpServerApp for Edge {
    // Written out instead of `async fn`: the session, some kilobytes, goes straight into the proxy's future, and none of this one's
    // memory is held for it while a stream is open.
    fn process_new_http<'a, 'b, 'f>(
        self: &'a Arc<Self>,
        mut session: ServerSession,
        shutdown: &'b ShutdownWatch,
    ) -> Pin<Box<dyn Future<Output = Option<ReusedHttpStream>> + Send + 'f>>
    where
        'a: 'f,
        'b: 'f,
        Self: 'f,
    {
        let count = self.requests.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if session.is_http2() {
            if self.progress.asks() || count >= u64::from(self.bounds.requests_per_connection_max) {
                self.end.send_replace(true);
            }
            let serve = self.window.clone().scope(self.gateway.serve(Box::new(session), shutdown));
            let running = Running::on(&self.progress);
            return Box::pin(async move {
                let _running = running;
                serve.await
            });
        }
        if session.get_keepalive().is_some() {
            session.set_keepalive(self.idle_seconds_max());
        }
        self.progress.serve(count);
        let serve = PROGRESS.scope(self.progress.clone(), self.gateway.serve(Box::new(session), shutdown));
        Box::pin(async move {
            let mut serve = pin!(serve);
            let mut head_is_late = pin!(self.head_is_late());
            poll_fn(|context| match serve.as_mut().poll(context) {
                Poll::Ready(reused) => Poll::Ready(reused),
                // A head that has come is never late; asking the timer at each piece of an answer would cost something.
                Poll::Pending if self.progress.head_is_taken() => Poll::Pending,
                // It is by `serve` that bytes come, so that nobody has to tell us that they did.
                Poll::Pending if count > 1 && !self.progress.has_begun(count) => Poll::Pending,
                Poll::Pending => head_is_late.as_mut().poll(context).map(|()| None),
            })
            .await
        })
    }

    fn h2_options(&self) -> Option<H2Options> {
        // Pingora's own bounds first: they are lost if one begins with H2Options::new.
        let mut options = default_h2_options();
        options.max_concurrent_streams(self.bounds.streams_per_connection_max);
        options.max_header_list_size(u32::try_from(head_bytes_read(self.bounds.header_bytes_max)).unwrap_or(u32::MAX));
        options.initial_window_size(STREAM_WINDOW_BYTES);
        options.initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        // Streams that the client resets before they are taken up, and those that we reset for its faults; beyond, it is sent away.
        options.max_pending_accept_reset_streams(RESETS_PENDING_MAX);
        options.max_local_error_reset_streams(Some(FAULTS_MAX));
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}

impl Edge {
    /// How long the connection may wait for its next request: not for longer than its certificate is good. `None`: not at all, as 0 would
    /// be without end.
    fn idle_seconds_max(&self) -> Option<u64> {
        let most = self.bounds.idle_seconds_max;
        let Some(lapses) = self.lapses else { return Some(most) };
        let left = lapses.saturating_duration_since(Instant::now()).as_secs();
        Some(left.min(most)).filter(|seconds| *seconds > 0)
    }

    /// Resolves when the head of a request should have come. The time of a connection's first runs from the beginning, that of the others
    /// from their first byte: before that the connection is idle, which Pingora bounds.
    async fn head_is_late(&self) {
        sleep(Duration::from_secs(self.bounds.header_seconds_max)).await;
        self.progress.blame("head_late");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn how_long_an_upload_may_pause_is_for_its_body_to_say() {
        // Pingora's timers go by no clock that a test could advance.
        let mut session = ServerSession::new_http1(Box::new(tokio::io::duplex(64).0));
        assert_eq!(session.get_read_timeout(), Some(Duration::from_secs(60)));
        bound(&mut session, &Downstream::default());
        assert_eq!((session.get_read_timeout(), session.get_write_timeout()), (None, Some(Duration::from_secs(60))));
    }
}
