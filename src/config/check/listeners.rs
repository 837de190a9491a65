//! `[[listeners]]` and `[admin]`: addresses that clash, plaintext where others can read it, listeners open to everybody or nobody.

use std::net::SocketAddr;

use super::{Check, KeyPath, client_principals};
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
        anybody(check, index, config);
        networks(check, index, listener);
        client_certificates(check, index, listener);
        client_principals::check(check, config, index, listener);
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

/// A public listener without authentication. What `[vending]` gives out is given for an issuer's token, so it vouches for nobody alone.
fn anybody(check: &mut Check<'_>, index: usize, config: &Config) {
    let certified = config.listeners[index].tls.as_ref().is_some_and(|tls| !tls.client_principals.is_empty());
    let nobody_vouches = config.issuers.is_empty() && config.keys.is_none() && !certified;
    if nobody_vouches && !config.listeners[index].address.ip().is_loopback() {
        check.error(
            KeyPath::of("listeners").index(index).key("address"),
            "a public listener, and nothing says who may call",
            "add an `[issuers.NAME]` or `[keys]` section, or listen on 127.0.0.1 until there is one",
        );
    }
}

fn networks(check: &mut Check<'_>, index: usize, listener: &Listener) {
    let path = KeyPath::of("listeners").index(index);
    for (key, networks) in [("allow_from", &listener.allow_from), ("proxy_protocol_from", &listener.proxy_protocol_from)] {
        super::networks(check, networks, &path.clone().key(key));
    }
    if listener.allow_from.is_empty() {
        check.error(path.clone().key("allow_from"), "empty: nobody could connect", "remove the line to allow everybody");
    }
    let everybody = listener.proxy_protocol_from.iter().any(|text| text.ends_with("/0"));
    if everybody {
        check.warning(
            path.key("proxy_protocol_from"),
            "everybody can claim any client address",
            "name the subnets of the load balancer only",
        );
    }
}

fn client_certificates(check: &mut Check<'_>, index: usize, listener: &Listener) {
    let Some(tls) = &listener.tls else { return };
    let path = KeyPath::of("listeners").index(index).key("tls").key("client_certificates");
    // The default counts for whoever writes it down.
    if tls.client_ca_file.is_none() && check.root.has(&path.0) {
        check.error(
            path,
            "nobody is asked for a certificate, because nothing says which to believe",
            "add `client_ca_file`, the authorities that client certificates must chain to",
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
