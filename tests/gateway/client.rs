//! Clients: hyper's over HTTP/1.1 and HTTP/2, plaintext and TLS, and bare sockets for what hyper would never send.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::harness::within;

/// One connection. Dropping it closes it.
pub struct Client {
    sender: Sender,
    driver: tokio::task::JoinHandle<()>,
    /// Goes into `Authorization`; empty: none.
    pub authorization: String,
}

enum Sender {
    H1(http1::SendRequest<Upload>),
    H2(http2::SendRequest<Upload>),
}

impl Client {
    pub async fn h1(address: SocketAddr, authorization: String) -> Client {
        Client::try_h1(address, authorization).await.unwrap()
    }

    pub async fn h2c(address: SocketAddr, authorization: String) -> Client {
        Client::try_h2c(address, authorization).await.unwrap()
    }

    /// Where the gateway may be gone.
    pub async fn try_h1(address: SocketAddr, authorization: String) -> io::Result<Client> {
        Client::http1(TcpStream::connect(address).await?, authorization).await.map_err(io::Error::other)
    }

    /// Where the gateway may be gone.
    pub async fn try_h2c(address: SocketAddr, authorization: String) -> io::Result<Client> {
        Client::http2(TcpStream::connect(address).await?, authorization).await.map_err(io::Error::other)
    }

    /// HTTP/2 by prior knowledge; takes only so many bytes of an answer that nobody reads.
    pub async fn h2c_taking(window: u32, address: SocketAddr, authorization: String) -> Client {
        Client::http2_taking(window, TcpStream::connect(address).await.unwrap(), authorization).await
    }

    /// The same over a stream of one's own.
    pub async fn http2_taking<S>(window: u32, stream: S, authorization: String) -> Client
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.initial_stream_window_size(window).handshake(TokioIo::new(stream)).await.unwrap();
        let driver = tokio::spawn(async move { drop(connection.await) });
        Client { sender: Sender::H2(sender), driver, authorization }
    }

    /// `protocol`: the one offered with ALPN.
    pub async fn tls(address: SocketAddr, ca: &str, protocol: &str, authorization: String) -> io::Result<Client> {
        let stream = tls(address, ca, protocol).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
        Ok(match protocol {
            "h2" => Client::http2(stream, authorization).await.map_err(io::Error::other)?,
            _ => Client::http1(stream, authorization).await.map_err(io::Error::other)?,
        })
    }

    /// HTTP/1.1 over a stream of one's own.
    pub async fn http1<S>(stream: S, authorization: String) -> hyper::Result<Client>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Client { sender: Sender::H1(sender), driver, authorization })
    }

    /// HTTP/2 over a stream of one's own.
    pub async fn http2<S>(stream: S, authorization: String) -> hyper::Result<Client>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Client { sender: Sender::H2(sender), driver, authorization })
    }

    /// Whether it can send: false once the other side has said that it closes, or has closed.
    pub async fn is_ready(&mut self) -> bool {
        match &mut self.sender {
            Sender::H1(sender) => within(sender.ready()).await.is_ok(),
            Sender::H2(sender) => within(sender.ready()).await.is_ok(),
        }
    }

    /// Closes it when its last answer has ended.
    #[allow(dead_code, reason = "for tests/account")]
    pub fn let_go(mut self) {
        self.driver = tokio::spawn(async {});
    }

    /// Sends a request and waits for the head of its answer.
    pub async fn send(&mut self, mut request: Request<Upload>) -> hyper::Result<Response<Incoming>> {
        if !self.authorization.is_empty() && !request.headers().contains_key(header::AUTHORIZATION) {
            request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::try_from(&self.authorization).unwrap());
        }
        match &mut self.sender {
            Sender::H1(sender) => {
                request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static("localhost"));
                within(async {
                    sender.ready().await?;
                    sender.send_request(request).await
                })
                .await
            }
            Sender::H2(sender) => {
                let host = request.headers_mut().remove(header::HOST);
                let host = host.as_ref().map_or("localhost", |host| host.to_str().unwrap());
                let target = request.uri().path_and_query().unwrap().as_str();
                *request.uri_mut() = format!("https://{host}{target}").parse().unwrap();
                within(async {
                    sender.ready().await?;
                    sender.send_request(request).await
                })
                .await
            }
        }
    }

    /// Sends a request and reads its whole answer.
    pub async fn ask(&mut self, request: Request<Upload>) -> Answer {
        let response = self.send(request).await.unwrap();
        Answer::read(response).await.unwrap()
    }

    pub async fn post(&mut self, target: &str, body: impl Into<Bytes>) -> Answer {
        self.ask(post(target, body)).await
    }

    pub async fn get(&mut self, target: &str) -> Answer {
        let request = Request::builder().method(Method::GET).uri(target).body(Upload::none()).unwrap();
        self.ask(request).await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A POST of JSON whose length is known.
pub fn post(target: &str, body: impl Into<Bytes>) -> Request<Upload> {
    post_upload(target, Upload::whole(body.into()))
}

pub fn post_upload(target: &str, upload: Upload) -> Request<Upload> {
    Request::builder().method(Method::POST).uri(target).header(header::CONTENT_TYPE, "application/json").body(upload).unwrap()
}

/// The same request with one header more.
pub fn with(mut request: Request<Upload>, name: &str, value: &str) -> Request<Upload> {
    let name = HeaderName::try_from(name).unwrap();
    request.headers_mut().append(name, HeaderValue::try_from(value).unwrap());
    request
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub async fn read(response: Response<Incoming>) -> hyper::Result<Answer> {
        let (head, body) = response.into_parts();
        let body = within(body.collect()).await?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// 200, and answered by Bedrock.
    #[track_caller]
    pub fn assert_served(&self) {
        assert_eq!((self.status, self.header("x-tollgate-source")), (200, "bedrock"), "{self:?}");
    }

    /// Refused by the gateway with this status and AWS exception.
    #[track_caller]
    pub fn assert_refused(&self, status: u16, exception: &str) {
        let got = (self.status, self.header("x-amzn-errortype"), self.header("x-tollgate-source"));
        assert_eq!(got, (status, exception, "gateway"), "{self:?}");
    }
}

/// A request body: whole, in pieces without a length, or fed by the test.
pub struct Upload {
    pieces: mpsc::UnboundedReceiver<Bytes>,
    length: Option<u64>,
}

impl Upload {
    pub fn none() -> Upload {
        Upload::whole(Bytes::new())
    }

    pub fn whole(bytes: Bytes) -> Upload {
        let length = bytes.len() as u64;
        Upload { length: Some(length), ..Upload::in_pieces(bytes, 1 << 20) }
    }

    /// Without a length.
    pub fn in_pieces(bytes: Bytes, size: usize) -> Upload {
        let (feed, upload) = Upload::fed(None);
        let mut rest = bytes;
        while !rest.is_empty() {
            feed.send(rest.split_to(size.min(rest.len()))).unwrap();
        }
        upload
    }

    /// Goes on as long as the sender lives.
    pub fn fed(length: Option<u64>) -> (mpsc::UnboundedSender<Bytes>, Upload) {
        let (feed, pieces) = mpsc::unbounded_channel();
        (feed, Upload { pieces, length })
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.pieces.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.length == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

pub async fn tls(address: SocketAddr, ca: &str, protocol: &str) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// GET over a connection of its own: status and text.
pub async fn get(address: SocketAddr, path: &str) -> Result<(u16, String), Box<dyn std::error::Error>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    let driver = tokio::spawn(async move { drop(connection.await) });
    let request = Request::builder().uri(path).header(header::HOST, "localhost").body(Empty::<Bytes>::new())?;
    let response = within(sender.send_request(request)).await?;
    let status: StatusCode = response.status();
    let body = within(response.into_body().collect()).await?.to_bytes();
    driver.abort();
    Ok((status.as_u16(), String::from_utf8(body.to_vec())?))
}

/// A bare socket.
pub struct Raw(pub TcpStream);

impl Raw {
    pub async fn connect(address: SocketAddr) -> Raw {
        Raw(TcpStream::connect(address).await.unwrap())
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.0.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Reads until what was read contains `mark`.
    pub async fn read_until(&mut self, mark: &str) -> String {
        let mut read = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&read);
            if text.contains(mark) {
                return text.into_owned();
            }
            let mut piece = [0; 16 * 1024];
            let length = within(self.0.read(&mut piece)).await.unwrap_or(0);
            assert!(length > 0, "the connection ended before {mark:?}: {text}");
            read.extend_from_slice(&piece[..length]);
        }
    }

    /// An answer with a Content-Length, and nothing after it.
    pub async fn read_answer(&mut self) -> String {
        let mut answer = self.read_until("\r\n\r\n").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let mut rest = vec![0; length.expect("a length") - body.len()];
        within(self.0.read_exact(&mut rest)).await.unwrap();
        answer.push_str(&String::from_utf8(rest).unwrap());
        answer
    }

    /// Everything until the other side closes; what came before a reset counts.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let mut read = Vec::new();
        let _ = within(self.0.read_to_end(&mut read)).await;
        read
    }
}
