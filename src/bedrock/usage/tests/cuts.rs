//! However an answer is cut, it says the same; and whatever it is, nothing breaks.

use proptest::prelude::*;

use super::*;

fn cases() -> impl Iterator<Item = Case> {
    documents::cases().into_iter().chain(streams::cases())
}

#[test]
fn two_pieces_say_what_one_does() {
    for case in cases() {
        let whole = case.read(&[&case.body]);
        for at in 0..=case.body.len() {
            let (left, right) = case.body.split_at(at);
            assert_eq!(case.read(&[left, right]), whole, "{} at {at}", case.name);
        }
    }
}

#[test]
fn single_bytes_say_what_the_whole_does() {
    for case in cases() {
        let bytes: Vec<&[u8]> = case.body.chunks(1).collect();
        assert_eq!(case.read(&bytes), case.read(&[&case.body]), "{}", case.name);
    }
}

/// A client that leaves after any byte: what is called complete is the true usage.
#[test]
fn nothing_is_called_complete_that_is_not_the_whole_usage() {
    for case in cases() {
        for at in 0..case.body.len() {
            let mut reader = case.reader();
            reader.chunk(&case.body[..at]);
            let reading = reader.reading();
            assert!(!reading.complete || reading.usage == case.usage, "{} at {at}: {reading:?}", case.name);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        operation in prop::sample::select(vec!["Converse", "ConverseStream", "ChatCompletions", "InvokeAgent"]),
        content_type in prop::sample::select(vec![JSON, EVENT_STREAM, SSE]),
        pieces in prop::collection::vec(any::<Vec<u8>>(), 0..8),
    ) {
        let case = Case { content_type, ..Case::new("", operation, "", None) };
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        case.read(&pieces);
    }

    #[test]
    fn a_changed_byte_makes_no_panic(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut case = which.get(&cases().map(Some).collect::<Vec<_>>()).as_ref().map(|case| Case {
            headers: case.headers.clone(), body: case.body.clone(), ..*case
        }).unwrap();
        let at = at.index(case.body.len());
        case.body[at] = byte;
        case.read(&[&case.body]);
    }

    #[test]
    fn random_pieces_say_what_one_does(which in any::<prop::sample::Index>(), lengths in prop::collection::vec(1usize..200, 1..100)) {
        let all: Vec<Case> = cases().collect();
        let case = which.get(&all);
        let mut rest = case.body.as_slice();
        let mut pieces = Vec::new();
        for length in lengths.iter().cycle() {
            let (piece, after) = rest.split_at(*length.min(&rest.len()));
            pieces.push(piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(case.read(&pieces), case.read(&[&case.body]));
    }
}
