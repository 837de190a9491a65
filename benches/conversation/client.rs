//! The client of one conversation: signs its head and each of its events as SDKs do, and waits for their echoes.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use anyhow::Context as _;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use http_body_util::BodyExt;
use hyper::{
    body::{Body, Frame, Incoming},
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::mpsc,
};
use tokio_rustls::TlsConnector;
use tollgate::aws::{
    EventChain, Signer, Signing,
    event_chain::Hashed,
    event_stream::{Splitter, text_frame},
    received::SIGNED_EVENTS,
};

use crate::roles::{HOST, REGION};

const PATH: &str = "/model/amazon.nova-sonic-v1%3A0/invoke-with-bidirectional-stream";
const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";
const SERVICE: &str = "bedrock";

/// Where a conversation goes, and what it may pass with.
pub struct Target {
    pub name: &'static str,
    /// The process whose CPU counts.
    pub process: u32,
    pub address: SocketAddr,
    pub tls: Option<TlsConnector>,
    /// Signs the head, and the events in any case.
    pub signer: Arc<Signer>,
    /// Goes in place of the head's signature; the events are signed with placeholder keys then.
    pub token: Option<String>,
}

/// What is said, again and again.
pub struct Spoken(Bytes);

impl Spoken {
    /// An event with so many bytes in it.
    pub fn new(bytes: usize) -> Spoken {
        let payload = format!("{{\"bytes\":\"{}\"}}", STANDARD.encode(vec![0xA5; bytes]));
        let headers = [(":event-type", "chunk"), (":content-type", "application/json"), (":message-type", "event")];
        Spoken(text_frame(&headers, payload.as_bytes()))
    }
}

/// A conversation that is open, on a connection of its own.
pub struct Stream {
    feed: mpsc::UnboundedSender<Bytes>,
    chain: EventChain,
    event: Bytes,
    answer: Incoming,
    frames: Splitter,
    /// Dropping it would be fine for HTTP/2, but not for whoever is to see the end.
    _sender: SendRequest<Said>,
}

/// A request's body.
struct Said(mpsc::UnboundedReceiver<Bytes>);

impl Body for Said {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

impl Stream {
    /// Connects, and waits for the head of the answer.
    pub async fn open(target: &Target, spoken: &Spoken) -> anyhow::Result<Stream> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let mut sender = match &target.tls {
            Some(tls) => handshake(tls.connect(HOST.try_into()?, stream).await?).await?,
            None => handshake(stream).await?,
        };
        let (feed, said) = mpsc::unbounded_channel();
        let (headers, seed) = target.head()?;
        let mut request = Request::post(format!("https://{HOST}{PATH}")).body(Said(said))?;
        *request.headers_mut() = headers;
        let response = sender.send_request(request).await?;
        anyhow::ensure!(response.status() == 200, "{}: {response:?}", target.name);
        let chain = EventChain::new(target.signer.clone(), REGION, SERVICE, seed);
        let (event, frames) = (spoken.0.clone(), Splitter::new(usize::MAX));
        Ok(Stream { feed, chain, event, answer: response.into_body(), frames, _sender: sender })
    }

    /// Says one event.
    pub fn say(&mut self) -> anyhow::Result<()> {
        self.send(self.event.clone())
    }

    fn send(&mut self, event: Bytes) -> anyhow::Result<()> {
        let mut signed = BytesMut::new();
        self.chain.put(&mut signed, &Hashed::new(event), SystemTime::now());
        self.feed.send(signed.freeze()).context("nobody takes events")
    }

    /// Waits for one echo.
    pub async fn hear(&mut self) -> anyhow::Result<()> {
        while self.frames.next_frame()?.is_none() {
            let frame = self.answer.frame().await.context("the answer ended")??;
            if let Some(data) = frame.data_ref() {
                self.frames.push(data.clone());
            }
        }
        Ok(())
    }

    /// Says that it is over, and reads to the end.
    pub async fn close(mut self) -> anyhow::Result<()> {
        self.send(Bytes::new())?;
        drop(self.feed);
        while let Some(frame) = self.answer.frame().await {
            frame?;
        }
        Ok(())
    }
}

async fn handshake(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> anyhow::Result<SendRequest<Said>> {
    let (sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(driver);
    Ok(sender)
}

impl Target {
    /// The headers, and the signature with which the chain of events begins.
    fn head(&self) -> anyhow::Result<(HeaderMap, [u8; 32])> {
        let hash = HeaderName::from_static("x-amz-content-sha256");
        let signed_headers = [("content-type", EVENT_STREAM), ("host", HOST), (hash.as_str(), SIGNED_EVENTS)];
        let signing = Signing {
            method: "POST",
            path: PATH,
            query: "",
            headers: &signed_headers,
            body_sha256: SIGNED_EVENTS,
            region: REGION,
            service: SERVICE,
        };
        let signed = self.signer.sign(&signing, SystemTime::now())?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
        headers.insert(hash, HeaderValue::from_static(SIGNED_EVENTS));
        // Nothing but echoes.
        headers.insert("x-simulator-usage-every", HeaderValue::from_static("1000000000"));
        match &self.token {
            Some(token) => drop(headers.insert(header::AUTHORIZATION, format!("Bearer {token}").try_into()?)),
            None => {
                headers.insert(header::AUTHORIZATION, signed.authorization);
                headers.insert("x-amz-date", signed.date);
                headers.extend(signed.security_token.map(|token| (HeaderName::from_static("x-amz-security-token"), token)));
            }
        }
        Ok((headers, signed.signature))
    }
}
