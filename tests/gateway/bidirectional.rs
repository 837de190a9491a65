//! InvokeModelWithBidirectionalStream: both directions at once, every event checked and signed anew, and nothing that is broken goes on.

use std::{convert::Infallible, sync::Arc, time::Duration};

use aws_smithy_types::event_stream::Message;
use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sha2::{Digest, Sha256};
use tokio::{net::TcpListener, runtime::Builder, task::JoinSet};
use tokio_rustls::TlsAcceptor;
use tollgate::simulator::Served;

use crate::{
    client::{Answer, Client, post, with},
    conversation::{self, Conversation, SONIC, Signer, chunk, encoded, request},
    harness::{CONVERSE, Certificate, DEADLINE, INVOKE, Settings, World, tenant, until, within},
    puppet::Puppet,
};

/// The conversation that the simulator got last.
fn last(world: &World) -> Arc<Served> {
    world.simulator.record().requests().pop().unwrap()
}

fn heard(served: &Served) -> u64 {
    served.heard().unwrap().events()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_says_of_its_length_is_not_said_of_the_gateways() {
    let world = World::start().await;
    let mut client = world.h2().await;
    let mut signer = Signer::new();
    let length = signer.sign(&chunk(b"hello")).len() + signer.end().len();
    let mut conversation = Conversation::open_with(&mut client, &[("content-length", &length.to_string())]).await;
    conversation.say(b"hello");
    assert_eq!(conversation.hear().await, b"hello");
    conversation.close();
    assert_eq!(conversation.rest().await, 0);
    let served = world.simulator.record().requests().pop().unwrap();
    assert!(served.headers().all(|(name, _)| name != "content-length"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_begins_before_the_request_and_each_event_is_answered_before_the_next() {
    let world = World::start().await;
    for mut client in [world.h2().await, world.h2c().await] {
        let mut conversation = Conversation::open(&mut client).await;
        assert_eq!(conversation.head.headers["content-type"], "application/vnd.amazon.eventstream");
        assert_eq!(conversation.head.headers["x-tollgate-source"], "bedrock");
        let mut whole = Sha256::new();
        for number in 0..25 {
            let text = format!("event {number}");
            whole.update(encoded(&chunk(text.as_bytes())));
            conversation.say(text.as_bytes());
            assert_eq!(conversation.hear().await, text.as_bytes());
        }
        conversation.close();
        assert_eq!(conversation.rest().await, 0);
        let served = last(&world);
        let heard = served.heard().unwrap();
        assert_eq!((heard.events(), heard.closed(), heard.refusal()), (25, true, None));
        let whole: String = whole.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(heard.sha256(), whole, "inner events, byte for byte");
        assert_eq!((served.verdict.as_str(), served.model.as_deref()), ("ok", Some("amazon.nova-sonic-v1:0")));
        assert_eq!(served.header("x-amz-content-sha256"), Some("STREAMING-AWS4-HMAC-SHA256-EVENTS"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_may_be_split_at_every_offset() {
    let world = World::start().await;
    let mut client = world.h2c().await;
    let mut signer = Signer::new();
    let mut bytes = BytesMut::new();
    for event in [&b"one"[..], b"", &[0xAB; 40]] {
        bytes.extend_from_slice(&signer.sign(&chunk(event)));
    }
    bytes.extend_from_slice(&signer.end());
    let bytes = bytes.freeze();
    for at in 1..bytes.len() {
        let mut conversation = Conversation::open(&mut client).await;
        conversation.send(bytes.slice(..at));
        conversation.send(bytes.slice(at..));
        conversation.feed = None;
        assert_eq!(conversation.rest().await, 3, "split at {at}");
        assert!(last(&world).heard().unwrap().closed(), "split at {at}");
    }
    let mut conversation = Conversation::open(&mut client).await;
    // Each byte by itself.
    bytes.chunks(1).for_each(|byte| conversation.send(Bytes::copy_from_slice(byte)));
    conversation.feed = None;
    assert_eq!(conversation.rest().await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_may_be_split_at_every_offset() {
    let world = World::start().await;
    let mut client = world.h2c().await;
    let frame = conversation::echo(b"one").len();
    for size in 1..=frame {
        let split = [("x-simulator-chunk-bytes", size.to_string())];
        let split = split.each_ref().map(|(name, size)| (*name, size.as_str()));
        let mut conversation = Conversation::open_with(&mut client, &split).await;
        for event in [b"one", b"two"] {
            conversation.say(event);
            assert_eq!(conversation.hear().await, event, "in pieces of {size}");
        }
        conversation.close();
        assert_eq!(conversation.rest().await, 0);
    }
}

/// Reproducible, and in no order.
fn scattered(number: u64, below: usize) -> usize {
    let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 24) as usize % below
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_events_of_all_sizes_and_splits_come_back_in_order() {
    let world = World::start().await;
    let mut client = world.h2().await;
    let mut conversation = Conversation::open(&mut client).await;
    let sizes: Vec<usize> = (0..1_000).map(|n| if n % 10 == 0 { scattered(n, 100_000) } else { scattered(n, 2_000) }).collect();
    let (feed, mut signer) = (conversation.feed.take().unwrap(), Signer::new());
    let saying = sizes.clone();
    tokio::spawn(async move {
        let mut pending = BytesMut::new();
        for (number, size) in saying.into_iter().enumerate() {
            pending.extend_from_slice(&signer.sign(&chunk(&vec![number as u8; size])));
            // Pieces end anywhere, within events and over several of them.
            let cut = scattered(number as u64 + 7, pending.len() + 1);
            feed.send(pending.split_to(cut).freeze()).unwrap();
        }
        pending.extend_from_slice(&signer.end());
        feed.send(pending.freeze()).unwrap();
    });
    for (number, size) in sizes.into_iter().enumerate() {
        let event = conversation.hear().await;
        assert!(event.len() == size && event.iter().all(|&byte| byte == number as u8), "event {number}");
    }
    assert_eq!(conversation.rest().await, 0);
    assert_eq!(heard(&last(&world)), 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_signed_event_is_refused() {
    let world = World::with_sections("[bidirectional]\nevent_bytes_max = 1000\n").await;
    let mut client = world.h2().await;
    let signed = |event: &Message| Signer::new().sign(event);
    let ended = { Signer::new().end() };
    let after_end = Bytes::from([&ended[..], &signed(&chunk(b"late"))[..]].concat());
    for (bytes, reason) in [
        (encoded(&Message::new("no headers")), "event_unsigned"),
        (Bytes::from_static(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"), "event_broken"),
        (Bytes::from_static(&[0; 16]), "event_broken"),
        (signed(&chunk(&[0; 1_000])), "event_too_large"),
        (after_end, "event_broken"),
    ] {
        let before = world.metrics().await.sum("tollgate_denials_total", &["acme", reason]);
        let mut conversation = Conversation::open(&mut client).await;
        conversation.send(bytes);
        assert_eq!(conversation.exception().await.0, "validationException", "{reason}");
        world.until_sum("tollgate_denials_total", &["acme", reason], before + 1.0).await;
        assert_eq!(heard(&last(&world)), 0, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_ends_within_an_event_is_refused_and_one_that_just_ends_is_closed() {
    let world = World::start().await;
    let mut client = world.h2().await;
    let mut conversation = Conversation::open(&mut client).await;
    let event = conversation.signer.sign(&chunk(b"never whole"));
    conversation.send(event.slice(..event.len() - 1));
    conversation.feed = None;
    let (kind, message) = conversation.exception().await;
    assert_eq!((kind.as_str(), heard(&last(&world))), ("validationException", 0), "{message}");

    let mut conversation = Conversation::open(&mut client).await;
    conversation.say(b"whole");
    conversation.feed = None;
    assert_eq!(conversation.rest().await, 1);
    assert!(last(&world).heard().unwrap().closed(), "the gateway's own chain has its end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http1_is_told_to_use_http2() {
    let world = World::start().await;
    for mut client in [world.h1().await, world.h1_tls().await] {
        let answer = client.post(SONIC, "").await;
        answer.assert_refused(400, "ValidationException");
        assert!(answer.json()["message"].as_str().unwrap().contains("HTTP/2"), "{answer:?}");
    }
    assert_eq!(world.served_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_is_refused_before_bedrock_hears_of_it() {
    let narrow = "[tenants.globex]\nmodels = [\"anthropic.*\"]\nservices = [\"*\"]\noperations = [\"*\"]\n";
    let tenants = tenant("acme", "requests_per_minute = 1") + narrow;
    let world = World::with(Settings { tenants, ..Settings::default() }).await;
    let ask = async |client: &mut Client| {
        let (_feed, request) = request();
        Answer::read(client.send(request).await.unwrap()).await.unwrap()
    };
    let mut client = world.h2().await;
    client.authorization = world.bearer("globex");
    ask(&mut client).await.assert_refused(403, "AccessDeniedException");
    client.authorization.clear();
    ask(&mut client).await.assert_refused(403, "MissingAuthenticationTokenException");
    assert_eq!(world.served_count(), 0);
    client.authorization = world.bearer("acme");
    let mut conversation = Conversation::open(&mut client).await;
    ask(&mut client).await.assert_refused(429, "ThrottlingException");
    conversation.close();
    assert_eq!(conversation.rest().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_may_come_as_session_token_of_placeholder_keys() {
    let world = World::start().await;
    let mut client = world.h2().await;
    client.authorization = "AWS4-HMAC-SHA256 Credential=placeholder/20261122/us-east-1/bedrock/aws4_request, \
                            SignedHeaders=host, Signature=00"
        .to_owned();
    let mut conversation = Conversation::open_with(&mut client, &[("x-amz-security-token", &world.token("acme"))]).await;
    conversation.say(b"hello");
    assert_eq!(conversation.hear().await, b"hello");
}

/// As Java's SDK sends them with a bearer token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_beside_a_token_may_come_unsigned() {
    let world = World::start().await;
    let mut client = world.h2().await;
    let mut conversation = Conversation::open(&mut client).await;
    for number in 0..10_u32 {
        conversation.send(encoded(&chunk(&number.to_be_bytes())));
        assert_eq!(conversation.hear().await, number.to_be_bytes());
    }
    conversation.feed = None;
    assert_eq!(conversation.rest().await, 0);
    let served = last(&world);
    let heard = served.heard().unwrap();
    assert_eq!((heard.events(), heard.closed(), heard.refusal()), (10, true, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_nothing_holds_bedrock_back_and_nobody_else() {
    const EVENTS: usize = 600;
    let world = World::start().await;
    let mut client = world.h2().await;
    let mut slow = Conversation::open(&mut client).await;
    let served = last(&world);
    for _ in 0..EVENTS {
        slow.say(&[7; 100_000]);
    }
    slow.close();
    until("some came through", || heard(&served) > 3).await;
    // On the same connection.
    let mut quick = Conversation::open(&mut client).await;
    for number in 0..300_u32 {
        quick.say(&number.to_be_bytes());
        assert_eq!(quick.hear().await, number.to_be_bytes());
    }
    assert!(heard(&served) < 150, "{} of {EVENTS} events went somewhere", heard(&served));
    // Once it reads, all comes.
    for _ in 0..EVENTS {
        assert_eq!(slow.hear().await.len(), 100_000);
    }
    assert_eq!(slow.rest().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_resets_bedrocks_stream_and_frees_its_slot() {
    let tenants = tenant("acme", "concurrent_requests = 1");
    let world = World::with(Settings { tenants, ..Settings::default() }).await;
    for (count, ended) in [false, true].into_iter().enumerate() {
        // A runtime that is shut down closes its sockets and says no more. Whoever only lets go of a request would end it in order.
        let elsewhere = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let inside = elsewhere.enter();
        let mut client = world.h2().await;
        // With its request still open, and after it: then only the answer shows that nobody is there.
        let mut conversation = Conversation::open_with(&mut client, &[("x-simulator-event-delay-ms", "1")]).await;
        drop(inside);
        conversation.say(b"hello");
        conversation.hear().await;
        if ended {
            (0..5_000).for_each(|_| conversation.say(b"hello"));
            conversation.close();
        }
        world.h1().await.post(INVOKE, "{}").await.assert_refused(429, "ThrottlingException");
        tokio::task::spawn_blocking(|| elsewhere.shutdown_timeout(DEADLINE)).await.unwrap();
        drop((conversation, client));
        world.until_sum("tollgate_requests_in_flight", &["acme"], 0.0).await;
        world.until_sum("tollgate_bidirectional_streams_open", &["acme"], 0.0).await;
        let lines = world.log_lines(2 * (count + 1)).await;
        assert_eq!(lines.iter().filter(|line| line["outcome"] == "client_left").count(), count + 1, "{lines:#?}");
        assert!(!last(&world).heard().unwrap().closed(), "ended: {ended}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_bedrock_breaks_off_ends_in_an_exception() {
    let world = World::start().await;
    for (count, (name, value)) in
        [("x-simulator-reset", "mid-stream"), ("x-simulator-close", "mid-stream")].into_iter().enumerate()
    {
        let mut client = world.h2().await;
        let mut conversation = Conversation::open_with(&mut client, &[(name, value)]).await;
        conversation.say(b"hello");
        let (kind, message) = conversation.exception().await;
        assert_eq!(kind, "serviceUnavailableException");
        assert!(message.contains("broke off") && !message.contains("before"), "{message}");
        let line = world.log_lines(count + 1).await.pop().unwrap();
        assert_eq!((&line["outcome"], &line["reason"]), (&"upstream_failed".into(), &"upstream_broken".into()), "{line:#?}");
    }
    assert_eq!(world.served_count(), 2, "nothing is sent twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bedrocks_own_exceptions_and_refusals_pass() {
    let world = World::start().await;
    let mut client = world.h2().await;
    let mut conversation = Conversation::open_with(&mut client, &[("x-simulator-exception", "modelStreamErrorException")]).await;
    conversation.say(b"hello");
    assert_eq!(conversation.exception().await.0, "modelStreamErrorException");
    let (_feed, request) = request();
    let refused = client.send(with(request, "x-simulator-throttle", "true")).await.unwrap();
    let answer = Answer::read(refused).await.unwrap();
    let got = (answer.status, answer.header("x-amzn-errortype"), answer.header("x-tollgate-source"));
    assert_eq!(got, (429, "ThrottlingException", "bedrock"));
}

/// A Bedrock that answers every conversation with this error.
async fn refusing(puppet: &Puppet, body: &'static str) {
    let stream = puppet.accept().await.0;
    let answer = move |_: Request<Incoming>| async move {
        let answer = Response::builder().status(403).header("content-type", "application/json");
        Ok::<_, Infallible>(answer.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap())
    };
    let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service_fn(answer));
    tokio::spawn(connection);
}

/// AWS quotes the canonical request, with the gateway's session token in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_our_credentials_whose_head_says_nothing_never_reaches_the_client() {
    const OURS: &str =
        r#"{"__type":"com.amazon.coral.service#InvalidSignatureException","message":"x-amz-security-token:SECRET"}"#;
    const THEIRS: &str = r#"{"__type":"AccessDeniedException","message":"You don't have access to the model."}"#;
    for (body, status, source) in [(OURS, 503, "gateway"), (THEIRS, 403, "bedrock")] {
        let puppet = Puppet::start().await;
        let world = World::with_upstream(&puppet.upstream()).await;
        let mut client = world.h2().await;
        let (_feed, request) = request();
        let asking = tokio::spawn(async move { Answer::read(client.send(request).await.unwrap()).await.unwrap() });
        refusing(&puppet, body).await;
        let answer = within(asking).await.unwrap();
        assert_eq!((answer.status, answer.header("x-tollgate-source")), (status, source));
        assert_eq!(answer.body == body, source == "bedrock", "{answer:?}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("SECRET"));
        let line = world.log_lines(1).await.remove(0);
        assert_eq!((&line["status"], &line["source"]), (&status.into(), &source.into()), "{line:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_and_duration_are_bounded() {
    for (bound, reason) in [("idle_seconds_max = 1", "stream_idle"), ("total_seconds_max = 1", "stream_too_long")] {
        let world = World::with_sections(&format!("[bidirectional]\n{bound}\n")).await;
        let mut client = world.h2().await;
        let mut conversation = Conversation::open(&mut client).await;
        conversation.say(b"hello");
        assert_eq!(conversation.exception().await.0, "modelTimeoutException");
        world.until_sum("tollgate_denials_total", &["acme", reason], 1.0).await;
    }
    // Before the answer has begun, the bound is the answer.
    let world = World::with_sections("[bidirectional]\nidle_seconds_max = 1\n").await;
    let mut client = world.h2().await;
    let (_feed, request) = request();
    let answer = client.send(with(request, "x-simulator-stall", "before-headers")).await.unwrap();
    Answer::read(answer).await.unwrap().assert_refused(408, "ModelTimeoutException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_of_one_stream_are_bounded() {
    let world = World::with_sections("[bidirectional]\nbytes_max = 2000\n").await;
    let mut client = world.h2().await;
    let mut conversation = Conversation::open(&mut client).await;
    (0..20).for_each(|_| conversation.say(&[0; 50]));
    assert_eq!(conversation.exception().await.0, "throttlingException");
    world.until_sum("tollgate_denials_total", &["acme", "stream_too_large"], 1.0).await;
    assert!(heard(&last(&world)) < 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_without_http2_is_no_upstream() {
    let puppet = Puppet::start().await;
    let world = World::with_upstream(&puppet.upstream()).await;
    let mut client = world.h2().await;
    let (_feed, request) = request();
    let asking = tokio::spawn(async move { Answer::read(client.send(request).await.unwrap()).await.unwrap() });
    puppet.accept().await.say("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    within(asking).await.unwrap().assert_refused(502, "ServiceUnavailableException");
    assert_eq!(world.log_lines(1).await[0]["outcome"], "upstream_failed");
}

/// Its client leaves the request open, as SDKs do, and the gateway reads on for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_conversation_has_given_back_slot_and_hold_when_its_client_knows() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let acme = tenant("acme", "concurrent_requests = 1") + "[[tenants.acme.quotas]]\ntokens_per_day = 3_000\n";
    let (upstream, sections) = (format!("connect_to = \"{nobody}\"\n"), "[ledger]\nfile = \"ledger.sqlite\"\n".to_owned());
    let world = World::with(Settings { upstream, sections, tenants: acme, ..Settings::default() }).await;
    let mut client = world.h2().await;
    let mut open = Vec::new();
    for _ in 0..5 {
        let (feed, request) = request();
        open.push(feed);
        let answer = Answer::read(client.send(request).await.unwrap()).await.unwrap();
        answer.assert_refused(503, "ServiceUnavailableException");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_does_not_agree_on_http2_is_told_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let certificate = Certificate::new();
    let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let world = World::with(Settings {
        upstream: format!("ca_file = \"upstream.pem\"\nendpoints = {{ bedrock-runtime = \"{endpoint}\" }}\n"),
        files: vec![("upstream.pem", certificate.ca.clone())],
        ..Settings::default()
    })
    .await;
    let acceptor = TlsAcceptor::from(certificate.server());
    let serving = tokio::spawn(async move {
        let mut streams = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            streams.push(acceptor.accept(stream).await);
        }
    });
    let mut client = world.h2().await;
    let (_feed, request) = request();
    let answer = Answer::read(within(client.send(request)).await.unwrap()).await.unwrap();
    answer.assert_refused(502, "ServiceUnavailableException");
    assert!(answer.json()["message"].as_str().unwrap().contains("HTTP/2"), "{}", answer.json());
    assert_eq!(world.log_lines(1).await[0]["outcome"], "upstream_failed");
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_streams_run_at_once_beside_requests() {
    let world = World::start().await;
    let mut streams = JoinSet::new();
    for _ in 0..4 {
        let mut client = world.h2c().await;
        let mut open = Vec::new();
        for _ in 0..25 {
            open.push(Conversation::open(&mut client).await);
        }
        for mut conversation in open {
            streams.spawn(async move {
                for number in 0..20_u32 {
                    conversation.say(&number.to_be_bytes());
                    assert_eq!(conversation.hear().await, number.to_be_bytes());
                }
                conversation.close();
                assert_eq!(conversation.rest().await, 0);
            });
        }
        streams.spawn(async move { client.ask(post(CONVERSE, "{}")).await.assert_served() });
    }
    within(streams.join_all()).await;
    let metrics = world.until_sum("tollgate_bidirectional_streams_open", &[], 0.0).await;
    assert_eq!(metrics.sum("tollgate_bidirectional_events_total", &["acme", "in"]), 2_000.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_and_log_count_events_and_bytes_both_ways() {
    let world = World::start().await;
    let mut client = world.h2().await;
    let mut conversation = Conversation::open(&mut client).await;
    let sent: usize = (0..10).map(|_| Signer::new().sign(&chunk(b"hello")).len()).sum::<usize>() + Signer::new().end().len();
    (0..10).for_each(|_| conversation.say(b"hello"));
    // Counted while it runs.
    world.until_sum("tollgate_bidirectional_events_total", &["acme", "\"in\""], 10.0).await;
    assert_eq!(world.metrics().await.sum("tollgate_bidirectional_streams_open", &["acme"]), 1.0);
    conversation.close();
    assert_eq!(conversation.rest().await, 10);
    let line = world.log_lines(1).await.remove(0);
    for (name, value) in [
        ("operation", "InvokeModelWithBidirectionalStream"),
        ("model", "amazon.nova-sonic-v1:0"),
        ("outcome", "completed"),
        ("source", "bedrock"),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
    // Ten echoes, a usage event after the tenth and one at the end.
    assert_eq!((&line["events_in"], &line["events_out"], &line["status"]), (&10.into(), &12.into(), &200.into()));
    assert_eq!(line["request_bytes"], sent);
    let metrics = world.metrics().await;
    assert_eq!(metrics.sum("tollgate_bidirectional_bytes_total", &["acme", "\"in\""]), sent as f64);
    assert_eq!(metrics.sum("tollgate_bidirectional_bytes_total", &["\"out\""]), line["response_bytes"].as_f64().unwrap());
    assert_eq!(metrics.sum("tollgate_bidirectional_resign_seconds_count", &[]), 10.0);
    assert!(Duration::from_secs_f64(metrics.sum("tollgate_bidirectional_resign_seconds_sum", &[])) < Duration::from_secs(1));
}
