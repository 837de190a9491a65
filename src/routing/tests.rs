//! Every known operation finds its way home, and so does what nobody knows yet.

use super::*;
use crate::bedrock::{model::GEOGRAPHIES, operations};

fn overrides() -> Overrides {
    Overrides {
        host_suffixes: vec!["gw.example".to_owned()],
        endpoint_prefix_header: true,
        surface_service: Service::BedrockRuntime,
    }
}

fn find(method: &str, path: &str) -> Result<Route, RouteError> {
    find_with(Head { method, ..Head::default() }, path)
}

fn find_with(head: Head<'_>, path: &str) -> Result<Route, RouteError> {
    route(&head, RawPath::parse(path.as_bytes()).unwrap(), &overrides())
}

fn service_and_operation(route: &Route) -> (&'static str, &'static str) {
    (route.service.name(), route.operation_name())
}

/// A concrete path of an operation, with ARNs that belong to its service where only they can tell.
fn example(operation: &Operation) -> String {
    let arn = match operation.service {
        Service::BedrockAgentcoreControl => "arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Aruntime%2Fr-1",
        Service::BedrockAgentRuntime => "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Asession%2F0a1b",
        _ => "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aknowledge-base%2FKB1",
    };
    let shared = operation.uri.starts_with("/tags/") || operation.uri.starts_with("/resourcepolicy/");
    let label = if shared { arn } else { "x.y-v1%3A0" };
    operation.uri.split('/').map(|s| if s.starts_with('{') { label } else { s }).collect::<Vec<_>>().join("/")
}

#[test]
fn all_operations_are_found_from_method_and_path() {
    let mut peeked = Vec::new();
    for operation in operations().iter().filter(|o| o.service != Service::BedrockMantle) {
        let target = format!("AmazonBedrockKeystoneRuntimeService.{}", operation.name);
        let head = Head { method: operation.method, amz_target: Some(&target), ..Head::default() };
        let found = find_with(head, &example(operation)).unwrap();
        let arn = match operation.service {
            Service::BedrockDataAutomation => "arn:aws:bedrock:us-east-1:123456789012:blueprint/b",
            _ => "arn:aws:bedrock:us-east-1:123456789012:guardrail/g",
        };
        let operation_found = match found.peek {
            Some(peek) => {
                peeked.push(operation.name);
                peek.settle(Some(arn))
            }
            None => found.operation.unwrap().0,
        };
        // Patterns that differ in nothing but a label's name are one operation with two names.
        let twins = operation_found
            .uri
            .split('/')
            .zip(operation.uri.split('/'))
            .all(|(a, b)| a == b || a.starts_with('{') && b.starts_with('{'));
        assert_eq!(operation_found.service, operation.service, "{} {}", operation.method, operation.uri);
        assert!(operation_found.name == operation.name || twins, "{} is {}", operation.name, operation_found.name);
    }
    peeked.sort_unstable();
    peeked.dedup();
    assert_eq!(peeked, ["ListTagsForResource", "TagResource", "UntagResource"]);
}

#[test]
fn the_same_operations_are_found_below_a_prefix_and_by_host() {
    for operation in operations() {
        let target = format!("AmazonBedrockKeystoneRuntimeService.{}", operation.name);
        let host = format!("{}.gw.example:443", operation.service);
        let path = example(operation);
        let head = Head { method: operation.method, amz_target: Some(&target), ..Head::default() };
        let below = find_with(head, &format!("/{}{path}", operation.service)).unwrap();
        let by_host = find_with(Head { host: Some(&host), ..head }, &path).unwrap();
        let by_header = find_with(Head { endpoint_prefix: Some(operation.service.name()), ..head }, &path).unwrap();
        for found in [&below, &by_host, &by_header] {
            assert_eq!(found.service, operation.service);
            assert_eq!(found.path, path);
            assert!(found.peek.is_none() && found.operation.is_some());
        }
    }
}

#[test]
fn what_is_for_another_service_goes_nowhere() {
    for target in
        [None, Some("secretsmanager.PutSecretValue"), Some("DynamoDB_20120810.PutItem"), Some("InvokeDataAutomation"), Some(".")]
    {
        for method in ["POST", "GET", "PUT"] {
            let head = Head { method, amz_target: target, ..Head::default() };
            assert_eq!(find_with(head, "/").unwrap_err(), RouteError::UnknownPath, "{method} {target:?}");
        }
    }
    let new = Head { method: "POST", amz_target: Some("AmazonBedrockKeystoneRuntimeService.New"), ..Head::default() };
    assert_eq!(service_and_operation(&find_with(new, "/").unwrap()), ("bedrock-data-automation-runtime", "Unknown"));
}

#[test]
fn trailing_slash_and_case_tell_operations_apart() {
    for (method, path, expected) in [
        ("POST", "/agents/", ("bedrock-agent", "ListAgents")),
        ("POST", "/agents/A1/", ("bedrock-agent", "PrepareAgent")),
        ("POST", "/agents/A1", ("bedrock-agent-runtime", "InvokeInlineAgent")),
        ("POST", "/agents/a/agentAliases/b/sessions/c/text", ("bedrock-agent-runtime", "InvokeAgent")),
        ("POST", "/knowledgebases/KB/retrieve", ("bedrock-agent-runtime", "Retrieve")),
        ("GET", "/foundation-models", ("bedrock", "ListFoundationModels")),
    ] {
        assert_eq!(service_and_operation(&find(method, path).unwrap()), expected, "{method} {path}");
    }
}

/// As the Rust SDK sends them. It has to name bedrock-agent to prepare an agent: without the slash that is InvokeInlineAgent.
#[test]
fn a_slash_at_the_end_may_be_missing() {
    let (mut found, mut other) = (0, Vec::new());
    for operation in operations().iter().filter(|operation| operation.uri.len() > 1 && operation.uri.ends_with('/')) {
        let path = example(operation);
        let without = path.strip_suffix('/').unwrap();
        let expected = (operation.service.name(), operation.name);
        let route = self::find(operation.method, without).unwrap();
        if service_and_operation(&route) == expected {
            found += 1
        } else {
            other.push(operation.name)
        }
        assert_eq!(route.path, without, "it goes on as it came");
        let named = self::find(operation.method, &format!("/{}{without}", operation.service)).unwrap();
        assert_eq!(service_and_operation(&named), expected);
    }
    assert_eq!((found, other), (101, vec!["PrepareAgent"]));
    // None is added in thought where the path is nobody's, and none is taken away.
    assert_eq!(find("POST", "/model/m/converse/").unwrap().operation, None);
}

#[test]
fn slashes_collapse_in_front_and_are_refused_inside() {
    assert!(find("POST", "//model/m/converse").is_ok());
    assert_eq!(find("POST", "/bedrock-runtime//model/m/converse").unwrap().path, "/model/m/converse");
    assert_eq!(find("POST", "/model//m/converse"), Err(RouteError::EmptySegment));
    assert_eq!(find("POST", "/agents//"), Err(RouteError::EmptySegment));
}

#[test]
fn a_model_is_read_decoded_and_sent_raw() {
    let arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aapplication-inference-profile%2Fabc";
    let found = find("POST", &format!("//model/{arn}/converse-stream")).unwrap();
    assert_eq!(service_and_operation(&found), ("bedrock-runtime", "ConverseStream"));
    assert_eq!(found.model.as_deref(), Some("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc"));
    assert_eq!(found.path, format!("/model/{arn}/converse-stream"));
    assert_eq!(find("POST", "/model/a:0/invoke").unwrap().model.as_deref(), Some("a:0"));
}

#[test]
fn encoded_literals_are_the_operation_they_decode_to() {
    let found = find("POST", "/%6Dodel/m/%69nvoke").unwrap();
    assert_eq!(service_and_operation(&found), ("bedrock-runtime", "InvokeModel"));
    assert_eq!(found.model.as_deref(), Some("m"));
}

#[test]
fn unknown_operations_go_to_the_service_their_path_names() {
    for (method, path, expected) in [
        ("POST", "/model/m/dream", Ok("bedrock-runtime")),
        ("PUT", "/model/m/converse", Ok("bedrock-runtime")),
        ("GET", "/guardrails/g/new-thing", Ok("bedrock")),
        ("POST", "/bedrock-agentcore/anything/at/all", Ok("bedrock-agentcore")),
        ("POST", "/agents/a/agentAliases/b/new", Ok("bedrock-agent-runtime")),
        ("GET", "/nothing/like/it", Err(RouteError::UnknownPath)),
        ("POST", "/openai/v1/embeddings", Err(RouteError::Surface("OpenAI"))),
        ("GET", "/anthropic/v1/files", Err(RouteError::Surface("Anthropic"))),
        ("POST", "/v1/model/m/converse", Err(RouteError::Stage)),
        ("POST", "/prod/knowledgebases/K/retrieve", Err(RouteError::Stage)),
        ("POST", "/v1/new-thing", Ok("bedrock-mantle")),
        ("POST", "/v1/messages", Err(RouteError::Base { api: "Anthropic", base: "/anthropic" })),
        ("POST", "/v1/messages/count_tokens", Err(RouteError::Base { api: "Anthropic", base: "/anthropic" })),
        ("POST", "/chat/completions", Err(RouteError::Base { api: "OpenAI", base: "/openai/v1" })),
        ("POST", "/bedrock-mantle/v1/messages", Ok("bedrock-mantle")),
    ] {
        let found = find(method, path);
        assert_eq!(found.as_ref().map(|r| r.service.name()).map_err(Clone::clone), expected, "{method} {path}");
        assert!(found.is_err() || found.is_ok_and(|r| r.operation.is_none()));
    }
}

#[test]
fn surfaces_go_by_scope_then_model_then_configuration() {
    let path = "/openai/v1/chat/completions";
    let with = |scope, surface| {
        let head = Head { method: "POST", scope_service: scope, ..Head::default() };
        route(&head, RawPath::parse(path.as_bytes()).unwrap(), &Overrides { surface_service: surface, ..overrides() }).unwrap()
    };
    assert_eq!(with(None, Service::BedrockRuntime).service, Service::BedrockRuntime);
    assert_eq!(with(Some("bedrock-mantle"), Service::BedrockRuntime).service, Service::BedrockMantle);
    assert_eq!(with(Some("bedrock"), Service::BedrockMantle).service, Service::BedrockRuntime);
    let peek = with(None, Service::BedrockMantle).peek.unwrap();
    for geography in GEOGRAPHIES {
        let id = format!("{geography}.anthropic.claude-opus-4-8");
        assert_eq!(peek.settle(Some(&id)).service, Service::BedrockRuntime, "{id}");
    }
    assert_eq!(peek.settle(Some("openai.gpt-oss-120b-1:0")).service, Service::BedrockRuntime);
    assert_eq!(peek.settle(Some("openai.gpt-oss-120b")).service, Service::BedrockMantle);
    assert_eq!(peek.settle(None).service, Service::BedrockMantle);
    assert_eq!(find("POST", "/anthropic/v1/messages/count_tokens").unwrap().service, Service::BedrockMantle);
    assert_eq!(find("GET", "/v1/models").unwrap().service, Service::BedrockMantle);
}

#[test]
fn only_known_services_are_believed() {
    let head = Head { method: "POST", endpoint_prefix: Some("attacker.example#"), ..Head::default() };
    assert_eq!(find_with(head, "/model/m/invoke"), Err(RouteError::Override(OverrideError)));
    let head = Head { method: "POST", host: Some("bedrock.other.example"), ..Head::default() };
    assert_eq!(find_with(head, "/model/m/invoke").unwrap().service, Service::BedrockRuntime);
}
