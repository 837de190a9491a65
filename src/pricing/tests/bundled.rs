//! The bundled table: no digit is lost, no entry is left out unnoticed, and the crate that it comes from computes the same.

use std::{collections::BTreeSet, time::SystemTime};

use genai_prices::{PriceRequest, Usage as TheirUsage, UsageKey};
use proptest::prelude::*;

use super::*;
use crate::{
    bedrock::{
        model::GEOGRAPHIES,
        usage::{ServiceTier, Usage},
    },
    pricing::{bundled::TABLE, rates::Given},
};

/// Number literals of a JSON text.
fn numbers(json: &str) -> Vec<&str> {
    let outside_strings = json.split('"').step_by(2);
    let literals = outside_strings.flat_map(|text| text.split(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c))));
    literals.filter(|literal| literal.contains(|c: char| c.is_ascii_digit())).collect()
}

#[test]
fn no_digit_of_any_number_is_lost_on_the_way_through_f64() {
    let json = TABLE.replace("\\\"", "");
    let numbers = numbers(&json);
    assert!(numbers.len() > 400, "{}", numbers.len());
    for number in numbers {
        assert_eq!(number.parse::<f64>().unwrap().to_string(), number.trim_end_matches(".0"));
    }
}

#[test]
fn every_entry_is_priced_by_its_figures_but_those_with_audio() {
    let table: serde_json::Value = serde_json::from_str(TABLE).unwrap();
    let (mut rates, mut entries) = (0, 0);
    for model in table["models"].as_array().unwrap() {
        let id = model["id"].as_str().unwrap();
        if PriceBook::left_out().iter().any(|(left_out, _)| left_out == id) {
            assert!(id.contains("sonic"), "{id}");
            continue;
        }
        let name = id.replace("regional.amazon.", "us.amazon.");
        let name = name.strip_prefix("regional.").unwrap_or(&name);
        let dated = model["prices"].as_array().cloned().unwrap_or_else(|| vec![serde_json::json!({"prices": model["prices"]})]);
        for entry in dated {
            let from =
                entry["constraint"]["start_date"].as_str().map_or(at("2020-01-01T00:00:00Z"), |text| moment(text).unwrap());
            let price = PriceBook::bundled().price(name, from).unwrap_or_else(|| panic!("{id}"));
            entries += 1;
            for (_, _, over, ours) in price.table() {
                for (kind, ours) in [
                    ("input_mtok", ours.input),
                    ("output_mtok", ours.output),
                    ("cache_read_mtok", ours.cache_read),
                    ("cache_write_mtok", ours.cache_write),
                    ("cache_write_1h_mtok", ours.cache_write_1h),
                ] {
                    let value = &entry["prices"][kind];
                    let theirs = match over {
                        0 => Some(value.get("base").unwrap_or(value)),
                        over => value
                            .get("tiers")
                            .map(|tiers| &tiers.as_array().unwrap().iter().find(|t| t["start"] == over).unwrap()["price"]),
                    };
                    if let Some(theirs) = theirs.filter(|theirs| theirs.is_number()) {
                        assert_eq!(ours, theirs.to_string().trim_end_matches(".0").parse().unwrap(), "{id} {kind} over {over}");
                        rates += 1;
                    }
                }
            }
        }
    }
    assert_eq!((entries, PriceBook::left_out().len()), (108, 2));
    assert!(rates > 350, "{rates}");
}

/// What the rule for a missing one-hour price rests on.
#[test]
fn an_hour_in_the_cache_costs_twice_the_input_wherever_it_has_a_price() {
    let mut seen = 0;
    for name in PriceBook::bundled().names() {
        let price = PriceBook::bundled().price(name, now()).unwrap();
        for (_, _, _, rates) in price.table().filter(|(_, _, _, rates)| !rates.gaps.contains(Gap::CacheWrite1h)) {
            assert_eq!(rates.cache_write_1h, rates.input.doubled(), "{name}");
            seen += 1;
        }
    }
    assert!(seen > 26);
}

fn theirs(model: &str, usage: &Usage) -> Option<(String, f64)> {
    let usage: TheirUsage = [
        (UsageKey::INPUT_TOKENS, usage.input_total()),
        (UsageKey::CACHE_READ_TOKENS, usage.cache_read_tokens),
        (UsageKey::CACHE_WRITE_TOKENS, usage.cache_write_tokens + usage.cache_write_1h_tokens),
        (UsageKey::CACHE_WRITE_1H_TOKENS, usage.cache_write_1h_tokens),
        (UsageKey::OUTPUT_TOKENS, usage.output_tokens),
    ]
    .into_iter()
    .map(|(key, tokens)| (key, tokens as f64))
    .collect();
    let request = PriceRequest::new(model, &usage).with_provider_id("aws").with_timestamp(SystemTime::from(now()));
    genai_prices::calculate(&request).ok().map(|price| (price.model_id, price.total_price))
}

/// A nano-dollar, and what `f64` may lose of a large sum.
fn close(ours: NanoUsd, theirs: f64) -> bool {
    (ours.0 as f64 - theirs * 1e9).abs() <= 1.0 + theirs * 1e9 * 1e-12
}

#[test]
fn every_name_costs_what_the_crate_itself_finds_for_it() {
    let (mut same, mut ours_only) = (0, Vec::new());
    for name in PriceBook::bundled().names() {
        let price = PriceBook::bundled().price(name, now()).unwrap();
        let embeds = price.table().any(|(_, _, _, rates)| rates.gaps.contains(Gap::Output));
        let usage = Usage { input_tokens: 12_345, output_tokens: if embeds { 0 } else { 678 }, ..Usage::default() };
        match theirs(name, &usage) {
            Some((id, theirs)) => {
                assert!(close(price.cost(&usage, ServiceTier::Standard), theirs), "{name} is {id} there: {theirs}");
                same += 1;
            }
            None => ours_only.push(name.to_owned()),
        }
    }
    assert!(same > 800, "{same}");
    // What the crate does not find: bedrock-mantle's names, without release date or version, and what only it lists with `-v1`.
    let bare = |name: String| {
        let name =
            name.split_once('.').filter(|(prefix, _)| GEOGRAPHIES.contains(prefix)).map_or(name.as_str(), |(_, rest)| rest);
        name.trim_start_matches("anthropic.").trim_start_matches("openai.").to_owned()
    };
    let ours_only: BTreeSet<String> = ours_only.into_iter().map(bare).collect();
    let expected = [
        "claude-3-5-haiku",
        "claude-3-7-sonnet",
        "claude-3-haiku",
        "claude-3-opus",
        "claude-3-sonnet",
        "claude-fable-5",
        "claude-haiku-4-5",
        "claude-opus-4",
        "claude-opus-4-1",
        "claude-sonnet-4",
        "claude-sonnet-4-5",
        "gpt-5.4",
        "gpt-5.5",
        "gpt-oss-120b",
        "gpt-oss-120b-1",
        "gpt-oss-120b-1:0",
        "gpt-oss-20b",
        "gpt-oss-20b-1",
        "gpt-oss-20b-1:0",
    ];
    assert_eq!(ours_only.into_iter().collect::<Vec<_>>(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_crate_computes_the_same_within_its_floating_point(
        model in prop::sample::select(vec![
            "global.anthropic.claude-haiku-5-5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "eu.anthropic.claude-opus-5-5",
        ]),
        input in 0u64..300_000, output in 0u64..100_000, read in 0u64..300_000, write in 0u64..300_000, hour in 0u64..300_000,
    ) {
        let usage = Usage {
            input_tokens: input, output_tokens: output, cache_read_tokens: read, cache_write_tokens: write, cache_write_1h_tokens: hour,
        };
        let ours = PriceBook::bundled().price(model, now()).unwrap().cost(&usage, ServiceTier::Standard);
        let (_, theirs) = theirs(model, &usage).unwrap();
        prop_assert!(close(ours, theirs), "{} {}", ours, theirs);
    }
}

#[test]
fn dated_prices_change_at_midnight_utc() {
    let input = |time: &str| {
        let price = PriceBook::bundled().price("openai.gpt-5.6-luna", at(time)).unwrap();
        price.table().map(|(_, _, over, rates)| format!("{over} {}", rates.input)).collect::<Vec<_>>()
    };
    assert_eq!(input("2026-07-29T23:59:59.999999999Z"), ["0 1.10"]);
    assert_eq!(input("2026-07-30T00:00:00Z"), ["0 0.22", "272000 0.44"]);
    assert_eq!(PriceBook::bundled().changes("openai.gpt-5.6-luna"), [at("2026-07-30T00:00:00Z")]);
}

#[test]
fn what_a_table_does_not_say_is_charged_by_rule_and_named() {
    let rate = |text: &str| text.parse::<Rate>().unwrap();
    let rates = Given { input: rate("3"), ..Given::default() }.completed();
    assert_eq!([rates.output, rates.cache_read, rates.cache_write, rates.cache_write_1h], ["3", "3", "3", "6"].map(rate));
    assert_eq!(rates.gaps.to_string(), "output, cache_read, cache_write, cache_write_1h");
    let dear = Given { input: rate("3"), cache_write: Some(rate("7")), ..Given::default() }.completed();
    assert_eq!(dear.cache_write_1h, rate("7"));

    let price = PriceBook::bundled().price("amazon.nova-lite-v1:0", now()).unwrap();
    let usage = Usage { input_tokens: 100_000, cache_read_tokens: 100_000, ..Usage::default() };
    let charge = price.charge(&usage, ServiceTier::Standard);
    assert_eq!((charge.cost.to_string().as_str(), &*charge.source()), ("0.0075", "genai-prices 0.2.1"));
    let usage = Usage { cache_write_tokens: 100_000, cache_write_1h_tokens: 100_000, ..Usage::default() };
    let charge = price.charge(&usage, ServiceTier::Priority);
    assert_eq!(charge.cost.to_string(), "0.018");
    assert_eq!(&*charge.source(), "genai-prices 0.2.1; unpriced: tier, cache_write, cache_write_1h");
}

#[test]
fn input_beyond_the_window_that_the_table_knows_is_named() {
    let price = PriceBook::bundled().price("anthropic.claude-sonnet-4-20250514-v1:0", now()).unwrap();
    let source = |cached: u64| {
        let usage = Usage { input_tokens: 150_000, cache_read_tokens: cached, ..Usage::default() };
        price.charge(&usage, ServiceTier::Standard).source().to_string()
    };
    assert_eq!(source(50_000), "genai-prices 0.2.1 regional");
    assert_eq!(source(50_001), "genai-prices 0.2.1 regional; unpriced: long_input");
}
