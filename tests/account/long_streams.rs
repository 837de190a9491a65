//! Long streams, while the binary is replaced twenty times and the configuration read a hundred times; nearly all of that is waiting.

use std::{
    env, fs,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use jiff::Timestamp;
use tokio::{
    task::JoinSet,
    time::{interval, sleep_until},
};

use crate::{
    client::{Client, Upload, post, with},
    harness::{MODEL, World, within},
    load::Seen,
    service::Service,
    upgrades::{Crowd, EVENT_TOKENS, QUOTAS, ask_on, assert_account, open_conversation},
};

const UPGRADES: u32 = 20;
const RELOADS: u32 = 5;
const CLIENTS: usize = 4;
/// `TOLLGATE_STREAM_SECONDS` is another length of the streams; with 600 it takes eleven minutes. What the gateway waits for them is a tenth
/// more, as it is by default, but not less than a busy machine may need.
const STREAM_SECONDS: u32 = 60;
/// Clients that are in the middle of a short stream when the process is replaced, and ask for a long one over the same connection.
const ONCE_MORE: usize = 2;
/// Rounds until a conversation is ended and another begun: no conversation may last for ten minutes.
const CONVERSATION_ROUNDS: u32 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_streams_outlive_twenty_upgrades_and_a_hundred_reloads() {
    let seconds = env::var("TOLLGATE_STREAM_SECONDS").map_or(STREAM_SECONDS, |seconds| seconds.parse().unwrap());
    let round = Duration::from_secs(seconds.into()) / UPGRADES;
    let bound = format!("[downstream]\ndrain_seconds_max = {}", seconds + (seconds / 10).max(30));
    let world = Arc::new(World::new(&bound, [QUOTAS, ""]).await);
    let config = fs::read_to_string(world.file("tollgate.toml")).unwrap();
    let config = config.replace("silence_seconds_max = 5", "silence_seconds_max = 60");
    let config = config.replace("reservation_seconds_max = 6", "reservation_seconds_max = 7200");
    fs::write(world.file("tollgate.toml"), config).unwrap();
    let mut service = Service::start(&world).await;
    let (calm, crowd) = (Timestamp::now(), Arc::new(Crowd { latency_ms: 500, ..Crowd::default() }));
    let (mut clients, mut streams) = (JoinSet::new(), JoinSet::new());
    for number in 0..CLIENTS {
        clients.spawn(ask_on(number, world.clone(), crowd.clone()));
    }
    for number in 0..8 {
        let mut client = connect(&world, number % 2 == 0).await;
        streams.spawn(async move { vec![watch(&mut client, u64::from(seconds)).await] });
    }
    let (mut conversation, mut said) = (open_conversation(&world).await, 0);
    // The first one in mid-round: a stream that is as long as the gateway waits ends before that.
    let mut next = tokio::time::Instant::now() + round / 2;
    for number in 0..UPGRADES {
        sleep_until(next).await;
        next += round;
        let short = (round.as_secs() / 3).max(1);
        if number == 0 {
            for _ in 0..ONCE_MORE {
                let mut client = connect(&world, false).await;
                let running = begin(&mut client, short).await;
                streams.spawn(async move {
                    let first = read(running).await;
                    vec![first, watch(&mut client, u64::from(seconds)).await]
                });
            }
        }
        service.upgrade().await;
        let mut pace = interval(round / (2 * RELOADS));
        for _ in 0..RELOADS {
            pace.tick().await;
            service.reload().await;
        }
        conversation.say(b"still here");
        assert_eq!(conversation.hear().await, b"still here");
        said += 1;
        if number % CONVERSATION_ROUNDS == CONVERSATION_ROUNDS - 1 {
            conversation.close();
            assert_eq!(conversation.rest().await, 0);
            conversation = open_conversation(&world).await;
        }
    }
    conversation.close();
    assert_eq!(conversation.rest().await, 0);
    let mut seen: Vec<Seen> = Vec::new();
    while let Some(read) = streams.join_next().await {
        seen.extend(read.unwrap());
    }
    assert_eq!(seen.len(), 8 + 2 * ONCE_MORE);
    let long = seen.iter().filter(|stream| stream.ended - stream.began >= Duration::from_secs(seconds.into()));
    assert_eq!(long.count(), 8 + ONCE_MORE);
    crowd.stop.store(true, Ordering::Release);
    while let Some(client) = clients.join_next().await {
        seen.extend(client.unwrap());
    }
    service.assert_ends_after(1 + UPGRADES as usize, &world).await;
    let spoken = assert_account(&world, &seen, calm);
    assert_eq!(spoken.iter().map(|row| row.usage.output_tokens).sum::<u64>(), said * EVENT_TOKENS);
    println!(
        "{} requests answered whole, {} conversations with {said} events, over {UPGRADES} upgrades",
        seen.len(),
        spoken.len()
    );
}

async fn connect(world: &World, http2: bool) -> Client {
    match http2 {
        true => Client::h2c(world.traffic, world.bearer("acme")).await,
        false => Client::h1(world.traffic, world.bearer("acme")).await,
    }
}

/// Asks for a stream with an event a second.
async fn begin(client: &mut Client, seconds: u64) -> (Response<Incoming>, Instant) {
    let path = format!("/model/{MODEL}/converse-stream");
    let request = with(post(&path, r#"{"inferenceConfig":{"maxTokens":100}}"#), "x-simulator-event-delay-ms", "1000");
    let began = Instant::now();
    let request: http::Request<Upload> = with(request, "x-simulator-events", &seconds.to_string());
    (client.send(request).await.unwrap(), began)
}

async fn watch(client: &mut Client, seconds: u64) -> Seen {
    let running = begin(client, seconds).await;
    read(running).await
}

/// Reads to the clean end, which `Answer` would not wait for.
async fn read((response, began): (Response<Incoming>, Instant)) -> Seen {
    let (head, mut body) = response.into_parts();
    assert_eq!(head.status, 200);
    let header = |name: &str| head.headers[name].to_str().unwrap().to_owned();
    let (id, upstream_id) = (header("x-tollgate-request-id"), Some(header("x-amzn-requestid")));
    let mut pieces = 0_usize;
    while let Some(frame) = within(body.frame()).await {
        frame.unwrap_or_else(|error| panic!("cut after {pieces} events and {:?}: {error:?}", began.elapsed()));
        pieces += 1;
    }
    Seen { id, upstream_id, tenant: "acme", status: 200, whole: true, began, ended: Instant::now() }
}
