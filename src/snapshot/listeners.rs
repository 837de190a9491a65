//! Listeners, compiled: who may connect to each, and how.

use std::{net::SocketAddr, sync::Arc};

use super::{CompileError, tls, tls::Tls};
use crate::config::{self, Network};

/// What a listener asks of connections.
pub struct Listener {
    /// As it stands in the file; the port may be 0.
    pub address: SocketAddr,
    /// `None`: plaintext.
    pub tls: Option<Tls>,
    /// Where clients may be.
    pub allow_from: Vec<Network>,
    /// Where connections begin with a PROXY header.
    pub proxy_protocol_from: Vec<Network>,
}

/// Compiles all, in the order of the file.
pub fn compile(listeners: &[config::Listener]) -> Result<Vec<Arc<Listener>>, CompileError> {
    let networks = |texts: &[String]| texts.iter().map(|text| text.parse::<Network>()).collect::<Result<Vec<_>, _>>();
    let compile = |listener: &config::Listener| {
        Ok(Arc::new(Listener {
            address: listener.address,
            tls: listener.tls.as_ref().map(tls::compile).transpose()?,
            allow_from: networks(&listener.allow_from)?,
            proxy_protocol_from: networks(&listener.proxy_protocol_from)?,
        }))
    };
    listeners.iter().map(compile).collect()
}

/// The listeners of a new configuration in the order in which `bound` were bound. One that the new configuration does not have goes on
/// as it was; of several with the same address, as with port 0, the first takes the place of the first.
pub fn in_order_of(bound: &[Arc<Listener>], new: Vec<Arc<Listener>>) -> Vec<Arc<Listener>> {
    let mut new: Vec<_> = new.into_iter().map(Some).collect();
    let mut successor = |old: &Arc<Listener>| {
        let same = |one: &Listener| one.address == old.address && one.tls.is_some() == old.tls.is_some();
        new.iter_mut().find(|one| one.as_deref().is_some_and(same)).and_then(Option::take)
    };
    bound.iter().map(|old| successor(old).unwrap_or_else(|| old.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Told apart by the last number of the network.
    fn listener(port: u16, mark: u8) -> Arc<Listener> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let allow_from = vec![format!("10.0.0.{mark}").parse().unwrap()];
        Arc::new(Listener { address, tls: None, allow_from, proxy_protocol_from: Vec::new() })
    }

    #[test]
    fn listeners_keep_their_places_whatever_the_order_of_the_new_file() {
        let bound = [listener(0, 1), listener(443, 2), listener(0, 3), listener(80, 4)];
        let new = vec![listener(443, 12), listener(0, 11), listener(8080, 15), listener(0, 13)];
        let marks: Vec<_> = in_order_of(&bound, new).iter().map(|one| one.allow_from[0]).collect();
        let expected = [11, 12, 13, 4].map(|mark| format!("10.0.0.{mark}").parse::<Network>().unwrap());
        assert_eq!(marks, expected);
    }
}
