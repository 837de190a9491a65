//! The streams of an HTTP/2 connection, accepted by a loop of our own around Pingora's handshake and sessions: Pingora's own loop keeps the
//! connection to itself, and with it the only way to change the window of one that is open.

use std::sync::Arc;

use pingora_core::{
    apps::HttpServerApp,
    protocols::{
        Digest, Stream,
        http::{
            ServerSession,
            v2::server::{H2Accept, HttpSession, handshake},
        },
    },
    server::ShutdownWatch,
};

use super::Edge;

/// Requests whose heads no server may take, after which Pingora's own loop closes a connection as well.
const REJECTED_MAX: u32 = 32;

/// Serves a connection until either side ends it; when `shutdown` says so, in order.
pub(super) async fn serve(edge: &Arc<Edge>, stream: Stream, mut shutdown: ShutdownWatch) {
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    let mut connection = match handshake(stream, edge.h2_options()).await {
        Ok(connection) => connection,
        Err(error) => return tracing::debug!(%error, "no HTTP/2"),
    };
    let (for_sessions, mut ending, mut rejected) = (shutdown.clone(), false, 0);
    loop {
        // Whichever comes first, the others lose nothing by it.
        let accepted = tokio::select! {
            biased;
            _ = shutdown.changed(), if !ending => {
                connection.graceful_shutdown();
                ending = true;
                continue;
            }
            () = edge.window.changed() => {
                connection.set_target_window_size(edge.window.bytes());
                continue;
            }
            accepted = HttpSession::from_h2_conn(&mut connection, digest.clone()) => accepted,
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => {
                let (edge, shutdown) = (edge.clone(), for_sessions.clone());
                tokio::spawn(async move { edge.process_new_http(ServerSession::new_http2(session), &shutdown).await });
            }
            Ok(Some(H2Accept::Rejected)) => {
                rejected += 1;
                if rejected == REJECTED_MAX {
                    return;
                }
            }
            // Nothing is to come any more, or the client is gone.
            Ok(None) | Err(_) => return,
        }
    }
}
