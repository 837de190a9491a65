//! The TLS handshake, and who the client's certificate says it is.

use std::{any::Any, sync::Arc};

use async_trait::async_trait;
use pingora_core::{
    listeners::{
        TlsAccept,
        tls::{Acceptor, TlsSettings},
    },
    protocols::tls::TlsRef,
};
use pingora_proxy::Session;
use rustls::ServerConfig;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName};

use crate::snapshot::Tls;

/// Longer names are cut: they go into every line of the log.
const NAME_CHARS_MAX: usize = 128;

/// A client's verified certificate. The names are the issuer's word, without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject's common name.
    pub common_name: Option<String>,
    /// DNS names of the subject.
    pub dns_names: Vec<String>,
    /// URIs of the subject, SPIFFE's for instance.
    pub uris: Vec<String>,
}

impl ClientCertificate {
    /// The one name to call it by: its URI, as machines' certificates have, or common name, or DNS name.
    pub fn name(&self) -> Option<&str> {
        self.uris.first().or(self.common_name.as_ref()).or(self.dns_names.first()).map(String::as_str)
    }

    fn read(der: &[u8]) -> Option<ClientCertificate> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let mut read = ClientCertificate { common_name: common_name(&certificate), ..ClientCertificate::default() };
        let names = certificate.subject_alternative_name().ok().flatten();
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::DNSName(name) => read.dns_names.push(plain(name)),
                GeneralName::URI(uri) => read.uris.push(plain(uri)),
                _ => {}
            }
        }
        Some(read)
    }
}

fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    certificate.subject().iter_common_name().next()?.as_str().ok().map(plain)
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect()
}

/// The verified certificate of the client that sent a request; `None` without TLS, and where none was asked for or shown.
pub fn client_certificate(session: &Session) -> Option<&ClientCertificate> {
    session.digest()?.ssl_digest.as_ref()?.extension.get()
}

/// How a listener shakes hands.
pub struct Acceptors {
    /// With whoever connects.
    pub clients: Acceptor,
    /// With the gateway itself, which shows no certificate.
    pub own: Acceptor,
}

impl Acceptors {
    /// As the configuration has it.
    pub fn new(tls: &Tls) -> Acceptors {
        Acceptors { clients: acceptor(tls.config.clone()), own: Acceptor::from_server_config(tls.own.clone()) }
    }
}

fn acceptor(config: Arc<ServerConfig>) -> Acceptor {
    // Pingora makes acceptors with callbacks only together with settings of its own, so those are replaced.
    let Ok(mut settings) = TlsSettings::with_callbacks(Box::new(ReadCertificate)) else {
        return Acceptor::from_server_config(config);
    };
    settings.set_cert_resolver(config.cert_resolver.clone());
    let mut acceptor = settings.build();
    acceptor.acceptor = config.into();
    acceptor
}

struct ReadCertificate;

#[async_trait]
impl TlsAccept for ReadCertificate {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::new(ClientCertificate::read(tls.peer_certificate_der()?)?))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn the_names_are_those_of_the_certificate_in_one_line() {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("build\nfarm{}", "x".repeat(500)));
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        let read = ClientCertificate::read(&der).unwrap();
        assert_eq!(read.dns_names, ["a.example"]);
        let name = read.name().unwrap();
        assert!(name.starts_with("buildfarmxxx") && name.len() == NAME_CHARS_MAX, "{name}");

        params.subject_alt_names.push(SanType::URI("spiffe://example/build".try_into().unwrap()));
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        assert_eq!(ClientCertificate::read(&der).unwrap().name(), Some("spiffe://example/build"));
        assert_eq!(ClientCertificate::read(b"no certificate"), None);
    }
}
