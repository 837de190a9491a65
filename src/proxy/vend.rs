//! The gateway's own endpoints, where a client gets AWS credentials for its token: the container-credentials protocol and STS's
//! AssumeRoleWithWebIdentity, as SDKs speak them. Nothing here goes upstream.

mod container;
mod form;
mod sts;

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{HeaderName, header};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::{
    Denial, Gateway, Passage,
    admit::{self, check_head, split_target},
    awaited, body,
    respond::{self, Refusal},
};
use crate::{
    auth::{IdentityError, Principal, SealError, credential::container_token},
    config::Bodies,
    snapshot::Vends,
    telemetry::NONE,
};

/// Parameters and a token of the greatest length fit in.
const BODY_BYTES_MAX: u64 = 32 * 1024;

/// A way to get credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `GET /credentials`
    Container,
    /// `POST /sts`
    Sts,
}

/// What is wrong with a request for credentials, apart from its token.
#[derive(Debug, thiserror::Error)]
pub enum VendError {
    /// Another method.
    #[error("The method has to be {0}.")]
    Method(&'static str),
    /// Another action of STS.
    #[error("The only action here is AssumeRoleWithWebIdentity.")]
    Action,
    /// A parameter that is missing, twice, or not as it should be.
    #[error("The parameter {0} must be there once, and be well-formed.")]
    Parameter(&'static str),
    /// A token in the query string, which ends up in logs.
    #[error("WebIdentityToken must be in the body.")]
    TokenInQuery,
    /// Credentials could not be made.
    #[error("The gateway could not make credentials. Its operator has to look.")]
    Sealing(#[from] SealError),
}

/// A success, in the words of its endpoint.
struct Vended {
    content_type: &'static str,
    body: String,
}

/// Which of the endpoints a request is for, if the configuration has it.
pub fn endpoint(session: &Session, vends: Vends) -> Option<Endpoint> {
    match split_target(session.req_header()).0 {
        b"/credentials" if vends.container_credentials => Some(Endpoint::Container),
        b"/sts" | b"/sts/" if vends.sts => Some(Endpoint::Sts),
        _ => None,
    }
}

/// Answers a request for credentials.
pub async fn serve(session: &mut Session, passage: &mut Passage, endpoint: Endpoint, gateway: &Gateway) -> Result<()> {
    let vended = match endpoint {
        Endpoint::Container => vend_for_container(session, passage).await,
        Endpoint::Sts => vend_as_sts(session, passage, gateway).await,
    };
    let lost_count = matches!(vended, Err(Denial::BodyBroken));
    let id = passage.arrival.request_id.as_str();
    let (status, content_type, body, refusal) = match (vended, endpoint) {
        (Ok(vended), _) => (200, vended.content_type, vended.body, None),
        (Err(denial), Endpoint::Container) => {
            let verdict = denial.verdict();
            (verdict.status, container::CONTENT_TYPE, container::refusal(&denial, &verdict), Some(Refusal::of(&verdict)))
        }
        (Err(denial), Endpoint::Sts) => {
            let (status, body) = sts::refusal(&denial, id);
            (status, sts::CONTENT_TYPE, body, Some(Refusal::of(&denial.verdict())))
        }
    };
    let mut response = ResponseHeader::build(status, Some(8))?;
    response.insert_header(header::CONTENT_TYPE, content_type)?;
    response.insert_header(header::CONTENT_LENGTH, body.len())?;
    response.insert_header(header::CACHE_CONTROL, "no-store")?;
    response.insert_header(HeaderName::from_static("x-tollgate-source"), "gateway")?;
    response.insert_header(HeaderName::from_static("x-tollgate-request-id"), id)?;
    response.insert_header("x-amzn-RequestId", id)?;
    let without_body = session.req_header().method == http::Method::HEAD;
    let body = if without_body { Bytes::new() } else { Bytes::from(body) };
    respond::answer(session, passage, response, body, refusal, lost_count).await
}

async fn vend_for_container(session: &mut Session, passage: &mut Passage) -> Result<Vended, Denial> {
    let live = passage.live.clone();
    let snapshot = &live.snapshot;
    check_head(session, snapshot)?;
    let request = session.req_header();
    if request.method != http::Method::GET {
        return Err(VendError::Method("GET").into());
    }
    let token = container_token(&request.headers).map_err(IdentityError::from)?;
    let authenticator = &snapshot.authenticator;
    let principal = awaited::identity(authenticator, |now| authenticator.authenticate_token(token.token(), now)).await?;
    let now = SystemTime::now();
    admit(session, passage, &principal, (NONE, "VendCredentials"), now)?;
    let credentials = snapshot.authenticator.issued().vend(&principal, None, now).map_err(VendError::from)?;
    Ok(Vended { content_type: container::CONTENT_TYPE, body: container::credentials(&credentials) })
}

async fn vend_as_sts(session: &mut Session, passage: &mut Passage, gateway: &Gateway) -> Result<Vended, Denial> {
    let live = passage.live.clone();
    let snapshot = &live.snapshot;
    check_head(session, snapshot)?;
    if session.req_header().method != http::Method::POST {
        return Err(VendError::Method("POST").into());
    }
    let bounds = Bodies { bytes_max: BODY_BYTES_MAX, ..snapshot.bodies.clone() };
    let body = body::read(session, passage, &gateway.budget, &bounds).await?.pieces.concat();
    let asked = sts::Asked::parse(split_target(session.req_header()).1, &body)?;
    let authenticator = &snapshot.authenticator;
    let principal = awaited::identity(authenticator, |now| authenticator.authenticate_token(&asked.token, now)).await?;
    let now = SystemTime::now();
    admit(session, passage, &principal, ("sts", "AssumeRoleWithWebIdentity"), now)?;
    let credentials = snapshot.authenticator.issued().vend(&principal, asked.lifetime, now).map_err(VendError::from)?;
    let body = asked.answer(&principal, &credentials, &passage.arrival.request_id);
    Ok(Vended { content_type: sts::CONTENT_TYPE, body })
}

/// Whoever is no tenant's gets nothing; all others are counted under their tenant's name, but not against its limits: an SDK that
/// cannot refresh fails every call.
fn admit(
    session: &Session,
    passage: &mut Passage,
    principal: &Arc<Principal>,
    called: (&'static str, &'static str),
    now: SystemTime,
) -> Result<(), Denial> {
    let tenant = admit::tenant_of(session, passage, Arc::clone(principal));
    if let Some(caller) = &mut passage.caller {
        caller.called = Some(called);
    }
    // Believed for the leeway between clocks; what is vended would be over before it is used.
    if tenant.is_ok() && principal.expires_at <= now {
        return Err(IdentityError::Expired.into());
    }
    tenant.map(drop)
}
