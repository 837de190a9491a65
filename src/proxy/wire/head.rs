//! The head of an HTTP/1 response, kept until its body follows: Pingora writes the two one after the other, which makes two packets, two
//! TLS records and two calls of the system. Never kept for longer than until Pingora flushes, or reads.

use std::{
    io::{ErrorKind, IoSlice, Result},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

/// Larger heads are written as they come.
const HEAD_BYTES_MAX: usize = 4_096;

/// A head, or what is left of it.
#[derive(Debug, Default)]
pub(super) struct HeldHead(Vec<u8>);

impl HeldHead {
    /// Keeps what is written, if it is a head and nothing.
    pub fn hold(&mut self, written: &[u8]) -> bool {
        let is_head = self.0.is_empty()
            && written.len() <= HEAD_BYTES_MAX
            && written.starts_with(b"HTTP/1.")
            && written.ends_with(b"\r\n\r\n");
        if is_head {
            self.0 = written.to_vec();
        }
        is_head
    }

    /// Writes it, if there is one.
    pub fn poll_write(&mut self, stream: &mut (impl AsyncWrite + Unpin), cx: &mut Context<'_>) -> Poll<Result<()>> {
        while !self.0.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, &self.0))?;
            self.wrote(written)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes it and what follows together. Says how much of that was written.
    pub fn poll_write_with(
        &mut self,
        rest: &[u8],
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize>> {
        while !self.0.is_empty() {
            let both = [IoSlice::new(&self.0), IoSlice::new(rest)];
            let written = ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &both))?;
            let of_rest = written.saturating_sub(self.0.len());
            self.wrote(written)?;
            if of_rest > 0 {
                return Poll::Ready(Ok(of_rest));
            }
        }
        Pin::new(stream).poll_write(cx, rest)
    }

    fn wrote(&mut self, bytes: usize) -> Result<()> {
        if bytes == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        self.0.drain(..bytes.min(self.0.len()));
        if self.0.is_empty() {
            // Connections that stay open need none of it.
            self.0 = Vec::new();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";

    /// Takes so many bytes at a time.
    struct Narrow {
        taken: Vec<u8>,
        calls: usize,
        at_once: usize,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
            let taken = buf.len().min(self.at_once);
            self.taken.extend_from_slice(&buf[..taken]);
            self.calls += 1;
            Poll::Ready(Ok(taken))
        }

        fn poll_write_vectored(mut self: Pin<&mut Self>, _: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<Result<usize>> {
            let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
            let taken = all.len().min(self.at_once);
            self.taken.extend_from_slice(&all[..taken]);
            self.calls += 1;
            Poll::Ready(Ok(taken))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    struct Joined(Narrow, HeldHead);

    impl AsyncWrite for Joined {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
            let Joined(stream, head) = &mut *self;
            if head.hold(buf) { Poll::Ready(Ok(buf.len())) } else { head.poll_write_with(buf, stream, cx) }
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
            let Joined(stream, head) = &mut *self;
            head.poll_write(stream, cx)
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
            self.poll_flush(cx)
        }
    }

    async fn written(pieces: &[&[u8]], at_once: usize) -> Narrow {
        let mut joined = Joined(Narrow { taken: Vec::new(), calls: 0, at_once }, HeldHead::default());
        for piece in pieces {
            joined.write_all(piece).await.unwrap();
        }
        joined.flush().await.unwrap();
        joined.0
    }

    #[tokio::test]
    async fn a_head_goes_with_its_body_and_alone_when_it_is_flushed() {
        assert_eq!(written(&[HEAD, b"hello"], 9_999).await.calls, 1);
        assert_eq!(written(&[HEAD], 9_999).await.calls, 1);
        assert_eq!(written(&[b"hello", b"world"], 9_999).await.calls, 2);
    }

    proptest! {
        #[test]
        fn whatever_the_stream_takes_at_a_time_all_is_written_in_order(
            pieces in prop::collection::vec(prop_oneof![Just(HEAD.to_vec()), prop::collection::vec(any::<u8>(), 1..50)], 0..8),
            at_once in 1_usize..120,
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            prop_assert_eq!(runtime.block_on(written(&pieces, at_once)).taken, pieces.concat());
        }
    }
}
