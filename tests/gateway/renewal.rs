//! Certificates replaced a hundred times, in every way that operators have, under requests, streams and handshakes.

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustls::{ClientConfig, client::Resumption};
use tempfile::TempDir;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    client::Client,
    conversation::Conversation,
    harness::{INVOKE, World, within},
    tls::{Authority, connect},
};

const ROUNDS: usize = 100;
/// Between the requests of a client: the test is not about how many the machine can do.
const PACE: Duration = Duration::from_millis(20);

/// A certificate and its key, in PEM.
struct Pair {
    certificate: String,
    key: String,
    /// The certificate in DER.
    leaf: Vec<u8>,
}

impl Pair {
    fn new(authority: &Authority) -> Pair {
        let (leaf, key, certificate) = authority.certify("server", &["localhost"]);
        Pair { certificate, key: key.serialize_pem(), leaf: leaf.to_vec() }
    }
}

/// The files that the configuration names, by way of a link to their directory.
struct Files(TempDir);

impl Files {
    fn new(pair: &Pair) -> Files {
        let files = Files(tempfile::tempdir().unwrap());
        files.link_to("first", pair);
        files
    }

    fn certificate(&self) -> PathBuf {
        self.0.path().join("live/server.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("live/server.key")
    }

    fn configured(&self) -> String {
        format!("certificate_file = {:?}\nprivate_key_file = {:?}\n", self.certificate(), self.key())
    }

    /// As Kubernetes does it: a directory of its own, and one rename of the link to it.
    fn link_to(&self, name: &str, pair: &Pair) {
        let (directory, link) = (self.0.path().join(name), self.0.path().join("next"));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("server.pem"), &pair.certificate).unwrap();
        fs::write(directory.join("server.key"), &pair.key).unwrap();
        symlink(&directory, &link).unwrap();
        fs::rename(&link, self.0.path().join("live")).unwrap();
    }
}

fn rename_over(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(&beside, file).unwrap();
}

/// What a new connection gets; the handshake proves that the key is the certificate's.
async fn leaf(world: &World, client: &Arc<ClientConfig>) -> Vec<u8> {
    let stream = within(connect(world.gateway.traffic[2], client, "localhost")).await.expect("a handshake");
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// Requests on one connection, which is never opened again.
async fn keep_asking(mut client: Client, stop: Arc<AtomicBool>) -> usize {
    let mut served = 0;
    while !stop.load(Ordering::Relaxed) {
        client.post(INVOKE, "{}").await.assert_served();
        served += 1;
        sleep(PACE).await;
    }
    served
}

async fn keep_talking(mut client: Client, stop: Arc<AtomicBool>) -> usize {
    let mut conversation = Conversation::open(&mut client).await;
    let mut heard = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        conversation.say(&heard.to_be_bytes());
        assert_eq!(conversation.hear().await, heard.to_be_bytes());
        heard += 1;
        sleep(PACE).await;
    }
    conversation.close();
    assert_eq!(conversation.rest().await, 0);
    heard
}

async fn keep_connecting(world: Arc<World>, client: Arc<ClientConfig>, stop: Arc<AtomicBool>) -> usize {
    let mut leaves = HashSet::new();
    while !stop.load(Ordering::Relaxed) {
        leaves.insert(leaf(&world, &client).await);
        sleep(PACE).await;
    }
    leaves.len()
}

/// Puts a pair in place of another. What is read in between is refused, and the old one serves on.
async fn replace(round: usize, world: &World, files: &Files, old: &Pair, new: &Pair, client: &Arc<ClientConfig>) {
    let refused = async |how: &str| {
        assert!(!world.gateway.reload().await, "{how}");
        assert_eq!(leaf(world, client).await, old.leaf, "{how}");
        let (_, page) = world.admin("/console/configuration").await;
        assert!(page.contains("live/server."), "it says which file: {page}");
    };
    match round % 4 {
        0 => {
            rename_over(&files.key(), &new.key);
            rename_over(&files.certificate(), &new.certificate);
        }
        1 => files.link_to(&format!("round-{round}"), new),
        2 => {
            fs::write(files.key(), &new.key).unwrap();
            refused("the key of another certificate").await;
            fs::write(files.certificate(), &new.certificate).unwrap();
        }
        _ => {
            fs::write(files.key(), &new.key).unwrap();
            fs::write(files.certificate(), &new.certificate[..new.certificate.len() / 2]).unwrap();
            refused("half a certificate").await;
            fs::write(files.certificate(), &new.certificate).unwrap();
        }
    }
    assert!(world.gateway.reload().await);
    assert_eq!(leaf(world, client).await, new.leaf, "the new certificate, as soon as it is whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_certificates_in_every_way_fail_no_request_cut_no_stream_and_never_serve_half_a_pair() {
    let authority = Authority::new();
    let mut current = Pair::new(&authority);
    let files = Files::new(&current);
    let world = Arc::new(authority.world(&files.configured()).await);
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for protocol in ["http/1.1", "http/1.1", "h2", "h2"] {
        let open =
            || async { Client::tls(world.gateway.traffic[2], &authority.pem, protocol, world.bearer("acme")).await.unwrap() };
        load.spawn(keep_asking(open().await, stop.clone()));
        if protocol == "h2" {
            load.spawn(keep_talking(open().await, stop.clone()));
        }
    }
    // Who resumes is shown no certificate, and may be refused the ticket: both must connect.
    let resuming = authority.client();
    let mut anew = (*resuming).clone();
    anew.resumption = Resumption::disabled();
    let anew = Arc::new(anew);
    for client in [&resuming, &anew] {
        load.spawn(keep_connecting(world.clone(), client.clone(), stop.clone()));
    }

    for round in 0..ROUNDS {
        let new = Pair::new(&authority);
        replace(round, &world, &files, &current, &new, &anew).await;
        current = new;
    }
    stop.store(true, Ordering::Relaxed);
    let done = load.join_all().await;
    assert!(done.iter().all(|&count| count > 10), "{done:?}");

    let metrics = world.metrics().await;
    // The files are looked at besides, so there may have been more.
    assert!(metrics.sum("tollgate_config_reloads_total", &["\"ok\""]) >= ROUNDS as f64);
    assert!(metrics.sum("tollgate_config_reloads_total", &["\"failed\""]) >= (ROUNDS / 2) as f64);
    assert_eq!(metrics.sum("tollgate_config_last_reload_successful", &[]), 1.0);
    assert_eq!(metrics.sum("tollgate_connections_refused_total", &[]), 0.0, "no handshake failed, no connection was closed");
}
