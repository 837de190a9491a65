//! Who may connect, how many, for how long, and how much may run at once.

use crate::{
    frames::{self, Http2},
    raw::Raw,
    world::{CONVERSE, CONVERSE_STREAM, World},
};

/// As an NLB writes it.
fn proxy_header(client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend(client);
    header.extend([10, 0, 0, 1, 0x12, 0x34, 0x01, 0xbb]);
    header
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_cap_connections_are_closed_at_once_and_those_within_are_served() {
    let world = World::start("[\"*\"]", "[downstream]\nconnections_max = 3\n").await;
    let mut within = Vec::new();
    for _ in 0..3 {
        within.push(Raw::connect(&world).await);
    }
    world.until_metric("connections{", "listener", 3.0).await;
    for _ in 0..50 {
        assert_eq!(Raw::connect(&world).await.rest().await.as_deref(), Some(""));
    }
    for raw in &mut within {
        raw.send(world.good().as_bytes()).await;
        assert!(raw.answer().await.starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(world.metric("connections_refused_total", "reason=\"connections_max\"").await, 50.0);
    within.pop();
    world.until_metric("connections{", "listener", 2.0).await;
    let mut next = Raw::connect(&world).await;
    next.send(world.good().as_bytes()).await;
    assert!(next.answer().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_get_through_to_an_admin_listener_that_strangers_fill() {
    let world = World::start("[\"*\"]", "").await;
    let mut strangers = Vec::new();
    for number in 0..200 {
        let mut stranger = Raw::to(world.gateway.admin).await;
        let says: &[u8] = [&b""[..], b"G", b"GET /metrics HTTP/1.1\r\nHost: local"][number % 3];
        stranger.send(says).await;
        strangers.push(stranger);
    }
    for _ in 0..20 {
        world.metric("connections{", "listener").await;
    }
    let mut scrape = Raw::to(world.gateway.admin).await;
    scrape.send(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(scrape.answer().await.starts_with("HTTP/1.1 200 "));
    // 64 have room, and this is one of them.
    for stranger in strangers.iter_mut().take(200 - 63) {
        assert!(stranger.rest().await.is_some(), "it is open still");
    }
    scrape.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(scrape.answer().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_elsewhere_does_not_get_a_word_in() {
    let world = World::listening("allow_from = [\"10.0.0.0/8\", \"::1\"]", "[\"*\"]", "").await;
    let mut raw = Raw::connect(&world).await;
    raw.send(world.good().as_bytes()).await;
    assert_eq!(raw.rest().await.as_deref(), Some(""));
    world.until_metric("connections_refused_total", "reason=\"allow_from\"", 1.0).await;
    assert_eq!(world.served(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_balancer_the_client_is_who_the_header_names() {
    let rules = "proxy_protocol_from = [\"127.0.0.0/8\"]\nallow_from = [\"192.0.2.0/25\"]";
    let world = World::listening(rules, "[\"*\"]", "").await;
    let ask = async |header: &[u8]| {
        let mut raw = Raw::connect(&world).await;
        // The header and what follows it may come in one segment.
        raw.send(&[header, world.head(CONVERSE, "Content-Length: 2\r\nConnection: close\r\n").as_bytes(), b"{}"].concat()).await;
        raw.rest().await.unwrap()
    };
    assert!(ask(&proxy_header([192, 0, 2, 7])).await.starts_with("HTTP/1.1 200 "));
    world.until_logged("\"client\":\"192.0.2.7:4660\"").await;
    assert_eq!(ask(&proxy_header([192, 0, 2, 200])).await, "", "outside allow_from, though the balancer is not");
    // A health check speaks for the balancer itself.
    assert!(ask(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00").await.starts_with("HTTP/1.1 200 "));
    for bad in [
        &b""[..],
        b"PROXY TCP4 192.0.2.7 10.0.0.1 4660 443\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x12\x00\x0c............",
    ] {
        assert_eq!(ask(bad).await, "", "{bad:?}");
    }
    assert_eq!(world.metric("connections_refused_total", "reason=\"proxy_protocol\"").await, 4.0);
    assert_eq!(world.served(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_speak_for_others_is_not_listened_to() {
    let world = World::listening("proxy_protocol_from = [\"10.0.0.0/8\"]", "[\"*\"]", "").await;
    let mut raw = Raw::connect(&world).await;
    raw.send(&[&proxy_header([192, 0, 2, 7])[..], world.good().as_bytes()].concat()).await;
    assert!(!raw.rest().await.unwrap().contains(" 200 "));
    assert_eq!(world.served(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_closed_in_order_after_its_share_of_requests() {
    let world = World::start("[\"*\"]", "[downstream]\nrequests_per_connection_max = 3\n").await;
    let mut raw = Raw::connect(&world).await;
    for left in (0..3).rev() {
        raw.send(world.good().as_bytes()).await;
        let answer = raw.answer().await.to_lowercase();
        assert!(answer.starts_with("http/1.1 200 "), "{answer}");
        assert_eq!(answer.contains("connection: close\r\n"), left == 0, "{answer}");
    }
    assert_eq!(raw.rest().await.as_deref(), Some(""));

    let mut http2 = Http2::connect(&world).await;
    for stream in [1, 3, 5] {
        http2.send(&frames::request(stream, "/model/m/converse")).await;
    }
    let seen = http2.rest().await.expect("closed after its requests");
    let answers = seen.iter().filter(|frame| frame.kind == frames::HEADERS).count();
    let goodbye = seen.iter().find(|frame| frame.kind == frames::GOAWAY).expect("a GOAWAY");
    assert_eq!((answers, goodbye.payload[7]), (3, 0), "all are answered, and nothing went wrong");
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_what_may_run_at_once_requests_are_refused_early_with_a_hint() {
    let world = World::start("[\"*\"]", "[downstream]\nrequests_max = 2\n[metering]\nread_on_seconds_max = 0\n").await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::connect(&world).await;
        let head = world.head(CONVERSE_STREAM, "x-simulator-stall: mid-stream\r\nContent-Length: 2\r\n");
        raw.send((head + "{}").as_bytes()).await;
        assert!(raw.head().await.starts_with("HTTP/1.1 200 "));
        streams.push(raw);
    }
    let mut raw = Raw::connect(&world).await;
    for _ in 0..20 {
        raw.send(world.good().as_bytes()).await;
        let refused = raw.answer().await;
        assert!(refused.starts_with("HTTP/1.1 503 ") && refused.to_lowercase().contains("retry-after: 1\r\n"), "{refused}");
        assert!(refused.contains("ServiceUnavailableException"), "{refused}");
    }
    assert_eq!(world.served(), 2);
    world.until_metric("denials_total", "reason=\"overloaded\"", 20.0).await;
    world.simulator.set_script(Default::default());
    streams.clear();
    let served = async {
        loop {
            raw.send(world.good().as_bytes()).await;
            if raw.answer().await.starts_with("HTTP/1.1 200 ") {
                return;
            }
        }
    };
    tokio::time::timeout(crate::raw::SOON, served).await.expect("room again once the streams are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_answers_no_ping_does_not_hold_the_end_up() {
    let world = World::start("[\"*\"]", "").await;
    let mut http2 = Http2::connect(&world).await;
    http2.send(&frames::request(1, "/model/m/converse")).await;
    while http2.next().await.expect("an answer").kind != frames::HEADERS {}
    tokio::time::timeout(crate::raw::SOON, world.gateway.stop()).await.expect("the end, long before drain_seconds_max");
}
