//! Listening sockets that systemd holds: nobody who connects is refused, though the gateway is killed.

use std::{net::TcpListener, os::fd::OwnedFd, process::Command};

use crate::{
    client::{Client, post},
    harness::{BINARY, Gateway, MODEL, World, within},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_made_while_no_gateway_runs_is_served_by_the_next() {
    let world = World::new("", ["", ""]).await;
    let held = TcpListener::bind(world.traffic).unwrap();
    // Whatever comes first, the socket or a gateway's own: this one could not bind it.
    let start = async || {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", r#"exec 3<&0 0</dev/null; LISTEN_FDS=1 exec "$0" run -c "$1""#, BINARY])
            .arg(world.file("tollgate.toml"));
        let gateway = Gateway::of(shell.stdin(OwnedFd::from(held.try_clone().unwrap())).spawn().unwrap());
        world.until_ready().await;
        gateway
    };
    let gateway = start().await;
    let ask = || post(&format!("/model/{MODEL}/converse"), "{}");
    let mut client = Client::h1(world.traffic, world.bearer("acme")).await;
    client.ask(ask()).await.assert_served();
    drop(gateway);
    let mut early = Client::h1(world.traffic, world.bearer("acme")).await;
    let (answer, _gateway) = within(async { tokio::join!(early.ask(ask()), start()) }).await;
    answer.assert_served();
}
