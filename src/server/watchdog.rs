//! The watchdog: systemd is told that all is well only after every traffic listener answered a request that the gateway sent it, by the
//! way that clients' requests take: accepted, decrypted, parsed, refused for want of a credential. A gateway that runs and does not answer is
//! killed and started again. One that refuses everybody, has no AWS credentials or sheds load does answer.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs::default_provider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sd_notify::NotifyState;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpSocket,
    sync::watch,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::every;
use crate::proxy::{
    Live,
    listener::{OwnConnection, OwnConnections},
};

/// It lacks a credential, so it is refused; being refused is what is waited for.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 ";

/// Rounds that one period of the watchdog has room for: two in a row may fail.
const ROUNDS: u32 = 4;

/// The traffic listeners, to be asked for an answer.
pub(super) struct Doors {
    /// In the order in which they were bound.
    pub addresses: Vec<SocketAddr>,
    pub live: Arc<ArcSwap<Live>>,
    pub own: OwnConnections,
}

/// A listener that does not answer.
#[derive(Debug, thiserror::Error)]
#[error("{listener} does not answer: {error}")]
pub struct Silent {
    /// Where it listens.
    pub listener: SocketAddr,
    error: io::Error,
}

/// For how long systemd waits to hear from us, if it does. It names the process that it expects to hear from, which after a hand-over is the
/// predecessor, so that is not asked: a message that nobody waits for does no harm.
pub(super) fn patience() -> Option<Duration> {
    let microseconds = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    Some(Duration::from_micros(microseconds)).filter(|patience| !patience.is_zero())
}

/// Tells systemd that all is well for as long as that is so, until `ending`: a process that drains does not accept, and is bounded otherwise.
pub(super) async fn report(doors: Arc<Doors>, patience: Duration, ending: watch::Receiver<bool>) {
    let period = patience / ROUNDS;
    every(period, ending, || async {
        let round = timeout(period, doors.answer()).await;
        match round {
            Ok(Ok(())) => {
                let _ = sd_notify::notify(&[NotifyState::Watchdog]);
            }
            Ok(Err(silent)) => tracing::error!(%silent, "the watchdog is not told that all is well"),
            Err(_) => tracing::error!(waited = ?period, "listeners do not answer; the watchdog is not told that all is well"),
        }
    })
    .await;
}

impl Doors {
    /// Whether all of them answer, however long it takes.
    pub async fn answer(&self) -> Result<(), Silent> {
        for (index, &listener) in self.addresses.iter().enumerate() {
            let tls = matches!(self.live.load().acceptors.get(index), Some(Some(_)));
            knock(listener, tls, &self.own).await.map_err(|error| Silent { listener, error })?;
        }
        Ok(())
    }
}

async fn knock(listener: SocketAddr, tls: bool, own: &OwnConnections) -> io::Result<()> {
    let target = from_here(listener);
    let (socket, _own) = match socket_to(target, own) {
        Ok(prepared) => prepared,
        // For want of a port or a file; it says nothing about the listener.
        Err(error) => {
            tracing::warn!(%listener, %error, "cannot ask a listener whether it answers");
            return Ok(());
        }
    };
    let stream = socket.connect(target).await?;
    if !tls {
        return ask(stream).await;
    }
    let connector = TlsConnector::from(Arc::new(client_config()?));
    ask(connector.connect(ServerName::from(target.ip()), stream).await?).await
}

/// A socket that the listener will know for the gateway's own.
fn socket_to(target: SocketAddr, own: &OwnConnections) -> io::Result<(TcpSocket, OwnConnection)> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    let mut from = target;
    from.set_port(0);
    socket.bind(from)?;
    let own = own.expect(socket.local_addr()?);
    Ok((socket, own))
}

/// Where the gateway itself reaches a listener.
fn from_here(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        _ => return listener,
    };
    SocketAddr::new(ip, listener.port())
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.write_all(REQUEST).await?;
    let mut answer = [0; ANSWER.len()];
    stream.read_exact(&mut answer).await?;
    if answer == *ANSWER { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "what came is not HTTP")) }
}

fn client_config() -> io::Result<ClientConfig> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?.dangerous();
    Ok(builder.with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))).with_no_client_auth())
}

/// The certificate is one of our own, for names that the watchdog does not know and perhaps expired; that the gateway has its key is verified.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        for (listener, asked) in [("0.0.0.0:443", "127.0.0.1:443"), ("[::]:443", "[::1]:443"), ("10.0.0.5:443", "10.0.0.5:443")] {
            assert_eq!(from_here(listener.parse().unwrap()).to_string(), asked);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_hangs_or_hangs_up_does_not_answer() {
        let own = OwnConnections::default();
        let hanging = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        for tls in [false, true] {
            let asked = timeout(Duration::from_secs(60), knock(hanging.local_addr().unwrap(), tls, &own)).await;
            assert!(asked.is_err(), "{asked:?}");
        }
        let address = hanging.local_addr().unwrap();
        drop(hanging);
        assert!(knock(address, false, &own).await.is_err());
    }

    #[tokio::test]
    async fn only_an_answer_of_http_is_one() {
        for (said, answers) in
            [("HTTP/1.1 403 Forbidden\r\n\r\n", true), ("", false), ("HTTP/1.1", false), ("SSH-2.0-x\r\n", false)]
        {
            let (here, mut there) = tokio::io::duplex(1_000);
            let answering = tokio::spawn(ask(here));
            let mut request = vec![0; REQUEST.len()];
            there.read_exact(&mut request).await.unwrap();
            there.write_all(said.as_bytes()).await.unwrap();
            drop(there);
            assert_eq!(answering.await.unwrap().is_ok(), answers, "{said:?}");
        }
    }
}
