//! `tollgate run`: serves until it is told to stop.

use std::{path::PathBuf, process::ExitCode};

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use super::check::EX_CONFIG;
use crate::{
    server::{self, Running, StartError},
    telemetry::logging,
};

/// What to serve.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Serves until SIGTERM or SIGINT; a second one ends at once. SIGHUP reloads.
///
/// # Errors
/// An address cannot be bound, or the process lacks something else that it needs.
pub fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let filter = logging::init("info")?;
    super::runtime()?.block_on(async {
        let running = match server::start(args.config, Some(filter)).await {
            Ok(running) => running,
            Err(StartError::Config(problems)) => {
                eprintln!("{problems}");
                return Ok(ExitCode::from(EX_CONFIG));
            }
            Err(StartError::Other(error)) => return Err(error),
        };
        tracing::info!(traffic = ?running.traffic, admin = %running.admin, "serving");
        let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status("serving configuration 1")]);
        until_told_to_stop(&running).await?;
        tracing::info!("stopping");
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        let mut again = signal(SignalKind::terminate())?;
        tokio::select! {
            () = running.stop() => {}
            _ = again.recv() => tracing::warn!("told to stop again; open connections are cut"),
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Serves SIGHUP in the meantime.
pub(super) async fn until_told_to_stop(running: &Running) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hang_up.recv() => { running.reload().await; }
        }
    }
}
