//! Issuers that rotate at once, and that are out while the gateway starts.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tollgate::auth::DevelopmentIssuer;

use crate::harness::{INVOKE, Settings, World};

/// An OpenID Connect issuer on this machine.
struct Provider {
    url: String,
    /// The key set; nothing: out.
    keys: Arc<Mutex<Option<String>>>,
    fetches: Arc<AtomicUsize>,
}

impl Provider {
    async fn start(keys: String) -> Provider {
        Provider::start_slow(keys, Duration::ZERO).await
    }

    /// Thinks so long before each answer.
    async fn start_slow(keys: String, thinks: Duration) -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (keys, fetches) = (Arc::new(Mutex::new(Some(keys))), Arc::new(AtomicUsize::new(0)));
        let (issuer, current, count) = (url.clone(), Arc::clone(&keys), Arc::clone(&fetches));
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let body = current.lock().unwrap().clone();
                let (issuer, count) = (issuer.clone(), Arc::clone(&count));
                tokio::spawn(async move {
                    tokio::time::sleep(thinks).await;
                    answer(connection, issuer, body, count).await;
                });
            }
        });
        Provider { url, keys, fetches }
    }

    fn publishes(&self, keys: Option<String>) {
        *self.keys.lock().unwrap() = keys;
    }

    fn settings(&self) -> Settings {
        let url = &self.url;
        let issuers = format!("[issuers.op]\nissuer = \"{url}\"\naudiences = [\"gateway\"]\nalgorithms = [\"ES256\"]\n");
        Settings { issuers, ..Settings::default() }
    }

    fn bearer(&self, issuer: &DevelopmentIssuer) -> String {
        let token = issuer.mint(&self.url, "gateway", "acme", "alice", Duration::from_secs(600), SystemTime::now());
        format!("Bearer {token}")
    }
}

async fn answer(mut connection: TcpStream, issuer: String, keys: Option<String>, fetches: Arc<AtomicUsize>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match connection.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let (status, body) = match keys {
        None => ("500 Out", String::new()),
        Some(_) if request.starts_with(b"GET /.well-known/openid-configuration ") => {
            ("200 OK", format!(r#"{{"issuer":"{issuer}","jwks_uri":"{issuer}/keys"}}"#))
        }
        Some(keys) => {
            fetches.fetch_add(1, Ordering::SeqCst);
            ("200 OK", keys)
        }
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = connection.write_all((head + &body).as_bytes()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identity_survives_a_key_that_was_published_a_moment_ago() {
    let (old, new) = (DevelopmentIssuer::generate().unwrap(), DevelopmentIssuer::generate().unwrap());
    let provider = Provider::start(old.key_set_json()).await;
    let world = World::with(provider.settings()).await;
    let mut client = world.h1().await;
    client.authorization = provider.bearer(&old);
    client.post(INVOKE, "{}").await.assert_served();
    assert_eq!(provider.fetches.load(Ordering::SeqCst), 1);

    provider.publishes(Some(new.key_set_json()));
    client.authorization = provider.bearer(&new);
    client.post(INVOKE, "{}").await.assert_served(); // the first request with the new key
    client.authorization = provider.bearer(&old);
    client.post(INVOKE, "{}").await.assert_refused(403, "UnrecognizedClientException");
    for _ in 0..100 {
        client.authorization = provider.bearer(&DevelopmentIssuer::generate().unwrap());
        client.post(INVOKE, "{}").await.assert_refused(403, "UnrecognizedClientException");
    }
    client.authorization = provider.bearer(&new);
    client.post(INVOKE, "{}").await.assert_served();
    assert_eq!(provider.fetches.load(Ordering::SeqCst), 2);

    let metrics = world.metrics().await;
    assert_eq!(metrics.sum("tollgate_key_set_fetches_total", &["issuer=\"op\"", "result=\"ok\""]), 2.0);
    assert_eq!(metrics.sum("tollgate_key_set_keys", &["issuer=\"op\""]), 1.0);
    assert!(metrics.sum("tollgate_key_set_age_seconds", &["issuer=\"op\""]) < 60.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identity_survives_a_restart_while_the_issuer_is_out() {
    let issuer = DevelopmentIssuer::generate().unwrap();
    let provider = Provider::start(issuer.key_set_json()).await;
    let world = World::with(provider.settings()).await;
    provider.publishes(None);
    let world = world.restart().await;
    let mut client = world.h1().await;
    client.authorization = provider.bearer(&issuer);
    client.post(INVOKE, "{}").await.assert_served();
    let metrics = world.metrics().await;
    assert_eq!(metrics.sum("tollgate_key_set_fetches_total", &["issuer=\"op\"", "result=\"failed\""]), 1.0);
    client.authorization = provider.bearer(&DevelopmentIssuer::generate().unwrap());
    client.post(INVOKE, "{}").await.assert_refused(403, "UnrecognizedClientException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_of_discovery_and_the_keys_may_each_take_their_time() {
    let issuer = DevelopmentIssuer::generate().unwrap();
    let provider = Provider::start_slow(issuer.key_set_json(), Duration::from_millis(800)).await;
    let world = World::with(provider.settings()).await;
    let mut client = world.h1().await;
    client.authorization = provider.bearer(&issuer);
    client.post(INVOKE, "{}").await.assert_served();
}
