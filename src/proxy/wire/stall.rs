//! A client that takes nothing of what is written to it. Pingora bounds writes of bodies in time, but not those of heads, of last chunks
//! and of what lies in buffers: a client of HTTP/1 that never reads would keep its connection, and every drain waiting, for ever.

use std::{
    io::{Error, ErrorKind, Result},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

/// Watches the writes of one connection.
#[derive(Debug)]
pub(super) struct Stall {
    longest: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    /// A write may wait for so long.
    pub fn new(longest: Duration) -> Stall {
        Stall { longest, waiting: None }
    }

    /// What became of a write, or an error if it has waited for too long.
    pub fn poll<T>(&mut self, written: Poll<Result<T>>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(self.longest)));
        waiting.as_mut().poll(cx).map(|()| Err(Error::new(ErrorKind::TimedOut, "the client takes nothing of what is written")))
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::Arc};

    use tokio::{
        io::{AsyncWriteExt, duplex},
        time::{Instant, advance, timeout},
    };

    use super::*;
    use crate::proxy::wire::{Progress, Terms, Watched};

    const LONGEST: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_write_that_waits_fails_after_a_while_and_one_that_goes_on_does_not() {
        let mut stall = Stall::new(LONGEST);
        for _ in 0..3 {
            poll_fn(|cx| {
                assert!(stall.poll::<()>(Poll::Pending, cx).is_pending());
                Poll::Ready(())
            })
            .await;
            advance(LONGEST - Duration::from_secs(1)).await;
            poll_fn(|cx| stall.poll(Poll::Ready(Ok(1)), cx)).await.unwrap();
        }
        let began = Instant::now();
        let failed = poll_fn(|cx| stall.poll::<()>(Poll::Pending, cx)).await.unwrap_err();
        assert_eq!((failed.kind(), began.elapsed().as_secs()), (ErrorKind::TimedOut, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_reads_nothing_is_given_up_on_http1_and_left_to_the_listener_on_http2() {
        for http2 in [false, true] {
            let (ours, _theirs) = duplex(64);
            let progress = Arc::new(Progress::new(false));
            progress.take_head();
            let terms = Terms { write_wait_max: LONGEST, ..Terms::default() };
            let mut watched = Watched::new(Box::new(ours), http2, progress, terms);
            // A head is held back for what may follow it, so that it is its flush that waits.
            let writing = async {
                watched.write_all(&[b"HTTP/1.1 200 OK\r\n".as_slice(), &[b'x'; 100], b"\r\n\r\n"].concat()).await?;
                watched.flush().await
            };
            let failed = timeout(2 * LONGEST, writing).await.ok().map(|failed| failed.unwrap_err().kind());
            assert_eq!(failed, (!http2).then_some(ErrorKind::TimedOut));
        }
    }
}
