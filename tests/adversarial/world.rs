//! A gateway with a plaintext listener, the simulator behind it, and one tenant.

use std::{
    fs,
    io::Write,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use tempfile::TempDir;
use tollgate::{
    auth::DevelopmentIssuer,
    server::{self, Running},
    simulator::{Script, Simulator, SimulatorConfig},
};

use crate::raw::{Raw, SOON};

pub const CONVERSE: &str = "/model/amazon.nova-lite-v1:0/converse";
pub const CONVERSE_STREAM: &str = "/model/amazon.nova-lite-v1:0/converse-stream";

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "gateway";

pub struct World {
    pub gateway: Running,
    pub simulator: Simulator,
    issuer: DevelopmentIssuer,
    log: Log,
    _directory: TempDir,
}

impl World {
    /// The tenant may use these models; `sections` are added to the configuration.
    pub async fn start(models: &str, sections: &str) -> World {
        World::listening("", models, sections).await
    }

    /// The listener has these keys besides its address.
    pub async fn listening(listener: &str, models: &str, sections: &str) -> World {
        server::install_crypto();
        let simulator = Simulator::start(SimulatorConfig::for_tests()).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let issuer = DevelopmentIssuer::generate().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("keys.json", &issuer.key_set_json());
        write("secret", "simulator-secret");
        write("session-token", "simulator-session-token");
        write("simulator-ca.pem", simulator.ca_pem());
        let address = simulator.address();
        let text = format!(
            r#"
[[listeners]]
address = "127.0.0.1:0"
{listener}
[admin]
address = "127.0.0.1:0"
[upstream]
region = "us-east-1"
connect_to = "{address}"
ca_file = "simulator-ca.pem"
[credentials]
access_key_id = "AKIDSIMULATOR"
secret_access_key = {{ file = "secret" }}
session_token = {{ file = "session-token" }}
[log]
level = "warn"
access = true
[issuers.test]
issuer = "{ISSUER}"
audiences = ["{AUDIENCE}"]
algorithms = ["ES256"]
key_set = {{ file = "keys.json" }}
[tenants.acme]
models = {models}
services = ["*"]
operations = ["*"]
{sections}
"#
        );
        write("tollgate.toml", &text);
        let log = Log::default();
        let path = directory.path().join("tollgate.toml");
        let gateway = server::start_logging_to(path, None, log.clone()).await.unwrap_or_else(|error| panic!("{error}"));
        gateway.ready().await;
        World { gateway, simulator, issuer, log, _directory: directory }
    }

    /// A POST's head with these lines before its empty one.
    pub fn head(&self, path: &str, fields: &str) -> String {
        let token = self.token();
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{fields}\r\n")
    }

    pub fn token(&self) -> String {
        self.issuer.mint(ISSUER, AUDIENCE, "acme", "user-1", Duration::from_secs(600), SystemTime::now())
    }

    pub fn script(&self, toml: &str) {
        self.simulator.set_script(Script::parse(toml).unwrap());
    }

    /// A request that is served if anything is.
    pub fn good(&self) -> String {
        self.head(CONVERSE, "Content-Length: 2\r\n") + "{}"
    }

    /// The value of a series, without its name's `tollgate_`; 0 if there is none. `labels` as in the exposition.
    pub async fn metric(&self, name: &str, labels: &str) -> f64 {
        let mut admin = Raw::to(self.gateway.admin).await;
        admin.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
        let text = admin.rest().await.unwrap();
        let name = format!("tollgate_{name}");
        let mut lines = text.lines().filter(|line| line.starts_with(&name) && line.contains(labels));
        lines.next().map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// Waits until a series has a value.
    pub async fn until_metric(&self, name: &str, labels: &str, value: f64) {
        let until = async {
            while self.metric(name, labels).await != value {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, until).await.unwrap_or_else(|_| panic!("in vain waited for: {name}{{{labels}}} = {value}"));
    }

    /// Waits for a line of the access log that contains this.
    pub async fn until_logged(&self, text: &str) {
        let until = async {
            while !String::from_utf8_lossy(&self.log.0.lock().unwrap()).contains(text) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, until).await.unwrap_or_else(|_| panic!("in vain waited for: {text}"));
    }

    /// Requests that reached the simulator.
    pub fn served(&self) -> usize {
        self.simulator.record().requests().len()
    }
}

/// The access log, in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
