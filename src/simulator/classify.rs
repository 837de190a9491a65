//! What a request is, by host name, method, path and `X-Amz-Target`: the simulator's own reading of the table of operations, a
//! plain scan, so that a mistake in the gateway's routing cannot hide in code they share. Nothing is normalised: a path that
//! reaches Bedrock malformed is an unknown operation there, and so it is here.

use std::sync::LazyLock;

use crate::bedrock::{Operation, Service, operations};

/// Every suffix after the region, regular and dual-stack, from the endpoint rule sets of botocore 1.44.5.
const SUFFIXES: [&str; 14] = [
    "amazonaws.com",
    "api.aws",
    "amazonaws.com.cn",
    "api.amazonwebservices.com.cn",
    "amazonaws.eu",
    "api.amazonwebservices.eu",
    "c2s.ic.gov",
    "api.aws.ic.gov",
    "sc2s.sgov.gov",
    "api.aws.scloud",
    "cloud.adc-e.uk",
    "api.cloud-aws.adc-e.uk",
    "csp.hci.ic.gov",
    "api.aws.hci.ic.gov",
];

/// What a host name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host<'a> {
    /// One of AWS's names; the service is `None` when it is not one of Bedrock's.
    Aws { service: Option<Service>, region: &'a str },
    /// `localhost`, an address, anything else.
    Other,
}

/// What a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Classified {
    /// By host name; for hosts that are not AWS's, the operation's.
    pub service: Option<Service>,
    /// `None`: Bedrock would answer `UnknownOperationException`.
    pub operation: Option<&'static str>,
    /// Its index in the table, to look at what else the table says.
    pub row: Option<usize>,
    /// The `{modelId}` of the path, decoded once.
    pub model: Option<String>,
}

impl Classified {
    /// The row of the table.
    pub fn entry(&self) -> Option<&'static Operation> {
        operations().get(self.row?)
    }
}

impl<'a> Host<'a> {
    /// Reads a `Host` header or an `:authority`: `{service}[-fips].{region}.{suffix}`, with any labels before it (AgentCore's
    /// gateways), or `….{service}.{region}.vpce.{suffix}`.
    pub fn parse(host: &'a str) -> Host<'a> {
        let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
        let Some(rest) = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)?.strip_suffix('.')) else {
            return Host::Other;
        };
        let rest = rest.strip_suffix(".vpce").unwrap_or(rest);
        let Some((before, region)) = rest.rsplit_once('.') else {
            return Host::Aws { service: None, region: rest };
        };
        let label = before.rsplit_once('.').map_or(before, |(_, label)| label);
        Host::Aws { service: label.strip_suffix("-fips").unwrap_or(label).parse().ok(), region }
    }
}

/// Looks a request up. `signing_name` is the service of its SigV4 scope: it decides only between services of the same path when
/// the host is not AWS's, as when a client speaks to the simulator directly.
pub(super) fn classify(host: Host, method: &str, path: &str, target: Option<&str>, signing_name: Option<&str>) -> Classified {
    let found = match host {
        Host::Aws { service: None, .. } => None,
        Host::Aws { service: Some(service), .. } => scan(method, path, target, |s| s == service),
        Host::Other => scan(method, path, target, |s| signing_name.is_none_or(|name| s.signing_name() == name))
            .or_else(|| scan(method, path, target, |_| true)),
    };
    let service = match host {
        Host::Aws { service, .. } => service,
        Host::Other => found.map(|row| operations()[row].service),
    };
    Classified {
        service,
        operation: found.map(|row| operations()[row].name),
        row: found,
        model: found.and_then(|row| model_of(&PATTERNS[row], path)),
    }
}

/// A table row's path, split once.
struct Pattern {
    segments: Vec<Segment>,
}

enum Segment {
    Literal(&'static str),
    Label(&'static str),
}

static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| operations().iter().map(|op| Pattern::of(op.uri)).collect());

impl Pattern {
    fn of(uri: &'static str) -> Pattern {
        let segment = |text: &'static str| match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
            Some(label) => Segment::Label(label),
            None => Segment::Literal(text),
        };
        Pattern { segments: uri[1..].split('/').map(segment).collect() }
    }

    /// A label takes any segment but the empty one.
    fn matches(&self, segments: &[&str]) -> bool {
        self.segments.len() == segments.len()
            && self.segments.iter().zip(segments).all(|(pattern, &segment)| match pattern {
                Segment::Literal(literal) => *literal == segment,
                Segment::Label(_) => !segment.is_empty(),
            })
    }

    /// Whether this pattern has a literal where the other, which matches the same path, has its first label.
    fn is_stricter_than(&self, other: &Pattern) -> bool {
        let literal = |s: &Segment| matches!(s, Segment::Literal(_));
        let differing = self.segments.iter().zip(&other.segments).find(|(a, b)| literal(a) != literal(b));
        differing.is_some_and(|(mine, _)| literal(mine))
    }
}

/// The row of a path, or else of the path with a slash at its end: Bedrock knows what the Rust SDK sends, which leaves that out.
fn scan(method: &str, path: &str, target: Option<&str>, wanted: impl Fn(Service) -> bool) -> Option<usize> {
    scan_exactly(method, path, target, &wanted).or_else(|| {
        let with_slash = (!path.ends_with('/')).then(|| format!("{path}/"))?;
        scan_exactly(method, &with_slash, target, &wanted)
    })
}

/// The first row that matches, unless a later one of the same service has literals where it has labels.
fn scan_exactly(method: &str, path: &str, target: Option<&str>, wanted: &impl Fn(Service) -> bool) -> Option<usize> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let target = if path == "/" { Some(target?.split_once('.')?.1) } else { None };
    let mut best: Option<usize> = None;
    for (row, op) in operations().iter().enumerate() {
        let fits = op.method == method && wanted(op.service) && target.is_none_or(|name| name == op.name);
        if !fits || !PATTERNS[row].matches(&segments) {
            continue;
        }
        if best.is_none_or(|b| operations()[b].service == op.service && PATTERNS[row].is_stricter_than(&PATTERNS[b])) {
            best = Some(row);
        }
    }
    best
}

fn model_of(pattern: &Pattern, path: &str) -> Option<String> {
    let label = |s: &Segment| matches!(s, Segment::Label("modelId" | "modelIdentifier"));
    let index = pattern.segments.iter().position(label)?;
    Some(decode(path.split('/').nth(index + 1)?))
}

fn decode(segment: &str) -> String {
    let mut out = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped =
            after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(value) if byte == b'%' => {
                out.push(value);
                rest = &after[2..];
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aws(service: Service) -> Host<'static> {
        Host::Aws { service: Some(service), region: "eu-west-1" }
    }

    #[test]
    fn host_names_say_service_and_region() {
        for (host, expected) in [
            ("bedrock.eu-west-1.amazonaws.com", aws(Service::Bedrock)),
            ("bedrock-runtime-fips.eu-west-1.api.aws:443", aws(Service::BedrockRuntime)),
            ("bedrock-mantle.eu-west-1.api.aws", aws(Service::BedrockMantle)),
            ("bedrock-agent.eu-west-1.amazonaws.com.cn", aws(Service::BedrockAgent)),
            ("vpce-0a-b.bedrock-runtime.eu-west-1.vpce.amazonaws.com", aws(Service::BedrockRuntime)),
            ("x.gateway.bedrock-agentcore.eu-west-1.amazonaws.com", aws(Service::BedrockAgentcore)),
            ("sts.eu-west-1.amazonaws.com", Host::Aws { service: None, region: "eu-west-1" }),
            ("localhost:8443", Host::Other),
            ("127.0.0.1", Host::Other),
            ("amazonaws.com", Host::Other),
            ("bedrock.eu-west-1.amazonaws.com.evil.example", Host::Other),
        ] {
            assert_eq!(Host::parse(host), expected, "{host}");
        }
    }

    #[test]
    fn every_row_finds_itself() {
        for op in operations() {
            let segment = |s: &str| if s.starts_with('{') { "x%2Fy".to_owned() } else { s.to_owned() };
            let path = op.uri.split('/').map(segment).collect::<Vec<_>>().join("/");
            let target = format!("AmazonBedrockKeystoneRuntimeService.{}", op.name);
            let found = classify(aws(op.service), op.method, &path, Some(&target), None);
            let expected = operations().iter().find(|o| o.service == op.service && o.name == op.name).map(|o| o.name);
            assert_eq!(found.operation, expected, "{} {path}", op.method);
            assert_eq!(found.service, Some(op.service));
        }
    }

    #[test]
    fn literals_win_over_labels_and_a_slash_at_the_end_may_be_missing() {
        let name = |service, method, path| classify(aws(service), method, path, None, None).operation;
        assert_eq!(name(Service::BedrockAgent, "POST", "/agents/"), Some("ListAgents"));
        assert_eq!(name(Service::BedrockAgent, "POST", "/agents/x/"), Some("PrepareAgent"));
        assert_eq!(name(Service::BedrockAgent, "POST", "/agents/x"), Some("PrepareAgent"));
        assert_eq!(name(Service::BedrockAgent, "POST", "/agents"), Some("ListAgents"));
        assert_eq!(name(Service::BedrockAgentRuntime, "POST", "/agents/x"), Some("InvokeInlineAgent"));
        assert_eq!(name(Service::BedrockRuntime, "POST", "//model/x/converse"), None);
        assert_eq!(name(Service::BedrockRuntime, "GET", "/model/x/converse"), None);
    }

    #[test]
    fn a_local_host_takes_the_first_match_of_the_scope() {
        let tags = |scope| classify(Host::Other, "GET", "/tags/arn", None, scope).service;
        assert_eq!(tags(None), Some(Service::BedrockAgent));
        assert_eq!(tags(Some("bedrock-agentcore")), Some(Service::BedrockAgentcoreControl));
        assert_eq!(tags(Some("s3")), Some(Service::BedrockAgent));
    }

    #[test]
    fn the_model_is_decoded_once() {
        let found = classify(Host::Other, "POST", "/model/arn%3Aaws%3Ax%2Fus.a%252Fb:0/invoke", None, None);
        assert_eq!(found.model.as_deref(), Some("arn:aws:x/us.a%2Fb:0"));
        assert_eq!(found.operation, Some("InvokeModel"));
    }
}
