//! Brings issuers' key sets in: from files once, from URLs again and again, and when a token names a key that nobody has. What arrives
//! replaces the old keys only if it is a key set with a usable key; on any failure the last good keys stay, and they outlive a restart
//! where there is a directory for them. A file is another matter: it is the operator's own word, and one without a key takes the old ones
//! away. Says nothing about tokens.

mod fetch;
mod saved;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use reqwest::StatusCode;
use thiserror::Error;
use tokio::{sync::watch, task::JoinSet, time};

use super::chance::chance;
use crate::{
    auth::{HandedKeySet, KeySet, KeySetError, KeySets, key_set::KeyProblem, wanted::COOL_DOWN},
    config::{self, Config, Issuer, KeyOrigin},
    telemetry::Metrics,
};

/// Longest fetch of a document, from the name's resolution to the last byte.
const FETCH_MAX: Duration = Duration::from_millis(1_500);
/// Pause between fetches while an issuer has no keys at all, and at least this between any two.
const RETRY: Duration = Duration::from_secs(5);

/// Where it is written down what came in, besides where it is used.
#[derive(Clone, Default)]
pub struct Records {
    /// Key sets for after a restart.
    pub directory: Option<PathBuf>,
    /// Fetches and their results.
    pub metrics: Option<Arc<Metrics>>,
}

/// An issuer whose keys could not be loaded.
#[derive(Debug, Error)]
#[error("issuer {issuer}: {error}")]
pub struct KeySetFailure {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// What went wrong.
    #[source]
    pub error: LoadError,
    /// The last good keys were still on disk.
    pub restored: bool,
    /// There are keys, these or others.
    pub has_keys: bool,
    /// It would have been in a file.
    in_file: bool,
}

impl KeySetFailure {
    /// Whether a file has something else in it than a key set: a mistake, and not a word on which keys are good.
    pub fn is_mistake(&self) -> bool {
        match &self.error {
            LoadError::File(_) => true,
            LoadError::KeySet(error) => self.in_file && !matches!(error, KeySetError::NoUsableKey(_)),
            _ => false,
        }
    }
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
    #[error("a document took longer than {} ms to fetch", FETCH_MAX.as_millis())]
    Slow,
    #[error("no discovery document: {0}")]
    Discovery(Box<LoadError>),
    #[error("the discovery document is not a JSON object with `issuer` and `jwks_uri`")]
    NotADiscovery,
    #[error("the discovery document is another issuer's; `issuer` must be exactly the one configured")]
    OtherIssuer,
    #[error(transparent)]
    KeySet(#[from] KeySetError),
}

/// A key set as it came.
struct Arrived {
    set: KeySet,
    problems: Vec<KeyProblem>,
    json: Vec<u8>,
}

/// One issuer's keys: whose, from where, and what is told of them.
struct Feed {
    name: String,
    origin: KeyOrigin,
    outage_max: Duration,
    key_sets: Arc<KeySets>,
    records: Records,
}

/// Takes what a predecessor had of the issuers that have their keys in the same place still.
pub fn take_over(handed: &[HandedKeySet], config: &Config, key_sets: &KeySets) {
    for key_set in handed {
        let same = config.issuers.get(&key_set.issuer).is_some_and(|issuer| issuer.key_origin() == *key_set.origin());
        if same && let Err(error) = key_sets.take_over(key_set) {
            tracing::warn!(issuer = key_set.issuer, %error, "the key set of the process before this one is not used");
        }
    }
}

/// Loads every issuer's key set once, all at the same time, and says which could not be. URLs take 1.5 seconds at most, those that have to be discovered twice that. Keys that
/// are there already stay where loading fails, but for a file's that has none any more; where there are none, those of the last run serve.
pub async fn load_once(config: &Config, key_sets: &Arc<KeySets>, records: &Records) -> Vec<KeySetFailure> {
    let (files, failures) = read_once(config, key_sets, records).await;
    files.put_in_force().await;
    failures
}

/// The same, but what stands in files is not in force before it is put there: it is a part of the configuration, which may be refused.
pub async fn read_once(config: &Config, key_sets: &Arc<KeySets>, records: &Records) -> (Files, Vec<KeySetFailure>) {
    let mut loads = JoinSet::new();
    for (name, issuer) in &config.issuers {
        let feed = Feed::new(name, issuer, key_sets, records);
        let directory = config.state_directory.clone();
        loads.spawn(async move { if feed.is_published() { (None, feed.fill(directory).await) } else { feed.read_file().await } });
    }
    let (mut files, mut failures) = (Vec::new(), Vec::new());
    while let Some(joined) = loads.join_next().await {
        match joined {
            Ok((file, failure)) => {
                files.extend(file);
                failures.extend(failure);
            }
            Err(error) => tracing::error!(%error, "loading a key set was cut short"),
        }
    }
    failures.sort_by(|a, b| a.issuer.cmp(&b.issuer));
    (Files(files), failures)
}

/// What the files of some issuers say: keys, or that there are none any more.
#[must_use]
pub struct Files(Vec<(Feed, Option<Arrived>)>);

impl Files {
    /// Believes them from now on.
    pub async fn put_in_force(self) {
        for (feed, arrived) in self.0 {
            match arrived {
                Some(arrived) => feed.keep(arrived).await,
                None => feed.key_sets.forget(&feed.name, &feed.origin),
            }
        }
    }
}

/// Fetches the key sets of issuers with URLs until `shutdown` is true (or its sender gone), each at its own pace. Begins with a
/// pause for issuers that have keys, as [`load_once`] leaves them; forgets the keys of issuers that are not among `issuers`.
pub async fn poll(
    issuers: BTreeMap<String, Issuer>,
    key_sets: Arc<KeySets>,
    records: Records,
    mut shutdown: watch::Receiver<bool>,
) {
    key_sets.retain(|name, origin| {
        issuers.get(name).is_some_and(|issuer| origin.is_none_or(|origin| *origin == issuer.key_origin()))
    });
    let mut polls = JoinSet::new();
    for (name, issuer) in issuers {
        let feed = Feed::new(&name, &issuer, &key_sets, &records);
        if !matches!(feed.origin, KeyOrigin::File(_)) {
            let refresh = Duration::from_secs(issuer.key_set_refresh_seconds).max(RETRY);
            polls.spawn(feed.poll(Pace { refresh, again: refresh.min(COOL_DOWN), retry: RETRY }));
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
    /// After it failed to confirm them.
    again: Duration,
    /// While it has none.
    retry: Duration,
}

impl Feed {
    fn new(name: &str, issuer: &Issuer, key_sets: &Arc<KeySets>, records: &Records) -> Feed {
        Feed {
            name: name.to_owned(),
            origin: issuer.key_origin(),
            outage_max: Duration::from_secs(issuer.key_set_outage_seconds_max),
            key_sets: Arc::clone(key_sets),
            records: records.clone(),
        }
    }

    /// Reads a file. One without a usable key says that there is none.
    async fn read_file(self) -> (Option<(Feed, Option<Arrived>)>, Option<KeySetFailure>) {
        let error = match self.load().await {
            Ok(arrived) => return (Some((self, Some(arrived))), None),
            Err(error) => error,
        };
        let says_none = matches!(error, LoadError::KeySet(KeySetError::NoUsableKey(_)));
        let (issuer, has_keys) = (self.name.clone(), self.has_keys() && !says_none);
        (says_none.then_some((self, None)), Some(KeySetFailure { issuer, error, restored: false, has_keys, in_file: true }))
    }

    /// Fetches once. `directory`: what the last run left, for want of anything newer.
    async fn fill(self, directory: Option<PathBuf>) -> Option<KeySetFailure> {
        let error = match self.load().await {
            Ok(arrived) => {
                self.keep(arrived).await;
                return None;
            }
            Err(error) => error,
        };
        let restored = match directory {
            Some(directory) if !self.has_keys() => self.restore(directory).await,
            _ => false,
        };
        let has_keys = self.has_keys();
        Some(KeySetFailure { issuer: self.name, error, restored, has_keys, in_file: false })
    }

    async fn poll(self, pace: Pace) {
        let mut failing = false;
        loop {
            tokio::select! {
                () = time::sleep(jittered(self.pause(&pace))) => {}
                () = self.key_sets.wanted(&self.name, &self.origin) => {}
            }
            match self.load().await {
                Ok(arrived) => {
                    if failing {
                        tracing::info!(issuer = %self.name, "the key set can be fetched again");
                    }
                    failing = false;
                    self.keep(arrived).await;
                }
                Err(error) => {
                    // One line a streak; what it was about is in the first.
                    if !failing {
                        let keys = if self.has_keys() { "the last good keys stay" } else { "there are no keys yet" };
                        tracing::warn!(issuer = %self.name, error = %error, "key set not refreshed; {keys}");
                    }
                    failing = true;
                }
            }
            self.key_sets.answer(&self.name, &self.origin);
        }
    }

    /// Keys are confirmed again when they are as old as `pace.refresh`, whether they came from the issuer or from the disk.
    fn pause(&self, pace: &Pace) -> Duration {
        let age = self.key_sets.age(&self.name, &self.origin, SystemTime::now());
        age.map_or(pace.retry, |age| pace.refresh.saturating_sub(age).max(pace.again))
    }

    async fn load(&self) -> Result<Arrived, LoadError> {
        let loaded = load(&self.origin).await;
        if let Some(metrics) = &self.records.metrics {
            metrics.key_sets.fetched(&self.name, loaded.is_ok());
        }
        loaded
    }

    async fn keep(&self, Arrived { set, problems, json }: Arrived) {
        let now = SystemTime::now();
        let usable = set.usable();
        let document = std::str::from_utf8(&json).ok().filter(|_| self.is_published());
        if self.key_sets.store_from(&self.name, &self.origin, set, document, now) {
            tracing::info!(issuer = %self.name, usable, set_aside = problems.len(), "key set changed");
            for problem in problems {
                tracing::warn!(issuer = %self.name, %problem, "a key of the key set is not used");
            }
        }
        let Some(directory) = self.records.directory.clone().filter(|_| self.is_published()) else { return };
        let (name, origin) = (self.name.clone(), self.origin.clone());
        let written = tokio::task::spawn_blocking(move || saved::write(&directory, &name, &origin, &json, now)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(issuer = %self.name, %error, "the key set could not be saved; a restart will need its issuer");
        }
    }

    async fn restore(&self, directory: PathBuf) -> bool {
        let (name, origin) = (self.name.clone(), self.origin.clone());
        let read = tokio::task::spawn_blocking(move || saved::read(&directory, &name, &origin)).await;
        let (json, at) = match read {
            Ok(Ok(Some(saved))) => saved,
            Ok(Err(error)) => {
                tracing::warn!(issuer = %self.name, %error, "the saved key set is not used");
                return false;
            }
            _ => return false,
        };
        let age = SystemTime::now().duration_since(at).unwrap_or_default();
        if age > self.outage_max {
            tracing::warn!(issuer = %self.name, age_seconds = age.as_secs(), "the saved key set is too old");
            return false;
        }
        match KeySet::parse(&json) {
            Ok((set, _)) => {
                self.key_sets.store_from(&self.name, &self.origin, set, std::str::from_utf8(&json).ok(), at);
                true
            }
            Err(error) => {
                tracing::warn!(issuer = %self.name, %error, "the saved key set is not used");
                false
            }
        }
    }

    fn has_keys(&self) -> bool {
        self.key_sets.has_keys(&self.name, &self.origin)
    }

    fn is_published(&self) -> bool {
        !matches!(self.origin, KeyOrigin::File(_))
    }
}

async fn load(origin: &KeyOrigin) -> Result<Arrived, LoadError> {
    let json = match origin {
        KeyOrigin::File(path) => read(path).await.map_err(LoadError::File)?,
        KeyOrigin::Url(url) => fetch::key_set(url).await?,
        KeyOrigin::Discovery(issuer) => fetch::discovered(issuer).await?,
    };
    let (set, problems) = KeySet::parse(&json)?;
    Ok(Arrived { set, problems, json })
}

async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || config::contents(&path)).await?
}

/// `pause`, up to a tenth shorter or longer, so that a fleet does not ask at the same instant.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.9 + 0.2 * chance())
}

#[cfg(test)]
mod tests;
