//! `[traces]`: collectors that nothing could be sent to, headers that would break what is sent or show a secret.

use http::{HeaderName, HeaderValue, Uri};
use secrecy::ExposeSecret;

use super::{Check, KeyPath, upstream::shown, words};
use crate::config::Traces;

/// Written by whoever sends.
const OWN_HEADERS: [&str; 5] = ["content-type", "content-length", "content-encoding", "host", "transfer-encoding"];

fn at(key: &str) -> KeyPath {
    KeyPath::of("traces").key(key)
}

pub(super) fn check(check: &mut Check<'_>, traces: Option<&Traces>) {
    let Some(traces) = traces else { return };
    endpoint(check, traces);
    for name in traces.headers.keys() {
        let path = at("headers").key(name);
        match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => {
                check.key_error(path, "not a name for a header field", "write it as the collector's manual does: `x-api-key`")
            }
            Ok(name) if OWN_HEADERS.contains(&name.as_str()) => {
                check.key_error(path, "the gateway writes this field itself", "remove it");
            }
            Ok(_) => {}
        }
    }
    if !(0.0..=1.0).contains(&traces.sample_ratio) {
        check.error(
            at("sample_ratio"),
            format!("{} is no share", traces.sample_ratio),
            "write a number from 0 to 1: 0.01 is one in a hundred",
        );
    }
    if traces.service_name.is_empty() {
        check.error(at("service_name"), "empty", "remove the line to get the default, `tollgate`");
    }
    if traces.resource.keys().any(String::is_empty) {
        check.error(
            at("resource"),
            "an attribute without a name",
            "name it as OpenTelemetry does: `deployment.environment.name`",
        );
    }
    for (key, value) in [("export_seconds_max", traces.export_seconds_max), ("queued_spans_max", traces.queued_spans_max as u64)]
    {
        if value == 0 {
            check.error(at(key), "0 would send nothing", "remove the line to get the default");
        }
    }
}

fn endpoint(check: &mut Check<'_>, traces: &Traces) {
    let uri = traces.endpoint.parse::<Uri>().ok();
    // Spans have no prompt and no secret in them, and collectors stand near; but a header may be a key.
    let plaintext = uri.as_ref().is_some_and(|uri| uri.scheme_str() == Some("http"));
    let https = if plaintext { traces.endpoint.replacen("http:", "https:", 1) } else { traces.endpoint.clone() };
    if let Some((fault, help)) = words::url_fault(&https, true) {
        return check.error(at("endpoint"), format!("`{}` {fault}", shown(&traces.endpoint)), help);
    }
    if plaintext && !traces.headers.is_empty() && words::url_fault(&traces.endpoint, true).is_some() {
        check.warning(at("endpoint"), "plaintext off loopback: the secrets in `headers` can be read on the way", "use https");
    }
}

/// What secrets hold, once they can be read; that they can has been checked.
pub(super) fn files(check: &mut Check<'_>, traces: Option<&Traces>) {
    for (name, secret) in traces.iter().flat_map(|traces| &traces.headers) {
        if secret.read().is_ok_and(|value| HeaderValue::from_str(value.expose_secret()).is_err()) {
            check.error(
                at("headers").key(name),
                "the secret cannot be the value of a header field",
                "it must be one line of ASCII",
            );
        }
    }
}
