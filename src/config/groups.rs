//! `[groups.NAME]`: what callers may do besides what their tenant may, because their token says that they are in a group; and lists of
//! what is denied, which tenants have as well.

use schemars::JsonSchema;
use serde::Deserialize;

/// A group, by the name that an issuer's `groups_claim` comes to.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Group {
    /// Globs over the tenants for which the group counts. Whoever is another tenant's is granted nothing.
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
}

/// What is denied, whatever grants it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Denied {
    /// Globs over model ids, profile ids and ARNs. A model is denied with every profile of it.
    pub models: Vec<String>,
    /// Services by endpoint prefix.
    pub services: Vec<String>,
    /// Operations as AWS spells them, globs allowed.
    pub operations: Vec<String>,
    /// Globs over regions and geographies.
    pub regions: Vec<String>,
    /// Globs over service tiers.
    pub service_tiers: Vec<String>,
}
