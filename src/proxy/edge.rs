//! What stands between an accepted connection and Pingora's proxy: the deadline for a request's head, which Pingora has per read only
//! (pingora#447), and the connection's own settings.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora_core::{
    apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream},
    protocols::http::{
        ServerSession,
        v2::server::{H2Options, default_h2_options},
    },
    server::ShutdownWatch,
};
use pingora_proxy::HttpProxy;

use super::{Gateway, Live, listener::Application};
use crate::config::Downstream;

tokio::task_local! {
    static HEAD_WAS_READ: Arc<AtomicBool>;
}

/// Tells the deadline of this task's request that its head has come.
pub fn head_was_read() {
    // Streams of HTTP/2 have no deadline here: their head is complete before there is a stream.
    let _ = HEAD_WAS_READ.try_with(|read| read.store(true, Ordering::Relaxed));
}

/// A client that takes nothing of its answer for as long as an idle connection may last is gone: it would hold its stream, its slot
/// among the tenant's requests and an upstream connection for ever.
pub fn bound_writes(session: &mut ServerSession, bounds: &Downstream) {
    session.set_write_timeout(Some(Duration::from_secs(bounds.idle_seconds_max)));
}

/// Makes the edge of each new connection.
#[derive(Clone)]
pub struct Edges {
    /// What is behind all of them.
    pub proxy: Arc<HttpProxy<Gateway>>,
    /// Whose bounds are in force.
    pub live: Arc<ArcSwap<Live>>,
}

impl Application for Edges {
    type App = Edge;
    const H2C: bool = true;

    fn serve(&self, prior_knowledge: bool) -> Arc<Edge> {
        let mut options = HttpServerOptions::default();
        options.h2c = prior_knowledge;
        options.h2_idle_timeout = Some(Duration::from_secs(self.live.load().snapshot.downstream.idle_seconds_max));
        Arc::new(Edge { proxy: self.proxy.clone(), live: self.live.clone(), options, begun: AtomicBool::new(false) })
    }
}

/// The proxy behind one connection.
pub struct Edge {
    proxy: Arc<HttpProxy<Gateway>>,
    live: Arc<ArcSwap<Live>>,
    options: HttpServerOptions,
    /// The first request is behind; later ones may come late, since the connection may be idle before them.
    begun: AtomicBool,
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
        if session.is_http2() {
            return self.proxy.process_new_http(session, shutdown);
        }
        let (idle, head) = {
            let live = self.live.load();
            let bounds = &live.snapshot.downstream;
            (bounds.idle_seconds_max, bounds.header_seconds_max)
        };
        let first = !self.begun.swap(true, Ordering::Relaxed);
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(idle));
        }
        let deadline = Duration::from_secs(if first { head } else { idle + head });
        let read = Arc::new(AtomicBool::new(false));
        let serve = HEAD_WAS_READ.scope(read.clone(), self.proxy.process_new_http(session, shutdown));
        Box::pin(async move {
            let mut serve = pin!(serve);
            let mut head_is_late = pin!(tokio::time::sleep(deadline));
            poll_fn(|context| match serve.as_mut().poll(context) {
                Poll::Ready(reused) => Poll::Ready(reused),
                // A head that has come is never late; asking the timer at each piece of an answer would cost something.
                Poll::Pending if read.load(Ordering::Relaxed) => Poll::Pending,
                Poll::Pending => head_is_late.as_mut().poll(context).map(|()| None),
            })
            .await
        })
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        // 64 KiB, the protocol's default, would make a 25 MB upload take 19 s at a round trip of 50 ms.
        options.initial_window_size(1 << 20);
        options.initial_connection_window_size(16 << 20);
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}
