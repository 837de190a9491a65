//! Key-set endpoints as they fail, on raw sockets: hostile servers do not use an HTTP library.

mod survival;

use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, yield_now},
};

use super::*;
use crate::{
    auth::DevelopmentIssuer,
    config::{Algorithm, KeySetSource},
};

/// What the server does with a request.
#[derive(Clone)]
enum Answer {
    /// Writes these bytes and closes.
    Bytes(Vec<u8>),
    /// Writes these bytes and then nothing, with the connection open.
    Stall(Vec<u8>),
    /// Writes a header, then a byte a while, for ever.
    Drip,
    /// Answers by the path that was asked for; others are not answered.
    ByPath(Vec<(String, Answer)>),
}

struct Server {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(answer: Answer) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(Mutex::new(answer));
        let requests = Arc::new(AtomicUsize::new(0));
        let (current, count) = (Arc::clone(&answer), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let answer = current.lock().unwrap().clone();
                connections.spawn(serve(connection, answer));
            }
        });
        Server { address, answer, requests, task }
    }

    fn source(&self) -> KeyOrigin {
        KeyOrigin::Url(format!("http://{}/keys", self.address))
    }

    fn now_answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    async fn has_served(&self, more: usize) {
        let before = self.requests();
        until(|| self.requests() >= before + more).await;
    }
}

async fn serve(mut connection: TcpStream, answer: Answer) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if connection.read(&mut byte).await.unwrap_or(0) == 0 {
            return;
        }
        request.push(byte[0]);
    }
    let path = String::from_utf8_lossy(&request).split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = match answer {
        Answer::ByPath(answers) => answers.into_iter().find(|(known, _)| *known == path).map(|(_, answer)| answer),
        answer => Some(answer),
    };
    // The client may be gone; that is its right.
    match answer.unwrap_or(Answer::Bytes(Vec::new())) {
        Answer::ByPath(_) => {}
        Answer::Bytes(bytes) => drop(connection.write_all(&bytes).await),
        Answer::Stall(bytes) => {
            let _ = connection.write_all(&bytes).await;
            std::future::pending::<()>().await;
        }
        Answer::Drip => {
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await;
            let mut ticks = time::interval(Duration::from_millis(50));
            loop {
                ticks.tick().await;
                if connection.write_all(b" ").await.is_err() {
                    return;
                }
            }
        }
    }
}

fn response(status: &str, headers: &str, body: &[u8]) -> Answer {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n", body.len());
    Answer::Bytes([head.as_bytes(), body].concat())
}

fn keys() -> Answer {
    response("200 OK", "content-type: application/json\r\n", new_key_set().as_bytes())
}

fn new_key_set() -> String {
    DevelopmentIssuer::generate().unwrap().key_set_json()
}

/// Waits for `condition`, ten seconds at most.
async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            yield_now().await;
        }
    };
    time::timeout(Duration::from_secs(10), waiting).await.unwrap();
}

fn written(origin: &KeyOrigin) -> KeySetSource {
    match origin {
        KeyOrigin::File(file) => KeySetSource::File(file.clone()),
        KeyOrigin::Url(url) => KeySetSource::Url(url.clone()),
        KeyOrigin::Discovery(_) => KeySetSource::Discovery(true),
    }
}

fn config(sources: &[(&str, &KeyOrigin)]) -> Config {
    let issuer = |source: &KeyOrigin| Issuer {
        issuer: "https://id.corp.example".into(),
        audiences: vec!["tollgate".into()],
        algorithms: vec![Algorithm::ES256],
        tenant_claim: "tenant".into(),
        key_set: written(source),
        key_set_refresh_seconds: 300,
        token_lifetime_seconds_max: 86_400,
        leeway_seconds: 60,
        ..toml::from_str("issuer = \"\"\naudiences = []").unwrap()
    };
    let mut config: Config = toml::from_str("listeners = []\n[upstream]\nregion = \"us-east-1\"").unwrap();
    config.issuers = sources.iter().map(|(name, source)| ((*name).to_owned(), issuer(source))).collect();
    config
}

fn every(pause: Duration) -> Pace {
    Pace { refresh: pause, again: pause, retry: pause }
}

fn feed(origin: &KeyOrigin, key_sets: &Arc<KeySets>) -> Feed {
    Feed {
        name: "corp".to_owned(),
        origin: origin.clone(),
        outage_max: Duration::from_secs(3_600),
        key_sets: Arc::clone(key_sets),
        records: Records::default(),
    }
}

async fn failure_of(answer: Answer) -> LoadError {
    let server = Server::start(answer).await;
    let failure = load(&server.source()).await.err().unwrap();
    assert_eq!(server.requests(), 1); // nothing is tried twice, no redirect is followed
    failure
}

#[tokio::test]
async fn files_and_urls_are_loaded_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    std::fs::write(&path, new_key_set()).unwrap();
    let server = Server::start(keys()).await;
    let (file, url) = (KeyOrigin::File(path), server.source());
    let missing = KeyOrigin::File(directory.path().join("absent.json"));
    let key_sets = Arc::new(KeySets::new());
    let config =
        config(&[("file", &file), ("url", &url), ("missing", &missing), ("device", &KeyOrigin::File("/dev/zero".into()))]);
    let failures = load_once(&config, &key_sets, &Records::default()).await;
    assert!(key_sets.has_keys("file", &file) && key_sets.has_keys("url", &url) && !key_sets.has_keys("missing", &missing));
    let failed: Vec<_> = failures.iter().map(|failure| failure.issuer.as_str()).collect();
    assert_eq!(failed, ["device", "missing"]);

    let generation = key_sets.generation("url");
    assert_eq!(load_once(&config, &key_sets, &Records::default()).await.len(), 2);
    assert_eq!(key_sets.generation("url"), generation); // the same keys are no change
}

#[tokio::test]
async fn answers_that_are_no_key_set_are_refused() {
    for status in ["500 Internal Server Error", "404 Not Found", "204 No Content", "401 Unauthorized", "206 Partial Content"] {
        assert!(matches!(failure_of(response(status, "", new_key_set().as_bytes())).await, LoadError::Status(_)), "{status}");
    }
    let elsewhere = Server::start(keys()).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("location: http://{}/keys\r\n", elsewhere.address);
        assert!(matches!(failure_of(response(status, &location, b"")).await, LoadError::Status(_)), "{status}");
    }
    assert_eq!(elsewhere.requests(), 0);
    for body in [&b"<!DOCTYPE html><html></html>"[..], b"", b"{}", b"[]", b"\xff\xfe", b"{\"keys\":"] {
        let failure = failure_of(response("200 OK", "content-type: text/html\r\n", body)).await;
        assert!(matches!(failure, LoadError::KeySet(KeySetError::NotAKeySet)), "{failure}");
    }
    let empty = failure_of(response("200 OK", "", br#"{"keys":[]}"#)).await;
    assert!(matches!(empty, LoadError::KeySet(KeySetError::NoUsableKey(_))));
    let ten_megabytes = vec![b' '; 10 << 20];
    let large = failure_of(response("200 OK", "", &ten_megabytes)).await;
    assert!(matches!(large, LoadError::KeySet(KeySetError::TooLarge)), "{large}");
    let unframed = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &ten_megabytes].concat();
    assert!(matches!(failure_of(Answer::Bytes(unframed)).await, LoadError::KeySet(KeySetError::TooLarge)));
    for broken in ["", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"keys\":["] {
        assert!(matches!(failure_of(Answer::Bytes(broken.into())).await, LoadError::Fetch(_)), "{broken}");
    }
}

#[tokio::test]
async fn stalls_end_in_a_second_and_a_half() {
    let started = Instant::now();
    let half_a_body = b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"keys\":".to_vec();
    let stalls = [Answer::Stall(Vec::new()), Answer::Stall(b"HTTP/1.1 200".to_vec()), Answer::Stall(half_a_body), Answer::Drip];
    let mut failures: JoinSet<_> = stalls.into_iter().map(failure_of).collect();
    while let Some(failure) = failures.join_next().await {
        assert!(matches!(failure.unwrap(), LoadError::Slow));
    }
    assert!(started.elapsed() >= FETCH_MAX && started.elapsed() < FETCH_MAX * 4, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_refused_connection_is_a_failure_without_the_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://name:password@{}/keys?secret=1", listener.local_addr().unwrap());
    drop(listener);
    let failure = load(&KeyOrigin::Url(url)).await.err().unwrap();
    assert!(matches!(failure, LoadError::Fetch(_)));
    assert!(!failure.to_string().contains("password") && !failure.to_string().contains("secret"), "{failure}");
}

#[tokio::test]
async fn plaintext_is_for_loopback_only() {
    for url in [
        "http://id.corp.example/keys",
        "http://192.0.2.1/keys",
        "http://127.0.0.1.example/",
        "http://localhost.example/",
        "ftp://127.0.0.1/",
    ] {
        assert!(matches!(load(&KeyOrigin::Url(url.into())).await, Err(LoadError::InsecureUrl)), "{url}");
    }
    for url in ["file:///etc/passwd", "data:application/json,{}"] {
        assert!(matches!(load(&KeyOrigin::Url(url.into())).await, Err(LoadError::InsecureUrl)), "{url}");
    }
    for url in ["", "keys.json", "https://"] {
        assert!(matches!(load(&KeyOrigin::Url(url.into())).await, Err(LoadError::InvalidUrl)), "{url}");
    }
    for url in [
        "https://id.corp.example/keys",
        "http://127.0.0.1:1/keys",
        "http://[::1]:1/keys",
        "http://localhost/keys",
        "http://127.9.9.9/",
    ] {
        assert!(fetch::is_secure(&reqwest::Url::parse(url).unwrap()), "{url}");
    }
}

#[tokio::test]
async fn rotation_arrives_and_failures_keep_the_last_good_keys() {
    let server = Server::start(response("503 Service Unavailable", "", b"")).await;
    let key_sets = Arc::new(KeySets::new());
    let pace = every(Duration::from_millis(5));
    let polling = tokio::spawn(feed(&server.source(), &key_sets).poll(pace));
    server.has_served(2).await;
    assert_eq!(key_sets.generation("corp"), 0);

    server.now_answers(keys());
    until(|| key_sets.generation("corp") > 0).await;
    let first = key_sets.generation("corp");
    server.has_served(3).await; // the same keys again
    assert_eq!(key_sets.generation("corp"), first);

    for failure in [response("500 Oops", "", b""), response("200 OK", "", b"<html>"), response("200 OK", "", br#"{"keys":[]}"#)] {
        server.now_answers(failure);
        server.has_served(3).await;
        assert_eq!(key_sets.generation("corp"), first);
        assert!(key_sets.has_keys("corp", &server.source()));
    }
    server.now_answers(keys());
    until(|| key_sets.generation("corp") > first).await;
    polling.abort();
}

/// Lines that were logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn count(&self, what: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().unwrap()).matches(what).count()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_streak_of_failures_is_told_once() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let server = Server::start(response("500 Oops", "", b"")).await;
    let key_sets = Arc::new(KeySets::new());
    let pace = every(Duration::from_millis(5));
    let polling = tokio::spawn(feed(&server.source(), &key_sets).poll(pace));
    server.has_served(4).await;
    assert_eq!(lines.count("not refreshed; there are no keys yet"), 1);
    server.now_answers(keys());
    until(|| lines.count("can be fetched again") == 1 && lines.count("key set changed") == 1).await;
    server.has_served(3).await;
    server.now_answers(response("500 Oops", "", b""));
    until(|| lines.count("not refreshed; the last good keys stay") == 1).await;
    server.has_served(4).await;
    polling.abort();
    assert_eq!((lines.count("not refreshed"), lines.count("key set changed"), lines.count("again")), (2, 1, 1));
}

#[tokio::test]
async fn plaintext_behind_an_https_url_is_refused() {
    let server = Server::start(keys()).await;
    let url = format!("https://{}/keys", server.address);
    assert!(matches!(load(&KeyOrigin::Url(url)).await, Err(LoadError::Fetch(_) | LoadError::Slow)));
}

#[tokio::test]
async fn localhost_is_this_machine() {
    let server = Server::start(keys()).await;
    let url = format!("http://localhost:{}/keys", server.address.port());
    assert!(load(&KeyOrigin::Url(url)).await.is_ok());
}

#[tokio::test]
async fn polling_ends_when_told_and_when_nobody_is_left_to_tell() {
    let server = Server::start(keys()).await;
    let issuers = config(&[("corp", &server.source())]).issuers;
    let gone = KeyOrigin::Url("https://gone.example/".into());
    let key_sets = Arc::new(KeySets::new());
    key_sets.store_from("gone", &gone, KeySet::parse(new_key_set().as_bytes()).unwrap().0, None, SystemTime::now());
    let (tell, told) = watch::channel(false);
    let polling = tokio::spawn(poll(issuers.clone(), Arc::clone(&key_sets), Records::default(), told));
    until(|| key_sets.generation("gone") == 0).await; // it is not configured any more
    tell.send(true).unwrap();
    time::timeout(Duration::from_secs(10), polling).await.unwrap().unwrap();

    let (tell, told) = watch::channel(false);
    drop(tell);
    time::timeout(Duration::from_secs(10), poll(issuers, key_sets, Records::default(), told)).await.unwrap();
}

#[test]
fn pauses_differ_by_a_tenth_at_most() {
    let pause = Duration::from_secs(100);
    let pauses: Vec<_> = (0..200).map(|_| jittered(pause)).collect();
    assert!(pauses.iter().all(|pause| (90.0..=110.0).contains(&pause.as_secs_f64())));
    assert!(pauses.iter().any(|other| *other != pauses[0]));
}
