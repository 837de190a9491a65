//! Prices as a whole: the bundled table against the crate that it comes from, names, and the file of overrides.

mod bundled;
mod exact;
mod lookup;
mod own;

use jiff::Timestamp;

use super::*;

/// A time in the form that people write.
fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-11-22T12:00:00Z")
}
