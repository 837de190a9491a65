//! Conversations under keys of the gateway's own: each event is the next of the chain that began with the head, or the stream is over.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tollgate::{auth::key_ring::new_access_key, simulator::Served};

use crate::{
    client::{Answer, Client, Upload, post_upload},
    conversation::{self, Conversation, SONIC, chunk, head},
    harness::World,
    signed::{holder, sealing_keys, signer_of, with_keys},
    signing::{Message, Signer, vend},
    vending::bare,
};

/// Keys that the gateway vended, and keys of its file.
struct Keys {
    world: World,
    vended: Signer,
    fixed: Signer,
}

impl Keys {
    async fn start() -> Keys {
        let key = new_access_key(&holder("acme", None, None), &sealing_keys("a")).unwrap();
        let world = World::with(with_keys(&key.entry)).await;
        let vended = vend(&mut bare(&world).await, &world.token("acme")).await;
        Keys { vended, fixed: signer_of(&key), world }
    }

    /// Nobody's token in the connection.
    async fn client(&self) -> Client {
        let mut client = self.world.h2c().await;
        client.authorization.clear();
        client
    }

    fn last(&self) -> Arc<Served> {
        self.world.simulator.record().requests().pop().unwrap()
    }

    fn heard(&self) -> u64 {
        self.last().heard().unwrap().events()
    }
}

async fn refused(client: &mut Client, head: &Message) -> Answer {
    let (_feed, upload) = Upload::fed(None);
    Answer::read(client.send(head.request().map(|_| upload)).await.unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vended_and_fixed_keys_carry_a_conversation() {
    let keys = Keys::start().await;
    for signer in [&keys.vended, &keys.fixed] {
        let mut over_tls = keys.world.h2().await;
        over_tls.authorization.clear();
        for mut client in [over_tls, keys.client().await] {
            // The Rust SDK signs the hash of no body instead, and announces nothing.
            let announcing = Signer { announces_hash: true, ..signer.clone() };
            for head in [signer.sign_events(head()), signer.sign(head()), announcing.sign(head())] {
                let mut conversation = Conversation::open_signed(&mut client, signer, &head).await;
                for number in 0..10_u32 {
                    conversation.say(&number.to_be_bytes());
                    assert_eq!(conversation.hear().await, number.to_be_bytes());
                }
                conversation.close();
                assert_eq!(conversation.rest().await, 0);
                assert_eq!((keys.heard(), keys.last().heard().unwrap().closed()), (10, true));
            }
        }
    }
}

/// Also where whoever flips it makes the checksums right again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_anywhere_is_refused_whatever_the_checksums_say() {
    let keys = Keys::start().await;
    let mut client = keys.client().await;
    let length = { conversation::Signer::new().sign(&chunk(b"an event")).len() };
    for (at, repaired) in (0..length).flat_map(|at| [(at, false), (at, true)]) {
        let head = keys.vended.sign_events(head());
        let mut conversation = Conversation::open_signed(&mut client, &keys.vended, &head).await;
        conversation.say(b"good");
        assert_eq!(conversation.hear().await, b"good");
        let mut frame = BytesMut::from(conversation.signer.sign(&chunk(b"an event")));
        frame[at] ^= 1 << (at % 8);
        if repaired && !(8..12).contains(&at) && at < length - 4 {
            repair(&mut frame);
        }
        conversation.send(frame.freeze());
        // A length that grew would be waited for.
        conversation.feed = None;
        let (kind, message) = conversation.exception().await;
        assert_eq!(kind, "validationException", "byte {at}: {message}");
        assert_eq!(keys.heard(), 1, "byte {at}");
    }
    let metrics = keys.world.metrics().await;
    assert_eq!(metrics.sum("tollgate_denials_total", &["acme", "event_"]), 2.0 * length as f64);
    assert!(metrics.sum("tollgate_denials_total", &["acme", "event_signature"]) > 100.0);
}

fn repair(frame: &mut [u8]) {
    let end = frame.len() - 4;
    let prelude = crc32fast::hash(&frame[..8]);
    frame[8..12].copy_from_slice(&prelude.to_be_bytes());
    let whole = crc32fast::hash(&frame[..end]);
    frame[end..].copy_from_slice(&whole.to_be_bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_the_next_event_of_the_chain_ends_the_stream() {
    let keys = Keys::start().await;
    let mut client = keys.client().await;
    // What comes after one good event, in its place.
    type Wrong = fn(&mut conversation::Signer, Bytes) -> Vec<Bytes>;
    let cases: [(&str, Wrong); 7] = [
        ("swapped", |chain, _| {
            let (second, third) = (chain.sign(&chunk(b"second")), chain.sign(&chunk(b"third")));
            vec![third, second]
        }),
        ("left out", |chain, _| {
            chain.sign(&chunk(b"second"));
            vec![chain.sign(&chunk(b"third"))]
        }),
        ("repeated", |_, first| vec![first]),
        ("from another seed", |chain, _| {
            chain.last = "5e".repeat(32);
            vec![chain.sign(&chunk(b"second"))]
        }),
        ("of another key", |chain, _| vec![conversation::Signer::of("another", &chain.last).sign(&chunk(b"second"))]),
        ("closed by another key", |chain, _| vec![conversation::Signer::of("another", &chain.last).end()]),
        ("not closed", |_, _| Vec::new()),
    ];
    for (claim, wrong) in cases {
        for signer in [&keys.vended, &keys.fixed] {
            let head = signer.sign_events(head());
            let mut conversation = Conversation::open_signed(&mut client, signer, &head).await;
            let first = conversation.signer.sign(&chunk(b"first"));
            conversation.send(first.clone());
            assert_eq!(conversation.hear().await, b"first");
            wrong(&mut conversation.signer, first).into_iter().for_each(|frame| conversation.send(frame));
            conversation.feed = None;
            let (kind, message) = conversation.exception().await;
            assert_eq!(kind, "validationException", "{claim}: {message}");
            assert_eq!((keys.heard(), keys.last().heard().unwrap().closed()), (1, false), "{claim}");
        }
    }
    assert_eq!(keys.world.metrics().await.sum("tollgate_denials_total", &["acme", "event_signature"]), 14.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_event_continues_the_head_and_no_other() {
    let keys = Keys::start().await;
    let mut client = keys.client().await;
    let (head, other) = (keys.vended.sign_events(head()), keys.vended.sign_events(head().with("x-amz-other", "head")));
    let mut conversation = Conversation::open_signed(&mut client, &keys.vended, &head).await;
    conversation.signer.last = other.signature().to_owned();
    conversation.say(b"of another conversation");
    assert_eq!(conversation.exception().await.0, "validationException");
    assert_eq!(keys.heard(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_not_signed_for_events_opens_nothing() {
    let keys = Keys::start().await;
    let mut client = keys.client().await;
    let announcing = Signer { announces_hash: true, ..keys.vended.clone() };
    let forger = Signer { secret_access_key: "guessed".to_owned(), ..keys.vended.clone() };
    for head in [
        announcing.sign(Message { body: b"a body".to_vec(), ..head() }),
        keys.vended.sign(Message { body: b"a body".to_vec(), ..head() }),
        forger.sign_events(head()),
        forger.sign(head()),
        keys.vended.sign_events(head()).replacing("x-amz-content-sha256", |_| "UNSIGNED-PAYLOAD".to_owned()),
        keys.vended.sign_events(head()).replacing("content-type", |_| "application/json".to_owned()),
    ] {
        refused(&mut client, &head).await.assert_refused(403, "InvalidSignatureException");
    }
    assert_eq!(keys.world.served_count(), 0);
    // Without a signature there is no chain to hold it to, and no caller either.
    let (_feed, upload) = Upload::fed(None);
    let answer = Answer::read(client.send(post_upload(SONIC, upload)).await.unwrap()).await.unwrap();
    answer.assert_refused(403, "MissingAuthenticationTokenException");
}
