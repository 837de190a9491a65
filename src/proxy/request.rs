//! A request's head as the stations read it: held to what holds of every one, and taken apart.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header};
use memchr::memchr;
use pingora_core::protocols::http::ServerSession;
use pingora_http::RequestHeader;

use super::{
    Denial, edge,
    head::{self, HeadError},
};
use crate::{
    auth::query_carries_credential,
    aws::Received,
    bedrock::RawPath,
    routing::{self, Head},
    snapshot::Snapshot,
};

static AMZ_TARGET: HeaderName = HeaderName::from_static("x-amz-target");
static ENDPOINT_PREFIX: HeaderName = HeaderName::from_static("aws-endpoint-prefix");

/// What holds of every request, whoever sends it.
pub fn check_head(session: &ServerSession, snapshot: &Snapshot) -> Result<(), Denial> {
    let bytes_max = snapshot.downstream.header_bytes_max;
    let request = session.req_header();
    match session.as_http1() {
        Some(_) if edge::target_is_respelled() => return Err(HeadError::RequestLine.into()),
        Some(http1) => head::check_http1(&http1.get_headers_raw_bytes(), bytes_max)?,
        None => head::check_http2(&request.method, &request.headers, request.uri.authority().map(|a| a.as_str()), bytes_max)?,
    }
    head::check_signable(&request.headers)?;
    head::check_target(&request.headers)?;
    head::check_endpoint_prefix(&request.headers)?;
    head::check_query(request.raw_path())?;
    match split_target(request).1 {
        "" => Ok(()),
        query if query_carries_credential(query) => Err(Denial::CredentialInQuery),
        _ => Ok(()),
    }
}

/// Path and query of the request target, as they came.
pub fn split_target(request: &RequestHeader) -> (&[u8], &str) {
    let target = request.raw_path();
    let end = memchr(b'?', target).unwrap_or(target.len());
    let query = target.get(end + 1..).unwrap_or_default();
    (&target[..end], std::str::from_utf8(query).unwrap_or_default())
}

/// The request as its signature has it.
pub fn received(session: &ServerSession) -> Result<Received<'_>, Denial> {
    let request = session.req_header();
    let (path, query) = split_target(request);
    Ok(Received {
        method: request.method.as_str(),
        path: RawPath::parse(path)?.as_str(),
        query,
        headers: &request.headers,
        authority: request.uri.authority().map(|authority| authority.as_str()),
    })
}

/// Where the client is; behind a load balancer, where that one says it is.
pub fn source(session: &ServerSession) -> Option<IpAddr> {
    session.client_addr()?.as_inet().map(SocketAddr::ip)
}

/// Whether the head is that of a stream in both directions, whoever it is from: then no body can be waited for. A head that does not
/// announce that its events are signed has the hash of no body in its signature, as the Rust SDK sends it.
pub fn opens_conversation(session: &ServerSession, snapshot: &Snapshot) -> bool {
    let request = session.req_header();
    let path = RawPath::parse(split_target(request).0);
    let route = path.ok().and_then(|path| routing::route(&routing_head(request), path, &snapshot.overrides).ok());
    route.is_some_and(|route| route.is_conversation())
}

/// What routes are told apart by.
pub fn routing_head(request: &RequestHeader) -> Head<'_> {
    let text = |name: &HeaderName| request.headers.get(name).and_then(|value| value.to_str().ok());
    Head {
        method: request.method.as_str(),
        host: request.uri.authority().map(|authority| authority.as_str()).or_else(|| text(&header::HOST)),
        amz_target: text(&AMZ_TARGET),
        endpoint_prefix: text(&ENDPOINT_PREFIX),
        scope_service: scope_service(&request.headers),
    }
}

const SIGNATURE: &str = "AWS4-HMAC-SHA256 ";

/// The fourth part of `Credential=AKID/date/region/service/aws4_request`.
fn scope_service(headers: &HeaderMap) -> Option<&str> {
    // A token is long, and all of it would have to be looked at to be text.
    let authorization = headers.get(header::AUTHORIZATION).filter(|value| value.as_bytes().starts_with(SIGNATURE.as_bytes()))?;
    let scope = authorization.to_str().ok()?.strip_prefix(SIGNATURE)?.split("Credential=").nth(1)?;
    scope.split([',', ' ']).next()?.split('/').nth(3)
}
