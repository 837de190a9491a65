//! `tollgate check` as an operator runs it.

#![allow(clippy::unwrap_used)] // nothing here but tests and what they call

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// Nine faults of nine kinds.
const BROKEN: &str = include_str!("../src/config/tests/broken.toml");

fn check(flags: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate")).args(flags).arg(file).env("NO_COLOR", "1").output().unwrap()
}

#[test]
fn every_fault_is_reported_in_the_order_of_its_lines_with_exit_code_78() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("broken.toml");
    fs::write(&file, BROKEN).unwrap();
    let output = check(&["check", "-c"], &file);
    let report = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{report}");
    assert!(output.stdout.is_empty());
    let places: Vec<&str> =
        report.lines().filter_map(|line| line.trim().strip_prefix("--> ")?.split_once(".toml:")).map(|p| p.1).collect();
    let expected = ["2:1", "5:10", "6:8", "9:23", "11:1", "14:24", "17:10", "18:13", "19:15", "22:1", "23:23"];
    assert_eq!(places, expected, "{report}");
    assert!(report.contains("22 | requests_per_minut = 5\n"), "{report}");
    assert!(report.contains("   | ^^^^^^^^^^^^^^^^^^ tenants.acme.limits.requests_per_minut\n"), "{report}");
    assert!(report.contains("help: did you mean `requests_per_minute`?\n"), "{report}");
    assert!(report.ends_with("broken.toml: 10 errors, 1 warning\n"), "{report}");
    assert!(!report.contains('\u{1b}'), "colour in {report:?}");
}

#[test]
fn a_sound_file_is_summed_up_on_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/tollgate.toml");
    let text = fs::read_to_string(reference).unwrap();
    let tls = "[listeners.tls]\n";
    assert!(text.contains(tls));
    // Without the files that the reference names.
    let names_file = |line: &&str| line.starts_with("certificate_file") || line.starts_with("private_key_file");
    let text: String = text.lines().filter(|line| !names_file(line)).map(|line| line.to_owned() + "\n").collect();
    let plaintext = text.replace(tls, "").replace("#allow_plaintext_off_loopback = false", "allow_plaintext_off_loopback = true");
    let file = directory.path().join("tollgate.toml");
    fs::write(&file, plaintext).unwrap();
    let output = check(&["check", "--config"], &file);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{}: ok, 2 tenants, 1 issuer, 1 listener\n", file.display()));
    assert!(output.stderr.is_empty());
}
