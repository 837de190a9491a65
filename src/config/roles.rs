//! `[roles]` and `[tenants.NAME.role]`: whose AWS identity a tenant's requests have, and how STS is asked for it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Tenant;

/// Sessions of AWS roles, one or more for each tenant.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Roles {
    /// The role of tenants that name none of their own; absent: those are signed for with the gateway's credentials.
    pub arn: Option<String>,
    /// What the role's trust policy asks for.
    pub external_id: Option<String>,
    /// A session for each principal, instead of one for the tenant; default false.
    pub per_principal: bool,
    /// Session tags beside `tenant`, by the claim that has the value: its name, or a JSON pointer if it begins with `/`.
    pub claim_tags: BTreeMap<String, String>,
    /// Keys of tags that go on to sessions of further roles.
    pub transitive_tags: Vec<String>,
    /// Seconds that a session lives; default 3,600.
    pub duration_seconds: u64,
    /// Where STS is, for VPC endpoints; default: the endpoint of `sts_region`.
    pub sts_endpoint: Option<String>,
    /// Default: `upstream.region`.
    pub sts_region: Option<String>,
    /// Seconds a request waits for a session that is not there yet; default 5.
    pub wait_seconds_max: u64,
    /// Sessions of one tenant held at once; default 1,000.
    pub sessions_per_tenant_max: usize,
}

impl Default for Roles {
    fn default() -> Self {
        Roles {
            arn: None,
            external_id: None,
            per_principal: false,
            claim_tags: BTreeMap::new(),
            transitive_tags: Vec::new(),
            duration_seconds: 3_600,
            sts_endpoint: None,
            sts_region: None,
            wait_seconds_max: 5,
            sessions_per_tenant_max: 1_000,
        }
    }
}

/// A tenant's own role. What is absent is as `[roles]` has it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenantRole {
    /// The role; its account is the one that is billed.
    pub arn: Option<String>,
    /// What its trust policy asks for. That of `[roles]` is for the role there, and not sent with another.
    pub external_id: Option<String>,
    /// A session for each principal.
    pub per_principal: Option<bool>,
    /// Seconds that a session lives.
    pub duration_seconds: Option<u64>,
}

/// A tenant's role, all told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleOfTenant {
    /// Which.
    pub arn: String,
    /// What its trust policy asks for.
    pub external_id: Option<String>,
    /// A session for each principal.
    pub per_principal: bool,
    /// Seconds that a session lives.
    pub duration_seconds: u64,
}

impl Roles {
    /// The role of a tenant; nothing for one that the gateway's own credentials are for.
    pub fn of(&self, tenant: &Tenant) -> Option<RoleOfTenant> {
        let own = tenant.role.clone().unwrap_or_default();
        let shared_id = || if own.arn.is_none() { self.external_id.clone() } else { None };
        Some(RoleOfTenant {
            external_id: own.external_id.clone().or_else(shared_id),
            per_principal: own.per_principal.unwrap_or(self.per_principal),
            duration_seconds: own.duration_seconds.unwrap_or(self.duration_seconds),
            arn: own.arn.or_else(|| self.arn.clone())?,
        })
    }
}
