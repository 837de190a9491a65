//! What goes to Bedrock and comes back on one connection: in how many pieces, in which order, and what becomes of the connection.

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    client::{Answer, Client, Upload, post, with},
    harness::{CONVERSE, Settings, World, within},
    puppet::{Puppet, Strings},
};

const MODELS: &str = "/foundation-models/amazon.nova-lite-v1%3A0";

async fn world(puppet: &Puppet) -> World {
    World::with_upstream(&puppet.upstream()).await
}

fn ask(mut client: Client, request: Request<Upload>) -> tokio::task::JoinHandle<Answer> {
    tokio::spawn(async move { client.ask(request).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_request_arrives_at_once_and_a_large_one_whole() {
    let puppet = Puppet::start().await;
    let world = world(&puppet).await;
    for client in [world.h1().await, world.h2().await] {
        let asking = ask(client, post(CONVERSE, vec![b'x'; 8_000]));
        let mut upstream = puppet.accept().await;
        let mut read = vec![0; 100_000];
        let length = within(upstream.0.read(&mut read)).await.unwrap();
        assert!(read[..length].ends_with(&[b'x'; 8_000]), "{}", String::from_utf8_lossy(&read[..length]));
        upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        asking.await.unwrap().assert_served();
    }
    for length in [16_000, 16_384, 70_000, 3_000_000] {
        let asking = ask(world.h1().await, post(CONVERSE, vec![b'y'; length]));
        let mut upstream = puppet.accept().await;
        assert_eq!(upstream.read_body().await, "y".repeat(length));
        upstream.say("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
        asking.await.unwrap().assert_served();
    }
}

/// It answers, and then reads on, takes nothing any more, or closes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_comes_before_all_was_taken_goes_on() {
    let puppet = Puppet::start().await;
    for (then, silence_seconds_max) in [("reads on", 60), ("waits", 1), ("closes", 60)] {
        let upstream = format!("silence_seconds_max = {silence_seconds_max}\n{}", puppet.upstream());
        let world = World::with_upstream(&upstream).await;
        for client in [world.h1().await, world.h2().await] {
            let asking = ask(client, post(CONVERSE, Bytes::from(vec![b'x'; 20_000_000])));
            let mut upstream = puppet.accept().await;
            upstream.say("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}").await;
            let mut socket = upstream.0;
            let behaving = tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 20];
                match then {
                    "reads on" => while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {},
                    "waits" => std::future::pending().await,
                    _ => drop(socket),
                }
            });
            let answer = within(asking).await.unwrap();
            let told = (answer.status, answer.header("x-tollgate-source"), &answer.body[..]);
            assert_eq!(told, (413, "bedrock", &b"{}"[..]), "{then}");
            behaving.abort();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_to_a_head_has_no_body_and_its_connection_goes_on() {
    let puppet = Puppet::start().await;
    let world = world(&puppet).await;
    let head = || {
        let mut request = post(&format!("/bedrock{MODELS}"), "");
        *request.method_mut() = http::Method::HEAD;
        request
    };
    let asking = ask(world.h1().await, head());
    let mut upstream = puppet.request().await;
    upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").await;
    let answer = within(asking).await.unwrap();
    assert_eq!((answer.status, answer.header("content-length"), answer.body.len()), (200, "5", 0));
    let asking = ask(world.h2().await, head());
    upstream.read_request().await;
    upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n").await;
    assert_eq!(within(asking).await.unwrap().header("content-length"), "7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_ends_with_its_connection_ends_for_the_client_too() {
    let puppet = Puppet::start().await;
    let world = world(&puppet).await;
    for client in [world.h1().await, world.h2().await] {
        let asking = ask(client, post(CONVERSE, "{}"));
        let mut upstream = puppet.request().await;
        upstream.say("HTTP/1.1 200 OK\r\n\r\n").await;
        for _ in 0..10 {
            upstream.say("piece ").await;
        }
        drop(upstream);
        let answer = within(asking).await.unwrap();
        assert_eq!(answer.body, "piece ".repeat(10));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_there_for_the_next_request_when_the_answer_is() {
    let puppet = Puppet::start().await;
    let world = world(&puppet).await;
    let mut client = world.h1().await;
    let mut upstream: Option<Strings> = None;
    for _ in 0..50 {
        let asking = tokio::spawn(async move {
            let answer = client.post(CONVERSE, "{}").await;
            (answer, client)
        });
        let mut connection = match upstream.take() {
            None => puppet.accept().await,
            Some(connection) => connection,
        };
        assert_eq!(connection.read_body().await, "{}");
        connection.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
        let (answer, back) = within(asking).await.unwrap();
        answer.assert_served();
        (client, upstream) = (back, Some(connection));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_connection_names_and_what_is_of_the_hop_stays_with_the_client() {
    let puppet = Puppet::start().await;
    let world = world(&puppet).await;
    let named = with(post(CONVERSE, "{}"), "connection", "x-mine, http2-settings");
    let request = with(with(with(named, "x-mine", "1"), "http2-settings", "AAMAAABkAAQAAP__"), "x-other", "2");
    let asking = ask(world.h1().await, request);
    let mut upstream = puppet.accept().await;
    let head = upstream.read_request().await.to_lowercase();
    assert!(head.contains("\r\nx-other: 2\r\n"), "{head}");
    for name in ["x-mine", "http2-settings", "connection"] {
        assert!(!head.contains(&format!("\r\n{name}:")), "{head}");
    }
    upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    asking.await.unwrap().assert_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interim_answers_come_before_the_last_one() {
    let puppet = Puppet::start().await;
    let world = World::with(Settings { upstream: puppet.upstream(), ..Settings::default() }).await;
    let asking = ask(world.h1().await, post(CONVERSE, "{}"));
    let mut upstream = puppet.request().await;
    upstream.say("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n").await;
    upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    let answer = asking.await.unwrap();
    answer.assert_served();
    assert_eq!(answer.body, "{}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_let_go_when_bedrock_closes_it_or_its_time_is_over() {
    let puppet = Puppet::start().await;
    for (idle_seconds_max, closes) in [(60, true), (1, false)] {
        let upstream = format!("idle_seconds_max = {idle_seconds_max}\n{}", puppet.upstream());
        let world = World::with_upstream(&upstream).await;
        let asking = ask(world.h1().await, post(CONVERSE, "{}"));
        let mut upstream = puppet.request().await;
        upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        within(asking).await.unwrap().assert_served();
        if closes {
            within(upstream.0.shutdown()).await.unwrap();
        }
        assert_eq!(within(upstream.0.read(&mut [0])).await.unwrap(), 0);
        // Nor is it taken for the next one.
        let asking = ask(world.h1().await, post(CONVERSE, "{}"));
        puppet.request().await.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        within(asking).await.unwrap().assert_served();
    }
}
