//! An issuer made up for the demo and the tests: one ES256 key, and tokens signed with it. Nothing that serves requests uses it.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use thiserror::Error;

/// Columns of base64 in PEM (RFC 7468 §2).
const PEM_COLUMNS: usize = 64;

/// Why there is no development issuer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum MintError {
    /// The random generator or the key generator failed.
    #[error("a P-256 key could not be generated")]
    Generate,
    /// Not a PEM file with one PKCS #8 key on P-256.
    #[error("this is not a PEM file with a PKCS #8 private key on P-256")]
    PrivateKey,
}

/// A development issuer: whoever holds it is believed by every gateway that has its key set.
pub struct DevelopmentIssuer {
    key_pair: EcdsaKeyPair,
    private_key_pem: SecretString,
    key_id: String,
}

impl fmt::Debug for DevelopmentIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevelopmentIssuer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl DevelopmentIssuer {
    /// A new key.
    ///
    /// # Errors
    /// [`MintError::Generate`].
    pub fn generate() -> Result<Self, MintError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let document = document.map_err(|_| MintError::Generate)?;
        DevelopmentIssuer::from_pkcs8(document.as_ref())
    }

    /// The key that [`DevelopmentIssuer::private_key_pem`] wrote.
    ///
    /// # Errors
    /// [`MintError::PrivateKey`].
    pub fn from_private_key_pem(pem: &str) -> Result<Self, MintError> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| MintError::PrivateKey)?;
        DevelopmentIssuer::from_pkcs8(key.secret_pkcs8_der())
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, MintError> {
        let key_pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map_err(|_| MintError::PrivateKey)?;
        let private_key_pem = SecretString::from(pem(der));
        let mut issuer = DevelopmentIssuer { key_pair, private_key_pem, key_id: String::new() };
        // RFC 7638: the SHA-256 of the required members in alphabetical order.
        let (x, y) = issuer.coordinates();
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let thumbprint = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes());
        issuer.key_id = URL_SAFE_NO_PAD.encode(thumbprint);
        Ok(issuer)
    }

    /// The key's `kid`: its thumbprint.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The key set to give to gateways.
    pub fn key_set_json(&self) -> String {
        let (x, y) = self.coordinates();
        let key = json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.key_id, "x": x, "y": y });
        json!({ "keys": [key] }).to_string()
    }

    /// The private key, PKCS #8 in PEM: a secret.
    pub fn private_key_pem(&self) -> &str {
        self.private_key_pem.expose_secret()
    }

    /// A token with the claims a gateway asks for. The tenant is in the claim `tenant`.
    pub fn mint(&self, issuer: &str, audience: &str, tenant: &str, subject: &str, lifetime: Duration, now: SystemTime) -> String {
        let issued = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": self.key_id });
        let claims = json!({
            "iss": issuer, "aud": audience, "sub": subject, "tenant": tenant,
            "iat": issued, "exp": issued.saturating_add(lifetime.as_secs()),
        });
        self.sign(&header.to_string(), &claims.to_string())
    }

    /// Signs any header and any claims, as a hostile issuer may. A signature that could not be made is left empty, and refused.
    pub(super) fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.key_pair.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.map(|signature| URL_SAFE_NO_PAD.encode(signature)).unwrap_or_default();
        format!("{signed}.{signature}")
    }

    fn coordinates(&self) -> (String, String) {
        // SEC 1 §2.3.3: 4, x, y; 32 bytes each on this curve.
        let point = self.key_pair.public_key().as_ref().get(1..).unwrap_or_default();
        let (x, y) = point.split_at(point.len() / 2);
        (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y))
    }
}

fn pem(der: &[u8]) -> String {
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    for (position, character) in STANDARD.encode(der).chars().enumerate() {
        if position > 0 && position % PEM_COLUMNS == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END PRIVATE KEY-----\n");
    pem
}
