//! What the filter takes out, and that it takes out nothing else.

use bytes::Bytes;
use proptest::prelude::*;

use super::super::UsageChunkFilter;

fn filtered(body: &[u8], lengths: &[usize]) -> Vec<u8> {
    let (mut filter, mut out, mut rest) = (UsageChunkFilter::default(), Vec::new(), Bytes::copy_from_slice(body));
    let mut lengths = lengths.iter().cycle();
    while !rest.is_empty() {
        let length = lengths.next().copied().unwrap_or(usize::MAX).clamp(1, rest.len());
        out.extend_from_slice(&filter.chunk(&rest.split_to(length)));
    }
    out.extend_from_slice(&filter.end());
    out
}

const DELTA: &str = r#"data: {"choices":[{"delta":{"content":"\"choices\":[],\"usage\":{}"}}],"usage":null}"#;
const USAGE: &str = r#"data: {"id":"c","choices":[],"usage":{"prompt_tokens":1}}"#;
const OTHERS: [&str; 8] = [
    DELTA,
    ": keep-alive",
    r#"data: {"choices":[],"prompt_filter_results":[],"usage":null}"#,
    r#"data: {"usage":{"prompt_tokens":1},"choices":[{"delta":{}}]}"#,
    r#"data: {"usage":{"prompt_tokens":1}}"#,
    r#"data: {"choices":[],"usage":{"prompt_tokens":1}"#,
    r#"data: {"error":{"message":"x"}}"#,
    "data: [DONE]",
];

#[test]
fn the_usage_chunk_goes_at_every_cut_and_nothing_else() {
    for end in ["\n", "\r\n", "\r"] {
        let events = |with: bool| -> String {
            let usage = if with { Some(USAGE) } else { None };
            let order = [OTHERS[0]].into_iter().chain(usage).chain(OTHERS).chain(usage).chain([OTHERS[7]]);
            order.map(|event| format!("{event}{end}{end}")).collect()
        };
        let (body, expected) = (events(true), events(false));
        for at in 0..=body.len() {
            let out = filtered(body.as_bytes(), &[at.max(1), body.len()]);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{at} {end:?}");
        }
        assert_eq!(filtered(body.as_bytes(), &[1]), expected.as_bytes());
    }
}

#[test]
fn two_lines_of_data_are_one_chunk() {
    let body = "data: {\"choices\":[],\ndata: \"usage\":{}}\n\nrest";
    assert_eq!(filtered(body.as_bytes(), &[5]), b"rest");
}

#[test]
fn a_chunk_with_a_choice_is_not_held() {
    let mut filter = UsageChunkFilter::default();
    let start = Bytes::from_static(b"data: {\"choices\":[{\"delta\":");
    assert_eq!(filter.chunk(&start), start);
    let long = Bytes::from(vec![b'x'; super::super::filter::HELD_BYTES_MAX + 1]);
    let mut filter = UsageChunkFilter::default();
    assert_eq!(filter.chunk(&long), long);
}

#[test]
fn a_piece_that_stays_whole_is_not_copied() {
    let piece = Bytes::from(format!("{DELTA}\n\n{DELTA}\n\n"));
    assert_eq!(UsageChunkFilter::default().chunk(&piece).as_ptr(), piece.as_ptr());
}

proptest! {
    #[test]
    fn other_bodies_pass_byte_for_byte(body in any::<Vec<u8>>(), lengths in prop::collection::vec(1usize..40, 1..20)) {
        prop_assert_eq!(filtered(&body, &lengths), body);
    }

    #[test]
    fn cuts_do_not_matter(
        events in prop::collection::vec((0..=OTHERS.len(), prop::sample::select(vec!["\n", "\r\n", "\r"])), 0..12),
        lengths in prop::collection::vec(1usize..60, 1..20),
    ) {
        let text = |with: bool| -> String {
            let all = events.iter().filter(|(which, _)| with || *which < OTHERS.len());
            all.map(|(which, end)| format!("{}{end}{end}", OTHERS.get(*which).unwrap_or(&USAGE))).collect()
        };
        let expected = text(false);
        prop_assert_eq!(String::from_utf8(filtered(text(true).as_bytes(), &lengths)).unwrap(), expected);
    }
}
