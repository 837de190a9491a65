//! Streams in both directions while everything around them changes: none is cut, and each keeps what it began with.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::task::JoinSet;

use crate::{
    client::{Answer, Client},
    conversation::{Conversation, request},
    harness::{CONVERSE, Certificate, DEADLINE, INVOKE, Settings, World, issuer, rotated_key, tenant, until},
};

/// Says something and hears it.
async fn assert_goes_on(conversation: &mut Conversation, said: &[u8]) {
    conversation.say(said);
    assert_eq!(conversation.hear().await, said);
}

async fn assert_ends_well(mut conversation: Conversation) {
    assert_goes_on(&mut conversation, b"and goodbye").await;
    conversation.close();
    assert_eq!(conversation.rest().await, 0);
}

/// Puts other AWS credentials in force.
async fn rotate(world: &World) {
    let key = rotated_key();
    // A file of its own: the old one is watched, and its id does not go with the new secret.
    fs::write(world.directory.path().join("rotated"), &key.secret_access_key).unwrap();
    let text = world.config_text(&world.settings).replace("AKIDSIMULATOR", &key.access_key_id);
    let text = text.replace("{ file = \"secret\" }", "{ file = \"rotated\" }");
    fs::write(world.config_file(), text).unwrap();
    assert!(world.gateway.reload().await);
}

/// Who signed what the simulator got last.
fn signed_by(world: &World) -> Option<String> {
    world.simulator.record().requests().pop().and_then(|served| served.access_key_id.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_is_gone_ends_no_stream() {
    let world = World::start().await;
    let mut client = world.h2().await;
    let mut conversation = Conversation::open(&mut client).await;
    assert!(world.reload(&Settings { tenants: tenant("globex", ""), ..Settings::default() }).await);
    assert_goes_on(&mut conversation, b"still here").await;
    client.post(CONVERSE, "{}").await.assert_refused(403, "AccessDeniedException");
    assert_ends_well(conversation).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn narrower_limits_end_no_stream() {
    let world = World::start().await;
    let mut client = world.h2().await;
    let mut conversation = Conversation::open(&mut client).await;
    assert_goes_on(&mut conversation, &[1; 500]).await;
    let narrow = Settings {
        tenants: tenant("acme", "concurrent_requests = 1\nrequests_per_minute = 1"),
        sections: "[bidirectional]\nevent_bytes_max = 300\nbytes_max = 300\nevents_per_second_max = 1\n".to_owned(),
        ..Settings::default()
    };
    assert!(world.reload(&narrow).await);
    for _ in 0..5 {
        assert_goes_on(&mut conversation, &[1; 500]).await;
    }
    // Others are held to them, and it counts as one of those that run.
    let (_feed, request) = request();
    let answer = Answer::read(client.send(request).await.unwrap()).await.unwrap();
    answer.assert_refused(429, "ThrottlingException");
    assert_ends_well(conversation).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_ends_no_stream() {
    let world = World::start().await;
    let mut client = world.h2().await;
    let mut conversation = Conversation::open(&mut client).await;
    let renewed = Certificate::new();
    renewed.write(&world.directory, "server");
    assert!(world.gateway.reload().await);
    assert!(Client::tls(world.gateway.traffic[1], &world.ca, "h2", world.bearer("acme")).await.is_err());
    assert_goes_on(&mut conversation, b"still here").await;
    let mut after = Client::tls(world.gateway.traffic[1], &renewed.ca, "h2", world.bearer("acme")).await.unwrap();
    assert_ends_well(Conversation::open(&mut after).await).await;
    assert_ends_well(conversation).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotated_aws_credentials_sign_the_next_stream_and_leave_the_open_one_alone() {
    let world = World::start().await;
    let mut client = world.h2().await;
    let mut conversation = Conversation::open(&mut client).await;
    assert_eq!(signed_by(&world).as_deref(), Some("AKIDSIMULATOR"));
    rotate(&world).await;
    let mut other = world.h1().await;
    until_signed_by_the_rotated(&world, &mut other).await;
    // Its chain goes on with the key that it began with; the simulator would refuse another's.
    for _ in 0..5 {
        assert_goes_on(&mut conversation, b"still here").await;
    }
    let after = Conversation::open(&mut client).await;
    assert_eq!(signed_by(&world).as_deref(), Some("AKIDROTATED"));
    assert_ends_well(after).await;
    assert_ends_well(conversation).await;
}

async fn until_signed_by_the_rotated(world: &World, client: &mut Client) {
    for _ in 0..1_000 {
        client.post(INVOKE, "{}").await.assert_served();
        if signed_by(world).as_deref() == Some("AKIDROTATED") {
            return;
        }
    }
    panic!("the rotated credentials never signed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_expires_ends_no_stream() {
    let issuers = issuer("test", "https://issuer.example") + "leeway_seconds = 0\n";
    let world = World::with(Settings { issuers, ..Settings::default() }).await;
    let mut client = world.h2().await;
    let (lifetime, now) = (Duration::from_secs(1), SystemTime::now());
    let token = world.issuer.mint("https://issuer.example", "gateway", "acme", "user-1", lifetime, now);
    client.authorization = format!("Bearer {token}");
    let mut conversation = Conversation::open(&mut client).await;
    let mut answer = client.post(INVOKE, "{}").await;
    while answer.status == 200 && now.elapsed().unwrap() < DEADLINE {
        assert_goes_on(&mut conversation, b"still here").await;
        answer = client.post(INVOKE, "{}").await;
    }
    answer.assert_refused(403, "ExpiredTokenException");
    assert_ends_well(conversation).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_streams_speak_through_fifty_reloads() {
    let world = Arc::new(World::start().await);
    let stop = Arc::new(AtomicBool::new(false));
    let mut speaking = JoinSet::new();
    for _ in 0..4 {
        let mut client = world.h2().await;
        for _ in 0..10 {
            let (mut conversation, stop) = (Conversation::open(&mut client).await, stop.clone());
            speaking.spawn(async move {
                let mut said = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    assert_goes_on(&mut conversation, &said.to_be_bytes()).await;
                    said += 1;
                }
                assert_ends_well(conversation).await;
                said
            });
        }
    }
    for round in 0..50 {
        let before = world.metrics().await.sum("tollgate_bidirectional_events_total", &["acme", "\"in\""]);
        let sections = format!("[bidirectional]\ntotal_seconds_max = {}\n", 300 + round);
        let tenants = tenant("acme", &format!("requests_per_minute = {}", 100 + round)) + &tenant("globex", "");
        assert!(world.reload(&Settings { sections, tenants, ..world.settings.clone() }).await);
        if round % 10 == 0 {
            Certificate::new().write(&world.directory, "server");
            rotate(&world).await;
        }
        world
            .until_metrics("events go on", |metrics| {
                metrics.sum("tollgate_bidirectional_events_total", &["acme", "\"in\""]) > before
            })
            .await;
    }
    stop.store(true, Ordering::Relaxed);
    let said = speaking.join_all().await;
    assert!(said.iter().all(|&said| said > 0), "{said:?}");
    until("every stream is closed in order", || {
        world.simulator.record().requests().iter().filter(|served| served.heard().is_some_and(|heard| heard.closed())).count()
            == 40
    })
    .await;
    assert_eq!(world.metrics().await.sum("tollgate_denials_total", &["acme"]), 0.0);
}
