//! TCP keep-alive, as the kernel tells it: what stands between two ends of a silent connection must not forget it.

use std::net::SocketAddr;

use crate::{
    client::{Raw, post},
    conversation::request,
    harness::{CONVERSE, World, until},
    puppet::Puppet,
};

/// Below the 350 seconds of AWS's gateways and load balancers, with room for a probe that is lost.
const IDLE_SECONDS_MAX: u64 = 120;

/// Whether a socket with these ports, its own and the other side's, sends a probe soon enough.
fn probes(own: Option<u16>, other: Option<u16>) -> bool {
    let port = |address: &str| u16::from_str_radix(address.rsplit(':').next().unwrap(), 16).unwrap();
    std::fs::read_to_string("/proc/net/tcp").unwrap().lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (kind, hundredths) = fields[5].split_once(':').unwrap();
        let is_meant = |wanted: Option<u16>, address| wanted.is_none_or(|wanted| wanted == port(address));
        // 2 is the timer of keep-alive.
        let soon = kind == "02" && u64::from_str_radix(hundredths, 16).unwrap() <= IDLE_SECONDS_MAX * 100;
        is_meant(own, fields[1]) && is_meant(other, fields[2]) && soon
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_are_kept_alive_to_clients_and_to_bedrock() {
    let puppet = Puppet::start().await;
    let world = World::with_upstream(&puppet.upstream()).await;
    for listener in [world.gateway.traffic[0], world.gateway.traffic[1], world.gateway.admin] {
        let client = Raw::connect(listener).await;
        let other = client.0.local_addr().unwrap().port();
        until("the client's connection is probed", || probes(Some(listener.port()), Some(other))).await;
    }
    let is_probed = |other: std::io::Result<SocketAddr>| {
        let gateways = other.unwrap().port();
        move || probes(Some(gateways), None)
    };
    let (mut client, mut speaker) = (world.h1().await, world.h2().await);
    let asking = tokio::spawn(async move { client.send(post(CONVERSE, "{}")).await.map(drop) });
    let silent = puppet.request().await;
    until("Bedrock's connection is probed", is_probed(silent.0.peer_addr())).await;
    let (_feed, conversation) = request();
    let speaking = tokio::spawn(async move { speaker.send(conversation).await.map(drop) });
    let silent = puppet.accept().await;
    until("a conversation's connection is probed", is_probed(silent.0.peer_addr())).await;
    asking.abort();
    speaking.abort();
}
