//! The head of Bedrock's answer on its way from one hop to the next: what concerns the hop behind alone is gone, and an answer whose end two
//! parsers could see differently, or that is no answer, is refused (RFC 9110 §§7.6.1, 7.8, 8.6; RFC 9112 §§2.3, 6.1). All other fields stay as
//! they came.

use http::{HeaderMap, HeaderName, Method, Version, header};
use pingora_error::Result;
use pingora_http::ResponseHeader;

use super::body::content_length;

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// How the gateway and its client find the end of a body: of the hop too, but not for `Connection` to take away.
static FRAMING: [HeaderName; 2] = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING];

/// Why an answer cannot be passed on, if it cannot.
pub fn fault(response: &ResponseHeader) -> Option<&'static str> {
    if response.status == http::StatusCode::SWITCHING_PROTOCOLS {
        return Some("it switches to a protocol that nobody asked for");
    }
    let mut codings = response.headers.get_all(header::TRANSFER_ENCODING).iter();
    let first = codings.next()?;
    let chunked = first.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    // HTTP/1.0 has no codings: who sends one counts its bytes in another way than it says.
    let readable = chunked && response.version >= Version::HTTP_11;
    (!readable).then_some("it has a Transfer-Encoding other than chunked")
}

/// Makes the head one of this hop's: its version is the gateway's, its length is said once.
pub fn cross(response: &mut ResponseHeader) -> Result<()> {
    if response.version < Version::HTTP_11 {
        response.set_version(Version::HTTP_11);
    }
    for name in of_the_hop_behind(response) {
        response.remove_header(&name);
    }
    let mut lengths = response.headers.get_all(header::CONTENT_LENGTH).iter();
    if let Some(first) = lengths.next()
        && (lengths.next().is_some() || first.as_bytes().contains(&b','))
    {
        // Pingora has refused those that differ.
        let once = first.as_bytes().split(|&byte| byte == b',').next().unwrap_or_default().trim_ascii().to_vec();
        response.insert_header(header::CONTENT_LENGTH, once)?;
    }
    Ok(())
}

/// Whether the head of a final answer is all of it (RFC 9112 §6.3).
pub fn is_whole(method: &Method, response: &ResponseHeader) -> bool {
    let chunked = response.headers.contains_key(header::TRANSFER_ENCODING);
    let empty = !chunked && content_length(&response.headers) == Some(0);
    let bodiless = *method == Method::HEAD || matches!(response.status.as_u16(), 204 | 304);
    !response.status.is_informational() && (bodiless || empty)
}

fn of_the_hop_behind(response: &ResponseHeader) -> Vec<HeaderName> {
    let headers = &response.headers;
    let known = [&header::CONNECTION, &KEEP_ALIVE, &header::PROXY_AUTHENTICATE, &PROXY_CONNECTION, &header::TE, &header::UPGRADE];
    let all = nominated(headers).filter(|name| !FRAMING.contains(name)).chain(known.into_iter().cloned());
    all.filter(|name| headers.contains_key(name)).collect()
}

/// The fields that `Connection` names, on either way: they are of the hop behind.
pub fn nominated(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let options = headers.get_all(header::CONNECTION).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    options.filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(version: Version, fields: &[(&'static str, &'static str)]) -> ResponseHeader {
        let mut response = ResponseHeader::build(200, None).unwrap();
        response.set_version(version);
        for (name, value) in fields {
            response.append_header(*name, *value).unwrap();
        }
        response
    }

    #[test]
    fn an_answer_is_whole_where_no_body_can_follow_its_head() {
        let with = |status: u16, fields: &[(&'static str, &'static str)]| {
            let mut response = answer(Version::HTTP_11, fields);
            response.set_status(status).unwrap();
            response
        };
        let long = [("Content-Length", "5")];
        for (method, response, expected) in [
            (Method::POST, with(200, &[("Content-Length", "0")]), true),
            (Method::DELETE, with(204, &[]), true),
            (Method::GET, with(304, &long), true),
            (Method::HEAD, with(200, &long), true),
            (Method::HEAD, with(103, &[]), false),
            (Method::POST, with(100, &[("Content-Length", "0")]), false),
            (Method::POST, with(200, &long), false),
            (Method::POST, with(200, &[]), false),
            (Method::POST, with(200, &[("Transfer-Encoding", "chunked")]), false),
            (Method::POST, with(200, &[("Transfer-Encoding", "chunked"), ("Content-Length", "0")]), false),
        ] {
            assert_eq!(is_whole(&method, &response), expected, "{method} {response:?}");
        }
    }

    #[test]
    fn what_is_of_the_hop_behind_goes_and_the_rest_stays() {
        let fields = [
            ("Connection", "keep-alive, X-Hop ,, content-length"),
            ("connection", "x-other"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "close"),
            ("Proxy-Authenticate", "Basic"),
            ("TE", "trailers"),
            ("Upgrade", "h2c"),
            ("X-Hop", "1"),
            ("X-Other", "2"),
            ("Content-Length", "3"),
            ("X-End", " b  c"),
            ("x-end", "d"),
        ];
        let mut response = answer(Version::HTTP_10, &fields);
        cross(&mut response).unwrap();
        let left: Vec<_> = response.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let mut sorted = left.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [("content-length", "3"), ("x-end", " b  c"), ("x-end", "d")]);
        assert_eq!(response.version, Version::HTTP_11);
    }

    #[test]
    fn a_length_is_said_once() {
        for fields in [&[("content-length", "202, 202")][..], &[("content-length", "202"), ("content-length", "202")]] {
            let mut response = answer(Version::HTTP_11, fields);
            cross(&mut response).unwrap();
            let lengths: Vec<_> = response.headers.get_all(header::CONTENT_LENGTH).iter().collect();
            assert_eq!(lengths, ["202"]);
        }
    }

    #[test]
    fn an_answer_whose_end_is_unclear_is_refused() {
        let coded = |version, codings: &[&'static str]| {
            fault(&answer(version, &codings.iter().map(|coding| ("transfer-encoding", *coding)).collect::<Vec<_>>()))
        };
        assert_eq!(coded(Version::HTTP_11, &[]), None);
        assert_eq!(coded(Version::HTTP_10, &[]), None);
        assert_eq!(coded(Version::HTTP_11, &["Chunked"]), None);
        for codings in
            [&["identity"][..], &["gzip, chunked"], &["chunked, chunked"], &["gzip", "chunked"], &["chunked", "chunked"], &[""]]
        {
            assert!(coded(Version::HTTP_11, codings).is_some(), "{codings:?}");
        }
        assert!(coded(Version::HTTP_10, &["chunked"]).is_some());
    }
}
