//! A gateway with a plaintext listener, the simulator behind it, and one tenant.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;
use tollgate::{
    auth::DevelopmentIssuer,
    server::{self, Running},
    simulator::{Script, Simulator, SimulatorConfig},
};

pub const CONVERSE: &str = "/model/amazon.nova-lite-v1:0/converse";
pub const CONVERSE_STREAM: &str = "/model/amazon.nova-lite-v1:0/converse-stream";

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "gateway";

pub struct World {
    pub gateway: Running,
    pub simulator: Simulator,
    issuer: DevelopmentIssuer,
    _directory: TempDir,
}

impl World {
    /// The tenant may use these models; `sections` are added to the configuration.
    pub async fn start(models: &str, sections: &str) -> World {
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
access = false
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
        let gateway = server::start(directory.path().join("tollgate.toml"), None).await.unwrap_or_else(|error| panic!("{error}"));
        gateway.ready().await;
        World { gateway, simulator, issuer, _directory: directory }
    }

    /// A POST's head with these lines before its empty one.
    pub fn head(&self, path: &str, fields: &str) -> String {
        let token = self.issuer.mint(ISSUER, AUDIENCE, "acme", "user-1", Duration::from_secs(600), SystemTime::now());
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{fields}\r\n")
    }

    pub fn script(&self, toml: &str) {
        self.simulator.set_script(Script::parse(toml).unwrap());
    }

    /// Requests that reached the simulator.
    pub fn served(&self) -> usize {
        self.simulator.record().requests().len()
    }
}
