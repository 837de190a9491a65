//! `tollgate prices diff`: where the operator's price list says something else than the built-in one.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use jiff::Timestamp;

use super::configured;
use crate::pricing::{Overrides, Price, PriceBook, Rate, Sale};

/// Whose list.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DiffArgs {
    /// The configuration that names the price list
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let (overrides, book) = match configured(&args.config)? {
        Ok((_, overrides, book)) => (overrides, book),
        Err(code) => return Ok(code),
    };
    let lines = lines(&overrides, &book, Timestamp::now());
    for line in &lines {
        writeln!(io::stdout(), "{line}")?;
    }
    if lines.is_empty() {
        writeln!(io::stdout(), "no differences from {}", PriceBook::bundled().version())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every difference on a line of its own, now and at each coming change: `MODEL: standard input 3.30 → 2.97`.
fn lines(overrides: &Overrides, book: &PriceBook, now: Timestamp) -> Vec<String> {
    let bundled = PriceBook::bundled();
    let mut lines = Vec::new();
    for (model, written) in &overrides.models {
        let mut before = Vec::new();
        for at in [now].into_iter().chain(book.changes(model).into_iter().filter(|change| *change > now)) {
            let differences = differences(bundled.price(model, at).as_deref(), book.price(model, at).as_deref());
            let from = if at == now { String::new() } else { format!("from {}: ", shown(at)) };
            let new = differences.iter().filter(|difference| !before.contains(*difference));
            lines.extend(new.map(|difference| format!("{model}: {from}{difference}")));
            before = differences;
        }
        if let Some(Sale::ByRequest(amount)) = book.sale(model, now) {
            lines.push(format!("{model}: a request – → {amount}"));
        }
        if let Some(target) = &written.alias_of {
            lines.push(format!("{model}: alias of {target}"));
        }
        let (theirs, ours) = (bundled.facts(model), book.facts(model));
        for (name, theirs, ours) in [
            ("max_output_tokens", theirs.max_output_tokens, ours.max_output_tokens),
            ("burndown", theirs.burndown, ours.burndown),
        ] {
            if theirs != ours {
                lines.push(format!("{model}: {name} {theirs} → {ours}"));
            }
        }
    }
    let requests = overrides.requests.iter().map(|(operation, amount)| format!("{operation}: a request – → {amount}"));
    lines.extend(requests);
    lines
}

/// A day, as most changes are written; with its time, where that is not midnight.
fn shown(at: Timestamp) -> String {
    let text = at.to_string();
    text.strip_suffix("T00:00:00Z").map_or(text.clone(), str::to_owned)
}

fn differences(bundled: Option<&Price>, own: Option<&Price>) -> Vec<String> {
    let (bundled, own) = (rates(bundled), rates(own));
    let mut keys: Vec<_> = bundled.keys().chain(own.keys()).collect();
    keys.sort();
    keys.dedup();
    let figure = |rate: Option<&Rate>| rate.map_or("–".to_owned(), Rate::to_string);
    let different = keys.into_iter().filter(|key| bundled.get(*key) != own.get(*key));
    different.map(|key| format!("{} {} → {}", key.1, figure(bundled.get(key)), figure(own.get(key)))).collect()
}

/// Rates as they are charged, by where they stand in the list and by what they are called.
fn rates(price: Option<&Price>) -> BTreeMap<((u8, u64, u8), String), Rate> {
    let mut by_name = BTreeMap::new();
    for (tier, _, over, rates) in price.into_iter().flat_map(Price::table) {
        let kinds = [
            ("input", rates.input),
            ("output", rates.output),
            ("cache_read", rates.cache_read),
            ("cache_write", rates.cache_write),
            ("cache_write_1h", rates.cache_write_1h),
        ];
        for (position, (kind, rate)) in (0..).zip(kinds) {
            let length = if over == 0 { String::new() } else { format!(" over {over} input tokens") };
            by_name.insert(((tier as u8, over, position), format!("{}{length} {kind}", tier.name())), rate);
        }
    }
    by_name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::parse_prices, pricing::moment};

    #[test]
    fn both_figures_are_shown_now_and_when_they_change() {
        let list = r#"
[models."us.anthropic.claude-sonnet-4-5-20250929-v1:0"]
burndown = 1
prices = [
    { input = "2.97", output = "16.50", cache_read = "0.33", cache_write = "4.125", cache_write_1h = "6.60" },
    { effective_from = "2027-01-01", input = "2.80", output = "16.50", cache_read = "0.33", cache_write = "4.125", cache_write_1h = "6.60" },
    { effective_from = "2027-02-01T08:30:00+02:00", input = "2.70", output = "16.50", cache_read = "0.33", cache_write = "4.125", cache_write_1h = "6.60" },
    { tier = "flex", input = "1", output = "1", cache_read = "1", cache_write = "1", cache_write_1h = "1" },
]
[models."anthropic.claude-sonnet-4-6"]
prices = [{ input = "3.30", output = "16.50", cache_read = "0.33", cache_write = "4.125", cache_write_1h = "6.60" }]
[models."arn:aws:bedrock:us-east-1:1:provisioned-model/x"]
alias_of = "amazon.titan-embed-text-v2:0"
[models."stability.sd3-5-large-v1:0"]
request = "0.08"
[requests]
ApplyGuardrail = "0.1"
"#;
        let (overrides, book) = parse_prices(list, "prices.toml".as_ref()).unwrap();
        let sonnet = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
        let arn = "arn:aws:bedrock:us-east-1:1:provisioned-model/x";
        assert_eq!(
            lines(&overrides, &book, moment("2026-11-22").unwrap()),
            [
                format!("{arn}: standard input – → 0.02"),
                format!("{arn}: standard output – → 0.02"),
                format!("{arn}: standard cache_read – → 0.02"),
                format!("{arn}: standard cache_write – → 0.02"),
                format!("{arn}: standard cache_write_1h – → 0.04"),
                format!("{arn}: alias of amazon.titan-embed-text-v2:0"),
                format!("{arn}: max_output_tokens 64000 → 0"),
                "stability.sd3-5-large-v1:0: a request – → 0.08".to_owned(),
                format!("{sonnet}: standard input 3.30 → 2.97"),
                format!("{sonnet}: flex input – → 1.00"),
                format!("{sonnet}: flex output – → 1.00"),
                format!("{sonnet}: flex cache_read – → 1.00"),
                format!("{sonnet}: flex cache_write – → 1.00"),
                format!("{sonnet}: flex cache_write_1h – → 1.00"),
                format!("{sonnet}: from 2027-01-01: standard input 3.30 → 2.80"),
                format!("{sonnet}: from 2027-02-01T06:30:00Z: standard input 3.30 → 2.70"),
                format!("{sonnet}: burndown 5 → 1"),
                "ApplyGuardrail: a request – → 0.1".to_owned(),
            ]
        );
    }
}
