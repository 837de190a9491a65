//! Frames against another implementation, split and damaged anywhere.

use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use proptest::prelude::*;

use super::*;

fn signed(date: i64, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    put_signed(&mut out, date, &[7; 32], payload);
    out
}

/// Everything in `pieces`, or the first error.
fn split<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, bytes_max: usize) -> Result<Vec<SignedFrame>, FrameError> {
    let mut splitter = Splitter::new(bytes_max);
    let mut found = Vec::new();
    for piece in pieces {
        splitter.push(Bytes::copy_from_slice(piece));
        while let Some(frame) = splitter.next_frame()? {
            found.push(frame.signed()?);
        }
    }
    if splitter.is_empty() { Ok(found) } else { Err(FrameError::Truncated) }
}

#[test]
fn frames_are_found_in_two_pieces_split_anywhere() {
    let mut bytes = signed(1, b"one");
    bytes.extend_from_slice(&signed(2, b""));
    bytes.extend_from_slice(&signed(3, &[0xAB; 300]));
    for at in 0..=bytes.len() {
        let found = split([&bytes[..at], &bytes[at..]], 1_000).unwrap();
        assert_eq!(found.iter().map(|frame| (frame.date, frame.payload.len())).collect::<Vec<_>>(), [(1, 3), (2, 0), (3, 300)]);
    }
    assert_eq!(signed(0, b"").len(), SIGNED_OVERHEAD);
}

#[test]
fn a_frame_that_has_begun_tells_its_length_with_the_prelude() {
    let frame = signed(7, &[b'x'; 300]).freeze();
    for at in 0..frame.len() {
        let mut splitter = Splitter::new(frame.len());
        for piece in frame[..at].chunks(5) {
            splitter.push(Bytes::copy_from_slice(piece));
            assert_eq!(splitter.next_frame(), Ok(None));
        }
        let begun = if at < PRELUDE { at } else { frame.len() };
        assert_eq!((splitter.held(), splitter.begun()), (at, begun));
        splitter.push(frame.slice(at..));
        assert!(splitter.next_frame().unwrap().is_some());
        assert_eq!(splitter.begun(), 0);
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let bytes = signed(1_763_817_300_000, b"an event of some length");
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(split([&flipped[..]], 1_000), Err(FrameError::Checksum), "bit {bit}");
    }
}

#[test]
fn a_wrong_length_shows_with_the_prelude() {
    let prelude = |total: u32, headers: u32| {
        let mut out = BytesMut::new();
        out.put_u32(total);
        out.put_u32(headers);
        out.put_u32(crc32(&out));
        Prelude::read(&out, 1_000).map(|prelude| prelude.map(|prelude| prelude.total))
    };
    assert_eq!(prelude(16, 0), Ok(Some(16)));
    assert_eq!(prelude(1_000, 984), Ok(Some(1_000)));
    assert_eq!(prelude(1_001, 0), Err(FrameError::TooLarge { bytes_max: 1_000 }));
    for (total, headers) in [(0, 0), (15, 0), (16, 1), (1_000, 985), (100, u32::MAX)] {
        assert_eq!(prelude(total, headers), Err(FrameError::Length), "{total} {headers}");
    }
    assert_eq!(Prelude::read(&[0; 11], 1_000).map(|prelude| prelude.is_none()), Ok(true));
}

#[test]
fn only_frames_with_a_date_and_a_signature_are_signed() {
    let date = || Header::new(":date", HeaderValue::Timestamp(aws_smithy_types::DateTime::from_millis(5)));
    let signature = |length| Header::new(":chunk-signature", HeaderValue::ByteArray(vec![1; length].into()));
    let read = |headers: Vec<Header>| {
        let mut bytes = Vec::new();
        write_message_to(&Message::new_from_parts(headers, "inner"), &mut bytes).unwrap();
        split([&bytes[..]], 1_000).map(|frames| frames[0].date)
    };
    assert_eq!(read(vec![date(), signature(32)]), Ok(5));
    assert_eq!(read(vec![signature(32), date()]), Ok(5));
    let event = || Header::new(":event-type", HeaderValue::String("chunk".into()));
    for headers in [
        vec![],
        vec![date()],
        vec![signature(32)],
        vec![date(), signature(31)],
        vec![date(), date(), signature(32)],
        vec![date(), signature(32), event()],
        vec![event()],
        vec![Header::new(":date", HeaderValue::Int64(5)), signature(32)],
    ] {
        assert_eq!(read(headers.clone()), Err(FrameError::Unsigned), "{headers:?}");
    }
}

proptest! {
    #[test]
    fn another_implementation_reads_what_is_written(date in 0i64..4_000_000_000_000, payload: Vec<u8>, signature: [u8; 32]) {
        let mut bytes = BytesMut::new();
        put_signed(&mut bytes, date, &signature, &payload);
        let message = read_message_from(&mut bytes.clone().freeze()).unwrap();
        prop_assert_eq!(message.payload(), &payload);
        prop_assert_eq!(message.headers()[0].value().as_timestamp().unwrap().to_millis().unwrap(), date);
        prop_assert_eq!(&message.headers()[1].value().as_byte_array().unwrap()[..], &signature);
        let found = split(bytes.chunks(7), usize::MAX).unwrap();
        prop_assert_eq!(found, vec![SignedFrame { date, signature, payload: payload.into() }]);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), headers in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = split([&bytes[..]], 1_000);
        // Right checksums, anything between.
        let mut framed = BytesMut::new();
        put(&mut framed, headers.len(), &bytes, |out| out.put_slice(&headers));
        let read = split([&framed[..]], 1_000);
        prop_assert!(matches!(read, Ok(_) | Err(FrameError::Unsigned)));
    }
}
