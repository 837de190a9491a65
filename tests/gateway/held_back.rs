//! Streams that say more in a second than their tenant may: what comes too fast waits, nothing is lost, and nobody else notices.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tollgate::simulator::Served;

use crate::{
    conversation::{Conversation, chunk, encoded, request},
    harness::{Settings, World, tenant, until},
};

const HELD_BACK: &str = "tollgate_bidirectional_held_back_seconds_total";

fn settings(bidirectional: &str, acme: &str) -> Settings {
    let tenants = tenant("acme", acme) + &tenant("globex", "");
    Settings { tenants, sections: format!("[bidirectional]\n{bidirectional}\n"), ..Settings::default() }
}

fn last(world: &World) -> Arc<Served> {
    world.simulator.record().requests().pop().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_streams_share_its_seconds_and_all_they_say_arrives() {
    for (bidirectional, acme) in [
        ("events_per_second_max = 20", ""),
        ("bytes_per_second_max = 5_000", ""),
        // Its own go before those of all.
        ("events_per_second_max = 1", "stream_events_per_second = 20"),
        ("", "stream_bytes_per_second = 5_000"),
    ] {
        let world = World::with(settings(bidirectional, acme)).await;
        let mut client = world.h2().await;
        let mut streams = [Conversation::open(&mut client).await, Conversation::open(&mut client).await];
        let began = Instant::now();
        for number in 0..15_u8 {
            streams.iter_mut().for_each(|stream| stream.say(&[number; 100]));
        }
        // Ten events, or as many bytes, have to wait for half a second.
        for mut stream in streams {
            for number in 0..15_u8 {
                assert_eq!(stream.hear().await, [number; 100], "{bidirectional} {acme}");
            }
            stream.close();
            assert_eq!(stream.rest().await, 0);
        }
        assert!(began.elapsed() > Duration::from_millis(450), "{bidirectional} {acme}: {:?}", began.elapsed());
        let metrics = world.metrics().await;
        assert!(metrics.sum(HELD_BACK, &["acme"]) > 0.45, "{bidirectional} {acme}");
        assert_eq!(metrics.sum("tollgate_denials_total", &[]), 0.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_held_back_for_longer_than_a_silence_may_last_is_not_silent() {
    let world = World::with(settings("idle_seconds_max = 1", "stream_bytes_per_second = 1_000")).await;
    let mut client = world.h2().await;
    let mut stream = Conversation::open(&mut client).await;
    for number in 0..2_u8 {
        stream.say(&[number; 3_000]);
    }
    for number in 0..2_u8 {
        assert_eq!(stream.hear().await, [number; 3_000]);
    }
    assert!(world.metrics().await.sum(HELD_BACK, &["acme"]) > 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tenants_streams_do_not_wait() {
    let world = World::with(settings("events_per_second_max = 100", "stream_events_per_second = 1")).await;
    let mut client = world.h2().await;
    let mut slow = Conversation::open(&mut client).await;
    (0..50).for_each(|_| slow.say(b"too much"));
    let mut other = world.h2().await;
    other.authorization = world.bearer("globex");
    let (feed, request) = request();
    let mut quick = Conversation::of(feed, other.send(request).await.unwrap());
    for number in 0..50_u8 {
        quick.say(&[number]);
        assert_eq!(quick.hear().await, [number]);
    }
    assert_eq!(world.metrics().await.sum(HELD_BACK, &["globex"]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_reaches_bedrock_at_the_tenants_pace() {
    const PER_SECOND: usize = 100_000;
    let world = World::with(settings(&format!("bytes_per_second_max = {PER_SECOND}"), "")).await;
    let mut client = world.h2().await;
    let mut flood = Conversation::open(&mut client).await;
    let served = last(&world);
    let began = Instant::now();
    (0..1_000).for_each(|_| flood.say(&[7; 5_000]));
    // One frame of HTTP/2 and one event go beyond it, since a piece is counted when it has come.
    let beyond = 16_384 + encoded(&chunk(&[7; 5_000])).len() + 83;
    for share in [1.0, 1.5, 2.0] {
        let reached = (PER_SECOND as f64 * share) as u64;
        until("more came through", || served.heard().unwrap().bytes() >= reached).await;
        let bytes = served.heard().unwrap().bytes();
        let passed = began.elapsed().as_secs_f64();
        let most = PER_SECOND as f64 * (1.0 + passed) + beyond as f64;
        assert!((bytes as f64) <= most, "{bytes} bytes after {passed} s");
    }
}
