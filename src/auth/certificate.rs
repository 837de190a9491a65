//! The names in a client's certificate. Reads them; whether the certificate is to be believed was decided by the handshake, and whom it
//! stands for says [`super::voucher`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName};

use super::{claims::is_subject, principal::Principal};
use crate::{aws::canonical::hex, config::CertificateName};

/// Longer names are cut for the log: they go into every line of it.
const LOGGED_CHARS_MAX: usize = 128;

/// A client's certificate. Names that are too long, or that have characters nobody sees, are not among its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    uris: Vec<String>,
    dns_names: Vec<String>,
    emails: Vec<String>,
    common_names: Vec<String>,
    logged: Option<String>,
    /// SHA-256 over all of it, in hexadecimal: what logs call it by.
    pub fingerprint: String,
    /// The last moment of its validity.
    pub expires_at: SystemTime,
}

impl ClientCertificate {
    /// Of a certificate in DER. One that cannot be read has no names, and so stands for nobody.
    pub fn read(der: &[u8]) -> ClientCertificate {
        ClientCertificate::parse(der).unwrap_or_else(|| ClientCertificate {
            uris: Vec::new(),
            dns_names: Vec::new(),
            emails: Vec::new(),
            common_names: Vec::new(),
            logged: None,
            fingerprint: fingerprint(der),
            expires_at: Principal::never(),
        })
    }

    fn parse(der: &[u8]) -> Option<ClientCertificate> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok()).collect();
        let mut names = Names { common, ..Names::default() };
        let alternative = certificate.subject_alternative_name().ok().flatten();
        for name in alternative.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::URI(uri) => names.uris.push(uri),
                GeneralName::DNSName(name) => names.dns.push(name),
                GeneralName::RFC822Name(email) => names.emails.push(email),
                _ => {}
            }
        }
        Some(ClientCertificate {
            logged: names.first().map(logged),
            uris: usable(&names.uris),
            dns_names: usable(&names.dns).iter().map(|name| name.to_ascii_lowercase()).collect(),
            emails: usable(&names.emails),
            common_names: usable(&names.common),
            fingerprint: fingerprint(der),
            expires_at: last_moment(&certificate),
        })
    }

    /// All names of a kind.
    pub fn names(&self, kind: CertificateName) -> &[String] {
        match kind {
            CertificateName::Uri => &self.uris,
            CertificateName::Dns => &self.dns_names,
            CertificateName::Email => &self.emails,
            CertificateName::CommonName => &self.common_names,
        }
    }

    /// The one name to call it by in logs: its URI, as machines' certificates have, or common name, or DNS name, or email address.
    pub fn logged_name(&self) -> Option<&str> {
        self.logged.as_deref()
    }
}

#[derive(Default)]
struct Names<'a> {
    uris: Vec<&'a str>,
    common: Vec<&'a str>,
    dns: Vec<&'a str>,
    emails: Vec<&'a str>,
}

impl<'a> Names<'a> {
    fn first(&self) -> Option<&'a str> {
        [&self.uris, &self.common, &self.dns, &self.emails].into_iter().find_map(|names| names.first().copied())
    }
}

/// Never cut and never cleaned, so that no name becomes another's.
fn usable(names: &[&str]) -> Vec<String> {
    names.iter().filter(|name| is_subject(name)).map(|name| (*name).to_owned()).collect()
}

fn logged(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(LOGGED_CHARS_MAX).collect()
}

/// Of a certificate that was never valid, the beginning of time.
fn last_moment(certificate: &X509Certificate<'_>) -> SystemTime {
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH)
}

fn fingerprint(der: &[u8]) -> String {
    hex(digest(&SHA256, der).as_ref())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn read(params: CertificateParams) -> ClientCertificate {
        ClientCertificate::read(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
    }

    #[test]
    fn names_are_told_apart_by_where_they_stand() {
        let mut params = CertificateParams::new(vec!["A.example".to_owned(), "10.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "spiffe://example/cn");
        params.subject_alt_names.push(SanType::Rfc822Name("Bot@example.com".try_into().unwrap()));
        params.subject_alt_names.push(SanType::URI("spiffe://example/build".try_into().unwrap()));
        params.not_after = rcgen::date_time_ymd(2100, 1, 1);
        let certificate = read(params);
        assert_eq!(certificate.names(CertificateName::Uri), ["spiffe://example/build"]);
        assert_eq!(certificate.names(CertificateName::Dns), ["a.example"]);
        assert_eq!(certificate.names(CertificateName::Email), ["Bot@example.com"]);
        assert_eq!(certificate.names(CertificateName::CommonName), ["spiffe://example/cn"]);
        assert_eq!(certificate.logged_name(), Some("spiffe://example/build"));
        assert_eq!(certificate.fingerprint.len(), 64);
        assert_eq!(certificate.expires_at, UNIX_EPOCH + Duration::from_secs(4_102_444_800));
        assert_eq!(ClientCertificate::read(b"no certificate").logged_name(), None);
    }

    #[test]
    fn what_cannot_be_read_plainly_is_in_the_log_and_no_name() {
        for common_name in [format!("build\nfarm{}", "x".repeat(500)), format!("buildfarm{}", "x".repeat(248))] {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(DnType::CommonName, common_name);
            let certificate = read(params);
            let name = certificate.logged_name().unwrap();
            assert!(name.starts_with("buildfarmxxx") && name.len() == LOGGED_CHARS_MAX, "{name}");
            assert!(certificate.names(CertificateName::CommonName).is_empty());
        }
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "acme\0.evil");
        let certificate = read(params);
        assert!(certificate.names(CertificateName::CommonName).is_empty(), "not `acme`");
        assert_eq!(certificate.names(CertificateName::Dns), ["a.example"]);
    }
}
