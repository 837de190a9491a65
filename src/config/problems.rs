//! What is wrong with a configuration, all of it, in the order of the file, shown as rustc shows it.

use std::{fmt, ops::Range, path::Path};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use toml::de::DeTable;

use super::{
    contents,
    document::{KeyPath, Node},
    mask::{header, is_section, mask, mask_in_section, names_secret},
    syntax,
};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is accepted, but it hardly means what its author wanted.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, on one line.
    pub message: String,
    /// The key it is about: `tenants.acme.limits.requests_per_minute`. Empty: the file as a whole.
    pub key_path: String,
    /// Where in the text it stands, in bytes; nothing if the file could not be read.
    pub span: Option<Range<usize>>,
    /// What to do about it, on one line.
    pub help: String,
}

/// Everything that is wrong with one file. May be empty, and may hold warnings only.
#[derive(Clone, Debug)]
pub struct Problems {
    name: String,
    text: String,
    list: Vec<Problem>,
    /// Some of what the file names is for another process alone.
    pub(super) partial: bool,
}

impl Problems {
    pub(super) fn new(name: String, text: String) -> Self {
        Problems { name, text, list: Vec::new(), partial: false }
    }

    /// None yet, of this file.
    pub fn of_file(path: &Path) -> Self {
        // One that cannot be read any more has no lines to show.
        Problems::new(path.display().to_string(), contents::text(path).unwrap_or_default())
    }

    /// Keeps the order of the file; what has no place in it comes first.
    pub(super) fn add(&mut self, problem: Problem) {
        let start = |p: &Problem| p.span.as_ref().map(|span| span.start);
        let at = self.list.partition_point(|earlier| start(earlier) <= start(&problem));
        self.list.insert(at, problem);
    }

    /// One more error, of those who look further than at the text; `keys` lead to what it is about, if it is there.
    pub fn refuse(&mut self, keys: &[&str], message: &str, help: &str) {
        self.look_further(Severity::Error, keys, message, help);
    }

    /// One more warning, as [`Problems::refuse`] adds errors.
    pub fn warn(&mut self, keys: &[&str], message: &str, help: &str) {
        self.look_further(Severity::Warning, keys, message, help);
    }

    fn look_further(&mut self, severity: Severity, keys: &[&str], message: &str, help: &str) {
        let path = keys.iter().fold(KeyPath::default(), |path, key| path.key(key));
        let span = DeTable::parse(&self.text).ok().and_then(|table| Node::root(table).span_of(&path.0));
        let (message, help) = (message.to_owned(), help.to_owned());
        self.add(Problem { severity, message, key_path: path.to_string(), span, help });
    }

    /// Whether something was not looked at, because only the service itself can.
    pub fn are_partial(&self) -> bool {
        self.partial
    }

    /// What makes the configuration unusable.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter().filter(|problem| problem.severity == Severity::Error)
    }

    /// What is worth a second look.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter().filter(|problem| problem.severity == Severity::Warning)
    }

    /// Both, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// Line and column of a problem, both from 1, the column in characters.
    pub fn position(&self, problem: &Problem) -> Option<(usize, usize)> {
        let line = Line::around(&self.text, problem.span.as_ref()?);
        let column = line.text.get(..line.span.start).map_or(0, |before| before.chars().count());
        Some((line.number, column + 1))
    }

    /// Each problem on one line, for a log: `FILE:5:10: upstream.region: …; …`.
    pub fn lines(&self) -> impl Iterator<Item = (Severity, String)> {
        self.list.iter().map(|problem| {
            let place = self.position(problem).map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
            let colon = if problem.key_path.is_empty() { "" } else { ": " };
            let Problem { severity, message, key_path, help, .. } = problem;
            (*severity, format!("{}{place}{colon}{key_path}: {message}; {help}", self.name))
        })
    }

    /// The report. `styled` colours it, for a terminal.
    pub fn render(&self, styled: bool) -> String {
        self.render_each(self.list.iter(), styled)
    }

    fn render_each<'a>(&'a self, problems: impl Iterator<Item = &'a Problem>, styled: bool) -> String {
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        let reports: Vec<String> = problems.map(|problem| renderer.render(&[self.group(problem)])).collect();
        reports.join("\n\n")
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(problem.message.as_str());
        let group = match &problem.span {
            None => title.element(Origin::path(self.name.as_str())),
            Some(span) => {
                let line = Line::around(&self.text, span);
                // What is no TOML has no path, and one whose section is misspelt has another.
                let may_be_secret = is_section(&problem.key_path)
                    || is_in_section_of_secrets(&self.text, span.start)
                    || is_within_secret(&self.text, span.start);
                let source = if may_be_secret { mask_in_section(line.text) } else { mask(line.text) };
                let caret = AnnotationKind::Primary.span(line.span).label(problem.key_path.as_str());
                title.element(Snippet::source(source).line_start(line.number).path(self.name.as_str()).annotation(caret))
            }
        };
        group.element(Level::HELP.message(problem.help.as_str()))
    }
}

/// Errors first: where there is room for a line, it should be what has to be mended.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render_each(self.errors().chain(self.warnings()), false))
    }
}

impl std::error::Error for Problems {}

/// Goes by headers alone, since the rest may be anything.
fn is_in_section_of_secrets(text: &str, at: usize) -> bool {
    let at = text.floor_char_boundary(at);
    let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
    let mut lines = text[..end].lines().rev();
    let own = lines.next().unwrap_or_default();
    lines.find_map(header).map_or_else(|| is_section(own.trim_start()), is_section)
}

/// Whether the line is within what a secret's key opened on a line above it.
fn is_within_secret(text: &str, at: usize) -> bool {
    let line_start = |at: usize| text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let above = text.get(..line_start(text.floor_char_boundary(at))).unwrap_or_default();
    syntax::left_open(above).into_iter().any(|opened| {
        let key = text.get(line_start(opened)..opened).unwrap_or_default();
        names_secret(key) || is_section(key.trim_start())
    })
}

/// The first line of a span: its text, its number from 1, and the part of it that the span covers.
struct Line<'a> {
    text: &'a str,
    number: usize,
    span: Range<usize>,
}

impl<'a> Line<'a> {
    fn around(text: &'a str, span: &Range<usize>) -> Self {
        let start = text.floor_char_boundary(span.start);
        let (before, after) = text.split_at(start);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = start + after.find('\n').unwrap_or(after.len());
        let line = text.get(line_start..line_end).unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        let from = (start - line_start).min(line.len());
        let to = text.ceil_char_boundary(span.end).saturating_sub(line_start).clamp(from, line.len());
        Line { text: line, number: before.matches('\n').count() + 1, span: from..to }
    }
}
