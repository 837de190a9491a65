//! The response on its way through: every byte passes as it came; what is counted is counted on the side. Token usage is read here
//! too, once there are quotas in tokens.

use std::time::Instant;

use bytes::Bytes;
use http::HeaderName;
use pingora_error::Result;
use pingora_http::ResponseHeader;

use super::{Passage, respond::rate_limit_headers};

/// What was seen of the response.
#[derive(Default)]
pub struct Meter {
    /// Bedrock's status.
    pub status: Option<u16>,
    /// When its head came.
    pub first_byte: Option<Instant>,
    /// Its `x-amzn-RequestId`.
    pub upstream_request_id: Option<String>,
    /// Body bytes.
    pub bytes: u64,
    /// The end of the body was seen.
    pub complete: bool,
}

impl Meter {
    /// Whether anything of a response came, so that the request was surely processed.
    pub fn response_began(&self) -> bool {
        self.first_byte.is_some()
    }

    /// A piece of the body.
    pub fn chunk(&mut self, body: Option<&Bytes>, end: bool) {
        self.bytes += body.map_or(0, Bytes::len) as u64;
        self.complete |= end;
    }
}

/// The head of Bedrock's response; what the gateway adds to it says so.
pub fn response_head(response: &mut ResponseHeader, passage: &mut Passage) -> Result<()> {
    if response.status.is_informational() {
        return Ok(());
    }
    let meter = &mut passage.meter;
    meter.status = Some(response.status.as_u16());
    meter.first_byte = Some(Instant::now());
    let id = response.headers.get("x-amzn-requestid").and_then(|value| value.to_str().ok());
    meter.upstream_request_id = id.map(str::to_owned);

    response.insert_header(HeaderName::from_static("x-tollgate-source"), "bedrock")?;
    response.insert_header(HeaderName::from_static("x-tollgate-request-id"), &passage.arrival.request_id)?;
    if let Some(admitted) = &passage.admitted {
        rate_limit_headers(response, admitted.standings())?;
    }
    Ok(())
}
