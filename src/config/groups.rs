//! `[groups.NAME]`: what callers may do besides what their tenant may, because their token says that they are in a group, and what is
//! demanded of them for it; and lists of what is denied, which tenants have as well.

use schemars::JsonSchema;
use serde::Deserialize;
use wildmatch::WildMatch;

use super::Guardrail;

/// A group, by the name that an issuer's `groups_claim` comes to. Who is in several is granted what any of them grants, and meets what
/// each of them demands.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Group {
    /// Globs over the tenants for which the group counts. To whoever is another tenant's it grants nothing, and forbids nothing.
    pub tenants: Vec<String>,
    /// Added to the tenant's.
    pub models: Vec<String>,
    /// Added to the tenant's.
    pub services: Vec<String>,
    /// Added to the tenant's.
    pub operations: Vec<String>,
    /// Added to the tenant's.
    pub regions: Vec<String>,
    /// Added to the tenant's.
    pub service_tiers: Vec<String>,
    /// What nobody in the group may, whoever else grants it.
    pub deny: Denied,
    /// Networks that its members may come from, of those that their tenant and their other groups name; absent: all of them.
    pub allow_from: Option<Vec<String>>,
    /// Bytes of one body of a member; the least of those of the tenant and of all the member's groups holds.
    pub body_bytes_max: Option<u64>,
    /// What every generation of its members has to pass. Sections that bind one caller must not name two.
    pub guardrail: Option<Guardrail>,
}

impl Group {
    /// Whether it counts for callers of this tenant.
    pub fn counts_for(&self, tenant: &str) -> bool {
        self.tenants.iter().any(|glob| WildMatch::new(glob).matches(tenant))
    }
}

/// What is denied, whatever grants it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Denied {
    /// Globs over model ids, profile ids and ARNs. A model is denied with every profile of it and in every spelling.
    pub models: Vec<String>,
    /// Services by endpoint prefix.
    pub services: Vec<String>,
    /// Operations as AWS spells them, globs allowed.
    pub operations: Vec<String>,
    /// Globs over regions and geographies.
    pub regions: Vec<String>,
    /// Globs over service tiers.
    pub service_tiers: Vec<String>,
    /// Globs over callers, as the log's `principal` names them: whose token or key was stolen, say. Requests that run go on.
    pub principals: Vec<String>,
}
