//! `tollgate check`: says everything that is wrong with a configuration, without serving.

use std::{
    env,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use crate::config::{self, Config};

/// sysexits.h: something was found in an unconfigured or misconfigured state. The unit does not restart after it.
pub const EX_CONFIG: u8 = 78;

/// What to check.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Checks; problems go to standard error.
///
/// # Errors
/// When standard output or standard error cannot be written to. A bad configuration is no error but exit code 78.
pub fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let (config, problems) = config::examine(&args.config);
    let usable = config.filter(|_| problems.errors().next().is_none());
    if problems.iter().next().is_some() {
        let mut stderr = io::stderr().lock();
        writeln!(stderr, "{}\n", problems.render(stderr.is_terminal() && env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())))?;
    }
    let name = args.config.display();
    let warnings = match problems.warnings().count() {
        0 => String::new(),
        count => format!(", {}", counted(count, "warning")),
    };
    match usable {
        Some(config) => {
            writeln!(io::stdout(), "{name}: ok, {}{warnings}", summary(&config))?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            writeln!(io::stderr(), "{name}: {}{warnings}", counted(problems.errors().count(), "error"))?;
            Ok(ExitCode::from(EX_CONFIG))
        }
    }
}

fn summary(config: &Config) -> String {
    let parts = [(config.tenants.len(), "tenant"), (config.issuers.len(), "issuer"), (config.listeners.len(), "listener")];
    parts.map(|(count, noun)| counted(count, noun)).join(", ")
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
