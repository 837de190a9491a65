//! What the tenant's policy says of a request: of its head, and later of its body, which gets the guardrail that it must have.
//! Pure, so that `tollgate explain` asks what a request would ask.

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

use super::Denial;
use crate::{
    bedrock::{
        Dialect, Operation, RawPath, Service,
        harness::is_harness,
        model::places,
        named::{self, Names},
        path::decode_segment,
        terms::{GuardrailPlace, Terms, takes_tier},
        usage::Metering,
    },
    policy::{PolicyDenial, Required, Rights},
    routing::Route,
    snapshot::Tenant,
};

static TIER: HeaderName = HeaderName::from_static("x-amzn-bedrock-service-tier");
pub(super) static IDENTIFIER: HeaderName = HeaderName::from_static("x-amzn-bedrock-guardrailidentifier");
pub(super) static VERSION: HeaderName = HeaderName::from_static("x-amzn-bedrock-guardrailversion");

/// Whether a caller may go where a route leads, as far as that is known without the body.
pub fn check_route(rights: &Rights<'_>, route: &Route) -> Result<(), PolicyDenial> {
    if route.peek.is_none() {
        check_operation(rights, route)?;
    }
    // First the model, of which there is more to say.
    route.model.as_ref().map_or(Ok(()), |model| rights.check_model(model))?;
    check_regions(rights, &route.path)
}

/// Whether the operation may be called, and has a place for the guardrail that is required.
pub fn check_operation(rights: &Rights<'_>, route: &Route) -> Result<(), PolicyDenial> {
    let operation = route.operation.map(|known| known.0);
    rights.check_operation(route.service, operation)?;
    rights.guardrail(route.service, operation).map(drop)
}

/// Whatever a path names by an ARN is of regions that may be used; models are looked at more closely.
fn check_regions(rights: &Rights<'_>, path: &str) -> Result<(), PolicyDenial> {
    if !rights.restrict_regions() {
        return Ok(());
    }
    let Ok(path) = RawPath::parse(path.as_bytes()) else { return Ok(()) };
    path.segments().try_for_each(|segment| check_places(rights, &decode_segment(segment)))
}

/// Whatever a query names by an ARN is of regions that may be used.
pub fn check_query(rights: &Rights<'_>, query: &str) -> Result<(), PolicyDenial> {
    if query.is_empty() || !rights.restrict_regions() {
        return Ok(());
    }
    let values = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
    values.map(decode_segment).try_for_each(|value| check_places(rights, &value))
}

/// One ARN is of a region that may be used, and takes nothing to a geography that may not.
fn check_places(rights: &Rights<'_>, text: &str) -> Result<(), PolicyDenial> {
    places(text).try_for_each(|region| rights.check_region(region))
}

/// Whether the head asks for a tier or a guardrail that it must not ask for.
pub fn check_headers(rights: &Rights<'_>, route: &Route, headers: &HeaderMap) -> Result<(), PolicyDenial> {
    let operation = route.operation.map(|known| known.0);
    let tiers = values(headers, &TIER);
    if !tiers.is_empty() {
        rights.check_tiers(tiers.iter().map(String::as_str))?;
    }
    if rights.restrict_regions() {
        values(headers, &IDENTIFIER).iter().try_for_each(|guardrail| check_places(rights, guardrail))?;
    }
    // Only the body tells then which operation it is, and where that takes its guardrail.
    if route.peek.is_some() {
        return Ok(());
    }
    match rights.guardrail(route.service, operation)? {
        Some((guardrail, _)) => {
            let (identifiers, versions) = (values(headers, &IDENTIFIER), values(headers, &VERSION));
            rights.check_guardrail(guardrail, &identifiers, &versions)
        }
        None => Ok(()),
    }
}

/// All values of a header; what is no text is no name of anything.
fn values(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

/// Whether a body has to be read for its terms.
pub fn has_terms(rights: &Rights<'_>, operation: &'static Operation) -> bool {
    let guarded = match rights.guardrail(operation.service, Some(operation)) {
        Ok(Some((guardrail, place))) => place == GuardrailPlace::Body || guardrail.is_strict(),
        _ => false,
    };
    guarded || (rights.restrict_tiers() && takes_tier(operation))
}

/// Whether the body asks for a tier or a guardrail that it must not ask for; the body with the guardrail in it, if it was not there.
pub fn check_terms(
    rights: &Rights<'_>,
    operation: &'static Operation,
    headers: &HeaderMap,
    pieces: &[Bytes],
) -> Result<Option<Vec<Bytes>>, Denial> {
    let terms = Terms::read(pieces);
    if rights.restrict_tiers() && takes_tier(operation) {
        let terms = terms.as_ref().ok_or_else(|| Denial::BodyUnreadable("it does not end where it should".to_owned()))?;
        let named = values(headers, &TIER);
        rights.check_tiers(named.iter().chain(&terms.tiers).map(String::as_str))?;
    }
    match rights.guardrail(operation.service, Some(operation))? {
        Some((guardrail, place)) if place == GuardrailPlace::Body || guardrail.is_strict() => {
            guarded(rights, guardrail, place, terms, pieces)
        }
        _ => Ok(None),
    }
}

fn guarded(
    rights: &Rights<'_>,
    guardrail: Required<'_>,
    place: GuardrailPlace,
    terms: Option<Terms>,
    pieces: &[Bytes],
) -> Result<Option<Vec<Bytes>>, Denial> {
    let unclear = || rights.unclear_guardrail(guardrail);
    let terms = terms.ok_or_else(unclear)?;
    rights.check_narrowing(guardrail, terms.narrows)?;
    if place != GuardrailPlace::Body {
        return Ok(None);
    }
    rights.check_guardrail(guardrail, &terms.identifiers, &terms.versions)?;
    Ok(terms.with_guardrail(pieces, guardrail.identifier(), guardrail.version()).map_err(|_| unclear())?)
}

/// Whether the body of a route may name models that policy has to see. Paths below `/model/` name theirs; any other body may.
pub fn names_models(rights: &Rights<'_>, route: &Route, dialect: Dialect) -> bool {
    match dialect {
        Dialect::Aws => route.model.is_none() && (rights.restrict_models() || is_charged_by_name(route) || runs_harness(route)),
        // Lists, and what was made before, are asked for without a body.
        _ => route.operation.is_none_or(|known| known.0.method == "POST" && !known.0.uri.contains('{')),
    }
}

/// What runs models by names in its body, so that opaque ones matter to whoever may use every model. Control planes manage them; agents
/// of AgentCore take any bytes, and those name no model of Bedrock's.
pub fn may_run_named(route: &Route) -> bool {
    let runs = route.operation.is_some_and(|known| Metering::of(known.0) != Metering::Free);
    runs && matches!(route.service, Service::BedrockRuntime | Service::BedrockAgentRuntime)
}

/// Whether a quota for a model has to see the names in the body: jobs of the control planes are charged, too. What AgentCore runs are
/// programs, and what they are sent is theirs.
fn is_charged_by_name(route: &Route) -> bool {
    let is_charged = route.operation.is_none_or(|known| Metering::of(known.0) != Metering::Free);
    is_charged && !matches!(route.service, Service::BedrockAgentcore | Service::BedrockAgentcoreControl)
}

/// The model that a request is charged as, of those that it runs; `None`: it names none.
///
/// # Errors
/// There are several, and some quota has not all of them, or the price of one is that of the request.
pub fn charged_model(tenant: &Tenant, operation: Option<&Operation>, runs: Vec<String>) -> Result<Option<String>, Denial> {
    let mut names = runs.into_iter();
    let Some(first) = names.next() else { return Ok(None) };
    let profiles = &tenant.policy.profiles;
    // What runs once has one price, that of the one model.
    let runs_once = operation.is_some_and(Metering::runs_once);
    let alike = |other: String| {
        first == other || !runs_once && tenant.quotas.treat_alike(profiles.stands_for(&first), profiles.stands_for(&other))
    };
    if names.all(alike) { Ok(Some(first)) } else { Err(Denial::SeveralModels) }
}

/// Whether the body says which model is charged, and is AWS's.
pub fn runs_harness(route: &Route) -> bool {
    route.operation.is_some_and(|known| is_harness(known.0))
}

/// By botocore's model every body is JSON but this one's, and `InvokeModel`'s, whose path has the model.
fn takes_bytes(route: &Route) -> bool {
    route.operation.is_some_and(|known| known.0.name == "InvokeAgentRuntime")
}

/// Whether all models may be used that a body of OpenAI's or Anthropic's shape names, at whatever depth, to an operation that nobody knows;
/// gives the one that is charged. Without a body it names none; what is no JSON may name any.
pub fn check_unknown_surface(rights: &Rights<'_>, tenant: &Tenant, pieces: &[Bytes]) -> Result<Option<String>, Denial> {
    if pieces.is_empty() {
        return Ok(None);
    }
    let Names { models, runs, .. } = match named::names(None, pieces) {
        Err(_) if !rights.restrict_models() && !tenant.quotas.tell_models_apart() => Names::default(),
        names => names?,
    };
    models.iter().try_for_each(|model| rights.check_model(model))?;
    let charged = charged_model(tenant, None, runs)?;
    check_surface_model(rights, charged.as_deref())?;
    Ok(charged)
}

/// Whether the model that a body of OpenAI's or Anthropic's shape names may be used. The whole answer depends on this one name, so a body
/// without it is for Bedrock to complain of.
pub fn check_surface_model(rights: &Rights<'_>, model: Option<&str>) -> Result<(), Denial> {
    match model {
        Some(model) => Ok(rights.check_model(model)?),
        None if rights.restrict_models() => Err(Denial::BodyUnreadable("`model` is missing".to_owned())),
        None => Ok(()),
    }
}

/// Whether all models that a body of AWS's shape names may be used, and all regions of its ARNs; gives the one that is charged.
pub fn check_models(rights: &Rights<'_>, tenant: &Tenant, route: &Route, pieces: &[Bytes]) -> Result<Option<String>, Denial> {
    // Where bytes are taken that are no JSON, those name no model. Elsewhere a lenient parser may find one where ours gives up.
    let takes_bytes = takes_bytes(route);
    let charges = is_charged_by_name(route);
    let matters = rights.restrict_models() || may_run_named(route) || (charges && tenant.quotas.tell_models_apart());
    let operation = route.operation.map(|known| known.0);
    let Names { models, runs, placed } = match named::names(operation, pieces) {
        Err(_) if takes_bytes || pieces.is_empty() || !matters => Names::default(),
        names => names?,
    };
    if !takes_bytes && (rights.restrict_models() || may_run_named(route)) {
        models.iter().try_for_each(|model| rights.check_model(model))?;
    }
    if rights.restrict_regions() && !takes_bytes {
        placed.iter().try_for_each(|arn| check_places(rights, arn))?;
    }
    let unknown_inference = route.operation.is_none() && route.service == Service::BedrockRuntime;
    if unknown_inference && models.is_empty() && rights.restrict_models() {
        // Whatever it is, it may run a model that the tenant may not use.
        return Err(rights.unknown_inference(route.service).into());
    }
    if charges { charged_model(tenant, operation, runs) } else { Ok(None) }
}
