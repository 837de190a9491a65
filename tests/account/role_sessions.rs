//! Upgrades while STS is out: the sessions of tenants' roles go from process to process, and to nobody else.

use std::fs;

use crate::{
    client::Client,
    harness::{MODEL, World},
    service::Service,
    sts::{Mood, Sts},
};

const SUBJECTS: [&str; 5] = ["ann", "bob", "eve", "joe", "zoe"];

/// `acme` has one session, and each of `globex`'s principals its own.
async fn world() -> (World, Sts) {
    let sts = Sts::start().await;
    let roles = format!(
        "[tenants.acme.role]\narn = \"arn:aws:iam::123456789012:role/acme\"\n\
         [tenants.globex.role]\narn = \"arn:aws:iam::123456789012:role/globex\"\nper_principal = true\n\
         [roles]\nsts_endpoint = \"{}\"\n",
        sts.url
    );
    let world = World::new("", ["", &roles]).await;
    sts.makes_keys_for(&world.simulator);
    (world, sts)
}

async fn ask(world: &World, tenant: &str, subject: &str) -> String {
    let mut client = Client::h1(world.traffic, world.bearer_of(tenant, subject)).await;
    client.post(&format!("/model/{MODEL}/converse"), "{}").await.assert_served();
    world.simulator.record().requests().pop().unwrap().access_key_id.clone().unwrap()
}

/// The keys that everybody is signed for with.
async fn ask_for_everybody(world: &World) -> Vec<String> {
    let mut keys = vec![ask(world, "acme", "user-1").await];
    for subject in SUBJECTS {
        keys.push(ask(world, "globex", subject).await);
    }
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_keeps_every_session_and_asks_an_sts_that_is_out_for_nothing() {
    let (world, sts) = world().await;
    let mut service = Service::start(&world).await;
    let keys = ask_for_everybody(&world).await;
    assert_eq!(sts.calls().len(), 1 + SUBJECTS.len());
    sts.is(Mood::Out);
    // From the second process to the third, too.
    for _ in 0..2 {
        service.upgrade().await;
        assert_eq!(world.metric("tollgate_role_sessions", "").await, Some(6.0));
        assert_eq!(ask_for_everybody(&world).await, keys);
    }
    assert_eq!(sts.calls().len(), 1 + SUBJECTS.len());
    service.stop().await;
    let log = fs::read_to_string(world.file("account/log")).unwrap();
    assert!(log.contains(r#""given":6,"taken":6"#) && !log.contains("secret-") && !log.contains("token-"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_renews_the_sessions_that_it_took_when_they_are_due() {
    let (world, sts) = world().await;
    let mut service = Service::start(&world).await;
    sts.is(Mood::Well(16));
    ask(&world, "acme", "user-1").await;
    service.upgrade().await;
    // A process counts its own calls.
    world.until_metric("tollgate_predecessors", 0.0).await;
    world.until_metric("tollgate_assume_role_calls_total", 1.0).await;
    assert_eq!(ask(&world, "acme", "user-1").await, sts.calls().last().unwrap().access_key_id.clone().unwrap());
    service.stop().await;
}
