//! The response on its way through: every byte passes as it came; what is counted is counted on the side, token usage
//! too. What must not pass before somebody has looked at all of it is held with its head.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use pingora_error::{Error, Result};
use pingora_http::ResponseHeader;

use super::{
    Denial, Passage,
    admit::Admitted,
    charge::Charge,
    failure::denied,
    hop,
    listing::HeldList,
    respond::{OWN_REQUEST_ID, SOURCE},
    standings::limits_of,
    suspect::{self, Suspect},
};
use crate::bedrock::usage::{Reading, UsageChunkFilter, UsageReader};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// What was seen of the response.
#[derive(Default)]
pub struct Meter {
    /// Anything of a response came, if only to say that one is to come.
    pub heard: bool,
    /// Bedrock's status.
    pub status: Option<u16>,
    /// When its head came.
    pub first_byte: Option<Instant>,
    /// Its `x-amzn-RequestId`.
    pub upstream_request_id: Option<String>,
    /// The exception that its head names, if it is an error: `ThrottlingException`.
    pub exception: Option<String>,
    /// Body bytes.
    pub bytes: u64,
    /// The end of the body was seen.
    pub complete: bool,
    usage: Option<UsageReader>,
    /// Takes out what the gateway asked for and the client did not.
    hidden: Option<UsageChunkFilter>,
    held: Option<Held>,
}

/// What must not pass before somebody has looked at all of it, nor its head.
enum Held {
    /// A list that is shown in part.
    List(HeldList),
    /// An error that may not be for the client.
    Suspect(Suspect),
}

impl Held {
    fn of(admitted: Option<&Admitted>, response: &ResponseHeader) -> Option<Held> {
        let list = || HeldList::of(admitted?, response).map(Held::List);
        Suspect::of(response).map(Held::Suspect).or_else(list)
    }
}

impl Meter {
    /// Whether a response came, so that the request was surely processed.
    pub fn response_began(&self) -> bool {
        self.first_byte.is_some()
    }

    /// A piece of the body. It goes on as it came, but for the usage that only the gateway asked for.
    pub fn chunk(&mut self, body: &mut Option<Bytes>, end: bool) {
        self.bytes += body.as_ref().map_or(0, Bytes::len) as u64;
        self.complete |= end;
        if let Some(usage) = &mut self.usage {
            body.iter().for_each(|piece| usage.chunk(piece));
            if end {
                usage.end();
            }
        }
        self.hide(body, end);
    }

    /// Nobody got the answer: the gateway gives one of its own.
    pub fn withdraw(&mut self) {
        (self.status, self.exception, self.held) = (None, None, None);
    }

    /// The same piece, of what is held until all of it is known; then it comes out, or its part that may.
    fn filter(&mut self, body: &mut Option<Bytes>, end: bool) -> Result<(), Denial> {
        let Some(held) = &mut self.held else { return Ok(()) };
        let known = match held {
            Held::List(list) => list.chunk(body, end)?,
            Held::Suspect(suspect) => suspect.chunk(body, end)?,
        };
        self.held.take_if(|_| known);
        Ok(())
    }

    fn hide(&mut self, body: &mut Option<Bytes>, end: bool) {
        let Some(filter) = &mut self.hidden else { return };
        // An empty piece goes on being one: none at all would be the end.
        let mut shown = body.as_ref().map(|piece| filter.chunk(piece));
        if end {
            let rest = filter.end();
            if !rest.is_empty() {
                let before = shown.take().unwrap_or_default();
                shown = Some([before, rest].concat().into());
            }
        }
        *body = shown;
    }

    /// Whether it is held until more of it is known.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// What the answer failed with: by its head, or by the last event of its stream.
    pub fn failed_with(&self) -> Option<&str> {
        self.exception.as_deref().or_else(|| self.usage.as_ref()?.exception())
    }

    /// What the answer says about its usage so far.
    pub fn reading(&self) -> Reading {
        self.usage.as_ref().map(UsageReader::reading).unwrap_or_default()
    }
}

/// The head of Bedrock's response; what the gateway adds to it says so.
///
/// # Errors
/// It is none that can be passed on. Or Bedrock refuses the gateway's credentials: that answer is not passed on, for its text quotes the
/// canonical request with the session token in it, and a client would take `ExpiredTokenException` for its own token's.
pub fn response_head(response: &mut ResponseHeader, passage: &mut Passage) -> Result<()> {
    passage.meter.heard = true;
    if let Some(why) = hop::fault(response) {
        return Err(stop(Denial::Unpassable(why), passage));
    }
    hop::cross(response)?;
    if response.status.is_informational() {
        return Ok(());
    }
    if let Some(refusal) = suspect::refusal(response) {
        return Err(stop(Denial::CredentialsRefused(refusal), passage));
    }
    let meter = &mut passage.meter;
    meter.status = Some(response.status.as_u16());
    meter.first_byte = Some(Instant::now());
    let id = response.headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    meter.upstream_request_id = id.map(str::to_owned);
    meter.exception = suspect::exception(response).map(str::to_owned);
    meter.held = Held::of(passage.admitted.as_ref(), response);

    response.insert_header(SOURCE, HeaderValue::from_static("bedrock"))?;
    response.insert_header(OWN_REQUEST_ID, &passage.arrival.request_id)?;
    if let Some(admitted) = &passage.admitted {
        let operation = admitted.route().operation.map(|known| known.0);
        let read = |charge: &Charge| UsageReader::for_answer(operation, Some(charge.model()), response.status, &response.headers);
        meter.usage = admitted.charge.as_ref().map(read);
        if admitted.hide_usage && response.status.is_success() {
            meter.hidden = Some(UsageChunkFilter::default());
            let_length_go(response)?;
        }
        if matches!(&meter.held, Some(Held::List(_))) {
            let_length_go(response)?;
        }
        limits_of(response, admitted)?;
    }
    Ok(())
}

/// A piece of its body.
///
/// # Errors
/// What was held cannot be passed on.
pub fn response_body(body: &mut Option<Bytes>, end: bool, passage: &mut Passage) -> Result<()> {
    passage.meter.chunk(body, end);
    passage.meter.filter(body, end).map_err(|denial| stop(denial, passage))
}

/// A piece of an answer that [is held](Meter::is_held), where nothing of it has gone on; once it is cleared, all that was held.
///
/// # Errors
/// It cannot be passed on.
pub fn clear(body: &mut Option<Bytes>, end: bool, passage: &mut Passage) -> Result<(), Denial> {
    passage.meter.filter(body, end).inspect_err(|denial| tell(denial, passage))
}

/// The body will be shorter than Bedrock said.
fn let_length_go(response: &mut ResponseHeader) -> Result<()> {
    if response.remove_header(&header::CONTENT_LENGTH).is_some() {
        response.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    Ok(())
}

/// What cannot be passed on, as Pingora carries it.
fn stop(denial: Denial, passage: &Passage) -> Box<Error> {
    tell(&denial, passage);
    match denial {
        Denial::CredentialsRefused(_) => denied(denial),
        denial => denied(denial).into_up(),
    }
}

fn tell(denial: &Denial, passage: &Passage) {
    if let Denial::CredentialsRefused(refusal) = denial {
        tracing::error!(
            refusal,
            request_id = passage.arrival.request_id,
            "Bedrock refused the gateway's credentials or signature"
        );
    }
}
