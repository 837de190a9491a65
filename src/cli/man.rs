//! `tollgate man`: the command line as man pages, from the definitions that parse it.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use clap::Command;
use clap_mangen::Man;

/// Where to.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Writes a page for each command into this directory, instead of tollgate(1) to standard output
    #[arg(long, value_name = "DIRECTORY")]
    pub directory: Option<PathBuf>,
}

/// Writes the pages of `command`.
///
/// # Errors
/// When standard output or the directory cannot be written to.
pub fn run(args: ManArgs, command: Command) -> anyhow::Result<ExitCode> {
    match args.directory {
        Some(directory) => {
            let written = fs::create_dir_all(&directory).and_then(|()| clap_mangen::generate_to(command, &directory));
            written.with_context(|| format!("cannot write {}", directory.display()))?;
        }
        None => io::stdout().write_all(&page(command)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// tollgate(1), in roff.
fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn the_page_names_every_command() {
        let page = String::from_utf8(page(Cli::command()).unwrap()).unwrap();
        assert!(page.contains(".TH tollgate 1"), "{page}");
        for name in Cli::command().get_subcommands().map(Command::get_name) {
            // roff spells a hyphen with a backslash.
            assert!(page.contains(&name.replace('-', "\\-")), "{name} is not in {page}");
        }
    }

    #[test]
    fn the_directory_gets_a_page_for_each_command_and_those_below_it() {
        let directory = tempfile::tempdir().unwrap();
        let pages = directory.path().join("man1");
        run(ManArgs { directory: Some(pages.clone()) }, Cli::command()).unwrap();
        for page in ["tollgate.1", "tollgate-check.1", "tollgate-ledger-verify.1"] {
            assert!(pages.join(page).exists(), "no {page}");
        }
    }
}
