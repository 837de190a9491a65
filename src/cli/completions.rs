//! `tollgate completions`: what a shell needs to complete the command line.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Command;
use clap_complete::Shell;

/// Whose completions.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell that reads them
    pub shell: Shell,
}

/// Writes the completions of `command` to standard output.
///
/// # Errors
/// When standard output cannot be written to.
pub fn run(args: CompletionsArgs, command: Command) -> anyhow::Result<ExitCode> {
    io::stdout().write_all(&script(args.shell, command))?;
    Ok(ExitCode::SUCCESS)
}

/// Into memory first: clap_complete panics where it cannot write.
fn script(shell: Shell, mut command: Command) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, ValueEnum};

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_shell_is_told_every_command() {
        let command = Cli::command();
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell, command.clone())).unwrap();
            for name in command.get_subcommands().map(Command::get_name) {
                assert!(script.contains(name), "{shell} is not told of {name}");
            }
            assert!(script.contains("env-file"), "{shell} is not told the options of demo");
        }
    }
}
