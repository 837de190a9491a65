//! The operators' listener, apart from traffic: `/console`, `/metrics`, `/healthz`, `/readyz`, `/usage`. Read-only. What it shows is asked
//! of `server` through one trait, so that this module knows HTTP and nothing else.

mod pages;
mod rebinding;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, Response, StatusCode, Uri, header};
use pingora_core::{apps::http_app::ServeHttp, protocols::http::ServerSession};
use tokio::sync::Mutex;

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
pub struct Admin {
    vitals: Arc<dyn Vitals>,
    /// Pages of all tenants are made one after another: they are work, and nobody's requests are to wait for it.
    turn: Arc<Mutex<()>>,
}

impl Admin {
    /// Shows these.
    pub fn new(vitals: impl Vitals) -> Admin {
        Admin { vitals: Arc::new(vitals), turn: Arc::default() }
    }

    /// What is made of figures, on another thread than those that serve traffic.
    async fn beside(&self, make: impl FnOnce(&dyn Vitals) -> Response<Vec<u8>> + Send + 'static) -> Response<Vec<u8>> {
        let vitals = self.vitals.clone();
        tokio::task::spawn_blocking(move || make(&*vitals)).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a page was not made");
            text(StatusCode::INTERNAL_SERVER_ERROR, "cannot make the page\n")
        })
    }
}

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
            "/readyz" => match self.vitals.unready().as_slice() {
                [] => text(StatusCode::OK, "ready\n"),
                reasons => text(StatusCode::SERVICE_UNAVAILABLE, &format!("{}\n", reasons.join("\n"))),
            },
            // Whoever checks health may do so by any name; everything else says who spends what.
            _ if rebinding::is_rebound(session) => rebinding::refusal(),
            "/metrics" => self.beside(metrics).await,
            "/" => pages::redirect(),
            _ => {
                let (turn, uri) = (self.turn.clone().lock_owned().await, request.uri.clone());
                // Its turn lasts as long as the work, whether or not somebody is left who wants the page.
                let make = move |vitals: &dyn Vitals| {
                    let _turn = turn;
                    figures(&uri, vitals)
                };
                self.beside(make).await
            }
        };
        if head {
            response.body_mut().clear();
        }
        response
    }
}

fn metrics(vitals: &dyn Vitals) -> Response<Vec<u8>> {
    match vitals.metrics() {
        Ok(body) => build(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body),
        Err(error) => {
            tracing::error!(%error, "cannot render metrics");
            text(StatusCode::INTERNAL_SERVER_ERROR, "cannot render metrics\n")
        }
    }
}

fn figures(uri: &Uri, vitals: &dyn Vitals) -> Response<Vec<u8>> {
    let path = uri.path();
    match path {
        "/usage" => json(vitals.usage()),
        _ if path.starts_with("/console") => pages::page(uri, vitals),
        _ => match path.strip_prefix("/usage/").map(|tenant| vitals.usage_of(tenant)) {
            Some(Some(usage)) => json(usage),
            Some(None) => text(StatusCode::NOT_FOUND, "no tenant of that name\n"),
            None => text(StatusCode::NOT_FOUND, "here are /console, /metrics, /healthz, /readyz, /usage and /usage/TENANT\n"),
        },
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
