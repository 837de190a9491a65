//! The command line: one file a command.

pub mod check;
mod completions;
mod demo;
mod demo_directory;
pub mod explain;
mod groups;
mod key;
pub mod ledger;
mod man;
mod prices;
mod run;
mod schema;
mod simulate;
pub mod token;
pub mod usage;
pub mod verify_token;

use std::{io, path::PathBuf, process::ExitCode, time::Duration};

use clap::{CommandFactory, Parser, Subcommand};
use jiff::Timestamp;

use crate::{pricing, telemetry::with_causes};

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
    /// What models cost: checks, shows and compares
    #[command(subcommand)]
    Prices(prices::PricesCommand),
    /// Mints a token of the demo's issuer
    Token(token::TokenArgs),
    /// Makes access keys and API keys of tenants
    Key(key::KeyArgs),
    /// Says who the gateway would take a token for
    VerifyToken(verify_token::VerifyTokenArgs),
    /// Says what was used and what it cost, from the ledger
    Usage(usage::UsageArgs),
    /// Says what a tenant's request would meet, and the answer it would get; exit 0, 1 if that is a refusal, or 2 if there is no such caller
    Explain(Box<explain::ExplainArgs>),
    /// Looks after the ledger
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Prints the JSON Schema of a configuration, for editors; or the configuration reference
    Schema(schema::SchemaArgs),
    /// Prints what a shell needs to complete the command line
    Completions(completions::CompletionsArgs),
    /// Prints tollgate(1), or writes a man page for each command
    Man(man::ManArgs),
}

/// Parses the command line, does what it says, and tells what keeps it from that.
pub fn main() -> ExitCode {
    run(Cli::parse()).unwrap_or_else(|error| {
        // Whoever reads no further, as `head`, has what it wanted.
        let closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        if !error.downcast_ref().is_some_and(closed) {
            eprintln!("error: {}", with_causes(error.as_ref()));
        }
        ExitCode::FAILURE
    })
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    if let Some(config) = cli.config {
        return check::run(check::CheckArgs { config });
    }
    match cli.command {
        Some(Command::Run(args)) => run::run(args),
        Some(Command::Check(args)) => check::run(args),
        Some(Command::Demo(args)) => demo::run(args),
        Some(Command::Simulate(args)) => {
            crate::server::install_crypto();
            block_on(simulate::run(args))?.map(|()| ExitCode::SUCCESS)
        }
        Some(Command::Prices(command)) => prices::run(command),
        Some(Command::Token(args)) => token::run(args),
        Some(Command::Key(args)) => key::run(args),
        Some(Command::VerifyToken(args)) => verify_token::run(args),
        Some(Command::Usage(args)) => usage::run(args),
        Some(Command::Explain(args)) => explain::run(*args),
        Some(Command::Ledger(command)) => ledger::run(command),
        Some(Command::Schema(args)) => schema::run(&args),
        Some(Command::Completions(args)) => completions::run(args, Cli::command()),
        Some(Command::Man(args)) => man::run(args, Cli::command()),
        None => Ok(ExitCode::from(2)),
    }
}

/// How long the end waits for threads that read a file or look a name up: it may be for ever.
const THREADS_MAX: Duration = Duration::from_millis(500);

/// Does the work on a runtime with a thread per core, and ends all tasks that are left of it.
fn block_on<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(THREADS_MAX);
    Ok(done)
}

/// A moment as price lists have it, for the arguments of commands.
fn moment(text: &str) -> Result<Timestamp, String> {
    pricing::moment(text).map_err(|error| format!("{error}: {}", error.help()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_with_a_time_and_no_offset_is_told_what_is_missing() {
        for command in [&["prices", "show", "m", "--at"][..], &["key", "new", "-c", "f", "--tenant", "acme", "--expires"]] {
            let parse = |time| Cli::try_parse_from([&["tollgate"], command, &[time]].concat());
            assert!(parse("2126-11-24").is_ok() && parse("2126-11-24T20:00:00+01:00").is_ok());
            let error = parse("2126-11-24T20:00:00").unwrap_err().to_string();
            assert!(error.contains("a time without its offset: write whose time it is, "), "{error}");
        }
    }

    #[test]
    fn what_never_comes_to_an_end_does_not_keep_the_process() {
        let (_never, waits) = std::sync::mpsc::channel::<()>();
        let work = async { drop(tokio::task::spawn_blocking(move || waits.recv())) };
        // Without a bound this would not return.
        block_on(work).unwrap();
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
