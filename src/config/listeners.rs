//! `[[listeners]]`: where clients connect. Not reloaded: addresses are bound once.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

/// One listening address.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// IP address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Certificate and key; absent: plaintext HTTP/1.1 and h2c, on loopback only.
    pub tls: Option<TlsFiles>,
    /// Lets a plaintext listener bind an address that is not loopback.
    #[serde(default)]
    pub allow_plaintext_off_loopback: bool,
}

/// PEM files; they are read again at every reload.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate chain, leaf first.
    pub certificate_file: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub private_key_file: PathBuf,
}
