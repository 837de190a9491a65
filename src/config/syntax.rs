//! What is said of a text that is no TOML: one problem, however many the parser sees. From the first on it reads in a state that nobody
//! meant: a bracket that is not closed makes an error of every line below it.

use std::ops::Range;

use super::{Problem, Severity};

/// The problem of a text with these errors, which are the parser's message and place each; nothing if there are none.
pub(super) fn problem(text: &str, errors: Vec<(String, Range<usize>)>) -> Option<Problem> {
    let others = errors.len().saturating_sub(1);
    let (message, span) = errors.into_iter().min_by_key(|(_, span)| span.start)?;
    let more = match others {
        0 => String::new(),
        others => format!(" … and {others} more that may follow from it"),
    };
    let line = |at: usize| text.get(..at).unwrap_or_default().matches('\n').count() + 1;
    let help = match text.get(..span.start).and_then(open_bracket) {
        _ if !text.contains('\n') && text.contains('\r') => "its lines end in CR alone: save it with LF or CRLF".to_owned(),
        Some(opened) if line(opened) < line(span.start) => {
            format!(
                "what begins with `{}` on line {} has not ended here: close it, or add a comma",
                bracket(text, opened),
                line(opened)
            )
        }
        _ => "nothing else is checked until the file is TOML; see https://toml.io".to_owned(),
    };
    let message = format!("not TOML: {message}{more}");
    Some(Problem { severity: Severity::Error, message, key_path: String::new(), span: Some(span), help })
}

fn bracket(text: &str, at: usize) -> &str {
    text.get(at..=at).unwrap_or_default()
}

/// Where the innermost bracket stands that a text leaves open.
fn open_bracket(text: &str) -> Option<usize> {
    left_open(text).into_iter().rfind(|at| matches!(bracket(text, *at), "[" | "{"))
}

/// Where everything stands that a text leaves open, brackets and a string of several lines, the outermost first. Strings and comments may
/// have any bracket.
pub(super) fn left_open(text: &str) -> Vec<usize> {
    let mut open = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        let Some(next) = rest.chars().next() else { break };
        at += match next {
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' | '\'' => match string(rest) {
                Some(length) => length,
                None => {
                    open.push(at);
                    break;
                }
            },
            _ => next.len_utf8(),
        };
        match next {
            '[' | '{' => open.push(at - 1),
            ']' | '}' => drop(open.pop()),
            _ => {}
        }
    }
    open
}

/// How long the string is that a text begins with, quotes included; nothing if it goes on. One of a single line ends with the line at the
/// latest.
fn string(text: &str) -> Option<usize> {
    let quote = text.get(..1).unwrap_or_default();
    let triple = quote.repeat(3);
    let (end, lines) = if text.starts_with(&triple) { (triple.as_str(), true) } else { (quote, false) };
    let mut at = end.len();
    while let Some(rest) = text.get(at..) {
        let Some(next) = rest.chars().next() else { break };
        if rest.starts_with(end) {
            return Some(at + end.len());
        }
        if next == '\n' && !lines {
            break;
        }
        at += next.len_utf8();
        if next == '\\' && quote == "\"" {
            at += text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        }
    }
    (!lines).then_some(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_innermost_bracket_that_is_left_open_is_found() {
        for (text, open) in [
            ("", None),
            ("a = [1]\n[b]\n", None),
            ("a = [1,\n", Some(4)),
            ("a = [{ b = 1 },\n", Some(4)),
            ("a = [{ b = 1\n", Some(5)),
            ("# [\na = \"[\"\nb = '{'\nc = \"\"\"[\n{\"\"\"\nd = '\\'\n", None),
            ("a = \"\\\"[\"\nb = [\"x\"", Some(14)),
            ("a = \"[\nb = [", Some(11)),
            ("]]}\na = {", Some(8)),
        ] {
            assert_eq!(open_bracket(text), open, "{text}");
        }
    }

    #[test]
    fn what_is_open_is_told_from_the_outside_in() {
        for (text, open) in [
            ("a = { b = [\n", vec![4, 10]),
            ("a = [1] # [\nb = \"[\n", vec![]),
            ("a = [\"\"\"\n[", vec![4, 5]),
            ("a = '''x'''\nb = '''\n{", vec![16]),
        ] {
            assert_eq!(left_open(text), open, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "[\\[\\]{}\"'#\\\\a\n\r\u{e9}]{0,60}") {
            let is_bracket = open_bracket(&text).is_none_or(|at| matches!(bracket(&text, at), "[" | "{"));
            prop_assert!(is_bracket);
        }
    }
}
