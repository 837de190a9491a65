//! STS's Query API, as far as it is here: parameters in, and errors in its words.
//!
//! <https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html>

use super::{VendError, assume_role::AssumeRole, form::Form, xml::Xml};
use crate::{auth::IdentityError, aws::SignatureError, proxy::Denial};

pub(super) const CONTENT_TYPE: &str = "text/xml";

/// What was asked for.
pub(super) enum Asked {
    /// Credentials for a token.
    AssumeRole(AssumeRole),
    /// Who the caller is.
    CallerIdentity,
}

impl Asked {
    /// Reads the query and the body of a POST.
    pub fn parse(query: &str, body: &[u8]) -> Result<Asked, VendError> {
        let mut form = Form::default();
        form.add(query.as_bytes())?;
        if form.has("WebIdentityToken") {
            return Err(VendError::TokenInQuery);
        }
        form.add(body)?;
        match form.take("Action").as_deref() {
            Some("AssumeRoleWithWebIdentity") => AssumeRole::parse(form).map(Asked::AssumeRole),
            Some("GetCallerIdentity") => Ok(Asked::CallerIdentity),
            _ => Err(VendError::Action),
        }
    }
}

/// The answer that SDKs make an exception of. STS answers 400 to bad web identity tokens, and SDKs try again what they cannot tell.
pub(super) fn refusal(denial: &Denial, request_id: &str) -> (u16, String) {
    let verdict = denial.verdict();
    let (status, code) = match denial {
        Denial::Identity(error) if error.is_expired() => (400, "ExpiredTokenException"),
        Denial::Identity(error) if error.is_unavailable() => (400, "IDPCommunicationError"),
        Denial::Identity(_) => (400, "InvalidIdentityToken"),
        Denial::Vend(VendError::Caller(error)) => unidentified(error),
        Denial::UnknownTenant => (403, "AccessDenied"),
        Denial::Vend(VendError::Action) => (400, "InvalidAction"),
        Denial::Vend(VendError::Sealing(_)) => (500, "InternalFailure"),
        _ if verdict.status >= 500 => (verdict.status, "ServiceUnavailable"),
        _ => (verdict.status, "ValidationError"),
    };
    let mut xml = Xml::new("ErrorResponse");
    xml.within("Error", |xml| {
        xml.text("Type", if status < 500 { "Sender" } else { "Receiver" });
        xml.text("Code", code);
        xml.text("Message", &denial.to_string());
    });
    xml.text("RequestId", request_id);
    (status, xml.end("ErrorResponse"))
}

/// Of a caller whose own credentials are not good.
fn unidentified(error: &IdentityError) -> (u16, &'static str) {
    match error {
        error if error.is_expired() => (403, "ExpiredToken"),
        error if error.is_missing() => (403, "MissingAuthenticationToken"),
        error if error.is_unavailable() => (503, "ServiceUnavailable"),
        IdentityError::Signature(SignatureError::Incomplete(_)) => (400, "IncompleteSignature"),
        IdentityError::Signature(_) => (403, "SignatureDoesNotMatch"),
        _ => (403, "InvalidClientTokenId"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const GOOD: &str = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fp%2Fr\
                        &RoleSessionName=me&WebIdentityToken=a.b.c";

    #[test]
    fn what_sdks_send_is_read() {
        let Asked::AssumeRole(asked) = Asked::parse("", format!("{GOOD}&DurationSeconds=900").as_bytes()).unwrap() else {
            panic!("another action")
        };
        assert_eq!((asked.token.as_str(), asked.lifetime), ("a.b.c", Some(Duration::from_secs(900))));
        assert_eq!(asked.assumed_role_arn(), "arn:aws:sts::1:assumed-role/r/me");
        let (action, rest) = GOOD.split_once('&').unwrap();
        assert!(Asked::parse(action, rest.as_bytes()).is_ok());
    }

    #[test]
    fn what_is_missing_twice_or_malformed_is_refused() {
        for (from, to) in [
            ("AssumeRoleWithWebIdentity", "AssumeRole"),
            ("WebIdentityToken=a.b.c", ""),
            ("WebIdentityToken=a.b.c", "WebIdentityToken="),
            ("WebIdentityToken=a.b.c", "WebIdentityToken=a&WebIdentityToken=a"),
            ("RoleSessionName=me", "RoleSessionName=m"),
            ("RoleSessionName=me", "RoleSessionName=%3Cb%3E"),
            ("iam", "sts"),
            ("role%2Fp%2Fr", "role%2F"),
            ("&Version", "&Policy={}&Version"),
            ("&Version", "&PolicyArns.member.1.arn=arn%3Aaws%3Aiam%3A%3Aaws%3Apolicy%2FReadOnlyAccess&Version"),
            ("&Version", "&DurationSeconds=899&Version"),
            ("&Version", "&DurationSeconds=1h&Version"),
        ] {
            assert!(Asked::parse("", GOOD.replace(from, to).as_bytes()).is_err(), "{from} → {to}");
        }
        assert!(matches!(Asked::parse(GOOD, b""), Err(VendError::TokenInQuery)));
        assert!(matches!(Asked::parse("", b"Version=2011-06-15&Action=GetCallerIdentity"), Ok(Asked::CallerIdentity)));
    }
}
