//! Clients that take their time.

use std::time::{Duration, Instant};

use crate::{
    raw::{Raw, SOON},
    world::{CONVERSE_STREAM, World},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_first_head_has_its_own_deadline_whatever_the_idle_time() {
    let world = World::start("[\"*\"]", "[downstream]\nheader_seconds_max = 1\nidle_seconds_max = 60\n").await;
    let mut raw = Raw::connect(&world).await;
    let began = Instant::now();
    raw.send(b"POST /model/m/converse HTTP/1.1\r\nHost: localhost\r\n").await;
    assert_eq!(raw.rest().await.as_deref(), Some(""));
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_loses_its_stream() {
    let world = World::start("[\"*\"]", "[downstream]\nidle_seconds_max = 1\n").await;
    // More than the sockets between the simulator and this client take.
    world.script("[default]\nevents = 1000\nevent_bytes = 100000\n");
    let mut raw = Raw::connect(&world).await;
    raw.send((world.head(CONVERSE_STREAM, "Content-Length: 2\r\n") + "{}").as_bytes()).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 200 "));
    let none_in_flight = "tollgate_requests_in_flight{tenant=\"acme\"} 0\n";
    let freed = async {
        loop {
            let mut admin = Raw::to(world.gateway.admin).await;
            admin.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
            if admin.rest().await.is_some_and(|metrics| metrics.contains(none_in_flight)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, freed).await.expect("the client's slot is free again");
}
