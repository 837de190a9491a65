//! Certificates and keys, from PEM files into what rustls takes.

use std::{path::Path, sync::Arc};

use rustls::{
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::shown;
use crate::config::TlsFiles;

/// A PEM file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct TlsError {
    file: String,
    problem: String,
}

/// A certificate chain and its key.
pub(super) fn read_certificate(files: &TlsFiles) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = read_certificates(&files.certificate_file)?;
    let failed = |problem: String| TlsError { file: shown(&files.private_key_file), problem };
    let key = PrivateKeyDer::from_pem_file(&files.private_key_file).map_err(|e| failed(e.to_string()))?;
    let key = any_supported_type(&key).map_err(|e| failed(e.to_string()))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(_) => Err(failed(format!("the key does not belong to the certificate in {}", shown(&files.certificate_file)))),
    }
}

/// The certificates of a bundle, in DER, each fit to be a root.
pub(super) fn read_roots(path: &Path) -> Result<Vec<Vec<u8>>, TlsError> {
    let failed = |problem: String| TlsError { file: shown(path), problem };
    let mut store = rustls::RootCertStore::empty();
    let certificates = read_certificates(path)?;
    for certificate in &certificates {
        store.add(certificate.clone()).map_err(|e| failed(e.to_string()))?;
    }
    Ok(certificates.into_iter().map(|certificate| certificate.to_vec()).collect())
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |problem: String| TlsError { file: shown(path), problem };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|e| failed(e.to_string()))?.collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(failed("no certificate in it".to_owned())),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(failed(error.to_string())),
    }
}
