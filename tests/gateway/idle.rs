//! HTTP/2 connections that idle, and requests that are sent at the moment at which they end.

use std::{error::Error, iter::successors, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use crate::{
    client::{Answer, post},
    harness::{INVOKE, World},
};

/// Whether a client knows that its request was not processed (RFC 9113 §8.7). Every other error leaves it in doubt.
fn may_be_sent_again(error: &hyper::Error) -> bool {
    let causes = successors(Some(error as &(dyn Error + 'static)), |&cause| cause.source());
    let told = causes.map(ToString::to_string).any(|cause| {
        // GOAWAY with NO_ERROR, and REFUSED_STREAM, in h2's words.
        cause.contains("not a result of an error") || cause.contains("refused stream")
    });
    told || error.is_canceled() || error.is_closed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_at_the_moment_of_closing_is_served_or_may_be_sent_again() {
    let world = Arc::new(World::with_sections("[downstream]\nidle_seconds_max = 1\n").await);
    let mut asking = JoinSet::new();
    for offset in (880..1_120).step_by(2) {
        let world = world.clone();
        asking.spawn(async move {
            let mut client = if offset % 4 == 0 { world.h2c().await } else { world.h2().await };
            client.post(INVOKE, "{}").await.assert_served();
            sleep(Duration::from_millis(offset)).await;
            match client.send(post(INVOKE, "{}")).await {
                Ok(response) => {
                    Answer::read(response).await.unwrap().assert_served();
                    true
                }
                Err(error) => {
                    assert!(may_be_sent_again(&error), "after {offset} ms: {error:?}");
                    false
                }
            }
        });
    }
    let served = asking.join_all().await;
    assert!(served.contains(&false), "none came after the end had begun");
    let second = served.iter().filter(|&&served| served).count();
    assert_eq!(world.served_count(), served.len() + second, "what may be sent again never reached Bedrock");
}
