//! What can be done to a client's frames on their way: every bit of one changed, and whole ones left out, repeated, swapped, replayed.
//! Whatever it is, the stream ends, it counts as a denial, and Bedrock gets no byte of it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::task::JoinSet;
use tollgate::simulator::Served;

use crate::{
    client::{Answer, Client, Upload},
    conversation::{self, Conversation, chunk, encoded, head},
    harness::World,
    signed::tampered,
    signed_events::Keys,
    signing::Signer,
};

/// Connections that share the attempts.
const CLIENTS: usize = 4;

/// How a frame is changed.
#[derive(Clone, Copy, Debug)]
struct Flip {
    bit: usize,
    /// The checksums are made right again: what is left is the signature.
    repaired: bool,
}

impl Flip {
    /// Every bit of a frame of so many bytes; those of the checksums come back if they are repaired.
    fn all(length: usize, repaired: bool) -> impl Iterator<Item = Flip> {
        let checksum = move |byte| (8..12).contains(&byte) || byte >= length - 4;
        (0..length * 8).filter(move |bit| !repaired || !checksum(bit / 8)).map(move |bit| Flip { bit, repaired })
    }

    fn of(self, frame: &Bytes) -> Bytes {
        let mut frame = BytesMut::from(&frame[..]);
        frame[self.bit / 8] ^= 1 << (self.bit % 8);
        if self.repaired {
            let end = frame.len() - 4;
            let prelude = crc32fast::hash(&frame[..8]);
            frame[8..12].copy_from_slice(&prelude.to_be_bytes());
            let whole = crc32fast::hash(&frame[..end]);
            frame[end..].copy_from_slice(&whole.to_be_bytes());
        }
        frame.freeze()
    }
}

/// What the simulator got of this conversation.
fn served(world: &World, conversation: &Conversation) -> Arc<Served> {
    let id = conversation.head.headers["x-amzn-requestid"].to_str().unwrap();
    let requests = world.simulator.record().requests();
    requests.iter().rev().find(|served| served.request_id == id).unwrap().clone()
}

/// After one good event, `frames` and the end of the body.
async fn assert_refused(world: &World, conversation: &mut Conversation, frames: impl IntoIterator<Item = Bytes>, claim: &str) {
    let good = served(world, conversation).heard().unwrap().bytes();
    frames.into_iter().for_each(|frame| conversation.send(frame));
    // A length that grew would be waited for.
    conversation.feed = None;
    let (kind, message) = conversation.exception().await;
    assert_eq!(kind, "validationException", "{claim}: {message}");
    let served = served(world, conversation);
    let heard = served.heard().unwrap();
    assert_eq!((heard.events(), heard.closed(), heard.bytes()), (1, false, good), "{claim}");
}

/// Everybody who may speak, and with what.
#[derive(Clone)]
enum Speaker {
    /// A bearer token, beside which anything may sign.
    Token,
    Keys(Signer),
}

impl Speaker {
    async fn client(&self, world: &World) -> Client {
        let mut client = world.h2c().await;
        if matches!(self, Speaker::Keys(_)) {
            client.authorization.clear();
        }
        client
    }

    /// A conversation in which one event was answered.
    async fn begin(&self, client: &mut Client) -> Conversation {
        let mut conversation = match self {
            Speaker::Token => Conversation::open(client).await,
            Speaker::Keys(signer) => Conversation::open_signed(client, signer, &signer.sign_events(head())).await,
        };
        conversation.say(b"good");
        assert_eq!(conversation.hear().await, b"good");
        conversation
    }
}

/// One bit of the frame that comes next is changed, in a conversation for each bit.
async fn no_bit_can_be_changed(frame: fn(&mut conversation::Signer) -> Bytes) {
    let keys = Keys::start().await;
    let length = frame(&mut conversation::Signer::new()).len();
    let attempts: Vec<(Speaker, Flip)> = [(Speaker::Token, false), (Speaker::Keys(keys.vended.clone()), true)]
        .into_iter()
        .flat_map(|(speaker, repaired)| Flip::all(length, repaired).map(move |flip| (speaker.clone(), flip)))
        .collect();
    assert!(attempts.len() > 14 * length, "{} of {length} bytes", attempts.len());
    let (count, world) = (attempts.len(), Arc::new(keys.world));
    let mut attackers = JoinSet::new();
    for share in attempts.chunks(count.div_ceil(CLIENTS)).map(<[_]>::to_vec) {
        let world = world.clone();
        attackers.spawn(async move {
            for (speaker, flip) in share {
                let mut client = speaker.client(&world).await;
                let mut conversation = speaker.begin(&mut client).await;
                let changed = flip.of(&frame(&mut conversation.signer));
                assert_refused(&world, &mut conversation, [changed], &format!("{flip:?}")).await;
            }
        });
    }
    attackers.join_all().await;
    let metrics = world.until_sum("tollgate_denials_total", &["acme", "event_"], count as f64).await;
    assert!(metrics.sum("tollgate_denials_total", &["acme", "event_signature"]) > 200.0, "date, signature and payload");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bit_of_an_event_can_be_changed() {
    no_bit_can_be_changed(|signer| signer.sign(&chunk(b""))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bit_of_the_closing_event_can_be_changed() {
    no_bit_can_be_changed(conversation::Signer::end).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bit_of_the_head_can_be_changed() {
    let keys = Keys::start().await;
    let mut client = keys.client().await;
    let head = keys.vended.sign_events(head());
    let mut tried = 0;
    for (number, tampered) in (0..7).flat_map(|nth| tampered(&head, nth)).enumerate() {
        let host = tampered.header("host").unwrap_or_default();
        let Some(request) = tampered.try_request().filter(|_| format!("https://{host}/").parse::<http::Uri>().is_ok()) else {
            continue;
        };
        let (_feed, upload) = Upload::fed(None);
        match client.send(request.map(|_| upload)).await {
            Ok(response) => {
                let answer = Answer::read(response).await.unwrap();
                assert!((400..500).contains(&answer.status), "{number}: {answer:?}\n{tampered:?}");
                assert_eq!(answer.header("x-tollgate-source"), "gateway");
            }
            Err(_) => client = keys.client().await,
        }
        tried += 1;
    }
    assert_eq!(keys.world.served_count(), 0, "a changed head reached Bedrock");
    assert!(tried > 2_000, "{tried}");
    Speaker::Keys(keys.vended.clone()).begin(&mut client).await;
}

/// Frames that come after the first, which is among them, instead of those that should.
type Wrong = fn(&mut conversation::Signer, Bytes) -> Vec<Bytes>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_the_next_event_of_the_chain_ends_the_stream() {
    let keys = Keys::start().await;
    let cases: [(&str, Wrong); 10] = [
        ("swapped", |chain, _| {
            let (second, third) = (chain.sign(&chunk(b"second")), chain.sign(&chunk(b"third")));
            vec![third, second]
        }),
        ("left out", |chain, _| {
            chain.sign(&chunk(b"second"));
            vec![chain.sign(&chunk(b"third"))]
        }),
        ("left out before the end", |chain, _| {
            chain.sign(&chunk(b"second"));
            vec![chain.end()]
        }),
        ("repeated", |_, first| vec![first]),
        ("from another seed", |chain, _| {
            chain.last = "5e".repeat(32);
            vec![chain.sign(&chunk(b"second"))]
        }),
        ("of another key", |chain, _| vec![conversation::Signer::of("another", &chain.last).sign(&chunk(b"second"))]),
        ("closed by another key", |chain, _| vec![conversation::Signer::of("another", &chain.last).end()]),
        ("not signed", |_, _| vec![encoded(&chunk(b"second"))]),
        ("not closed", |_, _| Vec::new()),
        ("not whole", |chain, _| vec![chain.end().slice(..82)]),
    ];
    for (claim, wrong) in cases {
        for signer in [&keys.vended, &keys.fixed] {
            let mut client = keys.client().await;
            let mut conversation = Conversation::open_signed(&mut client, signer, &signer.sign_events(head())).await;
            let first = conversation.signer.sign(&chunk(b"first"));
            conversation.send(first.clone());
            assert_eq!(conversation.hear().await, b"first");
            let frames = wrong(&mut conversation.signer, first);
            assert_refused(&keys.world, &mut conversation, frames, claim).await;
        }
    }
    let metrics = keys.world.until_sum("tollgate_denials_total", &["acme", "event_"], 20.0).await;
    assert_eq!(metrics.sum("tollgate_denials_total", &["acme", "event_signature"]), 16.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_one_conversation_are_of_no_use_later_or_in_another() {
    let keys = Keys::start().await;
    let mut client = keys.client().await;
    let signer = &keys.fixed;
    // With nothing else to tell one head from the other.
    let open = |seconds_ahead| Signer { seconds_ahead, ..signer.clone() }.sign_events(head());
    let mut recorded = Conversation::open_signed(&mut client, signer, &open(0)).await;
    let mut frames: Vec<Bytes> = [b"one", b"two"].map(|event| recorded.signer.sign(&chunk(event))).into();
    frames.push(recorded.signer.end());
    frames[..2].iter().for_each(|frame| recorded.send(frame.clone()));
    for event in [b"one", b"two"] {
        assert_eq!(recorded.hear().await, event);
    }
    // Again, in the same one.
    recorded.send(frames[0].clone());
    assert_eq!(recorded.exception().await.0, "validationException");
    assert_eq!(served(&keys.world, &recorded).heard().unwrap().events(), 2);

    for replayed in [&frames[..1], &frames[1..2], &frames[2..], &frames[..]] {
        let mut other = Conversation::open_signed(&mut client, signer, &open(1)).await;
        replayed.iter().for_each(|frame| other.send(frame.clone()));
        other.feed = None;
        assert_eq!(other.exception().await.0, "validationException");
        let served = served(&keys.world, &other);
        assert_eq!(served.heard().unwrap().bytes(), 0);
    }
    keys.world.until_sum("tollgate_denials_total", &["acme", "event_signature"], 5.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_follows_the_end() {
    let keys = Keys::start().await;
    for speaker in [Speaker::Token, Speaker::Keys(keys.vended.clone())] {
        let mut client = speaker.client(&keys.world).await;
        let wrong: [Wrong; 2] = [|chain, _| vec![chain.sign(&chunk(b"late"))], |chain, _| vec![chain.end()]];
        for late in wrong {
            let mut conversation = speaker.begin(&mut client).await;
            let end = conversation.signer.end();
            let frames = late(&mut conversation.signer, end.clone());
            // In one piece with the end: then not even that goes on.
            let frames = [&end[..], &frames.concat()[..]].concat();
            assert_refused(&keys.world, &mut conversation, [Bytes::from(frames)], "after the end").await;
        }
    }
    keys.world.until_sum("tollgate_denials_total", &["acme", "event_broken"], 4.0).await;
}
