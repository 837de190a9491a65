//! What the labels of refusals mean, and what whoever looks at the console can do about them.

/// A reason in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// What happened, after "because".
    pub because: &'static str,
    /// What to do.
    pub advice: &'static str,
}

const TOKEN: &str =
    "the client has to send a token that its issuer made for this gateway; `tollgate verify-token` says what is wrong with one";
const POLICY: &str = "add it to the tenant's lists, if the tenant may have it";
const LIMIT: &str = "clients wait and try again; raise the limit, if the tenant may have more";
const QUOTA: &str =
    "raise the quota, or wait until it resets, or until requests end that hold it; a smaller max_tokens needs less of it";
const CLIENT: &str = "the client's request is not one that Bedrock would take";
const STREAM: &str = "see [bidirectional] for the bounds on streams";
const BEDROCK: &str = "see AWS's health dashboard, and the network between here and there";

/// Not a label: what Bedrock answered with a status from 500 on.
pub const BEDROCK_FAILED: &str = "bedrock_5xx";
/// Not a label: what Bedrock answered with a status from 400 to 499.
pub const BEDROCK_DECLINED: &str = "bedrock_4xx";

/// What a reason means.
pub fn meaning(reason: &str) -> Meaning {
    let (because, advice) = match reason {
        "requests-per-second" => ("the tenant's limit of requests per second was reached", LIMIT),
        "requests-per-minute" => ("the tenant's limit of requests per minute was reached", LIMIT),
        "concurrent-requests" => ("the tenant had as many requests running as it may", LIMIT),
        reason if reason.ends_with("-per-minute") => ("a quota per minute had no room left", LIMIT),
        reason if reason.ends_with("-per-day") => ("a quota for the day has less left than the request may use", QUOTA),
        reason if reason.ends_with("-per-month") => ("a quota for the month has less left than the request may use", QUOTA),
        "max_tokens" => ("more max_tokens were asked for than the tenant may", "ask for less, or raise the quota's max_tokens"),
        "unpriced" => (
            "the model or the operation has no price, and the tenant has a budget",
            "add a price: `tollgate prices show MODEL`, or [requests] in prices.toml",
        ),
        "model" => ("the tenant may not use the model", POLICY),
        "operation" => ("the tenant may not call the operation", POLICY),
        "service" => ("the tenant may not use the service", POLICY),
        "region" => ("the tenant may not use the region, or a model that runs there", POLICY),
        "service_tier" => ("the tenant may not use the service tier", POLICY),
        "principal" => ("the caller is denied by name", POLICY),
        "source" => ("the tenant may not call from that address", POLICY),
        "guardrail" => {
            ("the tenant's guardrail was not named, or another one", "see the tenant's guardrail in the configuration")
        }
        "scheme_unsupported" => ("the Authorization scheme is not supported", TOKEN),
        "tenant_unknown" => ("the token names a tenant that is not configured", "add a [tenants] section of that name"),
        "expired" | "key_expired" => ("the token or key had expired", "the client has to refresh it"),
        "credential_missing" | "session_token_missing" => ("no token came with the request", TOKEN),
        "issuer_unknown" => ("the token's issuer is not configured", "add an [issuers] section, or ask who sends such tokens"),
        "keys_unavailable" => ("there were no keys to verify the token with", "see the issuer on the configuration page"),
        "key_unknown" => {
            ("the token's key is not among the issuer's", "did the issuer change its keys? They are fetched again by themselves")
        }
        "access_key_unknown" | "api_key_unknown" => ("the key is not one of this gateway", "make one with `tollgate key new`"),
        "ledger" => {
            ("the ledger could not be written", "look at the disk under the ledger; charges wait in memory until it takes them")
        }
        "credentials" => ("there were no AWS credentials to sign with", "look at the instance role, or at [credentials]"),
        "aws_session" => (
            "there was no AWS session to sign with as the tenant",
            "look at the tenant's role in the configuration; the log has what STS said",
        ),
        "session_tag" => (
            "what would go to AWS as a session tag cannot be one",
            "give the tenant, or its callers, names of characters that AWS takes",
        ),
        "credentials_refused" => {
            ("Bedrock refused the gateway's own credentials", "look at the role's permissions, and at the clock")
        }
        "overloaded" => {
            ("as many requests were running as downstream.requests_max", "add gateways, or raise it if there is memory")
        }
        "no_room" => ("bodies.in_flight_bytes_max was taken", "add gateways, or raise it if there is memory"),
        BEDROCK_FAILED => (
            "Bedrock answered with an error of its own (5xx)",
            "see AWS's health dashboard; the access log has Bedrock's own request ids",
        ),
        BEDROCK_DECLINED => (
            "Bedrock declined the request (4xx)",
            "the access log has the status: 429 is a quota of the AWS account's, which Service Quotas raises; 403 is something that \
             the role behind the gateway may not; 400 and 404 are the client's",
        ),
        "unreachable" => ("Bedrock could not be reached", BEDROCK),
        "upstream_timeout" => ("Bedrock did not answer in time", BEDROCK),
        "upstream_broken" => ("Bedrock's answer broke off, or could not be passed on", BEDROCK),
        "internal" | "sealing" => ("the gateway itself failed", "find the request id in the log, and tell the authors"),
        "body_too_large" => (
            "the body was larger than it may be",
            "send less, or raise body_bytes_max of the tenant or group, or bodies.bytes_max",
        ),
        "body_too_slow" => ("the body did not arrive in time", "look at the client's network"),
        "needs_http2" => ("a stream in both directions came over HTTP/1.1", "use an SDK, and a load balancer, that speak HTTP/2"),
        "http_version" => (
            "the request came over HTTP/1.0",
            "use an SDK, and proxies, that speak HTTP/1.1 or HTTP/2 (nginx: proxy_http_version 1.1)",
        ),
        "stream_idle" | "stream_too_long" | "stream_too_large" => ("a stream went beyond its bounds", STREAM),
        reason if reason.starts_with("event_") => ("an event of a stream was malformed", CLIENT),
        "route" => ("no Bedrock service has such a path", CLIENT),
        "endpoint_prefix" => {
            ("the service's prefix names no service of the gateway's", "look at the client's endpoint, and at [routing]")
        }
        "vending_parameter" => (
            "a request for AWS credentials had a parameter that was missing or not good",
            "look at the client's AWS_ROLE_ARN, AWS_ROLE_SESSION_NAME and profile; the client was told which parameter",
        ),
        "head"
        | "path"
        | "head_too_large"
        | "body_broken"
        | "body_unreadable"
        | "credential_in_query"
        | "method"
        | "request_metadata"
        | "several_models" => ("the request was malformed", CLIENT),
        reason if is_about_credentials(reason) => ("the credential was not good", TOKEN),
        _ => ("the gateway would not serve it", "find the request id in the log; the client was told what is wrong"),
    };
    Meaning { because, advice }
}

/// Whether requests with this label failed: the others were refused, as their tenant or the gateway's operator wishes.
pub fn is_failure(reason: &str) -> bool {
    const OWN: [&str; 9] = [
        "credentials",
        "credentials_refused",
        "aws_session",
        "keys_unavailable",
        "ledger",
        "overloaded",
        "no_room",
        "internal",
        "sealing",
    ];
    OWN.contains(&reason) || is_on_the_way(reason)
}

/// Whether they failed on the way to Bedrock and back, so that it matters what they asked for.
pub fn is_on_the_way(reason: &str) -> bool {
    ["unreachable", "upstream_timeout", "upstream_broken"].contains(&reason)
}

/// Labels of identity errors begin with what was looked at.
fn is_about_credentials(reason: &str) -> bool {
    const KINDS: [&str; 15] = [
        "token",
        "credential",
        "claim",
        "scope",
        "tenant",
        "issuer",
        "key",
        "api_key",
        "access_key",
        "session",
        "signature",
        "certificate",
        "audience",
        "algorithm",
        "lifetime",
    ];
    const TIMES: [&str; 2] = ["not_yet_valid", "issued_in_future"];
    TIMES.contains(&reason) || KINDS.iter().any(|kind| reason.starts_with(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::{LimitKind, Measure, Span};

    #[test]
    fn every_limit_has_words_of_its_own() {
        for span in [Span::Minute, Span::Day, Span::Month] {
            for measure in [Measure::Tokens, Measure::InputTokens, Measure::OutputTokens, Measure::Burndown, Measure::Cost] {
                let said = meaning(LimitKind::Per(measure, span).name()).because;
                assert!(said.contains("quota") && said.contains(span.noun()), "{measure:?} {span:?}: {said}");
            }
        }
        assert!(meaning("requests-per-minute").because.contains("requests per minute"));
        for reason in ["signature", "signature_mismatch", "claim_missing", "tenant_many", "not_yet_valid", "audience"] {
            assert_eq!(meaning(reason).advice, TOKEN, "{reason}");
        }
        let unknown = meaning("something_new");
        assert!(unknown.advice.contains("request id"));
        for reason in ["aws_session", "session_tag", "request_metadata", "vending_parameter", "endpoint_prefix"] {
            assert!(meaning(reason) != unknown && meaning(reason).advice != TOKEN, "{reason}");
        }
    }
}
