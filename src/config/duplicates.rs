//! Keys and sections that are written twice. The parser keeps the first of them and tells only where the second stands; which key
//! that is, and where the first stands, is told here.

use std::ops::Range;

use toml::de::DeTable;

use super::{
    Problem, Severity,
    document::{KeyPath, Node, Step},
};

/// What is wrong with keys that stand at these places for the second time.
pub(super) fn problems(text: &str, mut places: Vec<Range<usize>>) -> Vec<Problem> {
    places.sort_by_key(|place| place.start);
    places.dedup();
    let found = if places.is_empty() { Vec::new() } else { find(text, &places) };
    let problem = |(place, found): (Range<usize>, Option<(KeyPath, usize)>)| {
        let message = "this key or section has been written before".to_owned();
        let (key_path, help) = match found {
            Some((path, line)) => (path.to_string(), format!("remove one of the two; the first is on line {line}")),
            None => (String::new(), "remove one of the two".to_owned()),
        };
        Problem { severity: Severity::Error, message, key_path, span: Some(place), help }
    };
    let nothing = std::iter::repeat_with(|| None);
    places.into_iter().zip(found.into_iter().chain(nothing)).map(problem).collect()
}

/// What each of the places repeats, and on which line that stands first. Each gets a name that nothing else has; then the parser keeps it,
/// and the tree tells its path.
fn find(text: &str, places: &[Range<usize>]) -> Vec<Option<(KeyPath, usize)>> {
    let Some(prefix) = (0..).map(|number| format!("again{number}-")).find(|prefix| !text.contains(prefix)) else {
        return Vec::new();
    };
    let (mut renamed, mut at) = (String::with_capacity(text.len()), 0);
    for (number, place) in places.iter().enumerate() {
        renamed.push_str(text.get(at..place.start).unwrap_or_default());
        renamed.push_str(&format!("{prefix}{number}"));
        at = place.end;
    }
    renamed.push_str(text.get(at..).unwrap_or_default());

    let root = Node::root(DeTable::parse_recoverable(&renamed).0);
    let names: Vec<_> = places.iter().map(|place| key(text.get(place.clone()).unwrap_or_default())).collect();
    let mut found = vec![None; places.len()];
    root.each_key(&mut |path| {
        let Some(number) = renaming(path.last(), &prefix) else { return };
        let original = |step: &Step| match renaming(Some(step), &prefix).and_then(|number| names.get(number)) {
            Some(Some(name)) => Step::Key(name.clone()),
            _ => step.clone(),
        };
        let path = KeyPath(path.iter().map(original).collect());
        let first = root.key_span_of(&path.0).filter(|_| root.has(&path.0));
        if let (Some(first), Some(slot)) = (first, found.get_mut(number)) {
            let line = renamed.get(..first.start).unwrap_or_default().matches('\n').count() + 1;
            *slot = Some((path, line));
        }
    });
    found
}

fn renaming(step: Option<&Step>, prefix: &str) -> Option<usize> {
    match step {
        Some(Step::Key(key)) => key.strip_prefix(prefix)?.parse().ok(),
        _ => None,
    }
}

/// The name that a key has, however it is quoted.
fn key(written: &str) -> Option<String> {
    let line = format!("{written} = 0");
    let table = DeTable::parse(&line).ok()?;
    table.get_ref().keys().next().map(|key| key.get_ref().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let errors = DeTable::parse_recoverable(text).1;
        let places: Vec<_> = errors.iter().filter_map(toml::de::Error::span).collect();
        assert!(!places.is_empty(), "{text}");
        problems(text, places).iter().map(|problem| format!("{} {}", problem.key_path, problem.help)).collect()
    }

    #[test]
    fn the_key_and_the_first_of_the_two_are_told() {
        for (text, path, line) in [
            ("a = 1\n\na = 2\n", "a", 1),
            ("[t]\na = 1\n\"a\" = 2\n", "t.a", 2),
            ("[t.x]\nb = 1\n[u]\n[t.x]\nc = 1\n", "t.x", 1),
            ("t = { a = 1, b = 2, a = 3 }\n", "t.a", 1),
            ("[[t]]\na = 1\n[[t]]\na = 1\na = 2\n", "t[1].a", 4),
            ("[t]\nx.a = 1\nx.b = 1\nx.a = 2\n", "t.x.a", 2),
            ("# again0-\n[t]\n\"a b\" = 1\n'a b' = 2\n", "t.\"a b\"", 3),
        ] {
            assert_eq!(found(text), [format!("{path} remove one of the two; the first is on line {line}")], "{text}");
        }
    }

    #[test]
    fn each_of_several_is_told() {
        let text = "a = 1\na = 2\nb = 1\na = 3\nb = 2\n";
        let lines = [("a", 1), ("a", 1), ("b", 3)];
        assert_eq!(found(text), lines.map(|(key, line)| format!("{key} remove one of the two; the first is on line {line}")));
    }
}
