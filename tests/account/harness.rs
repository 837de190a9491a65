//! The gateway as a process of its own, with a ledger, and the simulator behind it.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, SystemTime},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tollgate::{
    auth::DevelopmentIssuer,
    ledger::{Entry, Reader},
    server,
    simulator::{Simulator, SimulatorConfig},
};

use crate::client;

/// Nothing here takes longer than this on a busy machine; who waits longer waits in vain.
pub const DEADLINE: Duration = Duration::from_secs(30);
pub const MODEL: &str = "anthropic.claude-3-haiku-20240307-v1:0";

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "gateway";
pub const BINARY: &str = env!("CARGO_BIN_EXE_tollgate");

pub struct World {
    pub simulator: Simulator,
    pub traffic: SocketAddr,
    admin: SocketAddr,
    issuer: DevelopmentIssuer,
    directory: TempDir,
}

/// A running gateway. Dropping it kills it, as `kill -9` does.
pub struct Gateway(Child);

impl Gateway {
    pub fn of(child: Child) -> Gateway {
        Gateway(child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// No file that it writes may become longer, from now on; nothing: as long as this process may.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let own = getrlimit(Resource::Fsize);
        let limit = Rlimit { current: bytes.or(own.current), ..own };
        prlimit(Some(Pid::from_child(&self.0)), Resource::Fsize, limit).unwrap();
    }

    pub async fn ends(&mut self) {
        while self.0.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl World {
    /// `ledger` stands in its section besides the file's name; `quotas` are of acme and of globex.
    pub async fn new(ledger: &str, quotas: [&str; 2]) -> World {
        server::install_crypto();
        let simulator = Simulator::start(SimulatorConfig::for_tests()).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let issuer = DevelopmentIssuer::generate().unwrap();
        // Released at once: a gateway that is started again needs the same ones.
        let free = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
        let [traffic, admin] = free.map(|listener| listener.local_addr().unwrap());
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("keys.json", &issuer.key_set_json());
        write("secret", "simulator-secret");
        write("session-token", "simulator-session-token");
        write("simulator-ca.pem", simulator.ca_pem());
        let tenant = |(name, quotas): (&str, &str)| {
            format!("[tenants.{name}]\nmodels = [\"*\"]\nservices = [\"*\"]\noperations = [\"*\"]\n{quotas}\n")
        };
        let tenants: String = ["acme", "globex"].into_iter().zip(quotas).map(tenant).collect();
        let upstream = simulator.address();
        write(
            "tollgate.toml",
            &format!(
                r#"
listeners = [{{ address = "{traffic}" }}]
admin.address = "{admin}"
upstream = {{ region = "us-east-1", connect_to = "{upstream}", ca_file = "simulator-ca.pem", silence_seconds_max = 5 }}
# What a killed gateway held is kept back for as long.
account.reservation_seconds_max = 6
[credentials]
access_key_id = "AKIDSIMULATOR"
secret_access_key = {{ file = "secret" }}
session_token = {{ file = "session-token" }}
[ledger]
file = "account/ledger.sqlite"
{ledger}
[issuers.test]
issuer = "{ISSUER}"
audiences = ["{AUDIENCE}"]
key_set = {{ file = "keys.json" }}
{tenants}
"#
            ),
        );
        // Not beside the configuration: that directory is watched.
        fs::create_dir(directory.path().join("account")).unwrap();
        World { simulator, traffic, admin, issuer, directory }
    }

    /// Starts the gateway, and waits until it is ready.
    pub async fn start(&self) -> Gateway {
        let mut gateway = Gateway(self.command(Path::new(BINARY)).stdin(Stdio::null()).spawn().unwrap());
        tokio::select! {
            () = self.until_ready() => {}
            () = gateway.ends() => panic!("the gateway ended: {}", self.log_tail()),
        }
        gateway
    }

    /// What starts a gateway.
    pub fn command(&self, program: &Path) -> Command {
        let log = File::options().create(true).append(true).open(self.file("account/log")).unwrap();
        let mut command = Command::new(program);
        command.args(["run", "-c"]).arg(self.file("tollgate.toml")).env("TOKIO_WORKER_THREADS", "2");
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command
    }

    /// Waits until whoever listens is ready.
    pub async fn until_ready(&self) {
        let ready = timeout(DEADLINE, async {
            while !client::get(self.admin, "/readyz").await.is_ok_and(|(status, _)| status == 200) {
                sleep(Duration::from_millis(10)).await;
            }
        });
        ready.await.unwrap_or_else(|_| panic!("the gateway is not ready: {}", self.log_tail()));
    }

    /// Waits until the gateway is about to end, and still answers.
    pub async fn until_stopping(&self) {
        let stopping = timeout(DEADLINE, async {
            while !client::get(self.admin, "/readyz").await.is_ok_and(|(status, _)| status == 503) {
                sleep(Duration::from_millis(10)).await;
            }
        });
        stopping.await.unwrap_or_else(|_| panic!("the gateway does not stop: {}", self.log_tail()));
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Adds sections to the configuration.
    pub fn configure(&self, sections: &str) {
        let config = self.file("tollgate.toml");
        fs::write(&config, fs::read_to_string(&config).unwrap() + "\n" + sections).unwrap();
    }

    pub fn ledger_file(&self) -> PathBuf {
        self.file("account/ledger.sqlite")
    }

    pub fn bearer(&self, tenant: &str) -> String {
        self.bearer_of(tenant, "user-1")
    }

    pub fn bearer_of(&self, tenant: &str, subject: &str) -> String {
        let token = self.issuer.mint(ISSUER, AUDIENCE, tenant, subject, Duration::from_secs(600), SystemTime::now());
        format!("Bearer {token}")
    }

    /// The sum of the series of this name that have the label; nothing while the gateway is gone.
    pub async fn metric(&self, name: &str, label: &str) -> Option<f64> {
        let (_, text) = client::get(self.admin, "/metrics").await.ok()?;
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let series = text.lines().filter(of_name).filter(|line| line.contains(label));
        Some(series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum())
    }

    /// Every tenant's account as operators see it; nothing while the gateway is gone.
    pub async fn usage(&self) -> Option<serde_json::Value> {
        let (_, text) = client::get(self.admin, "/usage").await.ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Waits until the metric is that.
    pub async fn until_metric(&self, name: &str, value: f64) {
        let looked = timeout(DEADLINE, async {
            while self.metric(name, "").await != Some(value) {
                sleep(Duration::from_millis(20)).await;
            }
        });
        looked.await.unwrap_or_else(|_| panic!("in vain waited for: {name} = {value}"));
    }

    /// Every row of the ledger, in the order in which they were written.
    pub fn rows(&self) -> Vec<Entry> {
        let mut rows = Reader::open(self.ledger_file()).unwrap().recent(None, u32::MAX).unwrap();
        rows.reverse();
        rows
    }

    /// Waits until the ledger has so many rows, and has no hold.
    pub async fn until_rows(&self, count: usize) -> Vec<Entry> {
        let looked = timeout(DEADLINE, async {
            while self.rows().len() < count || self.holds() > 0 {
                sleep(Duration::from_millis(10)).await;
            }
        });
        looked.await.unwrap_or_else(|_| panic!("in vain waited for {count} rows: {}", self.rows().len()));
        self.rows()
    }

    pub fn holds(&self) -> usize {
        Reader::open(self.ledger_file()).unwrap().holds().unwrap().len()
    }

    /// The requests that the ledger has open holds of; nothing while it cannot be read.
    pub fn try_holds(&self) -> Option<Vec<String>> {
        let holds = Reader::open(self.ledger_file()).ok()?.holds().ok()?;
        Some(holds.into_iter().map(|hold| hold.request.id.to_string()).collect())
    }

    /// `tollgate ledger verify`.
    pub fn verify(&self) -> Output {
        Command::new(BINARY).args(["ledger", "verify", "-c"]).arg(self.file("tollgate.toml")).output().unwrap()
    }

    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.file("account/log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| !line.contains(r#""msg":"request""#)).collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// Waits until it is so.
pub async fn until(claim: &str, condition: impl Fn() -> bool) {
    let looked = timeout(DEADLINE, async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    looked.await.unwrap_or_else(|_| panic!("in vain waited for: {claim}"));
}

/// What must happen before the deadline.
pub async fn within<F: Future>(future: F) -> F::Output {
    timeout(DEADLINE, future).await.expect("this has to happen before the deadline")
}
