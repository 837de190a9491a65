//! The gateway's own endpoints, where a client gets AWS credentials for its token: the container-credentials protocol and STS's
//! AssumeRoleWithWebIdentity, as SDKs speak them; and GetCallerIdentity, which says what came of it. Nothing here goes upstream.

mod assume_role;
mod caller_identity;
mod container;
mod form;
mod sts;
mod xml;

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::header;
use pingora_core::protocols::http::ServerSession;
use pingora_error::Result;

use self::{assume_role::AssumeRole, sts::Asked};
use super::{
    Denial, Gateway, Passage,
    admit::{self, identify},
    awaited, body,
    listener::handshake::voucher,
    request::{check_head, split_target},
    respond,
};
use crate::{
    auth::{IdentityError, Principal, SealError, Voucher, credential::container_token},
    aws::SignatureError,
    config::Bodies,
    snapshot::{Snapshot, Vends},
    telemetry::NONE,
};

/// Parameters and a token of the greatest length fit in.
const BODY_BYTES_MAX: u64 = 32 * 1024;

/// A way to get credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `GET /credentials`
    Container,
    /// `POST /sts`, or a form at `/`
    Sts,
}

/// What is wrong with a request for credentials, apart from its token.
#[derive(Debug, thiserror::Error)]
pub enum VendError {
    /// Another action of STS.
    #[error("The actions here are AssumeRoleWithWebIdentity and GetCallerIdentity.")]
    Action,
    /// A parameter that is missing, twice, or not as it should be.
    #[error("The parameter {0} must be there once, and be well-formed.")]
    Parameter(&'static str),
    /// A parameter that would make the session narrower.
    #[error("{0} is not taken: what the credentials may do is the tenant's policy. Leave it out.")]
    Narrowed(&'static str),
    /// A token in the query string, which ends up in logs.
    #[error("WebIdentityToken must be in the body.")]
    TokenInQuery,
    /// Who asks who it is cannot be identified.
    #[error(transparent)]
    Caller(IdentityError),
    /// Credentials could not be made.
    #[error("The gateway could not make credentials. Its operator has to look.")]
    Sealing(#[from] SealError),
}

/// An answer in the words of its endpoint.
struct Answer {
    status: u16,
    content_type: &'static str,
    body: String,
}

/// Which of the endpoints a request is for, if the configuration has it.
pub fn endpoint(session: &ServerSession, vends: Vends) -> Option<Endpoint> {
    match split_target(session.req_header()).0 {
        b"/credentials" if vends.container_credentials => Some(Endpoint::Container),
        b"/sts" | b"/sts/" if vends.sts => Some(Endpoint::Sts),
        // The Java SDK takes no path from AWS_ENDPOINT_URL_STS. What Bedrock has there (data automation) takes JSON.
        b"/" if vends.sts && is_form(session) => Some(Endpoint::Sts),
        _ => None,
    }
}

fn is_form(session: &ServerSession) -> bool {
    const FORM: &str = "application/x-www-form-urlencoded";
    let content_type = session.req_header().headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.and_then(|value| value.get(..FORM.len())).is_some_and(|begin| begin.eq_ignore_ascii_case(FORM))
}

/// Answers a request for credentials.
pub async fn serve(session: &mut ServerSession, passage: &mut Passage, endpoint: Endpoint, gateway: &Gateway) -> Result<()> {
    let answer = match endpoint {
        Endpoint::Container => vend_for_container(session, passage).await,
        Endpoint::Sts => answer_as_sts(session, passage, gateway).await,
    };
    let id = passage.arrival.request_id.as_str();
    let (answer, denial) = match answer {
        Ok(answer) => (answer, None),
        Err(denial) => (refusal(&denial, endpoint, id), Some(denial)),
    };
    let Answer { status, content_type, body } = answer;
    let mut response = respond::own_head(status, content_type, body.len())?;
    response.insert_header(header::CACHE_CONTROL, "no-store")?;
    respond::own_ids(&mut response, id, respond::AWS_REQUEST_ID)?;
    respond::answer(session, passage, response, Bytes::from(body), denial.as_ref()).await
}

fn refusal(denial: &Denial, endpoint: Endpoint, id: &str) -> Answer {
    match endpoint {
        Endpoint::Container => {
            let verdict = denial.verdict();
            let body = container::refusal(denial, &verdict);
            Answer { status: verdict.status, content_type: container::CONTENT_TYPE, body }
        }
        Endpoint::Sts => {
            let (status, body) = sts::refusal(denial, id);
            Answer { status, content_type: sts::CONTENT_TYPE, body }
        }
    }
}

async fn vend_for_container(session: &mut ServerSession, passage: &mut Passage) -> Result<Answer, Denial> {
    let live = passage.live.clone();
    let snapshot = &live.snapshot;
    check_head(session, snapshot)?;
    let request = session.req_header();
    if request.method != http::Method::GET {
        return Err(Denial::Method("GET"));
    }
    let voucher = voucher(session, snapshot, SystemTime::now())?;
    let token = container_token(&request.headers).map_err(IdentityError::from)?;
    let authenticator = &snapshot.authenticator;
    let principal = awaited::identity(authenticator, |now| authenticator.authenticate_token(token.token(), now)).await?;
    let now = SystemTime::now();
    check_vouched(session, passage, voucher.as_ref(), &principal, (NONE, "VendCredentials"), now)?;
    let credentials = authenticator.issued().vend(&principal, None, now).map_err(VendError::from)?;
    Ok(Answer { status: 200, content_type: container::CONTENT_TYPE, body: container::credentials(&credentials) })
}

async fn answer_as_sts(session: &mut ServerSession, passage: &mut Passage, gateway: &Gateway) -> Result<Answer, Denial> {
    let live = passage.live.clone();
    let snapshot = &live.snapshot;
    check_head(session, snapshot)?;
    if session.req_header().method != http::Method::POST {
        return Err(Denial::Method("POST"));
    }
    let _burden = gateway.load.take_on(snapshot.downstream.requests_max)?;
    let bounds = Bodies { bytes_max: BODY_BYTES_MAX, ..snapshot.bodies.clone() };
    let body = body::read(session, passage, &gateway.memory, &bounds).await?;
    let body_text = body.pieces.concat();
    let body = match sts::Asked::parse(split_target(session.req_header()).1, &body_text)? {
        Asked::AssumeRole(asked) => assume_role(session, passage, &asked).await?,
        Asked::CallerIdentity => {
            let principal = caller(session, snapshot, &body.sha256).await?;
            check_caller(session, passage, &principal, ("sts", "GetCallerIdentity"))?;
            caller_identity::answer(&principal, &snapshot.region, &passage.arrival.request_id)
        }
    };
    Ok(Answer { status: 200, content_type: sts::CONTENT_TYPE, body })
}

async fn assume_role(session: &ServerSession, passage: &mut Passage, asked: &AssumeRole) -> Result<String, Denial> {
    let live = passage.live.clone();
    let voucher = voucher(session, &live.snapshot, SystemTime::now())?;
    let authenticator = &live.snapshot.authenticator;
    let principal = awaited::identity(authenticator, |now| authenticator.authenticate_token(&asked.token, now)).await?;
    let now = SystemTime::now();
    check_vouched(session, passage, voucher.as_ref(), &principal, ("sts", "AssumeRoleWithWebIdentity"), now)?;
    let credentials = authenticator.issued().vend(&principal, asked.lifetime, now).map_err(VendError::from)?;
    Ok(asked.answer(&principal, &credentials, &passage.arrival.request_id))
}

/// By whatever a request to Bedrock could prove itself with.
async fn caller(session: &mut ServerSession, snapshot: &Snapshot, body_sha256: &str) -> Result<Arc<Principal>, Denial> {
    let unidentified = |denial| match denial {
        Denial::Identity(error) => VendError::Caller(error).into(),
        other => other,
    };
    let claim = identify(session, snapshot).await.map_err(unidentified)?;
    let identity = claim.prove(Some(body_sha256), SystemTime::now()).map_err(VendError::Caller)?;
    if let Some(signed) = &identity.signed {
        let scoped = if signed.service == "sts" { Ok(()) } else { Err(SignatureError::Service(vec!["sts".to_owned()])) };
        let checked = scoped.and_then(|()| signed.check_body(body_sha256));
        checked.map_err(|error| VendError::Caller(error.into()))?;
    }
    Ok(identity.principal)
}

/// Whoever is no tenant's gets nothing, nor does anybody over the connection of another tenant's certificate.
fn check_vouched(
    session: &ServerSession,
    passage: &mut Passage,
    voucher: Option<&Voucher>,
    principal: &Arc<Principal>,
    called: (&'static str, &'static str),
    now: SystemTime,
) -> Result<(), Denial> {
    if let Some(voucher) = voucher {
        voucher.check(principal, now)?;
    }
    check_caller(session, passage, principal, called)?;
    // Believed for the leeway between clocks; what is vended would be over before it is used.
    if principal.expires_at <= now { Err(IdentityError::Expired.into()) } else { Ok(()) }
}

/// All are counted under their tenant's name, but not against its limits: an SDK that cannot refresh fails every call.
fn check_caller(
    session: &ServerSession,
    passage: &mut Passage,
    principal: &Arc<Principal>,
    called: (&'static str, &'static str),
) -> Result<(), Denial> {
    let tenant = admit::admit_caller(session, passage, Arc::clone(principal));
    if let Some(caller) = &mut passage.caller {
        caller.called = Some(called);
    }
    tenant.map(drop)
}
