//! Usage as a table, CSV or JSON: the same columns in the same order.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::Property;
use crate::ledger::{Group, Sums};

/// The columns after the names.
const NUMBERS: [&str; 8] = [
    "requests",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "cost_usd",
    "estimated",
];

/// The columns' place of the money, which is written as a string in JSON: no reader makes a float of it.
const COST: usize = 6;

pub(super) fn table(usage: &[(Group, Sums)], by: Property) -> String {
    let mut total = Sums::default();
    usage.iter().for_each(|(_, sums)| total += *sums);
    let names = headings(by);
    let line = |(group, sums): &(Group, Sums)| [cells(group).map(visible).collect(), numbers(sums).to_vec()].concat();
    let mut lines: Vec<Vec<String>> =
        vec![names.iter().copied().chain(NUMBERS).map(|heading| heading.replace('_', " ")).collect()];
    lines.extend(usage.iter().map(line));
    let blank = vec![String::new(); names.len() - 1];
    lines.push([vec!["total".to_owned()], blank, numbers(&total).to_vec()].concat());
    let columns = names.len() + NUMBERS.len();
    let widths: Vec<usize> = (0..columns)
        .map(|column| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < names.len() { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  "));
    }
    text
}

pub(super) fn csv(usage: &[(Group, Sums)], by: Property) -> String {
    let mut text = headings(by).into_iter().chain(NUMBERS).collect::<Vec<_>>().join(",") + "\r\n";
    for (group, sums) in usage {
        let cells: Vec<String> = cells(group).map(quoted).chain(numbers(sums)).collect();
        text += &(cells.join(",") + "\r\n");
    }
    text
}

pub(super) fn json(usage: &[(Group, Sums)], by: Property) -> serde_json::Result<String> {
    let object = |(group, sums): &(Group, Sums)| {
        let names = headings(by).into_iter().zip(cells(group).map(Value::from));
        let numbers = NUMBERS.into_iter().zip(numbers(sums)).enumerate().map(|(column, (heading, number))| {
            let number =
                if column == COST { Value::from(number) } else { number.parse::<u64>().map_or(Value::Null, Value::from) };
            (heading, number)
        });
        names.chain(numbers).map(|(heading, value)| (heading.to_owned(), value)).collect::<Map<_, _>>()
    };
    let objects: Vec<_> = usage.iter().map(object).collect();
    serde_json::to_string_pretty(&objects).map(|text| text + "\n")
}

/// Of the columns before the numbers.
fn headings(by: Property) -> Vec<&'static str> {
    match by {
        Property::Principal => vec!["tenant", "principal"],
        Property::Tenant => vec!["tenant"],
        Property::Model => vec!["model"],
        Property::Day => vec!["day"],
        Property::Operation => vec!["operation"],
    }
}

fn cells(group: &Group) -> impl Iterator<Item = &str> {
    group.tenant.as_deref().into_iter().chain([&*group.name])
}

fn numbers(sums: &Sums) -> [String; 8] {
    let usage = &sums.usage;
    [
        sums.requests.to_string(),
        usage.input_tokens.to_string(),
        usage.output_tokens.to_string(),
        usage.cache_read_tokens.to_string(),
        usage.cache_write_tokens.to_string(),
        usage.cache_write_1h_tokens.to_string(),
        sums.cost.to_string(),
        sums.estimated.to_string(),
    ]
}

/// A name is somebody else's text: it does not command the terminal.
pub fn visible(cell: &str) -> String {
    cell.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn quoted(cell: &str) -> String {
    if cell.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bedrock::usage::Usage, pricing::NanoUsd};

    fn usage(tenant: Option<&str>) -> Vec<(Group, Sums)> {
        let sums = |requests, cost| Sums {
            requests,
            usage: Usage { input_tokens: 10, output_tokens: 2_000_000, ..Usage::default() },
            cost: NanoUsd(cost),
            ..Sums::default()
        };
        let group = |name: &str| Group { tenant: tenant.map(Into::into), name: name.into() };
        vec![(group("a, \"b\""), sums(1, 1)), (group("c\u{1b}[2J"), sums(2, 12_500_000_000))]
    }

    #[test]
    fn a_table_is_aligned_totalled_and_harmless() {
        let shown = table(&usage(Some("acme")), Property::Principal);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().all(|line| line.chars().count() == lines[0].len()), "{shown}");
        assert!(
            lines[3].starts_with("total ") && lines[3].contains(" 4000000 ") && lines[3].contains(" 12.500000001 "),
            "{shown}"
        );
        assert!(!shown.contains('\u{1b}'));
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let shown = csv(&usage(None), Property::Model);
        assert!(shown.starts_with("model,requests,input_tokens,"), "{shown}");
        assert_eq!(shown.split("\r\n").nth(1), Some("\"a, \"\"b\"\"\",1,10,2000000,0,0,0,0.000000001,0"));
        assert_eq!(csv(&[], Property::Day).lines().count(), 1);
    }

    #[test]
    fn json_has_numbers_and_money_as_text() {
        let shown: Value = serde_json::from_str(&json(&usage(Some("acme")), Property::Principal).unwrap()).unwrap();
        assert_eq!((&shown[0]["tenant"], &shown[0]["principal"]), (&Value::from("acme"), &Value::from("a, \"b\"")));
        assert_eq!((&shown[1]["cost_usd"], &shown[1]["output_tokens"]), (&Value::from("12.50"), &Value::from(2_000_000)));
        assert_eq!(json(&[], Property::Day).unwrap(), "[]\n");
    }
}
