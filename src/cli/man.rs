//! `tollgate man`: man pages. The command line's come from the definitions that parse it, the configuration's from its reference.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Command;
use clap_mangen::Man;

/// What a process of the gateway does and needs, which no definition of an option says.
const PROCESS: &str = include_str!("man/process.roff");
/// Every key of the configuration, with its default.
const REFERENCE: &str = include_str!("../../conf/tollgate.toml");
/// Pages that the process is described on.
const ABOUT_THE_PROCESS: [&str; 2] = ["tollgate.1", "tollgate-run.1"];

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
            write(&directory, command).with_context(|| format!("cannot write {}", directory.display()))?;
        }
        None => io::stdout().write_all(&page(command)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write(directory: &Path, command: Command) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(command, directory)?;
    for page in ABOUT_THE_PROCESS {
        fs::OpenOptions::new().append(true).open(directory.join(page))?.write_all(PROCESS.as_bytes())?;
    }
    fs::write(directory.join("tollgate.toml.5"), reference_page())
}

/// tollgate(1), in roff.
fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    page.extend_from_slice(PROCESS.as_bytes());
    Ok(page)
}

/// tollgate.toml(5), in roff: the reference as it is.
fn reference_page() -> String {
    let mut page = concat!(
        ".TH tollgate.toml 5 \"\" \"tollgate ",
        env!("CARGO_PKG_VERSION"),
        "\"\n.SH NAME\ntollgate.toml \\- the configuration of tollgate\n.SH REFERENCE\n.nf\n"
    )
    .to_owned();
    for line in REFERENCE.lines() {
        // A line that begins with one of these would be a request to roff.
        if line.starts_with(['.', '\'']) {
            page.push_str("\\&");
        }
        page.push_str(&line.replace('\\', "\\e").replace('-', "\\-"));
        page.push('\n');
    }
    page + ".fi\n.SH SEE ALSO\n\\fBtollgate\\-check\\fR(1), \\fBtollgate\\-run\\fR(1)\n"
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
        for page in ABOUT_THE_PROCESS {
            let text = fs::read_to_string(pages.join(page)).unwrap();
            assert!(text.starts_with(".ie") && text.contains(".TH") && text.ends_with(PROCESS), "{text}");
        }
    }

    #[test]
    fn the_reference_is_read_back_from_its_page() {
        let page = reference_page();
        let (_, rest) = page.split_once(".nf\n").unwrap();
        let (text, _) = rest.split_once(".fi\n").unwrap();
        assert!(text.lines().all(|line| !line.starts_with(['.', '\''])));
        assert_eq!(text.replace("\\&", "").replace("\\-", "-").replace("\\e", "\\"), REFERENCE);
    }
}
