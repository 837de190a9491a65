//! One request of a connection: its head is read, it passes the stations, and the connection is given back if another may follow.

use http::Method;
use pingora_core::{
    apps::{HttpPersistentSettings, ReusedHttpStream},
    protocols::http::ServerSession,
    server::ShutdownWatch,
};
use pingora_error::{Error, ErrorType};

use super::{Gateway, Passage, edge, finish, respond, trace};

impl Gateway {
    /// Serves the next request of a connection, which is told when it waits for one in vain. `shutdown`: no other is to follow.
    pub async fn serve(&self, mut session: Box<ServerSession>, shutdown: &ShutdownWatch) -> Option<ReusedHttpStream> {
        let mut closing = self.closing.subscribe();
        let head = tokio::select! {
            biased;
            head = session.read_request() => head,
            _ = closing.wait_for(|closing| *closing) => return None,
        };
        match head {
            Ok(true) if session.req_header().method == Method::CONNECT => return turn_away(session, Some(405)).await,
            Ok(true) => {}
            Ok(false) => return None,
            Err(e) => return turn_away(session, (*e.etype() == ErrorType::InvalidHTTPHeader).then_some(400)).await,
        }
        if *shutdown.borrow() {
            session.set_keepalive(None);
        }
        let mut passage = Passage::begin(self.live.load_full());
        edge::head_was_read();
        edge::bound(&mut session, &passage.live.snapshot.downstream);
        trace::begin(&session, &mut passage);
        let ended = self.pass(&mut session, &mut passage).await;
        if let Err(e) = &ended {
            respond::fail(&mut session, &mut passage, e).await;
        }
        finish::finish(&session, ended.as_ref().err().map(Box::<Error>::as_ref), &mut passage, self);
        // Slot and room are given back.
        drop(passage);
        ended.ok()?;
        let settings = HttpPersistentSettings::for_session(&session);
        let stream = session.finish().await.ok().flatten()?;
        Some(ReusedHttpStream::from_reusable_stream(stream, settings))
    }

    /// Connections on which nothing is going on end, here and now; no request is begun after this.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }
}

/// What is not HTTP, or not for a gateway. The words of an answer over HTTP/1 are `wire`'s.
async fn turn_away(mut session: Box<ServerSession>, status: Option<u16>) -> Option<ReusedHttpStream> {
    if let Some(status) = status {
        // Whoever cannot be told anything any more learns of the end of the connection.
        let _ = session.respond_error(status).await;
    }
    session.shutdown().await;
    None
}
