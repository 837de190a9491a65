//! Where listening sockets come from: a predecessor, systemd, or the kernel, in this order. Who has them already loses no connection
//! between two processes.

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
};

use anyhow::anyhow;
use listenfd::ListenFd;

use crate::config::Config;

/// A listening socket.
pub(super) struct Bound {
    /// As the configuration has it; the port may be 0.
    pub configured: SocketAddr,
    /// It is for operators.
    pub admin: bool,
    pub socket: TcpListener,
}

impl Bound {
    /// A second handle of it.
    pub fn again(&self) -> std::io::Result<Bound> {
        Ok(Bound { configured: self.configured, admin: self.admin, socket: self.socket.try_clone()? })
    }
}

/// Bound sockets, not accepting yet: traffic in the order of the file, admin last.
pub(super) fn bind(config: &Config, mut inherited: Vec<Bound>) -> anyhow::Result<Vec<Bound>> {
    let mut activated = activated();
    let traffic = config.listeners.iter().enumerate();
    let traffic = traffic.map(|(index, listener)| (listener.address, format!("listeners[{index}].address"), false));
    let wanted = traffic.chain([(config.admin.address, "admin.address".to_owned(), true)]);
    let mut take = |(address, key, admin): (SocketAddr, String, bool)| {
        let same = |socket: &Bound| socket.configured == address && socket.admin == admin;
        if let Some(index) = inherited.iter().position(same) {
            return Ok(inherited.remove(index));
        }
        let of_systemd = |socket: &TcpListener| socket.local_addr().is_ok_and(|local| local == address);
        let socket = match activated.iter().position(of_systemd) {
            Some(index) => activated.remove(index),
            None => TcpListener::bind(address).map_err(|error| unbound(address, &key, &error))?,
        };
        Ok(Bound { configured: address, admin, socket })
    };
    let bound: anyhow::Result<Vec<Bound>> = wanted.map(&mut take).collect();
    for socket in activated {
        let address = socket.local_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string());
        tracing::warn!(address, "systemd holds a socket that no listener of the configuration has; it is closed");
    }
    bound
}

fn unbound(address: SocketAddr, key: &str, error: &io::Error) -> anyhow::Error {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => "stop what listens there, or write another address",
        ErrorKind::AddrNotAvailable => "no interface of this host has that address; 0.0.0.0 and [::] are all of them",
        ErrorKind::PermissionDenied => "a port below 1024 takes CAP_NET_BIND_SERVICE, which the systemd unit gives",
        _ => "write another address",
    };
    anyhow!("cannot listen on {address}, which is `{key}`: {error}; {advice}")
}

/// The sockets that systemd holds for the service (`LISTEN_FDS`), whatever their names: an address says which is which.
fn activated() -> Vec<TcpListener> {
    let mut held = ListenFd::from_env();
    let taken = (0..held.len()).filter_map(|index| match held.take_tcp_listener(index) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::warn!(%error, "systemd passed something that is no TCP listener");
            None
        }
    });
    taken.collect()
}
