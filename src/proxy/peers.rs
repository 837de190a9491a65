//! Pingora's peers, made once per snapshot: how the endpoint of each service is connected to, all but the address.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use pingora_core::{
    protocols::ALPN,
    upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy, PeerOptions},
    utils::tls::{WrappedX509, parse_x509},
};

use super::keepalive::KEEPALIVE;
use crate::{
    bedrock::Service,
    snapshot::{Endpoint, Snapshot},
};

/// A template per service, in the order of [`Service::ALL`].
pub struct Peers {
    templates: Vec<HttpPeer>,
}

impl Peers {
    /// Makes the templates of a snapshot.
    pub fn new(snapshot: &Snapshot) -> Peers {
        // The snapshot has checked that each is a certificate fit for a root; parsing cannot fail on those.
        let roots = snapshot.upstream_roots.as_ref().map(|roots| {
            let parsed = roots.iter().map(|der| WrappedX509::new(der.clone(), parse_x509));
            Arc::from(parsed.collect::<Vec<_>>())
        });
        let options = options(snapshot, roots);
        let template = |endpoint: &Endpoint| template(endpoint, snapshot, &options);
        Peers { templates: snapshot.endpoints.iter().map(template).collect() }
    }

    /// The peer of a service at an address.
    pub fn peer(&self, service: Service, address: SocketAddr) -> Box<HttpPeer> {
        let mut peer = Box::new(self.templates[service as usize].clone());
        peer._address = pingora_core::protocols::l4::socket::SocketAddr::Inet(address);
        peer
    }

    /// A peer for one stream in both directions: HTTP/2 only, no other stream on its connection, and windows no larger than such streams
    /// need, since a client that reads nothing leaves them full. The connection's is larger than its one stream can fill: from it the
    /// HTTP/2 library takes how many small frames may wait before it ends the connection as an attack.
    pub fn conversation_peer(&self, service: Service, address: SocketAddr) -> Box<HttpPeer> {
        const GROUPS: u64 = 1 << 32;
        const WINDOW: u32 = 1 << 18;
        const CONNECTION_WINDOW: u32 = 1 << 24;
        let mut peer = self.peer(service, address);
        peer.group_key = peer.group_key.wrapping_add(GROUPS);
        peer.options.alpn = ALPN::H2;
        peer.options.max_h2_streams = 1;
        peer.options.h2_stream_window_size = Some(WINDOW);
        peer.options.h2_connection_window_size = Some(CONNECTION_WINDOW);
        peer
    }

    /// The same as [`Peers::peer`], with a connection of its own: none of the pool is taken, nor is this one kept.
    pub fn fresh_peer(&self, service: Service, address: SocketAddr) -> Box<HttpPeer> {
        static GROUPS: AtomicU64 = AtomicU64::new(u64::MAX);
        let mut peer = self.peer(service, address);
        // Pingora pools by group; generations count up, these count down.
        peer.group_key = GROUPS.fetch_sub(1, Ordering::Relaxed);
        peer.options.idle_timeout = Some(Duration::ZERO);
        peer
    }
}

fn template(endpoint: &Endpoint, snapshot: &Snapshot, options: &PeerOptions) -> HttpPeer {
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let mut peer = HttpPeer::new(nowhere, endpoint.tls, endpoint.host.clone());
    peer.options = options.clone();
    // A connection verified against other roots must not be reused under these.
    peer.group_key = if snapshot.upstream_roots.is_some() { snapshot.generation } else { 0 };
    peer
}

fn options(snapshot: &Snapshot, roots: Option<Arc<[WrappedX509]>>) -> PeerOptions {
    let upstream = &snapshot.upstream;
    let mut options = PeerOptions::new();
    let connect = Duration::from_secs(upstream.connect_seconds_max);
    let silence = Duration::from_secs(upstream.silence_seconds_max);
    options.connection_timeout = Some(connect);
    options.total_connection_timeout = Some(connect);
    options.read_timeout = Some(silence);
    options.write_timeout = Some(silence);
    options.idle_timeout = Some(Duration::from_secs(upstream.idle_seconds_max));
    options.tcp_keepalive = Some(KEEPALIVE);
    // Not HTTP/2: Pingora may send a POST again there that was processed already (pingora#979).
    options.alpn = ALPN::H1;
    options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
    options.ca = roots;
    options
}
