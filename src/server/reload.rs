//! Hot reload: a new configuration is read and compiled beside the old one and takes its place at once, or changes nothing.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, anyhow, bail};
use arc_swap::ArcSwap;
use sd_notify::NotifyState;
use tokio::sync::{Mutex, watch};

use super::{
    assembly::Parts,
    assume_role::Sts,
    chronicle::{Chronicle, Prints, prints},
    credentials, expiry,
    key_sets::{self, Records},
    resolving,
    traces::{self, Exporter},
    zeros,
};
use crate::{
    aws::CredentialsSlot,
    config::{self, Config, KeySetSource, Secret},
    proxy::{Live, addresses::Addresses},
    snapshot::{self, Lasting, Snapshot, listeners},
    telemetry::{Metrics, SpanQueue, logging::LogFilter},
};

/// How long an exporter may still send after another configuration took its place.
const LAST_SPANS_MAX: Duration = Duration::from_secs(60);

pub(super) struct Reloader {
    path: PathBuf,
    settled: Settled,
    /// Of the configuration in force, and of the files that it names.
    seen: StdMutex<Prints>,
    live: Arc<ArcSwap<Live>>,
    lasting: Arc<Lasting>,
    hosts: Arc<Addresses>,
    metrics: Arc<Metrics>,
    chronicle: Arc<Chronicle>,
    log_filter: Option<LogFilter>,
    credentials: Arc<CredentialsSlot>,
    spans: Arc<SpanQueue>,
    exporting: StdMutex<Option<Exporter>>,
    sts: Arc<ArcSwap<Sts>>,
    /// Dropping a sender ends the task that it was made for.
    polling: StdMutex<Option<watch::Sender<bool>>>,
    refreshing: StdMutex<Option<watch::Sender<bool>>>,
    one_at_a_time: Mutex<()>,
}

impl Reloader {
    pub fn new(path: PathBuf, (config, seen): (&Config, Prints), parts: &Parts, log_filter: Option<LogFilter>) -> Reloader {
        Reloader {
            seen: StdMutex::new(seen),
            path,
            settled: Settled::of(config),
            live: parts.live.clone(),
            lasting: parts.lasting.clone(),
            hosts: parts.gateway_addresses.clone(),
            metrics: parts.metrics.clone(),
            chronicle: parts.chronicle.clone(),
            log_filter,
            credentials: parts.credentials.clone(),
            spans: parts.spans.clone(),
            exporting: StdMutex::default(),
            sts: parts.sts.clone(),
            polling: StdMutex::default(),
            refreshing: StdMutex::default(),
            one_at_a_time: Mutex::default(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the files contained that the configuration in force was read from, itself first; see [`read`].
    pub fn seen(&self) -> Prints {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether somebody has it read at this moment.
    pub fn is_reloading(&self) -> bool {
        self.one_at_a_time.try_lock().is_err()
    }

    /// What is wrong with the file and with those it names; said to nobody.
    pub async fn problems(&self) -> String {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || snapshot::examine(&path).1.to_string()).await.unwrap_or_default()
    }

    /// Reads the file and puts it in force; false if it is bad, which changes nothing.
    pub async fn reload(&self) -> bool {
        let _turn = self.one_at_a_time.lock().await;
        tell_systemd_of_reload();
        let applied = self.apply().await;
        let result = match &applied {
            Ok(generation) => {
                tracing::info!(generation, "configuration reloaded");
                self.metrics.config_last_reload_success.set(unix_seconds(SystemTime::now()));
                "ok"
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "configuration not reloaded; the old one stays in force");
                self.chronicle.refused(error, self.live.load().snapshot.generation);
                "failed"
            }
        };
        self.metrics.config_last_reload_successful.set(i64::from(applied.is_ok()));
        self.metrics.config_reloads.with_label_values(&[result]).inc();
        tell_systemd_of_result(&applied);
        applied.is_ok()
    }

    async fn apply(&self) -> anyhow::Result<u64> {
        let (config, seen) = read(&self.path).await?.map_err(|problems| anyhow!("{problems}"))?;
        let waiting = self.settled.waiting(&config);
        for what in &waiting {
            tracing::warn!("changed, and not in force: {what}");
        }
        let (key_sets, failures) = key_sets::read_once(&config, &self.lasting.key_sets, &self.records(&config)).await;
        for failure in failures {
            if failure.is_mistake() {
                bail!("{failure}");
            }
            tracing::warn!(%failure, "key set not loaded");
        }
        let generation = self.live.load().snapshot.generation + 1;
        let mut snapshot = Snapshot::compile(&config, generation, &self.lasting)?;
        snapshot.listeners = listeners::in_order_of(&self.live.load().snapshot.listeners, snapshot.listeners);
        resolving::prepare(&self.hosts, &snapshot).await;
        let exporter = self.exporter(&config)?;
        self.replace_configured_credentials(&config).await?;
        // The last thing that can fail comes before the first that takes effect.
        self.keep_credentials_fresh(&config)?;
        self.sts.store(Arc::new(Sts::new(&config, self.credentials.clone())));
        if let Some(filter) = &self.log_filter {
            filter.set(&config.log.level);
        }
        expiry::show(&snapshot, &self.metrics);
        zeros::begin(&snapshot, &self.metrics);
        expiry::warn(&snapshot, SystemTime::now());
        key_sets.put_in_force().await;
        self.live.store(Arc::new(Live::new(snapshot)));
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&seen);
        self.metrics.config_generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.chronicle.taken(config.clone(), generation, seen, waiting);
        self.poll_key_sets(config);
        self.export_spans(exporter);
        Ok(generation)
    }

    /// Keys that a configuration does not have any more must not sign on, and they do not expire: others take their place first.
    async fn replace_configured_credentials(&self, config: &Config) -> anyhow::Result<()> {
        if config.credentials.is_some() || self.chronicle.in_force().credentials.is_none() {
            return Ok(());
        }
        let fetched = credentials::fetch(&*credentials::source(config)?).await;
        let fetched = fetched.context("[credentials] is gone, and elsewhere there are no AWS credentials")?;
        self.credentials.store(fetched);
        Ok(())
    }

    /// Fetches credentials from where the configuration says, at once and from now on. Whoever reloads may have replaced those that do not
    /// expire, or wait for an answer that does not come.
    pub fn keep_credentials_fresh(&self, config: &Config) -> anyhow::Result<()> {
        let source = credentials::source(config)?;
        let (end, ending) = watch::channel(false);
        tokio::spawn(credentials::keep_fresh(source, self.credentials.clone(), ending));
        *self.refreshing.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        Ok(())
    }

    /// Polls the key sets of its issuers from now on, and no others.
    pub fn poll_key_sets(&self, config: Config) {
        let (end, ending) = watch::channel(false);
        let records = self.records(&config);
        tokio::spawn(key_sets::poll(config.issuers, self.lasting.key_sets.clone(), records, ending));
        // Dropping the old sender ends the old polls.
        *self.polling.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }

    /// What sends spans where a configuration says.
    pub fn exporter(&self, config: &Config) -> anyhow::Result<Option<traces::Ready>> {
        config.traces.as_ref().map(|traces| traces::ready(traces, &self.spans, &self.metrics)).transpose()
    }

    /// Sends spans so from now on; who did before sends what it has in hand, or all that waits if nobody takes its place.
    pub fn export_spans(&self, ready: Option<traces::Ready>) {
        let goes_on = ready.is_some();
        let before = std::mem::replace(&mut *self.exporting(), ready.map(traces::Ready::start));
        match before {
            Some(before) if goes_on => drop(tokio::spawn(before.leave(LAST_SPANS_MAX))),
            Some(before) => drop(tokio::spawn(before.stop(LAST_SPANS_MAX))),
            None => {}
        }
    }

    /// Sends the last spans.
    pub async fn stop_exporting(&self, within: Duration) {
        let exporter = self.exporting().take();
        if let Some(exporter) = exporter {
            exporter.stop(within).await;
        }
    }

    fn exporting(&self) -> MutexGuard<'_, Option<Exporter>> {
        self.exporting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn records(&self, config: &Config) -> Records {
        Records { directory: config.state_directory.clone(), metrics: Some(self.metrics.clone()) }
    }
}

/// What a process settles when it starts: addresses are bound once, and the ledger is opened once.
struct Settled {
    addresses: Vec<(SocketAddr, bool)>,
    ledger: config::Ledger,
}

impl Settled {
    fn of(config: &Config) -> Settled {
        Settled { addresses: addresses(config), ledger: config.ledger.clone() }
    }

    /// What a later configuration has otherwise, and until when that does not count.
    fn waiting(&self, config: &Config) -> Vec<&'static str> {
        let (own, later) = (&self.ledger, &config.ledger);
        // Windows go by the file, so that an upgrade keeps it.
        let moved = own.file.is_some() && later.file != own.file;
        let others = [
            ("listen addresses, until a restart or an upgrade", addresses(config) != self.addresses),
            ("[ledger], until a restart, for its file is another", moved),
            ("[ledger], until a restart or an upgrade", !moved && later != own),
        ];
        others.into_iter().filter(|(_, other)| *other).map(|(what, _)| what).collect()
    }
}

fn addresses(config: &Config) -> Vec<(SocketAddr, bool)> {
    let listeners = config.listeners.iter().map(|listener| (listener.address, listener.tls.is_some()));
    listeners.chain([(config.admin.address, false)]).collect()
}

/// Reads the configuration. What it contained, and what the files contain that it names, is looked at before each of them is read: whatever
/// changes meanwhile differs from it, and is read again.
pub(super) async fn read(path: &Path) -> anyhow::Result<Result<(Config, Prints), config::Problems>> {
    let mut seen = prints(&[path.to_owned()]).await;
    let path = path.to_owned();
    let config = match tokio::task::spawn_blocking(move || config::read(&path)).await? {
        Ok(config) => config,
        Err(problems) => return Ok(Err(problems)),
    };
    seen.extend(prints(&named(&config)).await);
    Ok(Ok((config, seen)))
}

/// All files that a configuration names.
fn named(config: &Config) -> Vec<PathBuf> {
    let tls: Vec<_> = config.listeners.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(config::Tls::files).collect();
    let key_sets = config.issuers.values().filter_map(|issuer| match &issuer.key_set {
        KeySetSource::File(file) => Some(file),
        KeySetSource::Url(_) | KeySetSource::Discovery(_) => None,
    });
    let secrets = config.credentials.iter().flat_map(|keys| [Some(&keys.secret_access_key), keys.session_token.as_ref()]);
    let sealing = config.vending.iter().flat_map(|vending| &vending.sealing_keys).map(|key| &key.secret);
    let headers = config.traces.iter().flat_map(|traces| traces.headers.values());
    let secrets = secrets.flatten().chain(sealing).chain(headers).filter_map(|secret| match secret {
        Secret::File(file) => Some(file),
        Secret::Env(_) => None,
    });
    let keys = config.keys.as_ref().map(|keys| &keys.file);
    let collector_ca = config.traces.as_ref().and_then(|traces| traces.ca_file.as_ref());
    let named = tls
        .iter()
        .chain(&config.upstream.ca_file)
        .chain(collector_ca)
        .chain(&config.prices.file)
        .chain(key_sets)
        .chain(secrets)
        .chain(keys);
    named.cloned().collect()
}

fn tell_systemd_of_reload() {
    let mut states = vec![NotifyState::Reloading];
    states.extend(NotifyState::monotonic_usec_now().ok());
    let _ = sd_notify::notify(&states);
}

fn tell_systemd_of_result(applied: &anyhow::Result<u64>) {
    let status = match applied {
        Ok(generation) => format!("serving configuration {generation}"),
        Err(_) => "serving; the last reload failed, see the log".to_owned(),
    };
    let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// For metrics.
pub(super) fn unix_seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_reload_changes_is_told() {
        let config = |listen: &str, ledger: &str| -> Config {
            toml::from_str(&format!(
                "listeners = [{{ address = \"127.0.0.1:{listen}\" }}]\nupstream = {{ region = \"us-east-1\" }}\n[ledger]\n{ledger}"
            ))
            .unwrap()
        };
        let upgrade = "listen addresses, until a restart or an upgrade";
        let ledger = "[ledger], until a restart or an upgrade";
        let restart = "[ledger], until a restart, for its file is another";
        for (own, later, waiting) in [
            (config("1", ""), config("1", ""), &[][..]),
            (config("1", ""), config("1", "durability = \"group\""), &[]),
            (config("1", ""), config("2", ""), &[upgrade]),
            (config("1", ""), config("1", "file = \"l\""), &[ledger]),
            (config("1", "file = \"l\""), config("1", "file = \"m\""), &[restart]),
            (config("1", "file = \"l\""), config("1", "retention_days = 9"), &[restart]),
            (config("1", "file = \"l\""), config("1", "file = \"l\"\nretention_days = 9"), &[ledger]),
            (config("1", ""), config("1", "durability = \"strict\""), &[ledger]),
            (config("1", ""), config("2", "on_failure = \"open\""), &[upgrade, ledger]),
        ] {
            let settled = Settled::of(&own);
            assert_eq!(settled.waiting(&later), waiting, "{later:?}");
        }
    }
}
