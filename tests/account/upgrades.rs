//! The binary replaced under load, again and again: no request fails, no stream is cut, and what the simulator reported stands in the
//! ledger once, whichever process had begun it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::{Response, header};
use hyper::body::Incoming;
use jiff::Timestamp;
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tollgate::ledger::{Entry, LOST};

use crate::{
    audit::Audit,
    client::{Answer, Client, post, with},
    conversation::Conversation,
    harness::{MODEL, World, until, within},
    load::Seen,
    service::Service,
};

/// After each upgrade.
const RELOADS: usize = 5;
const CLIENTS: usize = 8;
/// Of each event of a conversation.
pub const EVENT_TOKENS: u64 = 600;
const CONVERSATION: &str = "InvokeModelWithBidirectionalStream";
const BODY: &str = r#"{"inferenceConfig":{"maxTokens":100}}"#;
pub const QUOTAS: &str = "[[tenants.acme.quotas]]\ntokens_per_day = 100_000_000";

/// What all clients share.
#[derive(Default)]
pub struct Crowd {
    pub stop: AtomicBool,
    pub answered: AtomicUsize,
    /// Bedrock's, of each request.
    pub latency_ms: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_upgrades_and_a_hundred_reloads_under_load_fail_no_request_and_cut_no_stream() {
    survives("group", 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_strict_durability_too() {
    survives("strict", 5).await;
}

async fn survives(durability: &str, upgrades: usize) {
    let world = Arc::new(World::new(&format!("durability = \"{durability}\""), [QUOTAS, ""]).await);
    let mut service = Service::start(&world).await;
    let (calm, crowd) = (Timestamp::now(), Arc::new(Crowd { latency_ms: 5, ..Crowd::default() }));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(ask_on(number, world.clone(), crowd.clone()));
    }
    let (mut streams, mut conversations, mut said) = (Vec::new(), Vec::new(), 0);
    for round in 0..upgrades {
        // Open across the next upgrades.
        if round.is_multiple_of(5) {
            streams.push(open_stream(&world, 80).await);
            conversations.push(open_conversation(&world).await);
        }
        let answered = crowd.answered.load(Ordering::Acquire);
        service.upgrade().await;
        for _ in 0..RELOADS {
            service.reload().await;
        }
        for conversation in &mut conversations {
            conversation.say(b"still here");
            assert_eq!(conversation.hear().await, b"still here");
            said += 1;
        }
        if round % 5 == 4 {
            for mut conversation in conversations.drain(..) {
                conversation.close();
                assert_eq!(conversation.rest().await, 0);
            }
        }
        within(async {
            while crowd.answered.load(Ordering::Acquire) < answered + 2 * CLIENTS {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
    crowd.stop.store(true, Ordering::Release);
    let mut seen = Vec::new();
    while let Some(client) = clients.join_next().await {
        seen.extend(client.unwrap());
    }
    for (stream, began) in streams {
        seen.push(read(stream, began).await);
    }
    assert!(seen.len() > 2 * CLIENTS * upgrades);
    service.assert_ends_after(1 + upgrades, &world).await;
    let spoken = assert_account(&world, &seen, calm);
    // Every event was answered and charged, though each conversation outlived the process that it began in by four others.
    assert_eq!(spoken.len(), upgrades / 5);
    assert_eq!(spoken.iter().map(|row| row.usage.output_tokens).sum::<u64>(), said * EVENT_TOKENS);
}

/// What was served stands in the ledger, once, and nothing went wrong; gives back the conversations' rows.
pub fn assert_account(world: &World, seen: &[Seen], calm: Timestamp) -> Vec<Entry> {
    let (spoken, rows): (Vec<_>, Vec<_>) = world.rows().into_iter().partition(|row| row.request.operation == CONVERSATION);
    let mut served = world.simulator.record().requests();
    served.retain(|served| served.operation != CONVERSATION);
    let counts = Audit { rows: &rows, served: &served, seen, kills: &[], calm, grace: None }.check();
    assert_eq!((counts.estimated, counts.lost, counts.missing, counts.failures, counts.refused), (0, 0, 0, 0, 0), "{counts:?}");
    assert!(world.verify().status.success());
    spoken
}

/// Asks until it is told to stop; everything must be answered.
pub async fn ask_on(number: usize, world: Arc<World>, crowd: Arc<Crowd>) -> Vec<Seen> {
    let (mut seen, mut connection): (Vec<Seen>, Option<Client>) = (Vec::new(), None);
    let http2 = number.is_multiple_of(2);
    while !crowd.stop.load(Ordering::Acquire) {
        let mut client = match connection.take() {
            Some(client) => client,
            None if http2 => Client::h2c(world.traffic, world.bearer("acme")).await,
            None => Client::h1(world.traffic, world.bearer("acme")).await,
        };
        // What was told to go does not take a request any more: hyper says so before it sends anything.
        if !client.is_ready().await {
            assert!(http2, "HTTP/1.1 closes only after it has said so");
            continue;
        }
        let stream = seen.len().is_multiple_of(2);
        let request = post(&format!("/model/{MODEL}/{}", if stream { "converse-stream" } else { "converse" }), BODY);
        let request =
            with(with(request, "x-simulator-latency-ms", &crowd.latency_ms.to_string()), "x-simulator-event-delay-ms", "3");
        let began = Instant::now();
        let response = match client.send(request).await {
            Ok(response) => response,
            // Nor if it learns of that between the two.
            Err(e) if http2 && (e.is_canceled() || e.is_closed()) => continue,
            Err(e) => panic!("request {} of client {number} failed: {e:?}", seen.len()),
        };
        let told_to_go = response.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
        seen.push(read(response, began).await);
        crowd.answered.fetch_add(1, Ordering::AcqRel);
        connection = (!told_to_go).then_some(client);
    }
    seen
}

/// By a link that another program can be put in place of.
async fn start_by_link(world: &World) -> (Service, PathBuf) {
    let program = world.file("account/tollgate");
    symlink(crate::harness::BINARY, &program).unwrap();
    (Service::start_as(world, &program).await, program)
}

/// Lasts for so many tenths of a second.
async fn open_stream(world: &World, events: u64) -> (Response<Incoming>, Instant) {
    let mut client = Client::h2c(world.traffic, world.bearer("acme")).await;
    let request = with(post(&format!("/model/{MODEL}/converse-stream"), BODY), "x-simulator-events", &events.to_string());
    let response = client.send(with(request, "x-simulator-event-delay-ms", "100")).await.unwrap();
    client.let_go();
    (response, Instant::now())
}

/// More is held as it goes on, since two events use up what it begins with.
pub async fn open_conversation(world: &World) -> Conversation {
    let mut client = Client::h2c(world.traffic, world.bearer("acme")).await;
    let tokens = EVENT_TOKENS.to_string();
    let wishes = [("x-simulator-usage-every", "1"), ("x-simulator-output-tokens", &*tokens)];
    let conversation = Conversation::open_with(&mut client, &wishes).await;
    client.let_go();
    conversation
}

async fn read(response: Response<Incoming>, began: Instant) -> Seen {
    let answer = Answer::read(response).await.expect("an answer that is not cut");
    answer.assert_served();
    Seen {
        id: answer.header("x-tollgate-request-id").to_owned(),
        upstream_id: Some(answer.header("x-amzn-requestid").to_owned()),
        tenant: "acme",
        status: answer.status,
        whole: true,
        began,
        ended: Instant::now(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_that_cannot_serve_changes_nothing() {
    let world = World::new("", [QUOTAS, ""]).await;
    let (mut service, program) = start_by_link(&world).await;
    let mut client = Client::h1(world.traffic, world.bearer("acme")).await;
    let good = fs::read_to_string(world.file("tollgate.toml")).unwrap();
    let configure = |from: &str, to: &str| fs::write(world.file("tollgate.toml"), good.replace(from, to)).unwrap();
    for failures in 1..=6 {
        match failures {
            1 => configure("listeners", "listenerz"),
            // An address that somebody has.
            2 => configure("listeners = [{", &format!("listeners = [{{ address = \"{}\" }}, {{", world.simulator.address())),
            3 => configure("account/ledger.sqlite", "account/log"),
            // When the account is the successor's already.
            4 => {
                configure("listeners", "listeners");
                replace(&program, &successor("printf '{\"Failed\":\"there is no room\"}' >&0\nexec sleep 600\n"));
            }
            5 => replace(&program, "#!/bin/sh\nexit 1\n"),
            _ => fs::remove_file(&program).unwrap(),
        }
        service.signal_upgrade();
        world.until_metric("tollgate_upgrades_failed_total", f64::from(failures)).await;
        client.post(&format!("/model/{MODEL}/converse"), BODY).await.assert_served();
    }
    symlink(crate::harness::BINARY, &program).unwrap();
    service.upgrade().await;
    // It learns that the other one serves a moment after everybody else.
    let mut served = 6;
    loop {
        let answer = client.post(&format!("/model/{MODEL}/converse"), BODY).await;
        answer.assert_served();
        served += 1;
        if answer.header("connection") == "close" {
            break;
        }
        assert!(served < 1_000, "the old process never says that it goes");
    }
    world.until_rows(served).await;
    drop(client);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_goes_on_with_the_ledger_that_there_is_or_not_at_all() {
    let world = World::new("", [QUOTAS, ""]).await;
    let mut service = Service::start(&world).await;
    let mut client = Client::h1(world.traffic, world.bearer("acme")).await;
    client.post(&format!("/model/{MODEL}/converse"), BODY).await.assert_served();
    let (stream, began) = open_stream(&world, 40).await;
    let good = fs::read_to_string(world.file("tollgate.toml")).unwrap();
    let configure = |ledger: &str| {
        let file = "file = \"account/ledger.sqlite\"";
        fs::write(world.file("tollgate.toml"), good.replace(file, ledger)).unwrap();
    };
    for (ledger, reason) in [("file = \"account/other.sqlite\"", "names the ledger"), ("", "has no ledger")] {
        configure(ledger);
        service.signal_upgrade();
        until(reason, || world.log_tail().contains(reason)).await;
    }
    world.until_metric("tollgate_upgrades_failed_total", 2.0).await;
    assert!(!world.file("account/other.sqlite").exists());

    // The same one by another name, and other settings of it, are no hindrance.
    configure("file = \"account/../account/ledger.sqlite\"\ndurability = \"strict\"");
    service.upgrade().await;
    let acme = &world.usage().await.unwrap()["tenants"][0];
    assert_eq!((&acme["tenant"], &acme["month"]["requests"]), (&"acme".into(), &1.into()), "{acme}");
    assert_eq!(world.holds(), 1);
    read(stream, began).await;
    assert_eq!(world.until_rows(2).await.len(), 2);
    drop(client);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_does_not_end_because_it_died_is_charged_by_estimate() {
    let world = World::new("", [&format!("limits.concurrent_requests = 1\n{QUOTAS}"), ""]).await;
    let mut service = Service::start(&world).await;
    // Killed with a stream, after it has handed over.
    let (cut, _) = open_stream(&world, 300).await;
    let first = service.main();
    service.upgrade().await;
    assert!(
        world.metric("tollgate_quota_reserved_ratio", "acme").await > Some(0.0),
        "the successor holds what its predecessor held"
    );
    let mut other = Client::h1(world.traffic, world.bearer("acme")).await;
    let refused = other.post(&format!("/model/{MODEL}/converse"), BODY).await;
    refused.assert_refused(429, "ThrottlingException");
    service.kill(first);
    assert!(Answer::read(cut).await.is_err());
    let rows = world.until_rows(1).await;
    assert_eq!((rows.len(), &*rows[0].outcome), (1, LOST));

    // The successor killed while the old one still has a stream: that goes on to its end, and is charged by the next.
    let (whole, began) = open_stream(&world, 100).await;
    service.upgrade().await;
    let main = service.main();
    service.kill(main);
    read(whole, began).await;
    let mut service = Service::start(&world).await;
    let rows = world.until_rows(2).await;
    assert_eq!((rows.len(), &*rows[1].outcome), (2, LOST));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_held_for_too_long_is_charged_by_estimate_too_when_it_dies() {
    let world = World::new("", [QUOTAS, ""]).await;
    let mut service = Service::start(&world).await;
    let (cut, _) = open_stream(&world, 600).await;
    assert!(world.metric("tollgate_quota_reserved_ratio", "acme").await > Some(0.0));
    world.until_metric("tollgate_quota_reserved_ratio", 0.0).await;
    let first = service.main();
    service.upgrade().await;
    assert_eq!((world.rows().len(), world.holds()), (0, 1));
    service.kill(first);
    assert!(Answer::read(cut).await.is_err());
    let rows = world.until_rows(1).await;
    assert_eq!((rows.len(), &*rows[0].outcome), (1, LOST));
    assert_eq!(world.usage().await.unwrap()["tenants"][0]["today"]["requests"], 1);
    service.stop().await;
}

/// Speaks on its standard input, as a successor does: one message a write.
fn successor(says: &str) -> String {
    format!("#!/bin/sh\nprintf '\"Prepared\"' >&0\n{says}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_cannot_be_taken_back_at_once_is_when_it_can() {
    let world = World::new("", [QUOTAS, ""]).await;
    let (mut service, program) = start_by_link(&world).await;
    let mut client = Client::h1(world.traffic, world.bearer("acme")).await;
    client.post(&format!("/model/{MODEL}/converse"), BODY).await.assert_served();
    // A name that a backup gives it, before the account is given, is found before anything is.
    let second = world.file("second");
    fs::hard_link(world.ledger_file(), &second).unwrap();
    service.signal_upgrade();
    world.until_metric("tollgate_upgrades_failed_total", 1.0).await;
    client.post(&format!("/model/{MODEL}/converse"), BODY).await.assert_served();
    fs::remove_file(&second).unwrap();

    // And one that it gets afterwards keeps it from being opened again.
    let link = format!("ln {} {}\n", world.ledger_file().display(), second.display());
    replace(&program, &successor(&(link + "printf '{\"Failed\":\"there is no room\"}' >&0\nexec sleep 600\n")));
    service.signal_upgrade();
    world.until_metric("tollgate_upgrades_failed_total", 2.0).await;
    client.post(&format!("/model/{MODEL}/converse"), BODY).await.assert_refused(503, "ServiceUnavailableException");
    assert_eq!(world.metric("tollgate_ledger_writable", "").await, Some(0.0));
    fs::remove_file(&second).unwrap();
    world.until_metric("tollgate_ledger_writable", 1.0).await;
    client.post(&format!("/model/{MODEL}/converse"), BODY).await.assert_served();
    assert_eq!(world.until_rows(3).await.len(), 3);
    drop(client);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_is_brought_to_its_end_whatever_becomes_of_a_successor_meanwhile() {
    let world = World::new("", [QUOTAS, ""]).await;
    let (mut service, program) = start_by_link(&world).await;
    let issuer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = format!(
        "[issuers.slow]\nissuer = \"http://{0}\"\naudiences = [\"x\"]\nkey_set = {{ url = \"http://{0}/keys\" }}\n",
        issuer.local_addr().unwrap()
    );
    world.configure(&slow);
    // The reload that noticed it waits for keys, and the one that is asked for waits for that.
    let asked = within(issuer.accept()).await.unwrap();
    service.signal_reload();
    replace(&program, &successor("printf '{\"Failed\":\"there is no room\"}' >&0\nexec sleep 600\n"));
    service.signal_upgrade();
    world.until_metric("tollgate_upgrades_failed_total", 1.0).await;
    drop((asked, issuer));
    world.until_metric("tollgate_config_generation", 3.0).await;
    service.stop().await;
}

/// The link between the two takes some hundreds of messages, and each tenant is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_that_hangs_in_the_middle_is_given_up_and_requests_go_on() {
    let world = World::new("", [QUOTAS, ""]).await;
    let tenants: String = (0..600).map(|number| format!("[tenants.t{number}]\nservices = [\"bedrock-runtime\"]\n")).collect();
    world.configure(&tenants);
    let (mut service, program) = start_by_link(&world).await;
    replace(&program, &successor("exec sleep 600\n"));
    service.signal_upgrade();
    world.until_metric("tollgate_upgrades_failed_total", 1.0).await;
    let mut client = Client::h1(world.traffic, world.bearer("acme")).await;
    client.post(&format!("/model/{MODEL}/converse"), BODY).await.assert_served();
    drop(client);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_stopped_while_it_hands_over_ends_in_order_and_tells_its_successor() {
    let world = World::new("", [QUOTAS, ""]).await;
    let (mut service, program) = start_by_link(&world).await;
    let (whole, began) = open_stream(&world, 60).await;
    let (prepared, told) = (world.file("prepared"), world.file("told"));
    let says = format!(
        "trap 'touch {}; exit' TERM\ntouch {}\nsleep 2\nprintf '\"Taken\"' >&0\nsleep 600 & wait\n",
        told.display(),
        prepared.display()
    );
    replace(&program, &successor(&says));
    service.signal_upgrade();
    until_there(&prepared).await;
    service.terminate();
    read(whole, began).await;
    until_there(&told).await;
    service.ends().await;
}

async fn until_there(file: &Path) {
    within(async {
        while !file.exists() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn replace(program: &Path, script: &str) {
    fs::remove_file(program).unwrap();
    fs::write(program, script).unwrap();
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
}
