//! Accepting connections: who may connect, TLS, and the protocol they speak. An accept loop of our own, because Pingora's tells nobody
//! its port, has no cap, no PROXY protocol and no deadline for h2c's preface, and cannot end a drain before its grace period is over.

mod gate;
pub mod handshake;
mod latest;
mod own;
pub mod phase;
mod preface;
mod proxy_protocol;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use pingora_core::{
    apps::ServerApp,
    protocols::{
        GetSocketDigest, SocketDigest, Stream,
        l4::{ext::set_tcp_keepalive, stream::Stream as L4Stream},
    },
    server::ShutdownWatch,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use self::{gate::Place, latest::Latest, proxy_protocol::Source};
pub use self::{
    gate::{Connections, Gate},
    own::{OwnConnection, OwnConnections},
    phase::{Phase, Phases},
};
use super::{
    keepalive::KEEPALIVE,
    wire::{LINGER_MAX, Progress, READ_UP_MAX, Terms, Watched},
};
use crate::{config::Network, snapshot};

/// For everything before the first request: PROXY header, TLS handshake, HTTP/2's preface.
const GREETING_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After a failed accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound address, ready to accept connections.
pub struct Listener<F> {
    socket: TcpListener,
    welcome: Welcome<F>,
    /// Used without a gate.
    latest: Latest,
}

/// What an accepted connection goes through.
struct Welcome<F> {
    /// `None`: plaintext for everybody who can connect.
    gate: Option<Gate>,
    application: F,
}

/// Makes the application of a new connection, so that each has the settings in force.
pub trait Application: Send + Sync + 'static {
    /// What serves a connection.
    type App: ServerApp + Send + Sync + 'static;
    /// Whether connections without TLS may begin with HTTP/2's preface.
    const H2C: bool;
    /// Makes it.
    fn serve(&self, opening: Opening) -> Arc<Self::App>;
}

/// A connection that is about to be served.
pub struct Opening {
    /// It began with HTTP/2's preface, without TLS.
    pub prior_knowledge: bool,
    /// What is known of its bytes.
    pub progress: Arc<Progress>,
    /// True ends it in order: GOAWAY, or `Connection: close`.
    pub end: watch::Sender<bool>,
    /// When the client's certificate is not good any more, and it ends for that.
    pub lapses: Option<Instant>,
}

/// Why a connection is not served.
enum Turned {
    /// By the gateway; a metric label.
    Away(&'static str),
    /// By the client.
    Back,
}

struct Greeted {
    stream: Stream,
    http2: bool,
    prior_knowledge: bool,
    /// It is the gateway's own.
    own: bool,
}

impl<F: Application> Listener<F> {
    /// Accepts plaintext, from everybody; of more than `latest_max` the oldest are closed.
    pub fn plaintext(socket: std::net::TcpListener, application: F, latest_max: usize) -> std::io::Result<Self> {
        Listener::new(socket, Welcome { gate: None, application }, latest_max)
    }

    /// Accepts what the gate lets through.
    pub fn guarded(socket: std::net::TcpListener, application: F, gate: Gate) -> std::io::Result<Self> {
        Listener::new(socket, Welcome { gate: Some(gate), application }, usize::MAX)
    }

    fn new(socket: std::net::TcpListener, welcome: Welcome<F>, latest_max: usize) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Listener { socket: TcpListener::from_std(socket)?, welcome, latest: Latest::new(latest_max) })
    }

    /// Where clients connect.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until it is closed. Connections go on, and end as the phases tell.
    pub async fn serve(self, phases: Phases, connections: Connections) {
        // The socket ends with this loop, while connections go on: what is not accepted any more has to be refused.
        let Listener { socket: listening, welcome, mut latest } = self;
        let welcome = Arc::new(welcome);
        let mut until_closed = phases.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listening.accept() => accepted,
                () = until_closed.reach(Phase::Closed) => return,
            };
            match accepted {
                Ok((socket, peer)) => {
                    let Some(place) = welcome.place(&connections, peer) else { continue };
                    let (serving, phases) = (welcome.clone(), phases.clone());
                    let connection = tokio::spawn(async move {
                        serving.serve_connection(socket, peer, phases).await;
                        drop(place);
                    });
                    if welcome.gate.is_none() {
                        latest.add(connection.abort_handle());
                    }
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
    /// `None`: there is no room. Listeners without a gate make room, and the gateway's own connections are not counted.
    fn place(&self, connections: &Connections, peer: SocketAddr) -> Option<Option<Place>> {
        match &self.gate {
            Some(gate) if !gate.is_own(peer) => gate.admit(connections).map(Some),
            _ => Some(None),
        }
    }

    async fn serve_connection(&self, socket: TcpStream, peer: SocketAddr, mut phases: Phases) {
        let _ = socket.set_nodelay(true);
        let _ = set_tcp_keepalive(&socket, &KEEPALIVE);
        // Boxed, so that its memory is given back when it is over, and not kept for as long as the connection lives.
        let greeting = Box::pin(timeout(GREETING_MAX, self.greet(socket, peer)));
        let greeted = tokio::select! {
            greeted = greeting => greeted.unwrap_or(Err(Turned::Away("silent"))),
            // What was accepted is served, whoever is to leave: its client could not know.
            () = phases.reach(Phase::Hurrying) => return,
        };
        match greeted {
            Ok(greeted) => self.drive(greeted, phases).await,
            Err(Turned::Away(reason)) => self.refuse(reason),
            Err(Turned::Back) => {}
        }
    }

    /// Everything before HTTP.
    async fn greet(&self, mut socket: TcpStream, peer: SocketAddr) -> Result<Greeted, Turned> {
        let own = self.gate.as_ref().is_some_and(|gate| gate.is_own(peer));
        let mut client = peer;
        if let Some(rules) = self.gate.as_ref().and_then(Gate::rules).filter(|_| !own) {
            client = known_client(&rules, &mut socket, peer).await?;
        }
        let tls = self.gate.as_ref().map(|gate| (gate.live(), gate.index()));
        let acceptor = tls.as_ref().and_then(|(live, index)| live.acceptors.get(*index)?.as_ref());
        let acceptor = acceptor.map(|acceptors| if own { &acceptors.own } else { &acceptors.clients });
        match acceptor {
            Some(acceptor) => match acceptor.tls_handshake(with_peer(socket, client)).await {
                Ok(stream) => {
                    let stream: Stream = Box::new(stream);
                    let http2 = matches!(stream.selected_alpn_proto(), Some(pingora_core::protocols::ALPN::H2));
                    Ok(Greeted { stream, http2, prior_knowledge: false, own })
                }
                Err(error) => {
                    tracing::debug!(%client, %error, "TLS handshake failed");
                    Err(Turned::Away("tls"))
                }
            },
            None => {
                let http2 = F::H2C && preface::speaks_h2(&socket).await.ok_or(Turned::Back)?;
                Ok(Greeted { stream: Box::new(with_peer(socket, client)), http2, prior_knowledge: http2, own })
            }
        }
    }

    /// HTTP, until the connection is over or has to be.
    async fn drive(&self, greeted: Greeted, mut phases: Phases) {
        let Greeted { stream, http2, prior_knowledge, own } = greeted;
        let mut lapses = handshake::certified_for(&stream, SystemTime::now()).and_then(|left| Instant::now().checked_add(left));
        let progress = Arc::new(Progress::new(own));
        let (end, ending) = watch::channel(false);
        if !http2 && phases.reached(Phase::Leaving) {
            end.send_replace(true);
        }
        let opening = Opening { prior_knowledge, progress: progress.clone(), end: end.clone(), lapses };
        let application = self.application.serve(opening);
        let stream =
            Box::new(Watched::new(stream, http2, progress.clone(), self.gate.as_ref().map_or_else(Terms::default, Gate::terms)));
        let mut serving = application.process_new(stream, &ending);
        // Pingora bounds how long HTTP/1 idles. HTTP/2 it would close without GOAWAY, and lose what is on its way.
        let mut idle_max = self.gate.as_ref().filter(|_| http2).map(Gate::idle_max);
        // HTTP/1 has a deadline for its head; HTTP/2 would be waited for.
        let mut greeted = !http2;
        let mut ahead = Some(Phase::Leaving);
        loop {
            tokio::select! {
                biased;
                _ = &mut serving => break,
                phase = reach(&mut phases, ahead) => {
                    let hurries = phase == Phase::Hurrying;
                    ahead = (!hurries).then_some(Phase::Hurrying);
                    // Who has connected and asked nothing yet is about to.
                    if hurries || !http2 || progress.leave() {
                        end.send_replace(true);
                    }
                }
                // In order, so that the client comes back with the certificate it has meanwhile.
                () = at(lapses) => {
                    lapses = None;
                    end.send_replace(true);
                }
                () = idle(idle_max, &progress), if greeted => {
                    idle_max = None;
                    end.send_replace(true);
                }
                () = deserted(ending.clone(), &progress), if http2 => break,
                heard = timeout(GREETING_MAX, progress.begins()), if !greeted => {
                    greeted = true;
                    if heard.is_err() {
                        progress.blame("silent");
                        break;
                    }
                }
            }
        }
        if let Some(reason) = progress.fault() {
            self.refuse(reason);
        }
    }

    fn refuse(&self, reason: &'static str) {
        if let Some(gate) = &self.gate {
            gate.refuse(reason);
        }
    }
}

/// The phase that was waited for; none is never reached.
async fn reach(phases: &mut Phases, ahead: Option<Phase>) -> Phase {
    match ahead {
        Some(phase) => {
            phases.reach(phase).await;
            phase
        }
        None => std::future::pending().await,
    }
}

/// Boxed, because most connections have no such moment and should not keep room for it.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => Box::pin(sleep_until(moment)).await,
        None => std::future::pending().await,
    }
}

/// Boxed as well.
async fn idle(most: Option<Duration>, progress: &Progress) {
    match most {
        Some(most) => Box::pin(progress.rests(most)).await,
        None => std::future::pending().await,
    }
}

/// Resolves when a connection that was told to end has had nothing to do for a while: no request, and no byte of what a slow reader has
/// not read yet. Pingora waits for the client to answer its last PING, without end.
async fn deserted(mut ending: ShutdownWatch, progress: &Progress) {
    if ending.wait_for(|&ends| ends).await.is_err() {
        return std::future::pending().await;
    }
    let (mut answered, mut moved, mut moves) = (Instant::now(), Instant::now(), progress.moves());
    while moved.elapsed() < LINGER_MAX && answered.elapsed() < READ_UP_MAX {
        sleep(LOOK_EVERY).await;
        if progress.is_busy() {
            (answered, moved) = (Instant::now(), Instant::now());
        } else if progress.moves() != moves {
            (moves, moved) = (progress.moves(), Instant::now());
        }
    }
}

/// The client's address, if it may connect.
async fn known_client(rules: &snapshot::Listener, socket: &mut TcpStream, peer: SocketAddr) -> Result<SocketAddr, Turned> {
    let contain = |networks: &[Network], address: SocketAddr| networks.iter().any(|network| network.contains(address.ip()));
    let client = if contain(&rules.proxy_protocol_from, peer) {
        match proxy_protocol::read(socket).await {
            // Whoever may speak for others may connect for itself.
            Ok(Source::Balancer) => return Ok(peer),
            Ok(Source::Client(client)) => client,
            Err(error) => {
                tracing::debug!(%peer, %error, "no PROXY header");
                return Err(Turned::Away("proxy_protocol"));
            }
        }
    } else {
        peer
    };
    if contain(&rules.allow_from, client) { Ok(client) } else { Err(Turned::Away("allow_from")) }
}

fn with_peer(socket: TcpStream, peer: SocketAddr) -> L4Stream {
    use std::os::fd::AsRawFd;
    let digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
    let _ = digest.peer_addr.set(Some(pingora_core::protocols::l4::socket::SocketAddr::Inet(peer)));
    let mut stream = L4Stream::from(socket);
    stream.set_socket_digest(digest);
    stream
}
