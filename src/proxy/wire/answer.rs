//! The answer to a head that Pingora cannot read. It has no hook for it and answers 400 without a body, so that SDKs cannot tell who
//! refused; this one is in the words of the route, if the request line got so far.

use bytes::Bytes;

use super::beginning::Beginning;
use crate::{
    bedrock::Dialect,
    proxy::{
        Denial,
        arrival::Arrival,
        head::{HEADERS_MAX, HeadError},
        respond::{self, AWS_REQUEST_ID, OWN_REQUEST_ID, REQUEST_ID, SOURCE},
    },
};

/// Head and body; the connection closes behind it.
pub(super) fn malformed(beginning: &Beginning) -> Bytes {
    let error = if beginning.fields > HEADERS_MAX { HeadError::TooMany } else { HeadError::Unreadable };
    let (denial, id, dialect) = (Denial::Head(error), Arrival::begin().request_id, respond::dialect(beginning.path()));
    let verdict = denial.verdict();
    let (status, reason) = match verdict.status {
        431 => (431, "Request Header Fields Too Large"),
        status => (status, "Bad Request"),
    };
    let named = match dialect {
        Dialect::Aws => format!("x-amzn-ErrorType: {}", verdict.aws),
        _ => format!("{REQUEST_ID}: {id}"),
    };
    let body = respond::body(dialect, &denial, &verdict, &id);
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{SOURCE}: gateway\r\n\
         {OWN_REQUEST_ID}: {id}\r\n{AWS_REQUEST_ID}: {id}\r\n{named}\r\nx-should-retry: false\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body.to_vec()].concat().into()
}
