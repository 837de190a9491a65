//! Events that have come in part, and streams whose clients are not read: they have room like bodies, and are in nobody's way.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::{io::copy_bidirectional, net::TcpStream, task::AbortHandle};

use crate::{
    client::Client,
    conversation::{Conversation, chunk},
    harness::{CONVERSE, Metrics, Settings, World, tenant},
};

const HELD: &str = "tollgate_bodies_held_bytes";
const DENIALS: &str = "tollgate_denials_total";
/// Of one that a client of these tests begins.
const EVENT_BYTES: usize = 150_000;

/// Room for one such event and a half.
async fn world_with_little_room(bodies: &str) -> World {
    World::with_sections(&format!("[bodies]\nbytes_max = 50_000\nin_flight_bytes_max = 300_000\n{bodies}\n")).await
}

fn holds(metrics: &Metrics) -> f64 {
    metrics.sum(HELD, &[])
}

/// Sends an event but for its last byte, which is given back.
fn begin(conversation: &mut Conversation, bytes: usize) -> Bytes {
    let mut event = conversation.signer.sign(&chunk(&vec![7; bytes]));
    let last = event.split_off(event.len() - 1);
    conversation.send(event);
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_begun_event_has_room_among_the_bodies_and_gives_it_back_when_it_goes_on() {
    let world = world_with_little_room("wait_seconds_max = 1").await;
    let mut client = world.h2().await;
    let mut first = Conversation::open(&mut client).await;
    let last = begin(&mut first, EVENT_BYTES);
    world.until_metrics("the first event is held", |metrics| holds(metrics) > EVENT_BYTES as f64).await;

    let mut second = Conversation::open(&mut client).await;
    begin(&mut second, EVENT_BYTES);
    let (kind, message) = second.exception().await;
    assert_eq!((kind.as_str(), message.contains("Try again")), ("serviceUnavailableException", true), "{message}");
    world.until_sum(DENIALS, &["acme", "no_room"], 1.0).await;

    first.send(last);
    assert_eq!(first.hear().await, [7; EVENT_BYTES]);
    first.close();
    assert_eq!(first.rest().await, 0);
    world.until_metrics("room is given back", |metrics| holds(metrics) == 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_room_goes_on_when_there_is_some_and_is_not_silent() {
    let bodies = "[bodies]\nbytes_max = 50_000\nin_flight_bytes_max = 300_000\nwait_seconds_max = 15\n";
    let sections = format!("{bodies}[bidirectional]\nidle_seconds_max = 1\n");
    let tenants = tenant("acme", "stream_bytes_per_second = 50_000") + &tenant("globex", "");
    let world = World::with(Settings { sections, tenants, ..Settings::default() }).await;
    let mut clients = [world.h2().await, world.h2().await];
    clients[1].authorization = world.bearer("globex");
    let mut slow = Conversation::open(&mut clients[0]).await;
    let mut quick = Conversation::open(&mut clients[1]).await;
    let began = Instant::now();
    slow.say(&[1; EVENT_BYTES]);
    world.until_metrics("the first event is held", |metrics| holds(metrics) > EVENT_BYTES as f64).await;
    quick.say(&[2; EVENT_BYTES]);
    assert_eq!(quick.hear().await, [2; EVENT_BYTES]);
    // It waited for the other's to go on, which is held back for longer than a silence may last.
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(slow.hear().await, [1; EVENT_BYTES]);
    assert_eq!(world.metrics().await.sum(DENIALS, &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_events_go_on_where_there_is_no_room() {
    let world = world_with_little_room("wait_seconds_max = 1").await;
    let mut client = world.h2().await;
    let mut large = [Conversation::open(&mut client).await, Conversation::open(&mut client).await];
    begin(&mut large[0], EVENT_BYTES);
    begin(&mut large[1], EVENT_BYTES / 2 - 5_000);
    world.until_metrics("there is little room", |metrics| holds(metrics) > 292_000.0).await;
    let mut live = Conversation::open(&mut client).await;
    for number in 0..100_u8 {
        live.say(&[number; 10_000]);
        assert_eq!(live.hear().await, [number; 10_000]);
    }
    assert_eq!(world.metrics().await.sum(DENIALS, &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_trickles_in_has_no_more_time_than_a_body() {
    let world = world_with_little_room("head_start_seconds = 1\nbytes_per_second_min = 100_000").await;
    let mut client = world.h2().await;
    let mut trickling = Conversation::open(&mut client).await;
    let event = trickling.signer.sign(&chunk(&[7; EVENT_BYTES]));
    let feed = trickling.feed.take().unwrap();
    let trickle = async {
        for byte in event.chunks(1) {
            if feed.send(Bytes::copy_from_slice(byte)).is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (kind, message) = tokio::select! {
        exception = trickling.exception() => exception,
        () = trickle => panic!("it may trickle for ever"),
    };
    assert_eq!(kind, "modelTimeoutException", "{message}");
    world.until_sum(DENIALS, &["acme", "event_too_slow"], 1.0).await;
}

/// More than the windows of a stream hold, on its way and back.
fn flood(conversation: &mut Conversation) {
    (0..100).for_each(|_| conversation.say(&[7; EVENT_BYTES / 2]));
}

/// Streams of one connection, which fill its windows unless what they fill is made good.
const STUCK: usize = 4;

/// A client whose connection ends with the tunnel: hyper's lets what it has begun to send go on.
async fn tunnelled(world: &World) -> (Client, AbortHandle) {
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let mut socket = TcpStream::connect(world.gateway.traffic[0]).await.unwrap();
    let tunnel = tokio::spawn(async move { drop(copy_bidirectional(&mut far, &mut socket).await) });
    (Client::http2_taking(65_535, near, world.bearer("acme")).await, tunnel.abort_handle())
}

async fn bodies_pass_streams_that_are_stuck(world: &World) {
    let (mut client, tunnel) = tunnelled(world).await;
    let mut stuck = Vec::new();
    for _ in 0..STUCK {
        let mut conversation = Conversation::open(&mut client).await;
        flood(&mut conversation);
        stuck.push(conversation);
    }
    let lent = (STUCK << 20) as f64;
    world.until_metrics("what is not read has room", |metrics| holds(metrics) >= lent).await;
    for _ in 0..3 {
        client.post(CONVERSE, vec![b' '; 1_000_000]).await.assert_served();
    }
    tunnel.abort();
    world.until_metrics("room is given back", |metrics| holds(metrics) == 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_held_back_leave_their_connection_to_others() {
    let tenants = tenant("acme", "stream_bytes_per_second = 1_000");
    let world = World::with(Settings { tenants, ..Settings::default() }).await;
    bodies_pass_streams_that_are_stuck(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_whose_answers_nobody_reads_leave_their_connection_to_others() {
    let world = World::start().await;
    bodies_pass_streams_that_are_stuck(&world).await;
}
