//! Bytes of an HTTP/1 connection that came ahead of their time: what a client sends while its last request is still served. Pingora
//! would take the first of them for a fault and drop the others, so that it gets them when it reads the next request, and not before.

use std::{
    io::Result,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

/// What is read ahead to notice that the client left; more waits in the socket.
const BYTES_MAX: usize = 64 << 10;
const PIECE_BYTES: usize = 4 << 10;

/// In the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Ahead(BytesMut);

impl Ahead {
    /// All of them.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// More, behind those that are there.
    pub fn keep(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The first of them have had their time.
    pub fn advance(&mut self, count: usize) {
        self.0.advance(count.min(self.0.len()));
        if self.0.is_empty() {
            // Connections that stay open need none of it.
            self.0 = BytesMut::new();
        }
    }

    /// Waits for the end of the stream, and keeps what comes before it.
    pub fn poll_end(&mut self, stream: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut piece = [MaybeUninit::uninit(); PIECE_BYTES];
        while self.0.len() < BYTES_MAX {
            let mut read = ReadBuf::uninit(&mut piece);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.keep(read.filled());
        }
        // Nobody wakes us: whoever serves the request goes on without, and asks again for the next.
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_end_is_noticed_and_what_came_before_it_is_kept() {
        let mut ahead = Ahead::default();
        ahead.keep(b"a");
        poll_fn(|cx| ahead.poll_end(&mut &b"bc"[..], cx)).await.unwrap();
        assert_eq!(ahead.bytes(), b"abc");
        ahead.advance(1);
        assert_eq!(ahead.bytes(), b"bc");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_read_ahead_than_that() {
        let (mut ahead, mut endless) = (Ahead::default(), tokio::io::repeat(b'x'));
        let waited = timeout(Duration::from_secs(1), poll_fn(|cx| ahead.poll_end(&mut endless, cx))).await;
        assert!(waited.is_err() && ahead.bytes().len() == BYTES_MAX);
    }
}
