//! The README is true: its metric table is the table of metrics, and its configuration, like those in docs/, is one that the gateway reads.

use std::{collections::BTreeSet, path::Path};

use tollgate::{config, telemetry::Metrics};

const README: &str = include_str!("../README.md");

/// What stands in backticks at the start of a table row, if it is a metric's name.
fn documented_metrics() -> BTreeSet<&'static str> {
    let cells = README.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    cells.map(|(name, _)| name).filter(|name| name.starts_with("tollgate_")).collect()
}

#[test]
fn every_metric_is_in_the_table_and_no_other() {
    let metrics = Metrics::new().unwrap();
    let documented = documented_metrics();
    let exported: BTreeSet<String> = metrics.labels().keys().filter(|name| name.starts_with("tollgate_")).cloned().collect();
    assert_eq!(exported.iter().map(String::as_str).collect::<BTreeSet<_>>(), documented);
}

#[test]
fn every_configuration_shown_is_one() {
    let mut shown = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap() {
        let page = file.unwrap().path();
        let text = std::fs::read_to_string(&page).unwrap();
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            config::parse(block, Path::new("docs.toml")).unwrap_or_else(|problems| panic!("{}: {problems}", page.display()));
            shown += 1;
        }
    }
    assert!(shown >= 2);
}

#[test]
fn the_configuration_shown_is_one() {
    let text = README.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config = config::parse(text, Path::new("readme.toml")).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.tenants["search"].limits.requests_per_minute, Some(600));
}
