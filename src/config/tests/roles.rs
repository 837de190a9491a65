//! `[roles]`, a tenant's own, and `[request_metadata]`.

use std::path::Path;

use super::{
    super::{RoleOfTenant, parse},
    GOOD, examined,
};

const ROLES: &str = "[roles]\narn = \"arn:aws:iam::123456789012:role/tenants\"\nexternal_id = \"shared\"\n\
    claim_tags = { team = \"department\", \"Cost Center\" = \"/billing/center\" }\ntransitive_tags = [\"tenant\", \"team\"]\n";
const OWN: &str = "[tenants.globex]\nmodels = [\"*\"]\nservices = [\"*\"]\noperations = [\"*\"]\n[tenants.globex.role]\n";

#[test]
fn values_that_sts_would_refuse_are_found() {
    assert_eq!(examined(&format!("{GOOD}{ROLES}")).to_string(), "");
    for (from, to, path, words) in [
        ("123456789012", "12345", "roles.arn", "not the ARN"),
        ("role/tenants", "user/tenants", "roles.arn", "not the ARN"),
        ("\"shared\"", "\"a b\"", "roles.external_id", "not an external id"),
        ("\"Cost Center\"", "\"aws:cost\"", "roles.claim_tags.\"aws:cost\"", "not a key"),
        ("\"Cost Center\"", "Tenant", "roles.claim_tags.Tenant", "the gateway's own tag"),
        ("\"Cost Center\"", "TEAM", "roles.claim_tags.team", "another tag"),
        ("\"department\"", "\"\"", "roles.claim_tags.team", "empty"),
        ("[\"tenant\", \"team\"]", "[\"tenant\", \"Team\"]", "roles.transitive_tags[1]", "not a tag"),
        ("[roles]\n", "[roles]\nduration_seconds = 0\n", "roles.duration_seconds", "not a duration"),
        ("[roles]\n", "[roles]\nduration_seconds = 43201\n", "roles.duration_seconds", "not a duration"),
        ("[roles]\n", "[roles]\nduration_seconds = 60\n", "roles.duration_seconds", "so short"),
        ("[roles]\n", "[roles]\nduration_seconds = 7200\n", "roles.duration_seconds", "longer than"),
        ("[roles]\n", "[roles]\nsts_endpoint = \"http://sts.example\"\n", "roles.sts_endpoint", "plaintext"),
        ("[roles]\n", "[roles]\nsts_region = \"us\"\n", "roles.sts_region", "not the name"),
        ("[roles]\n", "[roles]\nwait_seconds_max = 0\n", "roles.wait_seconds_max", "0 would"),
        ("[roles]\n", "[roles]\nsessions_per_tenant_max = 0\n", "roles.sessions_per_tenant_max", "0 would"),
        ("[roles]\n", "[request_metadata]\ntenant_key = \"a*b\"\n[roles]\n", "request_metadata.tenant_key", "not a key"),
    ] {
        assert!(ROLES.contains(from), "{from}");
        let problems = examined(&format!("{GOOD}{}", ROLES.replacen(from, to, 1)));
        let found: Vec<_> = problems.iter().map(|problem| (problem.key_path.as_str(), problem.message.as_str())).collect();
        assert!(matches!(found.as_slice(), [(at, message)] if *at == path && message.contains(words)), "{to}: {found:?}");
    }
}

#[test]
fn a_tenants_role_without_an_arn_anywhere_is_found() {
    let problems = examined(&format!("{GOOD}{OWN}per_principal = true\n"));
    assert!(problems.to_string().contains("no role"), "{problems}");
}

#[test]
fn settings_of_roles_that_nobody_has_are_warned_of() {
    let own = format!("{OWN}arn = \"arn:aws:iam::123456789012:role/own\"\n");
    for (text, warned) in [
        ("[roles]\n", &[][..]),
        ("[roles]\nexternal_id = \"shared\"\n", &["roles"]),
        ("[roles]\nper_principal = true\nclaim_tags = { team = \"department\" }\n", &["roles"]),
        (&format!("[roles]\nper_principal = true\n{own}"), &[]),
        (&format!("[roles]\nexternal_id = \"shared\"\n{own}"), &["roles.external_id"]),
    ] {
        let problems = examined(&format!("{GOOD}{text}"));
        assert_eq!(problems.warnings().map(|problem| problem.key_path.as_str()).collect::<Vec<_>>(), warned, "{text}");
        assert_eq!(problems.errors().count(), 0, "{problems}");
    }
}

#[test]
fn a_tenants_own_role_is_the_shared_one_but_for_what_it_says() {
    let role = |own: &str, tenant: &str| {
        let text = format!("{GOOD}{ROLES}{OWN}{own}");
        let config = parse(&text, Path::new("t.toml")).unwrap_or_else(|problems| panic!("{problems}"));
        config.roles.of(&config.tenants[tenant])
    };
    let shared = RoleOfTenant {
        arn: "arn:aws:iam::123456789012:role/tenants".to_owned(),
        external_id: Some("shared".to_owned()),
        per_principal: false,
        duration_seconds: 3_600,
    };
    assert_eq!(role("", "acme"), Some(shared.clone()));
    assert_eq!(role("", "globex"), Some(shared.clone()));
    let by_principal = RoleOfTenant { per_principal: true, duration_seconds: 900, ..shared.clone() };
    assert_eq!(role("per_principal = true\nduration_seconds = 900\n", "globex"), Some(by_principal));
    let arn = "arn:aws:iam::999999999999:role/team/globex".to_owned();
    let other = RoleOfTenant { arn, external_id: None, ..shared };
    assert_eq!(role("arn = \"arn:aws:iam::999999999999:role/team/globex\"\n", "globex"), Some(other));
    let config = parse(GOOD, Path::new("t.toml")).unwrap();
    assert_eq!(config.roles.of(&config.tenants["acme"]), None);
}
