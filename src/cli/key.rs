//! `tollgate key new`: makes an access key or an API key of a tenant. The secret is printed once and kept nowhere; the entry for the keys
//! file opens nothing by itself.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail, ensure};
use clap::Subcommand;
use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::{
    check::{EX_CONFIG, or_refuse},
    moment,
};
use crate::{
    auth::{
        SealingKeys, claims,
        key_ring::{NewKey, NewKeyFor, new_access_key, new_api_key},
    },
    config::{self, Config, KeysFile},
    snapshot::{self, CompileError},
};

/// What to do about keys.
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Makes a key and prints its secret, once
    New(NewArgs),
}

#[derive(Debug, clap::Args)]
struct NewArgs {
    /// The gateway's configuration: its tenants, and the key that seals
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// The tenant the key is for
    #[arg(long, value_name = "T")]
    tenant: String,
    /// Who calls, as logs should have it; default: the key's id
    #[arg(long, value_name = "P")]
    principal: Option<String>,
    /// A group that its holder is in, as `[groups]` names it; repeat it for more
    #[arg(long = "group", value_name = "NAME")]
    groups: Vec<String>,
    /// Until when: a date, which begins at midnight UTC, or a time with offset; default: for ever
    #[arg(long, value_name = "TIME", value_parser = moment)]
    expires: Option<Timestamp>,
    /// An API key, to send as a bearer token or x-api-key, instead of an access key to sign with
    #[arg(long)]
    api: bool,
    /// Adds the entry to the keys file instead of printing it
    #[arg(long)]
    add: bool,
}

const NO_KEYS: &str =
    ", which the configuration does not name yet. Until `[keys]` has `file = \"keys.toml\"`, the key opens nothing";

/// Makes the key.
///
/// # Errors
/// The tenant is not configured, nothing seals, or the keys file cannot be written. A configuration that cannot be read is exit code 78,
/// and so is a sealing key or a keys file that the gateway could not use.
pub fn run(args: KeyArgs) -> anyhow::Result<ExitCode> {
    let KeyCommand::New(args) = args.command;
    or_refuse(&args.config, new_key(&args))
}

fn new_key(args: &NewArgs) -> anyhow::Result<ExitCode> {
    // Not `config::read`: the keys file may not be there before its first key is.
    let config = match config::examine(&args.config) {
        (Some(config), _) => config,
        (None, problems) => {
            writeln!(io::stderr(), "{problems}")?;
            return Ok(ExitCode::from(EX_CONFIG));
        }
    };
    let no_file = "the configuration has no `[keys]`: add `file = \"keys.toml\"`";
    let file = args.add.then(|| config.keys.as_ref().map(|keys| &keys.file).context(no_file)).transpose()?;
    if let Some(file) = file.filter(|file| file.exists()) {
        examine(file, args.api, &config)?;
    }
    let key = make(args, &config)?;
    let mut out = io::stdout().lock();
    let (id, secret) = (&key.id, key.secret.expose_secret());
    match args.api {
        true => writeln!(out, "# API key {id}. It is not shown again.\n{secret}\n")?,
        false => writeln!(
            out,
            "# Access key. The secret is not shown again.\nAWS_ACCESS_KEY_ID={id}\nAWS_SECRET_ACCESS_KEY={secret}\n"
        )?,
    }
    if let Some(file) = file {
        add(file, &key.entry).with_context(|| format!("cannot write {}", file.display()))?;
        writeln!(out, "# Added to {}.", file.display())?;
    } else {
        let reads_it = if config.keys.is_some() { "" } else { NO_KEYS };
        writeln!(out, "# For the keys file{reads_it}:\n{}", key.entry)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn make(args: &NewArgs, config: &Config) -> anyhow::Result<NewKey> {
    let tenant = &args.tenant;
    ensure!(config.tenants.contains_key(tenant), "the configuration has no [tenants.{tenant}]");
    let principal = args.principal.as_deref();
    ensure!(principal.is_none_or(claims::is_subject), "a principal has 1 to 256 printable characters and no space at either end");
    let unknown = args.groups.iter().find(|group| !config.groups.contains_key(*group));
    ensure!(unknown.is_none(), "the configuration has no [groups.{}]", unknown.map_or("", String::as_str));
    if let Some(expires) = args.expires.filter(|expires| *expires <= Timestamp::now()) {
        bail!("the key would have expired already: --expires is {expires}");
    }
    let holder = NewKeyFor { tenant, principal, groups: &args.groups, expires: args.expires };
    if args.api {
        return Ok(new_api_key(&holder)?);
    }
    let Some(vending) = &config.vending else {
        bail!("an access key's secret is sealed: the configuration needs `[vending]` with a sealing key");
    };
    let sealing = SealingKeys::read(&vending.sealing_keys).map_err(CompileError::from)?;
    Ok(new_access_key(&holder, &sealing)?)
}

/// Whether the gateway takes the keys that are there already. An API key is nothing that seals, and whoever makes one need not have it.
fn examine(file: &Path, api: bool, config: &Config) -> Result<(), CompileError> {
    match snapshot::issued(config) {
        Err(CompileError::Sealing(_)) if api => Ok(KeysFile::read(file).map(drop)?),
        examined => examined.map(drop),
    }
}

/// A file that is made here is nobody else's.
fn add(file: &Path, entry: &str) -> io::Result<()> {
    let mut opened = OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    opened.write_all(format!("\n{entry}").as_bytes())?;
    opened.sync_all()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::auth::KeyRing;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        key: KeyArgs,
    }

    fn new(words: &[&str]) -> NewArgs {
        let KeyCommand::New(args) = Command::try_parse_from([&["key", "new"], words].concat()).unwrap().key.command;
        args
    }

    fn config(directory: &Path) -> Config {
        let text = r#"
            listeners = []
            [upstream]
            region = "us-east-1"
            [vending]
            sealing_keys = [{ id = "a", secret = { file = "DIRECTORY/sealing" } }]
            [keys]
            file = "DIRECTORY/keys.toml"
            [tenants.acme]
        "#;
        std::fs::write(directory.join("sealing"), "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n").unwrap();
        toml::from_str(&text.replace("DIRECTORY", directory.to_str().unwrap())).unwrap()
    }

    #[test]
    fn entries_are_what_the_gateway_reads_and_hold_no_secret() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let file = &config.keys.as_ref().unwrap().file;
        let access = make(&new(&["-c", "x", "--tenant", "acme", "--principal", "a \"b\""]), &config).unwrap();
        let api = make(&new(&["-c", "x", "--tenant", "acme", "--api", "--expires", "2127-01-31"]), &config).unwrap();
        for key in [&access, &api] {
            assert!(!key.entry.contains(key.secret.expose_secret()));
            add(file, &key.entry).unwrap();
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert!(snapshot::issued(&config).is_ok());

        // What is sealed is sealed for somebody.
        let text = std::fs::read_to_string(file).unwrap();
        let sealing = SealingKeys::read(&config.vending.as_ref().unwrap().sealing_keys).unwrap();
        let ring = |text: &str| KeyRing::new(&toml::from_str::<KeysFile>(text).unwrap(), Some(&sealing));
        assert!(ring(&text).is_ok());
        for (from, to) in [("acme", "globex"), ("principal = ", "# "), (access.id.as_str(), "TGAKAAAAAAAAAAAAAAAA")] {
            let error = ring(&text.replace(from, to)).err().unwrap().to_string();
            assert!(error.contains("does not open"), "{error}");
        }
    }

    #[test]
    fn what_no_gateway_could_use_is_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path());
        assert!(make(&new(&["-c", "x", "--tenant", "globex"]), &config).is_err());
        assert!(make(&new(&["-c", "x", "--tenant", "acme", "--principal", " "]), &config).is_err());
        assert!(make(&new(&["-c", "x", "--tenant", "acme", "--expires", "2020-01-31"]), &config).is_err());
        config.vending = None;
        assert!(make(&new(&["-c", "x", "--tenant", "acme"]), &config).is_err());
        assert!(make(&new(&["-c", "x", "--tenant", "acme", "--api"]), &config).is_ok());
    }
}
