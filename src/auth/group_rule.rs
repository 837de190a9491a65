//! Which groups a caller is in: from an issuer's rule and a token's claims to the groups that the configuration knows. Of all
//! others eight bytes are left, so that a token in hundreds of them costs little later. What a group may is asked later.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{claims::Unverified, error::IdentityError, principal::GroupPrint};
use crate::config;

/// The groups of a caller.
#[derive(Debug, Default)]
pub struct Groups {
    /// Those that the configuration knows.
    pub known: Vec<Arc<str>>,
    /// All others.
    pub others: Vec<GroupPrint>,
}

/// How an issuer's tokens name groups.
#[derive(Debug)]
pub struct GroupRule {
    claim: Option<String>,
    prefix: Option<String>,
    table: Option<BTreeMap<String, String>>,
}

impl GroupRule {
    /// The rule as configured. `check` refuses a table with a prefix.
    pub fn of(issuer: &config::Issuer) -> GroupRule {
        let config::Issuer { groups_claim, groups_prefix, groups, .. } = issuer;
        GroupRule { claim: groups_claim.clone(), prefix: groups_prefix.clone(), table: groups.clone() }
    }

    /// The groups that the token names, each once, those that are known apart. A token without the claim is in none, unless it says that
    /// the claim is elsewhere.
    ///
    /// # Errors
    /// The claim is neither a string nor an array of strings, or it is elsewhere: nobody can tell what would be denied.
    pub fn groups(&self, claims: &Unverified, known: &BTreeSet<String>) -> Result<Groups, IdentityError> {
        let Some(claim) = &self.claim else { return Ok(Groups::default()) };
        let values = match claims.texts(claim) {
            Err(IdentityError::ClaimMissing(name)) if claims.is_elsewhere(claim) => {
                return Err(IdentityError::ClaimElsewhere(name));
            }
            Err(IdentityError::ClaimMissing(_)) => return Ok(Groups::default()),
            values => values?,
        };
        let named = values.into_iter().filter_map(|value| self.group(value));
        let (named, others): (BTreeSet<&str>, BTreeSet<&str>) = named.partition(|group| known.contains(*group));
        Ok(Groups { known: named.into_iter().map(Arc::from).collect(), others: others.into_iter().map(GroupPrint::of).collect() })
    }

    fn group<'a>(&'a self, value: &'a str) -> Option<&'a str> {
        match (&self.table, &self.prefix) {
            (Some(table), _) => table.get(value).map(String::as_str),
            (None, Some(prefix)) => value.strip_prefix(prefix.as_str()),
            (None, None) => Some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(rule: &str, claims: &str) -> Result<Vec<String>, IdentityError> {
        let issuer: config::Issuer = toml::from_str(&format!("issuer = \"i\"\naudiences = []\n{rule}")).unwrap();
        let known = ["opus", "beta"].map(str::to_owned).into();
        let groups = GroupRule::of(&issuer).groups(&Unverified::parse(claims.as_bytes()).unwrap(), &known)?;
        Ok(groups.known.iter().map(|group| group.to_string()).collect())
    }

    #[test]
    fn known_groups_are_named_by_the_claim_its_rest_or_the_table() {
        let claims = r#"{"groups":["opus","x","opus","ai-beta"],"realm":{"roles":"beta"}}"#;
        for (rule, expected) in [
            ("", &[][..]),
            ("groups_claim = \"groups\"", &["opus"]),
            ("groups_claim = \"groups\"\ngroups_prefix = \"ai-\"", &["beta"]),
            ("groups_claim = \"groups\"\ngroups = { x = \"beta\", \"ai-beta\" = \"gone\" }", &["beta"]),
            ("groups_claim = \"groups\"\ngroups = {}", &[]),
            ("groups_claim = \"/realm/roles\"", &["beta"]),
            ("groups_claim = \"absent\"", &[]),
        ] {
            assert_eq!(groups(rule, claims).unwrap(), expected, "{rule}");
        }
    }

    #[test]
    fn a_claim_that_nobody_can_read_refuses_the_token() {
        for claims in [r#"{"groups":1}"#, r#"{"groups":["opus",1]}"#, r#"{"groups":{"opus":true}}"#, r#"{"groups":null}"#] {
            assert!(matches!(groups("groups_claim = \"groups\"", claims), Err(IdentityError::ClaimInvalid(_))), "{claims}");
        }
    }
    #[test]
    fn groups_that_are_elsewhere_refuse_the_token() {
        const ENTRA: &str =
            r#"{"_claim_names":{"groups":"src1"},"_claim_sources":{"src1":{"endpoint":"https://graph.example"}}}"#;
        for (claim, claims) in [
            ("groups", ENTRA),
            ("/groups", ENTRA),
            ("/realm/roles", r#"{"_claim_names":{"realm":"src1"}}"#),
            ("groups", r#"{"_claim_names":"groups"}"#),
            ("groups", r#"{"hasgroups":true}"#),
            ("groups", r#"{"hasgroups":"true"}"#),
        ] {
            let groups = groups(&format!("groups_claim = \"{claim}\""), claims);
            assert_eq!(groups, Err(IdentityError::ClaimElsewhere(claim.into())), "{claims}");
        }
        for (claim, claims) in [
            ("roles", ENTRA),
            ("roles", r#"{"hasgroups":true}"#),
            ("groups", r#"{"hasgroups":false}"#),
            ("groups", r#"{"_claim_names":{"address":"src1"}}"#),
        ] {
            assert_eq!(groups(&format!("groups_claim = \"{claim}\""), claims), Ok(Vec::new()), "{claims}");
        }
        assert_eq!(groups("", ENTRA), Ok(Vec::new()), "nobody asks for groups");
    }
}
