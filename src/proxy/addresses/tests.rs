//! Names that are there, are not, come back and are not answered for.

use std::{collections::HashMap, future::pending};

use super::*;
use crate::telemetry::Metrics;

const PORT: u16 = 443;

/// Its name server says nothing.
const SILENT: &str = "silent";

/// What is in DNS, and how often it was asked. What it does not know does not exist.
#[derive(Clone, Default)]
struct Dns {
    hosts: Arc<Mutex<HashMap<&'static str, Vec<SocketAddr>>>>,
    asked: Arc<AtomicUsize>,
}

impl Dns {
    fn set(&self, host: &'static str, last_octets: &[u8]) {
        let addresses = last_octets.iter().map(|last| SocketAddr::from(([10, 0, 0, *last], PORT))).collect();
        self.hosts.lock().unwrap().insert(host, addresses);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Resolver for Dns {
    async fn look_up(&self, host: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        if host == SILENT {
            return pending().await;
        }
        self.hosts.lock().unwrap().get(host).cloned().ok_or(io::ErrorKind::NotFound.into())
    }
}

fn addresses(dns: &Dns) -> (Arc<Addresses>, IntCounter) {
    let failures = Metrics::new().unwrap().resolve_failures;
    (Arc::new(Addresses::new(dns.clone(), failures.clone())), failures)
}

fn names(hosts: &[&str]) -> HashSet<HostPort> {
    hosts.iter().map(|host| ((*host).to_owned(), PORT)).collect()
}

#[tokio::test]
async fn a_request_for_a_name_that_was_prepared_looks_nothing_up() {
    let dns = Dns::default();
    dns.set("here", &[1, 2]);
    let (addresses, _) = addresses(&dns);
    addresses.prepare(names(&["here"])).await;
    assert_eq!(dns.asked(), 1);
    let (first, second) = (addresses.of("here", PORT).await, addresses.of("here", PORT).await);
    assert_eq!(first.len(), 2);
    assert_ne!(first[0], second[0], "addresses take turns");
    addresses.prepare(names(&["here"])).await;
    assert_eq!(dns.asked(), 1, "only what is new is prepared");
}

#[tokio::test]
async fn an_address_in_place_of_a_name_is_not_looked_up() {
    let dns = Dns::default();
    let (addresses, _) = addresses(&dns);
    assert_eq!(addresses.of("::1", PORT).await, [SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], PORT))]);
    assert_eq!(dns.asked(), 0);
}

#[tokio::test]
async fn a_name_that_is_not_prepared_is_waited_for_by_all_who_need_it_and_looked_up_once() {
    let dns = Dns::default();
    dns.set("here", &[1]);
    let (addresses, failures) = addresses(&dns);
    let [one, other, background] = [0, 1, 2].map(|it| (addresses.clone(), it)).map(|(addresses, it)| async move {
        match it {
            2 => addresses.refresh(names(&["here"])).await,
            _ => assert_eq!(addresses.of("here", PORT).await.len(), 1),
        }
    });
    tokio::join!(one, other, background);
    assert_eq!((dns.asked(), failures.get()), (1, 0));
}

#[tokio::test]
async fn last_good_addresses_outlive_failures_which_count_once_a_request_has_asked() {
    let dns = Dns::default();
    dns.set("here", &[1]);
    let (addresses, failures) = addresses(&dns);
    addresses.prepare(names(&["here"])).await;
    dns.hosts.lock().unwrap().clear();
    addresses.refresh(names(&["here"])).await;
    assert_eq!(failures.get(), 0, "nobody needs it");
    for round in 1..4 {
        assert_eq!(addresses.of("here", PORT).await.len(), 1);
        addresses.refresh(names(&["here"])).await;
        assert_eq!(failures.get(), round);
    }
    dns.set("here", &[7, 8]);
    addresses.refresh(names(&["here"])).await;
    assert_eq!(addresses.of("here", PORT).await.len(), 2, "and are replaced by new ones");
}

#[tokio::test]
async fn an_endpoint_that_does_not_exist_fails_for_each_who_asks_and_for_nobody_else() {
    let dns = Dns::default();
    let (addresses, failures) = addresses(&dns);
    let refresh = || addresses.refresh(names(&["nowhere"]));
    refresh().await;
    assert_eq!(failures.get(), 0);
    assert!(addresses.of("nowhere", PORT).await.is_empty());
    assert_eq!(failures.get(), 1);
    refresh().await;
    refresh().await;
    assert_eq!(failures.get(), 1, "one request is one failure");
    dns.set("nowhere", &[1]);
    assert_eq!(addresses.of("nowhere", PORT).await.len(), 1, "and once it exists it is found at once");
}

#[tokio::test(start_paused = true)]
async fn a_name_server_that_does_not_answer_delays_neither_requests_for_long_nor_other_names() {
    let dns = Dns::default();
    dns.set("here", &[1]);
    let (addresses, failures) = addresses(&dns);
    let began = tokio::time::Instant::now();
    let refreshing = tokio::spawn({
        let addresses = addresses.clone();
        async move { addresses.refresh(names(&[SILENT, "here"])).await }
    });
    assert_eq!(addresses.of("here", PORT).await.len(), 1);
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(addresses.of(SILENT, PORT).await.is_empty());
    assert_eq!((began.elapsed(), failures.get()), (WAIT_MAX, 1));
    refreshing.await.unwrap();
    assert_eq!(began.elapsed(), LOOK_UP_MAX);
}

#[tokio::test]
async fn names_that_no_configuration_has_any_more_are_forgotten() {
    let dns = Dns::default();
    dns.set("old", &[1]);
    dns.set("new", &[1]);
    let (addresses, _) = addresses(&dns);
    addresses.refresh(names(&["old"])).await;
    addresses.refresh(names(&["new"])).await;
    assert_eq!(addresses.lock().keys().cloned().collect::<HashSet<_>>(), names(&["new"]));
}

#[test]
fn families_take_turns_in_an_order_that_keeps_all() {
    let v4 = |last: u8| SocketAddr::from(([10, 0, 0, last], 443));
    let v6 = |last: u16| SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, last], 443));
    assert_eq!(by_turns(vec![v6(1), v6(2), v6(3), v4(1), v4(2)]), [v6(1), v4(1), v6(2), v4(2), v6(3)]);
    assert_eq!(by_turns(vec![v4(2), v6(1), v6(2), v6(3), v4(1)]), [v4(2), v6(1), v4(1), v6(2), v6(3)]);
    assert_eq!(by_turns(vec![v4(1), v4(2)]), [v4(1), v4(2)]);
    assert!(by_turns(Vec::new()).is_empty());
}
