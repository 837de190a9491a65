//! The Rust SDK against the gateway: runtime and control plane as bearer, agents as SigV4 with a session token.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_bedrock::types::ModelModality;
use aws_sdk_bedrockagentruntime::types::KnowledgeBaseQuery;
use aws_sdk_bedrockruntime as runtime;
use aws_smithy_runtime_api::client::auth::AuthSchemeId;
use runtime::config::interceptors::BeforeDeserializationInterceptorContextRef;
use runtime::config::{ConfigBag, Credentials, Intercept, RuntimeComponents, Token};
use runtime::error::{BoxError, ProvideErrorMetadata};
use runtime::operation::converse::{ConverseError, ConverseOutput};
use runtime::primitives::Blob;
use runtime::types::error::InvokeModelWithBidirectionalStreamInputError;
use runtime::types::{
    BidirectionalInputPayloadPart, ContentBlock, ContentBlockDelta, ConversationRole, ConverseStreamOutput,
    ConverseTokensRequest, CountTokensInput, InvokeModelWithBidirectionalStreamInput, InvokeModelWithBidirectionalStreamOutput,
    Message, ResponseStream, StopReason, TokenUsage,
};

const SONIC_MODEL: &str = "amazon.nova-sonic-v1:0";
const ACME_MODEL: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const GLOBEX_MODEL: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const PROFILE_ARN: &str = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123";
const SESSION_ARN: &str = "arn:aws:bedrock:us-east-1:123456789012:session/0f8fad5b-d9cb-469f-a165-70867728950e";
const ANTHROPIC_BODY: &str = r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":64,
    "messages":[{"role":"user","content":"Say hello."}]}"#;

/// What a check found wrong.
type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("version {}", runtime::meta::PKG_VERSION);
    let mut checks = Checks::default();
    let environment = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let seen = Seen::default();

    let client = bearer(&environment, &token("TOLLGATE_TOKEN_ACME"), &seen);
    checks.run("converse", converse(&client, ACME_MODEL, &seen)).await;
    checks.run("converse by profile ARN", converse(&client, PROFILE_ARN, &seen)).await;
    checks.run("converse_stream", converse_stream(&client, ACME_MODEL, &seen)).await;
    checks.run("converse_stream by profile ARN", converse_stream(&client, PROFILE_ARN, &seen)).await;
    checks.run("invoke_model", invoke_model(&client, &seen)).await;
    checks.run("invoke_model_with_response_stream", invoke_model_with_response_stream(&client, &seen)).await;
    checks.run("count_tokens", count_tokens(&client, &seen)).await;
    checks.run("invoke_model_with_bidirectional_stream", conversation(&client, &seen)).await;
    checks.run("list_foundation_models", list_foundation_models(&environment, &seen)).await;

    let client = signed(&environment, &seen);
    checks.run("converse, token as session token", converse(&client, ACME_MODEL, &seen)).await;
    checks.run("converse_stream, token as session token", converse_stream(&client, ACME_MODEL, &seen)).await;
    checks.run("invoke_model_with_bidirectional_stream, token as session token", conversation(&client, &seen)).await;
    checks.run("invoke_model_with_bidirectional_stream, events of all sizes", conversation_of_all_sizes(&client, &seen)).await;
    let client = with_keys(&environment, &seen);
    checks.run("invoke_model_with_bidirectional_stream, keys of the gateway's own", conversation(&client, &seen)).await;
    let all_sizes = conversation_of_all_sizes(&client, &seen);
    checks.run("invoke_model_with_bidirectional_stream, events of all sizes, keys of the gateway's own", all_sizes).await;
    checks.run("retrieve", retrieve(&environment, &seen)).await;
    checks.run("untag_resource with repeated query keys", untag_resource(&environment, &seen)).await;

    let globex = bearer(&environment, &token("TOLLGATE_TOKEN_GLOBEX"), &seen);
    checks.run("a model of another tenant is AccessDeniedException", denied(&globex)).await;
    checks.run("a burst ends in ThrottlingException", throttled(&globex)).await;
    std::process::exit(i32::from(checks.failed > 0));
}

async fn converse(client: &runtime::Client, model: &str, seen: &Seen) -> Result<(), Failure> {
    let answer = client.converse().model_id(model).messages(hello()).send().await?;
    seen.came_from("bedrock-runtime", "Converse")?;
    ensure(is_text(&text_of(&answer)), "no text")?;
    ensure(stopped(answer.stop_reason()), "an unexpected stop reason")?;
    adds_up(answer.usage())
}

async fn converse_stream(client: &runtime::Client, model: &str, seen: &Seen) -> Result<(), Failure> {
    let mut answer = client.converse_stream().model_id(model).messages(hello()).send().await?;
    seen.came_from("bedrock-runtime", "ConverseStream")?;
    let (mut text, mut stop, mut usage) = (String::new(), None, None);
    while let Some(event) = answer.stream.recv().await? {
        match event {
            ConverseStreamOutput::ContentBlockDelta(event) => {
                if let Some(ContentBlockDelta::Text(delta)) = event.delta() {
                    text.push_str(delta);
                }
            }
            ConverseStreamOutput::MessageStop(event) => stop = Some(event.stop_reason().clone()),
            ConverseStreamOutput::Metadata(event) => usage = event.usage().cloned(),
            _ => {}
        }
    }
    ensure(is_text(&text), "no text")?;
    ensure(stop.is_some_and(|stop| stopped(&stop)), "no stop reason")?;
    adds_up(usage.as_ref())
}

async fn invoke_model(client: &runtime::Client, seen: &Seen) -> Result<(), Failure> {
    let body = Blob::new(ANTHROPIC_BODY);
    let answer = client.invoke_model().model_id(ACME_MODEL).content_type("application/json").body(body).send().await?;
    seen.came_from("bedrock-runtime", "InvokeModel")?;
    let message = std::str::from_utf8(answer.body().as_ref())?;
    ensure(message.contains(r#""output_tokens""#), "no usage in the body")
}

async fn invoke_model_with_response_stream(client: &runtime::Client, seen: &Seen) -> Result<(), Failure> {
    let body = Blob::new(ANTHROPIC_BODY);
    let mut answer = client.invoke_model_with_response_stream().model_id(ACME_MODEL).body(body).send().await?;
    seen.came_from("bedrock-runtime", "InvokeModelWithResponseStream")?;
    let mut chunks = Vec::new();
    while let Some(event) = answer.body.recv().await? {
        if let ResponseStream::Chunk(chunk) = event {
            let bytes = chunk.bytes().ok_or("a chunk without bytes")?;
            chunks.push(String::from_utf8(bytes.as_ref().to_vec())?);
        }
    }
    ensure(chunks.iter().any(|chunk| chunk.contains("text_delta")), "no text")?;
    let last = chunks.last().ok_or("no chunks")?;
    ensure(last.contains("amazon-bedrock-invocationMetrics"), "no metrics in the last chunk")
}

/// Each event is spoken when the one before it was heard: both directions are open at once.
async fn conversation(client: &runtime::Client, seen: &Seen) -> Result<(), Failure> {
    const EVENTS: usize = 100;
    let spoken = |number: usize| vec![u8::try_from(number).unwrap_or_default(); if number % 10 == 0 { 300_000 } else { number }];
    let (speak, spoken_events) = tokio::sync::mpsc::unbounded_channel();
    let say = |number: usize| {
        let part = BidirectionalInputPayloadPart::builder().bytes(Blob::new(spoken(number))).build();
        speak.send(part).map_err(|_| "nobody takes events")
    };
    let body = Spoken(spoken_events);
    let mut answer = client.invoke_model_with_bidirectional_stream().model_id(SONIC_MODEL).body(body.into()).send().await?;
    seen.came_from("bedrock-runtime", "InvokeModelWithBidirectionalStream")?;
    let mut usage = false;
    for number in 0..EVENTS {
        say(number)?;
        loop {
            let bytes = bytes_of(answer.body.recv().await?.ok_or("the stream ended early")?)?;
            if !is_usage(&bytes) {
                ensure(bytes == spoken(number), "an event came back changed")?;
                break;
            }
            usage = true;
        }
    }
    drop(speak);
    while answer.body.recv().await?.is_some() {}
    ensure(usage, "no usage event")
}

/// Said as fast as they are taken, and heard as they come.
async fn conversation_of_all_sizes(client: &runtime::Client, seen: &Seen) -> Result<(), Failure> {
    let events: u64 = token("EVENTS").parse()?;
    let body = Speech(0..events);
    let mut answer = client.invoke_model_with_bidirectional_stream().model_id(SONIC_MODEL).body(body.into()).send().await?;
    seen.came_from("bedrock-runtime", "InvokeModelWithBidirectionalStream")?;
    let mut heard = 0;
    while let Some(event) = answer.body.recv().await? {
        let bytes = bytes_of(event)?;
        if !is_usage(&bytes) {
            ensure(bytes == speech(heard), &format!("event {heard} came back changed"))?;
            heard += 1;
        }
    }
    ensure(heard == events, &format!("{heard} events came back"))
}

fn bytes_of(event: InvokeModelWithBidirectionalStreamOutput) -> Result<Vec<u8>, Failure> {
    let InvokeModelWithBidirectionalStreamOutput::Chunk(chunk) = event else { return Err("an unknown event".into()) };
    Ok(chunk.bytes.ok_or("a chunk without bytes")?.into_inner())
}

fn is_usage(bytes: &[u8]) -> bool {
    bytes.starts_with(br#"{"event":{"usageEvent""#)
}

/// What is said in an event: most are small, one in two hundred is as large as Bedrock takes them. The same each time.
fn speech(number: u64) -> Vec<u8> {
    const EVENT_BYTES_MAX: f64 = 1_000_000.0;
    let mut state = number + 1;
    let mut random = || {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    };
    let share = if number % 200 == 199 { 1.0 } else { (random() as f64 / u64::MAX as f64).powi(24) };
    let size = (EVENT_BYTES_MAX * share) as usize;
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| random().to_le_bytes()).take(size.div_ceil(8)).flatten().collect();
    bytes.truncate(size);
    bytes
}

/// All of it, made as it is taken.
struct Speech(std::ops::Range<u64>);

impl futures_core::Stream for Speech {
    type Item = Result<InvokeModelWithBidirectionalStreamInput, InvokeModelWithBidirectionalStreamInputError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.0.next().map(|number| {
            let part = BidirectionalInputPayloadPart::builder().bytes(Blob::new(speech(number))).build();
            Ok(InvokeModelWithBidirectionalStreamInput::Chunk(part))
        });
        Poll::Ready(next)
    }
}

/// Events as an operation takes them.
struct Spoken(tokio::sync::mpsc::UnboundedReceiver<BidirectionalInputPayloadPart>);

impl futures_core::Stream for Spoken {
    type Item = Result<InvokeModelWithBidirectionalStreamInput, InvokeModelWithBidirectionalStreamInputError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|part| part.map(|part| Ok(InvokeModelWithBidirectionalStreamInput::Chunk(part))))
    }
}

async fn count_tokens(client: &runtime::Client, seen: &Seen) -> Result<(), Failure> {
    let input = CountTokensInput::Converse(ConverseTokensRequest::builder().messages(hello()).build());
    let answer = client.count_tokens().model_id(ACME_MODEL).input(input).send().await?;
    seen.came_from("bedrock-runtime", "CountTokens")?;
    ensure(answer.input_tokens() > 0, "no input tokens")
}

async fn list_foundation_models(environment: &SdkConfig, seen: &Seen) -> Result<(), Failure> {
    let config = aws_sdk_bedrock::config::Builder::from(environment).interceptor(seen.clone()).build();
    let client = aws_sdk_bedrock::Client::from_conf(config);
    let answer = client.list_foundation_models().by_output_modality(ModelModality::Text).send().await?;
    seen.came_from("bedrock", "ListFoundationModels")?;
    ensure(answer.model_summaries().iter().any(|model| model.model_id() == ACME_MODEL), "the model is not listed")
}

async fn retrieve(environment: &SdkConfig, seen: &Seen) -> Result<(), Failure> {
    let query = KnowledgeBaseQuery::builder().text("What is a gateway?").build();
    let client = agents(environment, seen);
    let answer = client.retrieve().knowledge_base_id("ABCDEFGHIJ").retrieval_query(query).send().await?;
    seen.came_from("bedrock-agent-runtime", "Retrieve")?;
    for result in answer.retrieval_results() {
        ensure(result.content().is_some(), "a result without content")?;
    }
    Ok(())
}

async fn untag_resource(environment: &SdkConfig, seen: &Seen) -> Result<(), Failure> {
    let client = agents(environment, seen);
    client.untag_resource().resource_arn(SESSION_ARN).tag_keys("a").tag_keys("b").send().await?;
    seen.came_from("bedrock-agent-runtime", "UntagResource")
}

async fn denied(globex: &runtime::Client) -> Result<(), Failure> {
    // An earlier client's burst may still count against the tenant.
    for _ in 0..130 {
        match refusal(globex, ACME_MODEL).await? {
            Some(ConverseError::ThrottlingException(_)) => tokio::time::sleep(Duration::from_millis(500)).await,
            Some(ConverseError::AccessDeniedException(error)) => {
                return ensure(error.message().is_some_and(is_text), "no message");
            }
            other => return Err(format!("not denied but: {other:?}").into()),
        }
    }
    Err("throttled for too long".into())
}

async fn throttled(globex: &runtime::Client) -> Result<(), Failure> {
    for _ in 0..300 {
        match refusal(globex, GLOBEX_MODEL).await? {
            None => {}
            Some(error @ ConverseError::ThrottlingException(_)) => {
                return ensure(error.code() == Some("ThrottlingException"), "another code");
            }
            Some(other) => return Err(format!("not throttled but: {other:?}").into()),
        }
    }
    Err("300 calls were not throttled".into())
}

/// The service's error as the SDK types it; None if the call succeeds, `Err` if no answer came.
async fn refusal(client: &runtime::Client, model: &str) -> Result<Option<ConverseError>, Failure> {
    match client.converse().model_id(model).messages(hello()).send().await {
        Ok(_) => Ok(None),
        Err(error) if error.as_service_error().is_some() => Ok(Some(error.into_service_error())),
        Err(error) => Err(error.into()),
    }
}

fn bearer(environment: &SdkConfig, token: &str, seen: &Seen) -> runtime::Client {
    let config = runtime::config::Builder::from(environment)
        .bearer_token(Token::new(token, None))
        .retry_config(RetryConfig::disabled())
        .interceptor(seen.clone())
        .build();
    runtime::Client::from_conf(config)
}

/// Without the bearer scheme: placeholder keys sign, and the token is their session token.
fn signed(environment: &SdkConfig, seen: &Seen) -> runtime::Client {
    let keys = Credentials::new("placeholder", "placeholder", Some(token("TOLLGATE_TOKEN_ACME")), None, "placeholder");
    signing(environment, keys, seen)
}

/// What the gateway has given out: it verifies every event.
fn with_keys(environment: &SdkConfig, seen: &Seen) -> runtime::Client {
    let (id, secret) = (token("TOLLGATE_ACCESS_KEY_ID"), token("TOLLGATE_SECRET_ACCESS_KEY"));
    signing(environment, Credentials::new(id, secret, None, None, "gateway"), seen)
}

fn signing(environment: &SdkConfig, keys: Credentials, seen: &Seen) -> runtime::Client {
    let config = runtime::config::Builder::from(environment)
        .auth_scheme_preference([AuthSchemeId::from("sigv4")])
        .credentials_provider(keys)
        .interceptor(seen.clone())
        .build();
    runtime::Client::from_conf(config)
}

fn agents(environment: &SdkConfig, seen: &Seen) -> aws_sdk_bedrockagentruntime::Client {
    let config = aws_sdk_bedrockagentruntime::config::Builder::from(environment).interceptor(seen.clone()).build();
    aws_sdk_bedrockagentruntime::Client::from_conf(config)
}

fn hello() -> Message {
    let content = ContentBlock::Text("Say hello.".into());
    Message::builder().role(ConversationRole::User).content(content).build().expect("role and content are set")
}

fn token(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn text_of(answer: &ConverseOutput) -> String {
    let message = answer.output().and_then(|output| output.as_message().ok());
    let blocks = message.map(Message::content).unwrap_or_default();
    blocks.iter().filter_map(|block| block.as_text().ok()).cloned().collect()
}

fn is_text(found: &str) -> bool {
    !found.trim().is_empty()
}

fn stopped(reason: &StopReason) -> bool {
    matches!(reason, StopReason::EndTurn | StopReason::MaxTokens | StopReason::StopSequence)
}

fn adds_up(usage: Option<&TokenUsage>) -> Result<(), Failure> {
    let usage = usage.ok_or("no usage")?;
    ensure(usage.input_tokens() > 0 && usage.output_tokens() > 0, "no tokens")?;
    ensure(usage.total_tokens() == usage.input_tokens() + usage.output_tokens(), "the total is not the sum")
}

fn ensure(holds: bool, otherwise: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// The service and operation that the simulator named in its last answer.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<(String, String)>>);

impl Seen {
    fn came_from(&self, service: &str, operation: &str) -> Result<(), Failure> {
        let seen = self.0.lock().expect("nothing panics while holding it").clone();
        if (seen.0.as_str(), seen.1.as_str()) == (service, operation) {
            return Ok(());
        }
        Err(format!("answered by {seen:?}").into())
    }
}

impl Intercept for Seen {
    fn name(&self) -> &'static str {
        "Seen"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response().headers();
        let header = |name: &str| headers.get(name).unwrap_or_default().to_owned();
        *self.0.lock().expect("nothing panics while holding it") =
            (header("x-simulator-service"), header("x-simulator-operation"));
        Ok(())
    }
}

#[derive(Default)]
struct Checks {
    failed: u32,
}

impl Checks {
    async fn run(&mut self, name: &str, check: impl Future<Output = Result<(), Failure>>) {
        match check.await {
            Ok(()) => println!("ok {name}"),
            Err(failure) => {
                self.failed += 1;
                println!("failed {name}: {}", format!("{failure} {failure:?}").replace('\n', " "));
            }
        }
    }
}
