//! `tollgate usage`: what was used and what it cost, from the ledger, while the gateway writes it or not.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::ensure;
use clap::ValueEnum;
use jiff::civil::Date;

use super::check::EX_CONFIG;
use crate::{
    config::{self, Config},
    ledger::{By, Group, LedgerError, Reader, Selection, Sums},
};

mod columns;

pub(super) use columns::visible;

/// Which usage, and how it is shown.
#[derive(Debug, clap::Args)]
pub struct UsageArgs {
    /// The gateway's configuration
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// One tenant's only
    #[arg(long, value_name = "T")]
    pub tenant: Option<String>,
    /// The first day, in each tenant's time zone: 2026-11-01
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub since: Option<Date>,
    /// The last day
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub until: Option<Date>,
    /// What to tell apart
    #[arg(long, value_enum, default_value = "tenant")]
    pub by: Property,
    /// How to show it; money is in US dollars, exactly
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
}

/// What usage is told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Property {
    /// Who pays
    Tenant,
    /// What was used
    Model,
    /// The tenant's calendar day
    Day,
    /// Who called; within the retention time
    Principal,
    /// What was called; within the retention time
    Operation,
}

/// How usage is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people, with a total
    Table,
    /// RFC 4180, with a header
    Csv,
    /// An array of objects
    Json,
}

/// Prints usage.
///
/// # Errors
/// The ledger cannot be read, or nothing be written. A bad configuration is exit code 78, as `check` has it.
pub fn run(args: UsageArgs) -> anyhow::Result<ExitCode> {
    if let (Some(since), Some(until)) = (args.since, args.until) {
        ensure!(since <= until, "--since {since} is after --until {until}");
    }
    let Some(config) = read_config(&args.config)? else { return Ok(ExitCode::from(EX_CONFIG)) };
    let reader = open(&config)?;
    let by = By::from(args.by);
    if by.needs_rows() {
        tell_what_is_pruned(&reader, args.since)?;
    }
    let selection = Selection { tenant: args.tenant, since: args.since, until: args.until };
    let mut usage = reader.usage(&selection, by)?;
    if by != By::Day {
        usage.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.cost));
    }
    if usage.is_empty() {
        writeln!(io::stderr(), "nothing was used{}", within(&selection))?;
    }
    io::stdout().lock().write_all(written(&usage, args.by, args.format)?.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Without a look at certificates and secrets, which whoever asks for usage may not be allowed to read. Nothing if it is bad,
/// and that has been said.
pub(super) fn read_config(path: &Path) -> anyhow::Result<Option<Config>> {
    match config::read_alone(path) {
        Ok(config) => Ok(Some(config)),
        Err(problems) => {
            writeln!(io::stderr(), "{problems}")?;
            Ok(None)
        }
    }
}

/// The ledger of a configuration.
pub(super) fn open(config: &Config) -> Result<Reader, LedgerError> {
    Reader::open(config.ledger.file.as_ref().ok_or(LedgerError::NoFile)?)
}

fn tell_what_is_pruned(reader: &Reader, since: Option<Date>) -> anyhow::Result<()> {
    let first = reader.rows_since()?.filter(|first| since.is_none_or(|since| since < *first));
    if let Some(first) = first {
        writeln!(io::stderr(), "rows of days before {first} are pruned; --by tenant, model and day go further back")?;
    }
    Ok(())
}

fn within(selection: &Selection) -> String {
    let part = |word: &str, value: Option<String>| value.map(|value| format!(" {word} {value}")).unwrap_or_default();
    let day = |day: Option<Date>| day.map(|day| day.to_string());
    part("by", selection.tenant.clone()) + &part("since", day(selection.since)) + &part("until", day(selection.until))
}

fn written(usage: &[(Group, Sums)], by: Property, format: Format) -> anyhow::Result<String> {
    Ok(match format {
        Format::Table if usage.is_empty() => String::new(),
        Format::Table => columns::table(usage, by),
        Format::Csv => columns::csv(usage, by),
        Format::Json => columns::json(usage, by)?,
    })
}

fn day(text: &str) -> Result<Date, String> {
    text.parse().ok().filter(|_| text.len() == 10).ok_or_else(|| "not a date such as 2026-11-22".to_owned())
}

impl From<Property> for By {
    fn from(property: Property) -> By {
        match property {
            Property::Tenant => By::Tenant,
            Property::Model => By::Model,
            Property::Day => By::Day,
            Property::Principal => By::Principal,
            Property::Operation => By::Operation,
        }
    }
}
