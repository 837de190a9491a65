//! TLS of a listener: files and policy into what rustls takes.

use std::{
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs::{Ticketer, default_provider, sign::any_supported_type},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use super::{certificates::CertificateChoice, shown};
use crate::{
    auth::{CertificateRules, IdentityError},
    config::{self, ClientCertificates, TlsFiles, TlsPolicy, Validity},
};

/// A listener's TLS, ready for handshakes.
pub struct Tls {
    /// With certificates, policy, client authorities and tickets.
    pub config: Arc<ServerConfig>,
    /// The same for the gateway's connections to itself, which no client's certificate is asked of.
    pub own: Arc<ServerConfig>,
    /// Whose end is watched.
    pub certificates: Vec<Certificate>,
    /// What is asked of clients' certificates; `None`: no certificate is asked for.
    pub clients: Option<Clients>,
}

/// What is asked of clients' certificates, and what they say.
pub struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    rules: CertificateRules,
}

impl Clients {
    /// Whether a connection with this chain, leaf first, would be accepted under this configuration; an empty one: it showed none. The
    /// connection may be older, so the chain is verified anew.
    ///
    /// # Errors
    /// [`IdentityError::CertificateDistrusted`].
    pub fn check(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<(), IdentityError> {
        let since = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        let accepted = match chain.split_first() {
            Some((leaf, intermediates)) => self.verifier.verify_client_cert(leaf, intermediates, since).is_ok(),
            None => !self.verifier.client_auth_mandatory(),
        };
        if accepted { Ok(()) } else { Err(IdentityError::CertificateDistrusted) }
    }

    /// Whom certificates stand for; `None`: nobody.
    pub fn rules(&self) -> Option<&CertificateRules> {
        Some(&self.rules).filter(|rules| !rules.is_empty())
    }
}

/// What operators are told of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Where it was read from.
    pub file: String,
    /// How long it lasts.
    pub validity: Validity,
}

/// A PEM file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct TlsError {
    file: String,
    problem: String,
}

/// Mozilla's intermediate list is rustls's own but for finite-field Diffie-Hellman, which rustls does not have:
/// <https://ssl-config.mozilla.org/guidelines/5.7.json>.
static INTERMEDIATE: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static MODERN: [&SupportedProtocolVersion; 1] = [&TLS13];

/// Reads everything that a listener's TLS needs.
pub(super) fn compile(tls: &config::Tls) -> Result<Tls, TlsError> {
    let failed = |problem: String| TlsError { file: shown(&tls.certificate_file), problem };
    let mut certificates = Vec::new();
    let mut keys = Vec::new();
    for files in tls.all_certificates() {
        let key = read_certificate(&files)?;
        let file = shown(&files.certificate_file);
        match key.end_entity_cert().map(|leaf| Validity::of(leaf)) {
            Ok(Ok(validity)) => certificates.push(Certificate { file, validity }),
            Ok(Err(error)) => return Err(TlsError { file, problem: error.to_string() }),
            Err(error) => return Err(TlsError { file, problem: error.to_string() }),
        }
        keys.push(key);
    }
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(match tls.policy {
            TlsPolicy::Intermediate => &INTERMEDIATE,
            TlsPolicy::Modern => &MODERN,
        })
        .map_err(|e| failed(e.to_string()))?;
    let choice = Arc::new(CertificateChoice::new(keys));
    let mut own = builder.clone().with_no_client_auth().with_cert_resolver(choice.clone());
    own.send_tls13_tickets = 0;
    let verifier = tls.client_ca_file.as_ref().map(|file| client_verifier(file, tls.client_certificates)).transpose()?;
    let builder = match verifier.clone() {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(choice);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if tls.client_ca_file.is_some() {
        // A resumed session is believed without another look at the certificate, however long it has been expired or distrusted.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    } else {
        // Stateless: its key lives 6 hours, is believed for 6 more, and ends with this configuration.
        config.ticketer = Ticketer::new().map_err(|e| failed(e.to_string()))?;
    }
    let rules = CertificateRules::new(&tls.client_principals, tls.client_token);
    let clients = verifier.map(|verifier| Clients { verifier, rules });
    Ok(Tls { config: Arc::new(config), own: Arc::new(own), certificates, clients })
}

fn client_verifier(file: &Path, certificates: ClientCertificates) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let failed = |problem: String| TlsError { file: shown(file), problem };
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(root_store(file)?), Arc::new(default_provider()));
    let builder = match certificates {
        ClientCertificates::Required => builder,
        ClientCertificates::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|e| failed(e.to_string()))
}

/// A certificate chain and its key.
fn read_certificate(files: &TlsFiles) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = read_certificates(&files.certificate_file)?;
    let failed = |problem: String| TlsError { file: shown(&files.private_key_file), problem };
    let pem = config::contents(&files.private_key_file).map_err(|e| failed(e.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|e| failed(e.to_string()))?;
    let key = any_supported_type(&key).map_err(|e| failed(e.to_string()))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(_) => Err(failed(format!("the key does not belong to the certificate in {}", shown(&files.certificate_file)))),
    }
}

/// The certificates of a bundle, in DER, each fit to be a root.
pub(super) fn read_roots(path: &Path) -> Result<Vec<Vec<u8>>, TlsError> {
    root_store(path)?;
    Ok(read_certificates(path)?.into_iter().map(|certificate| certificate.to_vec()).collect())
}

fn root_store(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        store.add(certificate).map_err(|e| TlsError { file: shown(path), problem: e.to_string() })?;
    }
    Ok(store)
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |problem: String| TlsError { file: shown(path), problem };
    let pem = config::contents(path).map_err(|e| failed(e.to_string()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(failed("no certificate in it".to_owned())),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(failed(error.to_string())),
    }
}
