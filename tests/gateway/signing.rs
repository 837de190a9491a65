//! A client that signs as AWS's SDKs do, with their own signer.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use http::{HeaderName, HeaderValue, Request};

use crate::client::{Client, Upload, with};

/// What a client signs with, and for what.
#[derive(Clone, Debug)]
pub struct Signer {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: Option<String>,
    pub region: &'static str,
    pub service: &'static str,
    /// Sends the body's hash as `x-amz-content-sha256`, as the JS SDK does.
    pub announces_hash: bool,
    /// The clock, from the real one.
    pub seconds_ahead: i64,
}

impl Signer {
    pub fn new(access_key_id: &str, secret_access_key: &str, session_token: Option<&str>) -> Signer {
        Signer {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: secret_access_key.to_owned(),
            session_token: session_token.map(str::to_owned),
            region: "us-east-1",
            service: "bedrock",
            announces_hash: false,
            seconds_ahead: 0,
        }
    }

    /// From the answer of `/credentials`.
    pub fn vended(answer: &serde_json::Value) -> Signer {
        let text = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}"));
        Signer::new(text("AccessKeyId"), text("SecretAccessKey"), Some(text("Token")))
    }

    /// Signs a request with its body, its headers and `host`, and adds the headers that carry the signature.
    pub fn sign(&self, message: Message) -> Message {
        let body = message.body.clone();
        self.sign_over(message, SignableBody::Bytes(&body))
    }

    /// Signs the head of a request whose events are signed one by one.
    pub fn sign_events(&self, message: Message) -> Message {
        let announcing = Signer { announces_hash: true, ..self.clone() };
        announcing.sign_over(message, SignableBody::Precomputed("STREAMING-AWS4-HMAC-SHA256-EVENTS".to_owned()))
    }

    /// Signs a request as one whose payload is called that.
    pub fn sign_as(&self, message: Message, payload: &str) -> Message {
        let announcing = Signer { announces_hash: true, ..self.clone() };
        announcing.sign_over(message, SignableBody::Precomputed(payload.to_owned()))
    }

    fn sign_over(&self, mut message: Message, body: SignableBody<'_>) -> Message {
        let token = self.session_token.clone();
        let identity = Credentials::new(&self.access_key_id, &self.secret_access_key, token, None, "test").into();
        let mut settings = SigningSettings::default();
        if self.announces_hash {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let offset = Duration::from_secs(self.seconds_ahead.unsigned_abs());
        let now = SystemTime::now();
        let params = aws_sigv4::sign::v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(if self.seconds_ahead < 0 { now - offset } else { now + offset })
            .settings(settings)
            .build()
            .unwrap();
        let host = message.header("host").unwrap_or("localhost").to_owned();
        let uri = format!("https://{host}{}", message.target);
        let headers = message.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let signable = SignableRequest::new(&message.method, uri, headers, body).unwrap();
        let (instructions, _) = sign(signable, &params.into()).unwrap().into_parts();
        message.headers.extend(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())));
        message
    }
}

/// A request as data, so that tests can change any part of it after it was signed.
#[derive(Clone, Debug)]
pub struct Message {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Message {
    pub fn post(target: &str, body: &str) -> Message {
        let headers = [("host", "localhost"), ("content-type", "application/json")];
        Message {
            method: "POST".to_owned(),
            target: target.to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body: body.as_bytes().to_vec(),
        }
    }

    pub fn get(target: &str) -> Message {
        let headers = vec![("host".to_owned(), "localhost".to_owned())];
        Message { method: "GET".to_owned(), target: target.to_owned(), headers, body: Vec::new() }
    }

    pub fn with(mut self, name: &str, value: &str) -> Message {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The signature that it carries.
    pub fn signature(&self) -> &str {
        self.header("authorization").and_then(|value| value.split("Signature=").nth(1)).unwrap()
    }

    /// Changes a header's value.
    pub fn replacing(mut self, name: &str, change: impl Fn(&str) -> String) -> Message {
        for (_, value) in self.headers.iter_mut().filter(|(known, _)| known == name) {
            *value = change(value);
        }
        self
    }

    /// `None` if HTTP has no such request.
    pub fn try_request(&self) -> Option<Request<Upload>> {
        let body = Upload::whole(self.body.clone().into());
        let mut request = Request::builder().method(self.method.as_bytes()).uri(&self.target).body(body).ok()?;
        for (name, value) in &self.headers {
            request.headers_mut().append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
        }
        Some(request)
    }

    pub fn request(&self) -> Request<Upload> {
        self.try_request().unwrap_or_else(|| panic!("no request: {self:?}"))
    }
}

/// A GET of credentials for a token.
pub fn credentials_request(token: &str) -> Request<Upload> {
    with(Request::builder().uri("/credentials").body(Upload::none()).unwrap(), "authorization", token)
}

/// Credentials that the gateway vends for a token.
pub async fn vend(client: &mut Client, token: &str) -> Signer {
    let answer = client.ask(credentials_request(token)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    Signer::vended(&answer.json())
}
