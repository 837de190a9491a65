//! `GET /v1/usage`: what the caller's tenant used, holds and has left, answered by the gateway itself from the account in memory. It is
//! opened with the credential that opens everything else, and shows no other tenant. Nothing here goes upstream; a path that Bedrock
//! has by this name one day is reached with its service before it.

use std::time::SystemTime;

use bytes::Bytes;
use http::{Method, header};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::{
    Denial, Gateway, Passage,
    admit::{self, split_target},
    body, respond,
    standings::rate_limit_headers,
};
use crate::{
    bedrock::Dialect,
    config::Bodies,
    quota::{self, Now, Standing},
    telemetry::NONE,
};

const PATH: &[u8] = b"/v1/usage";

/// In metrics and log.
const OPERATION: &str = "GetUsage";

/// Nobody sends a body here, but a signature may be over one.
const BODY_BYTES_MAX: u64 = 32 * 1024;

/// The page, and the caller's request rates.
struct Page {
    body: Vec<u8>,
    standings: Vec<Standing>,
}

/// Whether a request is for this page.
pub fn is_asked_for(session: &Session) -> bool {
    split_target(session.req_header()).0 == PATH
}

/// Answers it.
pub async fn serve(session: &mut Session, passage: &mut Passage, gateway: &Gateway) -> Result<()> {
    let Page { body, standings } = match page(session, passage, gateway).await {
        Ok(page) => page,
        Err(denial) => return respond::refuse(session, passage, denial).await,
    };
    let id = passage.arrival.request_id.as_str();
    let mut response = ResponseHeader::build(200, Some(16))?;
    response.insert_header(header::CONTENT_TYPE, "application/json")?;
    response.insert_header(header::CONTENT_LENGTH, body.len())?;
    response.insert_header(header::CACHE_CONTROL, "no-store")?;
    response.insert_header("x-tollgate-source", "gateway")?;
    response.insert_header("x-tollgate-request-id", id)?;
    response.insert_header("request-id", id)?;
    rate_limit_headers(&mut response, Dialect::of_path(PATH), &standings)?;
    respond::answer(session, passage, response, Bytes::from(body), None, false).await
}

async fn page(session: &mut Session, passage: &mut Passage, gateway: &Gateway) -> Result<Page, Denial> {
    let live = passage.live.clone();
    let claim = admit::identify(session, &live.snapshot).await?;
    let bounds = Bodies { bytes_max: BODY_BYTES_MAX, ..live.snapshot.bodies.clone() };
    let body = body::read(session, passage, &gateway.budget, &bounds).await?;
    let identity = claim.prove(Some(&body.sha256), SystemTime::now())?;
    if let Some(signed) = &identity.signed {
        signed.check_body(&body.sha256).map_err(crate::auth::IdentityError::from)?;
    }
    let tenant = admit::tenant_of(passage, identity.principal)?;
    if let Some(caller) = &mut passage.caller {
        caller.called = Some((NONE, OPERATION));
    }
    if session.req_header().method != Method::GET {
        return Err(Denial::Method("GET"));
    }
    // Whoever has all its requests running may still look at them.
    let standings = quota::count(&tenant.name, &tenant.limits, &tenant.counters)?;
    let running = gateway.metrics.in_flight.with_label_values(&[&tenant.name]).get();
    let statement = tenant.account.statement(&tenant.quotas, u64::try_from(running).unwrap_or(0), &Now::read());
    Ok(Page { body: serde_json::to_vec(&statement).map_err(|_| Denial::Internal)?, standings })
}
