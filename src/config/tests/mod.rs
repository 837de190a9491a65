//! Whole files, and what is said about them.

mod client_principals;
mod files;
mod mutations;
mod policy;
mod prices;
mod quotas;
mod reference;
mod roles;
mod values;
mod vending;

use std::path::Path;

use super::*;

/// Enough to be usable, without any file.
const GOOD: &str = r#"
[[listeners]]
address = "127.0.0.1:8080"

[upstream]
region = "us-east-1"

[issuers.corporate]
issuer = "https://idp.example"
audiences = ["bedrock"]
key_set = { url = "https://idp.example/keys" }

[tenants.acme]
models = ["*"]
services = ["*"]
operations = ["Converse*"]
limits = { requests_per_minute = 60 }
"#;

/// Nine faults of nine kinds, among sound lines.
const BROKEN: &str = include_str!("broken.toml");

fn examined(text: &str) -> Problems {
    read::examine_text(text, Path::new("t.toml"), None).1
}

/// The only problem of `GOOD` with a replacement made: where, and the message with its help.
fn only_problem(from: &str, to: &str) -> (usize, usize, String, String) {
    assert!(GOOD.contains(from), "{from}");
    let problems = examined(&GOOD.replacen(from, to, 1));
    assert_eq!(problems.iter().count(), 1, "{from} → {to}\n{problems}");
    let problem = problems.iter().next().unwrap();
    let (line, column) = problems.position(problem).unwrap();
    (line, column, problem.key_path.clone(), format!("{}; {}", problem.message, problem.help))
}

#[test]
fn what_has_to_be_mended_is_said_before_what_is_only_warned_of() {
    let text = GOOD.replace("[issuers", "[log]\nlevel = \"h2=trace\"\n[issuers") + "bogus = 1\n";
    let problems = examined(&text);
    assert_eq!((problems.errors().count(), problems.warnings().count()), (1, 1), "{problems}");
    assert!(problems.to_string().starts_with("error: "), "{problems}");
    assert!(problems.render(false).starts_with("warning: "), "`check` goes by the file: {problems}");
}

#[test]
fn a_good_file_has_no_problems() {
    let problems = examined(GOOD);
    assert_eq!(problems.to_string(), "");
    let config = parse(GOOD, Path::new("/etc/tollgate/t.toml")).unwrap();
    assert_eq!(config.tenants["acme"].limits.requests_per_minute, Some(60));
}

#[test]
fn every_fault_of_a_broken_file_is_reported_in_the_order_of_its_lines() {
    let problems = examined(BROKEN);
    let found: Vec<_> =
        problems.iter().map(|p| (problems.position(p).unwrap().0, p.key_path.as_str(), p.help.as_str())).collect();
    let expected = [
        (2, "listeners[0].adress", "did you mean `address`?"),
        (5, "upstream.region", "write it as AWS does: `us-east-1`; a zone's letter does not belong to it"),
        (6, "upstream.fips", "write `true` or `false` without quotes"),
        (9, "bodies.in_flight_bytes_max", "raise it to at least `bytes_max`, better to many times that"),
        (11, "issuers.corporate.audiences", "add `audiences`; conf/tollgate.toml explains it"),
        (
            14,
            "issuers.corporate.algorithms[1]",
            "signatures with public keys are accepted: `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384` or `EdDSA`",
        ),
        (17, "tenants.acme.models", "write it in brackets, also if it is only one: `[\"…\"]`"),
        (18, "tenants.acme.services[0]", "did you mean `bedrock-runtime`?"),
        (19, "tenants.acme.operations[0]", "did you mean `ConverseStream`?"),
        (22, "tenants.acme.limits.requests_per_minut", "did you mean `requests_per_minute`?"),
        (23, "tenants.acme.limits.concurrent_requests", "write a number without quotes or unit"),
    ];
    assert_eq!(found, expected, "{problems}");
}

#[test]
fn a_report_points_and_advises_as_rustc_does() {
    let report = examined(&GOOD.replace("models =", "modles =")).to_string();
    let expected = r#"error: unknown key `modles`
  --> t.toml:14:1
   |
14 | modles = ["*"]
   | ^^^^^^ tenants.acme.modles
   |
   = help: did you mean `models`?"#;
    assert_eq!(report, expected);
}

#[test]
fn what_is_in_a_mistyped_section_is_checked_and_not_called_missing() {
    let problems = examined(&GOOD.replace("[[listeners]]", "[[listener]]").replace("127.0.0.1:8080", "localhost:8080"));
    let found: Vec<_> = problems.iter().map(|p| p.message.as_str()).collect();
    assert_eq!(found, ["unknown key `listener`", "not an IP address and a port: the string `localhost:8080`"], "{problems}");
}

#[test]
fn a_key_written_twice_does_not_hide_what_follows() {
    let text =
        GOOD.replace("region = \"us-east-1\"", "region = \"us-east-1\"\nregion = \"us-west-2\"").replace("models", "modles");
    let problems = examined(&text);
    let lines: Vec<_> = problems.iter().map(|p| problems.position(p).unwrap().0).collect();
    assert_eq!(lines, [7, 15], "{problems}");
}

#[test]
fn a_section_of_which_there_may_be_many_is_told_to_have_double_brackets() {
    let (_, _, path, text) = only_problem("[[listeners]]", "[listeners]");
    assert!(path == "listeners" && text.contains("write `[[listeners]]`, in double brackets"), "{path}: {text}");
    let quota = "limits = { requests_per_minute = 60 }\n[tenants.acme.quotas]\ntokens_per_day = 5\n";
    let (_, _, path, text) = only_problem("limits = { requests_per_minute = 60 }", quota);
    assert!(path == "tenants.acme.quotas" && text.contains("`[[tenants.acme.quotas]]`"), "{path}: {text}");
    let (_, _, _, text) = only_problem("models = [\"*\"]", "models = { a = 1 }");
    assert!(text.contains("also if it is only one"), "{text}");
    let report = parse_prices("[models.\"a.b\".prices]\ninput = \"1\"\n", Path::new("p.toml")).unwrap_err().to_string();
    assert!(report.contains("`[[models.\"a.b\".prices]]`"), "{report}");
}

#[test]
fn every_array_of_tables_is_known_to_be_one() {
    fn arrays(schema: &serde_json::Value, found: &mut std::collections::BTreeSet<String>) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let items = property["items"]["$ref"].as_str().and_then(|items| items.rsplit('/').next());
            if items.is_some_and(|items| items != "Algorithm") {
                found.insert(key.clone());
            }
        }
        let children = schema.as_object().into_iter().flatten().map(|(_, value)| value);
        children.chain(schema.as_array().into_iter().flatten()).for_each(|child| arrays(child, found));
    }
    let mut found = Default::default();
    arrays(&schema::configuration(), &mut found);
    arrays(&schema::prices(), &mut found);
    assert_eq!(found, fault::SECTIONS.map(str::to_owned).into());
}

#[test]
fn a_bracket_that_is_not_closed_is_one_problem_that_names_its_line() {
    let places = |text: &str| {
        let problems = examined(text);
        let found: Vec<_> =
            problems.iter().map(|p| (problems.position(p).unwrap().0, format!("{}; {}", p.message, p.help))).collect();
        let [(line, text)] = found.as_slice() else { panic!("{problems}") };
        (*line, text.clone())
    };
    let (line, text) = places(&GOOD.replace("[\"bedrock\"]", "[\"bedrock\""));
    assert_eq!(line, 11, "{text}");
    assert!(text.contains("more that may follow from it") && text.contains("`[` on line 10 has not ended here"), "{text}");
    let reference = reference::reference_in_full();
    let (guilty, _) = reference.lines().enumerate().find(|(_, line)| line.starts_with("allow_from = [")).unwrap();
    let (_, text) = places(&reference.replacen("\nallow_from = [", "\nallow_from = [[", 1));
    assert!(text.contains(&format!("`[` on line {} has", guilty + 1)), "{text}");
    let (line, text) = places(&GOOD.replace('\n', "\r"));
    assert!(line == 1 && text.contains("end in CR alone"), "{line}: {text}");
    assert_eq!(examined(&GOOD.replace('\n', "\r\n")).to_string(), "");
}

#[test]
fn bad_syntax_is_reported_with_the_parsers_words_and_place() {
    let (line, column, path, text) = only_problem("region = \"us-east-1\"", "region = us-east-1");
    assert_eq!((line, column, path.as_str()), (6, 10, ""));
    assert!(text.starts_with("not TOML: string values must be quoted"), "{text}");
}
