//! Money, and what a token of a model costs.
//!
//! # Exactness
//!
//! A rate is a whole number of pico-dollars (10⁻¹² USD) per token, which is the price per million tokens with six decimals: $0.0375
//! per million is 37,500. A request costs
//!
//! ```text
//! pico = input × rate + output × rate + cache_read × rate + cache_write × rate + cache_write_1h × rate     exact, in 128 bits
//! nano = (pico + 500) div 1000                                                                              half a nano-dollar up
//! ```
//!
//! rounded once per request and never per kind of token, so any program with integers gets the same figure. Which rates apply:
//! the tier's; of these the step with the largest `over` that is less than all input tokens together, cached ones included; and that
//! step prices the whole request.
//!
//! # What is never done
//!
//! A model is not priced by its likeness to another: [`book`] knows names letter for letter, and [`find_by_name`] which of them are one
//! model's. A token is not free because nobody gave
//! its kind a price: `rates` says what is charged then, and the charge says so.

mod moment;
mod money;
mod rate;
mod rates;

mod price;

mod names;

mod bundled;

mod spellings;

mod overrides;

mod requests;

mod compile;

mod facts;

pub mod book;

#[cfg(test)]
mod tests;

pub use book::{PriceBook, Sale};
pub use facts::ModelFacts;
pub use moment::{NotAMoment, moment};
pub use money::{NanoUsd, NotMoney};
pub use overrides::{Flaw, ModelOverride, Overrides, PriceRow, Step};
pub use price::{Charge, Price};
pub use rate::{NotARate, Rate};
pub use rates::{Gap, Gaps, Rates};
pub use spellings::{find_by_name, spellings};
