//! A certificate authority of its own and one leaf, made anew at each start. The keys never leave memory, so nothing that
//! trusts this authority can be fooled after the simulator has stopped.

use std::{io, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::bedrock::Service;

/// What a listener needs to speak TLS, and what a client needs to believe it.
pub(super) struct Certificate {
    /// The authority's certificate, for `AWS_CA_BUNDLE`.
    pub ca_pem: String,
    /// TLS 1.2 and 1.3, `h2` and `http/1.1` by ALPN.
    pub server: Arc<rustls::ServerConfig>,
}

/// Makes an authority and a leaf for the local host and for every name Bedrock has in `region`.
pub(super) fn make(region: &str) -> io::Result<Certificate> {
    let (ca_pem, issuer) = authority().map_err(io::Error::other)?;
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let leaf = leaf(region).and_then(|params| params.signed_by(&key, &issuer)).map_err(io::Error::other)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key))
        .map_err(io::Error::other)?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Certificate { ca_pem, server: Arc::new(server) })
}

fn authority() -> Result<(String, Issuer<'static, KeyPair>), rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "tollgate simulator CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), Issuer::new(params, key)))
}

/// Python 3.13 and later verify with `VERIFY_X509_STRICT`, which wants the authority's key identifier in the leaf.
fn leaf(region: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names(region))?;
    params.subject_alt_names.push(SanType::IpAddress(std::net::Ipv6Addr::LOCALHOST.into()));
    params.distinguished_name.push(DnType::CommonName, "tollgate simulator");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// A wildcard stands for one label: VPC endpoints and AgentCore gateways, which have one more, need names of their own.
fn names(region: &str) -> Vec<String> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        format!("*.{region}.amazonaws.com"),
        format!("*.{region}.api.aws"),
        format!("*.gateway.bedrock-agentcore.{region}.amazonaws.com"),
    ];
    names.extend(Service::ALL.iter().map(|service| format!("*.{service}.{region}.vpce.amazonaws.com")));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_start_has_an_authority_of_its_own() {
        let (one, two) = (make("us-east-1").unwrap(), make("us-east-1").unwrap());
        assert!(one.ca_pem.starts_with("-----BEGIN CERTIFICATE-----"));
        assert_ne!(one.ca_pem, two.ca_pem);
        assert_eq!(one.server.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }
}
