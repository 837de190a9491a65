//! Costs against an oracle that adds up fractions, and bounds against costs.

use proptest::prelude::*;

use super::*;
use crate::bedrock::{
    ask::Caching,
    usage::{ServiceTier, Usage},
};

/// Amounts as in prices.toml: dollars and six decimals per million tokens.
fn rate() -> impl Strategy<Value = (u64, String)> {
    (0u64..=200_000_000).prop_map(|pico| (pico, format!("{}.{:06}", pico / 1_000_000, pico % 1_000_000)))
}

fn tokens() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..10, 0u64..2_000_000, 0u64..u64::MAX / 8]
}

fn usage() -> impl Strategy<Value = Usage> {
    (tokens(), tokens(), tokens(), tokens(), tokens()).prop_map(|(input, output, read, write, hour)| Usage {
        input_tokens: input,
        output_tokens: output,
        cache_read_tokens: read,
        cache_write_tokens: write,
        cache_write_1h_tokens: hour,
    })
}

type Row = [(u64, String); 5];

fn book(rows: &[(u64, &Row)]) -> PriceBook {
    let row = |(over, [input, output, read, write, hour]): &(u64, &Row)| PriceRow {
        effective_from: None,
        tier: "standard".to_owned(),
        input_tokens_over: *over,
        input: input.1.clone(),
        output: Some(output.1.clone()),
        cache_read: Some(read.1.clone()),
        cache_write: Some(write.1.clone()),
        cache_write_1h: Some(hour.1.clone()),
    };
    let model = ModelOverride { prices: rows.iter().map(row).collect(), ..ModelOverride::default() };
    let overrides = Overrides { models: [("m".to_owned(), model)].into(), ..Overrides::default() };
    PriceBook::with(&overrides, "test").unwrap()
}

/// In `i128`, as fractions of a dollar over 10^12: floor of (sum + 500) / 1000.
fn oracle(row: &Row, usage: &Usage) -> i64 {
    let counts =
        [usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens];
    let pico: i128 = row.iter().zip(counts).map(|((rate, _), tokens)| i128::from(*rate) * i128::from(tokens)).sum();
    let (whole, rest) = (pico.div_euclid(1_000), pico.rem_euclid(1_000));
    i64::try_from(whole + i128::from(rest >= 500)).unwrap_or(i64::MAX)
}

fn row() -> impl Strategy<Value = Row> {
    [rate(), rate(), rate(), rate(), rate()]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cost_is_the_sum_of_fractions_rounded_once(row in row(), usage in usage()) {
        let price = book(&[(0, &row)]).price("m", now()).unwrap();
        prop_assert_eq!(price.cost(&usage, ServiceTier::Standard).0, oracle(&row, &usage));
    }

    #[test]
    fn the_step_that_all_input_together_reaches_prices_the_whole_request(
        base in row(), long in row(), over in 1u64..1_000_000, usage in usage(),
    ) {
        let price = book(&[(over, &long), (0, &base)]).price("m", now()).unwrap();
        let row = if usage.input_total() > over { &long } else { &base };
        prop_assert_eq!(price.cost(&usage, ServiceTier::Standard).0, oracle(row, &usage));
    }

    #[test]
    fn nothing_within_the_bound_costs_more(
        base in row(), long in row(), over in 1u64..1_000_000, usage in usage(), more in (tokens(), tokens()),
        caching in prop::sample::select(&[Caching::Off, Caching::Unasked, Caching::OneHour]),
    ) {
        let usage = match caching {
            Caching::Off => Usage { cache_write_tokens: 0, cache_write_1h_tokens: 0, ..usage },
            Caching::Unasked => Usage { cache_write_1h_tokens: 0, ..usage },
            _ => usage,
        };
        let price = book(&[(0, &base), (over, &long)]).price("m", now()).unwrap();
        let (input, output) = (usage.input_total().saturating_add(more.0), usage.output_tokens.saturating_add(more.1));
        for tier in [ServiceTier::Standard, ServiceTier::Flex] {
            prop_assert!(price.at_most(input, output, caching, tier) >= price.cost(&usage, tier));
        }
    }
}

#[test]
fn half_a_nano_dollar_is_rounded_up_and_less_is_dropped() {
    let row = ["0.000001"; 5].map(|text| (1, text.to_owned()));
    let price = book(&[(0, &row)]).price("m", now()).unwrap();
    for (tokens, nano) in [(0, 0), (499, 0), (500, 1), (1_499, 1), (1_500, 2)] {
        let usage = Usage { input_tokens: tokens, ..Usage::default() };
        assert_eq!(price.cost(&usage, ServiceTier::Standard), NanoUsd(nano), "{tokens}");
    }
}

#[test]
fn a_cost_without_end_is_the_most_there_is() {
    let row = ["1000000"; 5].map(|text| (1_000_000_000_000, text.to_owned()));
    let price = book(&[(0, &row)]).price("m", now()).unwrap();
    let all = u64::MAX;
    let usage = Usage {
        input_tokens: all,
        output_tokens: all,
        cache_read_tokens: all,
        cache_write_tokens: all,
        cache_write_1h_tokens: all,
    };
    assert_eq!(price.cost(&usage, ServiceTier::Standard), NanoUsd::MAX);
    assert_eq!(price.at_most(all, all, Caching::OneHour, ServiceTier::Standard), NanoUsd::MAX);
}
