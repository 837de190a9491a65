//! `tollgate explain`: what a tenant's request would meet, and the answer it would get, through the code that requests pass. It reads the
//! configuration and the ledger, and works beside a running gateway.

mod account;
mod caller;
mod shown;

use std::{
    io::{self, Write},
    net::IpAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use bytes::Bytes;
use serde_json::json;
use uuid::Uuid;

use self::caller::CallerArgs;
use super::{
    check::{EX_CONFIG, or_refuse},
    groups,
    usage::read_config,
};
use crate::{
    bedrock::{
        Dialect, Operation, RawPath, operations,
        terms::takes_tier,
        usage::{Metering, ServiceTier},
    },
    config::Config,
    policy::{Profiles, Rights},
    pricing::PriceBook,
    proxy::{
        allow,
        denial::Denial,
        estimate::{Changes, Tariff, Tokens, metering},
    },
    quota::{Explanation, Now},
    routing::{self, Head, KnownOperation, Route},
    snapshot::{self, CompileError, Lasting, Tenant},
    telemetry::with_causes,
};

/// sysexits.h: the ledger could not be read, so nobody knows the answer.
const EX_IOERR: u8 = 74;
/// As of arguments that do not parse: there is no such caller, which is no answer to a request.
const EX_MISUSED: u8 = 2;

/// Whose request, and what for.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// The gateway's configuration
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    #[command(flatten)]
    caller: CallerArgs,
    /// A model id, profile id or ARN, as clients write it
    #[arg(long, value_name = "MODEL")]
    pub model: String,
    /// As AWS spells it, or ChatCompletions, Responses, Messages
    #[arg(long, value_name = "NAME", default_value = "Converse", value_parser = operation)]
    pub operation: &'static str,
    /// Where the caller is; default: nowhere that is asked about
    #[arg(long, value_name = "ADDRESS")]
    pub source: Option<IpAddr>,
    /// What the request names as its service tier
    #[arg(long, value_name = "TIER")]
    pub service_tier: Option<String>,
    /// The guardrail that the request names, its id or ARN
    #[arg(long, value_name = "ID")]
    pub guardrail: Option<String>,
    /// Its version
    #[arg(long, value_name = "V", requires = "guardrail")]
    pub guardrail_version: Option<String>,
    /// How long the body is
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub body_bytes: u64,
    /// What the request names as the most tokens of output; default: nothing, so that the model's maximum is held
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<u64>,
    /// How much goes in; the gateway estimates it from the body
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub input_tokens: u64,
}

/// Charged by request, and for a model that their bodies name.
const NAME_THEIR_MODEL: [&str; 9] = [
    "CreateModelCustomizationJob",
    "CreateModelInvocationJob",
    "CreateProvisionedModelThroughput",
    "InvokeInlineAgent",
    "OptimizePrompt",
    "Rerank",
    "RetrieveAndGenerate",
    "RetrieveAndGenerateStream",
    "StartAsyncInvoke",
];

/// Where vendors' bodies have the most tokens of output.
const MAX_TOKENS: [&str; 6] =
    ["max_tokens", "maxTokens", "max_tokens_to_sample", "max_completion_tokens", "max_output_tokens", "max_gen_len"];

/// What came out, as far as the request got.
#[derive(Default)]
struct Findings {
    route: Option<Route>,
    tariff: Option<Tariff>,
    asked: Option<(Tokens, Changes)>,
    limits: Option<Explanation>,
}

/// Prints the way of a request; succeeds if it would be admitted.
///
/// # Errors
/// Standard output or standard error cannot be written to. A bad configuration, or a file that it names, is exit code 78, as `check` has it.
pub fn run(mut args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let explained = explain(&mut args);
    or_refuse(&args.config, explained)
}

fn explain(args: &mut ExplainArgs) -> anyhow::Result<ExitCode> {
    let Some(config) = read_config(&args.config)? else { return Ok(ExitCode::from(EX_CONFIG)) };
    let found = match args.caller.find(&config) {
        Err(error) if !error.is::<CompileError>() => {
            writeln!(io::stderr(), "error: {}", with_causes(error.as_ref()))?;
            return Ok(ExitCode::from(EX_MISUSED));
        }
        found => found?,
    };
    if let Some(found) = found {
        writeln!(io::stdout(), "caller     {}", found.line)?;
        if !found.is_good {
            return Ok(ExitCode::FAILURE);
        }
    }
    let args = &*args;
    let caller = &args.caller;
    let prices = match config.prices.book() {
        Ok(prices) => prices,
        Err(problems) => {
            writeln!(io::stderr(), "{problems}")?;
            return Ok(ExitCode::from(EX_CONFIG));
        }
    };
    let now = Now::read();
    let lasting = Lasting::default();
    let profiles = Arc::new(Profiles::new(&config.profiles));
    let tenant = config.tenants.get(caller.tenant());
    let tenant = tenant.map(|tenant| Tenant::compile(caller.tenant(), tenant, &config, &profiles, &lasting)).transpose()?;
    let mut notes = Vec::new();
    let groups =
        caller.groups.iter().map(|group| (&**group, groups::effect(&config, group, caller.tenant()))).collect::<Vec<_>>();
    if let Some(tenant) = &tenant {
        match account::restore(&config, tenant, &prices, &now) {
            Ok(note) => notes.extend(note),
            Err(error) => {
                writeln!(io::stderr(), "{error}")?;
                return Ok(ExitCode::from(EX_IOERR));
            }
        }
    }
    let mut findings = Findings::default();
    let answer = match &tenant {
        Some(tenant) => findings.find(args, &config, &prices, tenant, &now),
        None => Err(Denial::UnknownTenant),
    };
    let text = shown::text(args, &findings, tenant.as_ref(), &groups, &notes, &answer);
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(if answer.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Findings {
    /// The stations of a request, in their order.
    fn find(
        &mut self,
        args: &ExplainArgs,
        config: &Config,
        prices: &PriceBook,
        tenant: &Tenant,
        now: &Now,
    ) -> Result<(), Denial> {
        let route = self.route.insert(route(args, config)?);
        check_policy(args, config, tenant, route)?;
        if NAME_THEIR_MODEL.contains(&route.operation_name()) {
            route.model = Some(args.model.clone());
        }
        let operation = route.operation.map(|known| known.0);
        let metering = metering(prices, route);
        if metering == Metering::Free {
            return Ok(());
        }
        let tariff = self.tariff.insert(Tariff::of(prices, &tenant.policy.profiles, route, metering, now.wall));
        let priced = tariff.check(config.prices.unpriced, tenant, route);
        let (capped, (mut tokens, changes)) = match tariff.tokens(tenant, operation, &[body(args)]) {
            Ok(asked) => (Ok(()), asked),
            // The limits are shown all the same, as it would meet them if there were no cap.
            Err(denial) => {
                let output = args.max_tokens.unwrap_or_else(|| tariff.output_max());
                let tier = args.service_tier.as_deref().map(ServiceTier::parse).unwrap_or_default();
                (Err(denial), (Tokens { output, tier, ..Tokens::default() }, Changes::default()))
            }
        };
        if route.is_conversation() {
            tokens = Tokens::of_conversation();
        } else if tariff.counts {
            tokens.input = args.input_tokens;
        }
        let tier = args.service_tier.as_deref().map(ServiceTier::parse);
        let tokens = tokens.with_tier_of_head(operation, tier);
        let limits = tenant.account.explain(&tenant.quotas, &tariff.ask(Uuid::nil(), &tokens), None, now);
        let answer = limits.answer.clone();
        self.asked = Some((tokens, changes));
        self.limits = Some(limits);
        priced.and(capped).and(answer.map_err(Denial::from))
    }
}

/// What policy and `[bodies]` say of head and body, as far as a command line describes them.
fn check_policy(args: &ExplainArgs, config: &Config, tenant: &Tenant, route: &Route) -> Result<(), Denial> {
    let rights = args.caller.rights(tenant);
    args.caller.subject.as_deref().map_or(Ok(()), |subject| rights.check_principal(subject))?;
    if args.source.is_some() {
        rights.check_source(args.source)?;
    }
    allow::check_route(&rights, route)?;
    check_length(args.body_bytes, config.bodies.bytes_max, &rights)?;
    let takes_body = route.operation.is_some_and(|known| known.0.method != "GET" && known.0.method != "DELETE");
    if route.model.is_none() && takes_body && (rights.restrict_models() || allow::may_run_named(route)) {
        rights.check_model(&args.model)?;
    }
    if rights.restrict_tiers() && route.operation.is_some_and(|known| takes_tier(known.0)) {
        rights.check_tiers(args.service_tier.as_deref())?;
    }
    if let Some((required, _)) = rights.guardrail(route.service, route.operation.map(|known| known.0))? {
        let named = |name: &Option<String>| name.iter().cloned().collect::<Vec<_>>();
        rights.check_guardrail(required, &named(&args.guardrail), &named(&args.guardrail_version))?;
    }
    Ok(())
}

/// The bound that is met first speaks, as where a body is read.
fn check_length(bytes: u64, bytes_max: u64, rights: &Rights<'_>) -> Result<(), Denial> {
    let bytes_max = rights.body_bytes_max(bytes_max);
    if bytes <= bytes_max {
        return Ok(());
    }
    rights.check_body(bytes_max.saturating_add(1))?;
    Err(Denial::BodyTooLarge { bytes_max })
}

fn operation(name: &str) -> Result<&'static str, &'static str> {
    let mut known = operations().iter().map(|operation| operation.name);
    known.find(|known| *known == name).ok_or("operations are spelled as in AWS's API reference, `ConverseStream`")
}

/// The route of the request that a client would send.
fn route(args: &ExplainArgs, config: &Config) -> Result<Route, Denial> {
    let overrides = snapshot::overrides(config);
    let named = |operation: &&Operation| operation.name == args.operation;
    let of_surface = |operation: &&Operation| operation.service == overrides.surface_service;
    let chosen = operations().iter().filter(named).find(of_surface).or_else(|| operations().iter().find(named));
    let Some(operation) = chosen else { return Err(routing::RouteError::UnknownPath.into()) };
    let path = path(operation, &args.model);
    let head = Head { method: operation.method, ..Head::default() };
    let mut route = routing::route(&head, RawPath::parse(path.as_bytes())?, &overrides)?;
    if let Some(peek) = route.peek.take() {
        let settled = peek.settle(Some(&args.model));
        (route.service, route.operation) = (settled.service, Some(KnownOperation(settled)));
    }
    if Dialect::of_path(route.path.as_bytes()) != Dialect::Aws || allow::runs_harness(&route) {
        route.model = Some(args.model.clone());
    }
    Ok(route)
}

/// The operation's pattern with the model in its place, and something in the places of all else.
fn path(operation: &Operation, model: &str) -> String {
    let model: String = model.bytes().map(encoded).collect();
    let fill = |segment: &str| match segment {
        "{modelId}" | "{model}" => model.clone(),
        label if label.starts_with('{') => "x".to_owned(),
        fixed => fixed.to_owned(),
    };
    operation.uri.split('/').map(fill).collect::<Vec<_>>().join("/")
}

fn encoded(byte: u8) -> String {
    let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if is_plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
}

/// A body that says the same by every name; an operation and a model obey those of theirs.
fn body(args: &ExplainArgs) -> Bytes {
    let mut body = json!({"model": args.model});
    if let Some(most) = args.max_tokens {
        body["inferenceConfig"] = json!({"maxTokens": most, "max_new_tokens": most});
        body["textGenerationConfig"] = json!({"maxTokenCount": most});
        for name in MAX_TOKENS {
            body[name] = json!(most);
        }
    }
    if let Some(tier) = &args.service_tier {
        body["service_tier"] = json!(tier);
        body["serviceTier"] = json!({"type": tier});
    }
    Bytes::from(body.to_string())
}
