//! The schema takes what the gateway takes, by a validator that is not ours, and the reference page is the one that it gives.

#![allow(clippy::unwrap_used, clippy::panic)] // nothing here but tests and what they call

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use jsonschema::Validator;
use serde_json::{Value, json};
use tollgate::config::{self, schema};

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn validator(schema: &Value) -> Validator {
    assert!(jsonschema::draft7::meta::is_valid(schema), "{schema:#}");
    jsonschema::draft7::new(schema).unwrap()
}

/// Every setting in force: examples lose their `#`, prose does not.
fn in_full(text: &str) -> String {
    let in_force = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest.to_owned() + "\n",
        _ => line.to_owned() + "\n",
    };
    text.lines().map(in_force).collect()
}

fn json(toml: &str) -> Value {
    toml::from_str::<Value>(toml).unwrap_or_else(|error| panic!("{error}\n{toml}"))
}

fn complaints(validator: &Validator, document: &Value) -> Vec<String> {
    validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Where every value in it is, as JSON pointers.
fn places(value: &Value, at: &str) -> Vec<String> {
    let inner: Vec<String> = match value {
        Value::Object(members) => {
            members.iter().flat_map(|(key, value)| places(value, &format!("{at}/{}", escaped(key)))).collect()
        }
        Value::Array(elements) => {
            elements.iter().enumerate().flat_map(|(i, value)| places(value, &format!("{at}/{i}"))).collect()
        }
        _ => Vec::new(),
    };
    [at.to_owned()].into_iter().chain(inner).collect()
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[test]
fn the_files_that_ship_are_valid() {
    let (configuration, prices) = (validator(&schema::configuration()), validator(&schema::prices()));
    for path in ["conf/tollgate.toml", "conf/packaged.toml", "conf/demo.toml"] {
        assert_eq!(complaints(&configuration, &json(&file(path))), Vec::<String>::new(), "{path}");
    }
    assert_eq!(complaints(&configuration, &json(&in_full(&file("conf/tollgate.toml")))), Vec::<String>::new());
    assert_eq!(complaints(&prices, &json(&in_full(&file("conf/prices.toml")))), Vec::<String>::new());
    let keys = json!({"api_keys": [{"id": "k", "tenant": "acme", "sha256": "00", "expires": "2027-01-31T00:00:00Z"}]});
    assert_eq!(complaints(&validator(&schema::keys()), &keys), Vec::<String>::new());
}

#[test]
fn an_unknown_key_is_refused_in_every_table_that_has_keys_of_its_own() {
    let validator = validator(&schema::configuration());
    let whole = json(&in_full(&file("conf/tollgate.toml")));
    // Of these the operator chooses the keys.
    let own = ["/issuers", "/tenants", "/upstream/endpoints"];
    let own_inside = ["/required_claims", "/tenants"];
    let mut refused = 0;
    for place in places(&whole, "") {
        let mut probed = whole.clone();
        let Some(table) = probed.pointer_mut(&place).and_then(Value::as_object_mut) else { continue };
        if own.contains(&place.as_str()) || (place.starts_with("/issuers/") && own_inside.iter().any(|end| place.ends_with(end)))
        {
            continue;
        }
        table.insert("probe".to_owned(), json!(1));
        assert!(!validator.is_valid(&probed), "{place} takes a key that nobody knows");
        refused += 1;
    }
    assert!(refused > 30, "{refused} tables");
}

/// The schema may be laxer than the gateway, which knows what values mean; an editor that complains of a good file is not believed again.
#[test]
fn what_the_gateway_takes_the_schema_takes() {
    let validator = validator(&schema::configuration());
    let whole = json(&in_full(&file("conf/tollgate.toml")));
    let others = [json!("x"), json!(1), json!(-1), json!(0.5), json!(true), json!([]), json!({})];
    let (mut taken, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for place in places(&whole, "").into_iter().skip(1) {
        for other in &others {
            let mut changed = whole.clone();
            *changed.pointer_mut(&place).unwrap() = other.clone();
            let Ok(toml) = toml::to_string(&changed) else { continue };
            let valid = validator.is_valid(&changed);
            let Err(problems) = config::parse(&toml, Path::new("t.toml")) else {
                assert!(valid, "{place} = {other}: {:?}", complaints(&validator, &changed));
                taken.insert(place.clone());
                continue;
            };
            if !valid {
                refused.insert(place.clone());
                assert!(problems.errors().count() > 0);
            }
        }
    }
    // The test sees both: values that pass, and types that do not.
    assert!(taken.len() > 60 && refused.len() > 100, "{} taken, {} refused", taken.len(), refused.len());
}

#[test]
fn the_reference_page_is_made_from_the_types() {
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate")).args(["schema", "--markdown"]).output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(page == file("docs/configuration.md"), "run: tollgate schema --markdown > docs/configuration.md");
}

#[test]
fn each_file_has_its_schema() {
    for (arguments, title) in
        [(&["schema"][..], "tollgate.toml"), (&["schema", "prices"], "prices.toml"), (&["schema", "keys"], "keys.toml")]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_tollgate")).args(arguments).output().unwrap();
        let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&schema["$schema"], &schema["title"]), (&json!("http://json-schema.org/draft-07/schema#"), &json!(title)));
    }
}
