//! The operators' listener, apart from traffic: `/console`, `/metrics`, `/healthz`, `/readyz`, `/usage`. Read-only. What it shows is asked
//! of `server` through one trait, so that this module knows HTTP and nothing else.

mod pages;
mod rebinding;

use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use pingora_core::{apps::http_app::ServeHttp, protocols::http::ServerSession};

use crate::console::Figures;

/// What there is to see.
pub trait Vitals: Send + Sync + 'static {
    /// The metrics, as Prometheus scrapes them.
    fn metrics(&self) -> Result<Vec<u8>, prometheus::Error>;
    /// Why no traffic should be sent here; empty if it should.
    fn unready(&self) -> Vec<&'static str>;
    /// What all tenants used and have left, as JSON.
    fn usage(&self) -> serde_json::Result<Vec<u8>>;
    /// The same of one, if there is one of that name.
    fn usage_of(&self, tenant: &str) -> Option<serde_json::Result<Vec<u8>>>;
    /// What the console shows.
    fn figures(&self) -> Figures;
}

/// The listener's application.
#[derive(Clone)]
pub struct Admin(pub Arc<dyn Vitals>);

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET here\n");
            refusal.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        let head = request.method == Method::HEAD;
        let path = request.uri.path();
        let mut response = match path {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => match self.0.unready().as_slice() {
                [] => text(StatusCode::OK, "ready\n"),
                reasons => text(StatusCode::SERVICE_UNAVAILABLE, &format!("{}\n", reasons.join("\n"))),
            },
            // Whoever checks health may do so by any name; everything else says who spends what.
            _ if rebinding::is_rebound(session) => rebinding::refusal(),
            "/metrics" => match self.0.metrics() {
                Ok(body) => build(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body),
                Err(error) => {
                    tracing::error!(%error, "cannot render metrics");
                    text(StatusCode::INTERNAL_SERVER_ERROR, "cannot render metrics\n")
                }
            },
            "/usage" => json(self.0.usage()),
            "/" => pages::redirect(),
            _ if path.starts_with("/console") => pages::page(session, &*self.0),
            _ => match path.strip_prefix("/usage/").map(|tenant| self.0.usage_of(tenant)) {
                Some(Some(usage)) => json(usage),
                Some(None) => text(StatusCode::NOT_FOUND, "no tenant of that name\n"),
                None => text(StatusCode::NOT_FOUND, "here are /console, /metrics, /healthz, /readyz, /usage and /usage/TENANT\n"),
            },
        };
        if head {
            response.body_mut().clear();
        }
        response
    }
}

fn json(body: serde_json::Result<Vec<u8>>) -> Response<Vec<u8>> {
    body.map_or_else(
        |error| {
            tracing::error!(%error, "cannot write JSON");
            text(StatusCode::INTERNAL_SERVER_ERROR, "cannot write JSON\n")
        },
        |body| build(StatusCode::OK, "application/json", body),
    )
}

fn text(status: StatusCode, body: &str) -> Response<Vec<u8>> {
    build(status, "text/plain; charset=utf-8", body.as_bytes().to_vec())
}

fn build(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let length = body.len();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}
