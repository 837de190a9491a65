//! `prices.toml`: its reference, and reports that point into it.

use std::path::Path;

use super::{super::*, GOOD};

const REFERENCE: &str = include_str!("../../../conf/prices.toml");

fn problems(text: &str) -> Vec<String> {
    let problems = parse_prices(text, Path::new("prices.toml")).unwrap_err();
    problems.lines().map(|(_, line)| line).collect()
}

#[test]
fn the_reference_is_sound_as_it_is_and_with_every_setting_in_force() {
    let in_force = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest.to_owned() + "\n",
        _ => line.to_owned() + "\n",
    };
    let full: String = REFERENCE.lines().map(in_force).collect();
    for text in [REFERENCE, &full] {
        let (overrides, book) = parse_prices(text, Path::new("conf/prices.toml")).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(overrides.models.len(), 3);
        assert!(book.version().contains(", prices.toml sha256:"), "{}", book.version());
    }
    let keys = [
        "alias_of",
        "prices",
        "request",
        "max_output_tokens",
        "burndown",
        "effective_from",
        "tier",
        "input_tokens_over",
        "input",
    ];
    for key in keys.iter().chain(&["output", "cache_read", "cache_write", "cache_write_1h"]) {
        assert!(full.lines().any(|line| line.starts_with(&format!("{key} = ")) || line.contains(&format!(".{key}]]"))), "{key}");
    }
}

#[test]
fn a_report_points_into_the_price_list() {
    let text = "[[models.\"acme.x\".prices]]\ninput = \"3,30\"\n";
    let report = parse_prices(text, Path::new("prices.toml")).unwrap_err().to_string();
    let expected = r#"error: not a price in US dollars per million tokens with at most six decimals, such as "3.30"
 --> prices.toml:2:9
  |
2 | input = "3,30"
  |         ^^^^^^ models."acme.x".prices[0].input
  |
  = help: write dollars per million tokens, as AWS's price list has them"#;
    assert_eq!(report, expected);
}

#[test]
fn every_fault_is_reported_with_line_and_column() {
    let text =
        "[models.x]\nalias_fo = \"y\"\n\n[[models.y.prices]]\noutput = 3.30\ntier = \"fast\"\n\n[requests]\nRerank = \"free\"\n";
    assert_eq!(
        problems(text),
        [
            "prices.toml:2:1: models.x.alias_fo: unknown key `alias_fo`; did you mean `alias_of`?",
            "prices.toml:2:12: models.x.alias_of: `y` has no price; name a model that `tollgate prices show` has a price for, or give it `prices` in this file",
            "prices.toml:4:1: models.y.prices[0].input: missing key `input`; add `input`; conf/prices.toml explains it",
            "prices.toml:5:10: models.y.prices[0].output: expected a string, found the number `3.3`; put it in double quotes",
            "prices.toml:6:8: models.y.prices[0].tier: `fast` is not a service tier; write standard, flex, priority or reserved",
            "prices.toml:9:10: requests.Rerank: not a price in US dollars per request; write dollars with at most nine decimals, such as \"0.00015\"",
        ]
    );
    assert!(problems("x = [")[0].contains("not TOML"));
}

#[test]
fn a_bad_price_list_makes_the_configuration_unusable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.toml");
    std::fs::write(&path, GOOD.to_owned() + "[prices]\nfile = \"prices.toml\"\nunpriced = \"refuse\"\n").unwrap();
    let about_prices = || -> Vec<String> {
        let (_, problems) = examine(&path);
        problems.errors().filter(|problem| problem.key_path == "prices.file").map(|problem| problem.message.clone()).collect()
    };
    assert!(about_prices()[0].contains("cannot read the price list"), "{:?}", about_prices());
    let report = examine(&path).1.to_string();
    assert!(report.contains("help: give the path of a readable file") && !report.contains("tollgate prices check"), "{report}");
    std::fs::write(directory.path().join("prices.toml"), "[requests]\nRerank = \"free\"\n").unwrap();
    assert!(about_prices()[0].contains("prices.toml:2:10: requests.Rerank: not a price"), "{:?}", about_prices());
    std::fs::write(directory.path().join("prices.toml"), "[requests]\nRerank = \"0.5\"\n").unwrap();
    assert_eq!(about_prices(), Vec::<String>::new());
    let config = parse(&std::fs::read_to_string(&path).unwrap(), &path).unwrap();
    assert_eq!(config.prices.unpriced, Unpriced::Refuse);
    assert!(config.prices.book().unwrap().request_price("Rerank").is_some());
}
