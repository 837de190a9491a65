//! `tollgate prices` as an operator runs it.

#![allow(clippy::unwrap_used)] // nothing here but tests and what they call

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const CONFIG: &str = r#"
[[listeners]]
address = "127.0.0.1:0"
[upstream]
region = "us-east-1"
[prices]
file = "prices.toml"
[tenants.acme]
models = ["amazon.nova-lite-v1:0", "cohere.embed-v4:0"]
services = ["*"]
operations = ["*"]
"#;

const PRICES: &str = r#"
[[models."amazon.nova-lite-v1:0".prices]]
effective_from = "2026-08-01"
input = "0.05"
output = "0.24"
"#;

fn prices(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.arg("prices").args(arguments).current_dir(directory).env("NO_COLOR", "1").output().unwrap()
}

fn directory(prices: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("tollgate.toml"), CONFIG).unwrap();
    fs::write(directory.path().join("prices.toml"), prices).unwrap();
    directory
}

/// Exit code, standard output, standard error.
fn said(output: Output) -> (Option<i32>, String, String) {
    (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_sound_list_is_summed_up_and_unpriced_models_are_warned_of() {
    let directory = directory(PRICES);
    let (code, out, err) = said(prices(directory.path(), &["check", "-c", "tollgate.toml"]));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("prices.toml: ok, 1 model, 0 prices of requests; genai-prices "), "{out}");
    assert_eq!(
        err,
        "warning: tenants.acme.models[1]: `cohere.embed-v4:0` has no price; `tollgate prices show` says what to write\n"
    );
}

#[test]
fn a_fault_is_pointed_at_with_exit_code_78_by_every_command() {
    let directory = directory(&PRICES.replace("\"0.05\"", "0.05"));
    for arguments in [
        &["check", "-c", "tollgate.toml"][..],
        &["check", "--file", "prices.toml"],
        &["show", "amazon.nova-lite-v1:0", "-c", "tollgate.toml"],
        &["diff", "-c", "tollgate.toml"],
    ] {
        let (code, out, err) = said(prices(directory.path(), arguments));
        assert_eq!((code, out.as_str()), (Some(78), ""), "{err}");
        assert!(
            err.contains("prices.toml:4:9\n") && err.contains("^^^^ models.\"amazon.nova-lite-v1:0\".prices[0].input"),
            "{err}"
        );
    }
}

#[test]
fn a_price_is_shown_of_its_date_and_its_absence_is_exit_code_1() {
    let directory = directory(PRICES);
    let show = |arguments: &[&str]| said(prices(directory.path(), &[&["show", "-c", "tollgate.toml"], arguments].concat()));
    let (code, out, _) = show(&["amazon.nova-lite-v1:0", "--at", "2026-07-31"]);
    assert!(code == Some(0) && out.contains(" 0.06 ") && out.contains("changes at 2026-08-01T00:00:00Z"), "{out}");
    let (code, out, _) = show(&["amazon.nova-lite-v1:0", "--at", "2026-08-01"]);
    assert!(code == Some(0) && out.contains(" 0.05 ") && out.contains("  prices.toml\n"), "{out}");
    let (code, out, _) = show(&["cohere.embed-v4:0"]);
    assert!(code == Some(1) && out.starts_with("cohere.embed-v4:0: no price at "), "{out}");
}

#[test]
fn differences_have_both_figures() {
    let directory = directory(PRICES);
    let (code, out, _) = said(prices(directory.path(), &["diff", "-c", "tollgate.toml"]));
    let nova = "amazon.nova-lite-v1:0: standard";
    let expected = format!(
        "{nova} input 0.06 → 0.05\n{nova} cache_read 0.015 → 0.05\n{nova} cache_write 0.06 → 0.05\n{nova} cache_write_1h 0.12 → 0.10\n"
    );
    assert_eq!((code, out), (Some(0), expected));
}

#[test]
fn what_a_name_stands_for_by_profiles_has_its_price() {
    let directory = directory(PRICES);
    let (profile, other) =
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/x", "arn:aws:bedrock:us-east-1:1:imported-model/y");
    let models = format!("models = [\"{profile}\", \"{other}\"]");
    let config = CONFIG.replace("models = [\"amazon.nova-lite-v1:0\", \"cohere.embed-v4:0\"]", &models)
        + &format!("[profiles]\n\"{profile}\" = \"amazon.nova-lite-v1:0\"\n\"{other}\" = \"acme.y\"\n");
    fs::write(directory.path().join("tollgate.toml"), config).unwrap();
    let (code, out, err) = said(prices(directory.path(), &["show", "-c", "tollgate.toml", profile]));
    assert!(code == Some(0) && out.starts_with(&format!("{profile} stands for amazon.nova-lite-v1:0\n")), "{out}{err}");
    assert!(out.contains(" 0.05 ") && out.contains("max output tokens  10000\n"), "{out}");
    let (code, out, _) = said(prices(directory.path(), &["show", "-c", "tollgate.toml", other]));
    assert!(code == Some(1) && out.contains("[[models.\"acme.y\".prices]]"), "{out}");
    let (code, _, err) = said(prices(directory.path(), &["check", "-c", "tollgate.toml"]));
    let warning = format!("tenants.acme.models[1]: `{other}`, which stands for `acme.y`, has no price");
    assert!(code == Some(0) && err.matches("warning: ").count() == 1 && err.contains(&warning), "{err}");
}
