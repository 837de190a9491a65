//! `[vending]`, `[keys]` and the file of keys.

use std::{fs, os::unix::fs::PermissionsExt, time::SystemTime};

use tempfile::TempDir;

use super::{super::read::examine_text, GOOD, examined};

const VENDING: &str = "[vending]\nsealing_keys = [{ id = \"a\", secret = { file = \"sealing\" } }]\n";
const KEYS: &str = "[keys]\nfile = \"keys.toml\"\n";
const API_KEY: &str = "[[api_keys]]\nid = \"k\"\ntenant = \"acme\"\nsha256 = \"00\"\n";
const ACCESS_KEY: &str = "[[access_keys]]\nid = \"TGAK\"\ntenant = \"acme\"\nsealed_secret = \"tgk1.a.x\"\n";

#[test]
fn values_that_vend_nothing_are_found() {
    assert_eq!(examined(&format!("{GOOD}{VENDING}")).to_string(), "");
    for (from, to, path, words) in [
        ("[{ id = \"a\", secret = { file = \"sealing\" } }]", "[]", "vending.sealing_keys", "no key"),
        ("[vending]", "[vending]\nsts = false\ncontainer_credentials = false", "vending", "both ways are off"),
        ("\"a\"", "\"a.b\"", "vending.sealing_keys[0].id", "not an id"),
        ("} }]", "} }, { id = \"a\", secret = { env = \"B\" } }]", "vending.sealing_keys[1].id", "another key"),
        ("} }]", "} }]\nlifetime_seconds = 0", "vending.lifetime_seconds", "not a lifetime"),
        ("} }]", "} }]\nlifetime_seconds = 43201", "vending.lifetime_seconds", "not a lifetime"),
        ("} }]", "} }]\nlifetime_seconds = 60", "vending.lifetime_seconds", "so short"),
        ("{ file = \"sealing\" }", "\"AQEB\"", "vending.sealing_keys[0].secret", "expected a table"),
    ] {
        let problems = examined(&format!("{GOOD}{}", VENDING.replacen(from, to, 1)));
        let found: Vec<_> = problems.iter().map(|problem| (problem.key_path.as_str(), problem.message.as_str())).collect();
        assert!(matches!(found.as_slice(), [(at, message)] if *at == path && message.contains(words)), "{found:?}");
        assert!(!problems.to_string().contains("AQEB"), "a secret in the report: {problems}");
    }
}

#[test]
fn who_has_keys_needs_no_issuer() {
    let (before, rest) = GOOD.split_once("[issuers.corporate]").unwrap();
    let nobody = before.to_owned() + &rest[rest.find("[tenants").unwrap()..];
    let report = examined(&nobody).to_string();
    assert!(report.starts_with("warning: no issuer and no keys: every request will be refused"), "{report}");
    assert_eq!(examined(&(nobody + KEYS)).to_string(), "");
}

/// The problems of a configuration with this sealing key and this file of keys.
fn problems(config: &str, sealing: &str, keys: &str, mode: u32) -> String {
    let directory = TempDir::new().unwrap();
    for (name, text, mode) in [("sealing", sealing, 0o600), ("keys.toml", keys, mode)] {
        fs::write(directory.path().join(name), text).unwrap();
        fs::set_permissions(directory.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let problems = examine_text(&format!("{GOOD}{config}"), &directory.path().join("t.toml"), Some(SystemTime::now())).1;
    problems.iter().map(|problem| format!("{}: {}\n", problem.key_path, problem.message)).collect()
}

#[test]
fn files_of_keys_are_looked_into() {
    let sealing = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";
    let both = format!("{VENDING}{KEYS}");
    let keys = format!("{API_KEY}\n{ACCESS_KEY}");
    assert_eq!(problems(&both, sealing, &keys, 0o600), "");
    assert_eq!(problems(KEYS, sealing, API_KEY, 0o400), "");
    for mode in [0o640, 0o604, 0o660, 0o610] {
        let found = problems(&both, sealing, &keys, mode);
        assert!(found.starts_with("keys.file: others can use the file (mode 0"), "{found}");
    }
    for (config, sealing, keys, words) in [
        (both.as_str(), "c2hvcnQ=", keys.as_str(), "vending.sealing_keys[0].secret: not 32 bytes in base64"),
        (KEYS, sealing, &keys, "keys.file: there are access keys in it, but no sealing key"),
        (&both, sealing, &keys.replace("sha256", "sha"), "line 4: unknown field `sha`"),
        (&both, sealing, &keys.replace("acme", "nobody"), "keys.file: the key `TGAK` is for `nobody`, which is no tenant"),
        (
            KEYS,
            sealing,
            &API_KEY.replace("sha256", "groups = [\"gone\"]\nsha256"),
            "keys.file: the key `k` is in `gone`, which is no group",
        ),
        (KEYS, sealing, &API_KEY.replace("\"k\"", "\"tg_hunter2\""), "keys.file: an API key itself is the id of a key"),
        (KEYS, sealing, "api_keys = \"tg_hunter2\"", "line 1: expected a sequence"),
        (KEYS, sealing, "tg_hunter2 = 1", "line 1: expected `access_keys` or `api_keys`"),
        (&both, sealing, &keys.replace("\"TGAK\"", "\"k\""), "keys.file: two keys have the id `k`"),
        ("[keys]\nfile = \"none.toml\"\n", sealing, "", "keys.file: cannot read"),
    ] {
        let found = problems(config, sealing, keys, 0o600);
        assert!(found.contains(words) && !found.contains("hunter2"), "{found}");
    }
}
