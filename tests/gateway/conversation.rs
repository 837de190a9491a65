//! A client of InvokeModelWithBidirectionalStream: hyper's HTTP/2, and events signed by aws-sigv4, with placeholder keys as SDKs that carry
//! a bearer token do it, or with keys of the gateway's.

use std::{collections::VecDeque, time::SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    event_stream::{sign_empty_message, sign_message},
    sign::v4::SigningParams,
};
use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use http::{Request, header};
use http_body_util::BodyExt;
use hyper::{Response, body::Incoming};
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    client::{Client, Upload, post_upload, with},
    harness::within,
    signing,
};

pub const SONIC: &str = "/model/amazon.nova-sonic-v1%3A0/invoke-with-bidirectional-stream";

/// A chain of signed events.
pub struct Signer {
    pub last: String,
    secret_access_key: String,
}

impl Signer {
    /// Of placeholder keys.
    pub fn new() -> Signer {
        Signer::of("placeholder", &"5e".repeat(32))
    }

    /// From a head with this signature on.
    pub fn of(secret_access_key: &str, seed: &str) -> Signer {
        Signer { last: seed.to_owned(), secret_access_key: secret_access_key.to_owned() }
    }

    /// A signed event.
    pub fn sign(&mut self, event: &Message) -> Bytes {
        self.with_params(|last, params| sign_message(event, last, params).unwrap().into_parts())
    }

    /// The event that ends a stream.
    pub fn end(&mut self) -> Bytes {
        self.with_params(|last, params| sign_empty_message(last, params).unwrap().into_parts())
    }

    fn with_params(&mut self, sign: impl FnOnce(&str, &SigningParams<'_, ()>) -> (Message, String)) -> Bytes {
        let identity = Credentials::new("any", &self.secret_access_key, None, None, "test").into();
        let params = SigningParams::builder().identity(&identity).region("us-east-1").name("bedrock");
        let (message, signature) = sign(&self.last, &params.time(SystemTime::now()).settings(()).build().unwrap());
        self.last = signature;
        encoded(&message)
    }
}

pub fn encoded(message: &Message) -> Bytes {
    let mut bytes = Vec::new();
    write_message_to(message, &mut bytes).unwrap();
    bytes.into()
}

/// What an SDK puts into a `chunk`, with these bytes in it.
pub fn chunk(bytes: &[u8]) -> Message {
    let header = |name: &'static str, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    Message::new(format!("{{\"bytes\":\"{}\"}}", STANDARD.encode(bytes)))
        .add_header(header(":event-type", "chunk"))
        .add_header(header(":content-type", "application/json"))
        .add_header(header(":message-type", "event"))
}

/// What the simulator answers to it.
pub fn echo(bytes: &[u8]) -> Bytes {
    encoded(&chunk(bytes))
}

/// A conversation that is open.
pub struct Conversation {
    /// `None` after the end of the request's body.
    pub feed: Option<UnboundedSender<Bytes>>,
    pub signer: Signer,
    pub head: http::response::Parts,
    body: Incoming,
    decoder: MessageFrameDecoder,
    buffer: BytesMut,
    decoded: VecDeque<Message>,
}

/// The head of a request, to be signed.
pub fn head() -> signing::Message {
    signing::Message::post(SONIC, "").replacing("content-type", |_| "application/vnd.amazon.eventstream".to_owned())
}

/// The head of a request, and what feeds its body.
pub fn request() -> (UnboundedSender<Bytes>, Request<Upload>) {
    let (feed, upload) = Upload::fed(None);
    let mut request = with(post_upload(SONIC, upload), "x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-EVENTS");
    request.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/vnd.amazon.eventstream"));
    (feed, request)
}

impl Conversation {
    pub async fn open(client: &mut Client) -> Conversation {
        Conversation::open_with(client, &[]).await
    }

    /// With headers for the simulator.
    pub async fn open_with(client: &mut Client, headers: &[(&str, &str)]) -> Conversation {
        let (feed, request) = request();
        let request = headers.iter().fold(request, |request, (name, value)| with(request, name, value));
        Conversation::of(feed, client.send(request).await.unwrap())
    }

    /// With a head that these keys have signed, and with which the chain begins.
    pub async fn open_signed(client: &mut Client, keys: &signing::Signer, head: &signing::Message) -> Conversation {
        let (feed, upload) = Upload::fed(None);
        let response = client.send(head.request().map(|_| upload)).await.unwrap();
        let signer = Signer::of(&keys.secret_access_key, head.signature());
        Conversation { signer, ..Conversation::of(feed, response) }
    }

    pub fn of(feed: UnboundedSender<Bytes>, response: Response<Incoming>) -> Conversation {
        let (head, body) = response.into_parts();
        assert_eq!(head.status, 200);
        let (decoder, buffer, decoded) = Default::default();
        Conversation { feed: Some(feed), signer: Signer::new(), head, body, decoder, buffer, decoded }
    }

    pub fn send(&self, bytes: Bytes) {
        let _ = self.feed.as_ref().unwrap().send(bytes);
    }

    /// Sends an event with these bytes in it.
    pub fn say(&mut self, bytes: &[u8]) {
        let signed = self.signer.sign(&chunk(bytes));
        self.send(signed);
    }

    /// Sends the signed empty event, and the end of the body.
    pub fn close(&mut self) {
        let end = self.signer.end();
        self.send(end);
        self.feed = None;
    }

    /// The next event; `None` at a clean end, an error after a reset.
    pub async fn next(&mut self) -> Result<Option<Message>, hyper::Error> {
        while self.decoded.is_empty() {
            let Some(frame) = within(self.body.frame()).await else {
                assert!(self.buffer.is_empty(), "the stream ends in the middle of an event");
                return Ok(None);
            };
            let Ok(data) = frame?.into_data() else { continue };
            self.buffer.extend_from_slice(&data);
            while let DecodedFrame::Complete(message) = self.decoder.decode_frame(&mut self.buffer).unwrap() {
                self.decoded.push_back(message);
            }
        }
        Ok(self.decoded.pop_front())
    }

    /// The bytes in the next event that is no usage event.
    pub async fn hear(&mut self) -> Vec<u8> {
        loop {
            let message = self.next().await.unwrap().expect("an event");
            assert_eq!(text(&message, ":event-type"), "chunk", "{message:?}");
            let bytes = inside(&message);
            if !bytes.starts_with(b"{\"event\":{\"usageEvent\"") {
                return bytes;
            }
        }
    }

    /// The type of the exception that the stream ends with, and its message; events before it are skipped.
    pub async fn exception(&mut self) -> (String, String) {
        loop {
            let message = self.next().await.unwrap().expect("an exception before the end");
            if text(&message, ":message-type") == "exception" {
                assert!(self.next().await.unwrap().is_none(), "nothing follows an exception");
                let said: serde_json::Value = serde_json::from_slice(message.payload()).unwrap();
                return (text(&message, ":exception-type"), said["message"].as_str().unwrap().to_owned());
            }
        }
    }

    /// Reads to the clean end; how many events there were that are no usage events.
    pub async fn rest(&mut self) -> usize {
        let mut count = 0;
        while let Some(message) = self.next().await.unwrap() {
            count += usize::from(!inside(&message).starts_with(b"{\"event\":{\"usageEvent\""));
        }
        count
    }
}

/// A header.
pub fn text(message: &Message, name: &str) -> String {
    let found = message.headers().iter().find(|header| header.name().as_str() == name);
    found.map_or_else(String::new, |header| header.value().as_string().unwrap().as_str().to_owned())
}

fn inside(message: &Message) -> Vec<u8> {
    let payload: serde_json::Value = serde_json::from_slice(message.payload()).unwrap();
    let Some(bytes) = payload["bytes"].as_str() else { panic!("no chunk: {message:?}") };
    STANDARD.decode(bytes).unwrap()
}
