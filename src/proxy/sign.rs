//! The request as Bedrock gets it: the client's credentials and its hops are gone, the path is the route's, the signature is the
//! gateway's, or that of a session it made for the tenant. Runs once per attempt, since a signature is of its time.

use std::{borrow::Cow, time::SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, request::Parts};
use pingora_error::Result;
use pingora_http::RequestHeader;

use super::{
    Denial, Passage,
    allow::{IDENTIFIER, VERSION},
    failure::{denied, internal},
    head::{is_signed, without_case},
    hop::nominated,
    request::split_target,
    trace::Trace,
};
use crate::{
    aws::{Signer, Signing, received::SIGNED_EVENTS},
    bedrock::{metadata, terms::GuardrailPlace},
    policy::Rights,
    routing::Route,
};

static AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
static CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
static METADATA: HeaderName = HeaderName::from_static(metadata::HEADER);
static SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// Rewrites and signs the head of one attempt.
pub fn prepare(request: &mut RequestHeader, passage: &Passage) -> Result<()> {
    let (Some(body), Some(admitted)) = (passage.content.body(), &passage.admitted) else { return Err(denied(Denial::Internal)) };
    let now = SystemTime::now();
    let signer = admitted.signer(now).map_err(denied)?;
    let mut parts = rewrite(request, passage)?;
    if body.length > 0 || matches!(parts.method, Method::POST | Method::PUT | Method::PATCH) {
        parts.headers.insert(header::CONTENT_LENGTH, body.length.into());
    } else {
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    sign(&mut parts, passage, &signer, &body.sha256, now)?;
    *request = parts.into();
    Ok(())
}

/// Rewrites and signs the head of a request whose body is a stream of signed events, for HTTP/2. Gives the signature, with which theirs
/// begin.
pub fn prepare_events(request: &mut RequestHeader, passage: &Passage, signer: &Signer, now: SystemTime) -> Result<[u8; 32]> {
    let mut parts = rewrite(request, passage)?;
    parts.headers.insert(&CONTENT_SHA256, HeaderValue::from_static(SIGNED_EVENTS));
    let seed = sign(&mut parts, passage, signer, SIGNED_EVENTS, now)?;
    let Some(admitted) = &passage.admitted else { return Err(denied(Denial::Internal)) };
    let endpoint = passage.live.snapshot.endpoint(admitted.route().service);
    let scheme = if endpoint.tls { "https" } else { "http" };
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let uri = Uri::builder().scheme(scheme).authority(endpoint.authority.as_str()).path_and_query(target).build();
    parts.uri = uri.map_err(internal)?;
    parts.headers.remove(header::HOST);
    // The client's is of its own framing; ours has signatures, and an event more.
    parts.headers.remove(header::CONTENT_LENGTH);
    *request = parts.into();
    Ok(seed)
}

/// Path, query and headers as they are sent.
fn rewrite(request: &mut RequestHeader, passage: &Passage) -> Result<Parts> {
    let Some(admitted) = &passage.admitted else { return Err(denied(Denial::Internal)) };
    let route = admitted.route();
    let endpoint = passage.live.snapshot.endpoint(route.service);
    retarget(request, &route.path)?;
    let mut parts = without_case(request);
    let headers = &mut parts.headers;
    strip(headers, &passage.trace);
    collapse_signed_whitespace(headers)?;
    headers.insert(header::HOST, endpoint.host_header.clone());
    // A compressed answer could not be read for usage, and event streams never are compressed.
    headers.insert(header::ACCEPT_ENCODING, IDENTITY);
    passage.trace.tell(headers)?;
    if let Some(metadata) = &admitted.metadata {
        headers.insert(&METADATA, metadata.clone());
    }
    force_guardrail(headers, &admitted.rights(), route)?;
    Ok(parts)
}

/// Puts the guardrail that is required into the head, where the operation takes it there.
fn force_guardrail(headers: &mut HeaderMap, rights: &Rights<'_>, route: &Route) -> Result<()> {
    let operation = route.operation.map(|known| known.0);
    if let Ok(Some((guardrail, GuardrailPlace::Headers))) = rights.guardrail(route.service, operation) {
        headers.insert(&IDENTIFIER, HeaderValue::try_from(guardrail.identifier()).map_err(internal)?);
        headers.insert(&VERSION, HeaderValue::try_from(guardrail.version()).map_err(internal)?);
    }
    Ok(())
}

/// Signs the head as it is now; gives the signature.
fn sign(parts: &mut Parts, passage: &Passage, signer: &Signer, body_sha256: &str, now: SystemTime) -> Result<[u8; 32]> {
    let Some(admitted) = &passage.admitted else { return Err(denied(Denial::Internal)) };
    let snapshot = &passage.live.snapshot;
    let route = admitted.route();
    let endpoint = snapshot.endpoint(route.service);
    let signed = {
        let mut headers = Vec::with_capacity(8);
        headers.push((header::HOST.as_str(), endpoint.authority.as_str()));
        headers.extend(signable(&parts.headers));
        let signing = Signing {
            method: parts.method.as_str(),
            path: &route.path,
            query: parts.uri.query().unwrap_or_default(),
            headers: &headers,
            body_sha256,
            region: &snapshot.region,
            service: route.service.signing_name(),
        };
        signer.sign(&signing, now).map_err(|e| {
            tracing::error!(error = %e, "cannot sign");
            denied(Denial::Internal)
        })?
    };
    parts.headers.insert(header::AUTHORIZATION, signed.authorization);
    parts.headers.insert(&AMZ_DATE, signed.date);
    if let Some(token) = signed.security_token {
        parts.headers.insert(&SECURITY_TOKEN, token);
    }
    Ok(signed.signature)
}

/// The route's path and the client's query, without a host.
fn retarget(request: &mut RequestHeader, path: &str) -> Result<()> {
    let query = split_target(request).1;
    let target = if query.is_empty() { Cow::Borrowed(path) } else { Cow::Owned(format!("{path}?{query}")) };
    // Seldom is there anything to change, and it would be parsed again.
    if request.raw_path() == target.as_bytes() && request.uri.authority().is_none() {
        return Ok(());
    }
    let target = target.into_owned();
    request.set_raw_path(target.as_bytes())
}

/// AWS wants Host, Content-Type and every `x-amz-` header signed; fewer break less.
fn signable(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    // The signer adds its own date; the client's is still there until it is replaced.
    let signed = headers.iter().filter(|(name, _)| is_signed(name.as_str()) && *name != AMZ_DATE);
    signed.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
}

/// Signers disagree about tabs and runs of spaces inside a value (botocore makes each one space, others leave tabs): the value that is
/// sent has neither.
fn collapse_signed_whitespace(headers: &mut HeaderMap) -> Result<()> {
    let is_odd = |value: &HeaderValue| value.as_bytes().contains(&b'\t') || value.as_bytes().windows(2).any(|pair| pair == b"  ");
    let odd = headers.iter().filter(|(name, value)| is_signed(name.as_str()) && is_odd(value));
    let names: Vec<HeaderName> = odd.map(|(name, _)| name.clone()).collect();
    for name in names {
        let values = headers.get_all(&name).iter().filter_map(|value| value.to_str().ok());
        let plain: Vec<String> = values.map(|value| value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")).collect();
        headers.remove(&name);
        for value in plain {
            headers.append(&name, HeaderValue::try_from(value).map_err(internal)?);
        }
    }
    Ok(())
}

fn strip(headers: &mut HeaderMap, trace: &Trace) {
    let stays = |name: &str| if is_forwarded(name) { trace.passes_on(name) } else { is_replaced(name) };
    let is_gone = |name: &&HeaderName| !stays(name.as_str());
    let gone: Vec<HeaderName> = headers.keys().filter(is_gone).cloned().chain(nominated(headers)).collect();
    for name in &gone {
        headers.remove(name);
    }
}

/// Of those that are not forwarded, the ones that [`prepare`] replaces in any case: removing them first would be done for nothing.
fn is_replaced(name: &str) -> bool {
    matches!(name, "accept-encoding" | "authorization" | "content-length" | "host" | "x-amz-date")
}

/// Not forwarded: credentials, what concerns one hop only, where the request came from, and what is written anew.
fn is_forwarded(name: &str) -> bool {
    let known = matches!(
        name,
        "accept-encoding"
            | "authorization"
            | "aws-endpoint-prefix"
            | "cf-connecting-ip"
            | "connection"
            | "content-length"
            | "cookie"
            | "expect"
            | "forwarded"
            | "host"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "true-client-ip"
            | "upgrade"
            | "via"
            | "x-amz-content-sha256"
            | "x-amz-date"
            | "x-amz-security-token"
            | "x-amz-signature"
            | "x-api-key"
            | "x-client-ip"
            | "x-cluster-client-ip"
            | "x-envoy-external-address"
            | "x-original-forwarded-for"
            | "x-original-host"
            | "x-real-ip"
    );
    !known && !name.starts_with("x-forwarded-") && !name.starts_with("x-tollgate-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_headers_pass_and_the_rest_does_not() {
        for name in [
            "accept",
            "content-type",
            "x-amzn-bedrock-guardrailidentifier",
            "x-amzn-bedrock-trace",
            "x-amzn-bedrock-service-tier",
            "x-amzn-bedrock-request-metadata",
            "x-amz-target",
            "amz-sdk-invocation-id",
            "amz-sdk-request",
            "anthropic-version",
            "anthropic-beta",
            "openai-organization",
            "traceparent",
            "user-agent",
            "x-simulator-latency-ms",
        ] {
            assert!(is_forwarded(name), "{name}");
        }
        for name in [
            "authorization",
            "x-api-key",
            "x-amz-security-token",
            "x-forwarded-for",
            "x-forwarded-anything",
            "te",
            "via",
            "http2-settings",
        ] {
            assert!(!is_forwarded(name), "{name}");
        }
    }
}
