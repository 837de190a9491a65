//! `tollgate demo`: the simulator and the gateway in front of it, in one process, and what a client needs to call them.

mod exports;
mod files;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;

use self::files::DemoFiles;
use super::run::Signals;
use crate::{
    server::{self, StartError},
    simulator::{Simulator, SimulatorConfig, SimulatorKey},
    telemetry::logging,
};

/// The tokens that the demo prints are valid for so long.
pub(super) const TOKEN_LIFETIME: Duration = Duration::from_secs(12 * 3_600);

/// Where the demo listens, and what it leaves behind for other programs.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Port of the gateway on 127.0.0.1; default: a free one
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Port of the admin listener on 127.0.0.1; default: a free one
    #[arg(long, default_value_t = 0)]
    pub admin_port: u16,
    /// Writes KEY=value lines to this file once the gateway is ready
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
}

/// Serves until SIGTERM or SIGINT; a second one ends at once.
///
/// # Errors
/// A port is taken, or the demo's directory cannot be written.
pub fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let log = logging::init("warn")?;
    super::block_on(async {
        server::install_crypto();
        let mut signals = Signals::new()?;
        let key = files::simulator_key()?;
        let simulator = start_simulator(key.clone()).await?;
        let files = DemoFiles::write(&args, &simulator, &key)?;
        let running = match server::start(files.config.clone(), &log).await {
            Ok(running) => running,
            Err(StartError::Other(error)) => return Err(error),
            Err(bad) => anyhow::bail!("the demo's own configuration is bad:\n{bad}"),
        };
        running.ready().await;
        let &[gateway, plaintext] = running.traffic.as_slice() else {
            anyhow::bail!("the demo's configuration has two listeners")
        };
        let exports = exports::Exports::new(&files, gateway, plaintext, running.admin, &simulator);
        if let Some(file) = &args.env_file {
            exports.write(file).with_context(|| format!("cannot write {}", file.display()))?;
        }
        exports.print();
        signals.stop(&running).await;
        signals.end(running.stop()).await;
        Ok(ExitCode::SUCCESS)
    })?
}

async fn start_simulator(key: SimulatorKey) -> anyhow::Result<Simulator> {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = SimulatorConfig { address, keys: vec![key], ..SimulatorConfig::for_tests() };
    Simulator::start(config).await.context("cannot start the simulator")
}
