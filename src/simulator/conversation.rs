//! InvokeModelWithBidirectionalStream: verifies each event of the request as it comes, echoes it, and now and then says what it has
//! consumed. It answers before the first event, and reads no further than its answers are taken.

use std::{sync::Arc, time::Duration};

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder, read_message_from};
use aws_smithy_types::event_stream::Message;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    answers::{chunk_of, event, exception},
    connection::{Connection, End},
    record::{Record, Served},
    script::{Behaviour, Moment},
    signature::Chain,
};

/// Answers that wait to be taken.
const WAITING_MAX: usize = 4;

/// A conversation that has begun.
pub(super) struct Conversation {
    chain: Chain,
    behaviour: Behaviour,
    record: Arc<Record>,
    served: Arc<Served>,
    connection: Arc<Connection>,
    answers: mpsc::Sender<Bytes>,
    echoed: u64,
}

/// Why a conversation ends before its client ends it.
enum Over {
    /// Said to the client as an exception of this type.
    Exception(String, String),
    /// Nobody is there any more, or nothing is to be said.
    Silent,
}

impl Conversation {
    /// The conversation, and where its answers come out.
    pub fn new(
        chain: Chain,
        behaviour: Behaviour,
        record: Arc<Record>,
        served: Arc<Served>,
        connection: Arc<Connection>,
    ) -> (Conversation, mpsc::Receiver<Bytes>) {
        let (answers, receiver) = mpsc::channel(WAITING_MAX);
        (Conversation { chain, behaviour, record, served, connection, answers, echoed: 0 }, receiver)
    }

    /// Reads and answers until the end.
    pub async fn run(mut self, mut incoming: Incoming) {
        let Err(Over::Exception(kind, message)) = self.listen(&mut incoming).await else { return };
        let _ = self.answers.send(exception(&kind, &message)).await;
    }

    async fn listen(&mut self, incoming: &mut Incoming) -> Result<(), Over> {
        let (mut decoder, mut buffer) = (MessageFrameDecoder::new(), BytesMut::new());
        while let Some(frame) = incoming.frame().await {
            let Ok(frame) = frame else { return Err(Over::Silent) };
            let Ok(data) = frame.into_data() else { continue };
            self.record.hear_bytes(&self.served, data.len());
            buffer.extend_from_slice(&data);
            loop {
                match decoder.decode_frame(&mut buffer) {
                    Ok(DecodedFrame::Incomplete) => break,
                    Ok(DecodedFrame::Complete(message)) => self.hear(&message).await?,
                    Err(_) => return Err(self.refuse("an event is malformed")),
                }
            }
        }
        let heard = self.served.heard();
        if heard.is_some_and(|heard| !heard.closed()) || !buffer.is_empty() {
            return Err(self.refuse("the stream ends without a signed empty event"));
        }
        self.say(self.usage()).await
    }

    async fn hear(&mut self, message: &Message) -> Result<(), Over> {
        self.chain.next(message, Timestamp::now()).map_err(|why| self.refuse(why))?;
        self.record.hear(&self.served, message.payload());
        if message.payload().is_empty() {
            return Ok(());
        }
        let Ok(inner) = read_message_from(&mut &message.payload()[..]) else {
            return Err(self.refuse("an inner event is malformed"));
        };
        if let Some(delay) = self.behaviour.event_delay_ms {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        self.say(chunk_of(inner.payload().clone())).await?;
        self.echoed += 1;
        if self.echoed.is_multiple_of(self.behaviour.usage_every.unwrap_or(10).max(1)) {
            self.say(self.usage()).await?;
        }
        self.misbehave().await
    }

    /// What the script wants to go wrong in the middle comes after the first event.
    async fn misbehave(&self) -> Result<(), Over> {
        let middle = Some(Moment::MidStream);
        if let Some(kind) = &self.behaviour.exception {
            return Err(Over::Exception(kind.clone(), "The simulator was told to answer so.".to_owned()));
        }
        if self.behaviour.reset == middle {
            self.connection.end(End::Reset);
        } else if self.behaviour.close == middle {
            self.connection.end(End::Close);
        } else if self.behaviour.stall != middle {
            return Ok(());
        }
        self.answers.closed().await;
        Err(Over::Silent)
    }

    fn refuse(&self, why: &str) -> Over {
        self.record.refuse_events(&self.served, why);
        Over::Exception("validationException".to_owned(), why.to_owned())
    }

    async fn say(&self, answer: Bytes) -> Result<(), Over> {
        self.answers.send(answer).await.map_err(|_| Over::Silent)
    }

    /// Every event costs what the script says a request costs.
    fn usage(&self) -> Bytes {
        let tokens = |each: Option<u64>, default| each.unwrap_or(default).saturating_mul(self.echoed);
        let (input, output) = (tokens(self.behaviour.input_tokens, 12), tokens(self.behaviour.output_tokens, 34));
        event("chunk", &json!({"bytes": STANDARD.encode(usage_event(input, output).to_string())}))
    }
}

/// As Nova Sonic says it: three quarters of the tokens are speech.
fn usage_event(input: u64, output: u64) -> Value {
    let split = |tokens: u64| json!({"speechTokens": tokens - tokens / 4, "textTokens": tokens / 4});
    let none = json!({"speechTokens": 0, "textTokens": 0});
    json!({"event": {"usageEvent": {
        "completionId": "simulated",
        "details": {
            "delta": {"input": none, "output": none},
            "total": {"input": split(input), "output": split(output)},
        },
        "promptName": "simulated",
        "sessionId": "simulated",
        "totalInputTokens": input,
        "totalOutputTokens": output,
        "totalTokens": input.saturating_add(output),
    }}})
}
