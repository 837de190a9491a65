//! What a tenant may call, and those of its callers who are in a group: services, operations, models, regions, service tiers; from where,
//! how much at once, under which guardrail. Nothing is allowed that is not written, and what is denied anywhere is denied. Decides on
//! decoded names; the bytes that are sent on decode to the same.

mod bounds;
mod denial;
mod guardrail;
mod list;
mod profiles;
mod rights;
mod section;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use self::section::Section;
pub use self::{
    denial::{PolicyDenial, Refused, Rule},
    guardrail::Required,
    profiles::Profiles,
    rights::Rights,
};
use crate::config::{self, Config, NetworkError};

/// What holds of a tenant, compiled.
#[derive(Debug)]
pub struct Policy {
    tenant: Arc<str>,
    own: Section,
    /// Of the groups whose members may be this tenant's.
    groups: BTreeMap<String, Section>,
    /// What opaque names stand for.
    pub profiles: Arc<Profiles>,
    /// Where the gateway sends everything.
    region: String,
    /// Lists of models and profiles have only what may be used.
    pub filter_lists: bool,
}

impl Policy {
    /// Compiles a tenant of `config`.
    ///
    /// # Errors
    /// A network that is none; `check` says where.
    pub fn new(name: &str, tenant: &config::Tenant, config: &Config, profiles: Arc<Profiles>) -> Result<Policy, NetworkError> {
        let groups = config.groups.iter().filter(|(_, group)| group.counts_for(name));
        Ok(Policy {
            tenant: name.into(),
            own: Section::of_tenant(name, tenant)?,
            groups: groups.map(|(name, group)| Ok((name.clone(), Section::of_group(name, group)?))).collect::<Result<_, _>>()?,
            profiles,
            region: config.upstream.region.clone(),
            filter_lists: tenant.filter_lists,
        })
    }

    /// What somebody in these groups may.
    pub fn of_groups(&self, groups: &[Arc<str>]) -> Rights<'_> {
        let of_groups = groups.iter().filter_map(|group| self.groups.get(&**group));
        Rights::new(self, &self.own, of_groups.collect())
    }
}
