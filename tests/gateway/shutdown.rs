//! The end in order: not ready, nobody new, everybody served to the end, up to a bound.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::{
    client::{self, Answer, Client, post, with},
    harness::{CONVERSE_STREAM, INVOKE, World, within},
    puppet::Puppet,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_streams_finish_and_nobody_new_is_taken() {
    for http2 in [false, true] {
        let puppet = Puppet::start().await;
        let world = World::with_upstream(&puppet.upstream()).await;
        assert_eq!(world.admin("/readyz").await, (200, "ready\n".to_owned()));
        let mut client = if http2 { world.h2().await } else { world.h1().await };
        let answering = tokio::spawn(async move { client.send(post(CONVERSE_STREAM, "{}")).await.map(|head| (head, client)) });
        let mut upstream = puppet.request().await;
        upstream.say_head().await;
        upstream.say_chunk("one").await;
        let (response, _client) = within(answering).await.unwrap().unwrap();

        let (traffic, admin) = (world.gateway.traffic.clone(), world.gateway.admin);
        let stopping = tokio::spawn(world.gateway.stop());
        within(async { while client::get(admin, "/readyz").await.unwrap() != (503, "stopping\n".to_owned()) {} }).await;
        for address in traffic {
            within(async { while TcpStream::connect(address).await.is_ok() {} }).await;
        }
        assert_eq!(client::get(admin, "/healthz").await.unwrap().0, 200);
        assert!(!stopping.is_finished());
        upstream.say_chunk("two").await;
        upstream.say("0\r\n\r\n").await;
        let answer = Answer::read(response).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"onetwo"[..]));
        within(stopping).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_do_not_hold_the_end_up() {
    let world = World::start().await;
    let mut clients = vec![world.h1().await, world.h1_tls().await, world.h2().await, world.h2c().await];
    for client in &mut clients {
        client.post(INVOKE, "{}").await.assert_served();
    }
    // These have not said a word.
    let _silent = TcpStream::connect(world.gateway.traffic[0]).await.unwrap();
    within(world.gateway.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_end_is_cut_at_the_bound() {
    let world = World::with_sections("[downstream]\ndrain_seconds_max = 1").await;
    let stalled = || with(post(CONVERSE_STREAM, "{}"), "x-simulator-stall", "mid-stream");
    let (mut h1, mut h2) = (world.h1().await, world.h2().await);
    let _streams = (h1.send(stalled()).await.unwrap(), h2.send(stalled()).await.unwrap());
    within(world.gateway.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_after_an_upgrade_over_a_kept_connection_has_the_whole_bound() {
    let world = World::with_sections("[downstream]\ndrain_seconds_max = 5").await;
    let mut client = world.h1().await;
    // Three seconds.
    let stream = || with(with(post(CONVERSE_STREAM, "{}"), "x-simulator-event-delay-ms", "200"), "x-simulator-events", "11");
    // The head of its answer, which cannot say that the connection ends, is out before the upgrade.
    let running = client.send(stream()).await.unwrap();
    let (leaving, began) = (tokio::spawn(world.gateway.leave()), Instant::now());
    Answer::read(running).await.unwrap().assert_served();
    let answer = client.ask(stream()).await;
    answer.assert_served();
    assert_eq!(answer.header("connection"), "close");
    assert!(began.elapsed() > Duration::from_secs(5), "it went on beyond the bound of what ran before: {:?}", began.elapsed());
    within(leaving).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_says_so_first_and_serves_whoever_comes_meanwhile() {
    let world = World::with_sections("[downstream]\nleave_seconds = 5").await;
    let (mut idle, mut http2) = (world.h1().await, world.h2().await);
    idle.post(INVOKE, "{}").await.assert_served();
    http2.post(INVOKE, "{}").await.assert_served();
    let (traffic, admin, bearer) = (world.gateway.traffic[0], world.gateway.admin, idle.authorization.clone());
    let stopping = tokio::spawn(world.gateway.stop());
    within(async { while client::get(admin, "/readyz").await.unwrap() != (503, "stopping\n".to_owned()) {} }).await;
    let mut late = Client::h1(traffic, bearer).await;
    for client in [&mut idle, &mut late] {
        // At once if the connection knows by then; and otherwise the next time.
        within(async {
            let mut told = false;
            while !told {
                let answer = client.post(INVOKE, "{}").await;
                answer.assert_served();
                told = answer.header("connection") == "close";
            }
        })
        .await;
    }
    within(async {
        while http2.is_ready().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut late = Client::h2c(traffic, late.authorization.clone()).await;
    late.post(INVOKE, "{}").await.assert_served();
    within(async {
        while late.is_ready().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!stopping.is_finished());
    // Who connects then is refused, or comes to another test's gateway, which took the port.
    within(stopping).await.unwrap();
}

/// Bytes of an answer that a slow client has not read yet lie in the kernel and in the HTTP/2 library when its request has ended already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_slowly_over_http2_has_the_whole_answer() {
    const EVENTS: &str = "8000";
    const AT_ONCE: usize = 16 * 1024;
    let world = World::start().await;
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (line, gateway) = (slow.local_addr().unwrap(), world.gateway.traffic[0]);
    tokio::spawn(async move {
        let (mut client, mut gateway) = (slow.accept().await.unwrap().0, TcpStream::connect(gateway).await.unwrap());
        let ((mut from_client, mut to_client), (mut from_gateway, mut to_gateway)) = (client.split(), gateway.split());
        let down = async {
            let mut piece = vec![0; AT_ONCE];
            while let Ok(length @ 1..) = from_gateway.read(&mut piece).await {
                to_client.write_all(&piece[..length]).await.unwrap();
                sleep(Duration::from_millis(60)).await; // A slow line is what this is about.
            }
            to_client.shutdown().await
        };
        tokio::join!(down, tokio::io::copy(&mut from_client, &mut to_gateway))
    });
    let whole = world.h1().await.ask(with(post(CONVERSE_STREAM, "{}"), "x-simulator-events", EVENTS)).await.body.len();
    let mut client = Client::h2c_taking(8 << 20, line, world.bearer("acme")).await;
    let response = client.send(with(post(CONVERSE_STREAM, "{}"), "x-simulator-events", EVENTS)).await.unwrap();
    world.until_sum("tollgate_requests_in_flight", &["acme"], 0.0).await;
    let (began, stopping) = (Instant::now(), tokio::spawn(world.gateway.stop()));
    let read = Answer::read(response).await.unwrap().body.len();
    assert_eq!(read, whole);
    println!("{whole} bytes, the last {:?} after the request had ended", began.elapsed());
    drop(client);
    within(stopping).await.unwrap();
}
