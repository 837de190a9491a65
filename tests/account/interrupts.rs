//! How a process ends that is told to end, and is told again.

use rustix::process::Signal;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::harness::{MODEL, World, within};

/// `drain_seconds_max` is ten minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_interrupts_twice_waits_for_no_request() {
    for signal in [Signal::INT, Signal::TERM] {
        let world = World::new("", ["", ""]).await;
        let mut gateway = world.start().await;
        let mut client = TcpStream::connect(world.traffic).await.unwrap();
        let bearer = world.bearer("acme");
        let head =
            format!("POST /model/{MODEL}/converse HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\nContent-Length: 2\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        world.until_metric("tollgate_requests_in_flight", 1.0).await;
        gateway.signal(Signal::INT);
        world.until_stopping().await;
        gateway.signal(signal);
        within(gateway.ends()).await;
    }
}
