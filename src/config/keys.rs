//! `[keys]`, and the file it names: access keys and API keys of tenants. The file has no secret in it that would open anything by
//! itself: access keys are sealed, of API keys there is a hash.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error};

use super::contents;

/// What API keys begin with, and no id of one.
pub const API_KEY_PREFIX: &str = "tg_";

/// Where the keys are.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// What `tollgate key new` prints goes into it. Nobody but the gateway's user may read or write it.
    pub file: PathBuf,
}

/// The file's contents.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeysFile {
    /// Keys to sign requests with.
    pub access_keys: Vec<AccessKey>,
    /// Keys to send as a token.
    pub api_keys: Vec<ApiKey>,
}

/// A static access key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    /// The access key id.
    pub id: String,
    /// For whom.
    pub tenant: String,
    /// Who calls; default: the id.
    pub principal: Option<String>,
    /// Groups that its holder is in, as `[groups]` names them.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The secret access key, sealed together with id, tenant and principal.
    pub sealed_secret: String,
    /// RFC 3339; default: never.
    #[serde(default, deserialize_with = "timestamp")]
    #[schemars(with = "Option<String>")]
    pub expires: Option<Timestamp>,
    /// No longer valid.
    #[serde(default)]
    pub disabled: bool,
}

/// An API key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// What logs call it.
    pub id: String,
    /// For whom.
    pub tenant: String,
    /// Who calls; default: the id.
    pub principal: Option<String>,
    /// Groups that its holder is in, as `[groups]` names them.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Of the whole key, in lower-case hexadecimal.
    pub sha256: String,
    /// RFC 3339; default: never.
    #[serde(default, deserialize_with = "timestamp")]
    #[schemars(with = "Option<String>")]
    pub expires: Option<Timestamp>,
    /// No longer valid.
    #[serde(default)]
    pub disabled: bool,
}

/// A file of keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysFileError {
    /// It cannot be read, or is no text.
    #[error("cannot read `{file}`: {error}")]
    Unreadable {
        /// Its path.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// It is no list of keys.
    #[error("`{file}`, line {line}: {message}")]
    Malformed {
        /// Its path.
        file: String,
        /// From 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
}

impl KeysFileError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            KeysFileError::Unreadable { .. } => "relative paths start from the directory of the configuration",
            KeysFileError::Malformed { .. } => "it holds what `tollgate key new` prints, and comments",
        }
    }
}

impl KeysFile {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or has something else in it.
    pub fn read(path: &Path) -> Result<KeysFile, KeysFileError> {
        let file = path.display().to_string();
        match contents::text(path) {
            Ok(text) => KeysFile::parse(&text).map_err(|(line, message)| KeysFileError::Malformed { file, line, message }),
            Err(error) => Err(KeysFileError::Unreadable { file, error }),
        }
    }

    /// Reads a file's text; or the line, and what is wrong with it, without quoting it.
    fn parse(text: &str) -> Result<KeysFile, (usize, String)> {
        toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            // The parser quotes what it did not expect, which may be a key.
            let message = match error.message().split_once(", expected ") {
                Some((found, expected)) if found.starts_with("invalid") || found.contains(API_KEY_PREFIX) => {
                    format!("expected {expected}")
                }
                _ => error.message().to_owned(),
            };
            (before.matches('\n').count() + 1, message)
        })
    }
}

fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(|_| D::Error::custom("`expires` is not a time as 2027-01-31T00:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_by_line_without_its_value() {
        let good = "[[api_keys]]\nid = \"a\"\ntenant = \"acme\"\nsha256 = \"00\"\nexpires = \"2027-01-31T00:00:00Z\"\n";
        assert_eq!(KeysFile::parse(good).unwrap().api_keys.len(), 1);
        assert!(KeysFile::parse("").unwrap().access_keys.is_empty());
        for (from, to, line) in
            [("2027-01-31T00:00:00Z", "soon", 5), ("sha256", "secret", 4), ("[[api_keys]]", "[[api_key]]", 1), ("\"a\"", "a", 2)]
        {
            let (found, message) = KeysFile::parse(&good.replace(from, to)).unwrap_err();
            assert_eq!(found, line, "{message}");
            assert!(!message.contains("soon"), "{message}");
        }
    }
}
