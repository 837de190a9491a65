//! `[[listeners]]` and `[admin]`: addresses that clash, and plaintext where others can read it.

use std::net::SocketAddr;

use super::{Check, KeyPath};
use crate::config::{Config, Listener};

pub(super) fn check(check: &mut Check<'_>, config: &Config) {
    if config.listeners.is_empty() {
        check.error(
            KeyPath::of("listeners"),
            "no listener: nobody could connect",
            "add a `[[listeners]]` section with an `address`",
        );
    }
    for (index, listener) in config.listeners.iter().enumerate() {
        plaintext(check, index, listener);
    }
    clashes(check, config);
    if !config.admin.address.ip().is_loopback() {
        check.warning(
            KeyPath::of("admin").key("address"),
            "the admin listener is plaintext and asks nobody who they are, and this address is not loopback",
            "use 127.0.0.1, or see to it that only the monitoring can reach the port",
        );
    }
}

fn plaintext(check: &mut Check<'_>, index: usize, listener: &Listener) {
    let open = listener.tls.is_none() && !listener.address.ip().is_loopback();
    if open && !listener.allow_plaintext_off_loopback {
        check.error(
            KeyPath::of("listeners").index(index).key("address"),
            "plaintext off loopback: tokens and prompts would be readable on the network",
            "add `tls`, or set `allow_plaintext_off_loopback = true` if something in front terminates TLS on this very host or link",
        );
    }
}

fn clashes(check: &mut Check<'_>, config: &Config) {
    // The admin listener first: it has an address also when the file does not say so, and then there is nowhere to point.
    let mut earlier = vec![(config.admin.address, KeyPath::of("admin").key("address"))];
    for (index, listener) in config.listeners.iter().enumerate() {
        let (address, path) = (listener.address, KeyPath::of("listeners").index(index).key("address"));
        match earlier.iter().find(|(other, _)| clash(*other, address)) {
            Some((other, where_)) => check.error(
                path,
                format!("`{address}` cannot be bound: `{where_}` takes `{other}`"),
                "give each listener a port of its own; port 0 takes a free one",
            ),
            None => earlier.push((address, path)),
        }
    }
}

/// The unspecified address takes the port on every address of its family, and `[::]` on Linux on those of IPv4 as well.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let takes = |wide: SocketAddr, other: SocketAddr| wide.ip().is_unspecified() && (wide.is_ipv6() || other.is_ipv4());
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || takes(a, b) || takes(b, a))
}
