//! The console over HTTP.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Response, StatusCode, header, uri::Authority};
use pingora_core::protocols::http::ServerSession;

use super::{Vitals, text};
use crate::console::{Page, headers};

/// A page of the console.
pub(super) fn page(session: &ServerSession, vitals: &dyn Vitals) -> Response<Vec<u8>> {
    let uri = &session.req_header().uri;
    let Some(page) = Page::of(uri.path(), uri.query().unwrap_or_default()) else {
        return text(StatusCode::NOT_FOUND, "the console has no such page; it begins at /console\n");
    };
    if is_rebound(session) {
        return text(
            StatusCode::MISDIRECTED_REQUEST,
            "over loopback the console answers to localhost and to addresses only: open http://localhost with this port\n",
        );
    }
    match page.render(&vitals.figures()) {
        Ok(Some(html)) => {
            let length = html.len();
            let mut response = Response::new(html.into_bytes());
            for (name, value) in headers() {
                response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            response
        }
        Ok(None) => text(StatusCode::NOT_FOUND, "no tenant of that name\n"),
        Err(error) => {
            tracing::error!(%error, "cannot write a page of the console");
            text(StatusCode::INTERNAL_SERVER_ERROR, "cannot write the page\n")
        }
    }
}

/// Whoever opens the listener in a browser means the console.
pub(super) fn redirect() -> Response<Vec<u8>> {
    let mut response = text(StatusCode::TEMPORARY_REDIRECT, "the console is at /console\n");
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/console"));
    response
}

/// Whether a web site may have pointed its own name at this host, to read through a browser here what only this host can reach.
fn is_rebound(session: &ServerSession) -> bool {
    let over_loopback = session.client_addr().and_then(|client| client.as_inet()).is_some_and(|client| client.ip().is_loopback());
    let host = session.req_header().headers.get(header::HOST).and_then(|host| host.to_str().ok());
    over_loopback && !host.is_some_and(is_here)
}

/// `localhost` and addresses, with or without a port.
fn is_here(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_stranger_can_point_here_are_not_those_of_this_host() {
        for host in ["localhost", "localhost:9464", "LOCALHOST", "gw.localhost", "127.0.0.1:9464", "[::1]:9464", "10.0.0.1"] {
            assert!(is_here(host), "{host}");
        }
        for host in
            ["evil.example", "evil.example:9464", "localhost.evil.example", "127.0.0.1.nip.io", "evillocalhost", "", "a@b@c"]
        {
            assert!(!is_here(host), "{host}");
        }
    }
}
