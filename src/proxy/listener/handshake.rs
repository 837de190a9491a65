//! The TLS handshake, and whom the client's certificate stands for as long as the connection lasts.

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
    protocols::{Stream, tls::TlsRef},
};
use pingora_proxy::Session;
use rustls::{ServerConfig, pki_types::CertificateDer};

use crate::{
    auth::{ClientCertificate, Voucher},
    snapshot::{Snapshot, Tls},
};

/// A certificate that a client showed.
struct Shown {
    certificate: ClientCertificate,
    /// Leaf first, to be verified again under another configuration.
    chain: Vec<CertificateDer<'static>>,
    /// The listener's place in the configuration.
    listener: usize,
    /// What was last made of it.
    judged: ArcSwapOption<Judged>,
}

/// What a configuration makes of a certificate.
struct Judged {
    generation: u64,
    voucher: Option<Voucher>,
}

impl Shown {
    fn read(tls: &TlsRef, listener: usize) -> Option<Shown> {
        let chain = tls.peer_cert_chain_der()?.to_vec();
        Some(Shown { certificate: ClientCertificate::read(chain.first()?), chain, listener, judged: ArcSwapOption::empty() })
    }

    fn judge(&self, snapshot: &Snapshot, now: SystemTime) -> Judged {
        let tls = snapshot.listeners.get(self.listener).and_then(|listener| listener.tls.as_ref());
        let clients = tls.and_then(|tls| tls.clients.as_ref());
        let voucher = clients.map(|clients| clients.voucher(&self.certificate, &self.chain, now));
        Judged { generation: snapshot.generation, voucher }
    }
}

fn shown(session: &Session) -> Option<&Shown> {
    session.digest()?.ssl_digest.as_ref()?.extension.get()
}

/// The verified certificate of the client that sent a request; `None` without TLS, and where none was asked for or shown.
pub fn client_certificate(session: &Session) -> Option<&ClientCertificate> {
    shown(session).map(|shown| &shown.certificate)
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
pub fn voucher(session: &Session, snapshot: &Snapshot, now: SystemTime) -> Option<Voucher> {
    let shown = shown(session)?;
    if let Some(judged) = &*shown.judged.load()
        && judged.generation == snapshot.generation
    {
        return judged.voucher.clone();
    }
    let judged = Arc::new(shown.judge(snapshot, now));
    shown.judged.store(Some(Arc::clone(&judged)));
    judged.voucher.clone()
}

/// How long the client's certificate is still good; `None` if it showed none.
pub fn certified_for(stream: &Stream, now: SystemTime) -> Option<Duration> {
    let digest = stream.get_ssl_digest()?;
    let shown: &Shown = digest.extension.get()?;
    Some(shown.certificate.expires_at.duration_since(now).unwrap_or_default())
}

/// Makes handshakes by `config`, of the listener at this place.
fn acceptor(config: Arc<ServerConfig>, listener: usize) -> Acceptor {
    // Pingora makes acceptors with callbacks only together with settings of its own, so those are replaced.
    let Ok(mut settings) = TlsSettings::with_callbacks(Box::new(ReadCertificate { listener })) else {
        return Acceptor::from_server_config(config);
    };
    settings.set_cert_resolver(config.cert_resolver.clone());
    let mut acceptor = settings.build();
    acceptor.acceptor = config.into();
    acceptor
}

struct ReadCertificate {
    listener: usize,
}

#[async_trait]
impl TlsAccept for ReadCertificate {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::new(Shown::read(tls, self.listener)?))
    }
}
