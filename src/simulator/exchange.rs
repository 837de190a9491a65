//! One request and its answer: read, classified, verified, recorded, answered as the script wants it. The order here is the
//! order in which things happen to a request.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{CONTENT_TYPE, HOST},
    request::Parts,
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{
    SimulatorConfig, SimulatorKey,
    answers::{self, Answer, Asked, errors},
    body::{Body, Tail},
    classify::{Classified, Host, classify},
    connection::{Connection, End, InFlight},
    conversation::Conversation,
    management,
    record::{self, Record, Served},
    script::{Behaviour, Moment, Playing, Script},
    signature::{self, Expected, Received, Refusal, Verifier, hex},
};
use crate::bedrock::{Dialect, Streams};

/// Bodies are kept only where an answer depends on them, and only this much of them.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// What all requests share.
pub(super) struct Exchange {
    region: String,
    verifier: Verifier,
    playing: ArcSwap<Playing>,
    record_requests: bool,
    pub record: Arc<Record>,
}

/// A request body that was read to its end.
pub(super) struct Upload {
    pub bytes: u64,
    pub sha256: String,
    /// Empty where nobody looks into it.
    pub kept: Bytes,
}

impl Exchange {
    pub fn new(config: SimulatorConfig) -> Exchange {
        Exchange {
            region: config.region,
            verifier: Verifier::new(config.keys),
            playing: ArcSwap::from_pointee(config.script.into()),
            record_requests: config.record_requests,
            record: Arc::default(),
        }
    }

    pub fn set_script(&self, script: Script) {
        self.playing.store(Arc::new(script.into()));
    }

    pub fn trust(&self, key: SimulatorKey) {
        self.verifier.trust(key);
    }

    pub fn open_connection(&self) -> Connection {
        Connection::new(self.record.count_connection(), self.playing.load().default.close_idle_ms)
    }

    /// Answers one request. Where the script says that no answer comes, this never returns: the connection ends around it.
    pub async fn answer(&self, request: Request<Incoming>, in_flight: InFlight) -> Response<Body> {
        let (parts, incoming) = request.into_parts();
        let managed = parts.uri.path().starts_with("/_simulator/");
        let classified = classified(&parts);
        if is_conversation(&classified) && signature::announces_events(&parts.headers) {
            return self.converse(&parts, &classified, incoming, in_flight).await;
        }
        let Some(mut upload) = read(incoming, if managed { KEPT_BYTES_MAX } else { kept_bytes_max(&classified) }).await else {
            self.record.count_incomplete();
            let answer = errors::bad_request("the request's body did not come whole");
            return self.respond(answer, &Behaviour::default(), None, in_flight);
        };
        if managed {
            let answer = management::answer(self, &parts, &upload.kept);
            return self.respond(answer, &Behaviour::default(), None, in_flight);
        }
        let model = classified.model.clone().or_else(|| answers::model_in(&upload.kept));
        let id = uuid::Uuid::new_v4().to_string();
        let (answer, behaviour, verdict) = self.judge(&parts, &classified, model.as_deref(), &upload, &id);
        upload.kept = Bytes::new();
        let served =
            self.recorded(&parts, &classified, model, upload, (&answer, &behaviour), verdict, id, in_flight.connection());
        if let Some(idle_ms) = behaviour.close_idle_ms {
            in_flight.connection().close_when_idle(idle_ms);
        }
        hold(&behaviour, in_flight.connection()).await;
        self.respond(answer, &behaviour, Some(served), in_flight)
    }

    /// Answers a request whose body is a stream before the stream has begun, and goes on answering while it lasts.
    async fn converse(&self, parts: &Parts, classified: &Classified, incoming: Incoming, in_flight: InFlight) -> Response<Body> {
        let upload = Upload { bytes: 0, sha256: hex(&Sha256::digest(b"")), kept: Bytes::new() };
        let model = classified.model.clone();
        let id = uuid::Uuid::new_v4().to_string();
        let (mut answer, behaviour, verdict) = self.judge(parts, classified, model.as_deref(), &upload, &id);
        let chain = self.verifier.chain(&parts.headers).filter(|_| verdict.is_ok() && answer.status == StatusCode::OK);
        let served = self.recorded(parts, classified, model, upload, (&answer, &behaviour), verdict, id, in_flight.connection());
        hold(&behaviour, in_flight.connection()).await;
        if let Some(chain) = chain {
            let connection = in_flight.shared();
            let (conversation, answers) =
                Conversation::new(chain, behaviour.clone(), self.record.clone(), served.clone(), connection);
            tokio::spawn(conversation.run(incoming));
            answer.content = answers::Content::Live(answers);
        }
        self.respond(answer, &behaviour, Some(served), in_flight)
    }

    /// What the answer is, how it goes out, and whose key signed the request or why it was refused.
    fn judge(
        &self,
        parts: &Parts,
        classified: &Classified,
        model: Option<&str>,
        upload: &Upload,
        id: &str,
    ) -> (Answer, Behaviour, Result<String, Refusal>) {
        let dialect = Dialect::of_path(parts.uri.path().as_bytes());
        let (service, operation) = names(classified);
        let mut behaviour = self.playing.load().behaviour(service, operation, model);
        let bad_header = behaviour.override_with_headers(&parts.headers).err();
        let verdict = self.verify(parts, classified, upload);
        let mut answer = match (&verdict, bad_header) {
            (Err(refusal), _) => errors::refused(dialect, refusal.code(), &refusal.message()),
            (_, Some(bad)) => errors::bad_request(&bad.to_string()),
            (Ok(_), None) => errors::scripted(dialect, &behaviour).unwrap_or_else(|| {
                let asked = Asked {
                    operation: classified.entry(),
                    model,
                    headers: &parts.headers,
                    body: &upload.kept,
                    behaviour: &behaviour,
                    region: &self.region,
                    id,
                };
                answers::answer(&asked)
            }),
        };
        answer.headers.insert("x-simulator-service", HeaderValue::from_static(service));
        answer.headers.insert("x-simulator-operation", HeaderValue::from_static(operation));
        if let Ok(id) = HeaderValue::try_from(id) {
            answer.headers.insert("x-amzn-requestid", id);
        }
        (answer, behaviour, verdict)
    }

    fn verify(&self, parts: &Parts, classified: &Classified, upload: &Upload) -> Result<String, Refusal> {
        let received = Received {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers: &parts.headers,
            authority: parts.uri.authority().map(|authority| authority.as_str()),
            body_sha256: &upload.sha256,
            signed_events: is_conversation(classified),
        };
        let region = match Host::parse(host(parts)) {
            Host::Aws { region, .. } => region,
            Host::Other => &self.region,
        };
        let expected = Expected { region, signing_name: classified.service.map(|service| service.signing_name()) };
        self.verifier.verify(&received, &expected, Timestamp::now())
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one entry, each from another step")]
    fn recorded(
        &self,
        parts: &Parts,
        classified: &Classified,
        model: Option<String>,
        upload: Upload,
        (answer, behaviour): (&Answer, &Behaviour),
        verdict: Result<String, Refusal>,
        request_id: String,
        connection: &Connection,
    ) -> Arc<Served> {
        let (service, operation) = names(classified);
        let said = |refusal: &Refusal| format!("{}: {}", refusal.code(), refusal.summary());
        let served = Arc::new(Served {
            id: self.record.next_id(),
            request_id,
            time: Timestamp::now(),
            service,
            operation,
            model,
            method: parts.method.as_str().to_owned(),
            target: parts.uri.path_and_query().map_or_else(String::new, |target| target.as_str().to_owned()),
            header_lines: if self.record_requests { record::header_lines(&parts.headers) } else { String::new() },
            body_bytes: upload.bytes,
            body_sha256: upload.sha256,
            verdict: verdict.as_ref().map_or_else(said, |_| "ok".to_owned()),
            access_key_id: verdict.ok(),
            status: answer.status.as_u16(),
            usage: answer.reported(behaviour),
            generated: answer.generated,
            service_tier: answer.service_tier.clone(),
            connection: connection.number,
            heard: is_conversation(classified).then(Box::default),
            completed: false.into(),
        });
        self.record.add(&served, self.record_requests);
        served
    }

    fn respond(&self, answer: Answer, behaviour: &Behaviour, served: Option<Arc<Served>>, in_flight: InFlight) -> Response<Body> {
        let close_after = behaviour.close_after_response == Some(true);
        let tail = Tail { record: self.record.clone(), served, in_flight, close_after, done: false };
        let mut response = Response::new(Body::new(answer.content, behaviour, tail));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("region", &self.region).finish_non_exhaustive()
    }
}

/// Waits, ends the connection or never goes on, as the script says for the time before the headers.
async fn hold(behaviour: &Behaviour, connection: &Connection) {
    if let Some(latency_ms) = behaviour.latency_ms.filter(|ms| *ms > 0) {
        tokio::time::sleep(Duration::from_millis(latency_ms)).await;
    }
    let before = Some(Moment::BeforeHeaders);
    if behaviour.reset == before {
        connection.end(End::Reset);
    } else if behaviour.close == before {
        connection.end(End::Close);
    } else if behaviour.stall != before {
        return;
    }
    std::future::pending().await
}

fn classified(parts: &Parts) -> Classified {
    let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    let claimed = signature::claimed_service(&parts.headers);
    classify(Host::parse(host(parts)), parts.method.as_str(), parts.uri.path(), target, claimed)
}

fn host(parts: &Parts) -> &str {
    let header = parts.headers.get(HOST).and_then(|value| value.to_str().ok());
    header.or(parts.uri.authority().map(|authority| authority.as_str())).unwrap_or_default()
}

fn names(classified: &Classified) -> (&'static str, &'static str) {
    (classified.service.map_or("Unknown", |service| service.name()), classified.operation.unwrap_or("Unknown"))
}

/// The OpenAI- and Anthropic-shaped routes say model and streaming in the body, where AWS's have them in the path. Ranks and embeddings
/// are as many as what is to be ranked or embedded. Converse's say the
/// service tier there; it is not looked for in large ones.
fn kept_bytes_max(classified: &Classified) -> usize {
    match classified.operation {
        Some("ChatCompletions" | "Responses" | "Messages" | "CountMessageTokens" | "Rerank") => KEPT_BYTES_MAX,
        Some("InvokeModel") if classified.model.as_deref().is_some_and(|model| model.contains("embed")) => KEPT_BYTES_MAX,
        Some("Converse" | "ConverseStream") => 4096,
        _ => 0,
    }
}

/// Whether request and answer are streams that run at once.
fn is_conversation(classified: &Classified) -> bool {
    classified.entry().is_some_and(|op| op.streams == Streams::Both)
}

/// Reads a body to its end, hashing it as it comes. `None` when the client left before.
async fn read(mut incoming: Incoming, kept_bytes_max: usize) -> Option<Upload> {
    let (mut hash, mut bytes, mut kept) = (Sha256::new(), 0u64, BytesMut::new());
    while let Some(frame) = incoming.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            hash.update(&data);
            bytes += data.len() as u64;
            if kept.len() + data.len() <= kept_bytes_max {
                kept.extend_from_slice(&data);
            }
        }
    }
    Some(Upload { bytes, sha256: hex(&hash.finalize()), kept: kept.freeze() })
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
    Answer { status, headers, content: answers::Content::Whole(body.into()), generated: None, reported: None, service_tier: None }
}
