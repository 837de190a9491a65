//! From a file, or its text, to a [`Config`] or everything that is wrong with it. serde stops at the first error; here each
//! error is written down, its place filled with a placeholder, and serde asked again, until nothing is left to say. So the
//! section types are the only schema there is.

use std::{
    io::ErrorKind,
    ops::Range,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::de::DeserializeOwned;
use toml::de::DeTable;

use super::{
    Config, KeySetSource, Problem, Problems, Secret, Severity, Written,
    check::Check,
    contents::contents,
    document::{KeyPath, Node, Value},
    duplicates,
    fault::{Fault, Kind},
    suggest::suggest,
    syntax,
};

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

/// Reads a configuration and looks at nothing that it names, which not everybody may read who may read the file.
///
/// # Errors
/// Those of [`read`].
pub fn read_alone(path: &Path) -> Result<Config, Problems> {
    parse(&read_text(path, "the configuration")?, path)
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
    match read_text(path, "the configuration") {
        Ok(text) => examine_text(&text, path, Some(SystemTime::now())),
        Err(problems) => (None, problems),
    }
}

fn refuse_errors((config, problems): (Option<Config>, Problems)) -> Result<Config, Problems> {
    match config {
        Some(config) if problems.errors().next().is_none() => Ok(config),
        _ => Err(problems),
    }
}

/// A file of text, or the one problem with it; `what` names it in reports: `the configuration`.
pub(super) fn read_text(path: &Path, what: &str) -> Result<String, Problems> {
    let name = path.display().to_string();
    let refuse = |message: String, help: &str| {
        let mut problems = Problems::new(name.clone(), String::new());
        let (key_path, help) = (String::new(), help.to_owned());
        problems.add(Problem { severity: Severity::Error, message, key_path, span: None, help });
        problems
    };
    let bytes = contents(path).map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge => refuse(format!("{what} is over 16 MiB"), "is it the right file?"),
        _ => refuse(format!("cannot read {what}: {error}"), "give the path of a readable file"),
    })?;
    String::from_utf8(bytes).map_err(|error| {
        // Up to the first bad byte, which a replacement character shows, the text stands where it stood.
        let bad = error.utf8_error().valid_up_to();
        let mut problems = Problems::new(name.clone(), String::from_utf8_lossy(error.as_bytes()).into_owned());
        let (message, help) = (format!("{what} is not UTF-8 from here on"), "save it as UTF-8".to_owned());
        let span = Some(bad..bad + char::REPLACEMENT_CHARACTER.len_utf8());
        problems.add(Problem { severity: Severity::Error, message, key_path: String::new(), span, help });
        problems
    })
}

/// `now`: look at files and the environment, too.
pub(super) fn examine_text(text: &str, name: &Path, now: Option<SystemTime>) -> (Option<Config>, Problems) {
    let mut problems = Problems::new(name.display().to_string(), text.to_owned());
    let Some((mut config, root)) = typed::<Config>(text, "conf/tollgate.toml", &mut problems) else { return (None, problems) };
    config.written = Written::of(&root);
    resolve_paths(&mut config, name.parent().unwrap_or(Path::new("")));
    let mut check = Check::new(&root, &mut problems);
    check.values(&config);
    if let Some(now) = now {
        check.files(&config, now);
    }
    (Some(config), problems)
}

/// The text as a type, and where everything in it stands. `reference` is the file that explains all its keys. Nothing only if something
/// has been reported.
pub(super) fn typed<T: DeserializeOwned>(text: &str, reference: &str, problems: &mut Problems) -> Option<(T, Node)> {
    let (table, syntax_errors) = DeTable::parse_recoverable(text);
    // Of a key that is written twice the parser keeps the first; nothing else is lost, so the rest can be checked.
    let (duplicates, syntax_errors): (Vec<_>, Vec<_>) = syntax_errors
        .into_iter()
        .map(|error| (error.message().to_owned(), error.span().unwrap_or(0..0)))
        .partition(|(message, _)| message == DUPLICATE_KEY);
    if let Some(problem) = syntax::problem(text, syntax_errors) {
        problems.add(problem);
        return None;
    }
    duplicates::problems(text, duplicates.into_iter().map(|(_, span)| span).collect())
        .into_iter()
        .for_each(|it| problems.add(it));
    let mut root = Node::root(table);
    let value = deserialize(&mut root, reference, problems)?;
    Some((value, root))
}

/// Nothing only if a placeholder does not satisfy a type, or there were too many errors; then something has been reported.
fn deserialize<T: DeserializeOwned>(root: &mut Node, reference: &str, problems: &mut Problems) -> Option<T> {
    for _ in 0..FAULTS_MAX {
        match T::deserialize(&*root) {
            Ok(value) => return Some(value),
            Err(fault) => {
                let (problem, repaired) = take(root, &fault, reference);
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
fn take(root: &mut Node, fault: &Fault, reference: &str) -> (Problem, bool) {
    let path = fault.path();
    let (span, key_path) = place(root, fault, &path);
    let (message, help) = match root.at_mut(&path.0) {
        Some(node) => fault.explain(node, reference),
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
    for path in [&mut config.upstream.ca_file, &mut config.prices.file, &mut config.state_directory].into_iter().flatten() {
        resolve(path);
    }
    if let Some(path) = config.traces.as_mut().and_then(|traces| traces.ca_file.as_mut()) {
        resolve(path);
    }
    // An empty path stays empty, so that the check sees it.
    if let Some(path) = config.ledger.file.as_mut().filter(|path| !path.as_os_str().is_empty()) {
        resolve(path);
    }
    for issuer in config.issuers.values_mut() {
        if let KeySetSource::File(path) = &mut issuer.key_set {
            resolve(path);
        }
    }
    if let Some(keys) = &mut config.keys {
        resolve(&mut keys.file);
    }
    let credentials = config.credentials.iter_mut();
    let fixed = credentials.flat_map(|keys| [Some(&mut keys.secret_access_key), keys.session_token.as_mut()]).flatten();
    let sealing = config.vending.iter_mut().flat_map(|vending| &mut vending.sealing_keys).map(|key| &mut key.secret);
    let headers = config.traces.iter_mut().flat_map(|traces| traces.headers.values_mut());
    for secret in fixed.chain(sealing).chain(headers) {
        if let Secret::File(path) = secret {
            resolve(path);
        }
    }
}
