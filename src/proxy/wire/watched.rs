//! The stream itself: what comes is read through the rules of its protocol, what goes is taken note of.

use std::{
    io::{Error, ErrorKind, IoSlice, Result},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::{Buf, Bytes};
use pingora_core::protocols::Stream;
use prometheus::IntCounter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    Progress, Terms,
    ahead::Ahead,
    answer,
    head::HeldHead,
    http1::{BrokenAt, Requests},
    http2::{Flood, Frames},
    parting::Parting,
    refused::Refused,
    stall::Stall,
};

/// A connection that is looked at.
#[derive(Debug)]
pub struct Watched {
    pub(super) inner: Stream,
    protocol: Protocol,
    progress: Arc<Progress>,
    streams_refused: Option<IntCounter>,
    heads_refused: Option<IntCounter>,
    broken: bool,
    /// Of HTTP/1's next requests.
    ahead: Ahead,
    /// What is left of an answer in place of Pingora's.
    answer: Option<Bytes>,
    /// Of a response whose body may follow at once.
    head: HeldHead,
    stall: Stall,
    /// From when all was said.
    parting: Option<Parting>,
}

#[derive(Debug)]
enum Protocol {
    Http1(Requests),
    /// What comes, and what goes.
    Http2(Frames, Refused),
}

impl Watched {
    /// `http2`: what the connection is known to speak, by ALPN or by its first bytes.
    pub fn new(inner: Stream, http2: bool, progress: Arc<Progress>, terms: Terms) -> Watched {
        let Terms { head_bytes_max, write_wait_max, streams_refused, heads_refused } = terms;
        let protocol = match http2 {
            true => Protocol::Http2(Frames::new(Instant::now()), Refused::default()),
            false => Protocol::Http1(Requests::new(head_bytes_max)),
        };
        let (head, stall, parting) = (HeldHead::default(), Stall::new(write_wait_max), None);
        let ahead = Ahead::default();
        Watched {
            inner,
            protocol,
            progress,
            streams_refused,
            heads_refused,
            broken: false,
            ahead,
            answer: None,
            head,
            stall,
            parting,
        }
    }

    /// The request that Pingora reads or serves, by number; on connections of which it is not said, all of them.
    fn request_read(&self) -> u64 {
        Some(self.progress.serving()).filter(|count| *count > 0).unwrap_or(u64::MAX)
    }

    /// Whether what comes belongs to a request that Pingora does not read yet.
    fn is_ahead(&self) -> bool {
        matches!(&self.protocol, Protocol::Http1(requests) if requests.are_whole(self.request_read()))
    }

    /// Whether these bytes have to wait for others.
    fn must_keep(&self, bytes: &[u8]) -> bool {
        let Protocol::Http1(requests) = &self.protocol else { return false };
        !self.ahead.bytes().is_empty() || (bytes.first() == Some(&b'\r') && requests.may_pass_over())
    }

    /// Passes on what was kept, as far as its time has come; `None` if there is nothing.
    fn read_kept(&mut self, buf: &mut ReadBuf<'_>) -> Option<Result<()>> {
        let Protocol::Http1(requests) = &mut self.protocol else { return None };
        let passed_over = requests.pass_over(self.ahead.bytes())?;
        self.ahead.advance(passed_over);
        let mut ahead = mem::take(&mut self.ahead);
        let piece = ahead.bytes().get(..buf.remaining()).unwrap_or(ahead.bytes());
        if piece.is_empty() {
            self.ahead = ahead;
            return None;
        }
        let sound = self.look_at(piece);
        buf.put_slice(&piece[..sound]);
        ahead.advance(sound);
        self.ahead = ahead;
        // No bytes would mean the end.
        Some(if sound == 0 { Err(Watched::error()) } else { Ok(()) })
    }

    /// How many of the bytes may be passed on; fewer than all if something is wrong with the rest, or its time has not come.
    fn look_at(&mut self, bytes: &[u8]) -> usize {
        let most = self.request_read();
        let sound = match &mut self.protocol {
            Protocol::Http1(requests) => {
                let followed = requests.follow(bytes, most);
                self.progress.count_begun(requests.begun());
                self.progress.respell(requests.beginning().is_respelled());
                followed.map_err(|BrokenAt(at)| (at, "framing"))
            }
            Protocol::Http2(frames, _) => {
                self.progress.move_on();
                let followed = frames.follow(bytes, Instant::now());
                self.progress.greet(frames.greeted());
                followed.map(|()| bytes.len()).map_err(|Flood| (0, "flood"))
            }
        };
        self.progress.advance();
        match sound {
            Ok(sound) => sound,
            Err((at, reason)) => {
                self.broken = true;
                self.progress.blame(reason);
                at
            }
        }
    }

    /// Takes note of what was written: the first `length` bytes of all these.
    fn wrote<'a>(&mut self, bufs: impl IntoIterator<Item = &'a [u8]>, mut length: usize) {
        let Protocol::Http2(_, refused) = &mut self.protocol else { return };
        for buf in bufs {
            let written = buf.get(..length).unwrap_or(buf);
            let counts = refused.follow(written);
            for (counter, count) in [(&self.streams_refused, counts.beyond), (&self.heads_refused, counts.heads)] {
                if let Some(counter) = counter.as_ref().filter(|_| count > 0) {
                    counter.inc_by(count);
                }
            }
            length -= written.len();
        }
        self.progress.move_on();
    }

    /// Whether what is written now is Pingora's own refusal of a head that it could not read: without a body, and unknown to the stations.
    fn is_bare_refusal(&self) -> bool {
        matches!(self.protocol, Protocol::Http1(_)) && !self.progress.head_is_taken()
    }

    /// Writes our answer for `length` bytes of Pingora's.
    fn poll_answer(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<Result<usize>> {
        self.progress.blame("malformed");
        let Protocol::Http1(requests) = &self.protocol else { return Poll::Ready(Ok(length)) };
        let mut left = self.answer.take().unwrap_or_else(|| answer::malformed(requests.beginning()));
        while !left.is_empty() {
            let written = match Pin::new(&mut self.inner).poll_write(cx, &left) {
                Poll::Ready(written) => written?,
                Poll::Pending => {
                    self.answer = Some(left);
                    return Poll::Pending;
                }
            };
            left.advance(written.min(left.len()));
        }
        // Nothing follows: whatever else Pingora writes is part of the same refusal.
        self.answer = Some(left);
        Poll::Ready(Ok(length))
    }

    fn poll_write_some(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        if self.is_bare_refusal() {
            return self.poll_answer(cx, buf.len());
        }
        let http1 = matches!(self.protocol, Protocol::Http1(_));
        if http1 && self.head.hold(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = ready!(self.head.poll_write_with(buf, &mut self.inner, cx))?;
        self.wrote([buf], written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_some_of(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        if self.is_bare_refusal() {
            let length = bufs.iter().map(|buf| buf.len()).sum();
            return self.poll_answer(cx, length);
        }
        ready!(self.head.poll_write(&mut self.inner, cx))?;
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs))?;
        self.wrote(bufs.iter().map(|buf| &**buf), written);
        Poll::Ready(Ok(written))
    }

    /// What became of a write; on HTTP/1 an error if it waits for too long.
    fn bound<T>(&mut self, written: Poll<Result<T>>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        match self.protocol {
            Protocol::Http1(_) => self.stall.poll(written, cx),
            Protocol::Http2(..) => written,
        }
    }

    fn error() -> Error {
        Error::new(ErrorKind::InvalidData, "the client's bytes are not what they should be")
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        if self.broken {
            return Poll::Ready(Err(Watched::error()));
        }
        // Whoever reads has nothing more to write for now.
        let Watched { inner, head, .. } = &mut *self;
        let _ = head.poll_write(inner, cx)?;
        if self.is_ahead() {
            let Watched { inner, ahead, .. } = &mut *self;
            return ahead.poll_end(inner, cx);
        }
        loop {
            if let Some(read) = self.read_kept(buf) {
                return Poll::Ready(read);
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
            let bytes = match buf.filled().get(before..) {
                Some(bytes) if !bytes.is_empty() => bytes,
                _ => return Poll::Ready(Ok(())),
            };
            if self.must_keep(bytes) {
                self.ahead.keep(bytes);
                buf.set_filled(before);
                continue;
            }
            let sound = self.look_at(bytes);
            if !self.broken {
                self.ahead.keep(bytes.get(sound..).unwrap_or_default());
            }
            buf.set_filled(before + sound);
            // No bytes would mean the end.
            return Poll::Ready(if sound == 0 { Err(Watched::error()) } else { Ok(()) });
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let written = self.poll_write_some(cx, buf);
        self.bound(written, cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        let written = self.poll_write_some_of(cx, bufs);
        self.bound(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Watched { inner, head, .. } = &mut *self;
        let flushed = match head.poll_write(inner, cx) {
            Poll::Ready(Ok(())) => Pin::new(inner).poll_flush(cx),
            waiting_or_failed => waiting_or_failed,
        };
        self.bound(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Watched { inner, protocol, progress, broken, head, parting, .. } = &mut *self;
        if parting.is_none() {
            ready!(head.poll_write(inner, cx))?;
            ready!(Pin::new(&mut *inner).poll_shutdown(cx))?;
        }
        // Who was found to be hostile is not waited for.
        if *broken || matches!(protocol, Protocol::Http1(_)) {
            return Poll::Ready(Ok(()));
        }
        let parting = parting.get_or_insert_default();
        let before = parting.heard();
        let parted = parting.poll(inner, cx);
        if parting.heard() > before {
            progress.move_on();
        }
        parted.map(Ok)
    }
}
