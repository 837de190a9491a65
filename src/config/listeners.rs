//! `[[listeners]]`: where clients connect, and who may. Addresses are bound once; everything else is reloaded.

use std::{net::SocketAddr, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClientPrincipal, ClientToken};

/// One listening address.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// IP address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Certificates and policy; absent: plaintext HTTP/1.1 and h2c, on loopback only.
    pub tls: Option<Tls>,
    /// Lets a plaintext listener bind an address that is not loopback.
    #[serde(default)]
    pub allow_plaintext_off_loopback: bool,
    /// Networks that clients may connect from. Default: everywhere.
    #[serde(default = "everywhere")]
    pub allow_from: Vec<String>,
    /// Networks of load balancers that begin each connection with a PROXY protocol header, version 2. Default: none.
    #[serde(default)]
    pub proxy_protocol_from: Vec<String>,
}

/// How a listener speaks TLS.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, leaf first: for clients that name no host, or one that no certificate has.
    pub certificate_file: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub private_key_file: PathBuf,
    /// More certificates, each for the names in it.
    #[serde(default)]
    pub certificates: Vec<TlsFiles>,
    /// Protocol versions and ciphers. Default intermediate.
    #[serde(default)]
    pub policy: TlsPolicy,
    /// PEM certificates of the authorities that client certificates must chain to; absent: clients are not asked for one.
    pub client_ca_file: Option<PathBuf>,
    /// With `client_ca_file`: whether a client without a certificate may connect. Default required.
    #[serde(default)]
    pub client_certificates: ClientCertificates,
    /// With `client_ca_file`: whom certificates stand for; empty: nobody, who calls follows from the token.
    #[serde(default)]
    pub client_principals: Vec<ClientPrincipal>,
    /// With `client_principals`: what a token on such a connection must be. Default must-agree.
    #[serde(default)]
    pub client_token: ClientToken,
}

/// PEM files of one certificate; they are read again when they change.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate chain, leaf first.
    pub certificate_file: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub private_key_file: PathBuf,
}

/// Mozilla's recommendations by their names: <https://wiki.mozilla.org/Security/Server_Side_TLS>.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsPolicy {
    /// TLS 1.2 and 1.3, ciphers with forward secrecy and authenticated encryption only.
    #[default]
    Intermediate,
    /// TLS 1.3 only.
    Modern,
}

/// What a client without a certificate may do.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificates {
    /// Nothing: the handshake fails.
    #[default]
    Required,
    /// Connect; one that has a certificate must have a valid one.
    Optional,
}

impl Tls {
    /// Every certificate, the default one first.
    pub fn all_certificates(&self) -> impl Iterator<Item = TlsFiles> {
        let first = TlsFiles { certificate_file: self.certificate_file.clone(), private_key_file: self.private_key_file.clone() };
        [first].into_iter().chain(self.certificates.iter().cloned())
    }

    /// Every file that this names.
    pub fn files(&self) -> Vec<PathBuf> {
        let pairs = self.all_certificates().flat_map(|files| [files.certificate_file, files.private_key_file]);
        pairs.chain(self.client_ca_file.clone()).collect()
    }
}

fn everywhere() -> Vec<String> {
    ["0.0.0.0/0", "::/0"].map(str::to_owned).to_vec()
}
