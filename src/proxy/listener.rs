//! Accepting connections: TCP, TLS, and the protocol they speak. An accept loop of our own, because Pingora's tells nobody its port, has
//! no deadline for h2c's preface, and cannot end a drain before its grace period is over.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use arc_swap::ArcSwap;
use pingora_core::{
    apps::ServerApp,
    listeners::tls::Acceptor,
    protocols::{GetSocketDigest, SocketDigest, Stream, l4::stream::Stream as L4Stream},
    server::ShutdownWatch,
};
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};

use super::Live;

/// TLS handshake, or the first bytes of a plaintext connection.
const GREETING_MAX: Duration = Duration::from_secs(10);
/// After a failed accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A bound address, ready to accept connections.
pub struct Listener<F> {
    socket: TcpListener,
    welcome: Welcome<F>,
}

/// What an accepted connection goes through.
struct Welcome<F> {
    tls: Option<Acceptor>,
    application: F,
}

/// Makes the application of a new connection, so that each has the settings in force.
pub trait Application: Send + Sync + 'static {
    /// What serves a connection.
    type App: ServerApp + Send + Sync + 'static;
    /// Whether connections without TLS may begin with HTTP/2's preface.
    const H2C: bool;
    /// `prior_knowledge`: this connection began so.
    fn serve(&self, prior_knowledge: bool) -> Arc<Self::App>;
}

/// The number of open connections.
#[derive(Clone, Default)]
pub struct Connections(Arc<AtomicUsize>);

impl<F: Application> Listener<F> {
    /// Accepts plaintext.
    pub fn plaintext(socket: std::net::TcpListener, application: F) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Listener { socket: TcpListener::from_std(socket)?, welcome: Welcome { tls: None, application } })
    }

    /// Accepts TLS, with the certificate that the snapshot in force has for the listener of this name.
    pub fn tls(
        socket: std::net::TcpListener,
        application: F,
        name: SocketAddr,
        live: Arc<ArcSwap<Live>>,
    ) -> std::io::Result<Self> {
        let mut listener = Listener::plaintext(socket, application)?;
        listener.welcome.tls = Some(acceptor(name, live).map_err(std::io::Error::other)?);
        Ok(listener)
    }

    /// Where clients connect.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until `stop` is true. Connections go on; `shutdown` tells them to end.
    pub async fn serve(self, mut stop: watch::Receiver<bool>, shutdown: ShutdownWatch, connections: Connections) {
        // The socket ends with this loop, while connections go on: what is not accepted any more has to be refused.
        let Listener { socket: listening, welcome } = self;
        let welcome = Arc::new(welcome);
        loop {
            let accepted = tokio::select! {
                accepted = listening.accept() => accepted,
                _ = stop.wait_for(|&stop| stop) => return,
            };
            match accepted {
                Ok((socket, peer)) => {
                    let open = connections.open();
                    let (welcome, shutdown) = (welcome.clone(), shutdown.clone());
                    tokio::spawn(async move {
                        welcome.serve_connection(socket, peer, &shutdown).await;
                        drop(open);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl<F: Application> Welcome<F> {
    async fn serve_connection(&self, socket: TcpStream, peer: SocketAddr, shutdown: &ShutdownWatch) {
        let _ = socket.set_nodelay(true);
        let prior_knowledge = match self.tls {
            None if F::H2C => match timeout(GREETING_MAX, speaks_h2(&socket)).await {
                Ok(Some(prior_knowledge)) => prior_knowledge,
                Ok(None) | Err(_) => return,
            },
            _ => false,
        };
        let stream = with_peer(socket, peer);
        let stream: Stream = match &self.tls {
            None => Box::new(stream),
            // Boxed, so that its memory is given back when it is over, and not kept for as long as the connection lives.
            Some(acceptor) => match timeout(GREETING_MAX, Box::pin(acceptor.tls_handshake(stream))).await {
                Ok(Ok(stream)) => Box::new(stream),
                Ok(Err(error)) => return tracing::debug!(%peer, %error, "TLS handshake failed"),
                Err(_) => return tracing::debug!(%peer, "TLS handshake took too long"),
            },
        };
        self.application.serve(prior_knowledge).process_new(stream, shutdown).await;
    }
}

impl Connections {
    fn open(&self) -> OpenConnection {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        OpenConnection(self.clone())
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

struct OpenConnection(Connections);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Whether the connection begins with HTTP/2's preface; `None` if it ends before that is clear.
async fn speaks_h2(socket: &TcpStream) -> Option<bool> {
    let mut seen = [0; H2_PREFACE.len()];
    let mut pause = Duration::from_millis(1);
    loop {
        let length = socket.peek(&mut seen).await.ok().filter(|&length| length > 0)?;
        if seen[..length] != H2_PREFACE[..length] {
            return Some(false);
        }
        if length == seen.len() {
            return Some(true);
        }
        // What was peeked stays readable, so waiting for more to be readable would return at once.
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn with_peer(socket: TcpStream, peer: SocketAddr) -> L4Stream {
    use std::os::fd::AsRawFd;
    let digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
    let _ = digest.peer_addr.set(Some(pingora_core::protocols::l4::socket::SocketAddr::Inet(peer)));
    let mut stream = L4Stream::from(socket);
    stream.set_socket_digest(digest);
    stream
}

fn acceptor(name: SocketAddr, live: Arc<ArcSwap<Live>>) -> Result<Acceptor, rustls::Error> {
    let certificates = Arc::new(CertificateInForce { live, name });
    let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(Acceptor::from_server_config(Arc::new(config)))
}

/// The listener's certificate of the snapshot in force, so that a reload replaces it.
struct CertificateInForce {
    live: Arc<ArcSwap<Live>>,
    name: SocketAddr,
}

impl std::fmt::Debug for CertificateInForce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateInForce").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for CertificateInForce {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.live.load().snapshot.certificates.get(&self.name).cloned()
    }
}
