//! The gate. From a request's head to [`Admitted`], which nothing else can make and every later station asks for: identity, tenant,
//! route, policy, rate. What only the body tells is completed by `body`, on the same value.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Version};

use pingora_core::protocols::http::ServerSession;

use super::{
    Denial, Passage, allow,
    assume::UpstreamIdentity,
    awaited,
    charge::Charge,
    head,
    listener::handshake,
    load::Burden,
    request::{check_head, received, routing_head, source, split_target},
};
use crate::{
    auth::{Claim, Identity, IdentityError, Principal, Signed},
    aws::{SignatureError, Signer, received::Payload, sigv4::EMPTY_SHA256},
    bedrock::{Dialect, RawPath, body, harness, sonic::SpeechUsage},
    policy::Rights,
    quota::{self, Admission},
    routing::{self, KnownOperation, Peek, Route},
    snapshot::{Snapshot, Tenant},
    telemetry::{Counted, Metrics},
};

/// Who calls and what, as far as it came out: for metrics and log, of refused requests too.
pub struct Caller {
    /// The authenticated caller.
    pub principal: Arc<Principal>,
    /// The tenant, if there is one of that name.
    pub tenant: Option<Arc<Tenant>>,
    /// Service and operation, as metrics and log call them.
    pub called: Option<(&'static str, &'static str)>,
    /// The model, as the client named it.
    pub model: Option<String>,
    /// The line of the configuration by which policy refused.
    pub rule: Option<String>,
}

/// A request that may go on, and for whom.
pub struct Admitted {
    tenant: Arc<Tenant>,
    principal: Arc<Principal>,
    route: Route,
    dialect: Dialect,
    signed: Option<Signed>,
    standings: Vec<quota::Standing>,
    slot: Option<Slot>,
    /// Its part of the tenant's account; none for what is free.
    pub(super) charge: Option<Charge>,
    /// As whom it goes upstream, once that is known.
    pub(super) identity: Option<UpstreamIdentity>,
    /// The metadata that goes upstream in a header, with what the gateway adds.
    pub(super) metadata: Option<HeaderValue>,
    /// The gateway asked for usage where the client did not, so the client does not get it.
    pub(super) hide_usage: bool,
}

/// A place among the tenant's running requests.
struct Slot {
    _permit: quota::Permit,
    _burden: Burden,
    _in_flight: Counted,
}

impl Admitted {
    /// Where the request goes.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Whether request and answer are streams of events that run at once.
    pub fn is_conversation(&self) -> bool {
        self.route.is_conversation()
    }

    /// What is left of the tenant's limits, as of admission.
    pub fn standings(&self) -> &[quota::Standing] {
        &self.standings
    }

    /// Gives the slot back before the client can know that its request is over: the next one, sent at once, must find it free.
    pub fn release(&mut self) {
        self.slot = None;
    }

    /// What it is signed with at `now`.
    pub fn signer(&self, now: SystemTime) -> Result<Arc<Signer>, Denial> {
        self.identity.as_ref().ok_or(Denial::Internal)?.signer(now)
    }

    /// In whose words it is answered.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// For whom.
    pub fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    /// A conversation has used so much, and goes on.
    pub async fn afford(&mut self, used: SpeechUsage, metrics: &Metrics) -> Result<(), Denial> {
        match &mut self.charge {
            Some(charge) => charge.grow(used, &self.tenant, metrics).await,
            None => Ok(()),
        }
    }

    /// What is left of further limits.
    pub fn add_standings(&mut self, standings: Vec<quota::Standing>) {
        self.standings.extend(standings);
    }

    /// Whether the body that came is the one that the client signed, if it signed one.
    pub fn check_body(&self, sha256: &str) -> Result<(), IdentityError> {
        Ok(self.signed.as_ref().map_or(Ok(()), |signed| signed.check_body(sha256))?)
    }

    /// Who calls.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// What the caller may.
    pub fn rights(&self) -> Rights<'_> {
        self.tenant.policy.of_groups(&self.principal.groups)
    }

    /// Whether the body names something that routing or policy needs.
    pub fn must_read_body(&self) -> bool {
        self.route.peek.is_some() || self.takes_model_in_body()
    }

    fn takes_model_in_body(&self) -> bool {
        allow::names_models(&self.rights(), &self.route, self.dialect)
    }

    /// Completes route and policy by what the body says.
    pub fn read_body(&mut self, headers: &HeaderMap, pieces: &[Bytes]) -> Result<(), Denial> {
        if let Some(peek) = self.route.peek {
            let name = if matches!(peek, Peek::ResourceArn { .. }) { "resourceARN" } else { "model" };
            let value = body::top_level_string(pieces, name)?;
            let operation = peek.settle(value.as_deref());
            (self.route.service, self.route.operation, self.route.peek) =
                (operation.service, Some(KnownOperation(operation)), None);
            allow::check_operation(&self.rights(), &self.route)?;
            allow::check_headers(&self.rights(), &self.route, headers)?;
        }
        if self.takes_model_in_body() {
            self.check_models(pieces)?;
        }
        Ok(())
    }

    fn check_models(&mut self, pieces: &[Bytes]) -> Result<(), Denial> {
        if self.dialect == Dialect::Aws {
            return self.check_aws_models(pieces);
        }
        if self.route.operation.is_none() {
            self.route.model = allow::check_unknown_surface(&self.rights(), &self.tenant, pieces)?;
            return Ok(());
        }
        self.route.model = body::top_level_string(pieces, "model")?;
        allow::check_surface_model(&self.rights(), self.route.model.as_deref())
    }

    /// All names are held against the lists, where there are any; a harness is charged by the one that it is told to use, whoever asks.
    fn check_aws_models(&mut self, pieces: &[Bytes]) -> Result<(), Denial> {
        let runs_harness = allow::runs_harness(&self.route);
        if runs_harness {
            self.route.model = harness::model(pieces)?;
        }
        let rights = self.rights();
        if runs_harness && !rights.restrict_models() {
            return Ok(self.route.model.as_deref().map_or(Ok(()), |model| rights.check_model(model))?);
        }
        let charged = allow::check_models(&rights, &self.tenant, &self.route, pieces)?;
        self.route.model = charged.or_else(|| self.route.model.take());
        Ok(())
    }

    /// Whether the request may be served on the terms that head and body name; the body with those that the tenant must have, if they
    /// were not there.
    pub fn check_terms(&self, headers: &HeaderMap, pieces: &[Bytes]) -> Result<Option<Vec<Bytes>>, Denial> {
        let rights = self.rights();
        match self.route.operation.filter(|known| allow::has_terms(&rights, known.0)) {
            Some(known) => allow::check_terms(&rights, known.0, headers, pieces),
            None => Ok(None),
        }
    }
}

/// Whether the head can be believed at all, and who it says to be from.
pub async fn identify(session: &mut ServerSession, snapshot: &Snapshot) -> Result<Claim, Denial> {
    check_head(session, snapshot)?;
    let request = session.req_header_mut();
    if request.has_case() {
        // Every attempt copies the head, and changes its copy.
        *request = head::without_case(request).into();
    }
    let received = received(session)?;
    let authenticator = &snapshot.authenticator;
    let voucher = handshake::voucher(session, snapshot, SystemTime::now())?;
    Ok(awaited::identity(authenticator, |now| authenticator.identify(&received, voucher.as_ref(), now)).await?)
}

/// Decides on the head and on whom it is from. The burden has been taken on before anything was spent on the request.
pub fn admit(
    session: &ServerSession,
    passage: &mut Passage,
    identity: Identity,
    burden: Burden,
    metrics: &Metrics,
) -> Result<Admitted, Denial> {
    let live = passage.live.clone();
    let snapshot = &live.snapshot;
    let Identity { principal, signed } = identity;
    let tenant = admit_caller(session, passage, principal.clone())?;

    let request = session.req_header();
    let path = RawPath::parse(split_target(request).0)?;
    let route = routing::route(&routing_head(request), path, &snapshot.overrides)?;
    if let Some(caller) = &mut passage.caller {
        caller.called = Some((route.service.name(), route.operation_name()));
        caller.model = route.model.clone();
    }
    if let Some(signed) = &signed {
        check_scope(signed, &route)?;
    }
    if route.is_conversation() && session.as_http2().is_none() {
        return Err(Denial::NeedsHttp2);
    }
    if request.version == Version::HTTP_10 {
        return Err(Denial::Http10);
    }
    let rights = tenant.policy.of_groups(&principal.groups);
    allow::check_route(&rights, &route)?;
    allow::check_query(&rights, split_target(request).1)?;
    allow::check_headers(&rights, &route, &request.headers)?;
    let Admission { permit, standings } = quota::admit(&tenant.name, &tenant.limits, &tenant.counters, Instant::now())?;
    let dialect = Dialect::of_path(route.path.as_bytes());
    let in_flight = Counted::in_gauge(metrics.in_flight.with_label_values(&[&tenant.name]));
    let slot = Some(Slot { _permit: permit, _burden: burden, _in_flight: in_flight });
    Ok(Admitted {
        tenant,
        principal,
        route,
        dialect,
        signed,
        standings,
        slot,
        charge: None,
        identity: None,
        metadata: None,
        hide_usage: false,
    })
}

/// The tenant, if there is one and its policy lets this principal call from this address. Metrics and log know the caller even when it does
/// not.
pub fn admit_caller(session: &ServerSession, passage: &mut Passage, principal: Arc<Principal>) -> Result<Arc<Tenant>, Denial> {
    let tenant = passage.live.snapshot.tenants.get(principal.tenant.as_ref()).cloned();
    let caller = passage.caller.insert(Caller { principal, tenant: tenant.clone(), called: None, model: None, rule: None });
    let Principal { groups, subject, .. } = &*caller.principal;
    let tenant = tenant.ok_or(Denial::UnknownTenant)?;
    let rights = tenant.policy.of_groups(groups);
    rights.check_principal(subject)?;
    rights.check_source(source(session))?;
    Ok(tenant)
}

/// A signature for one service is none for another, and only a stream of signed events is signed event by event.
fn check_scope(signed: &Signed, route: &Route) -> Result<(), IdentityError> {
    let service = route.service.signing_name();
    if signed.service != service {
        return Err(SignatureError::Service(vec![service.to_owned()]).into());
    }
    match (&signed.payload, route.is_conversation()) {
        (Payload::SignedEvents, false) => Err(SignatureError::UnsignedPayload.into()),
        (Payload::Announced(hash), true) if hash != EMPTY_SHA256 => Err(SignatureError::UnsignedEvents.into()),
        _ => Ok(()),
    }
}
