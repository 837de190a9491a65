//! `tollgate ledger verify`: adds the account up again.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Subcommand;

use super::{check::EX_CONFIG, usage};

/// What to do with a ledger.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Says whether the sums are what their rows come to, and whether the file is sound; exit 0, or 1
    Verify(VerifyArgs),
}

/// Which ledger.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The gateway's configuration
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Looks at the whole ledger, which may be open in a gateway.
///
/// # Errors
/// The ledger cannot be read, or nothing be written. A bad configuration is exit code 78, as `check` has it.
pub fn run(command: LedgerCommand) -> anyhow::Result<ExitCode> {
    let LedgerCommand::Verify(args) = command;
    let Some(config) = usage::read_config(&args.config)? else { return Ok(ExitCode::from(EX_CONFIG)) };
    let verdict = usage::open(&config)?.verify()?;
    for (key, kept, added) in &verdict.differences {
        let name = format!("{} {} {}", key.day, key.tenant, key.model);
        writeln!(io::stdout(), "{name}: the sum says {} requests, {} USD", kept.requests, kept.cost)?;
        writeln!(
            io::stdout(),
            "{name}: the rows say {} requests, {} USD; {} tokens instead of {}",
            added.requests,
            added.cost,
            added.usage.total(),
            kept.usage.total()
        )?;
    }
    for finding in &verdict.damage {
        writeln!(io::stdout(), "damaged: {finding}")?;
    }
    let sound = verdict.differences.is_empty() && verdict.damage.is_empty();
    writeln!(io::stdout(), "{}: {} rows, {} sums", if sound { "ok" } else { "not ok" }, verdict.rows, verdict.sums)?;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
