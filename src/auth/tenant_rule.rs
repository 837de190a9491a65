//! Whose token it is: from an issuer's rule and a token's claims to the tenant. One way an issuer. Whether there is such a tenant is
//! asked later.

use std::collections::BTreeMap;

use super::{
    claims::{Unverified, is_tenant},
    error::IdentityError,
};
use crate::config;

/// How an issuer's tokens name their tenant.
#[derive(Debug)]
pub enum TenantRule {
    /// By this claim.
    Claim(String),
    /// By a value of the claim that is in the table.
    Table(String, BTreeMap<String, String>),
    /// By what follows the prefix in a value of the claim.
    Prefix(String, String),
    /// Not at all: all are this tenant's.
    Pinned(String),
}

impl TenantRule {
    /// The rule as configured. `check` refuses more than one. A table without entries is one of which nobody is a tenant: whoever takes
    /// its last line away means that, not that any value is good.
    pub fn of(issuer: &config::Issuer) -> TenantRule {
        let claim = issuer.tenant_claim.clone();
        match (&issuer.tenant, &issuer.tenants, &issuer.tenant_prefix) {
            (Some(tenant), ..) => TenantRule::Pinned(tenant.clone()),
            (None, Some(table), _) => TenantRule::Table(claim, table.clone()),
            (None, None, Some(prefix)) => TenantRule::Prefix(claim, prefix.clone()),
            (None, None, None) => TenantRule::Claim(claim),
        }
    }

    /// The tenant of a token with these claims.
    ///
    /// # Errors
    /// The claim is absent or not as it must be, names no tenant, or names two.
    pub fn tenant(&self, claims: &Unverified) -> Result<String, IdentityError> {
        let (claim, tenant) = match self {
            TenantRule::Pinned(tenant) => return Ok(tenant.clone()),
            TenantRule::Claim(claim) => (claim, claims.text(claim)?.to_owned()),
            TenantRule::Table(claim, table) => {
                let values = claims.texts(claim)?;
                (claim, only(claim, values.iter().filter_map(|value| table.get(*value).map(String::as_str)))?)
            }
            TenantRule::Prefix(claim, prefix) => {
                let values = claims.texts(claim)?;
                (claim, only(claim, values.iter().filter_map(|value| value.strip_prefix(prefix.as_str())))?)
            }
        };
        if is_tenant(&tenant) { Ok(tenant) } else { Err(IdentityError::ClaimInvalid(claim.as_str().into())) }
    }
}

/// The one tenant among those found. Somebody in the groups of two is not for us to place: the bill would go by the order of a list.
fn only<'a>(claim: &str, mut found: impl Iterator<Item = &'a str>) -> Result<String, IdentityError> {
    let first = found.next().ok_or_else(|| IdentityError::NoTenant(claim.into()))?;
    if found.any(|other| other != first) { Err(IdentityError::ManyTenants(claim.into())) } else { Ok(first.to_owned()) }
}
