//! PEM files of certificates and keys, as rustls takes them, and what X.509 says about their time.

use rustls::{
    Error, InconsistentKeys, RootCertStore,
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use crate::config::Validity;

/// The certificates of a PEM file; at least one.
pub(super) fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Err(error) => Err(format!("not PEM: {error}")),
        Ok(chain) if chain.is_empty() => Err("no certificate in the file".to_owned()),
        Ok(chain) => Ok(chain),
    }
}

/// The first private key of a PEM file.
pub(super) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| format!("no private key in the file: {error}"))
}

/// Whether the key is the one that the chain's leaf certifies.
pub(super) fn match_up(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<(), String> {
    let key = any_supported_type(&key).map_err(|error| format!("the private key cannot be used: {error}"))?;
    match CertifiedKey::new(chain, key).keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
        Err(Error::InconsistentKeys(_)) => Err("the private key does not belong to the certificate".to_owned()),
        Err(error) => Err(format!("the certificate cannot be used: {error}")),
    }
}

/// When the leaf is valid.
pub(super) fn validity(chain: &[CertificateDer<'_>]) -> Result<Validity, String> {
    let leaf = chain.first().ok_or("no certificate in the file")?;
    Validity::of(leaf).map_err(|error| format!("not an X.509 certificate: {error}"))
}

/// Whether a PEM file holds certificates that can be trusted as roots, all of them.
pub(super) fn authorities(pem: &[u8]) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in chain(pem)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| format!("certificate {} cannot be used: {error}", index + 1))?;
    }
    Ok(())
}
