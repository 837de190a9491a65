//! What groups do to a caller, a line each: what `[groups.NAME]` adds, denies and demands.

use crate::config::{Config, Denied, Group, Guardrail};

/// What a group does to callers of a tenant. A name that the configuration does not have does nothing.
pub(super) fn effect(config: &Config, group: &str, tenant: &str) -> String {
    let Some(group) = config.groups.get(group) else { return "nothing: the configuration does not have it".to_owned() };
    if !group.counts_for(tenant) {
        return format!("nothing: it does not count for callers of {tenant}");
    }
    let Group { models, services, operations, regions, service_tiers, .. } = group;
    let adds = [models, services, operations, regions, service_tiers];
    let Denied { models, services, operations, regions, service_tiers, principals } = &group.deny;
    let denies = [models, services, operations, regions, service_tiers];
    let mut effects: Vec<String> =
        [("adds", adds), ("denies", denies)].iter().filter_map(|(verb, all)| lists(verb, all)).collect();
    if !principals.is_empty() {
        effects.push(format!("denies principals {}", principals.join(" ")));
    }
    if let Some(networks) = &group.allow_from {
        effects.push(format!("only from {}", networks.join(" ")));
    }
    if let Some(bytes) = group.body_bytes_max {
        effects.push(format!("bodies of {bytes} bytes at most"));
    }
    if let Some(Guardrail { identifier, version, strict }) = &group.guardrail {
        effects.push(format!("guardrail {identifier} version {version}{}", if *strict { ", strict" } else { "" }));
    }
    if effects.is_empty() { "nothing: its section is empty".to_owned() } else { effects.join("; ") }
}

/// `adds models a b, regions c`
fn lists(verb: &str, lists: &[&Vec<String>; 5]) -> Option<String> {
    let keys = ["models", "services", "operations", "regions", "service_tiers"];
    let named = keys.iter().zip(lists).filter(|(_, list)| !list.is_empty());
    let named: Vec<String> = named.map(|(key, list)| format!("{key} {}", list.join(" "))).collect();
    (!named.is_empty()).then(|| format!("{verb} {}", named.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_told_by_what_it_does_to_the_tenants_callers() {
        let text = r#"
            listeners = []
            [upstream]
            region = "us-east-1"
            [groups.empty]
            tenants = ["*"]
            [groups.beta]
            tenants = ["ac*"]
            models = ["a", "b"]
            regions = ["eu"]
            deny = { operations = ["Delete*"] }
            allow_from = ["10.0.0.0/8"]
            body_bytes_max = 1000
            guardrail = { identifier = "gr-1", version = "2", strict = true }
        "#;
        let config: Config = toml::from_str(text).unwrap();
        let all = "adds models a b, regions eu; denies operations Delete*; only from 10.0.0.0/8; bodies of 1000 bytes at most; \
                   guardrail gr-1 version 2, strict";
        assert_eq!(effect(&config, "beta", "acme"), all);
        assert_eq!(effect(&config, "beta", "globex"), "nothing: it does not count for callers of globex");
        assert_eq!(effect(&config, "empty", "acme"), "nothing: its section is empty");
        assert_eq!(effect(&config, "gone", "acme"), "nothing: the configuration does not have it");
    }
}
