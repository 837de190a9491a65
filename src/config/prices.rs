//! `[prices]`: what models cost, where that differs from the bundled table, and what happens to those without a price.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Problem, Problems, Severity,
    document::{KeyPath, Step},
    read,
};
use crate::pricing::{self, Flaw, Overrides, PriceBook};

/// Prices.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prices {
    /// The operator's own prices; none: the bundled ones only.
    pub file: Option<PathBuf>,
    /// What a tenant without a budget may do with a model that has no price. With a budget it is refused.
    pub unpriced: Unpriced,
}

/// What becomes of requests that cannot be priced.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unpriced {
    /// Served, at no cost that is known, and flagged.
    #[default]
    Allow,
    /// Refused.
    Refuse,
}

impl Prices {
    /// The price list. Reads the file.
    ///
    /// # Errors
    /// All that is wrong with the file.
    pub fn book(&self) -> Result<PriceBook, Problems> {
        let Some(path) = &self.file else { return Ok(PriceBook::bundled()) };
        examine_prices(path).map(|(_, book)| book)
    }
}

/// Reads a file of prices: as written, and as what it means together with the bundled ones.
///
/// # Errors
/// All that is wrong with it.
pub fn examine_prices(path: &Path) -> Result<(Overrides, PriceBook), Problems> {
    parse_prices(&read::read_text(path, "the price list")?, path)
}

/// As [`examine_prices`], from the text; `name` is what reports call it.
///
/// # Errors
/// All that is wrong with it.
pub fn parse_prices(text: &str, name: &Path) -> Result<(Overrides, PriceBook), Problems> {
    let mut problems = Problems::new(name.display().to_string(), text.to_owned());
    let Some((overrides, root)) = read::typed::<Overrides>(text, "conf/prices.toml", &mut problems) else { return Err(problems) };
    match PriceBook::with(&overrides, &origin(text, name)) {
        Ok(book) if problems.errors().next().is_none() => return Ok((overrides, book)),
        Ok(_) => {}
        Err(flaws) => {
            for Flaw { path, message, help } in flaws {
                let path = KeyPath(path.into_iter().map(step).collect());
                let Some(span) = root.span_of(&path.0) else { continue };
                let key_path = path.to_string();
                problems.add(Problem { severity: Severity::Error, message, key_path, span: Some(span), help });
            }
        }
    }
    Err(problems)
}

/// `prices.toml sha256:0a1b2c3d4e5f`: what `sha256sum` begins with.
fn origin(text: &str, name: &Path) -> String {
    let sum = digest(&SHA256, text.as_bytes());
    let hex: String = sum.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{} sha256:{hex}", name.file_name().unwrap_or_default().to_string_lossy())
}

fn step(step: pricing::Step) -> Step {
    match step {
        pricing::Step::Key(key) => Step::Key(key),
        pricing::Step::Index(index) => Step::Index(index),
    }
}
