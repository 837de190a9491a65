//! The certificates of a listener, and which of them a client gets: the one for the host it names, in a kind of key it can use.

use std::{collections::HashMap, sync::Arc};

use rustls::{
    SignatureScheme,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::extensions::GeneralName;

/// Chosen by SNI. The first certificate is for everybody else.
#[derive(Debug)]
pub struct CertificateChoice {
    all: Vec<Arc<CertifiedKey>>,
    /// By host name in lower case, as the certificates have them: `*.example.com` is a name like others.
    by_name: HashMap<String, Vec<usize>>,
}

impl CertificateChoice {
    /// Reads the names of the certificates; of two for the same name the earlier is preferred.
    pub fn new(all: Vec<Arc<CertifiedKey>>) -> CertificateChoice {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, certificate) in all.iter().enumerate() {
            for name in names(certificate) {
                by_name.entry(name).or_default().push(index);
            }
        }
        CertificateChoice { all, by_name }
    }

    /// The certificate for a host. A wildcard stands for exactly one label (RFC 6125 §6.4.3).
    fn choose(&self, host: Option<&str>, can_use: impl Fn(&CertifiedKey) -> bool) -> Option<&Arc<CertifiedKey>> {
        let host = host.map(|host| host.trim_end_matches('.').to_ascii_lowercase()).unwrap_or_default();
        let wildcard = host.split_once('.').map(|(_, domain)| format!("*.{domain}"));
        let named = [Some(host), wildcard].into_iter().flatten().find_map(|name| self.by_name.get(&name));
        let candidates: Vec<_> = match named {
            Some(named) => named.iter().filter_map(|&index| self.all.get(index)).collect(),
            None => self.all.iter().collect(),
        };
        candidates.iter().find(|certificate| can_use(certificate)).or(candidates.first()).copied()
    }
}

impl ResolvesServerCert for CertificateChoice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes: &[SignatureScheme] = hello.signature_schemes();
        self.choose(hello.server_name(), |certificate| certificate.key.choose_scheme(schemes).is_some()).cloned()
    }
}

/// The DNS names that a certificate is for, in lower case.
fn names(certificate: &CertifiedKey) -> Vec<String> {
    let leaf = certificate.cert.first().and_then(|leaf| x509_parser::parse_x509_certificate(leaf).ok());
    let alternatives = leaf.as_ref().and_then(|(_, leaf)| leaf.subject_alternative_name().ok().flatten());
    let names = alternatives.iter().flat_map(|names| &names.value.general_names);
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::{
        crypto::aws_lc_rs::sign::any_supported_type,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    };

    use super::*;

    fn certificate(names: &[&str]) -> Arc<CertifiedKey> {
        let key = KeyPair::generate().unwrap();
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let leaf = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Arc::new(CertifiedKey::new(vec![leaf.der().clone()], any_supported_type(&key).unwrap()))
    }

    #[test]
    fn the_exact_name_goes_before_the_wildcard_and_the_first_is_for_everybody_else() {
        let choice = CertificateChoice::new(vec![
            certificate(&["default.example"]),
            certificate(&["*.gw.example", "gw.example"]),
            certificate(&["A.gw.example"]),
            certificate(&["default.example", "a.gw.example"]),
        ]);
        let chosen = |host: Option<&str>| {
            let chosen = choice.choose(host, |_| true).unwrap();
            choice.all.iter().position(|one| Arc::ptr_eq(one, chosen)).unwrap()
        };
        for (host, expected) in [
            ("default.example", 0),
            ("gw.example", 1),
            ("b.gw.example", 1),
            ("B.GW.example.", 1),
            ("a.gw.example", 2),
            ("b.a.gw.example", 0),
            ("*.gw.example", 1),
            ("example", 0),
            ("", 0),
        ] {
            assert_eq!(chosen(Some(host)), expected, "{host}");
        }
        assert_eq!(chosen(None), 0);
    }

    #[test]
    fn of_two_for_a_name_the_client_gets_the_one_it_can_use() {
        let choice = CertificateChoice::new(vec![certificate(&["x"]), certificate(&["a"]), certificate(&["a"])]);
        let second = choice.all[2].clone();
        let can_use = |one: &CertifiedKey| std::ptr::eq(one, &*second);
        assert!(Arc::ptr_eq(choice.choose(Some("a"), can_use).unwrap(), &second));
        assert!(Arc::ptr_eq(choice.choose(Some("a"), |_| false).unwrap(), &choice.all[1]), "the handshake says what is wrong");
    }
}
