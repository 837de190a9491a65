//! Requests that are sent before the one before them was answered, and what clients put between them.

use crate::{
    raw::Raw,
    world::{CONVERSE, World},
};

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_come_ahead_are_served_in_order_and_once() {
    let world = World::start("[\"*\"]", "").await;
    let chunked = world.head(CONVERSE, "Transfer-Encoding: chunked\r\n") + "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n";
    let unknown = world.head("/nothing-like-it", "Content-Length: 0\r\n").replace("Bearer ", "Bearer x");
    let text = [world.good(), chunked, unknown, world.good()].concat();
    // At once, and cut where it hurts.
    for piece in [text.len(), 1_000, 7] {
        let before = world.served();
        let mut raw = Raw::connect(&world).await;
        for bytes in text.as_bytes().chunks(piece) {
            raw.send(bytes).await;
        }
        for status in ["200", "200", "403", "200"] {
            let answer = raw.answer().await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{piece}: {answer}");
        }
        assert_eq!(world.served() - before, 3);
        // And the connection goes on.
        raw.send(world.good().as_bytes()).await;
        assert!(raw.answer().await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_empty_line_before_a_request_is_passed_over() {
    let world = World::start("[\"*\"]", "").await;
    let good = world.good();
    for pieces in [
        vec!["\r\n".to_owned() + &good, "\r\n".to_owned() + &good, good.clone()],
        vec!["\r".to_owned(), "\n".to_owned(), good.clone() + "\r", "\n".to_owned(), good.clone() + "\r\n" + &good],
        vec![good.clone() + "\r\n", good.clone() + "\r\n", good.clone() + "\r\n"],
    ] {
        let before = world.served();
        let mut raw = Raw::connect(&world).await;
        for piece in &pieces {
            let answers = piece.matches("POST ").count();
            raw.send(piece.as_bytes()).await;
            for _ in 0..answers {
                let answer = raw.answer().await;
                assert!(answer.starts_with("HTTP/1.1 200 "), "{pieces:?}: {answer}");
            }
        }
        assert_eq!(world.served() - before, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_one_empty_line_is_refused() {
    let world = World::start("[\"*\"]", "").await;
    for lead in ["\r\n\r\n", "\n", "\r", "\n\r\n", "\r\n\n", "\r\n\r", "\r\n "] {
        for behind in [false, true] {
            let mut raw = Raw::connect(&world).await;
            if behind {
                raw.send(world.good().as_bytes()).await;
                assert!(raw.answer().await.starts_with("HTTP/1.1 200 "));
            }
            raw.send((lead.to_owned() + &world.good()).as_bytes()).await;
            let answer = raw.answer().await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{lead:?}: {answer}");
        }
    }
    assert_eq!(world.served(), 7, "those before");
}
