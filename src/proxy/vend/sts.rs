//! AssumeRoleWithWebIdentity of STS's Query API: parameters in, XML out. The role is echoed and means nothing: which tenant it is says
//! the token.
//!
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>

use std::{fmt::Write, time::Duration};

use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::{VendError, form::Form};
use crate::{
    auth::{Principal, SessionCredentials},
    proxy::Denial,
};

pub(super) const CONTENT_TYPE: &str = "text/xml";

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// What STS allows to ask for, in seconds.
const DURATION_SECONDS: std::ops::RangeInclusive<u64> = 900..=43_200;

/// What was asked for.
pub(super) struct Asked {
    pub token: String,
    /// At most.
    pub lifetime: Option<Duration>,
    role_arn: String,
    session_name: String,
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
        if form.take("Action").as_deref() != Some("AssumeRoleWithWebIdentity") {
            return Err(VendError::Action);
        }
        let mut needed = |name| form.take(name).filter(|value| !value.is_empty()).ok_or(VendError::Parameter(name));
        let token = needed("WebIdentityToken")?;
        let role_arn = needed("RoleArn").and_then(|arn| checked("RoleArn", arn, is_role_arn))?;
        let session_name = needed("RoleSessionName").and_then(|name| checked("RoleSessionName", name, is_session_name))?;
        let lifetime = form.take("DurationSeconds").map(|text| {
            let seconds = text.parse().ok().filter(|seconds| DURATION_SECONDS.contains(seconds));
            seconds.map(Duration::from_secs).ok_or(VendError::Parameter("DurationSeconds"))
        });
        // Whoever narrows the session down must not believe that it is narrow.
        if form.has("Policy") {
            return Err(VendError::Parameter("Policy"));
        }
        Ok(Asked { token, lifetime: lifetime.transpose()?, role_arn, session_name })
    }

    /// The answer that SDKs read.
    pub fn answer(&self, principal: &Principal, credentials: &SessionCredentials, request_id: &str) -> String {
        let SessionCredentials { access_key_id, secret_access_key, session_token, expires_at } = credentials;
        let expiration = Timestamp::try_from(*expires_at).unwrap_or_default().to_string();
        let mut xml = Xml::new("AssumeRoleWithWebIdentityResponse");
        xml.within("AssumeRoleWithWebIdentityResult", |xml| {
            xml.within("Credentials", |xml| {
                xml.text("AccessKeyId", access_key_id);
                xml.text("SecretAccessKey", secret_access_key.expose_secret());
                xml.text("SessionToken", session_token.expose_secret());
                xml.text("Expiration", &expiration);
            });
            xml.text("SubjectFromWebIdentityToken", &principal.subject);
            xml.within("AssumedRoleUser", |xml| {
                xml.text("Arn", &self.assumed_role_arn());
                xml.text("AssumedRoleId", &format!("{access_key_id}:{}", self.session_name));
            });
            xml.text("Provider", &principal.issuer);
        });
        xml.within("ResponseMetadata", |xml| xml.text("RequestId", request_id));
        xml.end("AssumeRoleWithWebIdentityResponse")
    }

    /// `arn:aws:iam::1:role/path/name` becomes `arn:aws:sts::1:assumed-role/name/session`.
    fn assumed_role_arn(&self) -> String {
        let role = self.role_arn.replacen(":iam:", ":sts:", 1);
        let (account, name) = role.split_once(":role/").unwrap_or((&role, ""));
        let name = name.rsplit('/').next().unwrap_or_default();
        format!("{account}:assumed-role/{name}/{}", self.session_name)
    }
}

/// The answer that SDKs make an exception of. STS answers 400 to bad tokens, and SDKs try again what they cannot tell.
pub(super) fn refusal(denial: &Denial, request_id: &str) -> (u16, String) {
    let verdict = denial.verdict();
    let (status, code) = match denial {
        Denial::Identity(error) if error.is_expired() => (400, "ExpiredTokenException"),
        Denial::Identity(error) if error.is_unavailable() => (400, "IDPCommunicationError"),
        Denial::Identity(_) => (400, "InvalidIdentityToken"),
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

fn checked(name: &'static str, value: String, is_good: fn(&str) -> bool) -> Result<String, VendError> {
    if is_good(&value) { Ok(value) } else { Err(VendError::Parameter(name)) }
}

/// `arn:PARTITION:iam::ACCOUNT:role/…`, in IAM's characters.
fn is_role_arn(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let shape = matches!(parts.as_slice(), ["arn", _, "iam", "", _, role] if role.strip_prefix("role/").is_some_and(|name| !name.is_empty()));
    shape && arn.len() <= 2_048 && arn.bytes().all(|b| b.is_ascii_alphanumeric() || b":/_+=,.@-".contains(&b))
}

/// `[\w+=,.@-]{2,64}`
fn is_session_name(name: &str) -> bool {
    (2..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b))
}

/// Elements and text; there is nothing else in STS's answers.
struct Xml(String);

impl Xml {
    fn new(root: &str) -> Xml {
        Xml(format!("<{root} xmlns=\"{NAMESPACE}\">"))
    }

    fn within(&mut self, name: &str, write: impl FnOnce(&mut Xml)) {
        let _ = write!(self.0, "<{name}>");
        write(self);
        let _ = write!(self.0, "</{name}>");
    }

    fn text(&mut self, name: &str, text: &str) {
        self.within(name, |xml| {
            for c in text.chars() {
                match c {
                    '<' => xml.0.push_str("&lt;"),
                    '>' => xml.0.push_str("&gt;"),
                    '&' => xml.0.push_str("&amp;"),
                    c => xml.0.push(c),
                }
            }
        });
    }

    fn end(self, root: &str) -> String {
        self.0 + &format!("</{root}>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fp%2Fr\
                        &RoleSessionName=me&WebIdentityToken=a.b.c";

    #[test]
    fn what_sdks_send_is_read() {
        let asked = Asked::parse("", format!("{GOOD}&DurationSeconds=900").as_bytes()).unwrap();
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
            ("&Version", "&DurationSeconds=899&Version"),
            ("&Version", "&DurationSeconds=1h&Version"),
        ] {
            assert!(Asked::parse("", GOOD.replace(from, to).as_bytes()).is_err(), "{from} → {to}");
        }
        assert!(matches!(Asked::parse(GOOD, b""), Err(VendError::TokenInQuery)));
    }

    #[test]
    fn texts_are_escaped() {
        let (status, xml) = refusal(&Denial::BodyUnreadable("</Message><&".to_owned()), "id");
        assert_eq!(status, 400);
        assert!(xml.contains("&lt;/Message&gt;&lt;&amp;") && !xml.contains("</Message><&"), "{xml}");
    }
}
