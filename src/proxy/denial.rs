//! Every way in which the gateway itself says no, and the one table that turns each into a status and an exception.

use std::{sync::Arc, time::Duration};

use super::{head::HeadError, vend::VendError};
use crate::{
    auth::IdentityError,
    aws::{CredentialsError, SignatureError, event_chain::ChainError, event_stream::FrameError},
    bedrock::{body::BodyError, metadata::MetadataError, path::PathError},
    policy::{PolicyDenial, Refused},
    quota::{CapDenial, QuotaDenial, QuotaKind, RateDenial},
    routing::RouteError,
    snapshot::role::UntaggableError,
};

/// Why the gateway refuses. `Display` is what the caller reads.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Denial {
    #[error("{0}.")]
    Head(#[from] HeadError),
    #[error("{0}.")]
    Path(#[from] PathError),
    #[error("Credentials in a query string are refused, since query strings end up in logs. Send the token in a header.")]
    CredentialInQuery,
    #[error("{0}")]
    Identity(#[from] IdentityError),
    #[error("The token names a tenant that this gateway does not know. Ask its operator to add the tenant.")]
    UnknownTenant,
    #[error("{0}.")]
    Route(#[from] RouteError),
    #[error("{0}. Ask the gateway's operator to allow it.")]
    Policy(#[from] PolicyDenial),
    #[error("{0}.")]
    Rate(#[from] RateDenial),
    #[error("{0}.")]
    Quota(#[from] QuotaDenial),
    #[error("{0}.")]
    Cap(#[from] CapDenial),
    #[error("The {what} has no price in this gateway, so it cannot be held to a budget. Ask its operator to add one.")]
    Unpriced { what: String },
    #[error("The gateway cannot write its ledger, and spends nothing it cannot account for. Try again shortly.")]
    LedgerUnavailable,
    #[error("The method has to be {0}.")]
    Method(&'static str),
    #[error("{0}")]
    Vend(#[from] VendError),
    #[error(
        "InvokeModelWithBidirectionalStream needs HTTP/2, and this request came over HTTP/1.1. Use an SDK that speaks HTTP/2 \
         for it (JavaScript, Java's async client, Rust), and let nothing in between speak HTTP/1.1."
    )]
    NeedsHttp2,
    #[error(
        "The request came over HTTP/1.0, in which nobody can tell the end of an answer from its breaking off. Use HTTP/1.1 or HTTP/2, and \
         let a proxy in between do so, too (nginx: proxy_http_version 1.1)."
    )]
    Http10,
    #[error("{0}. The stream is over.")]
    Event(#[from] FrameError),
    #[error("{0}. The stream is over.")]
    Chain(#[from] ChainError),
    #[error("An event came after the signed empty event that ends a stream.")]
    EventAfterEnd,
    #[error("The stream's events have more than {bytes_max} bytes.")]
    StreamTooLarge { bytes_max: u64 },
    #[error("An event that had begun did not arrive within {seconds_max} seconds.")]
    EventTooSlow { seconds_max: u64 },
    #[error("Nothing was sent in either direction for {seconds_max} seconds.")]
    StreamIdle { seconds_max: u64 },
    #[error("A stream may last {seconds_max} seconds.")]
    StreamTooLong { seconds_max: u64 },
    #[error("The gateway runs as many requests as it may. Try again shortly.")]
    Overloaded,
    #[error("The request body is larger than {bytes_max} bytes.")]
    BodyTooLarge { bytes_max: u64 },
    #[error("The request body did not arrive within {seconds_max} seconds.")]
    BodyTooSlow { seconds_max: u64 },
    #[error("The request body broke off.")]
    BodyBroken,
    #[error("The request body has to be a JSON object, with no name twice: {0}.")]
    BodyUnreadable(String),
    #[error("The request body names several models at once, and the tenant's quotas tell them apart. Name one.")]
    SeveralModels,
    #[error("The gateway holds as many request bodies as it may. Try again shortly.")]
    NoRoom,
    #[error("The gateway has no AWS credentials to sign with. Try again shortly; if it lasts, its operator has to look.")]
    Credentials(#[from] CredentialsError),
    #[error("The gateway has no AWS session for tenant {tenant}. Try again shortly; if it lasts, its operator has to look.")]
    NoSession { tenant: Arc<str> },
    #[error("The tenant's requests go to AWS with session tags, and {0}. Ask whoever issues the token.")]
    Untaggable(#[from] UntaggableError),
    #[error("{0}.")]
    Metadata(#[from] MetadataError),
    #[error("Bedrock refused the gateway's own credentials ({0}). Its operator has to look.")]
    CredentialsRefused(&'static str),
    #[error("Bedrock could not be reached. Try again shortly.")]
    Unreachable,
    #[error("Bedrock did not answer in time.")]
    UpstreamTimeout,
    #[error("Bedrock's answer broke off before it began.")]
    UpstreamBroken,
    #[error("Bedrock's answer broke off: what came is not all of it.")]
    UpstreamBrokeOff,
    #[error("Bedrock could not be reached over HTTP/2, which this operation needs. The gateway's operator has to look.")]
    UpstreamWithoutHttp2,
    #[error("Bedrock's answer cannot be passed on: {0}.")]
    Unpassable(&'static str),
    #[error("The gateway failed. Its operator finds the request id in the log.")]
    Internal,
}

/// How a denial is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// HTTP status on AWS-shaped routes.
    pub status: u16,
    /// `x-amzn-ErrorType`.
    pub aws: &'static str,
    /// HTTP status on OpenAI- and Anthropic-shaped routes, where 401 and 403 are kept apart.
    pub surface_status: u16,
    /// Anthropic's `error.type`; OpenAI's is the nearest of its own.
    pub anthropic: &'static str,
    /// OpenAI's `error.type`.
    pub openai: &'static str,
    /// Metric label and access-log field; from a fixed set.
    pub reason: &'static str,
    /// The exact wait, if trying again makes sense.
    pub retry_after: Option<Duration>,
}

impl Verdict {
    /// Whether it was not the client's doing. The version that it speaks is.
    pub fn is_failure(&self) -> bool {
        self.status >= 500 && self.status != 505
    }
}

const SHORTLY: Option<Duration> = Some(Duration::from_secs(1));

impl Denial {
    /// The text, where it says which of the tenant's limits or lists was in the way. Nothing in it was taken from the credential or the
    /// body, but for the name of a model.
    pub fn told_to_operators(&self) -> Option<String> {
        match self {
            Denial::Policy(_) | Denial::Rate(_) | Denial::Quota(_) | Denial::Cap(_) | Denial::Unpriced { .. } => {
                Some(self.to_string())
            }
            _ => None,
        }
    }

    /// The table.
    pub fn verdict(&self) -> Verdict {
        match self {
            Denial::Head(HeadError::TooLarge(_) | HeadError::TooMany) => invalid(431, "head_too_large"),
            Denial::Head(_) => invalid(400, "head"),
            Denial::Path(_) => invalid(400, "path"),
            Denial::CredentialInQuery => invalid(400, "credential_in_query"),
            Denial::Identity(error) | Denial::Vend(VendError::Caller(error)) if error.is_unavailable() => {
                unavailable(503, error.reason())
            }
            Denial::Identity(error) | Denial::Vend(VendError::Caller(error)) => unauthenticated(error),
            Denial::UnknownTenant => forbidden("tenant_unknown"),
            Denial::Route(RouteError::Override(_)) => invalid(400, "endpoint_prefix"),
            Denial::Route(RouteError::EmptySegment) => invalid(400, "path"),
            Denial::Route(_) => {
                Verdict { aws: "UnknownOperationException", anthropic: "not_found_error", ..invalid(404, "route") }
            }
            Denial::Policy(PolicyDenial { refused: Refused::Body(_), .. }) => {
                Verdict { anthropic: "request_too_large", ..invalid(413, "body_too_large") }
            }
            Denial::Policy(denial) => forbidden(denial.reason()),
            Denial::Rate(denial) => throttled(denial.standing.kind.name(), Some(denial.retry_after)),
            Denial::Quota(denial) => over_quota(denial),
            Denial::Cap(_) => invalid(400, "max_tokens"),
            Denial::Unpriced { .. } => invalid(400, "unpriced"),
            Denial::LedgerUnavailable => unavailable(503, "ledger"),
            Denial::Method(_) => invalid(405, "method"),
            Denial::Vend(VendError::Sealing(_)) => Verdict { aws: "InternalServerException", ..unavailable(500, "sealing") },
            Denial::Vend(_) => invalid(400, "vending_parameter"),
            Denial::NeedsHttp2 => invalid(400, "needs_http2"),
            Denial::Http10 => invalid(505, "http_version"),
            Denial::Event(FrameError::TooLarge { .. }) => invalid(400, "event_too_large"),
            Denial::Event(FrameError::Unsigned) => invalid(400, "event_unsigned"),
            Denial::Event(_) | Denial::EventAfterEnd => invalid(400, "event_broken"),
            Denial::Chain(_) => invalid(400, "event_signature"),
            // Without a hint when to try again: nobody waits for a stream that is over.
            Denial::StreamTooLarge { .. } => throttled("stream_too_large", None),
            Denial::EventTooSlow { .. } => timed_out("event_too_slow"),
            Denial::StreamIdle { .. } => timed_out("stream_idle"),
            Denial::StreamTooLong { .. } => timed_out("stream_too_long"),
            Denial::Overloaded => unavailable(503, "overloaded"),
            Denial::BodyTooLarge { .. } => Verdict { anthropic: "request_too_large", ..invalid(413, "body_too_large") },
            Denial::BodyTooSlow { .. } => Verdict { anthropic: "timeout_error", ..invalid(408, "body_too_slow") },
            Denial::BodyBroken => invalid(400, "body_broken"),
            Denial::BodyUnreadable(_) => invalid(400, "body_unreadable"),
            Denial::SeveralModels => invalid(400, "several_models"),
            Denial::NoRoom => unavailable(503, "no_room"),
            Denial::Credentials(_) => unavailable(503, "credentials"),
            Denial::NoSession { .. } => unavailable(503, "aws_session"),
            Denial::Untaggable(_) => forbidden("session_tag"),
            Denial::Metadata(_) => invalid(400, "request_metadata"),
            Denial::CredentialsRefused(_) => Verdict { retry_after: None, ..unavailable(503, "credentials_refused") },
            Denial::Unreachable => unavailable(503, "unreachable"),
            Denial::UpstreamTimeout => unavailable(504, "upstream_timeout"),
            Denial::UpstreamBroken | Denial::UpstreamBrokeOff | Denial::UpstreamWithoutHttp2 | Denial::Unpassable(_) => {
                unavailable(502, "upstream_broken")
            }
            Denial::Internal => Verdict { aws: "InternalServerException", ..unavailable(500, "internal") },
        }
    }
}

/// What is wrong with a body. Of values serde_json's own text quotes what it found, which may be a prompt; of syntax it quotes nothing.
impl From<BodyError> for Denial {
    fn from(e: BodyError) -> Denial {
        let place = format!("line {}, column {}", e.line(), e.column());
        let text = e.to_string();
        match text.split_once(" at line ").filter(|_| e.is_syntax() || e.is_eof()) {
            Some((what, _)) => Denial::BodyUnreadable(format!("{what}; see {place}")),
            None => Denial::BodyUnreadable(format!("see {place}")),
        }
    }
}

fn invalid(status: u16, reason: &'static str) -> Verdict {
    Verdict {
        status,
        aws: "ValidationException",
        surface_status: status,
        anthropic: "invalid_request_error",
        openai: "invalid_request_error",
        reason,
        retry_after: None,
    }
}

/// AWS answers 403 to whoever it does not know; a token that was good once is an `ExpiredTokenException`, on which SDKs refresh.
fn unauthenticated(error: &IdentityError) -> Verdict {
    let aws = match error {
        error if error.is_expired() => "ExpiredTokenException",
        error if error.is_missing() => "MissingAuthenticationTokenException",
        IdentityError::Signature(SignatureError::Incomplete(_)) => "IncompleteSignatureException",
        IdentityError::Signature(_) => "InvalidSignatureException",
        _ => "UnrecognizedClientException",
    };
    Verdict {
        status: 403,
        aws,
        surface_status: 401,
        anthropic: "authentication_error",
        openai: "invalid_request_error",
        reason: error.reason(),
        retry_after: None,
    }
}

fn forbidden(reason: &'static str) -> Verdict {
    Verdict {
        status: 403,
        aws: "AccessDeniedException",
        surface_status: 403,
        anthropic: "permission_error",
        openai: "invalid_request_error",
        reason,
        retry_after: None,
    }
}

/// What is spent is no 429, which every SDK would try again.
fn over_quota(denial: &QuotaDenial) -> Verdict {
    match denial.kind {
        QuotaKind::Temporary => throttled(denial.reason(), denial.retry_after),
        QuotaKind::Never => invalid(400, denial.reason()),
        QuotaKind::Spent => Verdict {
            aws: "ServiceQuotaExceededException",
            surface_status: 402,
            anthropic: "billing_error",
            openai: "insufficient_quota",
            ..invalid(400, denial.reason())
        },
    }
}

fn throttled(reason: &'static str, retry_after: Option<Duration>) -> Verdict {
    Verdict {
        status: 429,
        aws: "ThrottlingException",
        surface_status: 429,
        anthropic: "rate_limit_error",
        openai: "rate_limit_error",
        reason,
        retry_after,
    }
}

fn timed_out(reason: &'static str) -> Verdict {
    Verdict { aws: "ModelTimeoutException", anthropic: "timeout_error", ..invalid(408, reason) }
}

fn unavailable(status: u16, reason: &'static str) -> Verdict {
    Verdict {
        status,
        aws: "ServiceUnavailableException",
        surface_status: status,
        anthropic: if status == 503 { "overloaded_error" } else { "api_error" },
        openai: "server_error",
        reason,
        retry_after: if status == 503 { SHORTLY } else { None },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;

    use super::*;
    use crate::{bedrock::body, console::reasons::is_failure};

    const TABLE: &str = include_str!("denial.rs");

    #[test]
    fn a_refused_body_is_told_what_is_wrong_and_where_and_nothing_of_what_is_in_it() {
        let cases = [
            (r#"{"model": "\ud83d"}"#, "end of hex escape"),
            (r#"{"model": "secret", "model": "secret"}"#, "no name twice: see line 1, column"),
            (r#"{"model": 7, "secret": 1}"#, "see line 1, column"),
            (r#"["secret"]"#, "see line 1, column"),
            (r#"{"secret": 1, "#, "EOF while parsing"),
        ];
        for (text, says) in cases {
            let e = body::top_level_string(&[Bytes::from_static(text.as_bytes())], "model").unwrap_err();
            let told = Denial::from(e).to_string();
            assert!(told.contains(says) && told.contains("see line 1") && !told.contains("secret"), "{text}: {told}");
        }
    }

    fn between(text: &'static str, from: &str, to: &str) -> &'static str {
        text.split(from).nth(1).and_then(|rest: &str| rest.split(to).next()).unwrap()
    }

    /// What stands in quotes at the end of an arm, or as an argument of what makes a verdict.
    fn reasons_in(function: &'static str) -> impl Iterator<Item = &'static str> {
        let quoted: Vec<_> = function.split('"').collect();
        let is_argument = |before: &str| match before.rsplit_once('(') {
            Some((_, before)) => {
                before.is_empty() || before.strip_suffix(", ").is_some_and(|status| status.parse::<u16>().is_ok())
            }
            None => false,
        };
        let pairs: Vec<_> = quoted.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        pairs.into_iter().filter(move |(before, _)| before.ends_with("=> ") || is_argument(before)).map(|(_, reason)| reason)
    }

    /// Every label that there is, but for those of limits.
    fn reasons() -> BTreeSet<&'static str> {
        let functions = [
            between(TABLE, "pub fn verdict(", "\n    }\n"),
            between(include_str!("../auth/error.rs"), "pub fn reason(", "\n    }\n"),
            between(include_str!("../auth/credential.rs"), "pub fn reason(", "\n    }\n"),
            between(include_str!("../policy/denial.rs"), "pub fn reason(", "\n    }\n"),
        ];
        functions.into_iter().flat_map(reasons_in).filter(|name| is_label(name)).collect()
    }

    #[test]
    fn the_operators_table_has_every_reason_and_no_other() {
        const PAGE: &str = include_str!("../../docs/operations.md");
        let section = between(PAGE, "\n### Reasons\n", "\n## ").split_once("|---|").unwrap().1;
        let cells = section.lines().filter_map(|row| row.strip_prefix("| `")?.split_once("` |"));
        // Limits have names of their own, with hyphens.
        let told: BTreeSet<_> = cells.flat_map(|(names, _)| names.split('`')).filter(|name| is_label(name)).collect();
        let made = reasons();
        assert!(made.len() > 60, "{made:?}");
        assert_eq!(told, made);
    }

    #[test]
    fn the_console_takes_for_failures_what_the_table_does() {
        let arms: Vec<_> = between(TABLE, "pub fn verdict(", "\n    }\n").split('"').collect();
        // `unavailable(503, "…"`: whatever failed has its status beside it.
        let failures = arms.chunks_exact(2).filter(|arm| {
            let status = arm[0].strip_suffix(", ").and_then(|before| before.rsplit_once('(')?.1.parse().ok());
            status.is_some_and(|status| invalid(status, arm[1]).is_failure())
        });
        let keys = Denial::Identity(IdentityError::KeysUnavailable).verdict();
        let failures: BTreeSet<_> = failures.map(|arm| arm[1]).chain(keys.is_failure().then_some(keys.reason)).collect();
        assert!(failures.len() > 10, "{failures:?}");
        assert_eq!(reasons().into_iter().filter(|reason| is_failure(reason)).collect::<BTreeSet<_>>(), failures);
    }

    fn is_label(name: &str) -> bool {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
    }
}
