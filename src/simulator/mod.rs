//! A small Bedrock that does not trust the gateway: it verifies every signature from the bytes it received, says what it took a
//! request for by its own reading of the table of operations, misbehaves as scripted, and keeps a record of what it served.
//! It never runs a model and never keeps a prompt.
//!
//! Its HTTP is hyper's, where the gateway's is Pingora's, and its SigV4 is its own: two implementations check each other, and a
//! mistake in one does not cancel itself out.
//!
//! | file | job |
//! |---|---|
//! | `listener`, `connection`, `certificate` | TCP, TLS, HTTP, and the ways a connection ends |
//! | `exchange` | one request: the order of everything below |
//! | `classify` | which service and operation |
//! | `signature/` | SigV4 |
//! | `script` | how to behave |
//! | `answers/` | what Bedrock would say |
//! | `body` | how it goes out |
//! | `conversation` | request and answer at once |
//! | `record`, `management` | what was served, in process and over HTTP |

mod answers;
mod body;
mod certificate;
mod classify;
mod connection;
mod conversation;
mod exchange;
mod listener;
mod management;
pub mod record;
pub mod script;
mod signature;

use std::{io, net::SocketAddr, sync::Arc};

use serde::Deserialize;
use tokio::task::JoinHandle;

use self::exchange::Exchange;
pub use self::{
    record::{Heard, Record, Served, Totals, Usage},
    script::{Behaviour, Moment, Rule, Script, Size},
};

/// What a simulator is started with.
#[derive(Clone, Debug)]
pub struct SimulatorConfig {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// The region of its certificate, and of the scope where the host name does not say one.
    pub region: String,
    /// Off: plaintext HTTP/1.1 and HTTP/2 by prior knowledge.
    pub tls: bool,
    /// Who may sign.
    pub keys: Vec<SimulatorKey>,
    /// How to behave.
    pub script: Script,
    /// Off: only the sums are kept, as in benchmarks.
    pub record_requests: bool,
}

impl SimulatorConfig {
    /// 127.0.0.1 on a free port, us-east-1, TLS, one key: `AKIDSIMULATOR`, `simulator-secret`, `simulator-session-token`.
    pub fn for_tests() -> SimulatorConfig {
        SimulatorConfig {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            region: "us-east-1".to_owned(),
            tls: true,
            keys: vec![SimulatorKey::for_tests()],
            script: Script::default(),
            record_requests: true,
        }
    }
}

/// A key that requests may be signed with. It is made up: a secret here opens nothing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulatorKey {
    /// `AKID…`
    pub access_key_id: String,
    /// The secret.
    pub secret_access_key: String,
    /// With a token, a request must carry exactly it; without, none.
    pub session_token: Option<String>,
}

impl SimulatorKey {
    /// `AKIDSIMULATOR`, `simulator-secret`, `simulator-session-token`.
    pub fn for_tests() -> SimulatorKey {
        SimulatorKey {
            access_key_id: "AKIDSIMULATOR".to_owned(),
            secret_access_key: "simulator-secret".to_owned(),
            session_token: Some("simulator-session-token".to_owned()),
        }
    }
}

/// A running simulator. Dropping it stops it and ends its connections.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    tls: bool,
    ca_pem: String,
    exchange: Arc<Exchange>,
    accepting: JoinHandle<()>,
}

impl Simulator {
    /// Binds and serves on the current tokio runtime.
    pub async fn start(config: SimulatorConfig) -> io::Result<Simulator> {
        let certificate = certificate::make(&config.region)?;
        let listener = listener::bind(config.address)?;
        let address = listener.local_addr()?;
        let tls = config.tls;
        let exchange = Arc::new(Exchange::new(config));
        let server = tls.then_some(certificate.server);
        let accepting = tokio::spawn(listener::accept(listener, server, exchange.clone()));
        Ok(Simulator { address, tls, ca_pem: certificate.ca_pem, exchange, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://localhost:PORT`, or `http://…` without TLS.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.address.port())
    }

    /// The certificate of its authority. Made at start; its key never leaves memory.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What it served. Also `GET /_simulator/record`.
    pub fn record(&self) -> Arc<Record> {
        self.exchange.record.clone()
    }

    /// Lets one more key sign, as STS's answers do. Also `POST /_simulator/keys`.
    pub fn trust(&self, key: SimulatorKey) {
        self.trusting()(key);
    }

    /// [`Simulator::trust`], to give away.
    pub fn trusting(&self) -> impl Fn(SimulatorKey) + Send + Sync + 'static {
        let exchange = self.exchange.clone();
        move |key| exchange.trust(key)
    }

    /// Behaves so from the next request on; rules are counted anew. Also `PUT /_simulator/script`.
    pub fn set_script(&self, script: Script) {
        self.exchange.set_script(script);
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
