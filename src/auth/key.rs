//! One public key of a key set (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2), as strict as a signature check must be, and the algorithm it
//! is pinned to. Reads keys; `key_set` decides which of them count.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RsaPublicKeyComponents, UnparsedPublicKey},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{fingerprint::Fingerprint, roca::is_roca};
use crate::config::Algorithm;

/// Members that only private or shared keys have (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

const RSA_BITS_MIN: usize = 2048;
const RSA_BITS_MAX: usize = 8192;

const RSA_ALGORITHMS: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// Why a key is not used.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs)] // the texts say it
pub enum KeyRefusal {
    #[error("it is not an object, or has a member twice")]
    NotAnObject,
    #[error("`kty` is absent or not RSA, EC or OKP")]
    UnsupportedType,
    #[error("it is a shared secret (`oct`)")]
    SharedSecret,
    #[error("it has private members: whoever reads the key set can sign. Revoke it")]
    Private,
    #[error("`use` is not `sig`")]
    NotForSignatures,
    #[error("`key_ops` lacks `verify`")]
    NotForVerification,
    #[error("`crv` is not P-256, P-384 or Ed25519, or does not go with `kty`")]
    UnsupportedCurve,
    #[error("`alg` is not one that this key can be used with, or not supported")]
    UnfitAlgorithm,
    #[error("the modulus has fewer than 2,048 or more than 8,192 bits")]
    RsaSize,
    #[error("its numbers are absent, not base64url, or no valid public key")]
    InvalidNumbers,
    #[error("its modulus was made by a broken generator (CVE-2017-15361): anybody can find the private key. Replace it")]
    BrokenGenerator,
    #[error("`kid` is not a string of 1 to 256 bytes")]
    InvalidKeyId,
    #[error("another key has the same `kid`; neither is used")]
    RepeatedKeyId,
    #[error("it has no `kid` and is not the only one of its type")]
    AmbiguousWithoutKeyId,
}

/// A key's family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // RFC 7518's and RFC 8037's names
pub enum KeyType {
    Rsa,
    Ec,
    Okp,
}

/// A public key that may verify signatures.
#[derive(Clone)]
pub struct Key {
    kind: KeyType,
    /// What the key can be used with: one algorithm, or all of RSA's if the key does not say.
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
    /// SHA-256 over the numbers.
    thumbprint: [u8; 32],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("kind", &self.kind).field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

impl Key {
    /// Reads the members of one key.
    pub(super) fn parse(members: &Map<String, Value>) -> Result<Self, KeyRefusal> {
        let kty = text(members, "kty").ok_or(KeyRefusal::UnsupportedType)?;
        if kty == "oct" {
            return Err(KeyRefusal::SharedSecret);
        }
        if PRIVATE_MEMBERS.iter().any(|name| members.contains_key(*name)) {
            return Err(KeyRefusal::Private);
        }
        check_purpose(members)?;
        let mut key = match kty {
            "RSA" => rsa(members),
            "EC" => ec(members),
            "OKP" => okp(members),
            _ => Err(KeyRefusal::UnsupportedType),
        }?;
        if let Some(declared) = members.get("alg") {
            key.algorithms.retain(|algorithm| declared.as_str().is_some_and(|declared| is_named(*algorithm, declared)));
        }
        if key.algorithms.is_empty() { Err(KeyRefusal::UnfitAlgorithm) } else { Ok(key) }
    }

    /// The key's family.
    pub fn kind(&self) -> KeyType {
        self.kind
    }

    /// The one algorithm this key verifies with for an issuer that may use `accepted`: the key's own, or, for an RSA key that
    /// does not name any, the first of the issuer's that fits. A token has no say in it.
    pub fn pinned(&self, accepted: &[Algorithm]) -> Option<Algorithm> {
        accepted.iter().copied().find(|algorithm| self.algorithms.contains(algorithm))
    }

    /// True if `signature` (base64url) is this key's over `signed` under `algorithm`.
    pub fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &str) -> bool {
        self.algorithms.contains(&algorithm)
            && jsonwebtoken::crypto::verify(signature, signed, &self.decoding, implementation(algorithm)).unwrap_or(false)
    }

    /// What is hashed to tell one key set from another.
    pub(super) fn add_to(&self, fingerprint: &mut Fingerprint) {
        fingerprint.add(&self.thumbprint);
        self.algorithms.iter().for_each(|algorithm| fingerprint.add(name(*algorithm).as_bytes()));
    }
}

/// The name of `algorithm` in a header's and a key's `alg`.
pub fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RS256 => "RS256",
        Algorithm::RS384 => "RS384",
        Algorithm::RS512 => "RS512",
        Algorithm::PS256 => "PS256",
        Algorithm::PS384 => "PS384",
        Algorithm::PS512 => "PS512",
        Algorithm::ES256 => "ES256",
        Algorithm::ES384 => "ES384",
        Algorithm::EdDSA => "EdDSA",
    }
}

/// Whether a header's or a key's `alg` means `algorithm`. RFC 9864 §2.2 gives EdDSA with Ed25519 a name of its own, and no other curve's keys
/// are taken here.
pub fn is_named(algorithm: Algorithm, written: &str) -> bool {
    written == name(algorithm) || (algorithm == Algorithm::EdDSA && written == "Ed25519")
}

fn implementation(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::RS384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::RS512 => jsonwebtoken::Algorithm::RS512,
        Algorithm::PS256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::PS384 => jsonwebtoken::Algorithm::PS384,
        Algorithm::PS512 => jsonwebtoken::Algorithm::PS512,
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::ES384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
    }
}

/// `use` and `key_ops` may be absent; if they are there, both must allow verification.
fn check_purpose(members: &Map<String, Value>) -> Result<(), KeyRefusal> {
    if members.get("use").is_some_and(|purpose| purpose.as_str() != Some("sig")) {
        return Err(KeyRefusal::NotForSignatures);
    }
    let Some(operations) = members.get("key_ops") else { return Ok(()) };
    match operations.as_array() {
        Some(operations) if operations.iter().any(|operation| operation.as_str() == Some("verify")) => Ok(()),
        _ => Err(KeyRefusal::NotForVerification),
    }
}

fn rsa(members: &Map<String, Value>) -> Result<Key, KeyRefusal> {
    // RFC 7518 §6.3.1.1 forbids the leading zero byte that some libraries write; the number is the same.
    let modulus = without_leading_zeros(number(members, "n")?);
    let exponent = without_leading_zeros(number(members, "e")?);
    let leading_zero_bits = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&(modulus.len() * 8 - leading_zero_bits)) {
        return Err(KeyRefusal::RsaSize);
    }
    if !is_exponent(&exponent) {
        return Err(KeyRefusal::InvalidNumbers);
    }
    if is_roca(&modulus) {
        return Err(KeyRefusal::BrokenGenerator);
    }
    let components = RsaPublicKeyComponents { n: &modulus, e: &exponent };
    let valid: Result<PublicKeyX509Der<'static>, _> = components.as_der();
    valid.map_err(|_| KeyRefusal::InvalidNumbers)?;
    Ok(Key {
        kind: KeyType::Rsa,
        algorithms: RSA_ALGORITHMS.to_vec(),
        decoding: DecodingKey::from_rsa_raw_components(&modulus, &exponent),
        thumbprint: thumbprint(&[&modulus, &exponent]),
    })
}

/// Odd, over 1 and no longer than 64 bits. aws-lc-rs 1.19 encodes a key with the exponent 1 without complaint, and under
/// that every message is its own signature.
fn is_exponent(exponent: &[u8]) -> bool {
    exponent != [1] && exponent.len() <= 8 && exponent.last().is_some_and(|last| last % 2 == 1)
}

fn ec(members: &Map<String, Value>) -> Result<Key, KeyRefusal> {
    let (algorithm, verification, coordinate_bytes) = match text(members, "crv") {
        Some("P-256") => (Algorithm::ES256, &ECDSA_P256_SHA256_FIXED, 32),
        Some("P-384") => (Algorithm::ES384, &ECDSA_P384_SHA384_FIXED, 48),
        _ => return Err(KeyRefusal::UnsupportedCurve),
    };
    let (x, y) = (number(members, "x")?, number(members, "y")?);
    if x.len() != coordinate_bytes || y.len() != coordinate_bytes {
        return Err(KeyRefusal::InvalidNumbers);
    }
    let point = [&[4], x.as_slice(), y.as_slice()].concat(); // SEC 1 §2.3.3, uncompressed
    // Refuses points that are not on the curve.
    UnparsedPublicKey::new(verification, &point).parse().map_err(|_| KeyRefusal::InvalidNumbers)?;
    Ok(Key {
        kind: KeyType::Ec,
        algorithms: vec![algorithm],
        decoding: DecodingKey::from_ec_der(&point),
        thumbprint: thumbprint(&[&point]),
    })
}

fn okp(members: &Map<String, Value>) -> Result<Key, KeyRefusal> {
    if text(members, "crv") != Some("Ed25519") {
        return Err(KeyRefusal::UnsupportedCurve);
    }
    let x = number(members, "x")?;
    UnparsedPublicKey::new(&ED25519, &x).parse().map_err(|_| KeyRefusal::InvalidNumbers)?;
    Ok(Key {
        kind: KeyType::Okp,
        algorithms: vec![Algorithm::EdDSA],
        decoding: DecodingKey::from_ed_der(&x),
        thumbprint: thumbprint(&[&x]),
    })
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

fn number(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyRefusal> {
    let written = text(members, name).ok_or(KeyRefusal::InvalidNumbers)?;
    URL_SAFE_NO_PAD.decode(written).map_err(|_| KeyRefusal::InvalidNumbers)
}

fn without_leading_zeros(mut bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    bytes
}

fn thumbprint(parts: &[&[u8]]) -> [u8; 32] {
    let mut fingerprint = Fingerprint::new();
    parts.iter().for_each(|part| fingerprint.add(part));
    fingerprint.finish()
}
