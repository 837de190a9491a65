//! DNS rebinding: a web site points its own name at this host, to read through a browser what only this host can reach.

use std::net::IpAddr;

use http::{Response, StatusCode, header, uri::Authority};
use pingora_core::protocols::http::ServerSession;

use super::text;

/// What whoever asks by such a name gets.
pub(super) fn refusal() -> Response<Vec<u8>> {
    text(
        StatusCode::MISDIRECTED_REQUEST,
        "over loopback this listener answers to localhost and to addresses only: open http://localhost with this port\n",
    )
}

/// Whether the request may come from such a site. Over the network the listener has whatever names it was given.
pub(super) fn is_rebound(session: &ServerSession) -> bool {
    let over_loopback =
        session.client_addr().and_then(|client| client.as_inet()).is_some_and(|client| client.ip().to_canonical().is_loopback());
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
