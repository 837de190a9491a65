//! The authenticated caller. Holds no token, so printing it leaks none.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;

/// Who calls, acting for a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who vouches: the issuer's name in the configuration, [`Principal::KEYS_FILE`] or [`Principal::CLIENT_CERTIFICATE`].
    pub issuer: Arc<str>,
    /// The token's `sub`, what the keys file calls the key's holder, or the name in the certificate.
    pub subject: Arc<str>,
    /// The tenant the credential names; whether it is configured is policy's question.
    pub tenant: Arc<str>,
    /// The groups that the credential names and the configuration knows; what they may is policy's question, too.
    pub groups: Vec<Arc<str>>,
    /// Short [`GroupPrint`]s of those that it names besides: what is vended for it has to know them when the configuration does.
    pub other_groups: Vec<GroupPrint>,
    /// When the credential expires.
    pub expires_at: SystemTime,
    /// What proved it.
    pub proof: Proof,
    /// What AWS is to know the caller by, besides the tenant.
    pub tags: Vec<ClaimTag>,
}

/// A group in eight bytes, the first of its name's SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub struct GroupPrint(u64);

impl GroupPrint {
    /// Of the group of this name.
    pub fn of(name: &str) -> GroupPrint {
        let mut print = Fingerprint::new();
        print.add(name.as_bytes());
        GroupPrint(print.short())
    }
}

/// A session tag that a claim of the token makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimTag {
    /// The tag's key, from the configuration.
    pub key: Arc<str>,
    /// The claim that the configuration makes it of.
    pub claim: Arc<str>,
    /// The claim's value; nothing where it is not one text that can be a tag: then there can be no session.
    pub value: Option<Arc<str>>,
}

/// What a caller proved its identity with, for logs: ids only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A token of an issuer.
    Token,
    /// Credentials that the gateway vended, by their access key id.
    Session(Arc<str>),
    /// An access key of the keys file, by its id.
    AccessKey(Arc<str>),
    /// An API key of the keys file, by its id.
    ApiKey(Arc<str>),
    /// The certificate of the connection, by its fingerprint.
    Certificate(Arc<str>),
}

impl Principal {
    /// Who vouches for keys that no issuer made.
    pub const KEYS_FILE: &str = "keys file";

    /// Who vouches for certificates: the authorities of the listener.
    pub const CLIENT_CERTIFICATE: &str = "client certificate";

    /// When a credential without an expiry expires: in the year 9999.
    pub fn never() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(253_402_300_799)
    }
}

impl Proof {
    /// For logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Proof::Token => "token",
            Proof::Session(_) => "session",
            Proof::AccessKey(_) => "access_key",
            Proof::ApiKey(_) => "api_key",
            Proof::Certificate(_) => "certificate",
        }
    }

    /// The id of the key or the fingerprint of the certificate, if it has one.
    pub fn key_id(&self) -> Option<&str> {
        match self {
            Proof::Token => None,
            Proof::Session(id) | Proof::AccessKey(id) | Proof::ApiKey(id) | Proof::Certificate(id) => Some(id),
        }
    }
}
