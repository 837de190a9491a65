//! Refusals and failures, in the words of the route: AWS's, OpenAI's or Anthropic's.

use http::{HeaderValue, StatusCode};
use serde_json::{Value, json as value};

use super::{Answer, JSON};
use crate::{
    bedrock::Dialect,
    simulator::{exchange::json, script::Behaviour},
};

/// 403.
pub(in super::super) fn refused(dialect: Dialect, code: &str, message: &str) -> Answer {
    error(dialect, StatusCode::FORBIDDEN, code, message)
}

/// 400 about the simulator itself, not Bedrock.
pub(in super::super) fn bad_request(message: &str) -> Answer {
    error(Dialect::Aws, StatusCode::BAD_REQUEST, "ValidationException", message)
}

/// The error that the script asks for, if it asks for one.
pub(in super::super) fn scripted(dialect: Dialect, behaviour: &Behaviour) -> Option<Answer> {
    let throttled = behaviour.throttle == Some(true);
    let status = behaviour.status.or(throttled.then_some(429))?;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let code = behaviour.error_type.as_deref().unwrap_or(usual_code(status));
    Some(error(dialect, status, code, usual_message(code)))
}

/// What Bedrock really answers to a path it does not know.
pub(super) fn unknown_operation() -> Answer {
    const BODY: &str = r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#;
    json(StatusCode::OK, JSON, BODY)
}

/// An error inside an SSE stream.
pub(super) fn inside_stream(dialect: Dialect, code: &str) -> Value {
    body(dialect, code, usual_message(code))
}

/// What AWS says with an exception.
pub(super) fn usual_message(code: &str) -> &'static str {
    match code {
        "ThrottlingException" | "throttlingException" => "Too many requests, please wait before trying again.",
        "ExpiredTokenException" => "The security token included in the request is expired",
        "AccessDeniedException" => "You don't have access to the model with the specified model ID.",
        "ServiceQuotaExceededException" => "Too many tokens per day, please wait before trying again.",
        _ => "The simulator was told to answer so.",
    }
}

fn usual_code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "ValidationException",
        402 => "ServiceQuotaExceededException",
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        409 => "ConflictException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        _ => "InternalServerException",
    }
}

/// SDKs of AWS read the type from the header, JSON 1.1's only from the body.
fn error(dialect: Dialect, status: StatusCode, code: &str, message: &str) -> Answer {
    let mut answer = json(status, JSON, body(dialect, code, message).to_string());
    if let Ok(code) = HeaderValue::from_str(code) {
        answer.headers.insert("x-amzn-errortype", code);
    }
    answer
}

fn body(dialect: Dialect, code: &str, message: &str) -> Value {
    match dialect {
        Dialect::Aws => value!({"__type": code, "message": message}),
        Dialect::OpenAi => value!({"error": {"message": message, "type": code, "param": null, "code": code}}),
        Dialect::Anthropic => value!({"type": "error", "error": {"type": code, "message": message}}),
    }
}
