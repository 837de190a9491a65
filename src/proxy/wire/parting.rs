//! The end of a connection, so that its last answer arrives: the client is let close first. What it sends to a socket that is closed
//! already, a WINDOW_UPDATE for what it has just read, is answered with a reset, and that takes with it what was not delivered yet.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// Without a word, for a client to read what is on its way to it, and to close a connection that it was told will end.
pub const LINGER_MAX: Duration = Duration::from_secs(5);
/// In all, for one that still reads: the HTTP/2 library and the kernel hold up to some hundred KiB of its answer.
pub const READ_UP_MAX: Duration = Duration::from_secs(60);
/// What it may say meanwhile: many thousand frames of the kind that a reader sends. Who says more was not listening.
const BYTES_MAX: usize = 64 << 10;

/// Waits for the client of a connection on which everything was said.
#[derive(Debug)]
pub(super) struct Parting {
    deadline: Pin<Box<Sleep>>,
    latest: Instant,
    heard: usize,
}

impl Default for Parting {
    fn default() -> Parting {
        Parting { deadline: Box::pin(sleep(LINGER_MAX)), latest: Instant::now() + READ_UP_MAX, heard: 0 }
    }
}

impl Parting {
    /// Ready when the client has closed, or was waited for long enough.
    pub fn poll(&mut self, stream: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<()> {
        let mut piece = [0; 1 << 10];
        while self.deadline.as_mut().poll(cx).is_pending() && self.heard < BYTES_MAX {
            let mut buf = ReadBuf::new(&mut piece);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                break;
            }
            self.heard += buf.filled().len();
            self.deadline.as_mut().reset(self.latest.min(Instant::now() + LINGER_MAX));
        }
        Poll::Ready(())
    }

    /// Bytes that the client has said meanwhile.
    pub fn heard(&self) -> usize {
        self.heard
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// How long it takes.
    async fn part(mut stream: DuplexStream) -> Duration {
        let (began, mut parting) = (Instant::now(), Parting::default());
        poll_fn(|cx| parting.poll(&mut stream, cx)).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn it_lasts_until_the_client_closes_or_talks_too_much_or_does_neither_for_too_long() {
        let (here, mut there) = duplex(1 << 10);
        there.write_all(&[0; 100]).await.unwrap();
        drop(there);
        assert_eq!(part(here).await, Duration::ZERO);

        let (here, mut there) = duplex(1 << 10);
        let talking = tokio::spawn(async move { while there.write_all(&[0; 1 << 10]).await.is_ok() {} });
        assert_eq!(part(here).await, Duration::ZERO);
        talking.await.unwrap();

        let (here, _there) = duplex(1 << 10);
        assert_eq!(part(here).await, LINGER_MAX);

        // Reads on, and says so now and then: until it closes, or for as long as anybody may.
        for (words, lasts) in [(5, Duration::from_secs(20)), (50, READ_UP_MAX)] {
            let (here, mut there) = duplex(1 << 10);
            let reading = tokio::spawn(async move {
                for _ in 0..words {
                    sleep(Duration::from_secs(4)).await;
                    if there.write_all(&[0; 13]).await.is_err() {
                        return;
                    }
                }
            });
            assert_eq!(part(here).await, lasts);
            reading.await.unwrap();
        }
    }
}
