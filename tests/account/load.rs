//! Clients that ask for everything, see everything go wrong, and write down what they saw.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use http::Request;
use http_body_util::BodyExt;
use hyper::{Response, body::Incoming};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    client::{Client, Upload, post, with},
    dice::Dice,
    harness::{MODEL, World},
};

const NOVA: &str = "amazon.nova-lite-v1:0";
/// More than `x-simulator-…` asks for, so that no answer uses more than was held.
const MAX_TOKENS: u64 = 100;
const WORDS: usize = 120;

/// What a client saw of an answer that began.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The gateway's id.
    pub id: String,
    /// Bedrock's.
    pub upstream_id: Option<String>,
    pub tenant: &'static str,
    pub status: u16,
    /// Read to its end.
    pub whole: bool,
    pub began: Instant,
    pub ended: Instant,
}

/// What all clients share.
#[derive(Default)]
pub struct Crowd {
    pub stop: AtomicBool,
    /// Nobody listens. A client that connected all the same could be given the gateway's own port.
    pub down: AtomicBool,
    pub seen: Mutex<Vec<Seen>>,
    /// When the gateway was killed, each just before.
    pub kills: Mutex<Vec<Instant>>,
}

impl Crowd {
    pub fn is_over(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The requests whose answers were read to their end, and when.
    pub fn ended(&self) -> HashMap<String, Instant> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.whole).map(|seen| (seen.id.clone(), seen.ended)).collect()
    }

    /// Whether the gateway was killed so soon after an answer's end. It lives on for a moment after it was decided.
    pub fn was_killed_within(&self, end: Instant, grace: Duration) -> bool {
        self.kills.lock().unwrap().iter().any(|kill| end <= *kill + grace && *kill <= end + grace)
    }

    /// How many answers were read to their end.
    pub fn whole(&self) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| seen.whole).count()
    }
}

/// One client, until the crowd is told to stop. Every second one speaks HTTP/2.
pub async fn run(number: u64, mut dice: Dice, world: Arc<World>, crowd: Arc<Crowd>) {
    let tenant = if number.is_multiple_of(4) { "globex" } else { "acme" };
    let bearer = world.bearer(tenant);
    let mut connection = None;
    while !crowd.is_over() {
        let mut client = match connection.take() {
            Some(client) => client,
            None if crowd.down.load(Ordering::Acquire) => {
                sleep(Duration::from_millis(10)).await;
                continue;
            }
            None => match connect(number, &world, &bearer).await {
                Ok(client) => client,
                Err(_) => continue, // Killed just now.
            },
        };
        let (began, patience) = (Instant::now(), patience(&mut dice));
        let Ok(Ok(response)) = timeout(patience.head, client.send(request(tenant, &mut dice))).await else { continue };
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (id, upstream_id, status) = (header("x-tollgate-request-id"), header("x-amzn-requestid"), response.status());
        let upstream_id = upstream_id.filter(|_| header("x-tollgate-source").as_deref() == Some("bedrock"));
        let whole = read(response, patience.pieces).await;
        let seen = Seen { id: id.unwrap(), upstream_id, tenant, status: status.as_u16(), whole, began, ended: Instant::now() };
        crowd.seen.lock().unwrap().push(seen);
        if whole {
            connection = Some(client);
        }
        if status == 400 || status == 429 {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn connect(number: u64, world: &World, bearer: &str) -> std::io::Result<Client> {
    match number % 2 {
        0 => Client::try_h1(world.traffic, bearer.to_owned()).await,
        _ => Client::try_h2c(world.traffic, bearer.to_owned()).await,
    }
}

/// When a client leaves.
struct Patience {
    head: Duration,
    pieces: u64,
}

fn patience(dice: &mut Dice) -> Patience {
    match dice.below(100) {
        0..5 => Patience { head: Duration::from_millis(dice.below(40)), pieces: u64::MAX },
        5..12 => Patience { head: Duration::from_secs(20), pieces: dice.below(4) },
        _ => Patience { head: Duration::from_secs(20), pieces: u64::MAX },
    }
}

/// Whether the answer was read to a clean end.
async fn read(response: Response<Incoming>, pieces: u64) -> bool {
    let mut body = response.into_body();
    for _ in 0..pieces {
        match body.frame().await {
            Some(Ok(_)) => {}
            Some(Err(_)) => return false,
            None => return true,
        }
    }
    false
}

/// Any operation, with any usage, that goes any way. It says whose it is, so that the simulator knows without the gateway.
fn request(tenant: &str, dice: &mut Dice) -> Request<Upload> {
    let mut wishes = vec![
        ("input-tokens", dice.below(input_tokens_max(tenant)).to_string()),
        ("output-tokens", dice.below(MAX_TOKENS).to_string()),
        ("events", dice.below(10).to_string()),
        ("event-delay-ms", dice.below(12).to_string()),
        ("latency-ms", dice.below(30).to_string()),
    ];
    for (name, most, share) in [("cache-read-tokens", 20, 30), ("cache-write-tokens", 10, 30), ("cache-write-1h-tokens", 10, 20)]
    {
        if dice.percent(share) {
            wishes.push((name, dice.below(most).to_string()));
        }
    }
    if dice.percent(20) {
        wishes.push(("service-tier", dice.pick(&["default", "flex", "priority"]).to_owned()));
    }
    if dice.percent(15) {
        wishes.push(("chunk-bytes", (1 + dice.below(400)).to_string()));
    }
    let trouble = match dice.below(100) {
        0..4 => Some(("throttle", "true")),
        4..8 => Some(("status", dice.pick(&["400", "424", "500", "503"]))),
        8..11 => Some(("reset", "before-headers")),
        11..15 => Some(("reset", "mid-stream")),
        15..18 => Some(("close", "mid-stream")),
        18..23 => Some(("exception", "modelStreamErrorException")),
        _ => None,
    };
    wishes.extend(trouble.map(|(name, value)| (name, value.to_owned())));
    let request = with(operation(dice), "user-agent", tenant);
    wishes.iter().fold(request, |request, (name, value)| with(request, &format!("x-simulator-{name}"), value))
}

/// A text has fewer tokens than bytes: as many as that acme's may have, of whom a bound is held, where an estimate would be too small.
fn input_tokens_max(tenant: &str) -> u64 {
    if tenant == "acme" { WORDS as u64 * 4 } else { 60 }
}

fn operation(dice: &mut Dice) -> Request<Upload> {
    let model = dice.pick(&[MODEL, MODEL, NOVA]);
    let text = "word ".repeat(WORDS);
    let converse =
        json!({"messages": [{"role": "user", "content": [{"text": text}]}], "inferenceConfig": {"maxTokens": MAX_TOKENS}});
    let messages = json!([{"role": "user", "content": text}]);
    let anthropic = json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": MAX_TOKENS, "messages": messages});
    let named = |stream: bool| json!({"model": MODEL, "max_tokens": MAX_TOKENS, "messages": messages, "stream": stream});
    let bedrock = |model: &str, action: &str, body: &Value| post(&format!("/model/{model}/{action}"), body.to_string());
    match dice.below(9) {
        0 | 1 => bedrock(model, "converse", &converse),
        2 | 3 => bedrock(model, "converse-stream", &converse),
        4 => bedrock(MODEL, "invoke", &anthropic),
        5 => bedrock(MODEL, "invoke-with-response-stream", &anthropic),
        6 => post("/openai/v1/chat/completions", named(dice.percent(60)).to_string()),
        7 => post("/anthropic/v1/messages", named(dice.percent(60)).to_string()),
        _ => bedrock(MODEL, "count-tokens", &json!({"input": {"converse": converse}})),
    }
}
