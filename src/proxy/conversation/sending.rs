//! The client's events on their way to Bedrock. The client is read only between two of them: what goes on has room until it is gone, and
//! for as long as that takes the client waits.

use std::{
    future::{pending, poll_fn},
    pin::pin,
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use pingora_core::protocols::http::v2::write_body;
use tokio::time::{Instant, sleep, timeout};

use super::{
    Denial,
    held::Held,
    relay::{Both, lock},
    resign::Resigner,
};

/// RFC 9113 §7.
const CANCEL: u32 = 8;

/// How long a client that is held back is not looked at; less than any silence that can be configured.
const HELD_BACK_STEP: Duration = Duration::from_millis(500);

/// How the client's part ended.
pub(super) enum Sent {
    /// All of it went to Bedrock.
    Done,
    ClientLeft,
    Refused(Denial),
}

impl Both<'_> {
    /// The client's events, to Bedrock.
    pub(super) async fn send(&self, resigner: &mut Resigner, mut held: Held) -> Sent {
        let Some(mut writer) = lock(self.upstream).take_request_body_writer() else { return Sent::Done };
        let mut waited = Duration::ZERO;
        loop {
            let (signed, end) = match self.next(resigner, &mut waited).await {
                Ok(next) => next,
                Err(sent) => {
                    writer.send_reset(CANCEL.into());
                    return sent;
                }
            };
            self.clock.moved();
            let wait = resigner.wait();
            let going = async {
                self.hold_back(held.hold(resigner.begun().saturating_add(signed.len() as u64))).await?;
                if !wait.is_zero() {
                    // Whoever is faster than its tenant may be is not cut off: its window fills meanwhile, and it has to stop.
                    self.hold_back(sleep(wait)).await;
                }
                let has_more = end || !signed.is_empty();
                self.sent.fetch_add(u64::from(!end && has_more), Ordering::Relaxed);
                Ok(if has_more { write_body(&mut writer, signed, end, None).await } else { Ok(()) })
            };
            match self.loans.cover(going).await {
                Ok(Ok(())) if end => return Sent::Done,
                Ok(Ok(())) => held.keep(resigner.begun()),
                Ok(Err(_)) => {
                    drop(held);
                    // Bedrock's answer says why, and ends the conversation; until then nobody reads the client.
                    return self.loans.cover(pending()).await;
                }
                Err(denial) => {
                    writer.send_reset(CANCEL.into());
                    return Sent::Refused(denial);
                }
            }
            self.clock.moved();
        }
    }

    /// What became whole with the next piece, and whether it was the last.
    async fn next(&self, resigner: &mut Resigner, waited: &mut Duration) -> Result<(Bytes, bool), Sent> {
        let piece = self.piece(resigner.held(), waited).await?;
        let (now, end) = (SystemTime::now(), piece.is_none());
        let signed = match piece {
            Some(piece) => resigner.take(piece, now),
            None => resigner.end(now),
        };
        let signed = signed.map_err(Sent::Refused)?;
        if !signed.is_empty() {
            // What is begun now is another event.
            *waited = Duration::ZERO;
        }
        Ok((signed, end))
    }

    /// The next piece of the client's body, while `held` bytes of an event are there for whose rest the client was `waited` for.
    async fn piece(&self, held: u64, waited: &mut Duration) -> Result<Option<Bytes>, Sent> {
        let read = poll_fn(|cx| lock(self.downstream).poll_read_body_bytes(cx));
        let read = if held == 0 {
            read.await
        } else {
            let seconds_max = self.bodies.patience_seconds(held);
            let asked = Instant::now();
            let read = timeout(Duration::from_secs(seconds_max).saturating_sub(*waited), read).await;
            *waited = waited.saturating_add(asked.elapsed());
            read.map_err(|_| Sent::Refused(Denial::EventTooSlow { seconds_max }))?
        };
        read.transpose().map_err(|_| Sent::ClientLeft)
    }

    /// Waits for something of the gateway's, during which the client is not silent.
    async fn hold_back<T>(&self, waiting: impl Future<Output = T>) -> T {
        let mut waiting = pin!(waiting);
        loop {
            let waited = timeout(HELD_BACK_STEP, waiting.as_mut()).await;
            self.clock.moved();
            if let Ok(done) = waited {
                return done;
            }
        }
    }
}
