//! A gateway with its configuration in a temporary directory, and a simulator behind it.

use std::{
    fs::{self, Permissions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tollgate::{
    auth::DevelopmentIssuer,
    server::{self, Running},
    simulator::{Script, Served, Simulator, SimulatorConfig, SimulatorKey},
};

use crate::client::{self, Client};

/// Nothing here takes longer than this on a busy machine; who waits longer waits in vain.
pub const DEADLINE: Duration = Duration::from_secs(20);
pub const MODEL: &str = "anthropic.claude-3-haiku-20240307-v1:0";
pub const CONVERSE: &str = "/model/anthropic.claude-3-haiku-20240307-v1:0/converse";
pub const CONVERSE_STREAM: &str = "/model/anthropic.claude-3-haiku-20240307-v1:0/converse-stream";
pub const INVOKE: &str = "/model/anthropic.claude-3-haiku-20240307-v1:0/invoke";

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "gateway";

/// Sections of the configuration file that tests differ in; the rest is the same for all.
#[derive(Clone)]
pub struct Settings {
    pub upstream: String,
    pub sections: String,
    pub tenants: String,
    pub issuers: String,
    pub log_level: String,
    /// Beside the configuration, for its user only.
    pub files: Vec<(&'static str, String)>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            upstream: String::new(),
            sections: String::new(),
            tenants: tenant("acme", "") + &tenant("globex", ""),
            issuers: issuer("test", ISSUER),
            log_level: "info".to_owned(),
            files: Vec::new(),
        }
    }
}

/// A tenant that may call everything, with these limits.
pub fn tenant(name: &str, limits: &str) -> String {
    format!("[tenants.{name}]\nmodels = [\"*\"]\nservices = [\"*\"]\noperations = [\"*\"]\n[tenants.{name}.limits]\n{limits}\n")
}

pub fn issuer(name: &str, url: &str) -> String {
    format!(
        "[issuers.{name}]\nissuer = \"{url}\"\naudiences = [\"{AUDIENCE}\"]\nalgorithms = [\"ES256\"]\n\
         key_set = {{ file = \"keys.json\" }}\n"
    )
}

pub struct World {
    pub gateway: Running,
    pub simulator: Simulator,
    pub issuer: DevelopmentIssuer,
    pub settings: Settings,
    pub directory: TempDir,
    /// What clients of the TLS listener must trust.
    pub ca: String,
    log: Lines,
}

impl World {
    pub async fn start() -> World {
        World::with(Settings::default()).await
    }

    /// `acme` has these limits.
    pub async fn with_limits(limits: &str) -> World {
        World::with(Settings { tenants: tenant("acme", limits) + &tenant("globex", ""), ..Settings::default() }).await
    }

    /// With these `[sections]` besides the usual.
    pub async fn with_sections(sections: &str) -> World {
        World::with(Settings { sections: sections.to_owned(), ..Settings::default() }).await
    }

    /// With these keys in `[upstream]` besides the usual.
    pub async fn with_upstream(upstream: &str) -> World {
        World::with(Settings { upstream: upstream.to_owned(), ..Settings::default() }).await
    }

    pub async fn with(settings: Settings) -> World {
        server::install_crypto();
        let keys = vec![SimulatorKey::for_tests(), rotated_key()];
        let simulator = Simulator::start(SimulatorConfig { keys, ..SimulatorConfig::for_tests() }).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let issuer = DevelopmentIssuer::generate().unwrap();
        let certificate = Certificate::new();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("keys.json", &issuer.key_set_json());
        write("secret", "simulator-secret");
        write("session-token", "simulator-session-token");
        write("simulator-ca.pem", simulator.ca_pem());
        certificate.write(&directory, "server");
        for (name, text) in &settings.files {
            write_private(&directory.path().join(name), text);
        }
        write("tollgate.toml", &text(&settings, &simulator));
        let log = Lines::default();
        let path = directory.path().join("tollgate.toml");
        let gateway = server::start_logging_to(path, None, log.clone()).await.unwrap_or_else(|error| panic!("{error}"));
        gateway.ready().await;
        World { gateway, simulator, issuer, settings, directory, ca: certificate.ca, log }
    }

    /// Stops the gateway in order, and starts another one with the same file.
    pub async fn restart(self) -> World {
        let path = self.config_file();
        let World { gateway, log, .. } = self;
        gateway.stop().await;
        // The file has one owner at a time, and the last connection of the old one may still be going.
        let started = timeout(DEADLINE, async {
            loop {
                match server::start_logging_to(path.clone(), None, log.clone()).await {
                    Ok(gateway) => return gateway,
                    Err(_) => sleep(Duration::from_millis(5)).await,
                }
            }
        });
        let gateway = started.await.expect("the gateway starts again");
        gateway.ready().await;
        World { gateway, log, ..self }
    }

    pub fn config_file(&self) -> PathBuf {
        self.directory.path().join("tollgate.toml")
    }

    /// The file as these settings would have it.
    pub fn config_text(&self, settings: &Settings) -> String {
        text(settings, &self.simulator)
    }

    /// Rewrites the file and reloads it as SIGHUP does; whether it was taken.
    pub async fn reload(&self, settings: &Settings) -> bool {
        fs::write(self.config_file(), self.config_text(settings)).unwrap();
        self.gateway.reload().await
    }

    pub fn token(&self, tenant: &str) -> String {
        self.token_of(ISSUER, tenant)
    }

    pub fn token_of(&self, issuer: &str, tenant: &str) -> String {
        self.issuer.mint(issuer, AUDIENCE, tenant, "user-1", Duration::from_secs(600), SystemTime::now())
    }

    pub fn bearer(&self, tenant: &str) -> String {
        format!("Bearer {}", self.token(tenant))
    }

    /// HTTP/1.1 over plaintext.
    pub async fn h1(&self) -> Client {
        Client::h1(self.gateway.traffic[0], self.bearer("acme")).await
    }

    /// HTTP/2 over plaintext, by prior knowledge.
    pub async fn h2c(&self) -> Client {
        Client::h2c(self.gateway.traffic[0], self.bearer("acme")).await
    }

    /// HTTP/1.1 over TLS.
    pub async fn h1_tls(&self) -> Client {
        Client::tls(self.gateway.traffic[1], &self.ca, "http/1.1", self.bearer("acme")).await.unwrap()
    }

    /// HTTP/2 over TLS.
    pub async fn h2(&self) -> Client {
        Client::tls(self.gateway.traffic[1], &self.ca, "h2", self.bearer("acme")).await.unwrap()
    }

    /// The answer of the admin listener: status and text.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        client::get(self.gateway.admin, path).await.unwrap()
    }

    pub async fn metrics(&self) -> Metrics {
        Metrics(self.admin("/metrics").await.1)
    }

    /// Waits until the metrics say so.
    pub async fn until_metrics(&self, claim: &str, condition: impl Fn(&Metrics) -> bool) -> Metrics {
        let looked = timeout(DEADLINE, async {
            loop {
                let metrics = self.metrics().await;
                if condition(&metrics) {
                    return metrics;
                }
                sleep(Duration::from_millis(5)).await;
            }
        });
        looked.await.unwrap_or_else(|_| panic!("in vain waited for: {claim}"))
    }

    /// Waits until the series add up to `value`: a request is counted after its client has the answer.
    pub async fn until_sum(&self, name: &str, labels: &[&str], value: f64) -> Metrics {
        self.until_metrics(&format!("{name}{labels:?} = {value}"), |metrics| metrics.sum(name, labels) == value).await
    }

    /// Waits until so many requests have ended. A scrape takes its time, and counters move meanwhile; but that a request ended is counted
    /// last, so the next scrape has all of it.
    pub async fn until_ended(&self, requests: f64) -> Metrics {
        self.until_sum("tollgate_requests_total", &[], requests).await;
        self.metrics().await
    }

    /// The one request that the simulator got.
    pub fn served(&self) -> Arc<Served> {
        let mut requests = self.simulator.record().requests();
        assert_eq!(requests.len(), 1, "requests that reached the simulator");
        requests.remove(0)
    }

    pub fn served_count(&self) -> usize {
        self.simulator.record().requests().len()
    }

    pub fn script(&self, toml: &str) {
        self.simulator.set_script(Script::parse(toml).unwrap());
    }

    /// Waits for that many lines of the access log.
    pub async fn log_lines(&self, count: usize) -> Vec<Value> {
        until("lines in the access log", || self.log.parsed().len() >= count).await;
        self.log.parsed()
    }
}

/// Credentials that the gateway gets later.
pub fn rotated_key() -> SimulatorKey {
    SimulatorKey {
        access_key_id: "AKIDROTATED".to_owned(),
        secret_access_key: "rotated-secret".to_owned(),
        ..SimulatorKey::for_tests()
    }
}

/// Writes a file that only its user can read.
pub fn write_private(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
}

fn text(settings: &Settings, simulator: &Simulator) -> String {
    let Settings { upstream, sections, tenants, issuers, log_level, files: _ } = settings;
    let usual = |key: &str, value: String| if upstream.contains(key) { String::new() } else { format!("{key} = {value}\n") };
    let connect_to = usual("connect_to", format!("\"{}\"", simulator.address()));
    let connect_to = if upstream.contains("endpoints") { String::new() } else { connect_to };
    let ca_file = usual("ca_file", "\"simulator-ca.pem\"".to_owned());
    format!(
        r#"
state_directory = "state"

[[listeners]]
address = "127.0.0.1:0"

[[listeners]]
address = "127.0.0.1:0"
tls = {{ certificate_file = "server.pem", private_key_file = "server.key" }}

[admin]
address = "127.0.0.1:0"

[upstream]
region = "us-east-1"
{connect_to}{ca_file}{upstream}

[credentials]
access_key_id = "AKIDSIMULATOR"
secret_access_key = {{ file = "secret" }}
session_token = {{ file = "session-token" }}

[log]
level = "{log_level}"

{sections}
{issuers}
{tenants}
"#
    )
}

/// An authority and a certificate for localhost.
pub struct Certificate {
    pub ca: String,
    leaf: String,
    key: String,
}

impl Certificate {
    pub fn new() -> Certificate {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap();
        let authority = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        Certificate { ca: ca.pem(), leaf: leaf.pem(), key: key.serialize_pem() }
    }

    /// Writes `name.pem` and `name.key`.
    pub fn write(&self, directory: &TempDir, name: &str) {
        fs::write(directory.path().join(format!("{name}.pem")), &self.leaf).unwrap();
        fs::write(directory.path().join(format!("{name}.key")), &self.key).unwrap();
    }

    /// What a server of it needs; it agrees on no protocol by name.
    pub fn server(&self) -> Arc<ServerConfig> {
        let leaf = CertificateDer::from_pem_slice(self.leaf.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(vec![leaf], key).unwrap())
    }
}

/// A scrape.
pub struct Metrics(pub String);

impl Metrics {
    /// The sum of the series of this name whose labels contain all of `labels`; 0 if there are none.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let series = self.0.lines().filter(of_name).filter(|line| labels.iter().all(|label| line.contains(label)));
        series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Lines that are not comments.
    pub fn series(&self) -> usize {
        self.0.lines().filter(|line| !line.starts_with('#')).count()
    }
}

/// The access log, in memory.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn parsed(&self) -> Vec<Value> {
        let text = self.0.lock().unwrap();
        text.split_inclusive(|&b| b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What must happen before the deadline.
pub async fn within<F: Future>(future: F) -> F::Output {
    timeout(DEADLINE, future).await.expect("this has to happen before the deadline")
}

/// Waits for a condition that nobody announces.
pub async fn until(claim: &str, condition: impl Fn() -> bool) {
    let looked = timeout(DEADLINE, async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    looked.await.unwrap_or_else(|_| panic!("in vain waited for: {claim}"));
}
