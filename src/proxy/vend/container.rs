//! The container-credentials protocol, as SDKs speak it to ECS and EKS: a GET with the token, and a JSON object.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>

use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::json;

use crate::{
    auth::SessionCredentials,
    proxy::{Denial, denial::Verdict},
};

pub(super) const CONTENT_TYPE: &str = "application/json";

/// The answer that SDKs read.
pub(super) fn credentials(credentials: &SessionCredentials) -> String {
    let SessionCredentials { access_key_id, secret_access_key, session_token, expires_at } = credentials;
    json!({
        "AccessKeyId": access_key_id,
        "SecretAccessKey": secret_access_key.expose_secret(),
        "Token": session_token.expose_secret(),
        "Expiration": Timestamp::try_from(*expires_at).unwrap_or_default().to_string(),
    })
    .to_string()
}

/// The answer that SDKs show.
pub(super) fn refusal(denial: &Denial, verdict: &Verdict) -> String {
    json!({"code": verdict.aws, "message": denial.to_string()}).to_string()
}
