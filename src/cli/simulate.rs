//! `tollgate simulate`: the simulator alone, so that anybody can test a client without AWS. It prints what a client's environment
//! needs and runs until SIGINT or SIGTERM.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};

use super::demo_directory::{create_private_directory, demo_directory};
use crate::{
    bedrock::Service,
    simulator::{Script, Simulator, SimulatorConfig, SimulatorKey},
};

/// Runs the simulated Bedrock alone.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Simulate {
    /// TOML file; conf/simulator.toml shows every key
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Port to listen on, instead of the file's; by default any free one
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Where to write the certificate that clients have to trust; by default a file in the demo's directory
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    address: SocketAddr,
    region: String,
    tls: bool,
    record_requests: bool,
    keys: Vec<SimulatorKey>,
    script: Script,
}

impl Default for File {
    fn default() -> Self {
        let SimulatorConfig { address, region, tls, keys, script, record_requests } = SimulatorConfig::for_tests();
        File { address, region, tls, record_requests, keys, script }
    }
}

/// Starts, prints the exports, and waits to be told to stop.
pub async fn run(options: Simulate) -> anyhow::Result<()> {
    let config = configuration(&options)?;
    let (region, key) = (config.region.clone(), config.keys.first().cloned());
    let address = config.address;
    let started = Simulator::start(config).await;
    let simulator = started.with_context(|| format!("cannot start the simulator at {address}"))?;
    let ca_file = match options.ca_file {
        Some(file) => file,
        None => default_ca_file(simulator.address().port())?,
    };
    std::fs::write(&ca_file, simulator.ca_pem()).with_context(|| format!("cannot write {}", ca_file.display()))?;
    let exports = exports(&simulator.url(), &region, key.as_ref(), &std::path::absolute(&ca_file)?);
    // Whoever does not read them is served all the same.
    let _ = io::stdout().lock().write_all(exports.as_bytes());

    let mut terminated = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot listen for SIGINT"),
        _ = terminated.recv() => Ok(()),
    }
}

fn default_ca_file(port: u16) -> anyhow::Result<PathBuf> {
    let directory = demo_directory();
    create_private_directory(&directory).with_context(|| format!("cannot use {}", directory.display()))?;
    Ok(directory.join(format!("simulator-ca-{port}.pem")))
}

fn configuration(options: &Simulate) -> anyhow::Result<SimulatorConfig> {
    let File { mut address, region, tls, record_requests, keys, script } = match &options.config {
        None => File::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            toml::from_str(&text).with_context(|| format!("cannot use {}", path.display()))?
        }
    };
    address.set_port(options.port.unwrap_or(address.port()));
    Ok(SimulatorConfig { address, region, tls, keys, script, record_requests })
}

/// Lines to paste into a shell.
fn exports(url: &str, region: &str, key: Option<&SimulatorKey>, ca_file: &Path) -> String {
    let mut lines = String::new();
    let mut export = |name: &str, value: &str| lines.extend(["export ", name, "=", value, "\n"]);
    for service in Service::ALL {
        export(&service.endpoint_variable(), url);
    }
    export("AWS_REGION", region);
    export("AWS_DEFAULT_REGION", region);
    if let Some(key) = key {
        export("AWS_ACCESS_KEY_ID", &key.access_key_id);
        export("AWS_SECRET_ACCESS_KEY", &key.secret_access_key);
        key.session_token.iter().for_each(|token| export("AWS_SESSION_TOKEN", token));
    }
    export("AWS_CA_BUNDLE", &ca_file.display().to_string());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::Behaviour;

    #[test]
    fn a_file_may_say_everything_and_need_say_nothing() {
        let file: File = toml::from_str("").unwrap();
        assert_eq!(file.region, "us-east-1");
        let file: File = toml::from_str(
            r#"
            address = "127.0.0.1:9443"
            region = "eu-west-1"
            keys = [{ access_key_id = "AKID", secret_access_key = "secret" }]
            [script.default]
            latency_ms = 5
            [[script.rules]]
            operation = "Converse"
            throttle = true
            "#,
        )
        .unwrap();
        assert_eq!(file.script.rules.len(), 1);
        assert!(toml::from_str::<File>("colour = 1").is_err());
    }

    #[test]
    fn the_shipped_file_is_one() {
        let file: File = toml::from_str(include_str!("../../conf/simulator.toml")).unwrap();
        let defaults = File::default();
        assert_eq!((file.region, file.keys), (defaults.region, defaults.keys));
        assert_eq!(file.script.rules.len(), 2);
    }

    #[test]
    fn the_shipped_file_shows_every_key() {
        let text = include_str!("../../conf/simulator.toml");
        let of_rules = ["service", "operation", "model", "every", "times"];
        let of_file = ["address", "region", "tls", "record_requests", "access_key_id", "secret_access_key", "session_token"];
        for key in Behaviour::FIELDS.iter().chain(&of_rules).chain(&of_file) {
            let shows = |line: &str| line.trim_start_matches("# ").strip_prefix(key).is_some_and(|rest| rest.starts_with(" ="));
            assert!(text.lines().any(shows), "{key}");
        }
        // Those that are commented out are no less keys.
        let of_script = text.split_once("[script.default]").unwrap().1;
        for line in of_script.lines().filter_map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = "))) {
            let script = format!("[script.default]\n{line}");
            assert!(toml::from_str::<File>(&script).is_ok(), "{line}");
        }
    }

    #[test]
    fn exports_name_every_service() {
        let key = SimulatorKey::for_tests();
        let lines = exports("https://localhost:1", "us-east-1", Some(&key), Path::new("ca.pem"));
        assert!(lines.contains("export AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME=https://localhost:1\n"));
        assert!(lines.ends_with("export AWS_SESSION_TOKEN=simulator-session-token\nexport AWS_CA_BUNDLE=ca.pem\n"));
    }
}
