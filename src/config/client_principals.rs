//! `[[listeners.tls.client_principals]]`: whom a client's certificate stands for. The first entry that a name of the certificate fits
//! decides.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// From one kind of name to the tenant.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ClientPrincipal {
    /// Which of the certificate's names.
    pub name: CertificateName,
    /// Tenants by whole names, and no others. Without this and the two below, the name is the tenant's own.
    pub tenants: Option<BTreeMap<String, String>>,
    /// What the name must begin with; the rest names the tenant, of a URI what stands before the next `/`.
    pub tenant_prefix: Option<String>,
    /// The one tenant of every certificate that has such a name.
    pub tenant: Option<String>,
}

/// Which names of a certificate.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateName {
    /// URIs among the subject's alternative names, SPIFFE ids for instance.
    Uri,
    /// DNS names among them, in lower case.
    Dns,
    /// Email addresses among them.
    Email,
    /// The subject's common name.
    CommonName,
}

/// What becomes of a token, or a signature, on a connection whose certificate stands for somebody.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientToken {
    /// It says who calls, and has to be of the certificate's tenant: a stolen token is of no use without the certificate.
    #[default]
    MustAgree,
    /// It says who calls, whatever the certificate says: for a mesh, or whatever else calls on behalf of others.
    Decides,
}
