//! The command line: one file a command.

pub mod check;
mod demo;
mod demo_directory;
mod key;
mod run;
mod simulate;
pub mod token;
pub mod verify_token;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// A self-hosted gateway for Amazon Bedrock
#[derive(Debug, Parser)]
#[command(name = "tollgate", version = VERSION, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Checks a configuration, as `tollgate check` does: `tollgate -t -c FILE`
    #[arg(short = 't', long = "check-config", requires = "config")]
    check: bool,
    /// The configuration to check
    #[arg(short, long, value_name = "FILE", requires = "check")]
    config: Option<PathBuf>,
}

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("TOLLGATE_COMMIT"), ")");

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves
    Run(run::RunArgs),
    /// Says everything that is wrong with a configuration; exit 0, or 78
    Check(check::CheckArgs),
    /// Starts a simulator and a gateway in front of it, and prints what clients need
    Demo(demo::DemoArgs),
    /// Runs the simulated Bedrock alone
    Simulate(simulate::Simulate),
    /// Mints a token of the demo's issuer
    Token(token::TokenArgs),
    /// Makes access keys and API keys of tenants
    Key(key::KeyArgs),
    /// Says who the gateway would take a token for
    VerifyToken(verify_token::VerifyTokenArgs),
}

/// Parses the command line and does what it says.
///
/// # Errors
/// Whatever keeps the command from its work; printed by the caller.
pub fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    if let Some(config) = cli.config {
        return check::run(check::CheckArgs { config });
    }
    match cli.command {
        Some(Command::Run(args)) => run::run(args),
        Some(Command::Check(args)) => check::run(args),
        Some(Command::Demo(args)) => demo::run(args),
        Some(Command::Simulate(args)) => {
            crate::server::install_crypto();
            runtime()?.block_on(simulate::run(args)).map(|()| ExitCode::SUCCESS)
        }
        Some(Command::Token(args)) => token::run(args),
        Some(Command::Key(args)) => key::run(args),
        Some(Command::VerifyToken(args)) => verify_token::run(args),
        None => Ok(ExitCode::from(2)),
    }
}

/// A runtime with a thread per core.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
