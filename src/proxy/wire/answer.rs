//! The answer to a head that Pingora cannot read. It has no hook for it and answers 400 without a body, so that SDKs cannot tell who
//! refused; which dialect the client speaks is not known either, so this is AWS's.

use bytes::Bytes;

const BODY: &str = r#"{"__type":"ValidationException","message":"The request line or a header is malformed."}"#;

/// Head and body; the connection closes behind it.
pub(super) fn malformed() -> Bytes {
    let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nx-amzn-ErrorType: ValidationException\r\n\
                x-tollgate-source: gateway\r\nx-should-retry: false\r\nConnection: close\r\n";
    Bytes::from(format!("{head}Content-Length: {}\r\n\r\n{BODY}", BODY.len()))
}
