//! Sent once: what happens between the gateway and Bedrock when connections fail, and the one case in which a request goes out again.

use std::{collections::HashSet, net::TcpListener};

use tokio::{
    io::AsyncReadExt,
    task::{JoinHandle, JoinSet},
};

use crate::{
    client::{Answer, Client, Raw, post, with},
    harness::{CONVERSE, Certificate, INVOKE, Settings, World, within},
    puppet::{Puppet, Strings},
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_bedrock_closes_after_an_answer_are_invisible() {
    let world = World::start().await;
    world.script("default = { close_after_response = true }");
    let mut client = world.h1().await;
    for _ in 0..200 {
        client.post(INVOKE, "{}").await.assert_served();
    }
    assert_eq!(world.served_count(), 200, "each went out once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_bedrock_closes_when_idle_are_invisible() {
    let world = World::start().await;
    // A rule, since the default would close connections that are new and have had no request yet.
    world.script("[[rules]]\nclose_idle_ms = 2");
    let mut clients = JoinSet::new();
    for number in 0..8 {
        let mut client = world.h1().await;
        clients.spawn(async move {
            for round in 0..40_u64 {
                client.post(INVOKE, vec![b'x'; 100_000]).await.assert_served();
                // Around the time at which the simulator closes: the race is the point.
                tokio::time::sleep(std::time::Duration::from_micros(1_000 + (round * 97 + number * 131) % 2_000)).await;
            }
        });
    }
    clients.join_all().await;
    assert_eq!(world.simulator.record().totals().requests, 320, "each was processed once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_on_a_dead_pooled_connection_goes_out_again_on_a_new_one() {
    let puppet = Puppet::start().await;
    let world = World::with_upstream(&puppet.upstream()).await;
    let mut client = world.h1().await;
    for body in ["{}".to_owned(), "x".repeat(1_000_000)] {
        let first = tokio::spawn(async move { (client.post(INVOKE, "{}").await, client) });
        let mut upstream = puppet.request().await;
        upstream.say(OK).await;
        let (answer, returned) = first.await.unwrap();
        answer.assert_served();
        client = returned;

        let second = tokio::spawn(async move { (client.post(INVOKE, body).await, client) });
        let head = upstream.read_request().await;
        drop(upstream);
        let mut fresh = puppet.accept().await;
        let again = fresh.read_request().await;
        let length = |head: &str| head.lines().find(|line| line.to_lowercase().starts_with("content-length")).map(str::to_owned);
        assert_eq!(length(&head), length(&again));
        fresh.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").await;
        let (answer, returned) = second.await.unwrap();
        answer.assert_served();
        client = returned;
    }
    world.until_sum("tollgate_upstream_retries_total", &["bedrock-runtime"], 2.0).await;
    assert_eq!(world.log_lines(4).await.iter().filter(|line| line["retries"] == 1).count(), 2);
}

/// Its `100 Continue` was the gateway's, and no answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waited_to_be_told_to_go_on_is_served_behind_a_dead_connection_too() {
    let puppet = Puppet::start().await;
    let world = World::with_upstream(&puppet.upstream()).await;
    let mut client = world.h1().await;
    let first = tokio::spawn(async move { client.post(INVOKE, "{}").await });
    let mut upstream = puppet.request().await;
    upstream.say(OK).await;
    within(first).await.unwrap().assert_served();

    let mut raw = expecting(&world).await;
    upstream.read_request().await;
    drop(upstream);
    puppet.request().await.say(OK).await;
    let answer = raw.read_answer().await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    world.until_sum("tollgate_upstream_retries_total", &["bedrock-runtime"], 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_was_told_to_go_on_and_left_has_no_status() {
    let puppet = Puppet::start().await;
    let world = World::with_upstream(&puppet.upstream()).await;
    let raw = expecting(&world).await;
    let mut upstream = puppet.request().await;
    drop(raw);
    world.until_sum("tollgate_answers_read_on", &[], 1.0).await;
    upstream.say(OK).await;
    let line = world.log_lines(1).await.remove(0);
    assert_eq!((&line["outcome"], line.get("status")), (&"client_left".into(), None), "{line:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_client_is_gone_is_not_sent_again() {
    let puppet = Puppet::start().await;
    let world = World::with_upstream(&puppet.upstream()).await;
    let (asking, upstream) = second_request(world.h1().await, &puppet).await;
    asking.abort();
    world.until_sum("tollgate_answers_read_on", &[], 1.0).await;
    drop(upstream);
    let line = world.log_lines(2).await.pop().unwrap();
    assert_eq!((&line["outcome"], &line["retries"]), (&"client_left".into(), &0.into()), "{line:#}");
}

/// A client that has sent its request, the body once it was told to.
async fn expecting(world: &World) -> Raw {
    let bearer = world.bearer("acme");
    let mut raw = Raw::connect(world.gateway.traffic[0]).await;
    raw.write(format!(
        "POST {INVOKE} HTTP/1.1\r\nHost: h\r\nAuthorization: {bearer}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    ))
    .await;
    assert!(raw.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 100 "));
    raw.write("{}").await;
    raw
}

/// A pooled connection on which the next request meets what `misbehave` says.
async fn second_request_meets(said: &str) -> (Answer, World, Puppet) {
    let puppet = Puppet::start().await;
    let world = World::with_upstream(&puppet.upstream()).await;
    let client = world.h1().await;
    let answer = second_request_of(client, &puppet, said).await;
    (answer, world, puppet)
}

async fn second_request_of(client: Client, puppet: &Puppet, said: &str) -> Answer {
    let (asking, mut upstream) = second_request(client, puppet).await;
    upstream.say(said).await;
    drop(upstream);
    within(asking).await.unwrap()
}

/// The second request of a client, and the connection that it came on, which was pooled after the first.
async fn second_request(mut client: Client, puppet: &Puppet) -> (JoinHandle<Answer>, Strings) {
    let asking = tokio::spawn(async move {
        client.post(INVOKE, "{}").await.assert_served();
        client.post(INVOKE, "{}").await
    });
    let mut upstream = puppet.request().await;
    upstream.say(OK).await;
    upstream.read_request().await;
    (asking, upstream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_got_a_byte_of_an_answer_is_not_sent_again() {
    let (answer, world, _puppet) = second_request_meets("HTTP/1.1 20").await;
    answer.assert_refused(502, "ServiceUnavailableException");
    world.until_sum("tollgate_upstream_retries_total", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_got_an_interim_answer_is_not_sent_again() {
    let puppet = Puppet::start().await;
    let world = World::with_upstream(&puppet.upstream()).await;
    for said in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"] {
        for client in [world.h1().await, world.h2().await] {
            let answer = second_request_of(client, &puppet, said).await;
            answer.assert_refused(502, "ServiceUnavailableException");
        }
    }
    world.until_sum("tollgate_upstream_retries_total", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_bedrock_held_for_a_while_is_not_sent_again() {
    let world = World::start().await;
    let mut client = world.h1().await;
    client.post(INVOKE, "{}").await.assert_served();
    // Longer than a dead connection takes to show.
    let request = with(post(INVOKE, "{}"), "x-simulator-latency-ms", "400");
    client.ask(with(request, "x-simulator-close", "before-headers")).await.assert_refused(502, "ServiceUnavailableException");
    assert_eq!(world.served_count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_before_an_answer_is_502_and_the_request_was_sent_once() {
    let world = World::start().await;
    for (count, end) in ["x-simulator-reset", "x-simulator-close"].into_iter().enumerate() {
        // A new connection each time: HTTP/1.1 upstream connections that were cut are not pooled.
        for (more, mut client) in [world.h1().await, world.h2().await].into_iter().enumerate() {
            let answer = client.ask(with(post(CONVERSE, "{}"), end, "before-headers")).await;
            answer.assert_refused(502, "ServiceUnavailableException");
            assert_eq!(world.served_count(), 2 * count + more + 1);
        }
    }
    world.until_sum("tollgate_requests_total", &["upstream_failed", "5xx", "Converse"], 4.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_request_on_http1_says_whether_the_connection_goes_on() {
    let world = World::start().await;
    let mut client = world.h1().await;
    for _ in 0..3 {
        let answer = client.ask(with(post(CONVERSE, "{}"), "x-simulator-reset", "before-headers")).await;
        answer.assert_refused(502, "ServiceUnavailableException");
        if answer.header("connection") == "close" {
            client = world.h1().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_before_an_answer_is_504_at_the_bound() {
    let world = World::with_upstream("silence_seconds_max = 1\n").await;
    for mut client in [world.h1().await, world.h2().await] {
        let answer = client.ask(with(post(CONVERSE, "{}"), "x-simulator-stall", "before-headers")).await;
        answer.assert_refused(504, "ServiceUnavailableException");
    }
    assert_eq!(world.served_count(), 2);
    world.until_metrics("slots are free", |metrics| metrics.sum("tollgate_requests_in_flight", &[]) == 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_connection_is_503_with_hints() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = World::with_upstream(&format!("connect_to = \"{nobody}\"\n")).await;
    let answer = world.h1().await.post(CONVERSE, "{}").await;
    answer.assert_refused(503, "ServiceUnavailableException");
    assert_eq!(answer.header("retry-after"), "1");
    let lines = world.log_lines(1).await;
    assert_eq!((&lines[0]["outcome"], &lines[0]["reason"]), (&"upstream_failed".into(), &"unreachable".into()));
    let error = lines[0]["error"].as_str().unwrap();
    assert!(error.starts_with("ConnectRefused: ") && error.contains("Connection refused"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_without_tls_never_sees_the_request() {
    let puppet = Puppet::start().await;
    let world = World::with_upstream(&format!("connect_to = \"{}\"\n", puppet.address())).await;
    let mut client = world.h1().await;
    let asking = tokio::spawn(async move { client.post(CONVERSE, "{}").await });
    let mut upstream = puppet.accept().await;
    let mut seen = vec![0; 64 * 1024];
    let length = within(upstream.0.read(&mut seen)).await.unwrap();
    assert_eq!(seen[0], 0x16, "a TLS handshake, not HTTP");
    upstream.say("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let mut rest = Vec::new();
    let _ = within(upstream.0.read_to_end(&mut rest)).await;
    drop(upstream);
    let answer = within(asking).await.unwrap();
    assert_unreachable(&answer);
    seen.truncate(length);
    seen.extend(rest);
    assert!(!String::from_utf8_lossy(&seen).contains("converse"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_never_greets_is_503_at_the_bound() {
    let puppet = Puppet::start().await;
    let world = World::with_upstream(&format!("connect_to = \"{}\"\nconnect_seconds_max = 1\n", puppet.address())).await;
    assert_unreachable(&world.h1().await.post(CONVERSE, "{}").await);
    let line = world.log_lines(1).await.remove(0);
    assert!(line["error"].as_str().is_some_and(|error| error.starts_with("ConnectTimedout: connecting to ")), "{line}");
    assert_eq!((&line["reason"], &line["retries"]), (&"unreachable".into(), &0.into()), "{line}");
}

/// Nothing was sent, so that whoever asks may ask again.
#[track_caller]
fn assert_unreachable(answer: &Answer) {
    answer.assert_refused(503, "ServiceUnavailableException");
    assert_eq!((answer.header("retry-after"), answer.header("x-should-retry")), ("1", ""), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_with_the_wrong_authority_or_name_is_never_spoken_to() {
    let world = World::start().await;
    std::fs::write(world.directory.path().join("other-ca.pem"), Certificate::new().ca).unwrap();
    let simulator = world.simulator.address();
    let wrong = [
        ("ca_file = \"other-ca.pem\"\n".to_owned(), "UnknownIssuer"),
        (
            format!("connect_to = \"{simulator}\"\nendpoints = {{ bedrock-runtime = \"https://wrong.example\" }}\n"),
            "certificate not valid for name \"wrong.example\"",
        ),
    ];
    let mut client = world.h1().await;
    // A connection that was verified before is in the pool; it must not serve.
    client.post(CONVERSE, "{}").await.assert_served();
    for (count, (upstream, why)) in wrong.into_iter().enumerate() {
        assert!(world.reload(&Settings { upstream, ..world.settings.clone() }).await);
        let answer = world.h1().await.post(CONVERSE, "{}").await;
        assert_unreachable(&answer);
        assert_eq!(world.served_count(), 1);
        let line = world.log_lines(count + 2).await.pop().unwrap();
        let error = line["error"].as_str().unwrap();
        assert!(error.starts_with("TLSHandshakeFailure: invalid peer certificate: ") && error.contains(why), "{line}");
        assert_eq!((&line["outcome"], &line["reason"]), (&"upstream_failed".into(), &"unreachable".into()), "{line}");
    }
    assert!(world.reload(&world.settings).await);
    world.h1().await.post(CONVERSE, "{}").await.assert_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bedrocks_own_errors_pass_unchanged_and_are_not_repeated() {
    let world = World::start().await;
    let mut client = world.h1().await;
    let mut ids = HashSet::new();
    for (count, (status, exception)) in [
        (400, "ValidationException"),
        (403, "AccessDeniedException"),
        (424, "ModelErrorException"),
        (429, "ThrottlingException"),
        (500, "InternalServerException"),
        (503, "ServiceUnavailableException"),
    ]
    .into_iter()
    .enumerate()
    {
        let request = with(post(CONVERSE, "{}"), "x-simulator-status", &status.to_string());
        let answer = client.ask(with(request, "x-simulator-error-type", exception)).await;
        let got = (answer.status, answer.header("x-amzn-errortype"), answer.header("x-tollgate-source"));
        assert_eq!(got, (status, exception, "bedrock"), "{answer:?}");
        assert!(answer.json()["message"].is_string() || answer.json()["Message"].is_string(), "{answer:?}");
        assert!(ids.insert(answer.header("x-amzn-requestid").to_owned()));
        assert_eq!(world.served_count(), count + 1);
    }
    let metrics = world.until_sum("tollgate_requests_total", &["completed"], 6.0).await;
    assert_eq!(metrics.sum("tollgate_denials_total", &[]), 0.0);
}
