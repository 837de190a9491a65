//! What is believed of an issuer, in short. Verdicts on tokens are kept under all of it. Credentials that a token was turned into are good for
//! as long as what makes their caller who it is stays the same: of tables of tenants and groups that is only the lines that speak of the
//! caller, so that a line for somebody else ends nobody's.

use std::collections::BTreeMap;

use super::{
    fingerprint::Fingerprint,
    key,
    principal::{GroupPrint, Principal},
};
use crate::config;

/// The rules of an issuer.
#[derive(Debug)]
pub struct IssuerPrint {
    /// Of those that are everybody's.
    shared: [u8; 32],
    tenants: BTreeMap<String, String>,
    groups: BTreeMap<String, String>,
    /// Of all, with the tables, where keys are from, and how old tokens may be and by whose clock.
    whole: [u8; 32],
}

impl IssuerPrint {
    /// Of this configuration. Destructured, so that a new field of [`config::Issuer`] is not forgotten here.
    pub fn new(issuer: &config::Issuer) -> IssuerPrint {
        let config::Issuer {
            issuer: url,
            audiences,
            audience_claim,
            algorithms,
            required_claims,
            required_scopes,
            tenant_claim,
            tenants,
            tenant_prefix,
            tenant,
            groups_claim,
            groups_prefix,
            groups,
            key_set: _,
            key_set_refresh_seconds: _,
            key_set_outage_seconds_max: _,
            token_lifetime_seconds_max,
            leeway_seconds,
        } = issuer;
        let algorithms: Vec<_> = algorithms.iter().map(|algorithm| key::name(*algorithm)).collect();
        let mut shared = Fingerprint::new();
        // Debug of strings and their lists and maps quotes and brackets: no two of them read the same.
        shared.add(format!("{url:?} {audience_claim:?} {audiences:?} {algorithms:?}").as_bytes());
        shared.add(format!("{required_claims:?} {required_scopes:?}").as_bytes());
        shared.add(format!("{tenant_claim:?} {tenant_prefix:?} {tenant:?} {}", tenants.is_some()).as_bytes());
        shared.add(format!("{groups_claim:?} {groups_prefix:?} {}", groups.is_some()).as_bytes());
        let shared = shared.finish();
        let mut whole = Fingerprint::new();
        whole.add(&shared);
        whole.add(format!("{tenants:?} {groups:?} {:?}", issuer.key_origin()).as_bytes());
        whole.add(&token_lifetime_seconds_max.to_be_bytes());
        whole.add(&leeway_seconds.to_be_bytes());
        let [tenants, groups] = [tenants, groups].map(|table| table.clone().unwrap_or_default());
        IssuerPrint { shared, tenants, groups, whole: whole.finish() }
    }

    /// Of every rule that a verdict depends on.
    pub fn whole(&self) -> &[u8; 32] {
        &self.whole
    }

    /// Of what makes this caller who it is.
    pub fn of(&self, principal: &Principal) -> u64 {
        let mut print = Fingerprint::new();
        print.add(&self.shared);
        for (value, tenant) in self.tenants.iter().filter(|(_, tenant)| **tenant == *principal.tenant) {
            print.add(format!("tenant {value:?} {tenant:?}").as_bytes());
        }
        for (value, group) in self.groups.iter().filter(|(_, group)| is_in(principal, group)) {
            print.add(format!("group {value:?} {group:?}").as_bytes());
        }
        print.short()
    }
}

/// Whether the caller is in the group, known or not: one that is configured later is known then.
fn is_in(principal: &Principal, group: &str) -> bool {
    principal.groups.iter().any(|known| **known == *group) || principal.other_groups.contains(&GroupPrint::of(group))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::auth::Proof;

    const RULES: &str = "issuer = 'https://idp.example'\naudiences = ['a']\ngroups_claim = 'groups'\n";
    const TABLES: &str = "tenants = { one = 'acme' }\ngroups = { g = 'beta' }\n";

    fn print(rules: &str) -> u64 {
        print_of(rules, &["beta"], &[])
    }

    /// Of somebody in these groups, and in these others that are not configured.
    fn print_of(rules: &str, groups: &[&str], others: &[&str]) -> u64 {
        let principal = Principal {
            issuer: "corp".into(),
            subject: "alice".into(),
            tenant: "acme".into(),
            groups: groups.iter().map(|group| Arc::from(*group)).collect(),
            other_groups: others.iter().map(|group| GroupPrint::of(group)).collect(),
            expires_at: Principal::never(),
            proof: Proof::Token,
            tags: Vec::new(),
        };
        IssuerPrint::new(&toml::from_str(rules).unwrap_or_else(|error| panic!("{rules}: {error}"))).of(&principal)
    }

    #[test]
    fn other_rules_have_another_print() {
        let mut seen = vec![print(RULES), print(&RULES.replace("idp", "other")), print(&RULES.replace("'a'", "'b'"))];
        seen.push(print(&RULES.replace("'groups'", "'roles'")));
        for more in [
            "audience_claim = 'client_id'",
            "algorithms = ['ES256']",
            "required_claims = { use = ['access'] }",
            "required_scopes = ['invoke']",
            "tenant_claim = 'org'",
            "tenant_prefix = 'org-'",
            "tenant = 'globex'",
            "tenants = {}",
            "tenants = { one = 'acme' }",
            "tenants = { two = 'acme' }",
            "groups_prefix = 'g-'",
            "groups = {}",
            "groups = { g = 'beta' }",
        ] {
            let print = print(&format!("{RULES}{more}"));
            assert!(!seen.contains(&print), "{more}");
            seen.push(print);
        }
    }

    #[test]
    fn the_lines_of_a_group_are_part_of_it_before_the_group_is_configured() {
        let (before, after) = (format!("{RULES}groups = {{ eng = 'beta' }}"), format!("{RULES}groups = {{ leads = 'beta' }}"));
        assert_ne!(print_of(&before, &[], &["beta"]), print_of(&after, &[], &["beta"]));
        assert_eq!(print_of(&before, &[], &["beta"]), print_of(&before, &["beta"], &[]), "the group is configured by now");
        assert_eq!(print_of(&before, &[], &["other"]), print_of(&after, &[], &["other"]));
    }

    #[test]
    fn keys_ages_and_the_lines_of_others_are_no_part_of_it() {
        let rules = format!("{RULES}{TABLES}");
        for more in [
            "key_set = { file = 'keys.json' }",
            "key_set_refresh_seconds = 60",
            "key_set_outage_seconds_max = 60",
            "token_lifetime_seconds_max = 60",
            "leeway_seconds = 1",
        ] {
            assert_eq!(print(&format!("{rules}{more}")), print(&rules), "{more}");
        }
        assert_eq!(
            print(&rules.replace("'acme'", "'acme', two = 'globex'").replace("'beta'", "'beta', h = 'gamma'")),
            print(&rules)
        );
        assert_ne!(print(&rules.replace("'acme'", "'globex'")), print(&rules));
        assert_ne!(print(&rules.replace("'beta'", "'gamma'")), print(&rules));
    }
}
