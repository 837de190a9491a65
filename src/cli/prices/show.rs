//! `tollgate prices show`: what a model costs, as it will be charged.

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use jiff::Timestamp;

use super::configured;
use crate::{
    bedrock::usage::ServiceTier,
    cli::moment,
    policy::Profiles,
    pricing::{Gap, Price, PriceBook, Rate, Rates, Sale},
};

/// Which model, when.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ShowArgs {
    /// A model id, profile id or ARN, as clients write it
    #[arg(value_name = "MODEL")]
    model: String,
    /// The configuration whose price list counts; default: the built-in prices alone
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A date, or a time with offset; default: now
    #[arg(long, value_name = "DATE", value_parser = moment)]
    at: Option<Timestamp>,
}

pub(super) fn run(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let (book, profiles) = match &args.config {
        None => (PriceBook::bundled(), Profiles::default()),
        Some(path) => match configured(path)? {
            Ok((config, _, book)) => (book, Profiles::new(&config.profiles)),
            Err(code) => return Ok(code),
        },
    };
    let at = args.at.unwrap_or_else(Timestamp::now);
    let stands_for = profiles.stands_for(&args.model);
    let sale = book.sale_of_profile(&args.model, stands_for, at);
    writeln!(io::stdout(), "{}", text(&book, (&args.model, stands_for), at, sale.as_ref()))?;
    Ok(ExitCode::from(u8::from(sale.is_none())))
}

/// Of a model and of what its name stands for.
fn text(book: &PriceBook, (model, stands_for): (&str, &str), at: Timestamp, sale: Option<&Sale>) -> String {
    let mut out = if model == stands_for { String::new() } else { format!("{model} stands for {stands_for}\n") };
    // What has no price of its own is priced as what it stands for.
    let priced = if book.sale(model, at).is_some() { model } else { stands_for };
    out += &match sale {
        Some(Sale::ByToken(price)) => format!("{priced}: US dollars per million tokens at {}\n\n{}", second(at), table(price)),
        Some(Sale::ByRequest(price)) => format!("{priced}: ${price} a request\n"),
        None => unpriced(book, priced, at),
    };
    for change in book.changes(priced).into_iter().filter(|change| *change > at) {
        let _ = writeln!(out, "changes at {}", second(change));
    }
    let facts = book.facts_of_profile(model, stands_for);
    let _ = write!(
        out,
        "\nmax output tokens  {}\nburndown           {}\nprices             {}",
        facts.max_output_tokens,
        facts.burndown,
        book.version()
    );
    out
}

/// Without its fraction: prices do not change within a second.
fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

const COLUMNS: [&str; 6] = ["input", "output", "cache read", "cache write", "cache write 1h", "source"];

/// All its rates.
pub(in crate::cli) fn table(price: &Price) -> String {
    let mut out = format!("{:<10}{:>11}", "tier", "input over");
    for column in &COLUMNS[..5] {
        let _ = write!(out, "{column:>16}");
    }
    let _ = writeln!(out, "  {}", COLUMNS[5]);
    let mut filled_in = false;
    let mut priced = Vec::new();
    for (tier, source, over, rates) in price.table() {
        let _ = write!(out, "{:<10}{over:>11}", tier.name());
        for (rate, gap) in columns(rates) {
            let missing = gap.is_some_and(|gap| rates.gaps.contains(gap));
            filled_in |= missing;
            let _ = write!(out, "{:>16}", format!("{rate}{}", if missing { "*" } else { "" }));
        }
        let _ = writeln!(out, "  {source}");
        priced.push(tier);
    }
    for tier in [ServiceTier::Flex, ServiceTier::Priority, ServiceTier::Reserved] {
        if !priced.contains(&tier) {
            let _ = writeln!(out, "{:<10} no price of its own: charged as standard, and flagged", tier.name());
        }
    }
    if filled_in {
        let _ = writeln!(out, "* no price of its own: charged by the rule in conf/prices.toml, and flagged");
    }
    out
}

fn columns(rates: &Rates) -> [(Rate, Option<Gap>); 5] {
    [
        (rates.input, None),
        (rates.output, Some(Gap::Output)),
        (rates.cache_read, Some(Gap::CacheRead)),
        (rates.cache_write, Some(Gap::CacheWrite)),
        (rates.cache_write_1h, Some(Gap::CacheWrite1h)),
    ]
}

/// That there is no price, why if it is known, and what to write.
fn unpriced(book: &PriceBook, model: &str, at: Timestamp) -> String {
    let left_out = PriceBook::left_out().iter().find(|(id, _)| model.ends_with(id));
    let reason = left_out.map_or(String::new(), |(_, reason)| format!(": {reason}"));
    let key = toml::Value::from(model);
    let mut out = format!("{model}: no price at {}{reason}\n", second(at));
    if model.starts_with("arn:") {
        let _ = write!(out, "\nNothing in this ARN says what it costs. Write into the price list which model it stands for:\n");
        let _ = write!(out, "\n[models.{key}]\nalias_of = \"us.anthropic.claude-sonnet-4-5-20250929-v1:0\"\n");
        return out;
    }
    let near = near(book, model);
    if !near.is_empty() {
        let _ = write!(out, "\nModels with a price and a similar name, which are never taken for it: {}\n", near.join(", "));
    }
    let _ = write!(out, "\nWrite its price, in US dollars per million tokens, into the price list:\n");
    let _ = write!(out, "\n[[models.{key}.prices]]\ninput = \"…\"\noutput = \"…\"\n");
    out += "\nOr what a request costs, if the model is not sold by the token: `request`, as conf/prices.toml explains it.\n";
    out
}

/// For people who mistyped.
fn near<'a>(book: &'a PriceBook, model: &str) -> Vec<&'a str> {
    let mut names: Vec<(usize, &str)> = book.names().map(|name| (strsim::levenshtein(model, name), name)).collect();
    names.retain(|(distance, _)| *distance <= model.len() / 4);
    names.sort();
    names.into_iter().take(3).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(model: &str) -> String {
        let book = PriceBook::bundled();
        let at = moment("2026-07-01").unwrap();
        text(&book, (model, model), at, book.sale(model, at).as_ref())
    }

    #[test]
    fn a_price_is_shown_as_it_is_charged() {
        let expected = "\
amazon.nova-lite-v1:0: US dollars per million tokens at 2026-07-01T00:00:00Z

tier       input over           input          output      cache read     cache write  cache write 1h  source
standard            0            0.06            0.24           0.015           0.06*           0.12*  genai-prices 0.2.1
flex       no price of its own: charged as standard, and flagged
priority   no price of its own: charged as standard, and flagged
reserved   no price of its own: charged as standard, and flagged
* no price of its own: charged by the rule in conf/prices.toml, and flagged

max output tokens  10000
burndown           1
prices             genai-prices 0.2.1";
        assert_eq!(shown("amazon.nova-lite-v1:0"), expected);
        assert!(shown("global.openai.gpt-5.6-sol").contains("changes at 2026-08-21T00:00:00Z"));
    }

    #[test]
    fn without_a_price_it_says_what_to_write() {
        let profile = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc";
        for model in [profile, "acme.x\"y", "amazon.nova-2-sonic-v1:0"] {
            let text = shown(model);
            assert!(text.starts_with(&format!("{model}: no price at 2026-07-01T00:00:00Z")), "{text}");
            let written: String = text
                .lines()
                .filter(|line| line.starts_with('[') || line.contains(" = "))
                .map(|line| format!("{line}\n"))
                .collect();
            let written = written.replace('…', "1");
            let (overrides, _) = crate::config::parse_prices(&written, "prices.toml".as_ref()).unwrap();
            assert!(overrides.models.contains_key(model), "{written}");
        }
        assert!(shown("amazon.nova-2-sonic-v1:0").contains("it prices audio apart, and a price here has one rate"));
        assert!(shown("amazon.nova-lite-v1:1").contains("never taken for it: amazon.nova-lite"));
    }
}
