//! Host names that requests will need, looked up before they do: at the start, and before a reload takes effect.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use crate::{
    proxy::{
        addresses::{Addresses, WAIT_MAX},
        upstream::names,
    },
    snapshot::Snapshot,
};

/// How often they are looked up again.
pub(super) const EVERY: Duration = Duration::from_secs(15);

/// Looks up what is new in a configuration, from now on. Who waits for it waits as long as a request would, and it goes on after that.
pub(super) fn prepare(addresses: &Arc<Addresses>, snapshot: &Snapshot) -> impl Future<Output = ()> + use<> {
    let (addresses, names) = (addresses.clone(), names(snapshot));
    let preparing = tokio::spawn(async move { addresses.prepare(names).await });
    async {
        let _ = timeout(WAIT_MAX, preparing).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        net::SocketAddr,
        path::Path,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use async_trait::async_trait;

    use super::*;
    use crate::{
        bedrock::Service,
        config,
        proxy::{Live, addresses::Resolver, upstream},
        snapshot::Lasting,
        telemetry::Metrics,
    };

    /// Every name is at one address, and each look-up is counted.
    struct Everywhere(Arc<AtomicUsize>);

    #[async_trait]
    impl Resolver for Everywhere {
        async fn look_up(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(vec![SocketAddr::from(([10, 0, 0, 1], port))])
        }
    }

    fn live(upstream: &str) -> Live {
        let text = format!("[[listeners]]\naddress = \"127.0.0.1:0\"\n[upstream]\nregion = \"us-east-1\"\n{upstream}");
        let config = config::parse(&text, Path::new("tollgate.toml")).unwrap_or_else(|problems| panic!("{problems}"));
        let lasting = Lasting::default();
        Live::new(Snapshot::compile(&config, 1, &lasting).unwrap())
    }

    #[tokio::test]
    async fn the_first_request_to_each_service_looks_nothing_up_after_the_start_nor_after_a_reload() {
        let asked = Arc::new(AtomicUsize::default());
        let addresses = Arc::new(Addresses::new(Everywhere(asked.clone()), Metrics::new().unwrap().resolve_failures));
        let own = "[upstream.endpoints]\nbedrock-runtime = \"https://vpce-1.example:8443\"\n";
        for (upstream, new) in [("", Service::ALL.len()), (own, 1), ("", 0)] {
            let (before, live) = (asked.load(Ordering::Relaxed), live(upstream));
            prepare(&addresses, &live.snapshot).await;
            assert_eq!(asked.load(Ordering::Relaxed) - before, new);
            for service in Service::ALL {
                assert_eq!(upstream::addresses(&live, service, &addresses).await.len(), 1, "{service}");
            }
            assert_eq!(asked.load(Ordering::Relaxed) - before, new, "requests looked up");
        }
    }

    #[tokio::test]
    async fn what_has_an_address_is_not_looked_up() {
        let asked = Arc::new(AtomicUsize::default());
        let addresses = Arc::new(Addresses::new(Everywhere(asked.clone()), Metrics::new().unwrap().resolve_failures));
        prepare(&addresses, &live("connect_to = \"127.0.0.1:9\"\n").snapshot).await;
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        let endpoints = Service::ALL.map(|service| format!("{service} = \"https://[::1]:8443\"\n")).concat();
        prepare(&addresses, &live(&format!("[upstream.endpoints]\n{endpoints}")).snapshot).await;
        assert_eq!(asked.load(Ordering::Relaxed), 0);
    }
}
