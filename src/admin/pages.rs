//! The console over HTTP.

use http::{HeaderName, HeaderValue, Response, StatusCode, Uri, header};

use super::{Vitals, text};
use crate::console::{Page, headers};

/// A page of the console.
pub(super) fn page(uri: &Uri, vitals: &dyn Vitals) -> Response<Vec<u8>> {
    let Some(page) = Page::of(uri.path(), uri.query().unwrap_or_default()) else {
        return text(StatusCode::NOT_FOUND, "the console has no such page; it begins at /console\n");
    };
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
