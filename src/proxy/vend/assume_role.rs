//! AssumeRoleWithWebIdentity: parameters in, credentials out. The role is echoed and means nothing: which tenant it is says the token.
//!
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>

use std::time::Duration;

use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::{VendError, form::Form, xml::Xml};
use crate::auth::{Principal, SessionCredentials};

/// What STS allows to ask for, in seconds.
const DURATION_SECONDS: std::ops::RangeInclusive<u64> = 900..=43_200;

/// What was asked for.
pub(super) struct AssumeRole {
    pub token: String,
    /// At most.
    pub lifetime: Option<Duration>,
    role_arn: String,
    session_name: String,
}

impl AssumeRole {
    /// Reads the parameters beside the action.
    pub fn parse(mut form: Form) -> Result<AssumeRole, VendError> {
        let mut needed = |name| form.take(name).filter(|value| !value.is_empty()).ok_or(VendError::Parameter(name));
        let token = needed("WebIdentityToken")?;
        let role_arn = needed("RoleArn").and_then(|arn| checked("RoleArn", arn, is_role_arn))?;
        let session_name = needed("RoleSessionName").and_then(|name| checked("RoleSessionName", name, is_session_name))?;
        let lifetime = form.take("DurationSeconds").map(|text| {
            let seconds = text.parse().ok().filter(|seconds| DURATION_SECONDS.contains(seconds));
            seconds.map(Duration::from_secs).ok_or(VendError::Parameter("DurationSeconds"))
        });
        // Whoever narrows the session down must not believe that it is narrow.
        if let Some(name) = ["Policy", "PolicyArns"].into_iter().find(|name| form.has(name)) {
            return Err(VendError::Narrowed(name));
        }
        Ok(AssumeRole { token, lifetime: lifetime.transpose()?, role_arn, session_name })
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
    pub fn assumed_role_arn(&self) -> String {
        let role = self.role_arn.replacen(":iam:", ":sts:", 1);
        let (account, name) = role.split_once(":role/").unwrap_or((&role, ""));
        let name = name.rsplit('/').next().unwrap_or_default();
        format!("{account}:assumed-role/{name}/{}", self.session_name)
    }
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
