//! The gateway's own connection, by which it sees whether it still answers. It is known by the address it comes from, is let through
//! whatever its listener asks of others, and is not counted. Nobody else can come from there: the port is taken while it lasts.

use std::{net::SocketAddr, sync::Arc};

use arc_swap::ArcSwapOption;

/// Where the gateway connects to itself from, while it does. Clones are the same one.
#[derive(Clone, Default)]
pub struct OwnConnections(Arc<ArcSwapOption<SocketAddr>>);

/// The one there is, until it is dropped.
pub struct OwnConnection(OwnConnections);

impl OwnConnections {
    /// From now on, what comes from this address is the gateway's own. There is one at a time; another takes its place.
    pub fn expect(&self, from: SocketAddr) -> OwnConnection {
        self.0.store(Some(Arc::new(from)));
        OwnConnection(self.clone())
    }

    pub(super) fn has(&self, peer: SocketAddr) -> bool {
        self.0.load().as_deref().is_some_and(|own| own.ip() == peer.ip() && own.port() == peer.port())
    }
}

impl Drop for OwnConnection {
    fn drop(&mut self) {
        self.0.0.store(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_the_gateways_own_while_it_is_expected_and_no_other_is() {
        let own = OwnConnections::default();
        let [here, port, host] = ["127.0.0.1:1000", "127.0.0.1:1001", "127.0.0.2:1000"].map(|it| it.parse().unwrap());
        assert!(!own.has(here));
        let expected = own.expect(here);
        assert_eq!([here, port, host].map(|peer| own.has(peer)), [true, false, false]);
        drop(expected);
        assert!(!own.has(here));
    }
}
