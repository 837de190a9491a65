//! Money, and what a token of a model costs.

mod money;

pub use money::NanoUsd;
