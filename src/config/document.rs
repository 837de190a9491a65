//! The file as a tree that remembers where everything stands in the text. TOML's syntax is the parser's business; what the
//! keys mean is serde's.

use std::{fmt, ops::Range};

use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Bytes of the text; of a table with a header, the header.
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

/// TOML's values. Integers keep 128 bits, so that "too large" is said by the type that has to hold them.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Datetime,
    Array(Vec<Node>),
    Table(Vec<Entry>),
    /// Stands where something wrong was reported, or something missing: it deserialises as whatever is asked for.
    Placeholder,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) node: Node,
}

/// One step from a value to a value in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// Where a value is, as one would say it: `listeners[0].tls.certificate_file`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyPath(pub(super) Vec<Step>);

impl KeyPath {
    pub(super) fn of(key: &str) -> Self {
        KeyPath::default().key(key)
    }

    pub(super) fn key(mut self, key: &str) -> Self {
        self.0.push(Step::Key(key.to_owned()));
        self
    }

    pub(super) fn index(mut self, index: usize) -> Self {
        self.0.push(Step::Index(index));
        self
    }

    pub(super) fn parent(&self) -> KeyPath {
        KeyPath(self.0.split_last().map(|(_, rest)| rest.to_vec()).unwrap_or_default())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
                    let dot = if position == 0 { "" } else { "." };
                    if bare { write!(f, "{dot}{key}")? } else { write!(f, "{dot}{key:?}")? }
                }
            }
        }
        Ok(())
    }
}

impl Node {
    /// The tree of a parsed document.
    pub(super) fn root(table: Spanned<DeTable<'_>>) -> Node {
        let span = table.span();
        Node { span, value: table_value(table.into_inner()) }
    }

    /// A stand-in that carries the place of what it stands for.
    pub(super) fn placeholder(span: Range<usize>) -> Node {
        Node { span, value: Value::Placeholder }
    }

    /// What it is, in the words of an error message.
    pub(super) fn kind(&self) -> String {
        match &self.value {
            Value::Text(text) if text.chars().count() <= 40 => format!("the string `{}`", text.escape_debug()),
            Value::Text(_) => "a string".to_owned(),
            Value::Integer(number) => format!("the number `{number}`"),
            Value::Float(number) => format!("the number `{number:?}`"),
            Value::Boolean(truth) => format!("`{truth}`"),
            Value::Datetime => "a date".to_owned(),
            Value::Array(_) => "an array".to_owned(),
            Value::Table(_) | Value::Placeholder => "a table".to_owned(),
        }
    }

    /// The value at a path, if the file has it.
    pub(super) fn at_mut(&mut self, path: &[Step]) -> Option<&mut Node> {
        let Some((step, rest)) = path.split_first() else { return Some(self) };
        match (step, &mut self.value) {
            (Step::Key(key), Value::Table(entries)) => entries.iter_mut().find(|e| e.key == *key)?.node.at_mut(rest),
            (Step::Index(index), Value::Array(nodes)) => nodes.get_mut(*index)?.at_mut(rest),
            _ => None,
        }
    }

    /// Whether the file itself has a value at a path.
    pub(super) fn has(&self, path: &[Step]) -> bool {
        let Some((step, rest)) = path.split_first() else { return true };
        match (step, &self.value) {
            (Step::Key(key), Value::Table(entries)) => entries.iter().any(|e| e.key == *key && e.node.has(rest)),
            (Step::Index(index), Value::Array(nodes)) => nodes.get(*index).is_some_and(|node| node.has(rest)),
            _ => false,
        }
    }

    /// Where to point for a path: at the value, or at what surrounds it if the file does not have it. Nothing if a problem with
    /// it, or around it, has been reported already.
    pub(super) fn span_of(&self, path: &[Step]) -> Option<Range<usize>> {
        match (path.split_first(), &self.value) {
            (_, Value::Placeholder) => None,
            (Some((Step::Key(key), rest)), Value::Table(entries)) => match entries.iter().find(|e| e.key == *key) {
                Some(entry) => entry.node.span_of(rest),
                None => Some(self.span.clone()),
            },
            (Some((Step::Index(index), rest)), Value::Array(nodes)) => match nodes.get(*index) {
                Some(node) => node.span_of(rest),
                None => Some(self.span.clone()),
            },
            _ => Some(self.span.clone()),
        }
    }

    /// Shows the path of every key there is.
    pub(super) fn each_key(&self, see: &mut impl FnMut(&[Step])) {
        self.walk(&mut Vec::new(), see);
    }

    fn walk(&self, path: &mut Vec<Step>, see: &mut impl FnMut(&[Step])) {
        match &self.value {
            Value::Table(entries) => {
                for entry in entries {
                    path.push(Step::Key(entry.key.clone()));
                    see(path);
                    entry.node.walk(path, see);
                    path.pop();
                }
            }
            Value::Array(nodes) => {
                for (index, node) in nodes.iter().enumerate() {
                    path.push(Step::Index(index));
                    node.walk(path, see);
                    path.pop();
                }
            }
            _ => {}
        }
    }

    /// Where the last key of a path stands; else as [`Node::span_of`].
    pub(super) fn key_span_of(&self, path: &[Step]) -> Option<Range<usize>> {
        let around = self.span_of(path)?;
        let mut node = self;
        let mut span = around;
        for step in path {
            node = match (step, &node.value) {
                (Step::Key(key), Value::Table(entries)) => {
                    let Some(entry) = entries.iter().find(|e| e.key == *key) else { break };
                    span = entry.key_span.clone();
                    &entry.node
                }
                (Step::Index(index), Value::Array(nodes)) => {
                    let Some(element) = nodes.get(*index) else { break };
                    element
                }
                _ => break,
            };
        }
        Some(span)
    }
}

fn table_value(table: DeTable<'_>) -> Value {
    let mut entries: Vec<Entry> = table
        .into_iter()
        .map(|(key, value)| Entry { key_span: key.span(), key: key.into_inner().into_owned(), node: node(value) })
        .collect();
    entries.sort_by_key(|entry| entry.key_span.start); // the parser sorts by name; people read from the top
    Value::Table(entries)
}

fn node(value: Spanned<DeValue<'_>>) -> Node {
    let span = value.span();
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => Value::Integer(integer(&number)),
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(truth) => Value::Boolean(truth),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(array) => Value::Array(array.into_iter().map(node).collect()),
        DeValue::Table(table) => table_value(table),
    };
    Node { span, value }
}

/// Beyond 128 bits the exact number no longer matters: it is too large for every key there is.
fn integer(number: &DeInteger<'_>) -> i128 {
    let text = number.as_str();
    i128::from_str_radix(text, number.radix()).unwrap_or(if text.starts_with('-') { i128::MIN } else { i128::MAX })
}
