//! A request on its way out: head and body in one write where they are small, so that they are one TLS record and one packet.

use std::{io, time::Duration};

use bytes::Bytes;
use http::Method;
use pingora_core::{
    protocols::{
        Stream,
        http::v1::client::{HttpSession, http_req_header_to_wire},
    },
    upstreams::peer::HttpPeer,
};
use pingora_error::{Error, ErrorType, OrErr, Result};
use pingora_http::RequestHeader;
use tokio::{io::AsyncWriteExt, time::timeout};

/// Bytes that are copied so that they go out together: a TLS record has room for as many.
const TOGETHER_MAX: usize = 16 * 1024;

/// Bedrock took nothing for as long as it may be silent: if it has answered before, that is there.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

/// A request that was written, or as much of it as Bedrock took.
pub struct Sent {
    /// Where the answer comes.
    pub answer: HttpSession,
    /// Why it was not written to its end. Bedrock may have answered nevertheless: it does not read what is too large for it.
    pub unsent: Option<Box<Error>>,
}

/// Writes a request.
///
/// # Errors
/// Nothing of it can be written, and so nothing was answered.
pub async fn send(stream: Stream, request: Box<RequestHeader>, pieces: &[Bytes], peer: &HttpPeer) -> Result<Sent> {
    let mut sent = match request.method {
        Method::HEAD => send_apart(stream, request, pieces, peer).await,
        _ => send_together(stream, &request, pieces, peer).await,
    }?;
    if sent.unsent.as_ref().is_some_and(|e| *e.etype() == ErrorType::WriteTimedout) {
        sent.answer.read_timeout = Some(LAST_WORDS_MAX);
    }
    Ok(sent)
}

async fn send_together(mut stream: Stream, request: &RequestHeader, pieces: &[Bytes], peer: &HttpPeer) -> Result<Sent> {
    let unwritable = || Error::explain(ErrorType::InvalidHTTPHeader, "a request line that cannot be written");
    let mut first = http_req_header_to_wire(request).ok_or_else(unwritable)?;
    let mut rest = pieces;
    while let [piece, others @ ..] = rest
        && first.len() + piece.len() <= TOGETHER_MAX
    {
        first.extend_from_slice(piece);
        rest = others;
    }
    let written = write(&mut stream, &first, rest, peer.options.write_timeout).await;
    Ok(Sent { answer: answer(stream, peer), unsent: written.err() })
}

/// The way of Pingora's own, which has to know of a HEAD that no body follows the head of its answer.
async fn send_apart(stream: Stream, request: Box<RequestHeader>, pieces: &[Bytes], peer: &HttpPeer) -> Result<Sent> {
    let mut answer = answer(stream, peer);
    answer.write_request_header(request).await?;
    for piece in pieces {
        if let Err(e) = answer.write_body(piece).await {
            return Ok(Sent { answer, unsent: Some(e) });
        }
    }
    Ok(Sent { answer, unsent: None })
}

fn answer(stream: Stream, peer: &HttpPeer) -> HttpSession {
    let mut answer = HttpSession::new_with_options(stream, peer);
    answer.read_timeout = peer.options.read_timeout;
    answer.write_timeout = peer.options.write_timeout;
    answer
}

async fn write(stream: &mut Stream, first: &[u8], rest: &[Bytes], longest: Option<Duration>) -> Result<()> {
    within(longest, stream.write_all(first)).await?;
    for piece in rest {
        within(longest, stream.write_all(piece)).await?;
    }
    within(longest, stream.flush()).await
}

async fn within(longest: Option<Duration>, write: impl Future<Output = io::Result<()>>) -> Result<()> {
    let written = match longest {
        Some(longest) => timeout(longest, write).await.or_err(ErrorType::WriteTimedout, "while writing the request")?,
        None => write.await,
    };
    written.or_err(ErrorType::WriteError, "while writing the request")
}
