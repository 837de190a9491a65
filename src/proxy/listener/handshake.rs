//! The TLS handshake, and as long as the connection lasts, whether it would still succeed and whom the client's certificate stands for.

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use pingora_core::{
    listeners::{
        TlsAccept,
        tls::{Acceptor, TlsSettings},
    },
    protocols::{Stream, http::ServerSession, tls::TlsRef},
};
use rustls::{ServerConfig, pki_types::CertificateDer};

use crate::{
    auth::{ClientCertificate, IdentityError, Voucher},
    snapshot::{Clients, Snapshot, Tls},
};

/// What a handshake leaves behind.
struct Handshake {
    /// The listener's place in the configuration.
    listener: usize,
    /// `None`: no certificate was asked for or shown.
    shown: Option<Shown>,
    /// What was last made of it.
    judged: ArcSwapOption<Judged>,
}

/// A certificate that a client showed.
struct Shown {
    certificate: ClientCertificate,
    /// Leaf first, to be verified again under another configuration.
    chain: Vec<CertificateDer<'static>>,
}

/// What a configuration makes of a connection.
struct Judged {
    generation: u64,
    verdict: Result<Option<Voucher>, IdentityError>,
}

impl Handshake {
    fn read(tls: &TlsRef, listener: usize) -> Handshake {
        Handshake { listener, shown: Shown::read(tls), judged: ArcSwapOption::empty() }
    }

    fn verdict(&self, clients: &Clients, now: SystemTime) -> Result<Option<Voucher>, IdentityError> {
        clients.check(self.shown.as_ref().map_or(&[], |shown| &shown.chain), now)?;
        let rules = clients.rules();
        Ok(self.shown.as_ref().and_then(|shown| Some(rules?.voucher(&shown.certificate))))
    }
}

impl Shown {
    fn read(tls: &TlsRef) -> Option<Shown> {
        let chain = tls.peer_cert_chain_der()?.to_vec();
        Some(Shown { certificate: ClientCertificate::read(chain.first()?), chain })
    }
}

/// `None` without TLS, and over the gateway's connections to itself.
fn made(session: &ServerSession) -> Option<&Handshake> {
    session.digest()?.ssl_digest.as_ref()?.extension.get()
}

/// The verified certificate of the client that sent a request; `None` without TLS, and where none was asked for or shown.
pub fn client_certificate(session: &ServerSession) -> Option<&ClientCertificate> {
    made(session)?.shown.as_ref().map(|shown| &shown.certificate)
}

/// How a listener shakes hands.
pub struct Acceptors {
    /// With whoever connects.
    pub clients: Acceptor,
    /// With the gateway itself, which shows no certificate.
    pub own: Acceptor,
}

impl Acceptors {
    /// As the configuration has it, for the listener at this place in it.
    pub fn new(tls: &Tls, listener: usize) -> Acceptors {
        Acceptors { clients: acceptor(tls.config.clone(), listener), own: Acceptor::from_server_config(tls.own.clone()) }
    }
}

/// What that certificate says of the request; `None` if there is none, or if certificates stand for nobody at this listener. It is found
/// once for all requests of a connection, and again after a reload.
///
/// # Errors
/// The listener would not accept the connection any more: its certificate is not trusted, or there is none and one is required.
pub fn voucher(session: &ServerSession, snapshot: &Snapshot, now: SystemTime) -> Result<Option<Voucher>, IdentityError> {
    let Some(made) = made(session) else { return Ok(None) };
    let tls = snapshot.listeners.get(made.listener).and_then(|listener| listener.tls.as_ref());
    let Some(clients) = tls.and_then(|tls| tls.clients.as_ref()) else { return Ok(None) };
    if let Some(judged) = &*made.judged.load()
        && judged.generation == snapshot.generation
    {
        return judged.verdict.clone();
    }
    let verdict = made.verdict(clients, now);
    made.judged.store(Some(Arc::new(Judged { generation: snapshot.generation, verdict: verdict.clone() })));
    verdict
}

/// How long the client's certificate is still good; `None` if it showed none.
pub fn certified_for(stream: &Stream, now: SystemTime) -> Option<Duration> {
    let digest = stream.get_ssl_digest()?;
    let made: &Handshake = digest.extension.get()?;
    Some(made.shown.as_ref()?.certificate.expires_at.duration_since(now).unwrap_or_default())
}

/// Makes handshakes by `config`, of the listener at this place.
fn acceptor(config: Arc<ServerConfig>, listener: usize) -> Acceptor {
    // Pingora makes acceptors with callbacks only together with settings of its own, so those are replaced.
    let Ok(mut settings) = TlsSettings::with_callbacks(Box::new(ReadHandshake { listener })) else {
        return Acceptor::from_server_config(config);
    };
    settings.set_cert_resolver(config.cert_resolver.clone());
    let mut acceptor = settings.build();
    acceptor.acceptor = config.into();
    acceptor
}

struct ReadHandshake {
    listener: usize,
}

#[async_trait]
impl TlsAccept for ReadHandshake {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::new(Handshake::read(tls, self.listener)))
    }
}
