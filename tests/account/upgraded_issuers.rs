//! What is believed of issuers, over an upgrade.

use std::time::{Duration, SystemTime};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tollgate::auth::DevelopmentIssuer;

use crate::{
    client::Client,
    harness::{MODEL, World},
    service::Service,
    upgrades::QUOTAS,
};

/// Its keys are fetched once, and then it is out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_is_out_during_an_upgrade_is_believed_as_before() {
    let world = World::new("", [QUOTAS, ""]).await;
    let issuer = DevelopmentIssuer::generate().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let section = format!(
        "[issuers.remote]\nissuer = \"{url}\"\naudiences = [\"gateway\"]\nalgorithms = [\"ES256\"]\nkey_set = {{ url = \"{url}/keys\" }}\n"
    );
    world.configure(&section);
    let keys = issuer.key_set_json();
    let once = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let _ = connection.read(&mut [0; 4096]).await;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", keys.len());
        connection.write_all((head + &keys).as_bytes()).await.unwrap();
    });
    let mut service = Service::start(&world).await;
    once.await.unwrap();
    let bearer = issuer.mint(&url, "gateway", "acme", "alice", Duration::from_secs(600), SystemTime::now());
    for upgrades in 0..3 {
        if upgrades > 0 {
            service.upgrade().await;
        }
        let mut client = Client::h1(world.traffic, format!("Bearer {bearer}")).await;
        client.post(&format!("/model/{MODEL}/converse"), "{}").await.assert_served();
    }
    world.until_rows(3).await;
    service.stop().await;
}
