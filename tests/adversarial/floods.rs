//! HTTP/2 clients that send what costs them nothing and the gateway something, for as long as they are let.

use std::{fs, time::Instant};

use crate::{
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, Http2, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
        body, field, fields, frame, good, request,
    },
    raw::{Raw, SOON},
    world::{CONVERSE, World},
};

/// Of this process: gateway, simulator and attacker.
fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// The connection is closed soon, memory stays, and somebody else is served meanwhile.
async fn closed(world: &World, name: &str, opening: Vec<u8>, piece: impl FnMut(u32) -> Vec<u8>) {
    let before = resident_bytes();
    let mut attacker = Http2::connect(world).await;
    attacker.send(&opening).await;
    let (flooded, other) = tokio::join!(attacker.flood(piece), async {
        let began = Instant::now();
        let mut raw = Raw::connect(world).await;
        for _ in 0..20 {
            raw.send(world.good().as_bytes()).await;
            assert!(raw.answer().await.starts_with("HTTP/1.1 200 "), "{name}");
        }
        began.elapsed()
    });
    let count = flooded.unwrap_or_else(|| panic!("goes on: {name}"));
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{name}: grown by {grown}");
    assert!(other < SOON / 2, "{name}: others waited {other:?}");
    assert!(count < 1_000_000, "{name}: {count}");
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_without_end_close_the_connection() {
    let world = World::start("[\"*\"]", "").await;
    let nothing = Vec::new;
    closed(&world, "PING", nothing(), |_| frame(PING, 0, 0, &[0; 8])).await;
    closed(&world, "SETTINGS", nothing(), |_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])).await;
    closed(&world, "empty SETTINGS", nothing(), |_| frame(SETTINGS, 0, 0, &[])).await;
    closed(&world, "PRIORITY", nothing(), |n| frame(PRIORITY, 0, 2 * n + 1, &[0, 0, 0, 0, 7])).await;
    closed(&world, "unknown", nothing(), |_| frame(0x42, 0, 0, &[0; 100])).await;
    let open = frame(HEADERS, END_HEADERS, 1, &fields("/model/m/converse"));
    closed(&world, "empty DATA", open.clone(), |_| frame(DATA, 0, 1, &[])).await;
    closed(&world, "WINDOW_UPDATE", open, |_| frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])).await;
    assert!(world.metric("connections_refused_total", "reason=\"flood\"").await >= 5.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_without_end_close_the_connection() {
    let world = World::start("[\"*\"]", "").await;
    let begun = frame(HEADERS, END_STREAM, 1, &fields("/model/m/converse"));
    closed(&world, "empty CONTINUATION", begun.clone(), |_| frame(CONTINUATION, 0, 1, &[])).await;
    let more = (0..100).flat_map(|_| field("x", "y")).collect::<Vec<_>>();
    closed(&world, "CONTINUATION", begun, |_| frame(CONTINUATION, 0, 1, &more)).await;
    // One entry of 4,000 bytes in the table, and then a byte for each copy of it (RFC 7541 §7.3).
    let mut entry = vec![0x40, 1, b'x', 0x7f, 0xa0, 0x1e];
    entry.extend([b'y'; 127 + 0x20 + (0x1e << 7)]);
    let bomb = frame(HEADERS, END_STREAM | END_HEADERS, 1, &[fields("/"), entry, vec![0xbe; 4_000]].concat());
    let next = |n: u32| frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 3, &[fields("/"), vec![0xbe; 16_000]].concat());
    closed(&world, "HPACK bomb", bomb, next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_reset_at_once_close_the_connection() {
    let world = World::start("[\"*\"]", "").await;
    let reset = |n: u32| [request(2 * n + 1, "/model/m/converse"), frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8])].concat();
    closed(&world, "rapid reset", Vec::new(), reset).await;
    // MadeYouReset: the gateway is made to do the resetting.
    let provoked = |n: u32| {
        let stream = 2 * n + 1;
        let open = frame(HEADERS, END_HEADERS, stream, &fields("/model/m/converse"));
        [open, frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
    };
    closed(&world, "provoked resets", Vec::new(), provoked).await;
    assert_eq!(world.served(), 20 * 2);
}

/// The alert on the gateway's own failures must not be a stranger's to ring.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_gone_before_the_refusal_was_refused_and_is_no_failure_of_ours() {
    let world = World::start("[\"*\"]", "").await;
    for _ in 0..10 {
        let mut http2 = Http2::connect(&world).await;
        let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
        http2.send(&[request(1, "/model/m/converse"), reset].concat()).await;
        // In order: the answer to this says that the other was taken up.
        http2.send(&frame(PING, 0, 0, &[0; 8])).await;
        while http2.next().await.unwrap().kind != PING {}
    }
    world.until_metric("requests_total", "outcome=\"denied\"", 10.0).await;
    assert_eq!(world.metric("denials_total", "reason=\"internal\"").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_beyond_those_allowed_are_refused_and_counted_and_the_others_are_served() {
    let world = World::start("[\"*\"]", "[downstream]\nstreams_per_connection_max = 3\n").await;
    let mut http2 = Http2::connect(&world).await;
    assert_eq!(world.metric("streams_refused_total", "listener").await, 0.0);
    let (open, beyond) = ([1, 3, 5], [7, 9, 11, 13]);
    http2.send(&open.into_iter().chain(beyond).flat_map(|stream| good(stream, &world, CONVERSE)).collect::<Vec<_>>()).await;
    let mut refused = Vec::new();
    while refused.len() < beyond.len() {
        let Frame { kind, stream, payload, .. } = http2.next().await.unwrap();
        assert_ne!((kind, stream), (HEADERS, 1), "its body is not there");
        if kind == RST_STREAM {
            assert_eq!(payload, [0, 0, 0, 7], "REFUSED_STREAM, which may be sent again (RFC 9113 §8.7)");
            refused.push(stream);
        }
    }
    assert_eq!(refused, beyond);
    http2.send(&open.into_iter().flat_map(body).collect::<Vec<_>>()).await;
    let mut ended = Vec::new();
    while ended.len() < open.len() {
        let Frame { kind, stream, .. } = http2.next().await.unwrap();
        if kind == HEADERS {
            ended.push(stream);
        }
        assert_ne!(kind, RST_STREAM);
    }
    world.until_metric("streams_refused_total", "listener", beyond.len() as f64).await;
    assert_eq!(world.served(), open.len());

    // Who goes on and on is sent away, and counted until then.
    let held = good(1, &world, CONVERSE).into_iter().chain(good(3, &world, CONVERSE)).chain(good(5, &world, CONVERSE));
    closed(&world, "streams", held.collect(), |n| request(2 * n + 7, CONVERSE)).await;
    let counted = world.metric("streams_refused_total", "listener").await;
    assert!((50.0..200.0).contains(&counted), "{counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_refused_below_the_stations_are_counted() {
    let world = World::start("[\"*\"]", "").await;
    let mut http2 = Http2::connect(&world).await;
    let authority = |value: &str| {
        let fields = [field(":method", "POST"), field(":scheme", "http"), field(":path", CONVERSE), field(":authority", value)];
        fields.concat()
    };
    let differs = [authority("localhost"), field("host", "elsewhere")].concat();
    let large = [authority("localhost"), field("x-large", &"x".repeat(100)).repeat(700)].concat();
    let (first, rest) = large.split_at(16_000);
    let mut frames = [
        frame(HEADERS, END_STREAM | END_HEADERS, 1, &differs),
        frame(HEADERS, END_STREAM | END_HEADERS, 3, &authority("a@localhost")),
    ]
    .concat();
    frames.extend(frame(HEADERS, END_STREAM, 5, first));
    let pieces: Vec<&[u8]> = rest.chunks(16_000).collect();
    for (n, piece) in pieces.iter().enumerate() {
        let flags = if n + 1 == pieces.len() { END_HEADERS } else { 0 };
        frames.extend(frame(CONTINUATION, flags, 5, piece));
    }
    // And one that the stations refuse, and count themselves.
    frames.extend(request(7, CONVERSE));
    http2.send(&frames).await;
    let mut answered = Vec::new();
    while answered.len() < 4 {
        let Frame { kind, stream, .. } = http2.next().await.unwrap();
        if matches!(kind, HEADERS | RST_STREAM) && !answered.contains(&stream) {
            answered.push(stream);
        }
    }
    world.until_metric("denials_total", "reason=\"head\"", 3.0).await;
    assert_eq!(world.metric("denials_total", "reason=\"head\"").await, 3.0, "once each");
    assert_eq!(world.served(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_may_hold_two_mebibytes_and_a_hundred_streams() {
    let world = World::start("[\"*\"]", "").await;
    let mut http2 = Http2::connect(&world).await;
    let (mut streams, mut window) = (None, 65_535);
    while window == 65_535 || streams.is_none() {
        let Frame { kind, stream, payload, .. } = http2.next().await.unwrap();
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        match (kind, stream) {
            (SETTINGS, 0) => {
                let value = |id: u8| payload.chunks(6).find(|setting| setting[1] == id).map(|setting| number(&setting[2..]));
                streams = streams.or(value(3));
            }
            (WINDOW_UPDATE, 0) => window += number(&payload),
            _ => {}
        }
    }
    assert_eq!((streams, window), (Some(100), 2 << 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preface_that_does_not_end_is_not_waited_for() {
    let world = World::start("[\"*\"]", "").await;
    let mut raw = Raw::connect(&world).await;
    raw.send(b"PRI * HTTP/2.0\r\n\r\nSM").await;
    assert_eq!(raw.rest().await.as_deref(), Some(""));
    world.until_metric("connections_refused_total", "reason=\"silent\"", 1.0).await;
}
