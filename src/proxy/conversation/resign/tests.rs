//! Chains in, chains out: what leaves is signed by the gateway, and nothing leaves that was not checked.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;

use super::*;
use crate::{
    aws::{Authorization, ReceivedChain, Signer, event_stream::text_frame, received::ScopedKey},
    quota::Counters,
    telemetry::Metrics,
};

const NOW: Duration = Duration::from_secs(1_763_855_000);

fn chain(secret: &str, seed: u8) -> EventChain {
    let signer = Signer::new(Credentials::new("AKID", secret, None, None, "test"));
    EventChain::new(Arc::new(signer), "us-east-1", "bedrock", [seed; 32])
}

/// The same, as whoever receives it has it.
fn received(secret: &str, seed: u8) -> ReceivedChain {
    let signature = format!("{seed:02x}").repeat(32);
    let scope = "AKID/20251122/us-east-1/bedrock/aws4_request";
    let head = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={signature}");
    let head = Authorization::parse(&head).unwrap();
    let key = ScopedKey::derive(secret, &head);
    ReceivedChain::new(&head, [(head.date, &key), ("20251123", &key)])
}

/// Keys of ours, as the client has them too.
fn known_client() -> ClientChain {
    ClientChain::of_keys(received("client", 1))
}

fn resigner(client: ClientChain) -> Resigner {
    let measured = Metrics::new().unwrap().bidirectional.of_tenant("t");
    Resigner::new(chain("gateway", 2), client, &Bidirectional::default(), Counters::default().of("t"), measured)
}

fn signed(secret: &str, events: &[&[u8]]) -> Vec<Bytes> {
    let mut chain = chain(secret, 1);
    let sign = |event: &&[u8]| {
        let mut out = BytesMut::new();
        chain.put(&mut out, &Hashed::new(Bytes::copy_from_slice(event)), UNIX_EPOCH + NOW);
        out.freeze()
    };
    events.iter().map(sign).collect()
}

/// What comes out is a chain of the gateway's over the same events.
fn assert_chain(out: &[u8], events: &[&[u8]]) {
    let (mut chain, mut frames) = (received("gateway", 2), Splitter::new(usize::MAX));
    frames.push(Bytes::copy_from_slice(out));
    for event in events {
        let frame = frames.next_frame().unwrap().unwrap().signed().unwrap();
        assert_eq!(frame.payload, *event);
        chain.verify(&Hashed::new(frame.payload), frame.date, &frame.signature, UNIX_EPOCH + NOW).unwrap();
    }
    assert!(frames.is_empty());
}

#[test]
fn events_leave_under_the_gateways_chain_whatever_keys_they_came_under() {
    let events: [&[u8]; 3] = [b"one", b"two", b""];
    for (client, secret) in [(ClientChain::of_placeholders(), "anything"), (known_client(), "client")] {
        let mut resigner = resigner(client);
        let bytes = signed(secret, &events).concat();
        let mut out = Vec::new();
        for piece in bytes.chunks(11) {
            out.extend_from_slice(&resigner.take(Bytes::copy_from_slice(piece), UNIX_EPOCH + NOW).unwrap());
        }
        assert!(resigner.end(UNIX_EPOCH + NOW).unwrap().is_empty());
        assert_chain(&out, &events);
        assert_eq!((resigner.events(), resigner.bytes()), (2, bytes.len() as u64));
    }
}

#[test]
fn keys_of_ours_prove_every_event_and_the_end() {
    let now = UNIX_EPOCH + NOW;
    let other = signed("forged", &[b"one"]).remove(0);
    assert!(matches!(resigner(known_client()).take(other, now), Err(Denial::Chain(_))));

    let events = signed("client", &[b"one", b"two"]);
    let mut skipping = resigner(known_client());
    assert!(matches!(skipping.take(events[1].clone(), now), Err(Denial::Chain(_))));

    let mut cut = resigner(known_client());
    cut.take(events[0].clone(), now).unwrap();
    assert!(matches!(cut.end(now), Err(Denial::Chain(ChainError::Open))));
}

#[test]
fn placeholder_keys_prove_nothing_and_need_no_end() {
    let now = UNIX_EPOCH + NOW;
    let mut resigner = resigner(ClientChain::of_placeholders());
    let mut out = resigner.take(signed("x", &[b"one"]).concat().into(), now).unwrap().to_vec();
    out.extend_from_slice(&resigner.end(now).unwrap());
    assert_chain(&out, &[b"one", b""]);
}

#[test]
fn nothing_of_a_broken_event_leaves() {
    let now = UNIX_EPOCH + NOW;
    let mut events = BytesMut::from(&signed("x", &[b"one", b"two"]).concat()[..]);
    let last = events.len() - 1;
    events[last] ^= 1;
    let mut resigner = resigner(ClientChain::of_placeholders());
    let mut out = Vec::new();
    let mut refused = false;
    for piece in events.chunks(10) {
        match resigner.take(Bytes::copy_from_slice(piece), now) {
            Ok(bytes) => out.extend_from_slice(&bytes),
            Err(denial) => refused = matches!(denial, Denial::Event(FrameError::Checksum)),
        }
    }
    assert!(refused);
    assert_chain(&out, &[b"one"]);
}

#[test]
fn bare_events_are_those_of_a_client_that_proves_nothing_by_signing() {
    let now = UNIX_EPOCH + NOW;
    let bare = text_frame(&[(":message-type", "event"), (":event-type", "chunk")], b"{}");
    let mut out = Vec::new();
    let mut unsigned = resigner(ClientChain::of_placeholders());
    for piece in [&bare, &bare].map(|event| &event[..]).concat().chunks(7) {
        out.extend_from_slice(&unsigned.take(Bytes::copy_from_slice(piece), now).unwrap());
    }
    out.extend_from_slice(&unsigned.end(now).unwrap());
    assert_chain(&out, &[&bare, &bare, b""]);

    let refused = resigner(known_client()).take(bare, now);
    assert!(matches!(refused, Err(Denial::Event(FrameError::Unsigned))));
    let other = text_frame(&[(":message-type", "event")], b"{}");
    assert!(matches!(resigner(ClientChain::of_placeholders()).take(other, now), Err(Denial::Event(FrameError::Unsigned))));
}
