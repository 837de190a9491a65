//! Prices of requests, as `prices.toml` has them: by operation, and of models that are not sold by the token.

use std::collections::BTreeMap;

use super::{
    ModelOverride, NanoUsd, Step,
    compile::{Flaws, Requests, below, path},
};
use crate::bedrock::{operations, usage::Metering};

/// Every operation that this version does not know.
const UNKNOWN: &str = "Unknown";

/// By operation.
pub(super) fn of_operations(written: &BTreeMap<String, String>, flaws: &mut Flaws) -> Requests {
    let mut requests = Requests::new();
    for (operation, text) in written {
        let at = path(&["requests", operation]);
        match never_by_request(operation) {
            Some((message, help)) => flaws.add(at, message, help),
            None => drop(amount(text, at, flaws).map(|amount| requests.insert(operation.clone(), amount))),
        }
    }
    requests
}

/// Why a price of an operation's requests would be asked for by nobody, and what to do.
fn never_by_request(operation: &str) -> Option<(&'static str, &'static str)> {
    if operation == UNKNOWN {
        return None;
    }
    let of_name = operations().iter().filter(|known| known.name == operation).map(Metering::of);
    // Services share a few names.
    match of_name.min_by_key(|metering| *metering == Metering::Tokens) {
        // Whoever is billed for what is held to cost nothing may say so.
        Some(Metering::PerRequest | Metering::Free) => None,
        None => Some(("no such operation", "operations are spelled as in AWS's API reference, `ApplyGuardrail`")),
        Some(Metering::Tokens) => Some((
            "the operation is charged by its model's tokens",
            "give the model `prices`, or `request` if it is not sold by the token",
        )),
    }
}

/// Of a model.
pub(super) fn of_model(model: &ModelOverride, at: &[Step], flaws: &mut Flaws) -> Option<NanoUsd> {
    let text = model.request.as_deref()?;
    let at = below(at, "request");
    if !model.prices.is_empty() || model.alias_of.is_some() {
        flaws.add(at, "the model has a price by request and another one", "keep one of the two");
        return None;
    }
    amount(text, at, flaws)
}

fn amount(text: &str, at: Vec<Step>, flaws: &mut Flaws) -> Option<NanoUsd> {
    let amount = text.parse::<NanoUsd>().ok().filter(|amount| *amount >= NanoUsd::ZERO);
    if amount.is_none() {
        let help = "write dollars with at most nine decimals, such as \"0.00015\"";
        flaws.add(at, "not a price in US dollars per request", help);
    }
    amount
}
