//! Files that are named in a configuration.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::{
    super::{Problems, read::examine_text},
    GOOD,
};

/// A directory with a certificate, its key, a key set and a secret.
fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 1);
    let key = KeyPair::generate().unwrap();
    write(&directory, "server.pem", &params.self_signed(&key).unwrap().pem());
    write(&directory, "server.key", &key.serialize_pem());
    write(&directory, "other.key", &KeyPair::generate().unwrap().serialize_pem());
    write(&directory, "keys.json", r#"{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}"#);
    write(&directory, "secret", "wJalrXUtnFEMI\n");
    write(&directory, "empty", "");
    directory
}

fn write(directory: &TempDir, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = directory.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
}

fn with_files() -> String {
    GOOD.replace(
        "[upstream]",
        "tls = { certificate_file = \"server.pem\", private_key_file = \"server.key\" }\n\n\
         [credentials]\naccess_key_id = \"AKID\"\nsecret_access_key = { file = \"secret\" }\n\n\
         [upstream]\nca_file = \"server.pem\"",
    )
    .replace("{ url = \"https://idp.example/keys\" }", "{ file = \"keys.json\" }")
}

fn examined_in(directory: &TempDir, text: &str, year: u64) -> Problems {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_557_600);
    examine_text(text, &directory.path().join("t.toml"), Some(now)).1
}

#[test]
fn the_state_directory_is_the_gateways_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = directory();
    let state = directory.path().join("state");
    let text = format!("state_directory = \"state\"\n{}", with_files());
    let says = || examined_in(&directory, &text, 2026).lines().map(|(_, line)| line).collect::<String>();
    assert_eq!(says(), ""); // it will be made
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(says(), "");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o770)).unwrap();
    assert!(says().contains("state_directory: others can put files there"), "{}", says());
    fs::remove_dir(&state).unwrap();
    fs::write(&state, "").unwrap();
    assert!(says().contains("is not a directory"), "{}", says());
}

#[test]
fn sound_files_have_no_problems() {
    let directory = directory();
    assert_eq!(examined_in(&directory, &with_files(), 2026).to_string(), "");
}

#[test]
fn each_bad_file_is_reported_where_it_is_named() {
    let directory = directory();
    let cases = [
        (
            "certificate_file = \"server.pem\"",
            "certificate_file = \"none.pem\"",
            "listeners[0].tls.certificate_file",
            "cannot read",
        ),
        (
            "certificate_file = \"server.pem\"",
            "certificate_file = \"server.key\"",
            "listeners[0].tls.certificate_file",
            "no certificate",
        ),
        (
            "certificate_file = \"server.pem\"",
            "certificate_file = \".\"",
            "listeners[0].tls.certificate_file",
            "not a regular file",
        ),
        ("\"server.key\"", "\"other.key\"", "listeners[0].tls.private_key_file", "does not belong to the certificate"),
        ("\"server.key\"", "\"server.pem\"", "listeners[0].tls.private_key_file", "no private key"),
        ("\"server.key\" }", "\"server.key\", client_ca_file = \"empty\" }", "listeners[0].tls.client_ca_file", "no certificate"),
        (
            "\"server.key\" }",
            "\"server.key\", certificates = [{ certificate_file = \"none.pem\", private_key_file = \"server.key\" }] }",
            "listeners[0].tls.certificates[0].certificate_file",
            "cannot read",
        ),
        ("ca_file = \"server.pem\"", "ca_file = \"empty\"", "upstream.ca_file", "no certificate"),
        ("file = \"keys.json\"", "file = \"secret\"", "issuers.corporate.key_set.file", "not a key set"),
        ("{ file = \"secret\" }", "{ file = \"empty\" }", "credentials.secret_access_key.file", "empty"),
        (
            "{ file = \"secret\" }",
            "{ env = \"TOLLGATE_TEST_UNSET\" }",
            "credentials.secret_access_key.env",
            "the environment has no",
        ),
        ("{ file = \"secret\" }", "{ env = \"A=B\" }", "credentials.secret_access_key.env", "not the name of"),
    ];
    for (from, to, path, says) in cases {
        let text = with_files();
        assert!(text.contains(from), "{from}");
        let problems = examined_in(&directory, &text.replacen(from, to, 1), 2026);
        let found: Vec<_> = problems.errors().map(|p| p.key_path.as_str()).collect();
        assert_eq!(found, [path], "{problems}");
        assert!(problems.to_string().contains(says), "{problems}");
        assert!(!problems.to_string().contains("wJalr"), "a secret in {problems}");
    }
}

#[test]
fn a_certificate_out_of_its_time_is_warned_about() {
    let directory = directory();
    for (year, says) in [(2032, "expired on 2030-01-01"), (2030, "renew it now"), (2018, "not valid before 2020-01-01")] {
        let problems = examined_in(&directory, &with_files(), year);
        assert_eq!(problems.errors().count(), 0, "{problems}");
        assert!(problems.to_string().contains(says), "{problems}");
    }
}

#[test]
fn a_secret_that_everybody_can_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let directory = directory();
    for name in ["server.key", "secret"] {
        fs::set_permissions(directory.path().join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let problems = examined_in(&directory, &with_files(), 2026);
    let found: Vec<_> = problems.warnings().map(|p| p.key_path.as_str()).collect();
    assert_eq!(found, ["listeners[0].tls.private_key_file", "credentials.secret_access_key.file"], "{problems}");
}

#[test]
fn a_key_set_with_private_keys_is_warned_about() {
    let directory = directory();
    write(&directory, "keys.json", r#"{"keys": [{"kty": "EC", "d": "AA"}]}"#);
    assert!(examined_in(&directory, &with_files(), 2026).to_string().contains("private keys in it"));
}

#[test]
fn a_secret_in_place_of_its_variables_name_is_not_told() {
    for (name, shown) in [("hunter2", "no variable of this name"), ("NOBODY_SET_THIS", "no `NOBODY_SET_THIS`")] {
        let directory = directory();
        let text = with_files().replace("{ file = \"secret\" }", &format!("{{ env = \"{name}\" }}"));
        let report = examined_in(&directory, &text, 2026).to_string();
        assert!(report.contains(shown) && !report.contains("hunter2"), "{report}");
        let told = crate::config::Secret::Env(name.to_owned()).read().unwrap_err().to_string();
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_a_problem_like_others() {
    let directory = directory();
    let problems = super::super::read(&directory.path().join("none.toml")).unwrap_err();
    assert!(problems.to_string().contains("cannot read the configuration: No such file"), "{problems}");
    fs::write(directory.path().join("latin1.toml"), b"a = 1\nb = \"\xe9\"\n").unwrap();
    let problems = super::super::read(&directory.path().join("latin1.toml")).unwrap_err();
    let problem = problems.iter().next().unwrap();
    assert_eq!(problems.position(problem), Some((2, 6)), "{problems}");
    assert!(problems.to_string().contains("the configuration is not UTF-8 from here on"), "{problems}");
    let device = super::super::read(Path::new("/dev/zero")).unwrap_err().to_string();
    assert!(device.contains("cannot read the configuration: it is a device"), "{device}");
    let large = directory.path().join("large.toml");
    fs::File::create(&large).unwrap().set_len((16 << 20) + 1).unwrap();
    assert!(super::super::read(&large).unwrap_err().to_string().contains("over 16 MiB"));
}
