//! The page as a browser gets it. A browser sends no bearer token by itself, so who comes without one is asked for it by a form, which
//! sends it in a body: not in an address, and kept in no cookie. What the form brings is believed no more than a header is.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use jiff::Timestamp;
use pingora_core::protocols::http::ServerSession;
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};

use super::{PATH, Page};
use crate::{
    auth::{
        IdentityError,
        credential::{CredentialError, form_decoded},
    },
    bedrock::Dialect,
    console::{headers, own},
    proxy::{Denial, Passage, failure::internal, respond, standings::rate_limit_headers},
};

const FORM: &str = "application/x-www-form-urlencoded";

/// How the page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// By a program.
    Json,
    /// By a browser that was made to send a credential.
    Html,
    /// By a browser that was not.
    Form,
    /// By the form.
    Posted,
}

impl Shape {
    pub fn of(request: &RequestHeader) -> Shape {
        let headers = &request.headers;
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kinds = text(header::ACCEPT).split(',').map(|range| range.split(';').next().unwrap_or_default().trim());
        if !kinds.into_iter().any(|kind| kind.eq_ignore_ascii_case("text/html")) {
            return Shape::Json;
        }
        let carried = ["authorization", "x-amz-security-token", "x-api-key"];
        if carried.into_iter().any(|name| headers.contains_key(name)) {
            return Shape::Html;
        }
        let kind = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
        match request.method {
            Method::GET => Shape::Form,
            Method::POST if kind.eq_ignore_ascii_case(FORM) => Shape::Posted,
            _ => Shape::Html,
        }
    }
}

/// The credential that the form brings, as the header that a client would have sent.
pub(super) fn credential(pieces: &[Bytes]) -> Result<HeaderMap, Denial> {
    let refuse = |error: CredentialError| Denial::from(IdentityError::from(error));
    let body = pieces.concat();
    let mut values = body.split(|&b| b == b'&').filter_map(|pair| pair.strip_prefix(b"credential="));
    let value = values.next().ok_or_else(|| refuse(CredentialError::Missing))?;
    if values.next().is_some() {
        return Err(refuse(CredentialError::Conflicting));
    }
    let decoded = form_decoded(value);
    let token = decoded.trim_ascii();
    let token = token.strip_prefix(b"Bearer ").unwrap_or(token);
    if token.is_empty() {
        return Err(refuse(CredentialError::Missing));
    }
    let value = HeaderValue::from_bytes(&[b"Bearer ", token].concat());
    let mut value = value.map_err(|_| refuse(CredentialError::Malformed("credential")))?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
}

/// Asks for a credential.
pub(super) async fn ask(session: &mut ServerSession, passage: &mut Passage) -> Result<()> {
    let html = own::form(None, Timestamp::now()).map_err(internal)?;
    let response = head(200, &html, passage)?;
    respond::answer(session, passage, response, Bytes::from(html), None).await
}

/// Shows the page.
pub(super) async fn show(session: &mut ServerSession, passage: &mut Passage, page: &Page) -> Result<()> {
    let html = own::page(&page.statement).map_err(internal)?;
    let mut response = head(200, &html, passage)?;
    rate_limit_headers(&mut response, Dialect::of_path(PATH), &page.standings)?;
    respond::answer(session, passage, response, Bytes::from(html), None).await
}

/// Says what was wrong, and asks again.
pub(super) async fn refuse(session: &mut ServerSession, passage: &mut Passage, denial: &Denial) -> Result<()> {
    let verdict = denial.verdict();
    let message = denial.to_string();
    let refusal = own::Refusal { message: &message, request_id: &passage.arrival.request_id };
    let html = own::form(Some(&refusal), Timestamp::now()).map_err(internal)?;
    let mut response = head(verdict.surface_status, &html, passage)?;
    if verdict.surface_status == 401 {
        response.insert_header(header::WWW_AUTHENTICATE, "Bearer")?;
    }
    respond::retry_headers(&mut response, verdict.retry_after)?;
    if let Denial::Rate(denial) = denial {
        rate_limit_headers(&mut response, Dialect::of_path(PATH), std::slice::from_ref(&denial.standing))?;
    }
    respond::answer(session, passage, response, Bytes::from(html), Some(denial)).await
}

fn head(status: u16, html: &str, passage: &Passage) -> Result<ResponseHeader> {
    let mut response = ResponseHeader::build(status, Some(20))?;
    for (name, value) in headers() {
        response.insert_header(name, value)?;
    }
    response.insert_header(header::CONTENT_LENGTH, html.len())?;
    response.insert_header(header::VARY, "accept")?;
    respond::own_ids(&mut response, &passage.arrival.request_id, respond::REQUEST_ID)?;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(method: &str, headers: &[(&'static str, &str)]) -> Shape {
        let mut request = RequestHeader::build(method, PATH, None).unwrap();
        headers.iter().for_each(|(name, value)| request.insert_header(*name, *value).unwrap());
        Shape::of(&request)
    }

    #[test]
    fn programs_get_json_and_only_browsers_without_a_credential_are_asked_for_one() {
        let browser = ("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");
        let form = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        assert_eq!(shape("GET", &[]), Shape::Json);
        assert_eq!(shape("GET", &[("accept", "*/*")]), Shape::Json);
        assert_eq!(shape("POST", &[form]), Shape::Json);
        assert_eq!(shape("GET", &[browser]), Shape::Form);
        assert_eq!(shape("POST", &[browser, form]), Shape::Posted);
        assert_eq!(shape("POST", &[browser]), Shape::Html);
        for name in ["authorization", "x-api-key", "x-amz-security-token"] {
            assert_eq!(shape("GET", &[browser, (name, "x")]), Shape::Html);
            assert_eq!(shape("POST", &[browser, form, (name, "x")]), Shape::Html);
        }
    }

    #[test]
    fn what_the_form_brings_becomes_a_bearer_token_and_nothing_else() {
        let bearer = |body: &'static str| credential(&[Bytes::from(body)]).map(|headers| headers["authorization"].clone());
        for body in ["credential=ab%2Ec", "credential=+ab.c%0A", "x=1&credential=Bearer+ab.c"] {
            assert_eq!(bearer(body).unwrap(), "Bearer ab.c", "{body}");
            assert!(bearer(body).unwrap().is_sensitive());
        }
        for body in
            ["", "credential=", "credential=+", "token=a", "credential=a&credential=a", "credential=a%0d%0ax:y", "credential=%00"]
        {
            assert!(bearer(body).is_err(), "{body}");
        }
        // A signature cannot come this way: it would be a token that begins like one.
        assert_eq!(bearer("credential=AWS4-HMAC-SHA256").unwrap(), "Bearer AWS4-HMAC-SHA256");
    }
}
