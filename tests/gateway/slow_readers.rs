//! Many streams whose clients do not read: bounded in memory, in nobody's way, and none forgotten.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{
    client::Client,
    conversation::{Conversation, Signer, chunk},
    harness::{World, within},
};

/// Each has far more streams than fit its window: what stands still has to borrow for the others.
const CONNECTIONS: usize = 25;
const STREAMS: usize = 500;
/// Of one stream; of all together it is 5 GB.
const EVENTS: usize = 250;
const EVENT_BYTES: usize = 30_000;
/// Events can wait in HTTP/2's windows, of 1 MiB a stream at the gateway's and the simulator's listener and a quarter of that elsewhere: this
/// process is the gateway, the simulator and the clients at once.
const GROWTH_MAX: u64 = STREAMS as u64 * 4 * (1 << 20);

/// Bytes of memory that this process has.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_slow_readers_take_bounded_memory_and_nobodys_turn() {
    let world = World::start().await;
    // The same bytes for all, so that what is still to be sent takes no memory.
    let mut signer = Signer::new();
    let events: Vec<Bytes> = (0..EVENTS).map(|_| signer.sign(&chunk(&[7; EVENT_BYTES]))).collect();
    let before = resident();
    let (mut clients, mut slow) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let mut client = Client::h2c_taking(65_535, world.gateway.traffic[0], world.bearer("acme")).await;
        for _ in 0..STREAMS / CONNECTIONS {
            let conversation = Conversation::open(&mut client).await;
            events.iter().for_each(|event| conversation.send(event.clone()));
            slow.push(conversation);
        }
        clients.push(client);
    }
    let began = Instant::now();
    let mut client = world.h2().await;
    let mut quick = Conversation::open(&mut client).await;
    for number in 0..100_u32 {
        quick.say(&number.to_be_bytes());
        assert_eq!(quick.hear().await, number.to_be_bytes());
    }
    let quick_took = began.elapsed();
    // Each gets its turn, however many wait.
    for conversation in &mut slow {
        assert_eq!(within(conversation.hear()).await.len(), EVENT_BYTES);
    }
    let growth = resident().saturating_sub(before);
    println!("a quick stream took {quick_took:?}, memory grew by {} MiB, all after {:?}", growth >> 20, began.elapsed());
    assert!(quick_took < Duration::from_secs(20), "{quick_took:?}");
    assert!(growth < GROWTH_MAX, "{} MiB", growth >> 20);
    world.until_sum("tollgate_bidirectional_streams_open", &["acme"], STREAMS as f64 + 1.0).await;
}

/// The HTTP/2 library takes more small frames than fit a window for an attack; Bedrock may send them to a client that reads nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_small_frames_wait_for_a_client_that_reads_nothing() {
    const EVENTS: usize = 21;
    let world = World::start().await;
    let mut client = Client::h2c_taking(256, world.gateway.traffic[0], world.bearer("acme")).await;
    let mut conversation = Conversation::open_with(&mut client, &[("x-simulator-chunk-bytes", "1")]).await;
    let events: Vec<Vec<u8>> = (0..EVENTS).map(|number| vec![number as u8; 300]).collect();
    events.iter().for_each(|event| conversation.say(event));
    let served = world.simulator.record().requests().pop().unwrap();
    within(async {
        while served.heard().unwrap().events() < EVENTS as u64 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for event in events {
        assert_eq!(conversation.hear().await, event);
    }
    conversation.close();
    assert_eq!(conversation.rest().await, 0);
}
