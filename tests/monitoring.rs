//! Dashboard and alerts ask for metrics that exist, by labels that they have, and every alert has its section in the runbook.
//! `tests/monitoring` has promtool judge the same files.

#![allow(clippy::unwrap_used)] // nothing here but tests and what they call

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tollgate::telemetry::Metrics;

const ALERTS: &str = include_str!("../monitoring/alerts.yml");
const ALERT_TESTS: &str = include_str!("../monitoring/alerts.test.yml");
const DASHBOARD: &str = include_str!("../monitoring/dashboard.json");
const RUNBOOK: &str = include_str!("../monitoring/runbook.md");

/// Labels that Prometheus adds when it scrapes.
const SCRAPED: [&str; 2] = ["instance", "job"];

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// The labels in `{a="x", b=~"y"}`: what stands in front of an operator.
fn matched(selector: &str) -> impl Iterator<Item = &str> {
    let outside_quotes = selector.split('"').step_by(2);
    outside_quotes.map(|piece| piece.trim_matches(|c: char| !is_name(c))).filter(|name| !name.is_empty())
}

/// Every metric of ours that a query asks for, with the labels it is asked by.
fn asked(query: &str) -> Vec<(&str, Vec<&str>)> {
    let starts = query.match_indices("tollgate_").map(|(start, _)| start);
    starts
        .map(|start| {
            let name = query[start..].split(|c| !is_name(c)).next().unwrap();
            let selector = query[start + name.len()..].strip_prefix('{').and_then(|rest| rest.split('}').next());
            (name, selector.map_or(Vec::new(), |selector| matched(selector).collect()))
        })
        .collect()
}

/// The labels that `by (a, b)` keeps.
fn grouped(query: &str) -> impl Iterator<Item = &str> {
    let lists = query.split("by (").skip(1).map(|rest| rest.split(')').next().unwrap());
    lists.flat_map(|list| list.split(',').map(str::trim))
}

/// A histogram's series, back to the histogram; `le` is a label of its buckets.
fn labels_of<'a>(table: &'a BTreeMap<String, Vec<String>>, name: &str) -> Option<(&'a [String], bool)> {
    let base = |suffix| name.strip_suffix(suffix).and_then(|base| table.get(base));
    let whole = table.get(name).map(|labels| (&labels[..], false));
    whole.or_else(|| base("_bucket").map(|l| (&l[..], true))).or_else(|| {
        let summed = base("_sum").or_else(|| base("_count"))?;
        Some((&summed[..], false))
    })
}

/// What is wrong with a query, and the legend that is written with its labels.
fn faults(query: &str, legend: &str) -> Vec<String> {
    let metrics = Metrics::new().unwrap();
    let table = metrics.labels();
    let mut faults = Vec::new();
    let mut known = BTreeSet::from(SCRAPED);
    for (name, selected) in asked(query) {
        let Some((labels, buckets)) = labels_of(table, name) else {
            faults.push(format!("no metric {name}"));
            continue;
        };
        let own: BTreeSet<&str> = labels.iter().map(String::as_str).chain(SCRAPED).chain(buckets.then_some("le")).collect();
        faults.extend(selected.iter().filter(|label| !own.contains(*label)).map(|label| format!("{name} has no label {label}")));
        known.extend(own);
    }
    let kept: BTreeSet<&str> = grouped(query).collect();
    faults.extend(kept.difference(&known).map(|label| format!("nothing has the label {label}")));
    let shown = legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap());
    let survives = |label: &&str| if kept.is_empty() { known.contains(label) } else { kept.contains(label) };
    faults.extend(shown.filter(|label| !survives(label)).map(|label| format!("the legend shows {label}, which is gone")));
    faults
}

/// `(alert, expression)` of every rule; an expression ends where the rule's next key begins.
fn rules() -> Vec<(&'static str, String)> {
    let rules = ALERTS.split("- alert: ").skip(1);
    rules
        .map(|rule| {
            let (name, rest) = rule.split_once('\n').unwrap();
            let expression = rest.split("expr: ").nth(1).unwrap();
            let end = [" for: ", " labels: "].iter().filter_map(|key| expression.find(key)).min().unwrap();
            (name, expression[..end].to_owned())
        })
        .collect()
}

/// `(panel, query, legend)` of every query of the dashboard.
fn queries() -> Vec<(String, String, String)> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let panels = dashboard["panels"].as_array().unwrap();
    let with_queries = panels.iter().filter_map(|panel| Some((panel, panel["targets"].as_array()?)));
    with_queries
        .flat_map(|(panel, targets)| {
            targets.iter().map(move |target| (text(&panel["title"]), text(&target["expr"]), text(&target["legendFormat"])))
        })
        .collect()
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let queries = queries();
    assert!(queries.len() > 30, "{} queries found", queries.len());
    for (panel, query, legend) in queries {
        assert!(query.contains("tollgate"), "{panel}: {query}");
        assert_eq!(faults(&query, &legend), Vec::<String>::new(), "{panel}: {query}");
    }
}

#[test]
fn the_dashboards_variables_ask_for_what_there_is() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let metrics = Metrics::new().unwrap();
    let table = metrics.labels();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let definitions: Vec<&str> = variables.iter().filter_map(|variable| variable["definition"].as_str()).collect();
    assert_eq!(definitions.len(), 2);
    for definition in definitions {
        let (metric, label) = definition.strip_prefix("label_values(").unwrap().trim_end_matches(')').split_once(", ").unwrap();
        let labels = table.get(metric).unwrap_or_else(|| panic!("no metric {metric}"));
        assert!(SCRAPED.contains(&label) || labels.iter().any(|l| l == label), "{definition}");
    }
}

#[test]
fn the_alerts_ask_for_what_there_is() {
    let rules = rules();
    assert_eq!(rules.len(), ALERTS.matches("- alert: ").count());
    for (alert, expression) in rules {
        assert!(alert == "TollgateDown" || !asked(&expression).is_empty(), "{alert}");
        assert_eq!(faults(&expression, ""), Vec::<String>::new(), "{alert}: {expression}");
    }
}

#[test]
fn every_alert_has_a_severity_a_section_in_the_runbook_and_a_test() {
    let sections: BTreeSet<String> = RUNBOOK.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_lowercase).collect();
    let mut used = BTreeSet::new();
    for rule in ALERTS.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap();
        assert!(rule.contains("severity: critical") || rule.contains("severity: warning"), "{name}");
        assert!(rule.contains("summary: ") && rule.contains("description: "), "{name}");
        let section = rule.split("runbook: \"runbook.md#").nth(1).unwrap().split('"').next().unwrap().to_owned();
        assert!(sections.contains(&section), "{name}: the runbook has no {section}");
        assert!(RUNBOOK.contains(name), "{name} is not in the runbook");
        used.insert(section);
        // One test where it fires; promtool compares what it says.
        let fires = |test: &str| test.starts_with(&format!("{name}\n")) && test.trim_start_matches(name).contains("exp_labels");
        assert!(ALERT_TESTS.split("alertname: ").any(fires), "{name} fires in no test");
    }
    assert_eq!(sections, used, "sections without an alert");
}

#[test]
fn what_does_not_exist_is_found() {
    assert_eq!(faults("rate(tollgate_request_total[5m])", ""), ["no metric tollgate_request_total"]);
    assert_eq!(faults("tollgate_ready{tenant=\"a\"}", ""), ["tollgate_ready has no label tenant"]);
    assert_eq!(faults("sum by (tenent) (tollgate_requests_total)", ""), ["nothing has the label tenent"]);
    assert_eq!(faults("sum by (le) (tollgate_requests_total)", ""), ["nothing has the label le"]);
    let lost = faults("sum by (model) (tollgate_tokens_total)", "{{model}} {{kind}}");
    assert_eq!(lost, ["the legend shows kind, which is gone"]);
}
