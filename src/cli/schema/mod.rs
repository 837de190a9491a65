//! `tollgate schema`: what may be in the configuration, for editors as JSON Schema and for people as a page.

mod page;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use serde_json::Value;

use crate::config::schema;

/// Of which file, and for whom.
#[derive(Debug, clap::Args)]
pub struct SchemaArgs {
    /// The file that the schema is of
    #[arg(value_enum, default_value_t = File::Configuration)]
    pub file: File,
    /// Prints the configuration reference, of all files, instead of a schema
    #[arg(long, conflicts_with = "file")]
    pub markdown: bool,
}

/// The files that the gateway reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum File {
    /// tollgate.toml
    Configuration,
    /// What `prices.file` names
    Prices,
    /// What `keys.file` names
    Keys,
}

impl File {
    fn schema(self) -> Value {
        match self {
            File::Configuration => schema::configuration(),
            File::Prices => schema::prices(),
            File::Keys => schema::keys(),
        }
    }
}

/// Prints.
///
/// # Errors
/// When standard output cannot be written to.
pub fn run(args: &SchemaArgs) -> anyhow::Result<ExitCode> {
    let text = match args.markdown {
        true => page::page(&[File::Configuration, File::Prices, File::Keys].map(File::schema)),
        false => serde_json::to_string_pretty(&args.file.schema())? + "\n",
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
