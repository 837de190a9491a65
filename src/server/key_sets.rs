//! Brings issuers' key sets in: from files once, from URLs again and again. What arrives replaces the old keys only if it is a
//! key set with a usable key; on any failure the last good keys stay. Says nothing about tokens.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use reqwest::{Client, StatusCode, Url, redirect};
use thiserror::Error;
use tokio::{fs::File, io::AsyncReadExt, sync::watch, task::JoinSet, time};

use crate::{
    auth::{
        KeySet, KeySetError, KeySets,
        key_set::{KEY_SET_BYTES_MAX, KeyProblem},
    },
    config::{Config, Issuer, KeySetSource},
};

/// Longest fetch, from the name's resolution to the last byte.
const FETCH_MAX: Duration = Duration::from_millis(1_500);
/// Pause between fetches while an issuer has no keys at all, and at least this between any two.
const RETRY: Duration = Duration::from_secs(5);

/// An issuer whose keys could not be loaded.
#[derive(Debug, Error)]
#[error("issuer {issuer}: {error}")]
pub struct KeySetFailure {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// What went wrong.
    #[source]
    pub error: LoadError,
}

/// Why a key set could not be loaded. For operators; `error` texts of reqwest are stripped of URLs, which may hold credentials.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the texts say it
pub enum LoadError {
    #[error("the key-set file cannot be read: {0}")]
    File(#[source] io::Error),
    #[error("the key-set URL is not one")]
    InvalidUrl,
    #[error("the key-set URL must be https (http on loopback only)")]
    InsecureUrl,
    #[error("the key set cannot be fetched: {0}")]
    Fetch(String),
    #[error("the key-set URL answered {0}, not 200; redirects are not followed")]
    Status(StatusCode),
    #[error("fetching the key set took longer than {} ms", FETCH_MAX.as_millis())]
    Slow,
    #[error(transparent)]
    KeySet(#[from] KeySetError),
}

/// Loads every issuer's key set once, all at the same time, and says which could not be. URLs take 1.5 seconds at most.
/// Keys that are there already stay where loading fails.
pub async fn load_once(config: &Config, key_sets: &KeySets) -> Vec<KeySetFailure> {
    let mut loads = JoinSet::new();
    for (name, issuer) in &config.issuers {
        let (name, source) = (name.clone(), issuer.key_set.clone());
        loads.spawn(async move {
            let loaded = load(&source).await;
            (name, source, loaded)
        });
    }
    let mut failures = Vec::new();
    while let Some(joined) = loads.join_next().await {
        match joined {
            Ok((name, source, Ok(loaded))) => keep(key_sets, &name, &source, loaded),
            Ok((issuer, _, Err(error))) => failures.push(KeySetFailure { issuer, error }),
            Err(error) => tracing::error!(%error, "loading a key set was cut short"),
        }
    }
    failures.sort_by(|a, b| a.issuer.cmp(&b.issuer));
    failures
}

/// Fetches the key sets of issuers with URLs until `shutdown` is true (or its sender gone), each at its own pace. Begins with a
/// pause for issuers that have keys, as [`load_once`] leaves them; forgets the keys of issuers that are not among `issuers`.
pub async fn poll(issuers: BTreeMap<String, Issuer>, key_sets: Arc<KeySets>, mut shutdown: watch::Receiver<bool>) {
    key_sets.retain(|name, source| issuers.get(name).is_some_and(|issuer| source.is_none_or(|source| *source == issuer.key_set)));
    let mut polls = JoinSet::new();
    for (name, issuer) in issuers {
        if matches!(issuer.key_set, KeySetSource::Url(_)) {
            let pace = Pace { refresh: Duration::from_secs(issuer.key_set_refresh_seconds).max(RETRY), retry: RETRY };
            polls.spawn(poll_issuer(name, issuer.key_set, pace, Arc::clone(&key_sets)));
        }
    }
    // An error means that nobody is left who could ask for the end: that is one.
    let _ = shutdown.wait_for(|ends| *ends).await;
    polls.shutdown().await;
}

/// How often an issuer is asked.
struct Pace {
    /// While it has keys.
    refresh: Duration,
    /// While it has none.
    retry: Duration,
}

async fn poll_issuer(name: String, source: KeySetSource, pace: Pace, key_sets: Arc<KeySets>) {
    let mut failing = false;
    loop {
        let pause = if key_sets.has_keys(&name, &source) { pace.refresh } else { pace.retry };
        time::sleep(jittered(pause)).await;
        match load(&source).await {
            Ok(loaded) => {
                if failing {
                    tracing::info!(issuer = %name, "the key set can be fetched again");
                }
                failing = false;
                keep(&key_sets, &name, &source, loaded);
            }
            Err(error) => {
                // One line a streak; what it was about is in the first.
                if !failing {
                    let keys =
                        if key_sets.has_keys(&name, &source) { "the last good keys stay" } else { "there are no keys yet" };
                    tracing::warn!(issuer = %name, error = %error, "key set not refreshed; {keys}");
                }
                failing = true;
            }
        }
    }
}

fn keep(key_sets: &KeySets, name: &str, source: &KeySetSource, (set, problems): (KeySet, Vec<KeyProblem>)) {
    let usable = set.usable();
    if key_sets.store_from(name, source, set) {
        tracing::info!(issuer = %name, usable, set_aside = problems.len(), "key set changed");
        for problem in problems {
            tracing::warn!(issuer = %name, %problem, "a key of the key set is not used");
        }
    }
}

async fn load(source: &KeySetSource) -> Result<(KeySet, Vec<KeyProblem>), LoadError> {
    let json = match source {
        KeySetSource::File(path) => read(path).await.map_err(LoadError::File)?,
        KeySetSource::Url(url) => time::timeout(FETCH_MAX, fetch(url)).await.map_err(|_| LoadError::Slow)??,
    };
    Ok(KeySet::parse(&json)?)
}

async fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe or a device would keep us waiting.
    if !tokio::fs::metadata(path).await?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut json = Vec::new();
    let at_most = KEY_SET_BYTES_MAX as u64 + 1; // one byte more is enough to see that it is too many
    File::open(path).await?.take(at_most).read_to_end(&mut json).await?;
    Ok(json)
}

async fn fetch(url: &str) -> Result<Vec<u8>, LoadError> {
    let url = Url::parse(url).map_err(|_| LoadError::InvalidUrl)?;
    if !is_secure(&url) {
        return Err(LoadError::InsecureUrl);
    }
    let client = client(&url).map_err(fetch_error)?;
    let request = client.get(url).header(reqwest::header::ACCEPT, "application/jwk-set+json, application/json");
    let mut response = request.send().await.map_err(fetch_error)?;
    if response.status() != StatusCode::OK {
        return Err(LoadError::Status(response.status()));
    }
    let mut json = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(fetch_error)? {
        if json.len() + chunk.len() > KEY_SET_BYTES_MAX {
            return Err(KeySetError::TooLarge.into());
        }
        json.extend_from_slice(&chunk);
    }
    Ok(json)
}

/// Without TLS anybody on the way can sign: only the machine itself is trusted that far.
fn is_secure(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

/// A client for one fetch: minutes lie between them, and certificate authorities change without a restart.
fn client(url: &Url) -> reqwest::Result<Client> {
    // Without a provider reqwest panics, and not every command has come past the server's start.
    super::install_crypto();
    let builder = Client::builder().redirect(redirect::Policy::none()).user_agent("tollgate");
    if url.scheme() == "https" {
        return builder.build();
    }
    // Plaintext stays on this machine: not through a proxy that the environment names, nor to wherever DNS has `localhost`.
    let loopback = [(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()];
    builder.no_proxy().resolve_to_addrs("localhost", &loopback).build()
}

fn fetch_error(error: reqwest::Error) -> LoadError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    LoadError::Fetch(text)
}

/// `pause`, up to a tenth shorter or longer, so that a fleet does not ask at the same instant.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0_u8; 2];
    if aws_lc_rs::rand::fill(&mut random).is_err() {
        return pause;
    }
    let fraction = f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX);
    pause.mul_f64(0.9 + 0.2 * fraction)
}

#[cfg(test)]
mod tests;
