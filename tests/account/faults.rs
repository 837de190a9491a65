//! The ledger's file taken away under load: new spend is refused or goes on, as configured, and all is written once the file is back.
//! A file that was moved is what works against root as well; a full disk is told apart in the ledger's own tests.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::task::JoinSet;

use crate::{
    client::Client,
    harness::{MODEL, World},
};

const BODY: &str = r#"{"inferenceConfig":{"maxTokens":100}}"#;

const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_refuses_new_spend_while_the_ledger_cannot_be_written_and_recovers_by_itself() {
    suffers("on_failure = \"closed\"", false).await;
    suffers("on_failure = \"closed\"\ndurability = \"strict\"", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_goes_on_while_the_ledger_cannot_be_written_and_loses_nothing() {
    suffers("on_failure = \"open\"", true).await;
    suffers("on_failure = \"open\"\ndurability = \"strict\"", true).await;
}

/// As `ulimit -f` sets it: the kernel's signal ends a process that does not expect it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_on_the_size_of_files_is_a_disk_that_is_full() {
    let world = World::new("on_failure = \"closed\"", ["[[tenants.acme.quotas]]\nusd_per_day = \"1000\"", ""]).await;
    let gateway = world.start().await;
    let mut client = Client::h1(world.traffic, world.bearer("acme")).await;
    let target = format!("/model/{MODEL}/converse");
    client.post(&target, BODY).await.assert_served();
    world.until_metric("tollgate_ledger_waiting_rows", 0.0).await;

    gateway.limit_files(Some(1));
    client.post(&target, BODY).await.assert_served();
    world.until_metric("tollgate_ledger_writable", 0.0).await;
    client.post(&target, BODY).await.assert_refused(503, "ServiceUnavailableException");

    gateway.limit_files(None);
    world.until_metric("tollgate_ledger_writable", 1.0).await;
    client.post(&target, BODY).await.assert_served();
    world.until_metric("tollgate_ledger_waiting_rows", 0.0).await;
    assert_eq!(world.rows().len(), 3);
}

/// What clients were told.
#[derive(Default)]
struct Told {
    stop: AtomicBool,
    served: AtomicU64,
    unavailable: AtomicU64,
}

async fn suffers(ledger: &str, goes_on: bool) {
    let world = Arc::new(World::new(ledger, ["[[tenants.acme.quotas]]\nusd_per_day = \"1000\"", ""]).await);
    let _gateway = world.start().await;
    let told = Arc::new(Told::default());
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(ask_on(world.clone(), told.clone()));
    }
    until(|| told.served.load(Ordering::Acquire) >= 50).await;

    let aside = world.file("aside.sqlite");
    fs::rename(world.ledger_file(), &aside).unwrap();
    world.until_metric("tollgate_ledger_writable", 0.0).await;
    let (served, unavailable) = (told.served.load(Ordering::Acquire), told.unavailable.load(Ordering::Acquire));
    if goes_on {
        until(|| told.served.load(Ordering::Acquire) >= served + 50).await;
        assert_eq!(told.unavailable.load(Ordering::Acquire), 0, "{ledger}");
    } else {
        until(|| told.unavailable.load(Ordering::Acquire) >= unavailable + 50).await;
        let more = told.served.load(Ordering::Acquire) - served;
        assert!(more <= 2 * CLIENTS as u64, "{ledger}: {more} were served though nothing could be recorded");
    }
    fs::rename(&aside, world.ledger_file()).unwrap();
    world.until_metric("tollgate_ledger_writable", 1.0).await;
    let served = told.served.load(Ordering::Acquire);
    until(|| told.served.load(Ordering::Acquire) >= served + 50).await;

    told.stop.store(true, Ordering::Release);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let all = usize::try_from(told.served.load(Ordering::Acquire)).unwrap();
    let rows = world.until_rows(all).await;
    assert_eq!(rows.len(), all, "{ledger}");
    let verified = world.verify();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

async fn ask_on(world: Arc<World>, told: Arc<Told>) {
    let mut client = Client::h1(world.traffic, world.bearer("acme")).await;
    while !told.stop.load(Ordering::Acquire) {
        let answer = client.post(&format!("/model/{MODEL}/converse"), BODY).await;
        match answer.status {
            200 => told.served.fetch_add(1, Ordering::AcqRel),
            _ => {
                answer.assert_refused(503, "ServiceUnavailableException");
                told.unavailable.fetch_add(1, Ordering::AcqRel)
            }
        };
    }
}

async fn until(condition: impl Fn() -> bool) {
    crate::harness::within(async {
        while !condition() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}
