//! GetCallerIdentity: who the gateway takes a caller for, in the form AWS has for it. The account is nobody's: the gateway's own is none of
//! the caller's business.
//!
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>

use super::xml::Xml;
use crate::{auth::Principal, aws::endpoint::arn_partition};

/// Twelve digits, as tools expect, and no account of AWS.
const ACCOUNT: &str = "000000000000";

/// Of a session's name in AWS.
const SESSION_NAME_CHARS_MAX: usize = 64;

/// The answer that SDKs read: the tenant stands where AWS has the role, issuer and subject where it has the id.
pub(super) fn answer(principal: &Principal, region: &str, request_id: &str) -> String {
    let Principal { issuer, subject, tenant, .. } = principal;
    let mut xml = Xml::new("GetCallerIdentityResponse");
    xml.within("GetCallerIdentityResult", |xml| {
        let (partition, session) = (arn_partition(region), session_name(subject));
        xml.text("Arn", &format!("arn:{partition}:sts::{ACCOUNT}:assumed-role/{tenant}/{session}"));
        xml.text("UserId", &format!("{issuer}:{subject}"));
        xml.text("Account", ACCOUNT);
    });
    xml.within("ResponseMetadata", |xml| xml.text("RequestId", request_id));
    xml.end("GetCallerIdentityResponse")
}

/// A subject in the characters of ARNs, which tools take apart at `/` and `:`.
fn session_name(subject: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_+=,.@-".contains(c) { c } else { '-' };
    subject.chars().take(SESSION_NAME_CHARS_MAX).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Proof;

    #[test]
    fn arns_are_whole_whatever_the_subject_is() {
        let principal = |subject: &str| Principal {
            issuer: "corp".into(),
            subject: subject.into(),
            tenant: "acme".into(),
            groups: Vec::new(),
            other_groups: Vec::new(),
            expires_at: Principal::never(),
            proof: Proof::Token,
            tags: Vec::new(),
        };
        let xml = answer(&principal("spiffe://a/<b> c"), "us-gov-west-1", "id-1");
        for part in [
            "<Arn>arn:aws-us-gov:sts::000000000000:assumed-role/acme/spiffe---a--b--c</Arn>",
            "<UserId>corp:spiffe://a/&lt;b&gt; c</UserId>",
            "<Account>000000000000</Account>",
            "<ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata>",
        ] {
            assert!(xml.contains(part), "{part} in {xml}");
        }
        let long = answer(&principal(&"x".repeat(256)), "us-east-1", "");
        assert!(long.contains(&format!("/{}</Arn>", "x".repeat(64))), "{long}");
    }
}
