//! What groups demand of their members: it adds up, and no group is a way around another or around the tenant.

use std::net::IpAddr;

use proptest::{collection::vec, option, prelude::*};

use super::{ALL, groups, operation, policy};
use crate::{
    bedrock::Service,
    policy::{PolicyDenial, Rights},
};

fn from(rights: &Rights<'_>, address: &str) -> Result<(), PolicyDenial> {
    rights.check_source(Some(address.parse().unwrap()))
}

#[test]
fn a_member_comes_from_where_tenant_and_every_group_allow() {
    let policy = policy(
        "allow_from = [\"10.0.0.0/8\"]\n[groups.office]\ntenants = [\"*\"]\nallow_from = [\"10.1.0.0/16\", \"192.0.2.0/24\"]\n\
         [groups.lab]\ntenants = [\"*\"]\nallow_from = [\"10.1.2.0/24\"]\n[groups.open]\ntenants = [\"*\"]\n\
         [groups.elsewhere]\ntenants = [\"u\"]\nallow_from = [\"127.0.0.1\"]\n",
    );
    for (member, address, rule) in [
        (&[][..], "10.9.9.9", None),
        (&["open", "elsewhere"], "10.9.9.9", None),
        (&["office"], "10.1.9.9", None),
        (&["office"], "10.9.9.9", Some("groups.office.allow_from")),
        (&["office", "open"], "10.9.9.9", Some("groups.office.allow_from")),
        (&["office"], "192.0.2.7", Some("tenants.t.allow_from")),
        (&["lab", "office"], "10.1.2.3", None),
        (&["office", "lab"], "10.1.9.9", Some("groups.lab.allow_from")),
    ] {
        let member = groups(member);
        let denial = from(&policy.of_groups(&member), address).err();
        assert_eq!(denial.as_ref().map(|denial| denial.rule.key()), rule, "{member:?} {address}");
    }
    let member = groups(&["lab"]);
    let denial = policy.of_groups(&member).check_source(None).unwrap_err();
    assert_eq!(denial.to_string(), "tenant t may not call from an unknown address: it is not in tenants.t.allow_from");
}

#[test]
fn whoever_is_shut_out_by_tenant_or_group_stays_out_however_spelt() {
    let policy = policy(
        "deny.principals = [\"mallory\", \"*@left.example\"]\n[groups.beta]\ntenants = [\"*\"]\ndeny.principals = [\"eve\"]\n",
    );
    for (member, subject, line) in [
        (&[][..], "mallory", Some("tenants.t.deny.principals[0]")),
        (&[], "Mallory", Some("tenants.t.deny.principals[0]")),
        (&[], "ann@left.example", Some("tenants.t.deny.principals[1]")),
        (&[], "mallory2", None),
        (&[], "eve", None),
        (&["beta"], "eve", Some("groups.beta.deny.principals[0]")),
    ] {
        let member = groups(member);
        let denial = policy.of_groups(&member).check_principal(subject).err();
        assert_eq!(denial.as_ref().map(|denial| denial.rule.key()), line, "{member:?} {subject}");
    }
    let denial = policy.of_groups(&[]).check_principal("mallory").unwrap_err();
    assert_eq!(denial.to_string(), "tenant t may not be used by mallory: tenants.t.deny.principals[0] denies it");
}

#[test]
fn the_least_maximum_of_a_body_holds_and_is_named() {
    let policy = policy(
        "body_bytes_max = 500\n[groups.small]\ntenants = [\"*\"]\nbody_bytes_max = 100\n[groups.large]\ntenants = [\"*\"]\nbody_bytes_max = 900\n",
    );
    for (member, most, key) in [
        (&[][..], 500, "tenants.t.body_bytes_max"),
        (&["large"], 500, "tenants.t.body_bytes_max"),
        (&["large", "small"], 100, "groups.small.body_bytes_max"),
    ] {
        let member = groups(member);
        let rights = policy.of_groups(&member);
        assert_eq!((rights.body_bytes_max(1_000), rights.body_bytes_max(50)), (most, 50));
        assert!(rights.check_body(most).is_ok());
        let denial = rights.check_body(most + 1).unwrap_err();
        assert_eq!(denial.to_string(), format!("tenant t may not send a body of more than {most} bytes: {key} forbids it"));
    }
}

#[test]
fn a_groups_guardrail_binds_its_members_and_two_are_refused() {
    let policy = policy(&format!(
        "{ALL}[groups.one]\ntenants = [\"*\"]\nguardrail = {{ identifier = \"gr-1\", version = \"1\" }}\n\
         [groups.same]\ntenants = [\"*\"]\nguardrail = {{ identifier = \"gr-1\", version = \"1\", strict = true }}\n\
         [groups.two]\ntenants = [\"*\"]\nguardrail = {{ identifier = \"gr-1\", version = \"2\" }}\n[groups.open]\ntenants = [\"*\"]\n",
    ));
    let guardrail = |member: &[&str], name: &str| {
        let member = groups(member);
        let found = policy.of_groups(&member).guardrail(Service::BedrockRuntime, operation(name));
        found.map(|found| found.map(|(required, _)| (required.version().to_owned(), required.is_strict())))
    };
    let version = |version: &str, strict| Ok(Some((version.to_owned(), strict)));
    assert_eq!(guardrail(&["open"], "Converse"), Ok(None));
    assert_eq!(guardrail(&["one", "open"], "Converse"), version("1", false));
    assert_eq!(guardrail(&["one", "same"], "Converse"), version("1", true));
    assert_eq!(guardrail(&["one", "two"], "CountTokens"), Ok(None));
    let denial = guardrail(&["one", "same", "two"], "InvokeModel").unwrap_err();
    let words = "tenant t may not call bedrock-runtime:InvokeModel, which can name one guardrail: groups.one.guardrail and \
                 groups.two.guardrail cannot both be met";
    assert_eq!((denial.to_string().as_str(), denial.reason(), denial.rule.key()), (words, "guardrail", "groups.one.guardrail"));

    let member = groups(&["one", "same"]);
    let rights = policy.of_groups(&member);
    let (required, _) = rights.guardrail(Service::BedrockRuntime, operation("Converse")).unwrap().unwrap();
    assert_eq!(rights.check_narrowing(required, true).unwrap_err().rule.key(), "groups.same.guardrail.strict");
    let other = rights.check_guardrail(required, &["gr-2".to_owned()], &[]).unwrap_err();
    assert_eq!(other.to_string(), "tenant t may not name the guardrail gr-2: groups.one.guardrail forbids it");
    let denial = rights.guardrail(Service::BedrockAgentRuntime, operation("InvokeAgent")).unwrap_err();
    assert_eq!(denial.rule.key(), "groups.one.guardrail");
}

/// A network, a maximum, a guardrail's version and its strictness.
type Drawn = (Option<u8>, Option<u64>, Option<u8>, bool);

proptest! {
    /// Whatever a caller meets with some of its groups, it meets with all of them.
    #[test]
    fn to_be_in_one_more_group_is_never_a_way_around(
        demands in vec((option::of(0u8..4), option::of(1u64..5), option::of(1u8..3), any::<bool>()), 1..4),
        source in 0u8..4,
        bytes in 0u64..6,
    ) {
        let section = |(index, (net, body, version, strict)): (usize, &Drawn)| {
            let mut text = format!("[groups.g{index}]\ntenants = [\"*\"]\n");
            text += &net.map_or(String::new(), |net| format!("allow_from = [\"10.0.0.{net}\", \"10.0.0.{}\"]\n", (net + 1) % 4));
            text += &body.map_or(String::new(), |body| format!("body_bytes_max = {body}\n"));
            let guardrail = |v| format!("guardrail = {{ identifier = \"g\", version = \"{v}\", strict = {strict} }}\n");
            text + &version.map_or(String::new(), guardrail)
        };
        let text: String = demands.iter().enumerate().map(section).collect();
        let policy = policy(&format!("{ALL}{text}"));
        let names: Vec<String> = (0..demands.len()).map(|index| format!("g{index}")).collect();
        let all = groups(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let source = Some(IpAddr::from([10, 0, 0, source]));
        let guarded = |rights: &Rights<'_>| {
            let found = rights.guardrail(Service::BedrockRuntime, operation("Converse"));
            found.map(|found| found.map(|(required, _)| (required.version().to_owned(), required.is_strict())))
        };
        let rights = policy.of_groups(&all);
        for one in &all {
            let one = std::slice::from_ref(one);
            let alone = policy.of_groups(one);
            prop_assert!(alone.check_source(source).is_ok() || rights.check_source(source).is_err());
            prop_assert!(alone.check_body(bytes).is_ok() || rights.check_body(bytes).is_err());
            match (guarded(&alone), guarded(&rights)) {
                (Ok(Some((version, strict))), Ok(now)) => {
                    prop_assert!(now.is_some_and(|(v, s)| v == version && (s || !strict)));
                }
                (Ok(None), _) | (_, Err(_)) => {}
                (Err(e), Ok(now)) => prop_assert!(false, "{e} {now:?}"),
            }
        }
    }
}
