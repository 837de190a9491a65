//! The clients: what is sent, to whom, and how long it takes.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::TlsConnector;
use tollgate::aws::{Signer, Signing, canonical::push_hex};

use crate::roles::{HOST, REGION};

const EVENTS: u32 = 50;
const EVENT_DELAY_MS: u32 = 4;

/// One kind of request.
#[derive(Clone)]
pub struct Shape {
    pub name: &'static str,
    path: &'static str,
    body: Bytes,
    /// `x-simulator-…`
    wishes: Vec<(&'static str, u32)>,
    /// Connections that send at once while CPU is measured.
    pub connections: usize,
    /// Requests of one CPU figure.
    pub cpu_requests: usize,
    /// Requests of one latency figure, per round.
    pub latency_requests: usize,
}

const CONVERSE: &str = "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse";
const CONVERSE_STREAM: &str = "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse-stream";

/// The four that are measured.
pub fn shapes() -> [Shape; 4] {
    [whole("1 KB", 1_000, 3_000, 300), whole("100 KB", 100_000, 600, 60), whole("1 MB", 1_000_000, 90, 15), stream_shape()]
}

fn whole(name: &'static str, bytes: usize, cpu_requests: usize, latency_requests: usize) -> Shape {
    let body = converse_body(bytes);
    Shape { name, path: CONVERSE, body, wishes: Vec::new(), connections: 16, cpu_requests, latency_requests }
}

fn stream_shape() -> Shape {
    let wishes = vec![("x-simulator-events", EVENTS), ("x-simulator-event-delay-ms", EVENT_DELAY_MS)];
    Shape { path: CONVERSE_STREAM, wishes, ..whole("50 events", 1_000, 96, 150) }
}

/// A request to Converse of exactly that many bytes.
pub fn converse_body(bytes: usize) -> Bytes {
    let (before, after) = (r#"{"messages":[{"role":"user","content":[{"text":""#, r#""}]}]}"#);
    let text = "x".repeat(bytes.saturating_sub(before.len() + after.len()));
    Bytes::from(format!("{before}{text}{after}"))
}

impl Shape {
    /// The same with events that follow each other at once: for the time to the first one it makes no difference.
    pub fn at_once(&self) -> Shape {
        let wishes = self.wishes.iter().filter(|(name, _)| *name != "x-simulator-event-delay-ms").copied().collect();
        Shape { wishes, ..self.clone() }
    }
}

/// How a request may pass.
pub enum Access {
    /// A client of Bedrock itself.
    Signed(Arc<Signer>),
    /// A client of the gateway.
    Token(String),
}

/// Where requests go.
pub struct Target {
    pub name: &'static str,
    /// The process whose CPU and memory count.
    pub process: u32,
    address: SocketAddr,
    tls: Option<TlsConnector>,
    access: Access,
}

/// One exchange.
#[derive(Clone, Copy)]
pub struct Times {
    /// To the first byte of the response's body.
    pub first: Duration,
    /// To its last.
    pub whole: Duration,
}

pub type Connection = http1::SendRequest<Full<Bytes>>;

impl Target {
    /// `ca`: speaks TLS to whoever has a certificate of this authority.
    pub fn new(
        name: &'static str,
        process: u32,
        address: SocketAddr,
        ca: Option<&[u8]>,
        access: Access,
    ) -> anyhow::Result<Target> {
        let tls = ca.map(|ca| -> anyhow::Result<TlsConnector> {
            let mut roots = rustls::RootCertStore::empty();
            for root in CertificateDer::pem_slice_iter(ca) {
                roots.add(root?)?;
            }
            let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
            Ok(TlsConnector::from(Arc::new(config)))
        });
        Ok(Target { name, process, address, tls: tls.transpose()?, access })
    }

    /// The headers an AWS SDK sends.
    fn headers(&self, shape: &Shape) -> anyhow::Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(HOST));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers
            .insert(header::USER_AGENT, HeaderValue::from_static("Boto3/1.43.0 md/Botocore#1.43.0 ua/2.1 os/linux lang/python"));
        headers.insert("amz-sdk-invocation-id", HeaderValue::from_static("5e1b8a1e-7c1c-4f0e-9d6e-0d4a3a5f1c11"));
        headers.insert("amz-sdk-request", HeaderValue::from_static("attempt=1; max=5"));
        for (name, value) in &shape.wishes {
            headers.insert(*name, (*value).into());
        }
        match &self.access {
            Access::Token(token) => {
                headers.insert(header::AUTHORIZATION, format!("Bearer {token}").try_into()?);
            }
            Access::Signed(signer) => {
                let mut body_sha256 = String::new();
                push_hex(&mut body_sha256, aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &shape.body).as_ref());
                let signing = Signing {
                    method: "POST",
                    path: shape.path,
                    query: "",
                    headers: &[("host", HOST), ("content-type", "application/json")],
                    body_sha256: &body_sha256,
                    region: REGION,
                    service: "bedrock",
                };
                let signed = signer.sign(&signing, SystemTime::now())?;
                headers.insert(header::AUTHORIZATION, signed.authorization);
                headers.insert("x-amz-date", signed.date);
                headers.extend(signed.security_token.map(|token| (http::HeaderName::from_static("x-amz-security-token"), token)));
            }
        }
        Ok(headers)
    }

    fn request(&self, shape: &Shape) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::post(shape.path).body(Full::new(shape.body.clone()))?;
        *request.headers_mut() = self.headers(shape)?;
        Ok(request)
    }
}

/// Opens so many connections.
pub async fn connect(target: &Target, connections: usize) -> anyhow::Result<Vec<Connection>> {
    let mut opened = Vec::with_capacity(connections);
    for _ in 0..connections {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        opened.push(match &target.tls {
            Some(tls) => handshake(tls.connect(ServerName::try_from(HOST)?, stream).await?).await?,
            None => handshake(stream).await?,
        });
    }
    Ok(opened)
}

async fn handshake(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> anyhow::Result<Connection> {
    let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(driver);
    Ok(sender)
}

/// Sends one request and reads the answer to its end.
pub async fn exchange(connection: &mut Connection, target: &Target, shape: &Shape) -> anyhow::Result<Times> {
    send(connection, target.request(shape)?).await
}

async fn send(connection: &mut Connection, request: Request<Full<Bytes>>) -> anyhow::Result<Times> {
    connection.ready().await?;
    let began = Instant::now();
    let mut body = begin(connection, request).await?;
    let mut first = None;
    while let Some(frame) = body.frame().await {
        frame?;
        first.get_or_insert_with(|| began.elapsed());
    }
    let whole = began.elapsed();
    Ok(Times { first: first.unwrap_or(whole), whole })
}

async fn begin(connection: &mut Connection, request: Request<Full<Bytes>>) -> anyhow::Result<Incoming> {
    connection.ready().await?;
    let response = connection.send_request(request).await?;
    anyhow::ensure!(response.status() == 200, "{response:?}");
    Ok(response.into_body())
}

/// Spreads `requests` over the connections, each of which sends the next when the last is answered.
pub async fn closed_loop(
    connections: &mut Vec<Connection>,
    target: &Target,
    shape: &Shape,
    requests: usize,
) -> anyhow::Result<()> {
    let mut clients = JoinSet::new();
    let each = requests.div_ceil(connections.len().max(1));
    let request = target.request(shape)?;
    for mut connection in connections.drain(..) {
        let request = request.clone();
        clients.spawn(async move {
            for _ in 0..each {
                send(&mut connection, request.clone()).await?;
            }
            anyhow::Ok(connection)
        });
    }
    while let Some(client) = clients.join_next().await {
        connections.push(client??);
    }
    Ok(())
}

/// Begins a stream whose second half never comes.
pub async fn begin_stream(connection: &mut Connection, target: &Target) -> anyhow::Result<Incoming> {
    let mut request = target.request(&stream_shape().at_once())?;
    request.headers_mut().insert("x-simulator-stall", HeaderValue::from_static("mid-stream"));
    let mut body = begin(connection, request).await?;
    body.frame().await.context("the stream ended")??;
    Ok(body)
}
