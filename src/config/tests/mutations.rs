//! Nothing in a file makes the reader fall over.

use std::path::Path;

use proptest::prelude::*;

use super::{BROKEN, examined, parse, reference::reference_in_full};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Cuts, copies and overwrites pieces of sound files; the report is drawn as well, for it slices the text.
    #[test]
    fn no_mutation_makes_the_reader_panic(
        full in any::<bool>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..40usize, 0..4u8, "\\PC{0,3}|[\\[\\]{}=\"'\\n.#,é]{1,3}|-?[0-9]{1,45}"), 1..8),
    ) {
        let mut text: Vec<char> = if full { reference_in_full() } else { BROKEN.to_owned() }.chars().collect();
        for (at, from, length, kind, piece) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + length).min(text.len());
            let piece: Vec<char> = match kind {
                0 => Vec::new(),
                1 => { let from = from.index(text.len() + 1); text[from..(from + length).min(text.len())].to_vec() }
                _ => piece.chars().collect(),
            };
            text.splice(at..if kind == 3 { at } else { end }, piece);
        }
        let text: String = text.into_iter().collect();
        let problems = examined(&text);
        let _ = (problems.to_string(), problems.render(true));
        for problem in problems.iter() {
            prop_assert!(problems.position(problem).is_some());
        }
        prop_assert_eq!(parse(&text, Path::new("t.toml")).is_ok(), problems.errors().count() == 0);
    }

    #[test]
    fn no_text_at_all_makes_the_reader_panic(text in "\\PC{0,200}|[\\[\\]{}=\"'\\n\\r\\t.#,a\u{feff}é0-9]{0,100}") {
        let _ = examined(&text).to_string();
    }
}
