//! A collector, as OTLP over HTTP has it: <https://opentelemetry.io/docs/specs/otlp/#otlphttp>. One request a batch, in protobuf.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use prost::Message;
use reqwest::{Certificate, Client, Response, StatusCode, Url, redirect};
use secrecy::ExposeSecret;

use crate::{
    config::{Traces, contents},
    telemetry::{
        otlp::{
            ExportTraceServiceRequest, ExportTraceServiceResponse, InstrumentationScope, KeyValue, Resource, ResourceSpans,
            ScopeSpans, Span,
        },
        with_causes,
    },
};

/// Where spans go if the endpoint says no more than a host.
const PATH: &str = "/v1/traces";

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Where spans are sent, and in whose name.
pub(super) struct Collector {
    client: Client,
    url: Url,
    headers: HeaderMap,
    resource: Resource,
}

/// Why a collector did not take a batch. The text has no URL in it, which may be a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The same batch may find it better disposed.
    #[error("{reason}")]
    Temporary { reason: String, wait: Option<Duration> },
    /// It will not take it.
    #[error("it answers {status}")]
    Final { status: StatusCode },
}

impl Collector {
    pub(super) fn new(traces: &Traces) -> anyhow::Result<Collector> {
        let mut url = Url::parse(&traces.endpoint).context("traces.endpoint")?;
        if url.path() == "/" {
            url.set_path(PATH);
        }
        let mut headers = HeaderMap::new();
        for (name, secret) in &traces.headers {
            let value = secret.read().with_context(|| format!("traces.headers.{name}"))?;
            let mut value = HeaderValue::from_str(value.expose_secret()).with_context(|| format!("traces.headers.{name}"))?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_bytes(name.as_bytes())?, value);
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        Ok(Collector { client: client(traces, &url)?, url, headers, resource: resource(traces) })
    }

    /// A batch, as it is sent.
    pub(super) fn batch(&self, spans: Vec<Span>) -> Bytes {
        let scope = InstrumentationScope { name: "tollgate".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
        let resource_spans = vec![ResourceSpans { resource: Some(self.resource.clone()), scope_spans }];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
    }

    /// Sends a batch; gives how many of its spans the collector did not take.
    pub(super) async fn send(&self, batch: Bytes) -> Result<usize, Refusal> {
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(batch);
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if status.is_success() {
            return Ok(rejected(response).await);
        }
        match status.as_u16() {
            // Those that the specification names, and no others.
            429 | 502 | 503 | 504 => {
                Err(Refusal::Temporary { reason: format!("it answers {status}"), wait: retry_after(&response) })
            }
            _ => Err(Refusal::Final { status }),
        }
    }
}

fn client(traces: &Traces, url: &Url) -> anyhow::Result<Client> {
    // Without a provider reqwest panics.
    crate::server::install_crypto();
    let builder =
        Client::builder().redirect(redirect::Policy::none()).user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")));
    let mut builder = builder.timeout(Duration::from_secs(traces.export_seconds_max));
    if url.scheme() == "http" {
        // It is near, and headers may be secrets: not through a proxy that the environment names.
        builder = builder.no_proxy();
    }
    if let Some(file) = &traces.ca_file {
        let bundle = contents(file).with_context(|| format!("cannot read {}", file.display()))?;
        builder = builder.tls_certs_only(Certificate::from_pem_bundle(&bundle).with_context(|| file.display().to_string())?);
    }
    Ok(builder.build()?)
}

fn resource(traces: &Traces) -> Resource {
    let own = [
        ("service.name", traces.service_name.as_str()),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.name", "tollgate"),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ];
    let own =
        own.into_iter().filter(|(key, _)| !traces.resource.contains_key(*key)).map(|(key, value)| KeyValue::new(key, value));
    let more = traces.resource.iter().map(|(key, value)| KeyValue::new(key.as_str(), value.as_str()));
    Resource { attributes: own.chain(more).collect() }
}

/// Whatever cannot be read of a good answer is no complaint.
async fn rejected(mut response: Response) -> usize {
    let mut answer = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        if answer.len() + piece.len() > ANSWER_BYTES_MAX {
            return 0;
        }
        answer.extend_from_slice(&piece);
    }
    let answer = ExportTraceServiceResponse::decode(answer.as_slice()).unwrap_or_default();
    answer.partial_success.map_or(0, |partial| usize::try_from(partial.rejected_spans).unwrap_or(0))
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

fn unreachable(error: reqwest::Error) -> Refusal {
    Refusal::Temporary { reason: with_causes(&error.without_url()), wait: None }
}
