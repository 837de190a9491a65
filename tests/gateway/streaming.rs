//! Streams: as they come, byte for byte, at the client's pace, and never with a clean end that Bedrock did not make.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Response, body::Incoming};
use tokio::{io::AsyncWriteExt, task::JoinSet};

use crate::{
    client::{Answer, Client, Raw, post, with},
    harness::{CONVERSE_STREAM, INVOKE, Settings, World, tenant, until, within},
    puppet::{Puppet, Strings},
};

async fn with_puppet() -> (Puppet, World) {
    let puppet = Puppet::start().await;
    let world = World::with_upstream(&puppet.upstream()).await;
    (puppet, world)
}

/// The next piece; `None` at a clean end.
async fn next(response: &mut Response<Incoming>) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        match within(response.frame()).await?.map(|frame| frame.into_data().unwrap()) {
            // HTTP/2 ends a stream with an empty frame.
            Ok(piece) if piece.is_empty() => {}
            piece => return Some(piece),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_arrives_before_the_next_one_is_sent() {
    let (puppet, world) = with_puppet().await;
    for mut client in [world.h1().await, world.h2().await, world.h2c().await] {
        let answering = tokio::spawn(async move { client.send(post(CONVERSE_STREAM, "{}")).await.map(|head| (head, client)) });
        let mut upstream = puppet.request().await;
        upstream.say_head().await;
        // The head is here before there is any event.
        let (mut response, _client) = within(answering).await.unwrap().unwrap();
        for number in 0..20 {
            let event = format!("event {number}");
            upstream.say_chunk(&event).await;
            assert_eq!(next(&mut response).await.unwrap().unwrap(), event);
        }
        upstream.say("0\r\n\r\n").await;
        assert!(next(&mut response).await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_are_identical_to_what_bedrock_sends_at_any_chunking() {
    let world = World::start().await;
    let mut direct = Vec::new();
    for chunk_bytes in ["1", "7", "1000", "65536"] {
        for mut client in [world.h1().await, world.h2().await] {
            let request = with(post(CONVERSE_STREAM, "{}"), "x-simulator-chunk-bytes", chunk_bytes);
            let answer = client.ask(with(request, "x-simulator-events", "20")).await;
            answer.assert_served();
            assert_eq!(answer.header("content-type"), "application/vnd.amazon.eventstream");
            direct.push(answer.body);
        }
    }
    assert!(direct[0].len() > 2_000 && direct.iter().all(|body| *body == direct[0]));
    // The frames' own checksums say that they are what was made.
    let mut rest = direct.swap_remove(0);
    let mut frames = 0;
    while !rest.is_empty() {
        aws_smithy_eventstream::frame::read_message_from(&mut rest).unwrap();
        frames += 1;
    }
    assert!(frames > 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_holds_bedrock_back() {
    let (puppet, world) = with_puppet().await;
    for mut client in [world.h1().await, world.h2().await] {
        let answering = tokio::spawn(async move { client.send(post(CONVERSE_STREAM, "{}")).await.map(|head| (head, client)) });
        let mut upstream = puppet.request().await;
        upstream.say_head().await;
        let (mut response, _client) = within(answering).await.unwrap().unwrap();
        let chunk = format!("{:x}\r\n{}\r\n", 65_536, "x".repeat(65_536));
        let mut chunks = 0;
        while let Ok(written) = tokio::time::timeout(Duration::from_millis(300), upstream.0.write_all(chunk.as_bytes())).await {
            written.unwrap();
            chunks += 1;
            assert!(chunks < 1_000, "64 MB went into buffers");
        }
        // Once the client reads, what was held back comes.
        let mut read = 0;
        while read < chunks * 65_536 {
            read += next(&mut response).await.unwrap().unwrap().len();
        }
    }
}

/// What the simulator does to a stream in its middle.
const BREAKS: [(&str, &str); 2] = [("x-simulator-reset", "mid-stream"), ("x-simulator-close", "mid-stream")];

async fn breaks_off(response: Response<Incoming>) -> bool {
    within(response.into_body().collect()).await.is_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_bedrock_breaks_off_never_ends_cleanly() {
    let world = World::start().await;
    for (name, value) in BREAKS {
        for mut client in [world.h1().await, world.h1_tls().await, world.h2().await, world.h2c().await] {
            let response = client.send(with(post(CONVERSE_STREAM, "{}"), name, value)).await.unwrap();
            assert_eq!(response.status(), 200);
            assert!(breaks_off(response).await, "{name}");
        }
    }
    let lines = world.log_lines(8).await;
    assert!(lines.iter().all(|line| line["outcome"] == "upstream_failed" && line["status"] == 200), "{lines:#?}");
    assert_eq!(world.served_count(), 8, "nothing is sent twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_with_a_length_that_breaks_off_never_ends_cleanly() {
    let world = World::start().await;
    for (name, value) in BREAKS {
        for mut client in [world.h1().await, world.h2().await] {
            let request = with(post(INVOKE, "{}"), "x-simulator-response-bytes", "200000");
            let response = client.send(with(request, name, value)).await.unwrap();
            assert!(breaks_off(response).await, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_stream_has_no_last_chunk_on_the_wire() {
    let world = World::start().await;
    let mut raw = Raw::connect(world.gateway.traffic[0]).await;
    let bearer = world.bearer("acme");
    let head = format!(
        "POST {CONVERSE_STREAM} HTTP/1.1\r\nHost: h\r\nAuthorization: {bearer}\r\nContent-Length: 2\r\nx-simulator-close: mid-stream\r\n\r\n{{}}"
    );
    raw.write(head).await;
    let answer = raw.read_to_end().await;
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 200") && text.to_lowercase().contains("transfer-encoding: chunked"), "{text}");
    assert!(text.contains("contentBlockDelta") && !text.ends_with("0\r\n\r\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_falls_silent_is_cut_at_the_bound() {
    let world = World::with_upstream("silence_seconds_max = 1\n").await;
    for mut client in [world.h1().await, world.h2().await] {
        let response = client.send(with(post(CONVERSE_STREAM, "{}"), "x-simulator-stall", "mid-stream")).await.unwrap();
        assert!(breaks_off(response).await);
    }
    world.until_metrics("slots are free", |metrics| metrics.sum("tollgate_requests_in_flight", &["acme"]) == 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exceptions_inside_a_stream_pass_and_end_it_cleanly() {
    let world = World::start().await;
    let request = with(post(CONVERSE_STREAM, "{}"), "x-simulator-exception", "modelStreamErrorException");
    let answer = world.h1().await.ask(request).await;
    answer.assert_served();
    assert!(String::from_utf8_lossy(&answer.body).contains("modelStreamErrorException"));
    let line = world.log_lines(1).await.remove(0);
    assert_eq!((&line["outcome"], &line["exception"]), (&"completed".into(), &"modelStreamErrorException".into()), "{line}");
    world.until_sum("tollgate_upstream_errors_total", &["bedrock-runtime", "200", "ModelStreamErrorException"], 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_streams_run_at_once() {
    let world = World::start().await;
    let mut clients = Vec::new();
    for number in 0..200 {
        clients.push(if number % 2 == 0 { world.h1().await } else { world.h2c().await });
    }
    // Five seconds each: on a busy machine the last has to begin before the first ends.
    let slow = || with(with(post(CONVERSE_STREAM, "{}"), "x-simulator-events", "50"), "x-simulator-event-delay-ms", "100");
    let streams: JoinSet<Answer> = clients.into_iter().map(|mut client| async move { client.ask(slow()).await }).collect();
    world.until_metrics("all run at once", |metrics| metrics.sum("tollgate_requests_in_flight", &["acme"]) == 200.0).await;
    let answers: Vec<Answer> = streams.join_all().await;
    answers.iter().for_each(Answer::assert_served);
    assert!(answers.iter().all(|answer| answer.body == answers[0].body));
}

/// Waits for a stream's first piece.
async fn begin(client: &mut Client, request: http::Request<crate::client::Upload>) -> Response<Incoming> {
    let mut response = client.send(request).await.unwrap();
    assert_eq!(response.status(), 200);
    next(&mut response).await.unwrap().unwrap();
    response
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_reading_on_a_client_that_leaves_frees_its_slot_and_bedrocks_connection() {
    let tenants = tenant("acme", "concurrent_requests = 1");
    let sections = "[metering]\nread_on_seconds_max = 0\n".to_owned();
    let world = World::with(Settings { tenants, sections, ..Settings::default() }).await;
    let endless = || with(with(post(CONVERSE_STREAM, "{}"), "x-simulator-events", "100000"), "x-simulator-event-delay-ms", "10");
    for (count, mut client) in
        [world.h1().await, world.h1_tls().await, world.h2().await, world.h2c().await].into_iter().enumerate()
    {
        let response = begin(&mut client, endless()).await;
        world.h1().await.post(INVOKE, "{}").await.assert_refused(429, "ThrottlingException");
        drop((response, client));
        world.until_metrics("the slot is free", |metrics| metrics.sum("tollgate_requests_in_flight", &["acme"]) == 0.0).await;
        world.h1().await.post(INVOKE, "{}").await.assert_served();
        let lines = world.log_lines(3 * (count + 1)).await;
        assert_eq!(lines.iter().filter(|line| line["outcome"] == "client_left").count(), count + 1, "{lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_to_a_client_that_left_is_read_to_its_end() {
    let world = World::start().await;
    let paced =
        |events| with(with(post(CONVERSE_STREAM, "{}"), "x-simulator-events", events), "x-simulator-event-delay-ms", "10");
    let whole = world.h1().await.ask(paced("30")).await.body.len();
    for (count, mut client) in
        [world.h1().await, world.h1_tls().await, world.h2().await, world.h2c().await].into_iter().enumerate()
    {
        drop((begin(&mut client, paced("30")).await, client));
        let line = world.log_lines(count + 2).await.pop().unwrap();
        assert_eq!((&line["outcome"], &line["response_bytes"]), (&"client_left".into(), &whole.into()), "{line:#?}");
        assert!(world.simulator.record().requests().iter().all(|served| served.completed()));
    }
}

/// The gateway reads on for the account, and takes a client that reads nothing for one that left; what such a client reads later is no answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_cut_from_a_client_that_takes_nothing_does_not_end_cleanly() {
    let world = World::with_sections("[downstream]\nidle_seconds_max = 1\n").await;
    let long = || with(post(CONVERSE_STREAM, "{}"), "x-simulator-events", "100000");
    let mut h2 = Client::h2c_taking(65_535, world.gateway.traffic[0], world.bearer("acme")).await;
    let mut h1 = world.h1().await;
    for (count, client) in [&mut h2, &mut h1].into_iter().enumerate() {
        let response = client.send(long()).await.unwrap();
        let line = world.log_lines(count + 1).await.pop().unwrap();
        assert_eq!(line["outcome"], "client_left", "{line:#?}");
        assert!(breaks_off(response).await, "{count}");
    }
}

/// A stream that has begun, over a connection on which the client may say more.
async fn begun(puppet: &Puppet, world: &World) -> (Raw, Strings, String) {
    let bearer = world.bearer("acme");
    let head = format!("POST {CONVERSE_STREAM} HTTP/1.1\r\nHost: h\r\nAuthorization: {bearer}\r\nContent-Length: 2\r\n\r\n{{}}");
    let mut raw = Raw::connect(world.gateway.traffic[0]).await;
    raw.write(&head).await;
    let mut upstream = puppet.request().await;
    upstream.say_head().await;
    upstream.say_chunk("first").await;
    raw.read_until("first").await;
    (raw, upstream, head)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_cut_from_a_client_that_closed_its_side_has_no_last_chunk() {
    let (puppet, world) = with_puppet().await;
    let (mut raw, mut upstream, _) = begun(&puppet, &world).await;
    raw.0.shutdown().await.unwrap();
    world.until_sum("tollgate_answers_read_on", &[], 1.0).await;
    upstream.say_chunk("second").await;
    upstream.say("0\r\n\r\n").await;
    let rest = raw.read_to_end().await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{:?}", String::from_utf8_lossy(&rest));
    world.until_sum("tollgate_answers_read_on", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_says_ahead_cuts_nothing_and_is_served_in_its_turn() {
    let (puppet, world) = with_puppet().await;
    for more in ["\r\n", ""] {
        let (mut raw, mut upstream, head) = begun(&puppet, &world).await;
        raw.write(&format!("{more}{head}")).await;
        upstream.say_chunk("second").await;
        upstream.say("0\r\n\r\n").await;
        assert!(raw.read_until("0\r\n\r\n").await.contains("second"));
        upstream.read_request().await;
        upstream.say_head().await;
        upstream.say_chunk("third").await;
        upstream.say("0\r\n\r\n").await;
        assert!(raw.read_until("0\r\n\r\n").await.contains("third"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_read_even_if_its_client_left_before_the_first_byte() {
    let (puppet, world) = with_puppet().await;
    let mut client = world.h1().await;
    let asking = tokio::spawn(async move { client.ask(post(INVOKE, "{}")).await });
    let mut upstream = puppet.request().await;
    asking.abort();
    let _ = asking.await;
    world.until_sum("tollgate_answers_read_on", &[], 1.0).await;
    upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    let line = world.log_lines(1).await.pop().unwrap();
    assert_eq!((&line["outcome"], &line["response_bytes"]), (&"client_left".into(), &2.into()), "{line:#?}");
    assert_eq!((line.get("status"), &line["source"]), (None, &"bedrock".into()), "{line:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_on_is_bounded_in_time_and_bytes() {
    let endless = || with(with(post(CONVERSE_STREAM, "{}"), "x-simulator-events", "100000"), "x-simulator-event-delay-ms", "10");
    for bound in ["read_on_seconds_max = 1", "read_on_bytes_max = 2000"] {
        let world = World::with_sections(&format!("[metering]\n{bound}\n")).await;
        for mut client in [world.h1().await, world.h2().await] {
            drop((begin(&mut client, endless()).await, client));
        }
        let lines = world.log_lines(2).await;
        assert!(lines.iter().all(|line| line["outcome"] == "client_left"), "{lines:#?}");
        assert!(world.simulator.record().requests().iter().all(|served| !served.completed()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_reset_by_the_client_leaves_the_others_on_its_connection() {
    let world = World::start().await;
    let paced = |delay| with(with(post(CONVERSE_STREAM, "{}"), "x-simulator-events", "40"), "x-simulator-event-delay-ms", delay);
    let mut client = world.h2().await;
    let left = begin(&mut client, paced("1000")).await;
    let stays = begin(&mut client, paced("5")).await;
    drop(left);
    world.until_metrics("one has ended", |metrics| metrics.sum("tollgate_requests_in_flight", &["acme"]) < 2.0).await;
    let rest = within(stays.into_body().collect()).await.unwrap().to_bytes();
    assert!(rest.windows(8).any(|eight| eight == b"metadata"), "the last event came");
    until("both went upstream", || world.served_count() == 2).await;
}
