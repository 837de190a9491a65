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
const QUOTA: &str = "raise the quota, or wait until it resets";
const CLIENT: &str = "the client's request is not one that Bedrock would take";
const STREAM: &str = "see [bidirectional] for the bounds on streams";
const BEDROCK: &str = "see AWS's health dashboard, and the network between here and there";

/// What a reason means.
pub fn meaning(reason: &str) -> Meaning {
    let (because, advice) = match reason {
        "requests-per-second" => ("the tenant's limit of requests per second was reached", LIMIT),
        "requests-per-minute" => ("the tenant's limit of requests per minute was reached", LIMIT),
        "concurrent-requests" => ("the tenant had as many requests running as it may", LIMIT),
        reason if reason.ends_with("-per-minute") => ("a quota per minute had no room left", LIMIT),
        reason if reason.ends_with("-per-day") => ("a quota for the day is used up", QUOTA),
        reason if reason.ends_with("-per-month") => ("a quota for the month is used up", QUOTA),
        "max_tokens" => ("more max_tokens were asked for than the tenant may", "ask for less, or raise the quota's max_tokens"),
        "unpriced" => ("the model has no price, and the tenant has a budget", "add a price: `tollgate prices show MODEL`"),
        "model" => ("the tenant may not use the model", POLICY),
        "operation" => ("the tenant may not call the operation", POLICY),
        "service" => ("the tenant may not use the service", POLICY),
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
        "credentials_refused" => {
            ("Bedrock refused the gateway's own credentials", "look at the role's permissions, and at the clock")
        }
        "overloaded" => {
            ("as many requests were running as downstream.requests_max", "add gateways, or raise it if there is memory")
        }
        "no_room" => ("bodies.in_flight_bytes_max was taken", "add gateways, or raise it if there is memory"),
        "unreachable" => ("Bedrock could not be reached", BEDROCK),
        "upstream_timeout" => ("Bedrock did not answer in time", BEDROCK),
        "upstream_broken" => ("Bedrock's answer broke off before it began", BEDROCK),
        "internal" | "sealing" => ("the gateway itself failed", "find the request id in the log, and tell the authors"),
        "body_too_large" => ("the body was larger than bodies.bytes_max", "send less, or raise it"),
        "body_too_slow" => ("the body did not arrive in time", "look at the client's network"),
        "needs_http2" => ("a stream in both directions came over HTTP/1.1", "use an SDK, and a load balancer, that speak HTTP/2"),
        "stream_idle" | "stream_too_long" | "stream_too_large" | "events_too_fast" | "bytes_too_fast" => {
            ("a stream went beyond its bounds", STREAM)
        }
        "route" => ("no Bedrock service has such a path", CLIENT),
        "head" | "path" | "head_too_large" | "body_broken" | "body_unreadable" | "credential_in_query" | "method" => {
            ("the request was malformed", CLIENT)
        }
        _ => ("the credential was not good", TOKEN),
    };
    Meaning { because, advice }
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
        assert_eq!(meaning("signature").advice, TOKEN);
    }
}
