//! From a file, or its text, to a [`Config`] or everything that is wrong with it. serde stops at the first error; here each
//! error is written down, its place filled with a placeholder, and serde asked again, until nothing is left to say. So the
//! section types are the only schema there is.

use std::{
    fs::File,
    io::Read,
    ops::Range,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Deserialize;
use toml::de::DeTable;

use super::{
    Config, KeySetSource, Problem, Problems, Secret, Severity,
    check::Check,
    document::{KeyPath, Node, Value},
    fault::{Fault, Kind},
    suggest::suggest,
};

/// A configuration is written by people; a larger file is something else.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Beyond so many errors the file is no configuration, and each costs a walk over it.
const FAULTS_MAX: usize = 500;

/// What the parser says about a key, or a section, that is written twice.
const DUPLICATE_KEY: &str = "duplicate key";

/// Reads a configuration and everything it names: certificates, keys, secrets. Warnings are not in the way; see [`examine`].
///
/// # Errors
/// All that is wrong, warnings included, if anything forbids to use the file.
pub fn read(path: &Path) -> Result<Config, Problems> {
    refuse_errors(examine(path))
}

/// Reads a configuration from its text. `name` is what reports call it, and relative paths start from its directory; no file
/// and no environment variable is looked at.
///
/// # Errors
/// All that is wrong, warnings included, if anything forbids to use the text.
pub fn parse(text: &str, name: &Path) -> Result<Config, Problems> {
    refuse_errors(examine_text(text, name, None))
}

/// As [`read`], but with the warnings of a usable configuration.
pub fn examine(path: &Path) -> (Option<Config>, Problems) {
    match read_text(path) {
        Ok(text) => examine_text(&text, path, Some(SystemTime::now())),
        Err((message, help)) => {
            let mut problems = Problems::new(path.display().to_string(), String::new());
            let key_path = String::new();
            problems.add(Problem { severity: Severity::Error, message, key_path, span: None, help: help.to_owned() });
            (None, problems)
        }
    }
}

fn refuse_errors((config, problems): (Option<Config>, Problems)) -> Result<Config, Problems> {
    match config {
        Some(config) if problems.errors().next().is_none() => Ok(config),
        _ => Err(problems),
    }
}

fn read_text(path: &Path) -> Result<String, (String, &'static str)> {
    let cannot =
        |error: std::io::Error| (format!("cannot read the configuration: {error}"), "give the path of a readable file with `-c`");
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(cannot)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(("the configuration is over 16 MiB".to_owned(), "is it the right file?"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
        (format!("the configuration is not UTF-8: the first bad byte is on line {line}"), "save it as UTF-8")
    })
}

/// `now`: look at files and the environment, too.
pub(super) fn examine_text(text: &str, name: &Path, now: Option<SystemTime>) -> (Option<Config>, Problems) {
    let mut problems = Problems::new(name.display().to_string(), text.to_owned());
    let (table, syntax_errors) = DeTable::parse_recoverable(text);
    // Of a key that is written twice the parser keeps the first; nothing else is lost, so the rest can be checked.
    let lost = syntax_errors.iter().any(|error| error.message() != DUPLICATE_KEY);
    for error in syntax_errors {
        problems.add(syntax_problem(error.message(), error.span().unwrap_or(0..0)));
    }
    if lost {
        return (None, problems);
    }

    let mut root = Node::root(table);
    let Some(mut config) = deserialize(&mut root, &mut problems) else { return (None, problems) };
    resolve_paths(&mut config, name.parent().unwrap_or(Path::new("")));
    let mut check = Check::new(&root, &mut problems);
    check.values(&config);
    if let Some(now) = now {
        check.files(&config, now);
    }
    (Some(config), problems)
}

fn syntax_problem(message: &str, span: Range<usize>) -> Problem {
    let (message, help) = match message {
        DUPLICATE_KEY => ("this key or section has been written before".to_owned(), "remove one of the two"),
        other => (format!("not TOML: {other}"), "nothing else is checked until the file is TOML; see https://toml.io"),
    };
    Problem { severity: Severity::Error, message, key_path: String::new(), span: Some(span), help: help.to_owned() }
}

/// Nothing only if a placeholder does not satisfy a type, or there were too many errors; then something has been reported.
fn deserialize(root: &mut Node, problems: &mut Problems) -> Option<Config> {
    for _ in 0..FAULTS_MAX {
        match Config::deserialize(&*root) {
            Ok(config) => return Some(config),
            Err(fault) => {
                let (problem, repaired) = take(root, &fault);
                problems.add(problem);
                if !repaired {
                    return None;
                }
            }
        }
    }
    None
}

/// Words the fault, and changes the tree so that serde gets past it.
fn take(root: &mut Node, fault: &Fault) -> (Problem, bool) {
    let path = fault.path();
    let (span, key_path) = place(root, fault, &path);
    let (message, help) = match root.at_mut(&path.0) {
        Some(node) => fault.explain(node),
        None => (fault.to_string(), "correct the other problems first".to_owned()),
    };
    let repaired = repair(root, fault, &path).is_some();
    (Problem { severity: Severity::Error, message, key_path, span, help }, repaired)
}

fn place(root: &Node, fault: &Fault, path: &KeyPath) -> (Option<Range<usize>>, String) {
    match &fault.kind {
        Kind::UnknownKey { .. } | Kind::UnknownWord { at_key: true, .. } => (root.key_span_of(&path.0), path.to_string()),
        Kind::MissingKey(key) => (root.span_of(&path.0), path.clone().key(key).to_string()),
        _ => (root.span_of(&path.0), path.to_string()),
    }
}

fn repair(root: &mut Node, fault: &Fault, path: &KeyPath) -> Option<()> {
    match &fault.kind {
        Kind::UnknownKey { key, expected } => {
            let parent = root.at_mut(&path.parent().0)?;
            let Value::Table(entries) = &mut parent.value else { return None };
            let meant = suggest(key, expected.iter().copied()).filter(|meant| entries.iter().all(|e| e.key != *meant));
            match meant {
                // Read on under the name that was meant: what is in it may be wrong, too, and it is not missing.
                Some(meant) => entries.iter_mut().find(|e| e.key == *key)?.key = meant.to_owned(),
                None => entries.retain(|e| e.key != *key),
            }
        }
        Kind::MissingKey(key) => {
            let table = root.at_mut(&path.0)?;
            let span = table.span.clone();
            let Value::Table(entries) = &mut table.value else { return None };
            let node = Node::placeholder(span.clone());
            entries.push(super::document::Entry { key: (*key).to_owned(), key_span: span, node });
        }
        Kind::UnknownWord { at_key: true, .. } => {
            root.at_mut(&path.parent().0)?.replace()?;
        }
        _ => root.at_mut(&path.0)?.replace()?,
    }
    Some(())
}

impl Node {
    /// Nothing if it is a placeholder already: another one would not help.
    fn replace(&mut self) -> Option<()> {
        if matches!(self.value, Value::Placeholder) {
            return None;
        }
        self.value = Value::Placeholder;
        Some(())
    }
}

fn resolve_paths(config: &mut Config, directory: &Path) {
    let resolve = |path: &mut PathBuf| *path = directory.join(&*path);
    for tls in config.listeners.iter_mut().filter_map(|listener| listener.tls.as_mut()) {
        resolve(&mut tls.certificate_file);
        resolve(&mut tls.private_key_file);
        for more in &mut tls.certificates {
            resolve(&mut more.certificate_file);
            resolve(&mut more.private_key_file);
        }
        if let Some(path) = &mut tls.client_ca_file {
            resolve(path);
        }
    }
    if let Some(path) = &mut config.upstream.ca_file {
        resolve(path);
    }
    for issuer in config.issuers.values_mut() {
        if let KeySetSource::File(path) = &mut issuer.key_set {
            resolve(path);
        }
    }
    if let Some(credentials) = &mut config.credentials {
        for secret in [Some(&mut credentials.secret_access_key), credentials.session_token.as_mut()].into_iter().flatten() {
            if let Secret::File(path) = secret {
                resolve(path);
            }
        }
    }
}
