//! `tollgate prices`: what models cost, without serving.

mod check;
mod diff;
pub(super) mod show;

use std::{path::Path, process::ExitCode};

use super::check::{EX_CONFIG, report};
use crate::{
    config::{self, Config},
    pricing::{Overrides, PriceBook},
};

/// What to do with prices.
#[derive(Debug, clap::Subcommand)]
pub(super) enum PricesCommand {
    /// Says everything that is wrong with a price list, and which allowed models have no price; exit 0, or 78
    Check(check::CheckArgs),
    /// Prints what a model costs, and where the figures come from; exit 0, or 1 without a price
    Show(show::ShowArgs),
    /// Prints where the price list differs from the built-in prices
    Diff(diff::DiffArgs),
}

/// Does it.
///
/// # Errors
/// Standard output or standard error cannot be written to. A bad file is no error but exit code 78.
pub(super) fn run(command: PricesCommand) -> anyhow::Result<ExitCode> {
    match command {
        PricesCommand::Check(args) => check::run(&args),
        PricesCommand::Show(args) => show::run(&args),
        PricesCommand::Diff(args) => diff::run(&args),
    }
}

/// A configuration with its prices. Problems go to standard error, and leave nothing to go on with.
fn configured(path: &Path) -> anyhow::Result<Result<(Config, Overrides, PriceBook), ExitCode>> {
    let (config, problems) = config::examine(path);
    let file = config.as_ref().and_then(|config| config.prices.file.clone());
    let listed = match file.as_deref().map(config::examine_prices) {
        None => Ok((Overrides::default(), PriceBook::bundled())),
        Some(listed) => listed,
    };
    // The list's own report has its lines in it; the configuration's could only name them.
    match (config, listed) {
        (_, Err(list_problems)) => report(&list_problems)?,
        (Some(config), Ok((overrides, book))) if problems.errors().next().is_none() => return Ok(Ok((config, overrides, book))),
        _ => report(&problems)?,
    }
    Ok(Err(ExitCode::from(EX_CONFIG)))
}
