//! Each rule by itself, what wins over what, and names that try to be taken for others.

mod demands;

use proptest::prelude::*;

use super::*;
use crate::bedrock::{Operation, Service, operations};

const HEAD: &str = "listeners = []\n[upstream]\nregion = \"us-east-1\"\n";
const ALL: &str = "models = [\"*\"]\nservices = [\"*\"]\noperations = [\"*\"]\n";
const NOVA: &str = "amazon.nova-lite-v1:0";
const APPLICATION: &str = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123";

/// Tenant `t`, with these lines in its section and what stands after them.
fn policy(tenant: &str) -> Policy {
    let config: Config = toml::from_str(&format!("{HEAD}[tenants.t]\n{tenant}")).unwrap_or_else(|e| panic!("{e}\n{tenant}"));
    Policy::new("t", &config.tenants["t"], &config, Arc::new(Profiles::new(&config.profiles))).unwrap()
}

fn operation(name: &str) -> Option<&'static Operation> {
    Some(operations().iter().find(|operation| operation.name == name).unwrap_or_else(|| panic!("{name}")))
}

/// The key of the line that refuses a model.
fn refuses(policy: &Policy, model: &str) -> Option<String> {
    policy.of_groups(&[]).check_model(model).err().map(|denial| denial.rule.key().to_owned())
}

fn groups(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn call(rights: &Rights<'_>, service: Service, name: &str) -> Result<(), PolicyDenial> {
    rights.check_operation(service, operation(name))
}

#[test]
fn nothing_is_allowed_that_is_not_written() {
    let policy = policy("");
    let rights = policy.of_groups(&[]);
    let denial = call(&rights, Service::Bedrock, "ListFoundationModels").unwrap_err();
    assert_eq!(denial.to_string(), "tenant t may not use bedrock: it is not in tenants.t.services");
    assert_eq!(refuses(&policy, NOVA).as_deref(), Some("tenants.t.models"));
    assert!(refuses(&policy, "").is_some());
    assert!(rights.restrict_models() && !rights.restrict_tiers());
}

#[test]
fn globs_match_whole_names() {
    let policy =
        policy("services = [\"bedrock-runtime\"]\noperations = [\"Converse*\"]\nmodels = [\"anthropic.claude-3-haiku-*\"]\n");
    let rights = policy.of_groups(&[]);
    assert!(call(&rights, Service::BedrockRuntime, "ConverseStream").is_ok());
    let denial = call(&rights, Service::BedrockRuntime, "InvokeModel").unwrap_err();
    assert_eq!(denial.to_string(), "tenant t may not call bedrock-runtime:InvokeModel: it is not in tenants.t.operations");
    assert!(call(&rights, Service::Bedrock, "Converse").is_err());
    assert_eq!(refuses(&policy, "anthropic.claude-3-haiku-20240307-v1:0"), None);
    for model in ["us.anthropic.claude-3-haiku-20240307-v1:0", "ANTHROPIC.claude-3-haiku-x", "xanthropic.claude-3-haiku-x"] {
        assert_eq!(refuses(&policy, model).as_deref(), Some("tenants.t.models"), "{model}");
    }
}

#[test]
fn an_arn_counts_as_the_id_it_stands_for() {
    let policy = policy("models = [\"us.amazon.nova-*\", \"anthropic.claude-3-haiku-20240307-v1:0\"]");
    for allowed in [
        "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
    ] {
        assert_eq!(refuses(&policy, allowed), None, "{allowed}");
    }
    let other = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-8";
    assert_eq!(refuses(&policy, other).as_deref(), Some("tenants.t.models"));
}

#[test]
fn an_opaque_name_is_refused_until_it_is_mapped_and_then_is_what_it_stands_for() {
    let unmapped = policy("models = [\"*\", \"arn:*\"]");
    for opaque in [
        APPLICATION,
        "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc",
        "arn:aws:bedrock:us-east-1:123456789012:imported-model/abc",
        "arn:aws:bedrock:us-east-1:123456789012:custom-model-deployment/abc",
        "arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:1",
        "arn:aws:bedrock:us-east-1:123456789012:default-prompt-router/anthropic.claude:1",
        "arn:aws:sagemaker:us-east-1:123456789012:endpoint/abc",
        "ARN:AWS:BEDROCK:US-EAST-1:123456789012:APPLICATION-INFERENCE-PROFILE/ABC123",
        "arn:foundation-model/amazon.nova-lite-v1:0",
    ] {
        assert_eq!(refuses(&unmapped, opaque).as_deref(), Some("profiles"), "{opaque}");
    }
    let mapped = format!("models = [\"us.amazon.nova-*\"]\n[profiles]\n\"{APPLICATION}\" = \"us.amazon.nova-pro-v1:0\"\n");
    let policy = policy(&mapped);
    assert_eq!(refuses(&policy, APPLICATION), None);
    assert_eq!(policy.profiles.stands_for(APPLICATION), "us.amazon.nova-pro-v1:0");
    for near in
        [APPLICATION.replace("abc123", "abc124"), APPLICATION.replace("123456789012", "210987654321"), APPLICATION.to_uppercase()]
    {
        assert_eq!(refuses(&policy, &near).as_deref(), Some("profiles"), "{near}");
    }
    let other = policy_of_mapped("models = [\"anthropic.*\"]");
    assert_eq!(refuses(&other, APPLICATION).as_deref(), Some("tenants.t.models"));
}

fn policy_of_mapped(tenant: &str) -> Policy {
    policy(&format!("{tenant}\n[profiles]\n\"{APPLICATION}\" = \"us.amazon.nova-pro-v1:0\"\n"))
}

#[test]
fn a_denied_model_is_denied_by_every_name_and_a_geography_apart_from_its_model() {
    let policy = policy_of_mapped("models = [\"*\"]\n[tenants.t.deny]\nmodels = [\"x\", \"amazon.nova-pro-*\", \"global.*\"]");
    for model in [
        "amazon.nova-pro-v1:0",
        "Amazon.Nova-Pro-v1:0",
        " amazon.nova-pro-v1:0 ",
        "us.amazon.nova-pro-v1:0",
        "nowhere-yet.amazon.nova-pro-v1:0",
        "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0",
        "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.amazon.nova-pro-v1:0",
        APPLICATION,
    ] {
        assert_eq!(refuses(&policy, model).as_deref(), Some("tenants.t.deny.models[1]"), "{model}");
    }
    assert_eq!(refuses(&policy, "global.amazon.nova-lite-v1:0").as_deref(), Some("tenants.t.deny.models[2]"));
    assert_eq!(
        refuses(&policy, "abcdefghijkl").as_deref(),
        Some("profiles"),
        "it may be nova-pro by a name of the account's own"
    );
    assert_eq!(refuses(&self::policy("models = [\"*\"]"), "abcdefghijkl"), None);
    for model in ["amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0"] {
        assert_eq!(refuses(&policy, model), None);
    }
    let denial = policy.of_groups(&[]).check_model("us.amazon.nova-pro-v1:0").unwrap_err();
    let words = "tenant t may not use the model us.amazon.nova-pro-v1:0: tenants.t.deny.models[1] denies it";
    assert_eq!((denial.to_string().as_str(), denial.reason()), (words, "model"));
}

#[test]
fn a_denied_model_is_denied_in_every_spelling_and_allowed_in_none_but_the_one_that_is_written() {
    const LONG: &str = "anthropic.claude-haiku-4-5-20251001-v1:0";
    let policy = |deny: &str| policy(&format!("models = [\"*\"]\n[tenants.t.deny]\nmodels = [\"x\", \"{deny}\"]"));
    let spellings =
        [LONG, "anthropic.claude-haiku-4-5-20251001-v1", "anthropic.claude-haiku-4-5-20251001", "anthropic.claude-haiku-4-5"];
    for denied in
        spellings.iter().chain(&["claude-haiku-4-5", "claude-haiku-*", "*.claude-haiku-*-v1:0", "Anthropic.Claude-Haiku-4-5"])
    {
        let policy = policy(denied);
        for asked in spellings.iter().chain(&["us.anthropic.claude-haiku-4-5", "ANTHROPIC.claude-haiku-4-5"]) {
            assert_eq!(refuses(&policy, asked).as_deref(), Some("tenants.t.deny.models[1]"), "{asked} where {denied} is denied");
        }
        assert_eq!(refuses(&policy, "anthropic.claude-sonnet-4-5"), None, "{denied}");
    }
    for (denied, asked) in [
        ("openai.gpt-oss-20b-1:0", "openai.gpt-oss-20b"),
        ("openai.gpt-oss-20b", "openai.gpt-oss-20b-1:0"),
        ("openai.gpt-oss-*-1:0", "openai.gpt-oss-20b"),
        ("openai.gpt-of-next-year-1:0", "openai.gpt-of-next-year"),
        ("anthropic.claude-of-next-year", "anthropic.claude-of-next-year-20280101-v1:0"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "us.anthropic.claude-haiku-4-5"),
        (NOVA, "amazon.nova-lite-v1:0:24k"),
        (NOVA, "Amazon.Nova-Lite-v1:0:24K"),
        (NOVA, "us.amazon.nova-lite-v1:0:300k"),
        (NOVA, "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0:300k"),
        ("claude-haiku-4-5", "anthropic.claude-haiku-4-5-20251001-v1:0:200k"),
        ("amazon.nova-of-next-year-v1:0", "amazon.nova-of-next-year-v1:0:mm"),
    ] {
        assert_eq!(
            refuses(&policy(denied), asked).as_deref(),
            Some("tenants.t.deny.models[1]"),
            "{asked} where {denied} is denied"
        );
    }
    let profile = policy("us.anthropic.claude-haiku-4-5-20251001-v1:0");
    assert_eq!(refuses(&profile, "anthropic.claude-haiku-4-5"), None, "a profile is denied apart from its model");
    for (denied, asked) in [
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
        ("anthropic.claude-of-next-year-20280101-v1:0", "anthropic.claude-of-next-year-20280601-v1:0"),
    ] {
        assert_eq!(refuses(&policy(denied), asked), None, "{asked} is another release than {denied}");
    }
    let strict = self::policy(&format!("models = [\"{LONG}\"]"));
    assert_eq!(refuses(&strict, "anthropic.claude-haiku-4-5").as_deref(), Some("tenants.t.models"));
}

#[test]
fn services_and_operations_can_be_denied_and_then_nothing_unknown_is_allowed() {
    let policy = policy(&format!("{ALL}[tenants.t.deny]\nservices = [\"bedrock-agent\"]\noperations = [\"Delete*\"]\n"));
    let rights = policy.of_groups(&[]);
    assert!(call(&rights, Service::Bedrock, "ListFoundationModels").is_ok());
    assert_eq!(call(&rights, Service::BedrockAgent, "ListAgents").unwrap_err().rule.key(), "tenants.t.deny.services[0]");
    assert_eq!(call(&rights, Service::Bedrock, "DeleteGuardrail").unwrap_err().rule.key(), "tenants.t.deny.operations[0]");
    assert_eq!(rights.check_operation(Service::Bedrock, None).unwrap_err().rule.key(), "tenants.t.deny.operations");
}

#[test]
fn unknown_operations_need_the_explicit_wildcard() {
    let unknown = |operations: &str| {
        policy(&format!("services = [\"*\"]\noperations = {operations}"))
            .of_groups(&[])
            .check_operation(Service::Bedrock, None)
            .is_ok()
    };
    assert!(unknown("[\"*\"]"));
    assert!(!unknown("[\"Un*\", \"U?known\", \"Unknown\"]"));
}

#[test]
fn regions_hold_the_endpoint_the_arn_and_the_geography_of_a_profile() {
    let europe = policy(&format!("{ALL}regions = [\"eu-*\", \"eu\"]"));
    let denial = call(&europe.of_groups(&[]), Service::BedrockRuntime, "Converse").unwrap_err();
    assert_eq!(denial.to_string(), "tenant t may not use the region us-east-1: it is not in tenants.t.regions");

    let policy = policy_of_mapped(&format!("{ALL}regions = [\"us-east-1\"]"));
    assert!(call(&policy.of_groups(&[]), Service::BedrockRuntime, "Converse").is_ok());
    for model in [NOVA, "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"] {
        assert_eq!(refuses(&policy, model), None);
    }
    for model in [
        "arn:aws:bedrock:us-west-2::foundation-model/amazon.nova-lite-v1:0",
        "us.amazon.nova-lite-v1:0",
        "global.amazon.nova-lite-v1:0",
        "nowhere-yet.amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0",
        APPLICATION,
    ] {
        assert_eq!(refuses(&policy, model).as_deref(), Some("tenants.t.regions"), "{model}");
    }
    let denial = policy.of_groups(&[]).check_model(APPLICATION).unwrap_err();
    assert!(denial.to_string().contains("the region us, where arn:aws:bedrock:us-east-1:"), "{denial}");
    assert_eq!(denial.reason(), "region");

    let no_global = self::policy(&format!("{ALL}[tenants.t.deny]\nregions = [\"global\"]"));
    assert_eq!(refuses(&no_global, "global.amazon.nova-lite-v1:0").as_deref(), Some("tenants.t.deny.regions[0]"));
    assert_eq!(refuses(&no_global, "us.amazon.nova-lite-v1:0"), None);
}

#[test]
fn every_tier_that_is_named_must_be_allowed_and_none_is_the_default() {
    let policy =
        policy(&format!("{ALL}service_tiers = [\"default\", \"flex\"]\n[tenants.t.deny]\nservice_tiers = [\"reserved\"]"));
    let rights = policy.of_groups(&[]);
    assert!(rights.restrict_tiers());
    assert!(rights.check_tiers([]).is_ok() && rights.check_tiers(["flex", "default"]).is_ok());
    assert_eq!(rights.check_tiers(["flex", "priority"]).unwrap_err().rule.key(), "tenants.t.service_tiers");
    assert_eq!(rights.check_tiers(["RESERVED"]).unwrap_err().rule.key(), "tenants.t.deny.service_tiers[0]");
    let no_default = self::policy(&format!("{ALL}service_tiers = [\"flex\"]"));
    assert!(no_default.of_groups(&[]).check_tiers([]).is_err());
}

#[test]
fn a_caller_comes_from_the_networks_that_are_named() {
    let policy = policy("allow_from = [\"10.0.0.0/8\", \"2001:db8::/32\"]");
    for inside in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7"] {
        assert!(policy.of_groups(&[]).check_source(inside.parse().ok()).is_ok(), "{inside}");
    }
    let denial = policy.of_groups(&[]).check_source("192.0.2.7".parse().ok()).unwrap_err();
    assert_eq!(denial.to_string(), "tenant t may not call from 192.0.2.7: it is not in tenants.t.allow_from");
    assert!(policy.of_groups(&[]).check_source(None).is_err());
    assert!(self::policy("").of_groups(&[]).check_source(None).is_ok());
}

#[test]
fn a_group_adds_to_its_tenants_and_what_either_denies_is_denied() {
    let policy = policy(
        "models = [\"amazon.*\"]\nservices = [\"bedrock-runtime\"]\noperations = [\"Converse\"]\nregions = [\"us-*\"]\n\
         [tenants.t.deny]\nmodels = [\"anthropic.claude-2*\"]\n\
         [groups.opus]\ntenants = [\"?\"]\nmodels = [\"anthropic.*\"]\noperations = [\"InvokeModel\"]\n\
         [groups.opus.deny]\nmodels = [\"amazon.titan-*\"]\n\
         [groups.others]\ntenants = [\"u*\"]\nmodels = [\"*\"]\nservices = [\"*\"]\noperations = [\"*\"]\n",
    );
    let nobody = policy.of_groups(&groups(&["others", "unheard-of"]));
    let member = groups(&["others", "opus"]);
    let member = policy.of_groups(&member);
    assert!(nobody.check_model(NOVA).is_ok() && nobody.check_model("amazon.titan-text").is_ok());
    let denial = nobody.check_model("anthropic.claude-3").unwrap_err();
    assert_eq!(denial.rule.to_string(), "it is not in tenants.t.models");
    assert!(call(&nobody, Service::BedrockRuntime, "InvokeModel").is_err());

    assert!(member.check_model(NOVA).is_ok() && member.check_model("anthropic.claude-3").is_ok());
    assert!(call(&member, Service::BedrockRuntime, "InvokeModel").is_ok());
    assert_eq!(member.check_model("anthropic.claude-2.1").unwrap_err().rule.key(), "tenants.t.deny.models[0]");
    assert_eq!(member.check_model("amazon.titan-text").unwrap_err().rule.key(), "groups.opus.deny.models[0]");
    let denial = member.check_model("meta.llama3").unwrap_err();
    assert_eq!(denial.rule.to_string(), "it is not in tenants.t.models or groups.opus.models");
    assert!(call(&member, Service::Bedrock, "GetGuardrail").is_err());
}

#[test]
fn names_that_are_no_bare_keys_are_quoted_in_key_paths() {
    let config: Config = toml::from_str(&format!("{HEAD}[tenants.\"a.b\"]\n")).unwrap();
    let policy = Policy::new("a.b", &config.tenants["a.b"], &config, Arc::default()).unwrap();
    assert_eq!(refuses(&policy, NOVA).as_deref(), Some("tenants.\"a.b\".models"));
}

#[test]
fn what_generates_has_the_guardrail_or_is_refused() {
    let policy = policy(&format!("{ALL}[tenants.t.guardrail]\nidentifier = \"gr-1\"\nversion = \"2\"\n"));
    let rights = policy.of_groups(&[]);
    let of = |service, name| rights.guardrail(service, operation(name));
    let (guardrail, _) = of(Service::BedrockRuntime, "Converse").unwrap().unwrap();
    assert!(of(Service::BedrockRuntime, "CountTokens").unwrap().is_none());
    let denial = of(Service::BedrockAgentRuntime, "InvokeAgent").unwrap_err();
    let words = "tenant t may not call bedrock-agent-runtime:InvokeAgent, for which no guardrail can be named: tenants.t.guardrail \
                 forbids it";
    assert_eq!(denial.to_string(), words);
    assert!(rights.guardrail(Service::BedrockRuntime, None).is_err(), "nobody knows whether it generates");

    let names = |identifiers: &[&str], versions: &[&str]| {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        rights.check_guardrail(guardrail, &owned(identifiers), &owned(versions)).is_ok()
    };
    assert!(names(&[], &[]) && names(&["gr-1"], &["2"]) && names(&["gr-1", "gr-1"], &[]));
    for (identifiers, versions) in [
        (&["gr-2"][..], &[][..]),
        (&["GR-1"], &[]),
        (&["gr-1", "gr-2"], &[]),
        (&["arn:aws:bedrock:us-east-1:210987654321:guardrail/gr-1"], &[]),
        (&["gr-1"], &["DRAFT"]),
        (&[], &["1"]),
        (&[""], &[]),
    ] {
        assert!(!names(identifiers, versions), "{identifiers:?} {versions:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_denied_is_denied_however_much_is_granted(model in "(us\\.|eu\\.)?(amazon|meta)\\.[a-c]{1,3}", deny in "[a-c]{0,2}") {
        let deny = format!("models = [\"*.{deny}*\"]");
        let text = format!("models = [\"*\"]\n[tenants.t.deny]\n{deny}\n[groups.g]\ntenants = [\"*\"]\nmodels = [\"*\"]\n");
        let alone = policy(&format!("models = []\n[groups.g]\ntenants = [\"*\"]\nmodels = [\"*\"]\n[groups.g.deny]\n{deny}\n"));
        let (both, member) = (policy(&text), groups(&["g"]));
        let denied = both.of_groups(&[]).check_model(&model).is_err();
        prop_assert_eq!(both.of_groups(&member).check_model(&model).is_err(), denied);
        prop_assert_eq!(alone.of_groups(&member).check_model(&model).is_err(), denied);
        let arn = format!("arn:aws:bedrock:us-east-1:1:inference-profile/{model}");
        prop_assert_eq!(both.of_groups(&member).check_model(&arn).is_err(), denied);
    }
}
