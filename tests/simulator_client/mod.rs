//! A client for the simulator's tests: hyper over rustls, requests signed by the aws-sigv4 crate.

use std::{sync::Arc, time::SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tollgate::simulator::Simulator;

pub const RUNTIME: &str = "bedrock-runtime.us-east-1.amazonaws.com";

/// What a request is signed as; tests tamper with it.
#[derive(Clone)]
pub struct Signing {
    pub access_key_id: &'static str,
    pub secret: &'static str,
    pub token: Option<&'static str>,
    pub region: &'static str,
    pub service: &'static str,
    pub time: SystemTime,
}

impl Default for Signing {
    fn default() -> Self {
        Signing {
            access_key_id: "AKIDSIMULATOR",
            secret: "simulator-secret",
            token: Some("simulator-session-token"),
            region: "us-east-1",
            service: "bedrock",
            time: SystemTime::now(),
        }
    }
}

impl Signing {
    /// A request in origin-form, signed.
    pub fn request(&self, method: &str, host: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Request<Full<Bytes>> {
        let identity =
            Identity::from(Credentials::new(self.access_key_id, self.secret, self.token.map(str::to_owned), None, "test"));
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(self.time)
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let all: Vec<(&str, &str)> = std::iter::once(("host", host)).chain(headers.iter().copied()).collect();
        let signable =
            SignableRequest::new(method, format!("https://{host}{target}"), all.iter().copied(), SignableBody::Bytes(body))
                .unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        let mut request = Request::builder().method(method).uri(target).body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        for (name, value) in all.into_iter().chain(instructions.headers()) {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        }
        request
    }
}

/// A `POST` to the runtime with the right key.
pub fn post(target: &str, headers: &[(&str, &str)], body: &[u8]) -> Request<Full<Bytes>> {
    Signing::default().request("POST", RUNTIME, target, headers, body)
}

/// TLS to the simulator under one of AWS's names.
pub async fn tls(simulator: &Simulator, alpn: &str) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(simulator.ca_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let stream = TcpStream::connect(simulator.address()).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(RUNTIME).unwrap(), stream).await.unwrap()
}

/// A connection, HTTP/1.1 over TLS.
pub struct Client(hyper::client::conn::http1::SendRequest<Full<Bytes>>);

impl Client {
    pub async fn connect(simulator: &Simulator) -> Client {
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tls(simulator, "http/1.1").await)).await.unwrap();
        tokio::spawn(connection);
        Client(sender)
    }

    pub async fn try_send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.0.ready().await?;
        self.0.send_request(request).await
    }

    /// Status, headers and the whole body.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> (StatusCode, HeaderMap, Bytes) {
        collect(self.try_send(request).await.unwrap()).await
    }

    /// Waits until the connection has been closed by the simulator.
    pub async fn closed(&mut self) {
        while self.0.ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

/// A connection, HTTP/2 over TLS.
pub async fn h2(simulator: &Simulator) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
    let io = TokioIo::new(tls(simulator, "h2").await);
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub async fn collect(response: Response<Incoming>) -> (StatusCode, HeaderMap, Bytes) {
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
}
