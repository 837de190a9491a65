//! A collector of spans on a free port. It reads what comes with the messages that OpenTelemetry publishes, and answers as it is told.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::harness::until;

pub struct Collector {
    pub address: SocketAddr,
    heard: Arc<Heard>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Heard {
    exports: Mutex<Vec<Export>>,
    answers: Mutex<VecDeque<Answer>>,
}

/// What came at once.
#[derive(Clone)]
pub struct Export {
    pub path: String,
    pub headers: HeaderMap,
    pub bytes: Bytes,
    pub request: ExportTraceServiceRequest,
}

/// What the next export is answered with.
pub enum Answer {
    Status(u16),
    /// Taken, but for so many spans.
    Rejected(i64),
    /// None.
    Silence,
}

impl Collector {
    pub async fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, heard) = (listener.local_addr().unwrap(), Arc::new(Heard::default()));
        let serving = tokio::spawn({
            let heard = heard.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let heard = heard.clone();
                    let service = service_fn(move |request| heard.clone().answer(request));
                    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                }
            }
        });
        Collector { address, heard, serving }
    }

    /// The section that has spans sent here.
    pub fn section(&self, more: &str) -> String {
        format!("[traces]\nendpoint = \"http://{}\"\n{more}\n", self.address)
    }

    pub fn answer_next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.heard.answers.lock().unwrap().extend(answers);
    }

    pub fn exports(&self) -> Vec<Export> {
        self.heard.exports.lock().unwrap().clone()
    }

    /// All spans that came, once there are so many.
    pub async fn spans(&self, count: usize) -> Vec<Span> {
        until("spans at the collector", || self.spans_now().len() >= count).await;
        self.spans_now()
    }

    pub fn spans_now(&self) -> Vec<Span> {
        let resources = self.exports().into_iter().flat_map(|export| export.request.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Heard {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let request = ExportTraceServiceRequest::decode(bytes.clone()).unwrap();
        self.exports.lock().unwrap().push(Export { path: head.uri.path().to_owned(), headers: head.headers, bytes, request });
        let answer = self.answers.lock().unwrap().pop_front();
        let (status, body) = match answer {
            None => (200, ExportTraceServiceResponse::default()),
            Some(Answer::Status(status)) => (status, ExportTraceServiceResponse::default()),
            Some(Answer::Rejected(spans)) => {
                let mut response = ExportTraceServiceResponse::default();
                let partial = response.partial_success.get_or_insert_default();
                (partial.rejected_spans, partial.error_message) = (spans, "too old".to_owned());
                (200, response)
            }
            Some(Answer::Silence) => std::future::pending().await,
        };
        Ok(Response::builder().status(status).body(Full::new(body.encode_to_vec().into())).unwrap())
    }
}

/// An attribute in words; empty if there is none of that name.
pub fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let mut found = attributes.iter().filter(|attribute| attribute.key == key);
    let value = found.next().and_then(|attribute| attribute.value.clone()?.value);
    assert!(found.next().is_none(), "{key} twice");
    match value {
        None => String::new(),
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(other) => format!("{other:?}"),
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
