//! What tenants and groups demand of their callers: where from, how much at once, under which guardrail.

use super::{Check, KeyPath, networks, words};
use crate::config::{Config, Group, Guardrail, Tenant};

/// The API's own limit for `guardrailIdentifier`.
const IDENTIFIER_BYTES_MAX: usize = 2_048;

/// The demands of a section.
pub(super) struct Demands<'a> {
    allow_from: Option<&'a [String]>,
    body_bytes_max: Option<u64>,
    guardrail: Option<&'a Guardrail>,
}

impl<'a> From<&'a Tenant> for Demands<'a> {
    fn from(tenant: &'a Tenant) -> Demands<'a> {
        let Tenant { allow_from, body_bytes_max, guardrail, .. } = tenant;
        Demands { allow_from: allow_from.as_deref(), body_bytes_max: *body_bytes_max, guardrail: guardrail.as_ref() }
    }
}

impl<'a> From<&'a Group> for Demands<'a> {
    fn from(group: &'a Group) -> Demands<'a> {
        let Group { allow_from, body_bytes_max, guardrail, .. } = group;
        Demands { allow_from: allow_from.as_deref(), body_bytes_max: *body_bytes_max, guardrail: guardrail.as_ref() }
    }
}

pub(super) fn check(check: &mut Check<'_>, demands: &Demands<'_>, config: &Config, path: &KeyPath) {
    if let Some(allow_from) = demands.allow_from {
        networks(check, allow_from, &path.clone().key("allow_from"));
        if allow_from.is_empty() {
            let help = "remove the line to allow every address";
            check.error(path.clone().key("allow_from"), "empty: nobody could call", help);
        }
    }
    match demands.body_bytes_max {
        Some(0) => check.error(path.clone().key("body_bytes_max"), "0 would refuse every body", "remove the line for no limit"),
        Some(own) if own > config.bodies.bytes_max => {
            let message = format!("more than `bodies.bytes_max`, {}, which holds for everybody", config.bodies.bytes_max);
            check.warning(path.clone().key("body_bytes_max"), message, "lower it, or raise `bodies.bytes_max`");
        }
        _ => {}
    }
    if let Some(guardrail) = demands.guardrail {
        self::guardrail(check, guardrail, &path.clone().key("guardrail"));
    }
}

fn guardrail(check: &mut Check<'_>, guardrail: &Guardrail, path: &KeyPath) {
    let Guardrail { identifier, version, strict: _ } = guardrail;
    if !is_guardrail(identifier) {
        let help = "write its id, `a1b2c3d4e5f6`, or its ARN, `arn:aws:bedrock:REGION:ACCOUNT:guardrail/ID`";
        check.error(path.clone().key("identifier"), "not a guardrail's id or ARN", help);
    }
    let number = (1..=8).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_digit()) && !version.starts_with('0');
    if !number && version != "DRAFT" {
        check.error(path.clone().key("version"), "not a version of a guardrail", "write its number, `\"1\"`, or `\"DRAFT\"`");
    }
}

/// An id, or `arn:PARTITION:bedrock:REGION:ACCOUNT:guardrail/ID`.
fn is_guardrail(identifier: &str) -> bool {
    let is_id = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    match identifier.split(':').collect::<Vec<_>>()[..] {
        [id] => identifier.len() <= IDENTIFIER_BYTES_MAX && is_id(id),
        ["arn", partition, "bedrock", region, account, resource] => {
            identifier.len() <= IDENTIFIER_BYTES_MAX
                && partition.starts_with("aws")
                && words::is_region(region)
                && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && resource.strip_prefix("guardrail/").is_some_and(is_id)
        }
        _ => false,
    }
}

/// A member of a group meets the tenant's guardrail as well as the group's, and a request names one. Of two groups nobody knows here who
/// is in both: whoever is, is told.
pub(super) fn check_guardrails(check: &mut Check<'_>, group: &Group, config: &Config, path: &KeyPath) {
    let Some(own) = &group.guardrail else { return };
    for (name, tenant) in config.tenants.iter().filter(|(name, _)| group.counts_for(name)) {
        let Some(theirs) = &tenant.guardrail else { continue };
        if (&own.identifier, &own.version) != (&theirs.identifier, &theirs.version) {
            let other = KeyPath::of("tenants").key(name).key("guardrail");
            let message = format!("not that of `{other}`: whoever is of both can meet only one, and could generate nothing");
            check.error(path.clone().key("guardrail"), message, "write the same in both, or leave the tenant out of `tenants`");
        }
    }
}
