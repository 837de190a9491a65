//! Clients that take their time.

use std::time::{Duration, Instant};

use crate::{
    frames::{self, Http2},
    raw::Raw,
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
    assert!(seen.iter().any(|frame| frame.kind == frames::HEADERS && frame.stream == 1));
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
