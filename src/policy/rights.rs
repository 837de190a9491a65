//! What a caller may: lists of the tenant and of the caller's groups taken together. One that allows is enough, and one that denies.

use std::iter;

use super::{
    Policy, PolicyDenial, Refused, Rule,
    list::{Subject, fold},
    section::Section,
};
use crate::{
    bedrock::{
        Operation, Service,
        model::{Arn, geography},
    },
    pricing::find_by_name,
};

/// Names of a tier that a request asks for by asking for none.
const TIER_BY_DEFAULT: &str = "default";

/// What a caller may: by the tenant's own section, and by those of the caller's groups.
#[derive(Clone, Debug)]
pub struct Rights<'p> {
    policy: &'p Policy,
    own: &'p Section,
    /// Of the caller's groups: nearly always none, and then no memory.
    granted: Vec<&'p Section>,
}

impl<'p> Rights<'p> {
    pub(super) fn new(policy: &'p Policy, own: &'p Section, granted: Vec<&'p Section>) -> Rights<'p> {
        Rights { policy, own, granted }
    }

    /// All that have a say, the tenant's first.
    pub(super) fn sections(&self) -> impl Iterator<Item = &'p Section> {
        iter::once(self.own).chain(self.granted.iter().copied())
    }

    /// May the operation be called, in the region that the gateway sends to? One that nobody knows (`None`) only where every operation
    /// may, and none is denied.
    pub fn check_operation(&self, service: Service, operation: Option<&'static Operation>) -> Result<(), PolicyDenial> {
        let denied = |refused: Refused| |rule: Rule| self.denial(refused, rule);
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

    /// May the model be used, by the name the client gave it? What is denied is denied by every name that it goes by, so that neither a
    /// profile nor another spelling is a way around it; what is allowed is allowed by the name it is called, so that a profile that takes data
    /// elsewhere is not allowed with its model.
    pub fn check_model(&self, model: &str) -> Result<(), PolicyDenial> {
        let denied = |rule: Rule| self.denial(Refused::Model(model.to_owned()), rule);
        let id = self.policy.profiles.find(model).ok_or(Rule::Unmapped).map_err(denied)?;
        if !id.contains('.') && id == model && self.depends_on_what_runs() {
            return Err(denied(Rule::Unmapped));
        }
        let below = geography(id);
        let names = [Some(model), Some(id).filter(|id| *id != model), below.map(|(_, base)| base)];
        for name in names.into_iter().flatten() {
            self.check_denied_model(name).map_err(denied)?;
        }
        self.check_allowed(Subject::Models, &[model, id]).map_err(denied)?;
        let region = Arn::parse(model).map(|arn| arn.region).filter(|region| !region.is_empty());
        for region in region.into_iter().chain(below.map(|(geography, _)| geography)) {
            self.check(Subject::Regions, region).map_err(|rule| {
                let refused = Refused::RegionOf { region: region.to_owned(), model: model.to_owned() };
                self.denial(refused, rule)
            })?;
        }
        Ok(())
    }

    /// Whether a name without a vendor is as good as opaque: Bedrock takes names of custom models and of provisioned throughput, too.
    fn depends_on_what_runs(&self) -> bool {
        self.restrict_regions() || self.deny_any(Subject::Models)
    }

    /// May something of this region be named?
    pub fn check_region(&self, region: &str) -> Result<(), PolicyDenial> {
        self.check(Subject::Regions, region).map_err(|rule| self.denial(Refused::Region(region.to_owned()), rule))
    }

    /// May a request be served in all of these tiers? One that names none asks for the default.
    pub fn check_tiers<'t>(&self, tiers: impl IntoIterator<Item = &'t str>) -> Result<(), PolicyDenial> {
        let mut tiers = tiers.into_iter().peekable();
        let default = if tiers.peek().is_none() { Some(TIER_BY_DEFAULT) } else { None };
        for tier in tiers.chain(default) {
            self.check(Subject::ServiceTiers, tier).map_err(|rule| self.denial(Refused::ServiceTier(tier.to_owned()), rule))?;
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
        self.denial(Refused::Operation(service, "Unknown"), rule)
    }

    /// Whether regions matter.
    pub fn restrict_regions(&self) -> bool {
        !self.is_free(Subject::Regions)
    }

    /// Whether service tiers matter.
    pub fn restrict_tiers(&self) -> bool {
        !self.is_free(Subject::ServiceTiers)
    }

    /// Asked several times a request, so it makes no refusal that nobody wants.
    fn is_free(&self, subject: Subject) -> bool {
        !self.deny_any(subject) && self.allow_everything(subject)
    }

    fn allow_everything(&self, subject: Subject) -> bool {
        self.sections().any(|section| section.allows(subject).has_everything())
    }

    fn check(&self, subject: Subject, name: &str) -> Result<(), Rule> {
        self.check_denied(subject, name)?;
        self.check_allowed(subject, &[name])
    }

    fn check_denied(&self, subject: Subject, name: &str) -> Result<(), Rule> {
        if !self.deny_any(subject) {
            return Ok(());
        }
        self.line_with(subject, &fold(name)).map_or(Ok(()), |line| Err(Rule::DeniedBy(line)))
    }

    /// By whatever name the model goes.
    fn check_denied_model(&self, name: &str) -> Result<(), Rule> {
        if !self.deny_any(Subject::Models) {
            return Ok(());
        }
        let folded = fold(name);
        let line = find_by_name(&folded, |name| self.line_with(Subject::Models, name));
        let spelt = || self.sections().find_map(|section| section.denies(Subject::Models).line_spelt(&folded));
        line.or_else(spelt).map_or(Ok(()), |line| Err(Rule::DeniedBy(line)))
    }

    fn deny_any(&self, subject: Subject) -> bool {
        self.sections().any(|section| !section.denies(subject).is_empty())
    }

    fn line_with(&self, subject: Subject, folded: &str) -> Option<String> {
        self.sections().find_map(|section| section.denies(subject).line_with(folded))
    }

    fn check_allowed(&self, subject: Subject, names: &[&str]) -> Result<(), Rule> {
        let mut lists = self.sections().map(|section| section.allows(subject));
        if lists.any(|list| names.iter().any(|name| list.has(name))) { Ok(()) } else { Err(self.not_in(subject)) }
    }

    /// Whatever it is called.
    fn check_everything(&self, subject: Subject) -> Result<(), Rule> {
        if let Some(section) = self.sections().find(|section| !section.denies(subject).is_empty()) {
            return Err(Rule::DeniedBy(section.denies(subject).key.clone()));
        }
        if self.allow_everything(subject) { Ok(()) } else { Err(self.not_in(subject)) }
    }

    pub(super) fn denial(&self, refused: Refused, rule: Rule) -> PolicyDenial {
        PolicyDenial { tenant: self.policy.tenant.clone(), refused, rule }
    }

    fn not_in(&self, subject: Subject) -> Rule {
        Rule::NotIn(self.sections().map(|section| section.allows(subject).key.clone()).collect())
    }
}
