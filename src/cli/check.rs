//! `tollgate check`: says everything that is wrong with a configuration, without serving.

use std::{
    env,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{
    config::{Config, Problems},
    ledger::{Ledger, LedgerError},
    snapshot::{self, CompileError},
};

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
    let (usable, mut problems) = snapshot::examine(&args.config);
    if let Some(error) = usable.as_ref().and_then(|config| Ledger::obstacle(&config.ledger)) {
        tell_of_ledger(&mut problems, &error);
    }
    let usable = usable.filter(|_| problems.errors().next().is_none());
    if problems.iter().next().is_some() {
        report(&problems)?;
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

/// Of one that is as it is until somebody puts it right.
pub(super) fn tell_of_ledger(problems: &mut Problems, error: &LedgerError) {
    problems.refuse(&["ledger", "file"], &error.to_string(), "the gateway does not start with it");
}

/// Shows problems on standard error, in colour if that is a terminal.
pub(super) fn report(problems: &Problems) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    writeln!(stderr, "{}\n", problems.render(stderr.is_terminal() && env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())))
}

/// Where a file that the configuration names cannot be used, what `check` says of it, and its exit code.
pub(super) fn or_refuse(config: &Path, done: anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    match done.map_err(|error| error.downcast::<CompileError>()) {
        Ok(code) => Ok(code),
        Err(Ok(error)) => refuse(config, |problems| error.tell(problems)),
        Err(Err(error)) => Err(error),
    }
}

/// The same of what is known to be so.
pub(super) fn refuse(config: &Path, tell: impl FnOnce(&mut Problems)) -> anyhow::Result<ExitCode> {
    let mut problems = Problems::of_file(config);
    tell(&mut problems);
    report(&problems)?;
    Ok(ExitCode::from(EX_CONFIG))
}

fn summary(config: &Config) -> String {
    let parts = [(config.tenants.len(), "tenant"), (config.issuers.len(), "issuer"), (config.listeners.len(), "listener")];
    parts.map(|(count, noun)| counted(count, noun)).join(", ")
}

pub(super) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::logging::is_fit;

    fn exit_code_for(text: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        format!("{:?}", run(CheckArgs { config: file.path().to_owned() }).unwrap())
    }

    #[test]
    fn a_usable_file_is_success_warnings_or_not_and_any_error_is_78() {
        let usable = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[upstream]\nregion = \"us-east-1\"\n";
        assert_eq!(exit_code_for(usable), format!("{:?}", ExitCode::SUCCESS));
        for broken in [String::new(), "[".to_owned(), usable.replace("us-east-1", "mars"), usable.to_owned() + "fps = true\n"] {
            assert_eq!(exit_code_for(&broken), format!("{:?}", ExitCode::from(EX_CONFIG)), "{broken}");
        }
    }

    #[test]
    fn it_warns_of_a_log_level_just_where_lines_that_it_asks_for_are_never_logged() {
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        let modules =
            ["tollgate", "tollgate::proxy", "pingora_core", "pingora_proxy::proxy_h1", "h2", "aws_sigv4::http_request", "rustls"];
        let file = tempfile::NamedTempFile::new().unwrap();
        for (module, level) in modules.into_iter().flat_map(|module| levels.map(|level| (module, level))) {
            let text = format!(
                "[[listeners]]\naddress = \"127.0.0.1:0\"\n[upstream]\nregion = \"us-east-1\"\n[log]\nlevel = \"info,{module}={level}\"\n"
            );
            std::fs::write(file.path(), text).unwrap();
            let problems = snapshot::examine(file.path()).1;
            let warned = problems.warnings().any(|warning| warning.message.contains("never logged"));
            let logged = level.parse().ok().is_none_or(|level| is_fit(module, level));
            assert_eq!(warned, !logged, "{module}={level}");
        }
    }

    #[test]
    fn the_summary_counts_as_people_do() {
        assert_eq!(
            counted(1, "tenant") + ", " + &counted(2, "issuer") + ", " + &counted(0, "listener"),
            "1 tenant, 2 issuers, 0 listeners"
        );
    }
}
