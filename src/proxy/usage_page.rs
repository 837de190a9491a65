//! `/v1/usage`: what the caller's tenant used, holds and has left, answered by the gateway itself from the account in memory: as JSON,
//! or to a browser as a page. It is opened with the credential that opens everything else, and shows no other tenant. Nothing here goes
//! upstream; a path that Bedrock has by this name one day is reached with its service before it.

mod browser;

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::{Method, header};
use pingora_core::protocols::http::ServerSession;
use pingora_error::Result;

use self::browser::Shape;
use super::{
    Denial, Gateway, Passage, admit, awaited,
    body::{self, ReadBody},
    failure::internal,
    listener::handshake::voucher,
    request::{check_head, received, split_target},
    respond,
    standings::rate_limit_headers,
};
use crate::{
    auth::Claim,
    aws::Received,
    bedrock::Dialect,
    config::Bodies,
    quota::{self, Now, Standing, Statement},
    telemetry::NONE,
};

const PATH: &[u8] = b"/v1/usage";

/// In metrics and log.
const OPERATION: &str = "GetUsage";

/// Nobody sends a body here, but a signature may be over one.
const BODY_BYTES_MAX: u64 = 32 * 1024;

/// What is shown, and the caller's request rates.
struct Page {
    statement: Statement,
    standings: Vec<Standing>,
}

/// Whether a request is for this page.
pub fn is_asked_for(session: &ServerSession) -> bool {
    split_target(session.req_header()).0 == PATH
}

/// Answers it.
pub async fn serve(session: &mut ServerSession, passage: &mut Passage, gateway: &Gateway) -> Result<()> {
    let shape = Shape::of(session.req_header());
    if shape == Shape::Form {
        return match check_head(session, &passage.live.clone().snapshot) {
            Ok(()) => browser::ask(session, passage).await,
            Err(denial) => respond::refuse(session, passage, denial).await,
        };
    }
    match (page(session, passage, gateway, shape).await, shape) {
        (Ok(page), Shape::Json) => write_json(session, passage, &page).await,
        (Ok(page), _) => browser::show(session, passage, &page).await,
        (Err(denial), Shape::Json) => respond::refuse(session, passage, denial).await,
        (Err(denial), _) => browser::refuse(session, passage, &denial).await,
    }
}

async fn write_json(session: &mut ServerSession, passage: &mut Passage, page: &Page) -> Result<()> {
    let body = serde_json::to_vec(&page.statement).map_err(internal)?;
    let mut response = respond::own_head(200, "application/json", body.len())?;
    response.insert_header(header::CACHE_CONTROL, "no-store")?;
    respond::own_ids(&mut response, &passage.arrival.request_id, respond::REQUEST_ID)?;
    rate_limit_headers(&mut response, Dialect::of_path(PATH), &page.standings)?;
    respond::answer(session, passage, response, Bytes::from(body), None).await
}

async fn page(session: &mut ServerSession, passage: &mut Passage, gateway: &Gateway, shape: Shape) -> Result<Page, Denial> {
    let (claim, body) = identify(session, passage, gateway, shape).await?;
    let identity = claim.prove(Some(&body.sha256), SystemTime::now())?;
    if let Some(signed) = &identity.signed {
        signed.check_body(&body.sha256).map_err(crate::auth::IdentityError::from)?;
    }
    let tenant = admit::admit_caller(session, passage, identity.principal)?;
    if let Some(caller) = &mut passage.caller {
        caller.called = Some((NONE, OPERATION));
    }
    if shape != Shape::Posted && session.req_header().method != Method::GET {
        return Err(Denial::Method("GET"));
    }
    // Whoever has all its requests running may still look at them.
    let standings = quota::count(&tenant.name, &tenant.limits, &tenant.counters, Instant::now())?;
    let running = gateway.metrics.in_flight.with_label_values(&[&tenant.name]).get();
    let running = u64::try_from(running).unwrap_or(0);
    Ok(Page { statement: tenant.account.statement(&tenant.quotas, running, &Now::read()), standings })
}

/// Who asks, by the head or by what the form brings, and the body.
async fn identify(
    session: &mut ServerSession,
    passage: &mut Passage,
    gateway: &Gateway,
    shape: Shape,
) -> Result<(Claim, ReadBody), Denial> {
    let live = passage.live.clone();
    let snapshot = &live.snapshot;
    let bounds = Bodies { bytes_max: BODY_BYTES_MAX, ..snapshot.bodies.clone() };
    if shape != Shape::Posted {
        let claim = admit::identify(session, snapshot).await?;
        return Ok((claim, body::read(session, passage, &gateway.memory, &bounds).await?));
    }
    check_head(session, snapshot)?;
    let voucher = voucher(session, snapshot, SystemTime::now())?;
    let body = body::read(session, passage, &gateway.memory, &bounds).await?;
    let headers = browser::credential(&body.pieces)?;
    let received = Received { headers: &headers, ..received(session)? };
    let authenticator = &snapshot.authenticator;
    let claim = awaited::identity(authenticator, |now| authenticator.identify(&received, voucher.as_ref(), now)).await?;
    Ok((claim, body))
}
