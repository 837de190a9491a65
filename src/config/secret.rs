//! A secret is never written in the file: the file says where it is.

use std::{env, path::PathBuf};

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::{contents, mask};

/// `{ env = "NAME" }` or `{ file = "path" }`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Secret {
    /// An environment variable; a trailing line break is not part of the secret.
    Env(String),
    /// A file; a trailing line break is not part of the secret.
    File(PathBuf),
}

/// A secret that is not where it should be.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not set, or is no text. Its name, where it looks like one.
    #[error("the environment variable {0} is not set to a text")]
    Env(String),
    /// The file cannot be read, or is no text.
    #[error("cannot read {file}: {error}")]
    File {
        /// Its path.
        file: String,
        /// Why.
        error: std::io::Error,
    },
}

impl Secret {
    /// Whether shells take it for the name of a variable; base64 of any length is hardly one.
    pub(super) fn is_variable(name: &str) -> bool {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    }

    /// Fetches the secret from where it is.
    ///
    /// # Errors
    /// It is not there.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let text = match self {
            Secret::Env(name) => env::var(name).map_err(|_| SecretError::Env(shown(name)))?,
            Secret::File(path) => {
                contents::text(path).map_err(|error| SecretError::File { file: path.display().to_string(), error })?
            }
        };
        Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
    }
}

/// What stands where a name belongs may be the secret itself.
fn shown(name: &str) -> String {
    if mask::is_variable(name) { name.to_owned() } else { "of this name".to_owned() }
}
