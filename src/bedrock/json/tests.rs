//! The scanner against serde_json, at every cut, and against what is no JSON.

use proptest::prelude::*;

use super::*;

static ROOT: Node<u8> = Node::way(
    "",
    &[
        Node::tree("usage", 1, &[Node::leaf("in", 2), Node::way("details", &[Node::leaf("cached", 3)])]),
        Node::leaf("tier", 4),
        Node::way("results", &[Node::leaf("count", 5)]),
    ],
);

/// Everything a sink is told, fragments joined.
#[derive(Debug, Default, PartialEq)]
struct Told(Vec<(Option<u8>, String)>, String);

impl Sink<u8> for Told {
    fn open(&mut self, at: Option<u8>, kind: Container, start: u64) {
        if at.is_some() {
            self.0.push((at, format!("open {kind:?} {start}")));
        }
    }

    fn close(&mut self, at: Option<u8>, kind: Container, end: u64) {
        if at.is_some() {
            self.0.push((at, format!("close {kind:?} {end}")));
        }
    }

    fn text(&mut self, _: Option<u8>, fragment: &[u8]) {
        self.1.push_str(std::str::from_utf8(fragment).unwrap());
    }

    fn text_end(&mut self, at: Option<u8>, start: u64, end: u64) {
        let text = std::mem::take(&mut self.1);
        if at.is_some() {
            self.0.push((at, format!("{text:?} {start}..{end}")));
        }
    }

    fn scalar(&mut self, at: Option<u8>, word: &[u8], start: u64, end: u64) {
        if at.is_some() {
            self.0.push((at, format!("{} {start}..{end}", String::from_utf8_lossy(word))));
        }
    }
}

fn told(pieces: &[&[u8]]) -> (Vec<(Option<u8>, String)>, bool) {
    let (mut scanner, mut sink) = (Scanner::new(&ROOT), Told::default());
    pieces.iter().for_each(|piece| scanner.push(piece, &mut sink));
    (sink.0, scanner.is_done())
}

const DOCUMENT: &str = r#"{"content":[{"usage":{"in":9},"text":"\"usage\":{\"in\":8}"}],"tier":"a\ud83d\ude00\u00e9\/\n",
    "us\u0061ge":{"in":7, "more":{"in":6,"cached":5},"details":{"cached":4}},"results":[{"count":1},{"count":2}],"usage":null}"#;

#[test]
fn values_are_known_by_the_whole_way_to_them() {
    let (found, done) = told(&[DOCUMENT.as_bytes()]);
    let words: Vec<(Option<u8>, &str)> = found.iter().map(|(at, text)| (*at, text.split(' ').next().unwrap())).collect();
    let expected = [(4, "\"a😀é/\\n\""), (1, "open"), (2, "7"), (3, "4"), (1, "close"), (5, "1"), (5, "2"), (1, "null")];
    assert_eq!(words, expected.map(|(at, text)| (Some(at), text)));
    assert!(done);
    let null = found.last().unwrap().1.rsplit_once(' ').unwrap().1.split_once("..").unwrap();
    assert_eq!(&DOCUMENT[null.0.parse().unwrap()..null.1.parse().unwrap()], "null");
}

#[test]
fn every_cut_tells_the_same() {
    let whole = told(&[DOCUMENT.as_bytes()]);
    for at in 0..=DOCUMENT.len() {
        // Fragments may end inside a character: these documents have none but in escapes.
        let (left, right) = DOCUMENT.as_bytes().split_at(at);
        assert_eq!(told(&[left, right]), whole, "{at}");
    }
    let bytes: Vec<&[u8]> = DOCUMENT.as_bytes().chunks(1).collect();
    assert_eq!(told(&bytes), whole);
}

#[test]
fn half_a_surrogate_pair_does_not_vanish_from_a_name() {
    let (found, _) = told(&[br#"{"tier\ud800":"x","tier\ud800\u0041":"y","tier\udc00":"z","tier\ud800\n":"w"}"#]);
    assert_eq!(found, []);
}

#[test]
fn what_is_no_json_is_broken() {
    for text in ["x", "{1}", "{\"a\" 1}", "[1 2]", "[}", "{]", "{\"a\":1,}", "[\"\\x\"]", "{} {}", "]", "[1,]", "[DONE]", ","] {
        let (mut scanner, mut sink) = (Scanner::new(&ROOT), Told::default());
        scanner.push(text.as_bytes(), &mut sink);
        assert!(scanner.is_broken(), "{text}");
    }
    let mut scanner = Scanner::new(&ROOT);
    scanner.push(&[b'['; DEPTH_MAX + 1], &mut Told::default());
    assert!(scanner.is_broken());
}

/// Wants to know every name, as those do that decide on requests.
struct All;

impl Sink<u8> for All {
    const EVERYTHING: bool = true;
}

#[test]
fn a_name_that_is_no_utf8_breaks_the_document_wherever_it_stands() {
    let is_read = |document: &[u8], length: usize| {
        let mut scanner = Scanner::new(&ROOT);
        document.chunks(length).for_each(|piece| scanner.push(piece, &mut All));
        scanner.is_done()
    };
    let long = [b"\xe0\x81\xa1".repeat(30), b"a".repeat(40)].concat();
    for name in [&b"t\xc1\xa9er"[..], b"ti\xe0\x81\xa5r", b"\xff", b"tier\xc3", &long] {
        for document in [[b"{\"", name, b"\":1}"].concat(), [b"{\"x\":[{\"", name, b"\":1}]}"].concat()] {
            for length in [1, 3, 1_000] {
                assert!(!is_read(&document, length), "{document:?}");
            }
        }
    }
    for name in ["tiér", "名前", "😀", "\\ud800", &"é".repeat(40), &("a".to_owned() + &"é".repeat(40))] {
        for length in [1, 3, 1_000] {
            assert!(is_read(format!("{{\"{name}\":1}}").as_bytes(), length), "{name}");
        }
    }
}

#[test]
fn counts_are_read_as_json_writes_them() {
    let cases = [
        ("0", Some(0)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", Some(u64::MAX)),
        ("1e3", Some(1000)),
        ("2.5", Some(3)),
        ("1e999", Some(u64::MAX)),
        ("-1", None),
        ("null", None),
        ("nan", None),
        ("inf", None),
        ("", None),
    ];
    for (word, expected) in cases {
        assert_eq!(count(word.as_bytes()), expected, "{word}");
    }
}

#[test]
fn words_that_are_too_long_are_told_as_unreadable() {
    let long = "1".repeat(WORD_BYTES + 1);
    let (found, done) = told(&[format!(r#"{{"tier":{long},"usage{}":{{"in":1}}}}"#, "x".repeat(100)).as_bytes()]);
    assert_eq!((found, done), (vec![(Some(4), format!(" 8..{}", 8 + long.len()))], true));
}

fn document() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    let name = prop_oneof![Just("usage".to_owned()), Just("in".to_owned()), Just("tier".to_owned()), any::<String>()];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|members| { serde_json::Value::Object(members.into_iter().collect()) }),
        ]
    })
}

proptest! {
    #[test]
    fn what_serde_writes_is_read_to_its_end_and_tells_what_serde_tells(value in document(), cut in any::<prop::sample::Index>()) {
        let text = value.to_string();
        let (left, right) = text.as_bytes().split_at(cut.index(text.len() + 1));
        let mut scanner = Scanner::new(&ROOT);
        let mut sink = Bytes::default();
        scanner.push(left, &mut sink);
        scanner.push(right, &mut sink);
        prop_assert_eq!(scanner.is_done(), value.is_object() || value.is_array() || value.is_string());
        prop_assert!(!scanner.is_broken());
        if let Some(input) = value.get("usage").and_then(|usage| usage.get("in")).and_then(serde_json::Value::as_u64) {
            prop_assert_eq!(sink.0, Some(input));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(pieces in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
        let mut scanner = Scanner::new(&ROOT);
        pieces.iter().for_each(|piece| scanner.push(piece, &mut Bytes::default()));
    }
}

/// Only the last count at `usage.in`: fragments of random strings need not be whole characters.
#[derive(Default)]
struct Bytes(Option<u64>);

impl Sink<u8> for Bytes {
    const EVERYTHING: bool = true;

    fn scalar(&mut self, at: Option<u8>, word: &[u8], _: u64, _: u64) {
        if at == Some(2) {
            self.0 = count(word);
        }
    }
}
