//! Conversations under keys of the gateway's own: each event is the next of the chain that began with the head, or the stream is over.

use std::sync::Arc;

use tollgate::{auth::key_ring::new_access_key, simulator::Served};

use crate::{
    client::{Answer, Client, Upload, post_upload},
    conversation::{Conversation, SONIC, head},
    harness::World,
    signed::{holder, sealing_keys, signer_of, with_keys},
    signing::{Message, Signer, vend},
    vending::bare,
};

/// Keys that the gateway vended, and keys of its file.
pub struct Keys {
    pub world: World,
    pub vended: Signer,
    pub fixed: Signer,
}

impl Keys {
    pub async fn start() -> Keys {
        let key = new_access_key(&holder("acme", None, None), &sealing_keys("a")).unwrap();
        let world = World::with(with_keys(&key.entry)).await;
        let vended = vend(&mut bare(&world).await, &world.token("acme")).await;
        Keys { vended, fixed: signer_of(&key), world }
    }

    /// Nobody's token in the connection.
    pub async fn client(&self) -> Client {
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
