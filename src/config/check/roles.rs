//! `[roles]`, `[tenants.NAME.role]` and `[request_metadata]`: what STS and Bedrock would refuse for every request.

use super::{Check, KeyPath, upstream::shown, words};
use crate::{
    aws::{
        assumption::{TAGS_MAX, is_tag_key},
        role_sessions::TENANT_TAG,
    },
    bedrock::metadata::is_metadata_key,
    config::{Config, Roles, TenantRole},
};

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
const DURATION_SECONDS_MIN: u64 = 900;
const DURATION_SECONDS_MAX: u64 = 43_200;
/// For a role that is assumed with the credentials of another.
const CHAINED_SECONDS_MAX: u64 = 3_600;
const EXTERNAL_ID_BYTES: std::ops::RangeInclusive<usize> = 2..=1_224;

pub(super) fn check(check: &mut Check<'_>, config: &Config) {
    let path = KeyPath::of("roles");
    let roles = &config.roles;
    role(check, &path, roles.arn.as_deref(), roles.external_id.as_deref(), Some(roles.duration_seconds));
    tags(check, roles, &path);
    sts(check, config, &path);
    without_arn(check, config, &path);
    for (key, value) in
        [("wait_seconds_max", roles.wait_seconds_max), ("sessions_per_tenant_max", roles.sessions_per_tenant_max as u64)]
    {
        if value == 0 {
            check.error(path.clone().key(key), "0 would refuse every request", "remove the line to get the default");
        }
    }
    for (name, tenant) in &config.tenants {
        if let Some(own) = &tenant.role {
            of_tenant(check, roles, own, &KeyPath::of("tenants").key(name).key("role"));
        }
    }
    if config.request_metadata.tenant_key.as_deref().is_some_and(|key| !is_metadata_key(key)) {
        let path = KeyPath::of("request_metadata").key("tenant_key");
        check.error(path, "not a key that Bedrock takes", "use 1 to 256 of `A-Z a-z 0-9 : _ @ $ # = / + , . -` and spaces");
    }
}

/// Settings for roles that nobody has.
fn without_arn(check: &mut Check<'_>, config: &Config, path: &KeyPath) {
    if check.has(&path.clone().key("arn")) {
        return;
    }
    let has_own = |name: &String| check.has(&KeyPath::of("tenants").key(name).key("role").key("arn"));
    let external_id = path.clone().key("external_id");
    if !config.tenants.keys().any(has_own) {
        if check.has_below(path) {
            let help = "add `arn`, here for all tenants or in `[tenants.NAME.role]`";
            check.warning(path.clone(), "no role: all of this does nothing, and the gateway's own credentials are used", help);
        }
    } else if check.has(&external_id) {
        let help = "add `arn`, or write the id in the `[tenants.NAME.role]` that it is for";
        check.warning(external_id, "sent with no role: it is for that of `[roles]`, which has no `arn`", help);
    }
}

fn of_tenant(check: &mut Check<'_>, roles: &Roles, own: &TenantRole, path: &KeyPath) {
    role(check, path, own.arn.as_deref(), own.external_id.as_deref(), own.duration_seconds);
    if own.arn.is_none() && roles.arn.is_none() {
        let help = "add `arn`, here or in `[roles]` for all tenants";
        check.error(path.clone(), "no role: the gateway's own credentials would be used", help);
    }
}

fn role(check: &mut Check<'_>, path: &KeyPath, arn: Option<&str>, external_id: Option<&str>, seconds: Option<u64>) {
    if let Some(arn) = arn.filter(|arn| !is_role_arn(arn)) {
        let message = format!("`{}` is not the ARN of a role", arn.escape_debug());
        check.error(path.clone().key("arn"), message, "write it as IAM shows it: `arn:aws:iam::123456789012:role/name`");
    }
    if external_id.is_some_and(|id| !is_external_id(id)) {
        let help = "use 2 to 1,224 of `A-Z a-z 0-9 _ + = , . @ : / -`";
        check.error(path.clone().key("external_id"), "not an external id that STS takes", help);
    }
    let at = path.clone().key("duration_seconds");
    match seconds {
        Some(seconds) if seconds == 0 || seconds > DURATION_SECONDS_MAX => {
            check.error(at, "not a duration that STS takes", format!("use {DURATION_SECONDS_MIN} to {DURATION_SECONDS_MAX}"));
        }
        Some(seconds) if seconds < DURATION_SECONDS_MIN => {
            let help = format!("use {DURATION_SECONDS_MIN} to {DURATION_SECONDS_MAX}");
            check.warning(at, "so short that AWS's STS refuses it", help);
        }
        Some(seconds) if seconds > CHAINED_SECONDS_MAX => {
            let help =
                format!("STS allows {CHAINED_SECONDS_MAX} if the gateway's own credentials are a role's, as on EC2 and ECS");
            check.warning(at, "longer than a role that is assumed by a role may last", help);
        }
        _ => {}
    }
}

fn tags(check: &mut Check<'_>, roles: &Roles, path: &KeyPath) {
    let is_tenant = |key: &str| key.eq_ignore_ascii_case(TENANT_TAG);
    let mut seen: Vec<String> = Vec::new();
    for (key, claim) in &roles.claim_tags {
        let at = path.clone().key("claim_tags").key(key);
        if !is_tag_key(key) {
            let help = "use 1 to 128 letters, digits, spaces and `_ . : / = + - @`, not beginning with `aws:`";
            check.key_error(at.clone(), "not a key for a session tag", help);
        } else if is_tenant(key) {
            check.key_error(at.clone(), "the gateway's own tag: its value is the tenant", "choose another key");
        } else if seen.contains(&key.to_lowercase()) {
            check.key_error(at.clone(), "another tag has this key", "STS does not tell capitals apart: remove one of them");
        }
        seen.push(key.to_lowercase());
        if claim.is_empty() {
            check.error(at, "empty: no claim has this name", "write the name of a claim, or a JSON pointer to it");
        }
    }
    if roles.claim_tags.len() >= TAGS_MAX {
        let help = format!("STS takes {TAGS_MAX}, and one is the tenant's");
        check.error(path.clone().key("claim_tags"), format!("{} tags", roles.claim_tags.len()), help);
    }
    for (index, key) in roles.transitive_tags.iter().enumerate() {
        if key != TENANT_TAG && !roles.claim_tags.contains_key(key) {
            let message = format!("`{}` is not a tag of the sessions", key.escape_debug());
            let help = "name `tenant`, or a key of `claim_tags`";
            check.error(path.clone().key("transitive_tags").index(index), message, help);
        }
    }
}

fn sts(check: &mut Check<'_>, config: &Config, path: &KeyPath) {
    let roles = &config.roles;
    if let Some(url) = &roles.sts_endpoint
        && let Some((fault, help)) = words::url_fault(url, false)
    {
        check.error(path.clone().key("sts_endpoint"), format!("`{}` {fault}", shown(url)), help);
    }
    if let Some(region) = roles.sts_region.as_deref().filter(|region| !words::is_region(region)) {
        let message = format!("`{}` is not the name of an AWS region", region.escape_debug());
        check.error(path.clone().key("sts_region"), message, "write it as AWS does: `us-east-1`");
    }
}

/// `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`.
fn is_role_arn(arn: &str) -> bool {
    let mut parts = arn.splitn(6, ':');
    let mut next = || parts.next().unwrap_or_default();
    let (scheme, partition, service, region, account, resource) = (next(), next(), next(), next(), next(), next());
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-/".contains(c);
    let name = resource.strip_prefix("role/").unwrap_or_default();
    scheme == "arn"
        && partition.starts_with("aws")
        && (service, region) == ("iam", "")
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && !name.is_empty()
        && !name.ends_with('/')
        && name.chars().all(is_name)
}

fn is_external_id(id: &str) -> bool {
    EXTERNAL_ID_BYTES.contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c))
}
