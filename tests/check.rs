//! `tollgate check` as an operator runs it.

#![allow(clippy::unwrap_used)] // nothing here but tests and what they call

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Nine faults of nine kinds.
const BROKEN: &str = include_str!("../src/config/tests/broken.toml");

/// 32 bytes in base64.
const SEALING: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// A file that nobody else may look into.
fn write_private(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

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

#[test]
fn the_line_break_behind_a_secret_is_no_part_of_it_and_one_within_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tollgate.toml");
    let text = r#"
        listeners = [{ address = "127.0.0.1:0" }]
        upstream = { region = "us-east-1" }
        [credentials]
        access_key_id = "AKIDEXAMPLE"
        secret_access_key = { env = "OUR_KEY" }
        session_token = { env = "OUR_TOKEN" }
    "#;
    fs::write(&file, text).unwrap();
    for (key, token, says) in [
        ("wJalr\n", "FwoGZ\r\n", None),
        ("wJalr", "FwoGZ\nXyz", Some("credentials.session_token")),
        ("wJalr XUt", "FwoGZ", Some("credentials.secret_access_key")),
        ("\n", "FwoGZ", Some("is empty")),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        let output = command.args(["check", "-c"]).arg(&file).env("OUR_KEY", key).env("OUR_TOKEN", token).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(if says.is_some() { 78 } else { 0 }), "{told}");
        assert!(says.is_none_or(|says| told.contains(says)), "{told}");
        assert!(!told.contains("wJalr") && !told.contains("FwoGZ"), "{told}");
    }
}

/// A configuration whose keys file has one key of each kind, and the file.
fn with_keys(directory: &Path) -> (PathBuf, String) {
    let (config, keys) = (directory.join("tollgate.toml"), directory.join("keys.toml"));
    let text = r#"
        listeners = [{ address = "127.0.0.1:0" }]
        admin = { address = "127.0.0.1:0" }
        upstream = { region = "us-east-1" }
        vending = { sealing_keys = [{ id = "a", secret = { file = "sealing" } }] }
        [keys]
        file = "keys.toml"
        [tenants.acme]
        models = ["*"]
        services = ["*"]
        operations = ["*"]
    "#;
    fs::write(&config, text).unwrap();
    write_private(&directory.join("sealing"), SEALING);
    write_private(&keys, "");
    for flags in [&[][..], &["--api"]] {
        let made = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["key", "new", "--tenant", "acme", "--add", "-c"])
            .arg(&config)
            .args(flags)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    (config, fs::read_to_string(keys).unwrap())
}

#[test]
fn keys_that_no_gateway_would_start_with_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let (config, keys) = with_keys(directory.path());
    assert_eq!(check(&["check", "-c"], &config).status.code(), Some(0));
    let sealed = keys.lines().find(|line| line.starts_with("sealed_secret")).unwrap();
    let hash = keys.lines().find(|line| line.starts_with("sha256")).unwrap();
    for (from, to, says) in [
        (sealed, "sealed_secret = \"x\"", "does not open"),
        ("id = \"TGAK", "id = \"AKIA", "has an id that this gateway does not make"),
        (hash, "sha256 = \"zz\"", "has no `sha256` of 64 hexadecimal digits"),
        ("tenant = \"acme\"", "tenant = \"globex\"", "its id, tenant or principal was changed"),
    ] {
        write_private(&directory.path().join("keys.toml"), &keys.replacen(from, to, 1));
        for command in ["check", "run"] {
            let output = check(&[command, "-c"], &config);
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(78), "{command}: {told}");
            assert_eq!(told.matches(says).count(), 1, "{command}: {told}");
        }
        let report = String::from_utf8(check(&["check", "-c"], &config).stderr).unwrap();
        assert!(report.contains("^ keys.file"), "{report}");
    }
    // All that another sealing key voids, and what is wrong besides.
    write_private(&directory.path().join("keys.toml"), &keys.replacen(hash, "sha256 = \"zz\"", 1));
    write_private(&directory.path().join("sealing"), &SEALING.replacen("AQEB", "AgEB", 1));
    let report = String::from_utf8(check(&["check", "-c"], &config).stderr).unwrap();
    assert!(report.ends_with(": 2 errors\n"), "{report}");
}

/// The commands that read the keys file, `check` first.
const READERS: [&[&str]; 6] = [
    &["check"],
    &["run"],
    &["verify-token", "--token", "x"],
    &["explain", "--token", "x", "--model", "amazon.nova-lite-v1:0"],
    &["explain", "--key", "x", "--model", "amazon.nova-lite-v1:0"],
    &["key", "new", "--tenant", "acme", "--add"],
];

#[test]
fn every_command_says_the_same_of_a_bad_keys_file() {
    let directory = tempfile::tempdir().unwrap();
    let (config, keys) = with_keys(directory.path());
    let file = directory.path().join("keys.toml");
    let sealed = keys.lines().find(|line| line.starts_with("sealed_secret")).unwrap();
    let hash = keys.lines().find(|line| line.starts_with("sha256")).unwrap();
    for bad in ["nonsense = [", &keys.replacen(hash, "sha256 = \"zz\"", 1), &keys.replacen(sealed, "sealed_secret = \"x\"", 1)] {
        write_private(&file, bad);
        let told = READERS.map(|words| {
            let output = check(&[words, &["-c"]].concat(), &config);
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0), "{words:?}: {told}");
            let report = told.lines().skip_while(|line| !line.starts_with("error: ")).take_while(|line| !line.is_empty());
            report.map(str::to_owned).collect::<Vec<_>>()
        });
        assert!(told[0].iter().any(|line| line.ends_with("^ keys.file")), "{told:#?}");
        assert!(told.iter().all(|one| *one == told[0]), "{told:#?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), bad, "nothing is added to it");
    }
    // An API key is nothing that seals.
    write_private(&file, &keys);
    write_private(&directory.path().join("sealing"), "short");
    assert_eq!(check(&["key", "new", "--tenant", "acme", "--add", "-c"], &config).status.code(), Some(78));
    assert_eq!(check(&["key", "new", "--tenant", "acme", "--add", "--api", "-c"], &config).status.code(), Some(0));
}

#[test]
fn a_ledger_that_is_some_other_file_is_an_error_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (config, _) = with_keys(directory.path());
    let text = fs::read_to_string(&config).unwrap() + "\n[ledger]\nfile = \"ledger.sqlite\"\n";
    fs::write(&config, text).unwrap();
    assert_eq!(check(&["check", "-c"], &config).status.code(), Some(0), "one that is not there is made");
    let (ledger, other) = (directory.path().join("ledger.sqlite"), "Dear diary, ".repeat(100));
    write_private(&ledger, &other);
    // The unit starts nothing again that ends with 78.
    for command in ["check", "run"] {
        let output = check(&[command, "-c"], &config);
        let report = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{command}: {report}");
        assert!(report.contains("is not a tollgate ledger") && report.contains("^ ledger.file"), "{command}: {report}");
        assert_eq!(fs::read_to_string(&ledger).unwrap(), other);
    }
}

#[test]
fn a_ledger_with_another_name_is_an_error_and_one_that_cannot_be_opened_now_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let (config, _) = with_keys(directory.path());
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\n[ledger]\nfile = \"ledger.sqlite\"\n")).unwrap();
    let ledger = directory.path().join("ledger.sqlite");
    write_private(&ledger, "");
    fs::hard_link(&ledger, directory.path().join("copy")).unwrap();
    for command in ["check", "run"] {
        let output = check(&[command, "-c"], &config);
        let report = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{command}: {report}");
        assert!(report.contains("has 2 names (hard links)") && report.contains("^ ledger.file"), "{command}: {report}");
    }
    fs::write(&config, format!("{text}\n[ledger]\nfile = \"not/there/ledger.sqlite\"\n")).unwrap();
    assert_eq!(check(&["run", "-c"], &config).status.code(), Some(1));
}
