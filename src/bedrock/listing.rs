//! Answers that list models or profiles, without the entries that somebody may not see. The entries that stay, and all around them, stay
//! byte for byte.

use std::ops::Range;

use super::{
    Operation,
    json::{Container, Node, Scanner, Sink},
};

/// An operation whose answer is a list.
#[derive(Clone, Copy)]
pub struct Listing(&'static Node<Field>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Root,
    Entries,
    Name,
}

const fn entries(list: &'static str, below: &'static [Node<Field>]) -> Node<Field> {
    Node::tree(list, Field::Entries, below)
}

static MODELS: Node<Field> = Node::tree("", Field::Root, &[entries("modelSummaries", &[Node::leaf("modelArn", Field::Name)])]);
/// An ARN for either type: the id of an application profile says nothing.
static PROFILES: Node<Field> =
    Node::tree("", Field::Root, &[entries("inferenceProfileSummaries", &[Node::leaf("inferenceProfileArn", Field::Name)])]);
static OPENAI: Node<Field> = Node::tree("", Field::Root, &[entries("data", &[Node::leaf("id", Field::Name)])]);

impl Listing {
    /// Of an operation, if its answer is one.
    pub fn of(operation: &Operation) -> Option<Listing> {
        match operation.name {
            "ListFoundationModels" => Some(Listing(&MODELS)),
            "ListInferenceProfiles" => Some(Listing(&PROFILES)),
            "ListModels" => Some(Listing(&OPENAI)),
            _ => None,
        }
    }

    /// The answer with the entries whose name `keeps` says so; `None` if it is not the list it should be.
    pub fn filter(self, body: &[u8], keeps: impl Fn(&str) -> bool) -> Option<Vec<u8>> {
        let mut scanner = Scanner::new(self.0);
        let mut found = Found::default();
        scanner.push(body, &mut found);
        if !scanner.is_done() || !found.is_object || found.odd {
            return None;
        }
        let Some(list) = found.list else { return Some(body.to_vec()) };
        let mut out = body.get(..list.start)?.to_vec();
        let mut first = true;
        for (range, name) in found.entries {
            if name.is_some_and(|name| keeps(&name)) {
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                out.extend_from_slice(body.get(range)?);
            }
        }
        out.extend_from_slice(body.get(list.end..)?);
        Some(out)
    }
}

#[derive(Default)]
struct Found {
    /// Between the brackets.
    list: Option<Range<usize>>,
    entries: Vec<(Range<usize>, Option<String>)>,
    word: Vec<u8>,
    is_object: bool,
    odd: bool,
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl Sink<Field> for Found {
    fn open(&mut self, at: Option<Field>, kind: Container, start: u64) {
        let start = place(start);
        match (at, kind) {
            (Some(Field::Entries), Container::Array) => {
                let inside = start.saturating_add(1);
                self.odd |= self.list.replace(inside..inside).is_some();
            }
            (Some(Field::Entries), Container::Object) => {
                self.odd |= self.list.is_none();
                self.entries.push((start..start, None));
            }
            (Some(Field::Root), Container::Object) => self.is_object = true,
            (Some(Field::Root | Field::Name), _) => self.odd = true,
            (None, _) => {}
        }
    }

    fn close(&mut self, at: Option<Field>, kind: Container, end: u64) {
        match (at, kind) {
            (Some(Field::Entries), Container::Array) => {
                if let Some(list) = &mut self.list {
                    list.end = place(end).saturating_sub(1);
                }
            }
            (Some(Field::Entries), Container::Object) => {
                if let Some((range, _)) = self.entries.last_mut() {
                    range.end = place(end);
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, at: Option<Field>, fragment: &[u8]) {
        if at == Some(Field::Name) {
            self.word.extend_from_slice(fragment);
        }
    }

    fn text_end(&mut self, at: Option<Field>, _: u64, _: u64) {
        match at {
            Some(Field::Name) => {
                let name = String::from_utf8_lossy(&std::mem::take(&mut self.word)).into_owned();
                let entry = self.entries.last_mut();
                self.odd |= entry.is_none_or(|(_, known)| known.replace(name).is_some());
            }
            Some(Field::Entries) => self.odd = true,
            Some(Field::Root) | None => {}
        }
    }

    fn scalar(&mut self, at: Option<Field>, word: &[u8], _: u64, _: u64) {
        // `"modelSummaries": null` lists nothing.
        self.odd |= at == Some(Field::Entries) && (self.list.is_some() || word != b"null");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::bedrock::operations;

    fn listing(name: &str) -> Listing {
        Listing::of(operations().iter().find(|operation| operation.name == name).unwrap()).unwrap()
    }

    fn filtered(name: &str, body: &str, keeps: impl Fn(&str) -> bool) -> Option<String> {
        listing(name).filter(body.as_bytes(), keeps).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn entries_go_and_their_surroundings_stay() {
        let body = r#"{ "modelSummaries" : [ {"modelArn":"a","x":[{"modelArn":"b"}]} , {"modelArn":"b"},{ "y":1,"modelArn":"c" } ] , "n":"z" }"#;
        let kept = |names: &'static str| filtered("ListFoundationModels", body, move |name| names.contains(name)).unwrap();
        assert_eq!(kept("b"), r#"{ "modelSummaries" : [{"modelArn":"b"}] , "n":"z" }"#);
        assert_eq!(
            kept("ac"),
            r#"{ "modelSummaries" : [{"modelArn":"a","x":[{"modelArn":"b"}]},{ "y":1,"modelArn":"c" }] , "n":"z" }"#
        );
        assert_eq!(kept(""), r#"{ "modelSummaries" : [] , "n":"z" }"#);
    }

    #[test]
    fn what_is_not_the_list_it_should_be_is_not_passed() {
        for body in [
            "",
            "{",
            "[]",
            "[{}]",
            r#""x""#,
            r#"{"modelSummaries":[{"modelArn":"a"}"#,
            r#"{"modelSummaries":{"modelArn":"a"}}"#,
            r#"{"modelSummaries":["a"]}"#,
            r#"{"modelSummaries":[1]}"#,
            r#"{"modelSummaries":[{"modelArn":"a","modelArn":"b"}]}"#,
            r#"{"modelSummaries":[],"modelSummaries":[{"modelArn":"a"}]}"#,
            r#"{"modelSummaries":[[{"modelArn":"a"}]]}"#,
        ] {
            assert_eq!(filtered("ListFoundationModels", body, |_| true), None, "{body}");
        }
        assert_eq!(filtered("ListFoundationModels", r#"{"modelSummaries":[{}]}"#, |_| true).unwrap(), r#"{"modelSummaries":[]}"#);
        for whole in ["{}", r#"{"modelSummaries":null}"#] {
            assert_eq!(filtered("ListFoundationModels", whole, |_| false).as_deref(), Some(whole));
        }
    }

    proptest! {
        #[test]
        fn the_filtered_list_is_the_list_filtered(names in prop::collection::vec("[ab\"\\\\]{0,3}", 0..8), pretty: bool) {
            let entry = |id: &String| json!({"id": id, "object": "model", "nested": {"id": "a", "data": [{"id": 1}]}});
            let list = |names: &[String]| json!({"object": "list", "data": names.iter().map(entry).collect::<Vec<_>>()});
            let body = if pretty { serde_json::to_string_pretty(&list(&names)) } else { serde_json::to_string(&list(&names)) };
            let kept: Vec<String> = names.iter().filter(|name| name.contains('a')).cloned().collect();
            let filtered = filtered("ListModels", &body.unwrap(), |name| name.contains('a')).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&filtered).unwrap(), list(&kept));
        }
    }
}
