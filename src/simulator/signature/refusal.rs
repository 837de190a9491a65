//! Why AWS would not believe a request: its exception's name and its words.

use jiff::Timestamp;

/// A refusal. [`Refusal::code`] is what SDKs see as the error's type, [`Refusal::message`] what people read.
#[derive(Debug)]
pub(in super::super) enum Refusal {
    NoAuthorization,
    Bearer,
    UnknownAlgorithm,
    Incomplete { what: &'static str },
    UnknownKey,
    WrongSessionToken,
    NoDate,
    OtherDay { scope: String, date: String },
    Expired { date: String, now: Timestamp },
    NotYetCurrent { date: String, now: Timestamp },
    WrongRegion { expected: String },
    WrongService { expected: String },
    HostNotSigned,
    HeaderNotSigned { name: String },
    HeaderMissing { name: String },
    UnsignedPayload,
    OtherPayload,
    SignatureMismatch { canonical: String, to_sign: String },
}

impl Refusal {
    /// AWS's name for it.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::NoAuthorization => "MissingAuthenticationTokenException",
            Refusal::Bearer => "AccessDeniedException",
            Refusal::UnknownAlgorithm | Refusal::Incomplete { .. } | Refusal::NoDate => "IncompleteSignatureException",
            Refusal::UnknownKey | Refusal::WrongSessionToken => "UnrecognizedClientException",
            _ => "InvalidSignatureException",
        }
    }

    /// What AWS prints. A mismatch has the canonical request in it, and with it the session token: as with AWS, whoever passes
    /// this on tells it to the caller.
    pub fn message(&self) -> String {
        match self {
            Refusal::SignatureMismatch { canonical, to_sign } => format!(
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
                 Key and signing method. Consult the service documentation for details.\n\nThe Canonical String for this \
                 request should have been\n'{canonical}'\n\nThe String-to-Sign should have been\n'{to_sign}'\n"
            ),
            other => other.summary(),
        }
    }

    /// The message without anything that a record must not keep.
    pub fn summary(&self) -> String {
        match self {
            Refusal::NoAuthorization => "Missing Authentication Token".to_owned(),
            Refusal::Bearer => "Authentication failed: Please make sure your API Key is valid.".to_owned(),
            Refusal::UnknownAlgorithm => "Unsupported AWS 'algorithm' in the Authorization header.".to_owned(),
            Refusal::Incomplete { what } => format!("{what}."),
            Refusal::UnknownKey | Refusal::WrongSessionToken => {
                "The security token included in the request is invalid.".to_owned()
            }
            Refusal::NoDate => "Authorization header requires existence of an 'X-Amz-Date' header.".to_owned(),
            Refusal::OtherDay { scope, date } => format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{scope}' != '{}', \
                 from '{date}'.",
                date.get(..8).unwrap_or_default()
            ),
            Refusal::Expired { date, now } => {
                format!("Signature expired: {date} is now earlier than {} ({} - 5 min.)", shifted(*now, -300), shifted(*now, 0))
            }
            Refusal::NotYetCurrent { date, now } => {
                format!(
                    "Signature not yet current: {date} is still later than {} ({} + 5 min.)",
                    shifted(*now, 300),
                    shifted(*now, 0)
                )
            }
            Refusal::WrongRegion { expected } => format!("Credential should be scoped to a valid region: '{expected}'."),
            Refusal::WrongService { expected } => format!("Credential should be scoped to correct service: '{expected}'."),
            Refusal::HostNotSigned => "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned(),
            Refusal::HeaderNotSigned { name } => {
                format!("There were headers present in the request which were not signed: '{name}'.")
            }
            Refusal::HeaderMissing { name } => format!("'{name}' is a 'SignedHeader' but is not in the request."),
            Refusal::UnsignedPayload => "UNSIGNED-PAYLOAD is not allowed: the payload must be signed.".to_owned(),
            Refusal::OtherPayload => "The provided 'x-amz-content-sha256' header does not match what was computed.".to_owned(),
            Refusal::SignatureMismatch { .. } => {
                "The request signature we calculated does not match the signature you provided.".to_owned()
            }
        }
    }
}

fn shifted(now: Timestamp, seconds: i64) -> String {
    let at = Timestamp::from_second(now.as_second() + seconds).unwrap_or(now);
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}
