//! A secret is never written in the file: the file says where it is.

use std::path::PathBuf;

use serde::Deserialize;

/// `{ env = "NAME" }` or `{ file = "path" }`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Secret {
    /// An environment variable.
    Env(String),
    /// A file; a trailing line break is not part of the secret.
    File(PathBuf),
}
