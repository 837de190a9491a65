//! Whom a connection's certificate stands for, and what that means for the tokens that come over it. The certificate was verified
//! before; whether there is such a tenant is asked later.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use super::{
    certificate::ClientCertificate,
    claims::is_tenant,
    error::IdentityError,
    principal::{Principal, Proof},
};
use crate::config::{CertificateName, ClientPrincipal, ClientToken};

/// What a listener makes of certificates: rules, the first of which that fits decides.
#[derive(Debug, Default)]
pub struct CertificateRules {
    rules: Vec<Rule>,
    token: ClientToken,
}

#[derive(Debug)]
struct Rule {
    name: CertificateName,
    tenant: Way,
}

/// From a name to the tenant.
#[derive(Debug)]
enum Way {
    /// It is the tenant.
    Itself,
    Table(BTreeMap<String, String>),
    Prefix(String),
    /// SPIFFE ids go on behind the tenant: `spiffe://DOMAIN/ns/TENANT/sa/NAME`.
    UriPrefix(String),
    Pinned(String),
}

/// What a connection's certificate says of the requests on it.
#[derive(Clone, Debug)]
pub struct Voucher {
    principal: Result<Arc<Principal>, IdentityError>,
    token: ClientToken,
}

impl CertificateRules {
    /// The rules as configured.
    pub fn new(principals: &[ClientPrincipal], token: ClientToken) -> CertificateRules {
        CertificateRules { rules: principals.iter().map(Rule::new).collect(), token }
    }

    /// Whether certificates stand for nobody.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What a verified certificate says.
    pub fn voucher(&self, certificate: &ClientCertificate) -> Voucher {
        Voucher { principal: self.principal(certificate).map(Arc::new), token: self.token }
    }

    fn principal(&self, certificate: &ClientCertificate) -> Result<Principal, IdentityError> {
        for rule in &self.rules {
            if let Some((name, tenant)) = rule.find(certificate)? {
                return Ok(Principal {
                    issuer: Principal::CLIENT_CERTIFICATE.into(),
                    subject: name.into(),
                    tenant: tenant.into(),
                    groups: Vec::new(),
                    other_groups: Vec::new(),
                    expires_at: certificate.expires_at,
                    proof: Proof::Certificate(certificate.fingerprint.as_str().into()),
                    tags: Vec::new(),
                });
            }
        }
        Err(IdentityError::CertificateOfNobody)
    }
}

impl Rule {
    fn new(principal: &ClientPrincipal) -> Rule {
        let tenant = match (&principal.tenant, &principal.tenants, &principal.tenant_prefix) {
            (Some(tenant), ..) => Way::Pinned(tenant.clone()),
            // One without entries, too: it fits nobody.
            (None, Some(table), _) => Way::Table(table.clone()),
            (None, None, Some(prefix)) if principal.name == CertificateName::Uri => Way::UriPrefix(prefix.clone()),
            (None, None, Some(prefix)) => Way::Prefix(prefix.clone()),
            (None, None, None) => Way::Itself,
        };
        Rule { name: principal.name, tenant }
    }

    /// The first name that fits, and the tenant, which has to be that of every other name that fits: a certificate for two is not for us
    /// to place.
    fn find<'a>(&'a self, certificate: &'a ClientCertificate) -> Result<Option<(&'a str, &'a str)>, IdentityError> {
        let names = certificate.names(self.name).iter();
        let mut found = names.filter_map(|name| Some((name.as_str(), self.tenant.of(name)?)));
        let Some(first) = found.next() else { return Ok(None) };
        if found.any(|(_, tenant)| tenant != first.1) { Err(IdentityError::CertificateOfMany) } else { Ok(Some(first)) }
    }
}

impl Way {
    fn of<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let tenant = match self {
            Way::Itself => name,
            Way::Table(table) => table.get(name)?,
            Way::Prefix(prefix) => name.strip_prefix(prefix.as_str())?,
            Way::UriPrefix(prefix) => name.strip_prefix(prefix.as_str())?.split('/').next()?,
            Way::Pinned(tenant) => tenant,
        };
        is_tenant(tenant).then_some(tenant)
    }
}

impl Voucher {
    /// Whom the certificate stands for.
    ///
    /// # Errors
    /// Nobody, more than one, or it has expired since the handshake.
    pub fn principal(&self, now: SystemTime) -> Result<Arc<Principal>, IdentityError> {
        let principal = self.principal.clone()?;
        if now <= principal.expires_at { Ok(principal) } else { Err(IdentityError::CertificateDistrusted) }
    }

    /// Whether somebody that a token or a signature speaks for may call over this connection.
    ///
    /// # Errors
    /// The certificate is another tenant's, or [`Voucher::principal`]'s.
    pub fn check(&self, caller: &Principal, now: SystemTime) -> Result<(), IdentityError> {
        match self.token {
            ClientToken::Decides => Ok(()),
            ClientToken::MustAgree if self.principal(now)?.tenant == caller.tenant => Ok(()),
            ClientToken::MustAgree => Err(IdentityError::CertificateOfAnother),
        }
    }
}
