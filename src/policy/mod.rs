//! What a tenant may call, and those of its callers who are in a group: services, operations, models, regions, service tiers; from where,
//! how much at once, under which guardrail. Nothing is allowed that is not written, and what is denied anywhere is denied. Decides on
//! decoded names; the bytes that are sent on decode to the same.

mod denial;
mod grant;
mod guardrail;
mod list;
mod profiles;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use wildmatch::WildMatch;

pub use self::{
    denial::{PolicyDenial, Refused, Rule},
    guardrail::Guardrail,
    profiles::Profiles,
};
use self::{grant::Grant, list::Subject};
use crate::{
    bedrock::{
        Operation, Service,
        model::{Arn, geography},
    },
    config::{self, Config, Network, NetworkError, key_path},
};

/// Names of a tier that a request asks for by asking for none.
const TIER_BY_DEFAULT: &str = "default";

/// What holds of a tenant, compiled.
#[derive(Debug)]
pub struct Policy {
    tenant: Arc<str>,
    own: Grant,
    /// Of the groups whose members may be this tenant's.
    groups: BTreeMap<String, Grant>,
    /// What opaque names stand for.
    pub profiles: Arc<Profiles>,
    /// Where the gateway sends everything.
    region: String,
    allow_from: Option<Vec<Network>>,
    body_bytes_max: Option<u64>,
    guardrail: Option<Guardrail>,
    /// Lists of models and profiles have only what may be used.
    pub filter_lists: bool,
}

/// What a caller may: the tenant's own grant, and those of the caller's groups.
#[derive(Clone, Debug)]
pub struct Rights<'p> {
    policy: &'p Policy,
    grants: Vec<&'p Grant>,
}

impl Policy {
    /// Compiles a tenant of `config`.
    ///
    /// # Errors
    /// A network that is none; `check` says where.
    pub fn new(name: &str, tenant: &config::Tenant, config: &Config, profiles: Arc<Profiles>) -> Result<Policy, NetworkError> {
        let is_open = |group: &config::Group| group.tenants.iter().any(|glob| WildMatch::new(glob).matches(name));
        let groups = config.groups.iter().filter(|(_, group)| is_open(group));
        let networks = |texts: &Vec<String>| texts.iter().map(|text| text.parse()).collect();
        Ok(Policy {
            tenant: name.into(),
            own: Grant::of_tenant(name, tenant),
            groups: groups.map(|(name, group)| (name.clone(), Grant::of_group(name, group))).collect(),
            profiles,
            region: config.upstream.region.clone(),
            allow_from: tenant.allow_from.as_ref().map(networks).transpose()?,
            body_bytes_max: tenant.body_bytes_max,
            guardrail: tenant.guardrail.as_ref().map(|guardrail| Guardrail::new(name, guardrail)),
            filter_lists: tenant.filter_lists,
        })
    }

    /// What somebody in these groups may.
    pub fn of_groups(&self, groups: &[Arc<str>]) -> Rights<'_> {
        let granted = groups.iter().filter_map(|group| self.groups.get(&**group));
        Rights { policy: self, grants: std::iter::once(&self.own).chain(granted).collect() }
    }

    /// May a request come from there?
    pub fn check_source(&self, source: Option<IpAddr>) -> Result<(), PolicyDenial> {
        let Some(networks) = &self.allow_from else { return Ok(()) };
        if source.is_some_and(|source| networks.iter().any(|network| network.contains(source))) {
            return Ok(());
        }
        Err(self.denial(Refused::Source(source), Rule::NotIn(vec![self.key("allow_from")])))
    }

    /// The most bytes that a body may have, where `bytes_max` holds for all tenants.
    pub fn body_bytes_max(&self, bytes_max: u64) -> u64 {
        self.body_bytes_max.map_or(bytes_max, |own| own.min(bytes_max))
    }

    /// May a body have so many bytes?
    pub fn check_body(&self, bytes: u64) -> Result<(), PolicyDenial> {
        match self.body_bytes_max {
            Some(most) if bytes > most => Err(self.body_denial(most)),
            _ => Ok(()),
        }
    }

    /// The denial of a body with more bytes than the tenant's maximum.
    pub fn body_denial(&self, most: u64) -> PolicyDenial {
        self.denial(Refused::Body(most), Rule::SetBy(self.key("body_bytes_max")))
    }

    fn key(&self, key: &str) -> String {
        key_path(&["tenants", &self.tenant, key])
    }

    fn denial(&self, refused: Refused, rule: Rule) -> PolicyDenial {
        PolicyDenial { tenant: self.tenant.clone(), refused, rule }
    }
}

impl<'p> Rights<'p> {
    /// Of whom.
    pub fn policy(&self) -> &'p Policy {
        self.policy
    }

    /// May the operation be called, in the region that the gateway sends to? One that nobody knows (`None`) only where every operation
    /// may, and none is denied.
    pub fn check_operation(&self, service: Service, operation: Option<&'static Operation>) -> Result<(), PolicyDenial> {
        let denied = |refused: Refused| |rule: Rule| self.policy.denial(refused, rule);
        self.check(Subject::Services, service.name()).map_err(denied(Refused::Service(service)))?;
        let name = operation.map_or("Unknown", |operation| operation.name);
        match operation {
            Some(operation) => self.check(Subject::Operations, operation.name),
            None => self.check_everything(Subject::Operations),
        }
        .map_err(denied(Refused::Operation(service, name)))?;
        let region = &self.policy.region;
        self.check(Subject::Regions, region).map_err(denied(Refused::Region(region.clone())))
    }

    /// May the model be used, by the name the client gave it? What is denied is denied by every name that it goes by, so that a
    /// profile is no way around its model; what is allowed is allowed by the name it is called, so that a profile that takes data
    /// elsewhere is not allowed with its model.
    pub fn check_model(&self, model: &str) -> Result<(), PolicyDenial> {
        let denied = |rule: Rule| self.policy.denial(Refused::Model(model.to_owned()), rule);
        let id = self.policy.profiles.find(model).ok_or(Rule::Unmapped).map_err(denied)?;
        if !id.contains('.') && id == model && self.depends_on_what_runs() {
            return Err(denied(Rule::Unmapped));
        }
        let below = geography(id);
        let names = [Some(model), Some(id), below.map(|(_, base)| base)];
        for name in names.into_iter().flatten() {
            self.check_denied(Subject::Models, name).map_err(denied)?;
        }
        self.check_allowed(Subject::Models, &[model, id]).map_err(denied)?;
        let region = Arn::parse(model).map(|arn| arn.region).filter(|region| !region.is_empty());
        for region in region.into_iter().chain(below.map(|(geography, _)| geography)) {
            self.check(Subject::Regions, region).map_err(|rule| {
                let refused = Refused::RegionOf { region: region.to_owned(), model: model.to_owned() };
                self.policy.denial(refused, rule)
            })?;
        }
        Ok(())
    }

    /// Whether a name without a vendor is as good as opaque: Bedrock takes names of custom models and of provisioned throughput, too.
    fn depends_on_what_runs(&self) -> bool {
        self.restrict_regions() || self.grants.iter().any(|grant| !grant.denies(Subject::Models).is_empty())
    }

    /// May something of this region be named?
    pub fn check_region(&self, region: &str) -> Result<(), PolicyDenial> {
        self.check(Subject::Regions, region).map_err(|rule| self.policy.denial(Refused::Region(region.to_owned()), rule))
    }

    /// May a request be served in all of these tiers? One that names none asks for the default.
    pub fn check_tiers<'t>(&self, tiers: impl IntoIterator<Item = &'t str>) -> Result<(), PolicyDenial> {
        let mut tiers = tiers.into_iter().peekable();
        let default = if tiers.peek().is_none() { Some(TIER_BY_DEFAULT) } else { None };
        for tier in tiers.chain(default) {
            self.check(Subject::ServiceTiers, tier)
                .map_err(|rule| self.policy.denial(Refused::ServiceTier(tier.to_owned()), rule))?;
        }
        Ok(())
    }

    /// Whether models matter, so that bodies have to be looked at for their names.
    pub fn restrict_models(&self) -> bool {
        !self.is_free(Subject::Models) || self.restrict_regions()
    }

    /// The denial of an operation that nobody knows, and that may run any model.
    pub fn unknown_inference(&self, service: Service) -> PolicyDenial {
        let by_model = self.check_everything(Subject::Models).and_then(|()| self.check_everything(Subject::Regions));
        let rule = by_model.err().unwrap_or_else(|| self.not_in(Subject::Models));
        self.policy.denial(Refused::Operation(service, "Unknown"), rule)
    }

    /// Whether regions matter.
    pub fn restrict_regions(&self) -> bool {
        !self.is_free(Subject::Regions)
    }

    /// Whether service tiers matter.
    pub fn restrict_tiers(&self) -> bool {
        !self.is_free(Subject::ServiceTiers)
    }

    fn is_free(&self, subject: Subject) -> bool {
        self.check_everything(subject).is_ok()
    }

    fn check(&self, subject: Subject, name: &str) -> Result<(), Rule> {
        self.check_denied(subject, name)?;
        self.check_allowed(subject, &[name])
    }

    fn check_denied(&self, subject: Subject, name: &str) -> Result<(), Rule> {
        let line = self.grants.iter().find_map(|grant| grant.denies(subject).line_with(name));
        line.map_or(Ok(()), |line| Err(Rule::DeniedBy(line)))
    }

    fn check_allowed(&self, subject: Subject, names: &[&str]) -> Result<(), Rule> {
        let mut lists = self.grants.iter().map(|grant| grant.allows(subject));
        if lists.any(|list| names.iter().any(|name| list.has(name))) { Ok(()) } else { Err(self.not_in(subject)) }
    }

    /// Whatever it is called.
    fn check_everything(&self, subject: Subject) -> Result<(), Rule> {
        if let Some(grant) = self.grants.iter().find(|grant| !grant.denies(subject).is_empty()) {
            return Err(Rule::DeniedBy(grant.denies(subject).key.clone()));
        }
        let everything = self.grants.iter().any(|grant| grant.allows(subject).has_everything());
        if everything { Ok(()) } else { Err(self.not_in(subject)) }
    }

    fn not_in(&self, subject: Subject) -> Rule {
        Rule::NotIn(self.grants.iter().map(|grant| grant.allows(subject).key.clone()).collect())
    }
}
