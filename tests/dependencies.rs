//! What comes in through Cargo.lock is what deny.toml lets in: sources, banned crates and licences, as `cargo deny check` has it, for
//! machines that do not have that. Advisories are its own: they need RustSec's database.

#![allow(clippy::unwrap_used, clippy::panic)] // nothing here but tests and what they call

use std::{
    fs,
    iter::Peekable,
    path::Path,
    process::{Command, Stdio},
};

use toml::{Table, Value};

fn toml(name: &str) -> Table {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap().parse().unwrap()
}

/// A list of texts, or of tables that have one under `key`.
fn texts(list: &Value, key: &str) -> Vec<String> {
    let text = |entry: &Value| entry.as_str().or_else(|| entry[key].as_str()).unwrap().to_owned();
    list.as_array().unwrap().iter().map(text).collect()
}

/// Whether an SPDX expression lets us choose allowed licences only (SPDX 2.3, annex D). AND binds tighter than OR.
fn permits(expression: &str, allowed: &[String]) -> bool {
    // Cargo took "A/B" for a choice before SPDX had a word for it.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let permitted = either(&mut words, allowed);
    assert_eq!(words.next(), None, "{expression}");
    permitted
}

fn either<'a>(words: &mut Peekable<impl Iterator<Item = &'a str>>, allowed: &[String]) -> bool {
    let mut permitted = both(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        permitted |= both(words, allowed);
    }
    permitted
}

fn both<'a>(words: &mut Peekable<impl Iterator<Item = &'a str>>, allowed: &[String]) -> bool {
    let mut permitted = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        permitted &= one(words, allowed);
    }
    permitted
}

fn one<'a>(words: &mut Peekable<impl Iterator<Item = &'a str>>, allowed: &[String]) -> bool {
    let mut license = match words.next().unwrap() {
        "(" => {
            let permitted = either(words, allowed);
            assert_eq!(words.next(), Some(")"));
            return permitted;
        }
        name => name.to_owned(),
    };
    if words.next_if_eq(&"WITH").is_some() {
        license = format!("{license} WITH {}", words.next().unwrap());
    }
    allowed.contains(&license)
}

#[test]
fn expressions_are_read_as_spdx_has_them() {
    let allowed = ["MIT", "ISC"].map(str::to_owned);
    for good in ["MIT", "GPL-3.0 OR MIT", "MIT/Apache-2.0", "(GPL-3.0 OR MIT) AND ISC", "GPL-3.0 AND X OR MIT", "MIT AND ISC"] {
        assert!(permits(good, &allowed), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "GPL-3.0 OR MIT AND X", "MIT WITH LLVM-exception", "(MIT OR ISC) AND X"] {
        assert!(!permits(bad, &allowed), "{bad}");
    }
}

#[test]
fn everything_comes_from_the_registry_with_a_checksum_and_nothing_banned_does() {
    let deny = toml("deny.toml");
    let registries = texts(&deny["sources"]["allow-registry"], "");
    let banned = texts(&deny["bans"]["deny"], "crate");
    let lock = toml("Cargo.lock");
    let packages = lock["package"].as_array().unwrap();
    assert!(packages.len() > 200);
    for package in packages {
        let name = package["name"].as_str().unwrap();
        assert!(!banned.iter().any(|banned| banned == name), "{name} is banned");
        if name == "tollgate" {
            continue;
        }
        let source = package["source"].as_str().unwrap().strip_prefix("registry+").unwrap();
        assert!(registries.iter().any(|registry| registry == source), "{name} comes from {source}");
        assert_eq!(package["checksum"].as_str().unwrap().len(), 64, "{name}");
    }
}

#[test]
fn every_licence_is_one_that_we_allow_and_every_one_that_we_allow_is_needed() {
    let allowed = texts(&toml("deny.toml")["licenses"]["allow"], "");
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version=1", "--filter-platform=x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let license =
        |package: &serde_json::Value| package["license"].as_str().unwrap_or_else(|| panic!("{}", package["name"])).to_owned();
    for package in packages {
        assert!(permits(&license(package), &allowed), "{}: {}", package["name"], license(package));
    }
    for one in &allowed {
        let others: Vec<_> = allowed.iter().filter(|other| *other != one).cloned().collect();
        assert!(packages.iter().any(|package| !permits(&license(package), &others)), "nothing needs {one}");
    }
}
