//! Clients that take their time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    frames::{self, ACK, DATA, END_STREAM, Frame, GOAWAY, HEADERS, Http2, PING, WINDOW_UPDATE},
    raw::{Raw, SOON},
    world::{CONVERSE, CONVERSE_STREAM, World},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_first_head_has_its_own_deadline_whatever_the_idle_time() {
    let world = World::start("[\"*\"]", "[downstream]\nheader_seconds_max = 1\nidle_seconds_max = 60\n").await;
    let mut raw = Raw::connect(&world).await;
    let began = Instant::now();
    raw.send(b"POST /model/m/converse HTTP/1.1\r\nHost: localhost\r\n").await;
    assert_eq!(raw.rest().await.as_deref(), Some(""));
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_head_has_the_same_deadline_from_its_first_byte() {
    let world = World::start("[\"*\"]", "[downstream]\nheader_seconds_max = 1\nidle_seconds_max = 60\n").await;
    let mut raw = Raw::connect(&world).await;
    for _ in 0..2 {
        raw.send(world.good().as_bytes()).await;
        assert!(raw.answer().await.starts_with("HTTP/1.1 200 "));
    }
    // Idle for longer than a head may take is no fault.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    raw.send(world.good().as_bytes()).await;
    assert!(raw.answer().await.starts_with("HTTP/1.1 200 "));
    let began = Instant::now();
    raw.send(b"POST /model/m/converse HTTP/1.1\r\nHost: localhost\r\n").await;
    assert_eq!(raw.rest().await.as_deref(), Some(""));
    assert!((1..10).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    world.until_metric("connections_refused_total", "reason=\"head_late\"", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_idle_are_closed() {
    let world = World::start("[\"*\"]", "[downstream]\nidle_seconds_max = 1\n").await;
    let mut raw = Raw::connect(&world).await;
    raw.send(world.good().as_bytes()).await;
    assert!(raw.answer().await.starts_with("HTTP/1.1 200 "));
    let began = Instant::now();
    assert_eq!(raw.rest().await.as_deref(), Some(""));
    assert!((1..10).contains(&(began.elapsed() + Duration::from_millis(200)).as_secs()), "{:?}", began.elapsed());
    let mut http2 = Http2::connect(&world).await;
    http2.send(&frames::request(1, CONVERSE)).await;
    let seen = http2.rest().await.expect("closed when it has idled");
    assert!(seen.iter().any(|frame| frame.kind == HEADERS && frame.stream == 1));
    assert!(seen.iter().any(|frame| frame.kind == GOAWAY), "it says so, though nobody answers");
    world.until_metric("connections{", "listener", 0.0).await;
}

/// The next frame of a kind.
async fn next(http2: &mut Http2, kind: u8) -> Frame {
    let next = async {
        loop {
            let frame = http2.next().await.expect("not closed yet");
            if frame.kind == kind {
                return frame;
            }
        }
    };
    timeout(SOON, next).await.expect("a frame of this kind")
}

/// A request that is served.
fn whole(stream: u32, world: &World) -> Vec<u8> {
    [frames::good(stream, world, CONVERSE), frames::body(stream)].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_http2_connection_is_told_to_go_and_what_was_on_its_way_is_served() {
    let world = World::start("[\"*\"]", "[downstream]\nidle_seconds_max = 1\n").await;
    let mut http2 = Http2::connect(&world).await;
    http2.send(&whole(1, &world)).await;
    assert_eq!(next(&mut http2, HEADERS).await.stream, 1);
    let told = next(&mut http2, GOAWAY).await;
    assert_eq!(
        told.payload,
        [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        "all streams so far count, and nothing is wrong (RFC 9113 §6.8)"
    );
    let ping = next(&mut http2, PING).await;
    // Sent before the client could know.
    http2.send(&whole(3, &world)).await;
    assert_eq!(next(&mut http2, HEADERS).await.stream, 3);
    http2.send(&frames::frame(PING, ACK, 0, &ping.payload)).await;
    let rest = http2.rest().await.expect("closed when the client knows");
    let last: Vec<_> = rest.iter().filter(|frame| frame.kind == GOAWAY).map(|frame| frame.payload.clone()).collect();
    assert_eq!(last, [[0, 0, 0, 3, 0, 0, 0, 0]], "the last stream that was served");
    assert_eq!(world.served(), 2);
    world.until_metric("connections{", "listener", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_that_is_sent_before_the_client_can_know_of_the_end_is_served() {
    let world = Arc::new(World::start("[\"*\"]", "[downstream]\nidle_seconds_max = 1\n").await);
    let mut asking = JoinSet::new();
    for offset in (700..1_300).step_by(10) {
        let world = world.clone();
        asking.spawn(async move {
            let mut http2 = Http2::connect(&world).await;
            http2.send(&whole(1, &world)).await;
            next(&mut http2, HEADERS).await;
            sleep(Duration::from_millis(offset)).await;
            http2.send(&whole(3, &world)).await;
            let mut told = false;
            loop {
                let frame = timeout(SOON, http2.next()).await.unwrap().unwrap_or_else(|| panic!("lost after {offset} ms"));
                match frame.kind {
                    HEADERS => break told,
                    GOAWAY => told = true,
                    PING => {
                        http2.send(&frames::frame(PING, ACK, 0, &frame.payload)).await;
                    }
                    _ => {}
                }
            }
        });
    }
    let told = asking.join_all().await;
    assert!(told.contains(&true), "none was sent after the end had begun");
    assert_eq!(world.served(), 2 * told.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_answer_of_a_connection_is_not_lost_to_a_slow_reader_who_goes_on_talking() {
    let world = World::start("[\"*\"]", "[downstream]\nrequests_per_connection_max = 1\n").await;
    // Less than what the gateway's side of the socket takes, more than this side does.
    world.script("[default]\nevents = 12\nevent_bytes = 50000\n");
    let mut http2 = Http2::taking(4 << 20, &world).await;
    http2.send(&[frames::good(1, &world, CONVERSE_STREAM), frames::body(1)].concat()).await;
    let ping = next(&mut http2, PING).await;
    http2.send(&frames::frame(PING, ACK, 0, &ping.payload)).await;
    // The gateway has done its part, and would be gone.
    world.until_metric("requests_total", "tenant=\"acme\"", 1.0).await;
    let reading = async {
        loop {
            // What comes to a socket that is closed makes its system forget what was not delivered yet.
            http2.send(&frames::frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])).await;
            let frame = http2.next().await.expect("cut");
            if frame.kind == DATA && frame.flags & END_STREAM != 0 {
                return;
            }
        }
    };
    timeout(SOON, reading).await.unwrap();
    drop(http2);
    world.until_metric("connections{", "listener", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_given_up_and_nobody_waits_for_that_of_a_stranger() {
    let world = World::start("[\"*\"]", "[bodies]\nhead_start_seconds = 1\n").await;
    let mut raw = Raw::connect(&world).await;
    raw.send((world.head(CONVERSE, "Content-Length: 1000\r\n") + "{").as_bytes()).await;
    let began = Instant::now();
    assert!(raw.answer().await.starts_with("HTTP/1.1 408 "));
    assert!((1..10).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!(raw.rest().await.as_deref(), Some(""), "what is left of the body is no request");
    let mut nobody = Raw::connect(&world).await;
    nobody.send(format!("POST {CONVERSE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{{").as_bytes()).await;
    assert!(nobody.answer().await.starts_with("HTTP/1.1 403 "));
    assert_eq!(nobody.rest().await.as_deref(), Some(""));
    world.until_metric("denials_total", "reason=\"body_too_slow\"", 1.0).await;
    assert_eq!(world.served(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_loses_its_stream() {
    let world = World::start("[\"*\"]", "[downstream]\nidle_seconds_max = 1\n").await;
    // More than the sockets between the simulator and this client take.
    world.script("[default]\nevents = 1000\nevent_bytes = 100000\n");
    let mut raw = Raw::connect(&world).await;
    raw.send((world.head(CONVERSE_STREAM, "Content-Length: 2\r\n") + "{}").as_bytes()).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 200 "));
    world.until_metric("requests_in_flight", "tenant=\"acme\"", 0.0).await;
}
