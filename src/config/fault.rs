//! One thing that serde did not like, with the path to it: serde's error, as data instead of as a sentence.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::{
    document::{KeyPath, Node, Step, Value},
    mask::is_secret,
    suggest::{list, suggest},
};

/// Serde's error while it reads a [`Node`].
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    /// Innermost step first, for it grows as the error travels outwards.
    steps: Vec<Step>,
}

/// What serde found wrong.
#[derive(Debug)]
pub(super) enum Kind {
    UnknownKey {
        key: String,
        expected: &'static [&'static str],
    },
    MissingKey(&'static str),
    /// Of the forms a value may take; `at_key` if the word is the key of `{ word = … }`.
    UnknownWord {
        word: String,
        expected: &'static [&'static str],
        at_key: bool,
    },
    WrongType {
        expected: String,
    },
    Other(String),
}

impl Fault {
    pub(super) fn new(kind: Kind) -> Self {
        Fault { kind, steps: Vec::new() }
    }

    /// The fault lies in what this step leads to.
    pub(super) fn within(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    pub(super) fn path(&self) -> KeyPath {
        KeyPath(self.steps.iter().rev().cloned().collect())
    }

    /// The message and the help line, about the value (`node`) that the path leads to. `reference` is the file that explains all keys.
    pub(super) fn explain(&self, node: &Node, reference: &str) -> (String, String) {
        match &self.kind {
            Kind::UnknownKey { key, expected } => (format!("unknown key `{key}`"), did_you_mean(key, expected)),
            Kind::MissingKey(key) => (format!("missing key `{key}`"), format!("add `{key}`; {reference} explains it")),
            Kind::UnknownWord { expected, at_key: false, .. } if expected.contains(&"file") => {
                let forms: Vec<String> = expected.iter().map(|form| form_of(form)).collect();
                let forms: Vec<&str> = forms.iter().map(String::as_str).collect();
                // Not which string: it may be the secret that should have been kept elsewhere.
                ("expected a table, found a string".to_owned(), format!("write {}", list(&forms)))
            }
            Kind::UnknownWord { word, expected, .. } => {
                (format!("`{}` is not known here", word.escape_debug()), did_you_mean(word, expected))
            }
            Kind::WrongType { expected } if matches!(expected.as_str(), "u64" | "usize") && is_too_large(node) => (
                format!("expected a whole number from 0 to 18,446,744,073,709,551,615, found {}", self.kind_of(node)),
                "lower it; where no number means no limit, remove the line".to_owned(),
            ),
            Kind::WrongType { expected } => {
                let (expected, help) = plainly(expected, reference);
                let help = match (expected.as_str(), &node.value) {
                    ("a string", Value::Array(_)) => "write one, without brackets".to_owned(),
                    ("an array", Value::Table(_)) => self.sections().unwrap_or(help),
                    _ => help,
                };
                (format!("expected {expected}, found {}", self.kind_of(node)), help)
            }
            Kind::Other(message) => {
                let (expected, help) = plainly(message, reference);
                (format!("{expected}: {}", self.kind_of(node)), help)
            }
        }
    }
}

impl Fault {
    fn kind_of(&self, node: &Node) -> String {
        match node.value {
            // Perhaps the secret that should have been kept elsewhere.
            Value::Text(_) if is_secret(&self.path().0) => "a string".to_owned(),
            _ => node.kind(),
        }
    }
}

/// Keys whose arrays are of tables, and are better written as sections.
pub(super) const SECTIONS: [&str; 6] = ["listeners", "certificates", "client_principals", "quotas", "sealing_keys", "prices"];

impl Fault {
    /// What to write for a section in single brackets that may come more than once.
    fn sections(&self) -> Option<String> {
        let path = self.path();
        let Some(Step::Key(last)) = path.0.last() else { return None };
        if !SECTIONS.contains(&last.as_str()) {
            return None;
        }
        let keys = path.0.iter().filter(|step| matches!(step, Step::Key(_))).cloned().collect();
        Some(format!("write `[[{}]]`, in double brackets: there may be more than one", KeyPath(keys)))
    }
}

fn is_too_large(node: &Node) -> bool {
    matches!(node.value, Value::Integer(number) if number > i128::from(u64::MAX))
}

fn did_you_mean(word: &str, expected: &[&str]) -> String {
    match suggest(word, expected.iter().copied()) {
        // One letter from HS256 to RS256, and a world: the keys of the former are secrets that anybody who verifies can sign with.
        _ if expected.contains(&"RS256") => format!("signatures with public keys are accepted: {}", list(expected)),
        Some(near) => format!("did you mean `{near}`?"),
        None if expected.is_empty() => "nothing is allowed here: remove it".to_owned(),
        None => format!("allowed here: {}", list(expected)),
    }
}

/// Rust's words for what was expected, as an operator's words, with what to write instead.
fn plainly(expected: &str, reference: &str) -> (String, String) {
    let see_reference = format!("see {reference}");
    let (plain, help) = match expected {
        "u16" => ("a whole number from 0 to 65,535", "write a number without quotes or unit"),
        "u32" => ("a whole number from 0 to 4,294,967,295", "write a number without quotes or unit"),
        "u64" | "usize" => ("a whole number, not negative", "write a number without quotes or unit: units are in the key's name"),
        "a boolean" => ("`true` or `false`", "write `true` or `false` without quotes"),
        "a string" | "path string" | "socket address" => ("a string", "put it in double quotes"),
        "a sequence" => ("an array", "write it in brackets, also if it is only one: `[\"…\"]`"),
        "a map" => ("a table", "write a table: `{ key = value }`, or a section of its own"),
        "string or table" => ("a string or a table", see_reference.as_str()),
        "one key" => ("a table with exactly one key", "keep the one that applies"),
        "invalid socket address syntax" => {
            ("not an IP address and a port", "write `127.0.0.1:8443` or `[::1]:8443`; host names are not resolved")
        }
        other if other.starts_with("struct ") => ("a table", "write a table: `{ key = value }`, or a section of its own"),
        other => return (other.to_owned(), see_reference),
    };
    (plain.to_owned(), help.to_owned())
}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Fault::new(Kind::Other(message.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Fault::new(Kind::WrongType { expected: expected.to_string() })
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Fault::new(Kind::WrongType { expected: expected.to_string() })
    }

    fn unknown_variant(word: &str, expected: &'static [&'static str]) -> Self {
        Fault::new(Kind::UnknownWord { word: word.to_owned(), expected, at_key: false })
    }

    fn unknown_field(key: &str, expected: &'static [&'static str]) -> Self {
        Fault::new(Kind::UnknownKey { key: key.to_owned(), expected })
    }

    fn missing_field(key: &'static str) -> Self {
        Fault::new(Kind::MissingKey(key))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at `{}`", self.kind, self.path())
    }
}

impl std::error::Error for Fault {}

/// The one form that takes no text is a switch.
fn form_of(word: &str) -> String {
    if word == "discovery" { format!("{{ {word} = true }}") } else { format!("{{ {word} = \"…\" }}") }
}
