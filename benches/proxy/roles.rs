//! The parts that processes play in a measurement, and how each is started: the simulator, bare Pingora, tollgate.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context;
use async_trait::async_trait;
use pingora_core::{
    apps::HttpServerOptions,
    protocols::ALPN,
    server::configuration::ServerConf,
    upstreams::peer::{HttpPeer, PeerOptions},
    utils::tls::{WrappedX509, parse_x509},
};
use pingora_proxy::{HttpProxy, ProxyHttp, Session};
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tollgate::{
    auth::DevelopmentIssuer,
    proxy::listener::{Application, Connections, Listener, Opening, Phase, Phases},
    simulator::{Simulator, SimulatorConfig, SimulatorKey},
};

pub const REGION: &str = "us-east-1";
pub const HOST: &str = "bedrock-runtime.us-east-1.amazonaws.com";

const AUDIENCE: &str = "bench";
const ISSUER: &str = "https://issuer.bench.invalid";
/// A TLS handshake or a start may take so long on a busy machine.
const START_MAX: Duration = Duration::from_secs(20);
/// So may an end, with streams that are open.
const END_MAX: Duration = Duration::from_secs(20);

/// Of all that is measured: one worker, and as the unit file has it, memory of large bodies is kept for the next ones.
const ENVIRONMENT: [(&str, &str); 2] = [("TOKIO_WORKER_THREADS", "1"), ("MIMALLOC_PURGE_DELAY", "5000")];

/// Of a stream in both directions, as the gateway has it.
const WINDOW: u32 = 1 << 18;

/// A child that does not outlive this process.
pub struct Running(Child);

impl Running {
    /// Its process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    /// Asks it to end, since some write down what they saw only then; one that does not is killed.
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let began = Instant::now();
        while self.0.try_wait().is_ok_and(|ended| ended.is_none()) && began.elapsed() < END_MAX {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Plays the role that the arguments name: another process of this binary started it. Without one, `cargo bench` did, and `measure` is
/// called, with the word after `--`. `HTTP2`: what bare Pingora speaks.
pub fn play<const HTTP2: bool, F>(bench: &str, measure: impl FnOnce(Option<String>) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    tollgate::server::install_crypto();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["simulator", ca_file] => simulate(ca_file.as_ref()),
        ["bare", upstream, ca_file] => pass_through::<HTTP2>(upstream.parse()?, ca_file.as_ref()),
        _ if !arguments.iter().any(|argument| argument == "--bench") => {
            println!("`cargo bench --bench {bench}` measures; this is not it");
            Ok(())
        }
        _ => {
            let filter = arguments.into_iter().find(|argument| !argument.starts_with("--"));
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(filter))
        }
    }
}

/// What every measurement needs besides the gateway.
pub struct Surroundings {
    /// Where everything lies.
    pub directory: tempfile::TempDir,
    /// The simulator's authority.
    pub ca_file: PathBuf,
    /// The simulator, and where it listens.
    pub simulator: Running,
    pub upstream: SocketAddr,
    /// Bare Pingora in front of it, and where it listens.
    pub bare: Running,
    pub bare_address: SocketAddr,
}

impl Surroundings {
    /// Starts both, and waits until they listen.
    pub fn start() -> anyhow::Result<Surroundings> {
        let directory = tempfile::tempdir()?;
        let ca_file = directory.path().join("ca.pem");
        let (simulator, upstream) = start_self(&["simulator".as_ref(), ca_file.as_ref()])?;
        let (bare, bare_address) = start_self(&["bare".as_ref(), upstream.to_string().as_ref(), ca_file.as_ref()])?;
        Ok(Surroundings { directory, ca_file, simulator, upstream, bare, bare_address })
    }
}

/// Starts this binary in another role; it prints its address.
fn start_self(arguments: &[&OsStr]) -> anyhow::Result<(Running, SocketAddr)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).envs(ENVIRONMENT);
    let mut child = Running(command.spawn()?);
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().context("no standard output")?).read_line(&mut line)?;
    Ok((child, line.trim().parse().context("a child did not start")?))
}

/// Starts the gateway with one tenant, `acme`, whose table and everything after it are `sections`; gives its address and a token.
pub fn start_tollgate(
    directory: &Path,
    ca_file: &Path,
    upstream: SocketAddr,
    sections: &str,
) -> anyhow::Result<(Running, SocketAddr, String)> {
    fs::create_dir_all(directory.join("account"))?;
    fs::copy(ca_file, directory.join("ca.pem"))?;
    // Nobody else is likely to take the ports in between.
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let (address, admin) = (free()?, free()?);
    let key = SimulatorKey::for_tests();
    let issuer = DevelopmentIssuer::generate()?;
    let config = format!(
        r#"
        listeners = [{{ address = "{address}" }}]
        admin.address = "{admin}"
        upstream = {{ region = "{REGION}", connect_to = "{upstream}", ca_file = "ca.pem", idle_seconds_max = 120 }}
        credentials = {{ access_key_id = "{}", secret_access_key = {{ file = "secret" }}, session_token = {{ file = "token" }} }}
        [issuers.bench]
        issuer = "{ISSUER}"
        audiences = ["{AUDIENCE}"]
        key_set = {{ file = "keys.json" }}
        [tenants.acme]
        services = ["bedrock-runtime"]
        limits = {{ requests_per_second = 1000000, requests_per_minute = 60000000, concurrent_requests = 100000 }}
        {sections}
        "#,
        key.access_key_id,
    );
    fs::write(directory.join("secret"), &key.secret_access_key)?;
    fs::write(directory.join("token"), key.session_token.unwrap_or_default())?;
    fs::write(directory.join("keys.json"), issuer.key_set_json())?;
    fs::write(directory.join("tollgate.toml"), config)?;

    let binary = std::env::var_os("TOLLGATE").unwrap_or_else(|| env!("CARGO_BIN_EXE_tollgate").into());
    let mut command = Command::new(binary);
    command.arg("run").arg("-c").arg(directory.join("tollgate.toml")).envs(ENVIRONMENT);
    // Not beside the configuration: that directory is watched.
    fs::create_dir(directory.join("log"))?;
    command.stdout(File::create(directory.join("log/access"))?);
    let child = Running(command.spawn().context("cannot start tollgate")?);
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        anyhow::ensure!(began.elapsed() < START_MAX, "tollgate does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    let token = issuer.mint(ISSUER, AUDIENCE, "acme", "bench", Duration::from_secs(3600), SystemTime::now());
    Ok((child, address, token))
}

/// The role `simulator`.
fn simulate(ca_file: &Path) -> anyhow::Result<()> {
    serve_until_orphaned(async {
        let simulator = Simulator::start(SimulatorConfig { record_requests: false, ..SimulatorConfig::for_tests() }).await?;
        fs::write(ca_file, simulator.ca_pem())?;
        let address = simulator.address();
        std::mem::forget(simulator); // Serves as long as the process lives.
        Ok(address)
    })
}

/// The role `bare`: Pingora with no more than it needs, HTTP/2 on both sides or on none.
fn pass_through<const HTTP2: bool>(upstream: SocketAddr, ca_file: &Path) -> anyhow::Result<()> {
    serve_until_orphaned(async move {
        let roots = CertificateDer::pem_file_iter(ca_file)?.collect::<Result<Vec<_>, _>>()?;
        let mut options = PeerOptions::new();
        options.ca = Some(roots.iter().map(|root| WrappedX509::new(root.to_vec(), parse_x509)).collect());
        options.alpn = if HTTP2 { ALPN::H2 } else { ALPN::H1 };
        options.h2_stream_window_size = Some(WINDOW);
        options.h2_connection_window_size = Some(WINDOW);
        options.read_timeout = Some(Duration::from_secs(600));
        options.write_timeout = Some(Duration::from_secs(600));
        options.idle_timeout = Some(Duration::from_secs(120));
        let mut peer = HttpPeer::new(upstream, true, HOST.to_owned());
        peer.options = options;
        let conf = ServerConf { threads: 1, upstream_keepalive_pool_size: 2_048, ..ServerConf::default() };
        let mut proxy = HttpProxy::new(PassThrough(peer), Arc::new(conf));
        proxy.handle_init_modules();
        let mut server = HttpServerOptions::default();
        server.h2c = HTTP2;
        proxy.server_options = Some(server);

        let listener = Listener::plaintext(TcpListener::bind("127.0.0.1:0")?, Bare::<HTTP2>(Arc::new(proxy)), usize::MAX)?;
        let address = listener.address()?;
        // Nobody tells it to end.
        let (_, phase) = tokio::sync::watch::channel(Phase::Serving);
        tokio::spawn(listener.serve(Phases::new(phase), Connections::default()));
        Ok(address)
    })
}

/// Prints the address, and serves until the process that started this one is gone.
fn serve_until_orphaned(start: impl Future<Output = anyhow::Result<SocketAddr>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let address = runtime.block_on(start)?;
    println!("{address}");
    std::io::stdout().flush()?;
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    runtime.shutdown_background();
    Ok(())
}

struct Bare<const HTTP2: bool>(Arc<HttpProxy<PassThrough>>);

impl<const HTTP2: bool> Application for Bare<HTTP2> {
    type App = HttpProxy<PassThrough>;
    const H2C: bool = HTTP2;

    fn serve(&self, _: Opening) -> Arc<Self::App> {
        self.0.clone()
    }
}

struct PassThrough(HttpPeer);

#[async_trait]
impl ProxyHttp for PassThrough {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora_error::Result<Box<HttpPeer>> {
        Ok(Box::new(self.0.clone()))
    }
}
