//! Requests whose end two parsers could see in different places.

use std::time::{Duration, Instant};

use crate::{
    raw::Raw,
    world::{CONVERSE, World},
};

/// A whole request that nobody may find in the bytes of another.
fn smuggled(world: &World) -> String {
    world.head("/model/smuggled/converse", "Content-Length: 2\r\n") + "{}"
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_heads_are_refused_and_nothing_after_them_is_read() {
    let world = World::start("[\"*\"]", "").await;
    let after = smuggled(&world);
    for fields in [
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        "Content-Length: 2\r\nTransfer-Encoding:\tchunked\r\n",
        "Content-Length: 2\r\nTransfer-Encoding : chunked\r\n",
        "Content-Length: 2\r\nTransfer-Encoding:\r\n chunked\r\n",
        "Content-Length: 2\r\nX: y\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 2\r\nX: y\rTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding:\r\n",
        "Content-Length: 2\r\nContent-Length: 2\r\n",
        "Content-Length: 2, 2\r\n",
        "Content-Length: +2\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x2\r\n",
        "Content-Length: 2 2\r\n",
        "Content-Length: 18446744073709551618\r\n",
        "Content-Length:\r\n",
        "Content-Length: 2\r\nHost: other\r\n",
        "Content-Length: 2\r\nX\x01: y\r\n",
        "Content-Length: 2\r\nX: y\x01\r\n",
        "Content-Length: 2\r\n: y\r\n",
        "Content-Length: 2\r\nConnection: host\r\n",
        "Content-Length: 2\r\nConnection: close, X-Amz-Target\r\nX-Amz-Target: A.B\r\n",
    ] {
        let mut raw = Raw::connect(&world).await;
        raw.send((world.head(CONVERSE, fields) + "{}" + &after).as_bytes()).await;
        let answer = raw.rest().await.unwrap_or_else(|| panic!("stays open: {fields:?}"));
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{fields:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count().min(2), usize::from(!answer.is_empty()), "{fields:?}: {answer}");
    }
    assert_eq!(world.served(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_follows_a_body_that_broke_off() {
    let world = World::start("[\"*\"]", "").await;
    let after = smuggled(&world);
    for chunks in
        ["-2\r\n{}\r\n0\r\n\r\n", "zz\r\n", "+2\r\n{}", " 2\r\n{}", "0x2\r\n", "2\n{}\n", "2\r\n{}XX", "2\r\n{}\r\n0\r\nX: y\n\n"]
    {
        let mut raw = Raw::connect(&world).await;
        raw.send((world.head(CONVERSE, "Transfer-Encoding: chunked\r\n") + chunks).as_bytes()).await;
        let refused = raw.head().await;
        assert!(refused.starts_with("HTTP/1.1 400 "), "{chunks:?}: {refused}");
        raw.send(after.as_bytes()).await;
        let rest = raw.rest().await.unwrap_or_else(|| panic!("stays open: {chunks:?}"));
        assert!(!rest.contains("HTTP/1.1 "), "{chunks:?}: {rest}");
    }
    assert_eq!(world.served(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_pingora_cannot_read_are_refused_in_our_words_too() {
    let world = World::start("[\"*\"]", "").await;
    let heads = ["POST /model/<m>/converse HTTP/1.1\r\nHost: h\r\n\r\n", "POST /`id` HTTP/1.1\r\nHost: h\r\n\r\n", "\0\r\n\r\n"];
    for head in heads {
        // As the first request of a connection, and behind one that was served.
        for served in [false, true] {
            let mut raw = Raw::connect(&world).await;
            if served {
                raw.send(world.good().as_bytes()).await;
                assert!(raw.answer().await.starts_with("HTTP/1.1 200 "));
            }
            raw.send(head.as_bytes()).await;
            let answer = raw.rest().await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 400 ") && answer.matches("HTTP/1.1").count() == 1, "{head:?}: {answer}");
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.contains("\r\nx-amzn-ErrorType: ValidationException\r\n"), "{head}");
            assert!(head.contains("\r\nx-tollgate-source: gateway\r\n") && head.contains("\r\nConnection: close"), "{head}");
            assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{answer}");
            assert!(body.starts_with("{\"__type\":\"ValidationException\""), "{body}");
        }
    }
    world.until_metric("connections_refused_total", "reason=\"malformed\"", 6.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_pingora_cannot_read_are_refused_in_the_words_of_their_route() {
    let world = World::start("[\"*\"]", "").await;
    let many = "a: b\r\n".repeat(300);
    for (path, body) in [
        ("/model/m/converse", "{\"__type\":\"ValidationException\""),
        ("/v1/chat/completions", "{\"error\":{"),
        ("/openai/v1/chat/completions", "{\"error\":{"),
        ("/bedrock-runtime/openai/v1/chat/completions", "{\"error\":{"),
        ("/anthropic/v1/messages", "{"),
    ] {
        for (fields, status) in [("no colon\r\n", "400 "), (&*many, "431 ")] {
            let mut raw = Raw::connect(&world).await;
            raw.send(world.head(path, fields).as_bytes()).await;
            let answer = raw.rest().await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
            let (head, found) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                head.contains("\r\nx-tollgate-source: gateway\r\n") && head.contains("\r\nx-tollgate-request-id: "),
                "{head}"
            );
            assert!(found.starts_with(body), "{path}: {found}");
            assert_eq!(found.contains("\"type\":\"error\""), path.starts_with("/anthropic"), "{found}");
        }
    }
    assert_eq!(world.served(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_go_on_as_it_came_is_refused() {
    let world = World::start("[\"*\"]", "").await;
    for query in ["a b", "a=\"<> é", "a=\x01", "a=\t", " ", "a\rb", "a#b"] {
        let mut raw = Raw::connect(&world).await;
        raw.send((world.head(&format!("{CONVERSE}?{query}"), "Content-Length: 2\r\n") + "{}").as_bytes()).await;
        let answer = raw.answer().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{query:?}: {answer}");
    }
    assert_eq!(world.served(), 0);
    let fields = "Content-Length: 2\r\naws-endpoint-prefix: bedrock-runtime\r\n";
    for (twice, status) in [("", "200 "), ("aws-endpoint-prefix: bedrock\r\n", "400 ")] {
        let mut raw = Raw::connect(&world).await;
        raw.send((world.head(CONVERSE, &(fields.to_owned() + twice)) + "{}").as_bytes()).await;
        let answer = raw.answer().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{twice}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_pingora_takes_but_others_read_differently_end_the_connection() {
    let world = World::start("[\"*\"]", "").await;
    let after = smuggled(&world);
    for chunks in [
        format!("2;\n{{}}\r\n{{}}\r\n0\r\n\r\n{after}"),
        format!("2;a=\"\n0\n\n{after}\"\r\n{{}}\r\n0\r\n\r\n"),
        format!("2\r\n{{}}\r\n\r\n\r\n{after}"),
        format!("2 x\r\n{{}}\r\n0\r\n\r\n{after}"),
        format!("2\r\n{{}}\r\n0;{}\r\n\r\n{after}", "a".repeat(300)),
    ] {
        // At once, and with the head alone in a segment.
        for together in [true, false] {
            let mut raw = Raw::connect(&world).await;
            let head = world.head(CONVERSE, "Transfer-Encoding: chunked\r\n");
            if together {
                raw.send((head + &chunks).as_bytes()).await;
            } else {
                raw.send(head.as_bytes()).await;
                tokio::task::yield_now().await;
                raw.send(chunks.as_bytes()).await;
            }
            let answer = raw.rest().await.unwrap_or_else(|| panic!("stays open: {chunks:?}"));
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{chunks:?}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count().min(2), usize::from(!answer.is_empty()), "{chunks:?}: {answer}");
        }
    }
    assert_eq!(world.served(), 0);
    world.until_metric("connections_refused_total", "reason=\"framing\"", 10.0).await;
    let mut raw = Raw::connect(&world).await;
    for _ in 0..2 {
        let chunked = world.head(CONVERSE, "Transfer-Encoding: chunked\r\n") + "1;a=\"b\"\r\n{\r\n1\r\n}\r\n0\r\nX: y\r\n\r\n";
        raw.send(chunked.as_bytes()).await;
        assert!(raw.answer().await.starts_with("HTTP/1.1 200 "), "what is right stays right");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_refused_requests_are_not_requests() {
    let world = World::start("[\"*\"]", "").await;
    let after = smuggled(&world);
    let length = after.len();
    for refused in [
        format!("POST {CONVERSE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{after}"),
        format!(
            "POST {CONVERSE} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{after}\r\n0\r\n\r\n"
        ),
        format!("POST {CONVERSE} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n{after}"),
        world.head(CONVERSE, "Content-Length: 30000000\r\n") + &after,
    ] {
        let mut raw = Raw::connect(&world).await;
        raw.send(refused.as_bytes()).await;
        let answer = raw.rest().await.unwrap_or_else(|| panic!("stays open: {refused}"));
        assert_eq!(answer.matches("HTTP/1.1 4").count(), 1, "{answer}");
    }
    assert_eq!(world.served(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_beyond_the_cap_are_refused_wherever_it_is_exceeded() {
    let world = World::start("[\"*\"]", "[downstream]\nheader_bytes_max = 4096\n").await;
    let long = "x".repeat(5_000);
    let one = world.head(CONVERSE, &format!("X-Long: {long}\r\nContent-Length: 0\r\n"));
    let many = world.head(CONVERSE, &("X-Many: one of a hundred, as long as this is\r\n".repeat(100) + "Content-Length: 0\r\n"));
    let target = world.head(&format!("{CONVERSE}?{long}"), "Content-Length: 0\r\n");
    for head in [one, many, target] {
        let mut raw = Raw::connect(&world).await;
        raw.send(head.as_bytes()).await;
        let answer = raw.answer().await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    assert_eq!(world.served(), 0);
    world.until_metric("denials_total", "reason=\"head_too_large\"", 3.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_an_end_is_cut_off_and_not_kept() {
    let world = World::start("[\"*\"]", "").await;
    let field = format!("X-Endless: {}\r\n", "x".repeat(1_000));
    let head = world.head(CONVERSE, "");
    let without_end = head.strip_suffix("\r\n").unwrap();
    for endless in [without_end.to_owned() + &field.repeat(1_000), without_end.to_owned() + "X-Long: " + &"x".repeat(1_000_000)] {
        let mut raw = Raw::connect(&world).await;
        let began = Instant::now();
        raw.send(endless.as_bytes()).await;
        assert!(raw.rest().await.is_some(), "stays open");
        assert!(began.elapsed() < Duration::from_secs(5), "closed by the deadline only: {:?}", began.elapsed());
    }
    assert_eq!(world.served(), 0);
    world.until_metric("connections_refused_total", "reason=\"framing\"", 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_is_no_text_is_refused_and_not_dropped() {
    let world = World::start("[\"*\"]", "").await;
    for bytes in [&b"\xff"[..], "é".as_bytes()] {
        let head = world.head(&format!("{CONVERSE}?a=@"), "Content-Length: 2\r\nConnection: close\r\n");
        let at = head.find('@').unwrap();
        let mut raw = Raw::connect(&world).await;
        raw.send(&[&head.as_bytes()[..at], bytes, &head.as_bytes()[at + 1..], b"{}"].concat()).await;
        let answer = raw.rest().await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert_eq!(world.served(), 0);
    }
}
