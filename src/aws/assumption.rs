//! What STS is told to make a session of a role, and STS's rules for it: the names of sessions, the keys and values of tags.
//! Rules: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::canonical::hex;

/// Session tags at most.
pub const TAGS_MAX: usize = 50;
/// Characters of a tag's key.
pub const TAG_KEY_CHARS_MAX: usize = 128;
/// Characters of a tag's value.
pub const TAG_VALUE_CHARS_MAX: usize = 256;

const SESSION_NAME_BYTES_MIN: usize = 2;
const SESSION_NAME_BYTES_MAX: usize = 64;
/// Hexadecimal digits that tell apart names of one readable part: enough that nobody who chooses a `sub` finds another's.
const DIGEST_DIGITS: usize = 16;

/// A role, as all sessions of it have it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// `arn:aws:iam::123456789012:role/bedrock`; its account is the account that is billed.
    pub arn: String,
    /// What the role's trust policy may ask for.
    pub external_id: Option<String>,
    /// How long a session lives.
    pub lifetime: Duration,
    /// Keys of tags that go on to sessions of further roles.
    pub transitive_tags: Vec<String>,
}

/// A session tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionTag {
    /// At most [`TAG_KEY_CHARS_MAX`].
    pub key: Arc<str>,
    /// At most [`TAG_VALUE_CHARS_MAX`].
    pub value: Arc<str>,
}

/// One AssumeRole call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumption {
    /// Of which role.
    pub role: Arc<Role>,
    /// What CloudTrail calls the session.
    pub session_name: String,
    /// What the bill and IAM conditions know it by.
    pub tags: Vec<SessionTag>,
}

/// A tenant's name as the name of a session, `[\w+=,.@-]{2,64}`: itself if it is one. One with `=` counts as none, so that no tenant can be
/// named like a principal's session.
pub fn tenant_session_name(tenant: &str) -> String {
    let fits = (SESSION_NAME_BYTES_MIN..=SESSION_NAME_BYTES_MAX).contains(&tenant.len());
    if fits && tenant.chars().all(is_plain) { tenant.to_owned() } else { digested(tenant, &[tenant]) }
}

/// A principal's name as the name of a session. Always with a digest of whose it is: tenants may share a role, issuers a subject, and a
/// `sub` may read like a tenant's name.
pub fn principal_session_name(tenant: &str, issuer: &str, subject: &str) -> String {
    digested(subject, &[tenant, issuer, subject])
}

/// What can be read of `name`, `=`, and a digest of `parts`, which say whose name it is.
fn digested(name: &str, parts: &[&str]) -> String {
    let mut digest = Context::new(&SHA256);
    for part in parts {
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    let mut hexadecimal = hex(digest.finish().as_ref());
    hexadecimal.truncate(DIGEST_DIGITS);
    let kept = name.chars().map(|c| if is_plain(c) { c } else { '-' });
    let kept: String = kept.take(SESSION_NAME_BYTES_MAX - DIGEST_DIGITS - 1).collect();
    format!("{kept}={hexadecimal}")
}

/// What STS takes in the name of a session, but for `=`.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_+,.@-".contains(c)
}

/// Whether STS takes this key of a tag: letters, digits and spaces of any language, `_.:/=+-@`; `aws:` is AWS's own.
pub fn is_tag_key(key: &str) -> bool {
    (1..=TAG_KEY_CHARS_MAX).contains(&key.chars().count())
        && key.chars().all(is_tag_char)
        && !key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"))
}

/// Whether STS takes this value of a tag.
pub fn is_tag_value(value: &str) -> bool {
    value.chars().count() <= TAG_VALUE_CHARS_MAX && value.chars().all(is_tag_char)
}

/// `[\p{L}\p{Z}\p{N}_.:/=+\-@]`, but of spaces the plain one, and of letters and numbers what Rust calls so: where STS knows better, it
/// makes no session.
fn is_tag_char(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tenants_that_sts_takes_keep_their_names() {
        for name in ["acme", "a.b@example.com", "a_b", "ci+1,2.3-4", &"x".repeat(64)] {
            assert_eq!(tenant_session_name(name), name);
        }
        for name in ["a", "a b", "a=b", "größe", &"x".repeat(65)] {
            assert_ne!(tenant_session_name(name), name);
        }
    }

    #[test]
    fn principals_are_told_apart_by_tenant_issuer_and_subject() {
        let alice = principal_session_name("acme", "corp", "alice");
        let (readable, digest) = alice.split_once('=').unwrap();
        assert_eq!((readable, digest.len()), ("alice", DIGEST_DIGITS));
        for (tenant, issuer, subject) in [("globex", "corp", "alice"), ("acme", "keys file", "alice"), ("acme", "corp", "Alice")]
        {
            assert_ne!(principal_session_name(tenant, issuer, subject), alice);
        }
        let name = |subject: &str| principal_session_name("acme", "corp", subject);
        assert!(name("system:serviceaccount:ns:app").starts_with("system-serviceaccount-ns-app="));
        assert_ne!(name("a b"), name("a:b"));
        let long = "x".repeat(65);
        assert_ne!(name(&long), name(&(long.clone() + "y")));
    }

    #[test]
    fn no_tenant_is_named_like_a_principal() {
        assert_ne!(principal_session_name("acme", "corp", "globex"), tenant_session_name("globex"));
        let alice = principal_session_name("acme", "corp", "alice");
        assert_ne!(tenant_session_name(&alice), alice);
        assert_ne!(principal_session_name("acme", "corp", &alice), alice);
    }

    #[test]
    fn tags_are_those_of_sts() {
        for key in ["tenant", "Cost Center", "größe", "a:b/c=d+e-f@g_h.i", &"k".repeat(128)] {
            assert!(is_tag_key(key), "{key}");
        }
        for key in ["", "aws:x", "AWS:x", "a*b", "a\tb", "a;b", &"k".repeat(129)] {
            assert!(!is_tag_key(key), "{key}");
        }
        assert!(is_tag_value("") && is_tag_value(&"ä".repeat(256)) && is_tag_value("日本"));
        assert!(!is_tag_value(&"v".repeat(257)) && !is_tag_value("a,b") && !is_tag_value("a\nb"));
    }

    proptest! {
        #[test]
        fn every_name_is_one_that_sts_takes_and_no_two_are_alike(
            owners in proptest::collection::hash_set(("[ab=]{0,2}|.{0,80}", "[ab=]{0,2}|.{0,80}", "[ab=]{0,2}|.{0,80}"), 1..40),
        ) {
            let tenants: HashSet<_> = owners.iter().flat_map(|(tenant, issuer, subject)| [tenant, issuer, subject]).collect();
            let of_tenants = tenants.iter().map(|tenant| tenant_session_name(tenant));
            let of_principals = owners.iter().map(|(tenant, issuer, subject)| principal_session_name(tenant, issuer, subject));
            let mut seen = HashSet::new();
            for made in of_tenants.chain(of_principals) {
                prop_assert!((2..=64).contains(&made.len()), "{made:?}");
                prop_assert!(made.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b)), "{made:?}");
                prop_assert!(seen.insert(made.clone()), "{made:?} twice");
            }
        }
    }
}
