//! Who looks into the ledger of a running gateway, with SQLite's own means: for a backup, as docs/operations.md has it, or for a question.

use std::{fs, os::unix::fs::MetadataExt};

use rusqlite::Connection;

use crate::{
    client::Client,
    harness::{MODEL, World},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_takes_nothing_from_a_gateway_that_is_killed_after_it() {
    let world = World::new("durability = \"strict\"", ["", ""]).await;
    let gateway = world.start().await;
    let ask = async |count: usize| {
        let mut client = Client::h1(world.traffic, world.bearer("acme")).await;
        for _ in 0..count {
            client.post(&format!("/model/{MODEL}/converse"), "{}").await.assert_served();
        }
    };
    ask(3).await;
    let wal = world.file("account/ledger.sqlite-wal");
    let identity = || fs::metadata(&wal).map(|found| found.ino()).unwrap();
    let before = identity();

    // Without it another SQLite takes itself for the last that has the file open, and deletes its WAL when it closes it.
    let inode = format!(":{} ", fs::metadata(world.ledger_file()).unwrap().ino());
    assert!(fs::read_to_string("/proc/locks").unwrap().contains(&inode), "the gateway holds no lock on its ledger");
    let onlooker = Connection::open(world.ledger_file()).unwrap();
    onlooker.execute("VACUUM INTO ?1", [world.file("copy.sqlite").to_str()]).unwrap();
    onlooker.close().unwrap();
    assert_eq!(identity(), before);
    ask(5).await;
    drop(gateway);
    assert_eq!(world.rows().len(), 8);
}
