//! What tenants and groups may, `[profiles]`, and the groups of issuers.

use super::{GOOD, examined, only_problem};

#[test]
fn regions_and_geographies_that_there_are_are_nobodys_slip() {
    for place in ["eu-central-1", "us-gov-*", "*-1", "global", "us", "jp", "??", "ap*"] {
        let text = GOOD.replace("[tenants.acme]", &format!("[tenants.acme.deny]\nregions = [\"{place}\"]\n[tenants.acme]"));
        assert_eq!(examined(&text).to_string(), "", "{place}");
    }
}

#[test]
fn rules_that_nothing_meets_are_found_where_they_stand() {
    let tenant = "services = [\"*\"]";
    let group = "\n[keys]\nfile = \"keys.toml\"\n[groups.beta]\ntenants = [\"acme\"]\n";
    let application = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
    for (from, to, path, words) in [
        (tenant, "services = [\"*\"]\nregions = []".to_owned(), "tenants.acme.regions", "allowed nothing"),
        (
            tenant,
            "services = [\"*\"]\nregions = [\"us-east-1a\", \"*\"]".to_owned(),
            "tenants.acme.regions[0]",
            "neither a region nor",
        ),
        (
            tenant,
            "services = [\"*\"]\nregions = [\"eu-*\", \"eu\"]".to_owned(),
            "tenants.acme.regions",
            "`us-east-1`, is not among them",
        ),
        (
            tenant,
            "services = [\"*\"]\nregions = [\"*\", \"us-esat-1\"]".to_owned(),
            "tenants.acme.regions[1]",
            "did you mean `us-east-1`?",
        ),
        (
            "[tenants.acme]",
            "[tenants.acme.deny]\nregions = [\"gloabl\"]\n[tenants.acme]".to_owned(),
            "tenants.acme.deny.regions[0]",
            "did you mean `global`?",
        ),
        (
            "[tenants.acme]",
            "[tenants.acme.deny]\nregions = [\"e-*\"]\n[tenants.acme]".to_owned(),
            "tenants.acme.deny.regions[0]",
            "`e-*` matches no region",
        ),
        (tenant, "services = [\"*\"]\nservice_tiers = [\"fast\"]".to_owned(), "tenants.acme.service_tiers[0]", "no service tier"),
        (tenant, "services = [\"*\"]\nallow_from = [\"10.0.0.1/8\"]".to_owned(), "tenants.acme.allow_from[0]", "bits beyond"),
        (tenant, "services = [\"*\"]\nallow_from = []".to_owned(), "tenants.acme.allow_from", "nobody could call"),
        (
            "[tenants.acme]",
            format!("{group}allow_from = [\"10.0.0.1/8\"]\n[tenants.acme]"),
            "groups.beta.allow_from[0]",
            "bits beyond",
        ),
        ("[tenants.acme]", format!("{group}body_bytes_max = 0\n[tenants.acme]"), "groups.beta.body_bytes_max", "refuse every"),
        (
            "[tenants.acme]",
            format!("{group}guardrail = {{ identifier = \"a\", version = \"01\" }}\n[tenants.acme]"),
            "groups.beta.guardrail.version",
            "not a version",
        ),
        (
            "[tenants.acme]",
            format!(
                "{group}guardrail = {{ identifier = \"a\", version = \"2\" }}\n[tenants.acme]\n\
                 guardrail = {{ identifier = \"a\", version = \"1\" }}"
            ),
            "groups.beta.guardrail",
            "not that of `tenants.acme.guardrail`",
        ),
        (tenant, "services = [\"*\"]\nbody_bytes_max = 0".to_owned(), "tenants.acme.body_bytes_max", "refuse every body"),
        (tenant, "services = [\"*\"]\nbody_bytes_max = 30_000_000".to_owned(), "tenants.acme.body_bytes_max", "25000000"),
        (
            tenant,
            "services = [\"*\"]\nguardrail = { identifier = \"a\\\"b\", version = \"1\" }".to_owned(),
            "tenants.acme.guardrail.identifier",
            "not a guardrail's id",
        ),
        (
            tenant,
            "services = [\"*\"]\nguardrail = { identifier = \"ab\", version = \"draft\" }".to_owned(),
            "tenants.acme.guardrail.version",
            "not a version",
        ),
        (tenant, "services = [\"*\"]\ndeny = { models = [\"\"] }".to_owned(), "tenants.acme.deny.models[0]", "denies nothing"),
        (
            tenant,
            "services = [\"*\"]\ndeny = { services = [\"bedrok\"] }".to_owned(),
            "tenants.acme.deny.services[0]",
            "did you mean",
        ),
        (
            tenant,
            "services = [\"*\"]\ndeny = { operations = [\"Convers\"] }".to_owned(),
            "tenants.acme.deny.operations[0]",
            "matches no operation",
        ),
        (
            "[tenants.acme]",
            "[keys]\nfile = \"k\"\n[groups.beta]\nmodels = [\"*\"]\n[tenants.acme]".to_owned(),
            "groups.beta.tenants",
            "counts for nobody",
        ),
        (
            "[tenants.acme]",
            "[keys]\nfile = \"k\"\n[groups.beta]\ntenants = [\"acne\"]\n[tenants.acme]".to_owned(),
            "groups.beta.tenants[0]",
            "did you mean `acme`",
        ),
        (
            "[tenants.acme]",
            group.replacen("[keys]\nfile = \"keys.toml\"", "", 1) + "[tenants.acme]",
            "groups",
            "no issuer has `groups_claim`",
        ),
        (
            tenant,
            "services = [\"*\"]\nguardrail = { identifier = \"arn:foo\", version = \"1\" }".to_owned(),
            "tenants.acme.guardrail.identifier",
            "not a guardrail's id",
        ),
        (
            "[tenants.acme]",
            "[profiles]\n\"us.amazon.nova-lite-v1:0\" = \"amazon.nova-pro-v1:0\"\n[tenants.acme]".to_owned(),
            "profiles.\"us.amazon.nova-lite-v1:0\"",
            "says itself",
        ),
        (
            "[tenants.acme]",
            format!("[profiles]\n\"{application}\" = \"{application}\"\n[tenants.acme]"),
            &format!("profiles.\"{application}\""),
            "nothing about what it stands for either",
        ),
        ("[issuers.corporate]", "[issuers.corporate]\ngroups_claim = \"\"".to_owned(), "issuers.corporate.groups_claim", "empty"),
        (
            "[issuers.corporate]",
            "[issuers.corporate]\ngroups_prefix = \"x\"".to_owned(),
            "issuers.corporate.groups_prefix",
            "no claim",
        ),
        (
            "[issuers.corporate]",
            "[issuers.corporate]\ngroups_claim = \"g\"\ngroups = { a = \"beta\" }".to_owned(),
            "issuers.corporate.groups.a",
            "there is no group `beta`",
        ),
    ] {
        let (_, _, at, text) = only_problem(from, &to);
        assert_eq!(at, path);
        assert!(text.contains(words), "{words}: {text}");
    }
    // What a group grants, its tenants need not.
    let granted =
        GOOD.replace("models = [\"*\"]\n", "").replace("[tenants.acme]", &format!("{group}models = [\"*\"]\n[tenants.acme]"));
    assert_eq!(examined(&granted).to_string(), "");
    let both = format!("groups_claim = \"g\"\ngroups_prefix = \"x\"\ngroups = {{ a = \"beta\" }}\n{group}");
    let both = examined(&GOOD.replace("[tenants.acme]", &format!("{both}[tenants.acme]")));
    let paths: Vec<_> = both.errors().map(|problem| problem.key_path.as_str()).collect();
    assert_eq!(paths, ["issuers.corporate.groups_prefix"]);
}

#[test]
fn no_tenant_has_the_name_that_metrics_give_to_nobody() {
    for name in [crate::telemetry::NONE, "other"] {
        let (_, _, path, words) = only_problem("[tenants.acme]", &format!("[tenants.{name}]"));
        assert_eq!(path, format!("tenants.{name}"), "{words}");
        assert!(words.contains("is what metrics call those who have no name there"), "{words}");
    }
}
