//! Issuers by discovery, keys that nobody had, and restarts while the issuer is out.

use super::*;
use crate::auth::{Authenticator, IdentityError, TokenCache};

const DISCOVERY: &str = "/.well-known/openid-configuration";

fn json(body: &str) -> Answer {
    response("200 OK", "content-type: application/json\r\n", body.as_bytes())
}

/// A discovery document of `issuer`, and keys below its address.
fn issuer_answers(issuer: &str, jwks_uri: &str, keys: Answer) -> Answer {
    let document = format!(r#"{{"issuer":"{issuer}","jwks_uri":"{jwks_uri}","response_types_supported":["code"]}}"#);
    Answer::ByPath(vec![(DISCOVERY.to_owned(), json(&document)), ("/keys".to_owned(), keys)])
}

impl Server {
    fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    fn discovery(&self) -> KeyOrigin {
        KeyOrigin::Discovery(self.issuer())
    }

    fn now_publishes(&self, keys: Answer) {
        self.now_answers(issuer_answers(&self.issuer(), &format!("{}/keys", self.issuer()), keys));
    }
}

#[tokio::test]
async fn the_discovery_document_says_where_the_keys_are() {
    let server = Server::start(Answer::Bytes(Vec::new())).await;
    server.now_publishes(keys());
    assert_eq!(load(&server.discovery()).await.unwrap().set.usable(), 1);
    assert_eq!(server.requests(), 2);
    // Auth0's issuers end in a slash, and are not the ones without it.
    let slash = format!("{}/", server.issuer());
    assert!(matches!(load(&KeyOrigin::Discovery(slash.clone())).await, Err(LoadError::OtherIssuer)));
    server.now_answers(issuer_answers(&slash, &format!("{slash}keys"), keys()));
    assert!(load(&KeyOrigin::Discovery(slash)).await.is_ok());
}

#[tokio::test]
async fn discovery_believes_nobody_who_is_not_the_issuer() {
    let server = Server::start(Answer::Bytes(Vec::new())).await;
    let (own, jwks) = (server.issuer(), format!("{}/keys", server.issuer()));
    for other in ["https://id.corp.example".to_owned(), own.to_uppercase(), format!("{own}/"), String::new()] {
        server.now_answers(issuer_answers(&other, &jwks, keys()));
        assert!(matches!(load(&server.discovery()).await, Err(LoadError::OtherIssuer)), "{other}");
    }
    for elsewhere in ["http://id.corp.example/keys", "file:///etc/passwd", "http://127.0.0.1.example/"] {
        server.now_answers(issuer_answers(&own, elsewhere, keys()));
        assert!(matches!(load(&server.discovery()).await, Err(LoadError::InsecureUrl)), "{elsewhere}");
    }
    for document in ["", "{}", "[]", "<html>", r#"{"issuer":7,"jwks_uri":"x"}"#, r#"{"issuer":"x"}"#] {
        server.now_answers(json(document));
        assert!(matches!(load(&server.discovery()).await, Err(LoadError::NotADiscovery)), "{document}");
    }
    let before = server.requests();
    for answer in [
        response("500 Oops", "", b""),
        response("302 Found", &format!("location: {own}/elsewhere\r\n"), b""),
        response("200 OK", "", &vec![b' '; 10 << 20]),
    ] {
        server.now_answers(answer);
        assert!(matches!(load(&server.discovery()).await, Err(LoadError::Discovery(_))));
    }
    assert_eq!(server.requests(), before + 3);
    let failures = [(response("500 Oops", "", b""), "500"), (response("200 OK", "", b"<html>"), "not a JSON object")];
    for (failure, says) in failures {
        server.now_publishes(failure);
        let error = load(&server.discovery()).await.err().unwrap().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[tokio::test]
async fn each_document_takes_a_second_and_a_half() {
    let server = Server::start(Answer::Drip).await;
    let started = Instant::now();
    let is_slow = |loaded| match loaded {
        Err(LoadError::Discovery(error)) => matches!(*error, LoadError::Slow),
        loaded => matches!(loaded, Err(LoadError::Slow)),
    };
    assert!(is_slow(load(&server.discovery()).await.map(drop)));
    server.now_publishes(Answer::Stall(Vec::new()));
    assert!(is_slow(load(&server.discovery()).await.map(drop)));
    assert!(started.elapsed() < FETCH_MAX * 4);
}

/// An authenticator over the keys that `server` publishes, and the poll that never comes by itself.
struct Watched {
    key_sets: Arc<KeySets>,
    authenticator: Authenticator,
    polling: JoinHandle<()>,
}

impl Watched {
    async fn start(server: &Server) -> Watched {
        let mut config = config(&[("corp", &server.discovery())]);
        config.issuers.get_mut("corp").unwrap().issuer = server.issuer();
        let key_sets = Arc::new(KeySets::new());
        assert_eq!(load_once(&config, &key_sets, &Records::default()).await.len(), 0);
        let authenticator = Authenticator::new(&config.issuers, Arc::clone(&key_sets), Arc::new(TokenCache::default()));
        let polling = tokio::spawn(feed(&server.discovery(), &key_sets).poll(every(Duration::from_secs(3_600))));
        Watched { key_sets, authenticator, polling }
    }

    fn verdict(&self, token: &str) -> Result<(), IdentityError> {
        self.authenticator.authenticate_token(token, SystemTime::now()).map(|_| ())
    }
}

fn token(issuer: &DevelopmentIssuer, server: &Server) -> String {
    issuer.mint(&server.issuer(), "tollgate", "acme", "alice", Duration::from_secs(60), SystemTime::now())
}

#[tokio::test]
async fn an_unknown_key_is_fetched_at_once_and_ten_thousand_are_fetched_once() {
    let (old, new) = (DevelopmentIssuer::generate().unwrap(), DevelopmentIssuer::generate().unwrap());
    let server = Server::start(Answer::Bytes(Vec::new())).await;
    server.now_publishes(json(&old.key_set_json()));
    let watched = Watched::start(&server).await;
    assert!(watched.verdict(&token(&old, &server)).is_ok());
    let before = server.requests();

    // The issuer signs with a new key that it has just published.
    server.now_publishes(json(&new.key_set_json()));
    let Err(IdentityError::UnknownKey(name)) = watched.verdict(&token(&new, &server)) else { panic!("known") };
    let mut fetched = watched.authenticator.want_keys(&name, SystemTime::now()).unwrap();
    time::timeout(FETCH_MAX, fetched.changed()).await.unwrap().unwrap();
    assert!(watched.verdict(&token(&new, &server)).is_ok());
    // What vanished from the set stops, cached or not.
    assert!(matches!(watched.verdict(&token(&old, &server)), Err(IdentityError::UnknownKey(_))));
    assert_eq!(server.requests(), before + 2);

    let stranger = DevelopmentIssuer::generate().unwrap();
    let strange = token(&stranger, &server);
    for _ in 0..10_000 {
        let Err(IdentityError::UnknownKey(name)) = watched.verdict(&strange) else { panic!("known") };
        assert!(watched.authenticator.want_keys(&name, SystemTime::now()).is_none());
        yield_now().await;
    }
    assert_eq!(server.requests(), before + 2);
    assert!(watched.verdict(&token(&new, &server)).is_ok());

    let later = SystemTime::now() + COOL_DOWN;
    let waiting: Vec<_> = (0..100).filter_map(|_| watched.authenticator.want_keys("corp", later)).collect();
    assert_eq!(waiting.len(), 100);
    until(|| waiting.iter().all(|fetched| fetched.has_changed().unwrap())).await;
    assert_eq!(server.requests(), before + 4);
    assert_eq!(watched.key_sets.conditions(SystemTime::now())[0].keys, 1);
    watched.polling.abort();
}

#[tokio::test]
async fn a_fetch_that_fails_ends_the_wait_and_keeps_the_keys() {
    let issuer = DevelopmentIssuer::generate().unwrap();
    let server = Server::start(Answer::Bytes(Vec::new())).await;
    server.now_publishes(json(&issuer.key_set_json()));
    let watched = Watched::start(&server).await;
    server.now_answers(response("500 Oops", "", b""));
    let mut fetched = watched.authenticator.want_keys("corp", SystemTime::now()).unwrap();
    time::timeout(FETCH_MAX, fetched.changed()).await.unwrap().unwrap();
    assert!(watched.verdict(&token(&issuer, &server)).is_ok());
    assert!(watched.authenticator.want_keys("nobody", SystemTime::now()).is_none());
    watched.polling.abort();
}

#[tokio::test]
async fn a_restart_while_the_issuer_is_out_finds_the_last_good_keys() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let records = Records { directory: Some(state.clone()), metrics: None };
    let issuer = DevelopmentIssuer::generate().unwrap();
    let server = Server::start(Answer::Bytes(Vec::new())).await;
    server.now_publishes(json(&issuer.key_set_json()));
    let mut config = config(&[("corp", &server.discovery())]);
    config.issuers.get_mut("corp").unwrap().issuer = server.issuer();
    config.state_directory = Some(state.clone());
    let started = |config: Config, records: Records| async move {
        let key_sets = Arc::new(KeySets::new());
        let failures = load_once(&config, &key_sets, &records).await;
        let authenticator = Authenticator::new(&config.issuers, key_sets, Arc::new(TokenCache::default()));
        (failures.first().map(|failure| failure.restored), authenticator)
    };
    let good = token(&issuer, &server);
    let now = SystemTime::now();
    assert_eq!(started(config.clone(), records.clone()).await.0, None);

    server.now_answers(response("500 Oops", "", b""));
    for records in [records.clone(), Records::default()] {
        let (restored, authenticator) = started(config.clone(), records).await;
        assert_eq!(restored, Some(true));
        assert!(authenticator.authenticate_token(&good, now).is_ok());
        let lapsed = now + Duration::from_secs(86_402);
        assert_eq!(authenticator.authenticate_token(&good, lapsed).unwrap_err(), IdentityError::KeysUnavailable);
    }

    let mut elsewhere = config.clone();
    elsewhere.issuers.get_mut("corp").unwrap().key_set = KeySetSource::Url(format!("{}/keys", server.issuer()));
    assert_eq!(started(elsewhere, records.clone()).await.0, Some(false));

    let file = std::fs::read_dir(&state).unwrap().next().unwrap().unwrap().path();
    let other = DevelopmentIssuer::generate().unwrap().key_set_json();
    let text = std::fs::read_to_string(&file).unwrap();
    let escaped = |json: &str| json.replace('"', "\\\"");
    let forged = text.replace(&escaped(&issuer.key_set_json()), &escaped(&other));
    assert_ne!(forged, text);
    std::fs::write(&file, forged).unwrap();
    let (restored, authenticator) = started(config.clone(), records).await;
    assert_eq!(restored, Some(false));
    assert_eq!(authenticator.authenticate_token(&good, now).unwrap_err(), IdentityError::KeysUnavailable);
}
