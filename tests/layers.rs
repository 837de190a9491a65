//! The map in `src/lib.rs` is true: modules import downwards only, nothing below the adapters speaks HTTP, and each file says what it is for.

#![allow(clippy::unwrap_used)] // nothing here but tests and what they call

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// From the bottom up; modules of one layer do not import each other, but for the composition on top.
const LAYERS: [&[&str]; 7] = [
    &["bedrock", "aws"],
    &["pricing"],
    &["config", "telemetry"],
    &["auth", "policy", "quota", "routing", "ledger"],
    &["snapshot", "console"],
    &["proxy", "admin", "simulator"],
    &["cli", "server"],
];

/// Crates of a layer's own: nobody below may name them.
const ADAPTERS_ONLY: [&str; 4] = ["pingora_core::", "pingora_proxy::", "pingora_http::", "hyper::"];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

fn source_files() -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => files.push(path),
                _ => {}
            }
        }
    }
    files
}

fn module_of(file: &Path) -> String {
    let below = file.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// What stands after `crate::`, in one-line and in nested imports, up to the tests at the end: those may look anywhere.
fn imports(source: &str) -> Vec<String> {
    let code = source.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => found.push(identifier(rest)),
            Some(list) => {
                let mut depth = 0;
                let mut start = true;
                for (index, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && c.is_alphabetic() => {
                            found.push(identifier(&list[index..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn every_module_has_a_layer() {
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let modules = map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let layered = LAYERS.into_iter().flatten().copied();
    assert_eq!(modules.collect::<BTreeSet<_>>(), layered.collect());
}

#[test]
fn arrows_point_down() {
    let mut seen = 0;
    for file in source_files() {
        let module = module_of(&file);
        let is_test = file.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
        let (Some(own), false) = (layer(&module), is_test) else { continue };
        for import in imports(&fs::read_to_string(&file).unwrap()) {
            let Some(other) = layer(&import) else { continue };
            let top = own == LAYERS.len() - 1 && other == own;
            assert!(other < own || import == module || top, "{} imports {import}", file.display());
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} imports were found: is this test still reading them?");
}

#[test]
fn http_is_spoken_by_adapters_only() {
    let adapters = layer("proxy").unwrap();
    for file in source_files() {
        let below = layer(&module_of(&file)).is_some_and(|own| own < adapters);
        let source = fs::read_to_string(&file).unwrap();
        let code = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        let named = ADAPTERS_ONLY.iter().find(|name| code.contains(**name));
        assert!(!below || named.is_none(), "{} names {named:?}", file.display());
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for file in source_files() {
        let source = fs::read_to_string(&file).unwrap();
        assert!(source.starts_with("//! "), "{} does not begin with its purpose", file.display());
    }
}
