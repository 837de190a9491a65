//! `tollgate run`: serves until it is told to stop.

use std::{future::ready, path::PathBuf, process::ExitCode};

use jiff::Timestamp;
use rustix::process::{Pid, Signal as ToSend, kill_process};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::check::{self, EX_CONFIG};
use crate::{
    server::{self, Prepared, Running, StartError, UpgradeError},
    telemetry::logging,
};

/// What to serve.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Serves until SIGTERM or SIGINT; a second one ends at once. SIGHUP reloads, SIGUSR2 hands over to what is at this program's path.
///
/// # Errors
/// An address cannot be bound, or the process lacks something else that it needs.
pub fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let log = logging::init("info")?;
    let mut ledger = None;
    let ended = super::block_on(async {
        // Before anybody can know that this process serves: what nobody listens to would end it.
        let (mut signals, mut upgrade) = (Signals::new()?, signal(SignalKind::user_defined2())?);
        // A ledger that has reached a limit on the size of files is an error of its write, and not the end of the process.
        let _too_large = signal(SignalKind::from_raw(libc::SIGXFSZ))?;
        let running = match server::start(args.config.clone(), &log).await {
            Ok(running) => running,
            Err(StartError::Other(error)) => return Err(error),
            Err(StartError::Compile(error)) => return check::refuse(&args.config, |problems| error.tell(problems)),
            Err(StartError::Ledger(error)) => {
                return check::refuse(&args.config, |problems| check::tell_of_ledger(problems, &error));
            }
            Err(bad @ StartError::Config(_)) => {
                eprintln!("{bad}");
                return Ok(ExitCode::from(EX_CONFIG));
            }
        };
        ledger = Some(running.ledger());
        tracing::info!(traffic = ?running.traffic, admin = %running.admin, "serving");
        let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status("serving configuration 1")]);
        match until_told(&running, &mut signals, &mut upgrade).await {
            Told::Stop => {
                tracing::info!("stopping");
                let _ = sd_notify::notify(&[NotifyState::Stopping]);
                signals.end(running.stop()).await;
            }
            // The service goes on, so systemd is told nothing.
            Told::Leave(successor) => {
                tracing::info!("another process has taken over; this one ends with its last request");
                // Whoever stopped the service while it was handed over told this process alone, and once.
                if signals.were_told().await {
                    tracing::info!(successor, "told to stop during the upgrade; the successor is told, too");
                    pass_on(ToSend::TERM, successor);
                } else if signals.were_told_to_reload().await || running.is_reloading() {
                    tracing::info!(successor, "told to reload during the upgrade; the successor is told, too");
                    pass_on(ToSend::HUP, successor);
                }
                if signals.end(running.leave()).await {
                    tracing::info!("the last request has ended");
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })?;
    // Requests that were cut have said by now what they used.
    let _ = ledger.map(|ledger| ledger.close());
    ended
}

/// Why a process is to end.
enum Told {
    Stop,
    /// It has a successor, of this process id.
    Leave(u32),
}

/// Best effort: a successor that is gone needs no signal.
fn pass_on(signal: ToSend, successor: u32) {
    let process = i32::try_from(successor).ok().and_then(Pid::from_raw);
    let _ = process.map(|process| kill_process(process, signal));
}

/// Serves SIGHUP and SIGUSR2 in the meantime.
async fn until_told(running: &Running, signals: &mut Signals, upgrade: &mut Signal) -> Told {
    loop {
        let prepared = tokio::select! {
            () = signals.stop(running) => return Told::Stop,
            prepared = until_prepared(upgrade, running) => prepared,
        };
        // This is brought to its end, whoever else has something to say.
        match running.hand_over(prepared).await {
            Ok(successor) => return Told::Leave(successor),
            Err(error) => no_upgrade(&error),
        }
    }
}

async fn until_prepared(upgrade: &mut Signal, running: &Running) -> Prepared {
    loop {
        upgrade.recv().await;
        tracing::info!("starting a successor");
        tell_systemd("starting a successor");
        match running.prepare_successor().await {
            Ok(prepared) => return prepared,
            Err(error) => no_upgrade(&error),
        }
    }
}

fn no_upgrade(error: &UpgradeError) {
    tracing::error!(%error, "no upgrade; this process serves on");
    tell_systemd(&no_upgrade_status(&error.to_string(), Timestamp::now()));
}

/// Whoever asked for the upgrade waits for this (`systemd/hand-over`), so that no two are the same. The log has the other lines.
fn no_upgrade_status(reason: &str, now: Timestamp) -> String {
    let first = reason.lines().next().unwrap_or_default();
    format!("no upgrade at {now:.3}, this process serves on: {first}")
}

fn tell_systemd(status: &str) {
    let _ = sd_notify::notify(&[NotifyState::Status(status)]);
}

/// What every command that serves listens to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Signals> {
        let [terminate, interrupt, hang_up] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        Ok(Signals { terminate: terminate?, interrupt: interrupt?, hang_up: hang_up? })
    }

    /// Waits until the process is told to stop, and reloads meanwhile.
    pub(super) async fn stop(&mut self, running: &Running) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {}
            }
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = running.reload() => {}
            }
        }
    }

    /// Whether the process was told to stop while nobody listened.
    async fn were_told(&mut self) -> bool {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => true,
            _ = self.interrupt.recv() => true,
            () = ready(()) => false,
        }
    }

    /// The same of a reload.
    async fn were_told_to_reload(&mut self) -> bool {
        tokio::select! {
            biased;
            _ = self.hang_up.recv() => true,
            () = ready(()) => false,
        }
    }

    /// The end in order, or at once if the process is told again; whether it was in order.
    pub(super) async fn end(&mut self, in_order: impl Future<Output = ()>) -> bool {
        tokio::select! {
            () = in_order => return true,
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        tracing::warn!("told to stop again; open connections are cut");
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_is_told_is_one_line_and_says_when() {
        let told =
            no_upgrade_status("the new process cannot serve: error: unknown key\n --> tollgate.toml:1", Timestamp::UNIX_EPOCH);
        let expected =
            "no upgrade at 1970-01-01T00:00:00.000Z, this process serves on: the new process cannot serve: error: unknown key";
        assert_eq!(told, expected);
    }
}
