//! Standings as header fields, for whoever answers: the draft standard's on every route, and on OpenAI's and Anthropic's routes
//! also those that their clients look at.

use std::time::Duration;

use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use pingora_error::Result;
use pingora_http::ResponseHeader;

use super::{admit::Admitted, failure::internal};
use crate::{
    bedrock::Dialect,
    quota::{LimitKind, Measure, Standing},
};

/// Of one limit in a list, or nearly.
const ITEM_BYTES: usize = 64;

/// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-11), and the dialect's own.
pub fn rate_limit_headers(response: &mut ResponseHeader, dialect: Dialect, standings: &[Standing]) -> Result<()> {
    show(response, dialect, standings, || policy_of(standings))
}

/// The same for a request that goes on: what is said of its tenant's limits themselves was written before.
pub fn limits_of(response: &mut ResponseHeader, admitted: &Admitted) -> Result<()> {
    let standings = admitted.standings();
    let policy = || admitted.tenant().policies.of(standings, || policy_of(standings));
    show(response, admitted.dialect(), standings, policy)
}

fn show(
    response: &mut ResponseHeader,
    dialect: Dialect,
    standings: &[Standing],
    policy: impl FnOnce() -> Result<HeaderValue>,
) -> Result<()> {
    if standings.is_empty() {
        return Ok(());
    }
    response.insert_header("ratelimit-policy", policy()?)?;
    response.insert_header("ratelimit", left_of(standings)?)?;
    match dialect {
        Dialect::Aws => Ok(()),
        Dialect::OpenAi => own_headers(response, &OPENAI, standings, openai_reset),
        Dialect::Anthropic => own_headers(response, &ANTHROPIC, standings, |reset| anthropic_reset(reset, Timestamp::now())),
    }
}

fn policy_of(standings: &[Standing]) -> Result<HeaderValue> {
    list(standings, |policy, standing| {
        push_parameter(policy, "\";q=", standing.quota);
        policy.push_str(constant_parameters(standing.kind));
    })
}

fn left_of(standings: &[Standing]) -> Result<HeaderValue> {
    list(standings, |left, standing| {
        push_parameter(left, "\";r=", standing.remaining);
        push_parameter(left, ";t=", whole_seconds(standing.reset));
    })
}

/// The names of limits, each with its parameters, from the end of its name on.
fn list(standings: &[Standing], parameters: impl Fn(&mut String, &Standing)) -> Result<HeaderValue> {
    let mut list = String::with_capacity(standings.len() * ITEM_BYTES);
    let mut before = "\"";
    for standing in standings {
        list.push_str(before);
        list.push_str(standing.name());
        parameters(&mut list, standing);
        before = ", \"";
    }
    HeaderValue::try_from(list).map_err(internal)
}

/// Unit and window: what of a policy is the same for all limits of a kind.
fn constant_parameters(kind: LimitKind) -> &'static str {
    match (kind.unit(), kind.window_seconds()) {
        (None, None) => "",
        (None, Some(1)) => ";w=1",
        (None, Some(_)) => ";w=60",
        (Some("tokens"), None) => ";qu=\"tokens\"",
        (Some("tokens"), Some(60)) => ";qu=\"tokens\";w=60",
        (Some("tokens"), Some(_)) => ";qu=\"tokens\";w=86400",
        (Some(_), None) => ";qu=\"micro-usd\"",
        (Some(_), Some(60)) => ";qu=\"micro-usd\";w=60",
        (Some(_), Some(_)) => ";qu=\"micro-usd\";w=86400",
    }
}

fn push_parameter(out: &mut String, name: &str, value: u64) {
    out.push_str(name);
    out.push_str(itoa::Buffer::new().format(value));
}

/// Three header fields, and the limits that they are about.
struct Own {
    limit: &'static str,
    remaining: &'static str,
    reset: &'static str,
    is_about: fn(LimitKind) -> bool,
}

/// <https://platform.openai.com/docs/guides/rate-limits>
const OPENAI: [Own; 2] = [
    Own {
        limit: "x-ratelimit-limit-requests",
        remaining: "x-ratelimit-remaining-requests",
        reset: "x-ratelimit-reset-requests",
        is_about: of_requests,
    },
    Own {
        limit: "x-ratelimit-limit-tokens",
        remaining: "x-ratelimit-remaining-tokens",
        reset: "x-ratelimit-reset-tokens",
        is_about: of_tokens,
    },
];

/// <https://docs.claude.com/en/api/rate-limits>
const ANTHROPIC: [Own; 4] = [
    Own {
        limit: "anthropic-ratelimit-requests-limit",
        remaining: "anthropic-ratelimit-requests-remaining",
        reset: "anthropic-ratelimit-requests-reset",
        is_about: of_requests,
    },
    Own {
        limit: "anthropic-ratelimit-tokens-limit",
        remaining: "anthropic-ratelimit-tokens-remaining",
        reset: "anthropic-ratelimit-tokens-reset",
        is_about: of_tokens,
    },
    Own {
        limit: "anthropic-ratelimit-input-tokens-limit",
        remaining: "anthropic-ratelimit-input-tokens-remaining",
        reset: "anthropic-ratelimit-input-tokens-reset",
        is_about: |kind| matches!(kind, LimitKind::Per(Measure::InputTokens, _)),
    },
    Own {
        limit: "anthropic-ratelimit-output-tokens-limit",
        remaining: "anthropic-ratelimit-output-tokens-remaining",
        reset: "anthropic-ratelimit-output-tokens-reset",
        is_about: |kind| matches!(kind, LimitKind::Per(Measure::OutputTokens, _)),
    },
];

fn of_requests(kind: LimitKind) -> bool {
    matches!(kind, LimitKind::RequestsPerSecond | LimitKind::RequestsPerMinute)
}

fn of_tokens(kind: LimitKind) -> bool {
    matches!(kind, LimitKind::Per(Measure::Tokens | Measure::Burndown, _))
}

/// There is room for one limit of a kind: that of which the least is left, as Anthropic has it.
fn own_headers(
    response: &mut ResponseHeader,
    fields: &[Own],
    standings: &[Standing],
    reset: impl Fn(Duration) -> String,
) -> Result<()> {
    for own in fields {
        let about = standings.iter().filter(|standing| (own.is_about)(standing.kind));
        let Some(tightest) = about.min_by_key(|standing| standing.remaining) else { continue };
        response.insert_header(own.limit, tightest.quota)?;
        response.insert_header(own.remaining, tightest.remaining)?;
        response.insert_header(own.reset, reset(tightest.reset))?;
    }
    Ok(())
}

/// `1s`, `6m0s`, `120ms`.
fn openai_reset(reset: Duration) -> String {
    if reset < Duration::from_secs(1) {
        return format!("{}ms", reset.as_nanos().div_ceil(1_000_000));
    }
    let seconds = whole_seconds(reset);
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// RFC 3339, the next full second.
fn anthropic_reset(reset: Duration, now: Timestamp) -> String {
    let at = SignedDuration::try_from(reset).ok().and_then(|reset| now.checked_add(reset).ok()).unwrap_or(Timestamp::MAX);
    let at = at.checked_add(SignedDuration::from_nanos(999_999_999)).unwrap_or(at);
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Rounded up: then it is whole again.
fn whole_seconds(reset: Duration) -> u64 {
    reset.as_secs().saturating_add((reset.subsec_nanos() > 0).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::Span;

    fn standing(kind: LimitKind, quota: u64, remaining: u64, milliseconds: u64) -> Standing {
        Standing { kind, policy: None, quota, remaining, reset: Duration::from_millis(milliseconds) }
    }

    fn headers(dialect: Dialect) -> Vec<(String, String)> {
        let standings = [
            standing(LimitKind::ConcurrentRequests, 3, 0, 1_000),
            standing(LimitKind::RequestsPerMinute, 60, 59, 119_500),
            standing(LimitKind::Per(Measure::Tokens, Span::Minute), 6_000, 900, 120),
            standing(LimitKind::Per(Measure::Tokens, Span::Day), 50_000, 800, 3_600_000),
            standing(LimitKind::Per(Measure::OutputTokens, Span::Day), 70, 7, 1_000),
            standing(LimitKind::Per(Measure::Cost, Span::Day), 5, 1, 1_000),
        ];
        let mut response = ResponseHeader::build(200, None).unwrap();
        rate_limit_headers(&mut response, dialect, &standings).unwrap();
        let text = |(name, value): (&http::HeaderName, &HeaderValue)| (name.to_string(), value.to_str().unwrap().to_owned());
        response.headers.iter().map(text).filter(|(name, _)| !name.starts_with("ratelimit")).collect()
    }

    #[test]
    fn clients_of_other_houses_read_the_tightest_limit_of_a_kind_in_their_own_fields() {
        assert_eq!(headers(Dialect::Aws), []);
        let expected = [
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-reset-requests", "2m0s"),
            ("x-ratelimit-limit-tokens", "50000"),
            ("x-ratelimit-remaining-tokens", "800"),
            ("x-ratelimit-reset-tokens", "1h0m0s"),
        ];
        let mut shown = headers(Dialect::OpenAi);
        shown.sort();
        let mut expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        expected.sort();
        assert_eq!(shown, expected);

        let shown = headers(Dialect::Anthropic);
        let value = |name: &str| shown.iter().find(|(shown, _)| shown == name).map(|(_, value)| value.as_str());
        assert_eq!(value("anthropic-ratelimit-requests-limit"), Some("60"));
        assert_eq!(value("anthropic-ratelimit-tokens-remaining"), Some("800"));
        assert_eq!(value("anthropic-ratelimit-output-tokens-remaining"), Some("7"));
        assert_eq!((value("anthropic-ratelimit-input-tokens-limit"), shown.len()), (None, 9));
        assert!(value("anthropic-ratelimit-tokens-reset").unwrap().parse::<Timestamp>().unwrap() > Timestamp::now());
    }

    #[test]
    fn the_parameters_of_a_kind_are_its_unit_and_window() {
        let (measures, spans) = ([Measure::Tokens, Measure::Cost], [Span::Minute, Span::Day, Span::Month]);
        let accounts = measures.iter().flat_map(|measure| spans.map(|span| LimitKind::Per(*measure, span)));
        let requests = [LimitKind::ConcurrentRequests, LimitKind::RequestsPerSecond, LimitKind::RequestsPerMinute];
        for kind in accounts.chain(requests) {
            let unit = kind.unit().map(|unit| format!(";qu=\"{unit}\"")).unwrap_or_default();
            let window = kind.window_seconds().map(|seconds| format!(";w={seconds}")).unwrap_or_default();
            assert_eq!(constant_parameters(kind), unit + &window, "{kind:?}");
        }
    }

    #[test]
    fn resets_are_rounded_up() {
        let shown = |milliseconds| openai_reset(Duration::from_millis(milliseconds));
        assert_eq!([shown(0), shown(120), shown(1_001), shown(360_000)], ["0ms", "120ms", "2s", "6m0s"]);
        let now = "2026-11-22T12:00:00.5Z".parse().unwrap();
        assert_eq!(anthropic_reset(Duration::from_millis(600), now), "2026-11-22T12:00:02Z");
        assert_eq!(anthropic_reset(Duration::from_millis(500), now), "2026-11-22T12:00:01Z");
    }
}
