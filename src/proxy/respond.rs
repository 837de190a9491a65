//! The gateway's own answers: the one place that writes them, but for that to a head which Pingora cannot read (`wire::answer`), and for the
//! last event of a stream (`conversation`). In the words of the route called: AWS's, OpenAI's or Anthropic's.

use std::time::Duration;

use bytes::Bytes;
use http::{Version, header};
use pingora_core::protocols::http::ServerSession;
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;
use serde_json::json;
use tokio::time::timeout;

use super::{
    Denial, Passage,
    admit::Admitted,
    body::{content_length, expects_continue},
    charge,
    denial::Verdict,
    failure::blame,
    standings::rate_limit_headers,
};
use crate::{bedrock::Dialect, bedrock::Service, quota::milliseconds, telemetry::Outcome};

// Pingora takes a name as it is to be written.
/// Who answers: `gateway` or `bedrock`.
pub const SOURCE: &str = "x-tollgate-source";
/// The gateway's id of the request, whoever answers.
pub const OWN_REQUEST_ID: &str = "x-tollgate-request-id";
/// Where AWS's SDKs look for the id.
pub const AWS_REQUEST_ID: &str = "x-amzn-RequestId";
/// Where OpenAI's and Anthropic's look for it, and who reads by hand.
pub const REQUEST_ID: &str = "request-id";

/// A body this small is read to its end after a refusal, so that the connection can go on.
const READ_ON_BYTES_MAX: u64 = 256 * 1024;
/// On HTTP/2, where nothing but the stream itself waits.
const READ_ON_MAX: Duration = Duration::from_secs(1);
/// How much of a larger one is read, and for how long, so that the client sees the answer before the connection closes: closing with
/// unread bytes resets it, and takes the answer with it.
const LINGER_BYTES_MAX: u64 = 32 * 1024 * 1024;
const LINGER_MAX: Duration = Duration::from_secs(5);

/// What the gateway answered itself, for metrics and log.
pub struct Answered {
    /// HTTP status; `None` if nothing could be written any more.
    pub status: Option<u16>,
    /// Why it was no success.
    pub refusal: Option<Refusal>,
    /// What the caller was told, for operators; see [`Denial::told_to_operators`].
    pub why: Option<String>,
}

/// Why something was refused, for metrics and log.
#[derive(Clone, Copy)]
pub struct Refusal {
    /// Metric label.
    pub reason: &'static str,
    /// It was not the client's doing.
    pub failed: bool,
}

impl Refusal {
    /// By the table of denials.
    pub fn of(verdict: &Verdict) -> Refusal {
        Refusal { reason: verdict.reason, failed: verdict.is_failure() }
    }
}

/// Answers a request that is refused before it goes upstream.
pub async fn refuse(session: &mut ServerSession, passage: &mut Passage, denial: Denial) -> Result<()> {
    let (response, body) = compose(session, passage, &denial, &denial.verdict())?;
    answer(session, passage, response, body, Some(&denial)).await
}

/// Answers in Bedrock's place, and leaves the connection so that the next request can come, or closes it. With a denial it is a refusal,
/// in whatever words.
pub async fn answer(
    session: &mut ServerSession,
    passage: &mut Passage,
    mut response: ResponseHeader,
    body: Bytes,
    denial: Option<&Denial>,
) -> Result<()> {
    if let Some(denial) = denial {
        annotate(&mut response, passage, denial)?;
    }
    let status = response.status.as_u16();
    // After a chunk that cannot be read nobody knows where the next request begins, though Pingora takes the body to be done then. Behind
    // a head that two parsers could read differently nothing is believed either.
    let lost_count = match denial {
        Some(Denial::BodyBroken) => true,
        Some(Denial::Head(error)) => error.is_about_framing(),
        _ => false,
    };
    let close = lost_count || !will_read_on(session);
    let downstream = session;
    if close {
        downstream.set_keepalive(None);
    }
    // Otherwise Pingora closes after every answer that is written before the request was read.
    downstream.set_close_on_response_before_downstream_finish(close);
    let answered = passage.answered.insert(Answered {
        status: None,
        refusal: denial.map(|denial| Refusal::of(&denial.verdict())),
        why: denial.and_then(Denial::told_to_operators),
    });
    // Pingora does not say whose failure it is. A client that is gone already leaves the reason as it is.
    write(downstream, response, body).await.map_err(|error| error.into_down())?;
    answered.status = Some(status);
    if downstream.is_http2() {
        // It has its own way to say that the rest of a body is not wanted, but what is malformed in it should still be told.
        read_on(downstream, READ_ON_BYTES_MAX, READ_ON_MAX).await;
        return Ok(());
    }
    linger(downstream, close).await;
    if !downstream.is_body_done() {
        downstream.set_keepalive(None);
    }
    Ok(())
}

/// What a refusal tells in the head whatever the words of its body, and operators in the log.
fn annotate(response: &mut ResponseHeader, passage: &mut Passage, denial: &Denial) -> Result<()> {
    if let (Denial::Policy(denial), Some(caller)) = (denial, &mut passage.caller) {
        caller.rule = Some(denial.rule.key().to_owned());
    }
    match denial {
        Denial::Method(allowed) => response.insert_header(header::ALLOW, *allowed),
        _ => Ok(()),
    }
}

/// Answers a request that failed on its way, if nothing of an answer went out yet.
pub async fn fail(session: &mut ServerSession, passage: &mut Passage, e: &Error) {
    let denial = blame(e);
    let verdict = denial.verdict();
    let client_left = *e.esource() == ErrorSource::Downstream;
    if has_begun(session) || client_left {
        return;
    }
    let given_up = (*e.etype() == ErrorType::ReadTimedout).then_some(Outcome::UpstreamFailed);
    if passage.content.client_left() {
        // Nobody is there to be told, and what came of the answer is charged as of any that breaks off.
        if !passage.meter.response_began() {
            charge::unanswered(passage, given_up).await;
        }
        return;
    }
    let mut written = None;
    take_over(passage, given_up).await;
    // The connection closes after a failure; the client should know, or its next request runs into it.
    session.set_keepalive(None);
    if let Ok((response, body)) = compose(session, passage, &denial, &verdict) {
        let status = response.status.as_u16();
        if write(session, response, body).await.is_ok() {
            written = Some(status);
        }
    }
    let refusal = Some(Refusal { reason: verdict.reason, failed: true });
    passage.answered = Some(Answered { status: written, refusal, why: None });
}

/// An admitted request is about to be answered in Bedrock's place: slot and hold are given back before the client can know. See
/// [`charge::unanswered`].
pub async fn take_over(passage: &mut Passage, given_up: Option<Outcome>) {
    passage.meter.withdraw();
    passage.admitted.iter_mut().for_each(Admitted::release);
    charge::unanswered(passage, given_up).await;
}

/// Whether an answer has begun to go out, whoever gave it. The gateway's own `100 Continue` is none.
pub fn has_begun(session: &ServerSession) -> bool {
    session.response_written().is_some_and(|response| !response.status.is_informational())
}

/// In whose words a request is answered. Below a service prefix the route's own path decides.
pub fn dialect(path: &[u8]) -> Dialect {
    let begin = path.iter().position(|&b| b != b'/').unwrap_or(path.len());
    let below = path.get(begin..).unwrap_or_default();
    let (first, rest) = below.split_at(memchr::memchr(b'/', below).unwrap_or(below.len()));
    let is_prefix = std::str::from_utf8(first).is_ok_and(|name| name.parse::<Service>().is_ok());
    Dialect::of_path(if is_prefix { rest } else { below })
}

fn compose(session: &ServerSession, passage: &Passage, denial: &Denial, verdict: &Verdict) -> Result<(ResponseHeader, Bytes)> {
    let dialect = dialect(session.req_header().raw_path());
    let status = if dialect == Dialect::Aws { verdict.status } else { verdict.surface_status };
    let id = passage.arrival.request_id.as_str();
    let body = body(dialect, denial, verdict, id);

    let mut response = own_head(status, "application/json", body.len())?;
    own_ids(&mut response, id, AWS_REQUEST_ID)?;
    match dialect {
        Dialect::Aws => response.insert_header("x-amzn-ErrorType", verdict.aws)?,
        _ => response.insert_header(REQUEST_ID, id)?,
    }
    if status == 401 {
        response.insert_header(header::WWW_AUTHENTICATE, "Bearer")?;
    }
    retry_headers(&mut response, verdict.retry_after)?;
    let standings = match denial {
        Denial::Rate(denial) => std::slice::from_ref(&denial.standing),
        Denial::Quota(denial) => std::slice::from_ref(&*denial.standing),
        _ => passage.admitted.as_ref().map_or(&[][..], Admitted::standings),
    };
    rate_limit_headers(&mut response, dialect, standings)?;
    Ok((response, body))
}

/// The head of an answer of the gateway's own: status, and what its body is. The next thing it needs is [`own_ids`].
pub fn own_head(status: u16, content_type: &'static str, length: usize) -> Result<ResponseHeader> {
    let mut response = ResponseHeader::build(status, Some(16))?;
    response.insert_header(header::CONTENT_TYPE, content_type)?;
    response.insert_header(header::CONTENT_LENGTH, length)?;
    Ok(response)
}

/// Says in a head whose answer it is and to which request, in the gateway's words and under the name that its reader looks for.
pub fn own_ids(response: &mut ResponseHeader, id: &str, name_of_id: &'static str) -> Result<()> {
    response.insert_header(SOURCE, "gateway")?;
    response.insert_header(OWN_REQUEST_ID, id)?;
    response.insert_header(name_of_id, id)
}

/// A refusal in somebody's words.
pub fn body(dialect: Dialect, denial: &Denial, verdict: &Verdict, id: &str) -> Bytes {
    let text = denial.to_string();
    let body = match dialect {
        Dialect::Aws => json!({"__type": verdict.aws, "message": text}),
        Dialect::OpenAi => json!({"error": {"message": text, "type": verdict.openai, "param": null, "code": verdict.reason}}),
        Dialect::Anthropic => json!({"type": "error", "error": {"type": verdict.anthropic, "message": text}, "request_id": id}),
    };
    Bytes::from(body.to_string())
}

/// AWS SDKs read milliseconds in their own header, the JS SDK seconds, OpenAI's and Anthropic's SDKs either, and `x-should-retry`.
pub fn retry_headers(response: &mut ResponseHeader, retry_after: Option<Duration>) -> Result<()> {
    let Some(wait) = retry_after else {
        return response.insert_header("x-should-retry", "false");
    };
    let milliseconds = milliseconds(wait);
    response.insert_header(header::RETRY_AFTER, milliseconds.div_ceil(1_000))?;
    response.insert_header("retry-after-ms", milliseconds)?;
    response.insert_header("x-amz-retry-after", milliseconds)
}

async fn write(downstream: &mut ServerSession, response: ResponseHeader, body: Bytes) -> Result<()> {
    downstream.write_response_header(Box::new(response)).await?;
    let without_body = body.is_empty() || downstream.req_header().method == http::Method::HEAD;
    if !without_body {
        downstream.write_response_body(body, true).await?;
    }
    downstream.finish_body().await
}

/// Whether the rest of the request is read so that the connection can go on.
fn will_read_on(downstream: &mut ServerSession) -> bool {
    if downstream.is_body_done() {
        return true;
    }
    let request = downstream.req_header();
    let small = content_length(&request.headers).is_some_and(|length| length <= READ_ON_BYTES_MAX);
    small && request.version == Version::HTTP_11 && !expects_continue(downstream)
}

async fn linger(downstream: &mut ServerSession, closing: bool) {
    // Who waits for a 100 and got a final answer sends nothing more.
    if downstream.is_body_done() || (closing && expects_continue(downstream)) {
        return;
    }
    read_on(downstream, LINGER_BYTES_MAX, LINGER_MAX).await;
}

/// Reads what is left of a body and throws it away. Whether it ends in time or not, the connection goes its way after this.
async fn read_on(downstream: &mut ServerSession, bytes_max: u64, wait_max: Duration) {
    let mut read = 0;
    let rest = async {
        while let Ok(Some(piece)) = downstream.read_request_body().await {
            read += piece.len() as u64;
            if read > bytes_max {
                return;
            }
        }
    };
    let _ = timeout(wait_max, rest).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_back_when_told_comes_late_enough() {
        let mut response = ResponseHeader::build(429, None).unwrap();
        retry_headers(&mut response, Some(Duration::from_micros(1_000_400))).unwrap();
        let told = ["retry-after", "retry-after-ms", "x-amz-retry-after"].map(|name| response.headers[name].to_str().unwrap());
        assert_eq!(told, ["2", "1001", "1001"]);
    }
}
