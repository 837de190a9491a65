//! Request bodies: every size in every framing reaches Bedrock as it was, and the bounds of size, room and time hold.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use crate::{
    client::{Answer, Client, Raw, Upload, post, post_upload, with},
    harness::{CONVERSE, INVOKE, World, until, within},
    signing::{Message, vend},
    vending::{bare, vending},
};

/// Around Pingora's retry buffer of 64 KiB, and up to Bedrock's own limit.
const SIZES: [usize; 7] = [0, 1, 65_535, 65_536, 65_537, 1_000_000, 25_000_000];

fn body(size: usize) -> Bytes {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl World {
    /// The last request came as it was sent, and its signature was believed.
    #[track_caller]
    fn assert_arrived(&self, sent: &[u8]) {
        let served = self.simulator.record().requests().pop().unwrap();
        assert_eq!((served.body_bytes, &served.body_sha256), (sent.len() as u64, &sha256(sent)));
        assert_eq!(served.verdict, "ok");
    }
}

async fn every_size_arrives(world: &World, client: &mut Client, upload: impl Fn(Bytes) -> Upload) {
    for size in SIZES {
        let sent = body(size);
        client.ask(post_upload(INVOKE, upload(sent.clone()))).await.assert_served();
        world.assert_arrived(&sent);
    }
    assert_eq!(world.served_count(), SIZES.len());
    world.until_metrics("room is given back", |metrics| metrics.sum("tollgate_bodies_held_bytes", &[]) == 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_with_content_length_arrive_whole_on_one_http1_connection() {
    let world = World::start().await;
    every_size_arrives(&world, &mut world.h1().await, Upload::whole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunked_bodies_arrive_whole_on_one_http1_connection() {
    let world = World::start().await;
    every_size_arrives(&world, &mut world.h1_tls().await, |bytes| Upload::in_pieces(bytes, 50_001)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_bodies_with_content_length_arrive_whole() {
    let world = World::start().await;
    every_size_arrives(&world, &mut world.h2().await, Upload::whole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_bodies_without_content_length_arrive_whole() {
    let world = World::start().await;
    every_size_arrives(&world, &mut world.h2c().await, |bytes| Upload::in_pieces(bytes, 16_000)).await;
}

/// A head of HTTP/1.1 as `world`'s first tenant sends it.
fn head(world: &World, fields: &str) -> String {
    let bearer = world.bearer("acme");
    format!(
        "POST {INVOKE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {bearer}\r\nContent-Type: application/json\r\n{fields}\r\n\r\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expectations_are_answered_before_the_body_and_the_connection_goes_on() {
    let world = World::start().await;
    let mut raw = Raw::connect(world.gateway.traffic[0]).await;
    for size in SIZES.into_iter().filter(|&size| size > 0) {
        let sent = body(size);
        raw.write(head(&world, &format!("Expect: 100-continue\r\nContent-Length: {size}"))).await;
        assert!(raw.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 100 "));
        raw.write(&sent).await;
        assert!(raw.read_answer().await.starts_with("HTTP/1.1 200 "));
        world.assert_arrived(&sent);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_over_the_limit_is_refused_before_anything_is_read() {
    let world = World::start().await;
    let mut raw = Raw::connect(world.gateway.traffic[0]).await;
    raw.write(head(&world, "Expect: 100-continue\r\nContent-Length: 25000001")).await;
    let answer = raw.read_answer().await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "no 100 before it: {answer}");
    assert!(answer.to_lowercase().contains("x-amzn-errortype: validationexception"), "{answer}");
    // Without Expect too: the answer comes though not a byte of the body was sent.
    let mut raw = Raw::connect(world.gateway.traffic[0]).await;
    raw.write(head(&world, "Content-Length: 25000001")).await;
    assert!(raw.read_answer().await.starts_with("HTTP/1.1 413 "));

    let (_feed, upload) = Upload::fed(Some(25_000_001));
    let answer = world.h2().await.ask(post_upload(INVOKE, upload)).await;
    answer.assert_refused(413, "ValidationException");
    assert_eq!(answer.json()["__type"], "ValidationException");
    assert_eq!(world.served_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_outgrows_the_limit_is_refused_while_it_is_read() {
    let world = World::with_sections("[bodies]\nbytes_max = 100_000").await;
    for mut client in [world.h1().await, world.h2().await] {
        let (feed, upload) = Upload::fed(None);
        feed.send(body(100_001)).unwrap();
        // The upload never ends; the answer comes all the same.
        client.ask(post_upload(INVOKE, upload)).await.assert_refused(413, "ValidationException");
    }
    world.h1().await.ask(post_upload(INVOKE, Upload::in_pieces(body(100_000), 999))).await.assert_served();
    assert_eq!(world.served_count(), 1);
    world.until_sum("tollgate_denials_total", &["body_too_large", "acme"], 2.0).await;
    world.until_sum("tollgate_bodies_held_bytes", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_large_is_told_in_the_words_of_the_route() {
    let world = World::with_sections("[bodies]\nbytes_max = 100").await;
    let mut client = world.h1().await;
    let answer = client.post("/openai/v1/chat/completions", body(101)).await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (413, &"invalid_request_error".into()));
    let answer = client.post("/anthropic/v1/messages", body(101)).await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (413, &"request_too_large".into()));
    let answer = client.post(CONVERSE, body(101)).await;
    assert_eq!((answer.status, &answer.json()["__type"]), (413, &"ValidationException".into()));
    assert!(answer.json()["message"].as_str().unwrap().contains("100 bytes"));
}

const SMALL_ROOM: &str = "[bodies]\nbytes_max = 100_000\nin_flight_bytes_max = 150_000\nwait_seconds_max = ";

/// A client that has room for 100,000 bytes and does not go on.
async fn occupy(world: &World) -> (tokio::sync::mpsc::UnboundedSender<Bytes>, tokio::task::JoinHandle<Answer>) {
    let (feed, upload) = Upload::fed(Some(100_000));
    let mut client = world.h1().await;
    let asking = tokio::spawn(async move { client.ask(post_upload(INVOKE, upload)).await });
    world.until_metrics("room is taken", |metrics| metrics.sum("tollgate_bodies_held_bytes", &[]) == 100_000.0).await;
    (feed, asking)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_finds_no_room_waits_for_it() {
    let world = World::with_sections(&format!("{SMALL_ROOM}20")).await;
    let (feed, first) = occupy(&world).await;
    let mut client = world.h1().await;
    let second = tokio::spawn(async move { client.ask(post(INVOKE, body(60_000))).await });
    world.until_metrics("both are admitted", |metrics| metrics.sum("tollgate_requests_in_flight", &["acme"]) == 2.0).await;
    assert!(!second.is_finished() && world.served_count() == 0);
    feed.send(body(100_000)).unwrap();
    first.await.unwrap().assert_served();
    second.await.unwrap().assert_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_finds_no_room_in_time_is_told_to_come_back() {
    let world = World::with_sections(&format!("{SMALL_ROOM}1")).await;
    let (_feed, _first) = occupy(&world).await;
    for mut client in [world.h1().await, world.h2().await] {
        let answer = client.ask(post(INVOKE, body(60_000))).await;
        answer.assert_refused(503, "ServiceUnavailableException");
        let hints = ["retry-after", "retry-after-ms", "x-amz-retry-after"].map(|name| answer.header(name));
        assert_eq!(hints, ["1", "1000", "1000"]);
    }
    assert_eq!(world.served_count(), 0);
    world.until_sum("tollgate_denials_total", &["no_room"], 2.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_takes_too_long_is_given_up() {
    let world = World::with_sections("[bodies]\nread_seconds_max = 1").await;
    for mut client in [world.h1().await, world.h2().await] {
        let (feed, upload) = Upload::fed(Some(100));
        feed.send(Bytes::from_static(b"{")).unwrap();
        client.ask(post_upload(INVOKE, upload)).await.assert_refused(408, "ValidationException");
    }
    assert_eq!(world.served_count(), 0);
    world.until_metrics("room is given back", |metrics| metrics.sum("tollgate_bodies_held_bytes", &[]) == 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_trickles_is_given_up_and_one_that_flows_slowly_is_not() {
    let world = World::with_sections("[bodies]\nhead_start_seconds = 1\nbytes_per_second_min = 1000").await;
    for (bytes, flows) in [(5, false), (500, true)] {
        for mut client in [world.h1().await, world.h2().await] {
            let (feed, upload) = Upload::fed(None);
            let trickling = tokio::spawn(async move {
                // A body of a second and a half: JSON, but for its end.
                for _ in 0..15 {
                    if feed.send(Bytes::from(" ".repeat(bytes))).is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                let _ = feed.send(Bytes::from_static(b"{}"));
            });
            let answer = client.ask(post_upload(INVOKE, upload)).await;
            match flows {
                true => answer.assert_served(),
                false => answer.assert_refused(408, "ValidationException"),
            }
            within(trickling).await.unwrap();
        }
    }
    assert_eq!(world.served_count(), 2);
    world.until_sum("tollgate_denials_total", &["body_too_slow"], 2.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_while_it_uploads_frees_its_room() {
    let world = World::start().await;
    for mut client in [world.h1().await, world.h2().await, world.h1_tls().await] {
        let (feed, upload) = Upload::fed(Some(1_000_000));
        feed.send(body(500_000)).unwrap();
        let request = tokio::spawn(async move { client.send(post_upload(INVOKE, upload)).await.map(drop) });
        world.until_metrics("room is taken", |metrics| metrics.sum("tollgate_bodies_held_bytes", &[]) > 0.0).await;
        request.abort();
        world
            .until_metrics("room and slot are given back", |metrics| {
                metrics.sum("tollgate_bodies_held_bytes", &[]) == 0.0
                    && metrics.sum("tollgate_requests_in_flight", &["acme"]) == 0.0
            })
            .await;
    }
    assert_eq!(world.served_count(), 0);
    let lines = world.log_lines(3).await;
    assert!(lines.iter().all(|line| line["status"].as_u64() != Some(200)), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_chunk_header_keeps_no_room_after_its_client_left() {
    let world = World::start().await;
    let mut raw = Raw::connect(world.gateway.traffic[0]).await;
    raw.write(head(&world, "Transfer-Encoding: chunked") + "5\r\nhe").await;
    world.until_metrics("room is taken", |metrics| metrics.sum("tollgate_bodies_held_bytes", &[]) > 0.0).await;
    drop(raw);
    world.until_metrics("room is given back", |metrics| metrics.sum("tollgate_bodies_held_bytes", &[]) == 0.0).await;
    assert_eq!(world.served_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_small_body_leaves_the_connection_usable() {
    let world = World::start().await;
    let mut client = world.h1().await;
    let refused = with(post(INVOKE, body(10_000)), "authorization", "Bearer nonsense");
    client.ask(refused).await.assert_refused(403, "UnrecognizedClientException");
    client.post(INVOKE, body(10)).await.assert_served();
    until("one request", || world.served_count() == 1).await;
}

/// Whoever is not known yet takes the room of nobody who is: with an announcement none at all, with bytes never more than half.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_take_no_room_with_what_they_only_announce() {
    let bounds = "[bodies]\nbytes_max = 100_000\nin_flight_bytes_max = 300_000\nwait_seconds_max = 1";
    let world = World::with(vending(&["a"], bounds)).await;
    let signer = vend(&mut bare(&world).await, &world.token("acme")).await;
    let signed = signer.sign(Message::post(CONVERSE, "{}")).request();
    let (mut open, mut strangers) = (JoinSet::new(), Vec::new());
    for target in [CONVERSE, "/sts"].repeat(4) {
        let (feed, upload) = Upload::fed(Some(if target == CONVERSE { 100_000 } else { 30_000 }));
        let mut request = post_upload(target, upload);
        for name in ["authorization", "x-amz-date", "x-amz-security-token", "host"] {
            request.headers_mut().extend(signed.headers().get(name).map(|value| (HeaderName::from_static(name), value.clone())));
        }
        if target == "/sts" {
            request.headers_mut().insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
        }
        let mut client = bare(&world).await;
        open.spawn(async move { client.send(request).await.map(drop) });
        strangers.push((feed, target));
    }
    world.until_metrics("all have begun", |metrics| metrics.sum("tollgate_connections", &[]) >= 8.0).await;
    let mut known = world.h1().await;
    for _ in 0..3 {
        known.ask(post(INVOKE, body(90_000))).await.assert_served();
    }
    assert_eq!(world.metrics().await.sum("tollgate_bodies_held_bytes", &[]), 0.0);
    // Now they send nearly all of it: 400,000 bytes.
    for (feed, target) in &strangers {
        feed.send(body(if *target == CONVERSE { 99_000 } else { 2_000 })).unwrap();
    }
    world.until_metrics("half is taken", |metrics| metrics.sum("tollgate_bodies_held_bytes", &[]) > 50_000.0).await;
    assert!(world.metrics().await.sum("tollgate_bodies_held_bytes", &[]) <= 150_000.0);
    known.ask(post(INVOKE, body(90_000))).await.assert_served();
}
