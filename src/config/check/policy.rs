//! Who may what, in `[tenants.NAME]`, `[groups.NAME]` and `[profiles]`: names that no service, operation or region has, lists that allow
//! nothing, rules that could never be met.

use wildmatch::WildMatch;

use super::{Check, KeyPath, demands, upstream::services_help, words};
use crate::{
    bedrock::{
        Service,
        model::{GEOGRAPHIES, VENDORS, canonical, is_opaque},
        operations,
    },
    config::{
        Config, Denied, Group, Tenant,
        suggest::{list, suggest},
    },
};

/// As requests write them; OpenAI's and Anthropic's routes have names of their own.
const TIERS: [&str; 6] = ["default", "priority", "flex", "reserved", "auto", "standard_only"];

/// Shorter labels are geographies, and near to everything.
const VENDOR_BYTES_MIN: usize = 4;

/// The five lists of a section.
struct Lists<'a> {
    models: &'a [String],
    services: &'a [String],
    operations: &'a [String],
    regions: &'a [String],
    service_tiers: &'a [String],
}

impl<'a> From<&'a Denied> for Lists<'a> {
    fn from(denied: &'a Denied) -> Lists<'a> {
        let Denied { models, services, operations, regions, service_tiers, principals: _ } = denied;
        Lists { models, services, operations, regions, service_tiers }
    }
}

impl<'a> From<&'a Group> for Lists<'a> {
    fn from(group: &'a Group) -> Lists<'a> {
        let Group { models, services, operations, regions, service_tiers, .. } = group;
        Lists { models, services, operations, regions, service_tiers }
    }
}

impl<'a> From<&'a Tenant> for Lists<'a> {
    fn from(tenant: &'a Tenant) -> Lists<'a> {
        let Tenant { models, services, operations, regions, service_tiers, .. } = tenant;
        Lists { models, services, operations, regions, service_tiers }
    }
}

impl<'a> Lists<'a> {
    fn by_key(&self) -> [(&'static str, &'a [String]); 5] {
        [
            ("models", self.models),
            ("services", self.services),
            ("operations", self.operations),
            ("regions", self.regions),
            ("service_tiers", self.service_tiers),
        ]
    }
}

pub(super) fn check(check: &mut Check<'_>, config: &Config) {
    for (name, tenant) in &config.tenants {
        let path = KeyPath::of("tenants").key(name);
        lists(check, &tenant.into(), &path, config.groups.is_empty());
        denied(check, &tenant.deny, &path);
        own_region(check, tenant, config, &path);
        demands::check(check, &tenant.into(), config, &path);
    }
    for (name, group) in &config.groups {
        let path = KeyPath::of("groups").key(name);
        lists(check, &group.into(), &path, false);
        denied(check, &group.deny, &path);
        members(check, group, config, &path);
        demands::check(check, &group.into(), config, &path);
        demands::check_guardrails(check, group, config, &path);
    }
    nobody_in_groups(check, config);
    profiles(check, config);
}

/// A token has groups by `groups_claim` alone, and a key by the keys file.
fn nobody_in_groups(check: &mut Check<'_>, config: &Config) {
    if config.groups.is_empty() || config.keys.is_some() || config.issuers.values().any(|issuer| issuer.groups_claim.is_some()) {
        return;
    }
    let help = "say with an issuer's `groups_claim` which claim names a caller's groups";
    check.warning(KeyPath::of("groups"), "nobody is in a group: no issuer has `groups_claim`, and there is no `[keys]`", help);
}

/// `alone`: what is not here is nowhere.
fn lists(check: &mut Check<'_>, lists: &Lists<'_>, path: &KeyPath, alone: bool) {
    for (key, list) in lists.by_key() {
        if list.is_empty() && alone {
            let help = format!("name what is allowed, or write `{key} = [\"*\"]` to allow all");
            check.warning(path.clone().key(key), format!("no {key}: this tenant is allowed nothing"), help);
        }
        for (index, _) in list.iter().enumerate().filter(|(_, entry)| entry.is_empty()) {
            let help = "remove it, or write `*` to allow all";
            check.error(path.clone().key(key).index(index), "empty: it allows nothing", help);
        }
    }
    names(check, lists, path);
}

fn denied(check: &mut Check<'_>, deny: &Denied, path: &KeyPath) {
    let path = path.clone().key("deny");
    let lists = Lists::from(deny);
    for (key, list) in lists.by_key().into_iter().chain([("principals", &*deny.principals)]) {
        for (index, _) in list.iter().enumerate().filter(|(_, entry)| entry.is_empty()) {
            check.error(path.clone().key(key).index(index), "empty: it denies nothing", "remove it");
        }
    }
    names(check, &lists, &path);
}

/// Names that nothing has.
fn names(check: &mut Check<'_>, lists: &Lists<'_>, path: &KeyPath) {
    let at = |key: &str, index| path.clone().key(key).index(index);
    for (index, name) in lists.services.iter().enumerate() {
        if !name.is_empty() && name != "*" && name.parse::<Service>().is_err() {
            let message = format!("`{}` is not a Bedrock service", name.escape_debug());
            check.error(at("services", index), message, services_help(name));
        }
    }
    lists.models.iter().enumerate().for_each(|(index, glob)| vendor(check, glob, at("models", index)));
    lists.operations.iter().enumerate().for_each(|(index, glob)| operation(check, glob, at("operations", index)));
    for (index, region) in lists.regions.iter().enumerate() {
        let is_geography = region.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        if !is_geography && !region.contains(['*', '?']) && !words::is_region(region) {
            let help = "a region is `eu-central-1`; the geographies of profiles are `us`, `eu`, `apac`, `global`, …";
            let message = format!("`{}` is neither a region nor a geography", region.escape_debug());
            check.error(at("regions", index), message, help);
        } else {
            place(check, region, at("regions", index));
        }
    }
    for (index, glob) in lists.service_tiers.iter().enumerate() {
        let matcher = WildMatch::new(glob);
        if !glob.is_empty() && !TIERS.iter().any(|tier| matcher.matches(tier)) {
            let message = format!("`{}` is no service tier this version knows", glob.escape_debug());
            check.warning(at("service_tiers", index), message, format!("they are {}", TIERS.join(", ")));
        }
    }
}

/// A slip in where data may be. Only a warning: AWS adds regions and geographies.
fn place(check: &mut Check<'_>, glob: &str, path: KeyPath) {
    let places = || words::REGIONS.into_iter().chain(GEOGRAPHIES);
    let matcher = WildMatch::new(glob);
    if glob.is_empty() || places().any(|place| matcher.matches(place)) {
        return;
    }
    let message = format!("`{}` matches no region and no geography this version knows", glob.escape_debug());
    let help = match suggest(glob, places()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("nothing to do if AWS has it by now; the geographies of profiles are {}", list(&GEOGRAPHIES)),
    };
    check.warning(path, message, help);
}

/// A slip in who makes the models. Of models themselves nothing is said: AWS adds some every week, and operators name their own.
fn vendor(check: &mut Check<'_>, glob: &str, path: KeyPath) {
    let labels: Vec<&str> = glob.split('.').collect();
    let known = |label: &&str| label.contains(['*', '?']) || VENDORS.contains(label);
    // The last label is the model's own name. Before it come who makes it, and perhaps a geography.
    let Some((_, before)) = labels.split_last().filter(|(_, before)| !before.iter().take(2).any(known)) else { return };
    if is_opaque(glob) {
        return;
    }
    for label in before.iter().take(2).filter(|label| label.len() >= VENDOR_BYTES_MIN) {
        if let Some(near) = suggest(label, VENDORS) {
            let message = format!("`{}` makes no models that this version knows", label.escape_debug());
            let help =
                format!("did you mean `{}`? Ids of models are in lower case", glob.replacen(label, near, 1).escape_debug());
            return check.warning(path, message, help);
        }
    }
}

/// Only a warning: AWS adds operations, and a configuration may be older or newer than the table.
fn operation(check: &mut Check<'_>, glob: &str, path: KeyPath) {
    let matcher = WildMatch::new(glob);
    if glob.is_empty() || operations().iter().any(|operation| matcher.matches(operation.name)) {
        return;
    }
    let help = match suggest(glob, operations().iter().map(|operation| operation.name)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "operations are spelled as in AWS's API reference, `ConverseStream`; ones this version does not know need `*`"
            .to_owned(),
    };
    check.warning(path, format!("`{}` matches no operation this version knows", glob.escape_debug()), help);
}

/// Nothing goes anywhere else than where the gateway sends it.
fn own_region(check: &mut Check<'_>, tenant: &Tenant, config: &Config, path: &KeyPath) {
    let region = &config.upstream.region;
    let matches = |globs: &[String]| globs.iter().any(|glob| WildMatch::new(glob).matches(region));
    if !tenant.regions.is_empty() && !matches(&tenant.regions) && !config.groups.values().any(|group| matches(&group.regions)) {
        let message =
            format!("the region that the gateway sends to, `{region}`, is not among them: every request will be refused");
        check.warning(path.clone().key("regions"), message, "add it; geographies are those of profiles alone");
    }
}

fn members(check: &mut Check<'_>, group: &Group, config: &Config, path: &KeyPath) {
    if group.tenants.is_empty() {
        let help = "name the tenants whose callers it is for, or write `tenants = [\"*\"]`";
        check.warning(path.clone().key("tenants"), "no tenant: the group counts for nobody", help);
    }
    for (index, glob) in group.tenants.iter().enumerate() {
        let matcher = WildMatch::new(glob);
        if !config.tenants.keys().any(|name| matcher.matches(name)) {
            let help = match suggest(glob, config.tenants.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "compare it with the `[tenants.NAME]` sections".to_owned(),
            };
            let message = format!("`{}` is no tenant", glob.escape_debug());
            check.warning(path.clone().key("tenants").index(index), message, help);
        }
    }
}

/// A name that says itself what it stands for has no other meaning: policy and prices would see one model, and Bedrock run another.
fn profiles(check: &mut Check<'_>, config: &Config) {
    for (name, model) in &config.profiles {
        let path = KeyPath::of("profiles").key(name);
        let says_itself = !is_opaque(name) && (canonical(name) != name || name.contains('.'));
        if name.is_empty() || says_itself {
            let help = "this table is for names that say nothing: application inference profiles, provisioned, imported and custom models, \
                        prompts and their routers, by their whole ARN";
            check.key_error(path.clone(), "says itself what it stands for", help);
        }
        if model.is_empty() || is_opaque(model) {
            let help = "write the id of a model or of a system profile, `us.anthropic.claude-…`; or, for a model of your own, a name that \
                        `models` and the prices can have";
            check.error(path, "says nothing about what it stands for either", help);
        }
    }
}
