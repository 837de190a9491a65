//! Strictness about request heads that Pingora leaves to us: what two parsers could read differently is refused before anything
//! believes it (RFC 9112 §§2.2, 3.2, 5, 6.1, 11.2). Pure: bytes and header maps in, a verdict out. And how names were spelled is forgotten.

use std::mem;

use http::{HeaderMap, Method, Request, header, request::Parts};
use memchr::{memchr, memrchr};
use pingora_http::RequestHeader;

/// Pingora takes no more header fields than that.
pub const HEADERS_MAX: usize = 256;

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Larger than `downstream.header_bytes_max`.
    #[error("the request's headers are larger than {0} bytes")]
    TooLarge(usize),
    /// More than Pingora takes.
    #[error("the request has more than {HEADERS_MAX} headers")]
    TooMany,
    /// Pingora could not read it.
    #[error("the request line or a header is malformed")]
    Unreadable,
    /// A line that does not end in CRLF, or a lone CR.
    #[error("a header line does not end in CRLF")]
    LineEnd,
    /// A line that continues the one before (obs-fold).
    #[error("a header line is folded")]
    Folded,
    /// Whitespace around a name, no colon, or a byte that names cannot have.
    #[error("a header name is malformed")]
    Name,
    /// A control byte.
    #[error("a header value has a control byte")]
    ControlByte,
    /// Whitespace around a value, in HTTP/2.
    #[error("a header value begins or ends with whitespace")]
    Whitespace,
    /// More than one, not plain digits, or beside Transfer-Encoding.
    #[error("the request's length is ambiguous: send one Content-Length, or one Transfer-Encoding: chunked")]
    Length,
    /// Missing, repeated, or no host name.
    #[error("the request needs exactly one valid Host header")]
    Host,
    /// A header that has to be signed has bytes outside ASCII, which signers and verifiers read differently.
    #[error("Content-Type and x-amz- headers must be plain ASCII, since they are signed")]
    NotSignable,
    /// A method that no API has: TRACE would show the signed request, CONNECT asks for a tunnel.
    #[error("the request method must be GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS")]
    Method,
    /// `Connection` names a header that the gateway decides by, which would be gone when the request is sent on; or what can name no
    /// header, or more of them than anybody needs.
    #[error("the Connection header names a header that is not for one hop, none at all, or ten and more")]
    Nominated,
    /// `X-Amz-Target` names two operations: the gateway and Bedrock could each believe another one.
    #[error("the request has X-Amz-Target twice")]
    Target,
    /// Two services are named, of which routing could believe either.
    #[error("the request has aws-endpoint-prefix twice")]
    EndpointPrefix,
    /// The query has a byte that is not visible ASCII. Signing and forwarding take the query for text.
    #[error("the query has a byte that must be percent-encoded")]
    Query,
    /// The request line is not `METHOD target HTTP/1.1`.
    #[error("the request line is malformed")]
    RequestLine,
}

impl HeadError {
    /// Whether another parser could find the end of such a request elsewhere: nothing behind it is believed.
    pub fn is_about_framing(self) -> bool {
        use HeadError::*;
        match self {
            LineEnd | Folded | Name | ControlByte | Length | Host | Nominated | RequestLine | TooMany | Unreadable => true,
            TooLarge(_) | Whitespace | NotSignable | Method | Target | EndpointPrefix | Query => false,
        }
    }
}

/// Checks the bytes of an HTTP/1 head, from the method to the empty line.
pub fn check_http1(raw: &[u8], bytes_max: usize) -> Result<(), HeadError> {
    if raw.len() > bytes_max {
        return Err(HeadError::TooLarge(bytes_max));
    }
    let text = raw.strip_suffix(b"\r\n\r\n").ok_or(HeadError::LineEnd)?;
    let (lines_end_well, any_control) = survey(text);
    if !lines_end_well {
        return Err(HeadError::LineEnd);
    }
    let mut facts = Facts { any_control, ..Facts::default() };
    let mut rest = text;
    let mut first = true;
    loop {
        let (line, next) = match memchr(b'\n', rest) {
            Some(end) => (rest[..end].strip_suffix(b"\r").ok_or(HeadError::LineEnd)?, Some(&rest[end + 1..])),
            None => (rest, None),
        };
        if std::mem::take(&mut first) {
            check_request_line(line)?;
        } else {
            check_field(line, &mut facts)?;
        }
        match next {
            Some(next) => rest = next,
            None => break,
        }
    }
    if facts.lengths + facts.encodings > 1 {
        return Err(HeadError::Length);
    }
    if facts.hosts == 1 { Ok(()) } else { Err(HeadError::Host) }
}

/// Whether every CR stands before an LF and every LF behind a CR, and whether there is any other control byte (behind the first byte, which is
/// a method's). Once over everything without a branch, which the compiler turns into vector instructions.
fn survey(text: &[u8]) -> (bool, bool) {
    let others = text.get(1..).unwrap_or_default();
    let (mut apart, mut control) = (false, false);
    for (&before, &byte) in text.iter().zip(others) {
        apart |= (before == b'\r') ^ (byte == b'\n');
        control |= (byte < b' ') & (byte != b'\t') & (byte != b'\r') & (byte != b'\n') | (byte == 0x7f);
    }
    let lone = text.first() == Some(&b'\n') || text.last() == Some(&b'\r');
    (!apart && !lone, control)
}

/// Checks the fields of an HTTP/2 request. Framing is the protocol's own there; sizes and the authority remain.
pub fn check_http2(method: &Method, headers: &HeaderMap, authority: Option<&str>, bytes_max: usize) -> Result<(), HeadError> {
    if !is_method(method.as_str().as_bytes()) {
        return Err(HeadError::Method);
    }
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if size > bytes_max {
        return Err(HeadError::TooLarge(bytes_max));
    }
    if headers.values().any(|value| value.as_bytes().iter().any(|&b| is_control(b))) {
        return Err(HeadError::ControlByte);
    }
    // Malformed (RFC 9113 §8.2.1); in HTTP/1, in which it goes on, it would be gone.
    if headers.values().any(|value| value.as_bytes().trim_ascii().len() != value.len()) {
        return Err(HeadError::Whitespace);
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let plain = lengths.next().is_none_or(|value| is_length(value.as_bytes()));
    if !plain || lengths.next().is_some() {
        return Err(HeadError::Length);
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().map(|value| value.as_bytes());
    let valid = authority.map(str::as_bytes).into_iter().chain(host).all(is_host);
    let agree = host.is_none_or(|host| authority.is_none_or(|authority| authority.as_bytes() == host));
    if valid && agree && hosts.next().is_none() && (host.is_some() || authority.is_some()) {
        Ok(())
    } else {
        Err(HeadError::Host)
    }
}

/// Checks what follows the `?` of a request target.
pub fn check_query(target: &[u8]) -> Result<(), HeadError> {
    let query = memchr(b'?', target).map_or(&[][..], |at| &target[at + 1..]);
    if query.iter().all(u8::is_ascii_graphic) { Ok(()) } else { Err(HeadError::Query) }
}

/// Whether SigV4 covers a header: Content-Type and everything that begins with `x-amz-`. Host is signed too, but is written anew.
pub fn is_signed(name: &str) -> bool {
    name == "content-type" || name.starts_with("x-amz-")
}

/// Checks the headers that SigV4 covers.
pub fn check_signable(headers: &HeaderMap) -> Result<(), HeadError> {
    let plain = headers.iter().all(|(name, value)| !is_signed(name.as_str()) || value.to_str().is_ok());
    if plain { Ok(()) } else { Err(HeadError::NotSignable) }
}

/// Checks that `X-Amz-Target`, which names the operation and goes on as it came, names one.
pub fn check_target(headers: &HeaderMap) -> Result<(), HeadError> {
    let mut targets = headers.get_all("x-amz-target").iter();
    let one = targets.next().is_none_or(|target| !target.as_bytes().contains(&b','));
    if one && targets.next().is_none() { Ok(()) } else { Err(HeadError::Target) }
}

/// Checks that `aws-endpoint-prefix`, which names the service, is there once at most.
pub fn check_endpoint_prefix(headers: &HeaderMap) -> Result<(), HeadError> {
    match headers.get_all("aws-endpoint-prefix").iter().nth(1) {
        None => Ok(()),
        Some(_) => Err(HeadError::EndpointPrefix),
    }
}

/// Takes a head apart, and forgets how the client spelled the names: Pingora keeps that in a second map, which makes every change to the
/// headers cost twice. To Bedrock, as to anybody, case does not matter there (RFC 9110 §5.1).
pub fn without_case(request: &mut RequestHeader) -> Parts {
    let nothing = Request::new(()).into_parts().0;
    mem::replace(request, nothing.into()).into()
}

#[derive(Default)]
struct Facts {
    /// There is a control byte somewhere; in which field is still to be found.
    any_control: bool,
    lengths: u32,
    encodings: u32,
    hosts: u32,
    nominations: usize,
}

fn check_request_line(line: &[u8]) -> Result<(), HeadError> {
    let mut words = line.split(|&b| b == b' ');
    let method = words.next().is_some_and(is_method);
    let target = words
        .next()
        .is_some_and(|target| target.starts_with(b"/") && !target.iter().any(|&b| is_control(b) || matches!(b, b'\t' | b'#')));
    let version = words.next().is_some_and(|version| matches!(version, b"HTTP/1.1" | b"HTTP/1.0"));
    match (method, target && version && words.next().is_none()) {
        (true, true) => Ok(()),
        (false, true) => Err(HeadError::Method),
        _ => Err(HeadError::RequestLine),
    }
}

fn check_field(line: &[u8], facts: &mut Facts) -> Result<(), HeadError> {
    if line.first().is_some_and(|b| matches!(b, b' ' | b'\t')) {
        return Err(HeadError::Folded);
    }
    let colon = memchr(b':', line).ok_or(HeadError::Name)?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if name.is_empty() || !name.iter().fold(true, |token, &b| token & is_token(b)) {
        return Err(HeadError::Name);
    }
    if facts.any_control && value.iter().any(|&b| is_control(b)) {
        return Err(HeadError::ControlByte);
    }
    if name.eq_ignore_ascii_case(b"content-length") {
        facts.lengths += 1;
        return if is_length(value) { Ok(()) } else { Err(HeadError::Length) };
    }
    if name.eq_ignore_ascii_case(b"transfer-encoding") {
        facts.encodings += 1;
        return if value.eq_ignore_ascii_case(b"chunked") { Ok(()) } else { Err(HeadError::Length) };
    }
    if name.eq_ignore_ascii_case(b"connection") {
        facts.nominations += check_nominations(value)?;
        return if facts.nominations > NOMINATIONS_MAX { Err(HeadError::Nominated) } else { Ok(()) };
    }
    if name.eq_ignore_ascii_case(b"host") {
        facts.hosts += 1;
        return if is_host(value) { Ok(()) } else { Err(HeadError::Host) };
    }
    Ok(())
}

/// Those of AWS's APIs, and what browsers ask before them.
fn is_method(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"POST" | b"PUT" | b"PATCH" | b"DELETE" | b"OPTIONS")
}

/// Of all `Connection` lines together: no client has a use for more.
const NOMINATIONS_MAX: usize = 9;

/// How many names a `Connection` line has, if it takes away nothing that identity, route, policy, price, framing or signature are read
/// from. What is named there does not go upstream; that is done after all of this is decided.
fn check_nominations(value: &[u8]) -> Result<usize, HeadError> {
    const DECIDING: [&[u8]; 7] =
        [b"host", b"authorization", b"x-api-key", b"aws-endpoint-prefix", b"content-length", b"content-type", b"expect"];
    // `x-amz-target` and `x-amzn-bedrock-service-tier` alike. Forwarding headers tell who came by which way.
    const PREFIXES: [&[u8]; 2] = [b"x-amz", b"x-forwarded-"];
    let begins_with =
        |name: &[u8], prefix: &[u8]| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let mut count = 0;
    for name in value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()) {
        let decides = DECIDING.iter().any(|deciding| name.eq_ignore_ascii_case(deciding))
            || PREFIXES.iter().any(|prefix| begins_with(name, prefix));
        if decides || !name.iter().all(|&b| is_token(b)) {
            return Err(HeadError::Nominated);
        }
        count += 1;
    }
    Ok(count)
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"!#$%&'*+-.^_`|~";
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
};

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

fn is_length(value: &[u8]) -> bool {
    !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit)
}

/// A registered name or an address, and a port: no user, no path, no list.
fn is_host(value: &[u8]) -> bool {
    let (name, port) = match memrchr(b':', value) {
        Some(colon) if memchr(b']', &value[colon..]).is_none() => (&value[..colon], &value[colon + 1..]),
        _ => (value, &b""[..]),
    };
    let address = name.strip_prefix(b"[").and_then(|name| name.strip_suffix(b"]"));
    let name_is_valid = match address {
        Some(address) => address.iter().all(|&b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')),
        None => name.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')),
    };
    !name.is_empty() && name_is_valid && port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &str) -> Result<(), HeadError> {
        check_http1(format!("{head}\r\n\r\n").as_bytes(), 1_000)
    }

    #[test]
    fn what_clients_send_passes() {
        for head in [
            "POST /model/a%3A0/invoke?x=1 HTTP/1.1\r\nHost: localhost:8443\r\nContent-Length: 3",
            "GET / HTTP/1.1\r\nhost: [::1]:80\r\nX-Empty:\r\nx-obs: \u{e9}",
            "PUT /x HTTP/1.1\r\nHost: gw.example\r\nTransfer-Encoding: Chunked\r\nCookie: a=b; c",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, TE,,\r\nConnection: c,d,e,f,g,h, i",
        ] {
            assert_eq!(check(head), Ok(()), "{head}");
        }
    }

    #[test]
    fn what_parsers_read_differently_is_refused() {
        let with = |fields: &str| check(&format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}"));
        for (fields, error) in [
            ("Content-Length: 3\r\nTransfer-Encoding: chunked", HeadError::Length),
            ("Content-Length: 3\r\nContent-Length: 3", HeadError::Length),
            ("Content-Length: 3, 3", HeadError::Length),
            ("Content-Length: +3", HeadError::Length),
            ("Content-Length: 0x3", HeadError::Length),
            ("Content-Length:", HeadError::Length),
            ("Content-Length: 99999999999999999999", HeadError::Length),
            ("Transfer-Encoding: gzip, chunked", HeadError::Length),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", HeadError::Length),
            ("Transfer-Encoding: \x0bchunked", HeadError::ControlByte),
            ("Transfer-Encoding : chunked", HeadError::Name),
            ("X: a\r\n b", HeadError::Folded),
            ("X: a\nY: b", HeadError::LineEnd),
            ("X: a\rY: b", HeadError::LineEnd),
            ("X: a\x00b", HeadError::ControlByte),
            ("novalue", HeadError::Name),
            (": v", HeadError::Name),
            ("Host: h", HeadError::Host),
            ("Connection: close, X-Amz-Target", HeadError::Nominated),
            ("Connection: host", HeadError::Nominated),
            ("connection: X-AmZn-Bedrock-Service-Tier", HeadError::Nominated),
            ("Connection: close\r\nConnection: te, x-amzn-bedrock-guardrailidentifier", HeadError::Nominated),
            ("Connection: x-forwarded-for", HeadError::Nominated),
            ("Connection: :authority", HeadError::Nominated),
            ("Connection: close, \"te\"", HeadError::Nominated),
            ("Connection: t e", HeadError::Nominated),
            ("Connection: a,b,c,d,e,f,g,h,i,j", HeadError::Nominated),
            ("Connection: a,b,c,d,e\r\nConnection: f,,g,h,i , j", HeadError::Nominated),
        ] {
            assert_eq!(with(fields), Err(error), "{fields:?}");
        }
        for host in ["", "a,b", "a b", "a/b", "a#b", "a?b", "u@h", "h:x", "h:123456", "[::1", "h\\"] {
            assert_eq!(check(&format!("GET / HTTP/1.1\r\nHost: {host}")), Err(HeadError::Host), "{host}");
        }
        assert_eq!(check("GET / HTTP/1.1\r\nX: y"), Err(HeadError::Host));
        for line in [
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET http://h/ HTTP/1.1",
            "GET /a#b HTTP/1.1",
            "GET /?a=\x01 HTTP/1.1",
            "GET /?\x7f HTTP/1.1",
            "GET / HTTP/2.0",
        ] {
            assert_eq!(check(&format!("{line}\r\nHost: h")), Err(HeadError::RequestLine), "{line}");
        }
        for method in ["get", "TRACE", "CONNECT", "PRI", "M-SEARCH", ""] {
            assert_eq!(check(&format!("{method} / HTTP/1.1\r\nHost: h")), Err(HeadError::Method), "{method}");
        }
        assert_eq!(check(&format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "y".repeat(1000))), Err(HeadError::TooLarge(1_000)));
    }

    #[test]
    fn a_query_is_visible_ascii() {
        for target in [&b"/"[..], b"/?", b"/\xff", b"/?a=%FF&b=\"{}|^`&c"] {
            assert_eq!(check_query(target), Ok(()));
        }
        for target in [&b"/?a=\xff"[..], "/?a=é".as_bytes(), b"/?a b", b"/?a\x7f"] {
            assert_eq!(check_query(target), Err(HeadError::Query));
        }
    }

    #[test]
    fn what_names_operation_or_service_is_there_once() {
        let mut headers = HeaderMap::new();
        for (name, check) in
            [("x-amz-target", check_target as fn(&HeaderMap) -> _), ("aws-endpoint-prefix", check_endpoint_prefix)]
        {
            assert_eq!(check(&headers), Ok(()));
            headers.append(name, http::HeaderValue::from_static("bedrock"));
            assert_eq!(check(&headers), Ok(()));
            headers.append(name, http::HeaderValue::from_static("bedrock-agent"));
            assert!(check(&headers).is_err(), "{name}");
        }
    }

    #[test]
    fn http2_needs_one_authority() {
        let headers = |fields: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in fields {
                map.append(*name, http::HeaderValue::from_static(value));
            }
            map
        };
        let check =
            |fields: &[(&'static str, &'static str)], authority| check_http2(&Method::POST, &headers(fields), authority, 100);
        assert_eq!(check(&[], Some("localhost:8443")), Ok(()));
        assert_eq!(check(&[("host", "h")], Some("h")), Ok(()));
        assert_eq!(check(&[("host", "other")], Some("h")), Err(HeadError::Host));
        assert_eq!(check(&[], None), Err(HeadError::Host));
        assert_eq!(check(&[("content-length", "3"), ("content-length", "3")], Some("h")), Err(HeadError::Length));
        for value in [" a", "a ", "\ta", "a\t", " "] {
            assert_eq!(check(&[("x-amzn-bedrock-service-tier", value)], Some("h")), Err(HeadError::Whitespace), "{value:?}");
        }
        assert_eq!(check(&[("a", "b c"), ("d", "")], Some("h")), Ok(()));
        assert_eq!(check(&[("a", "0123456789012345678901234567890123456789"); 3], Some("h")), Err(HeadError::TooLarge(100)));
    }
}
