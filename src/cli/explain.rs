//! `tollgate explain`: what a tenant's request would meet, and the answer it would get, through the code that requests pass. It reads the
//! configuration and the ledger, and works beside a running gateway.

mod account;
mod shown;

use std::{
    io::{self, Write},
    net::IpAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;
use serde_json::json;
use uuid::Uuid;

use super::{check::EX_CONFIG, usage::read_config, verify_token};
use crate::{
    auth::{KeySets, TokenCache},
    bedrock::{Dialect, Operation, RawPath, operations, terms::takes_tier, usage::Metering},
    config::Config,
    policy::Profiles,
    pricing::PriceBook,
    proxy::{
        allow,
        denial::Denial,
        estimate::{Changes, Tariff, Tokens},
    },
    quota::{Accounts, Counters, Explanation, Now},
    routing::{self, Head, KnownOperation, Route},
    snapshot::{self, Lasting, Tenant},
};

/// sysexits.h: the ledger could not be read, so nobody knows the answer.
const EX_IOERR: u8 = 74;

/// Whose request, and what for.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// The gateway's configuration
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// Who asks
    #[arg(long, value_name = "T", required_unless_present = "token", conflicts_with = "token")]
    pub tenant: Option<String>,
    /// A token of whoever asks instead, with its tenant and groups; `-` reads it from standard input
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    pub token: Option<String>,
    /// A model id, profile id or ARN, as clients write it
    #[arg(long, value_name = "MODEL")]
    pub model: String,
    /// As AWS spells it, or ChatCompletions, Responses, Messages
    #[arg(long, value_name = "NAME", default_value = "Converse", value_parser = operation)]
    pub operation: &'static str,
    /// A group that the caller is in; repeat it for more
    #[arg(long = "group", value_name = "NAME", conflicts_with = "token")]
    pub groups: Vec<String>,
    /// Where the caller is; default: nowhere that is asked about
    #[arg(long, value_name = "ADDRESS")]
    pub source: Option<IpAddr>,
    /// What the request names as its service tier
    #[arg(long, value_name = "TIER")]
    pub service_tier: Option<String>,
    /// What the request names as the most tokens of output; default: nothing, so that the model's maximum is held
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<u64>,
    /// How much goes in; the gateway estimates it from the body
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub input_tokens: u64,
}

/// What came out, as far as the request got.
#[derive(Default)]
struct Findings {
    route: Option<Route>,
    tariff: Option<Tariff>,
    asked: Option<(Tokens, Changes)>,
    limits: Option<Explanation>,
}

impl ExplainArgs {
    /// Takes tenant and groups from the token, if one is given. What became of it, as `verify-token` says it, and whether it is good.
    fn take_token(&mut self, config: &Config) -> anyhow::Result<Option<(String, bool)>> {
        let Some(token) = self.token.take() else { return Ok(None) };
        let verdict = verify_token::verdict(config, &verify_token::read_token(&token)?, SystemTime::now())?;
        if let Ok(principal) = &verdict {
            self.tenant = Some(principal.tenant.to_string());
            self.groups = principal.groups.iter().map(ToString::to_string).collect();
        }
        Ok(Some((verify_token::line(&verdict), verdict.is_ok())))
    }

    fn tenant(&self) -> &str {
        self.tenant.as_deref().unwrap_or_default()
    }
}

/// Prints the way of a request; succeeds if it would be admitted.
///
/// # Errors
/// Standard output or standard error cannot be written to. A bad configuration is exit code 78, as `check` has it.
pub fn run(mut args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let Some(config) = read_config(&args.config)? else { return Ok(ExitCode::from(EX_CONFIG)) };
    if let Some((caller, is_good)) = args.take_token(&config)? {
        writeln!(io::stdout(), "caller     {caller}")?;
        if !is_good {
            return Ok(ExitCode::FAILURE);
        }
    }
    let args = &args;
    if let Some(group) = args.groups.iter().find(|group| !config.groups.contains_key(*group)) {
        anyhow::bail!("the configuration has no [groups.{group}]");
    }
    let prices = match config.prices.book() {
        Ok(prices) => prices,
        Err(problems) => {
            writeln!(io::stderr(), "{problems}")?;
            return Ok(ExitCode::from(EX_CONFIG));
        }
    };
    let now = Now::read();
    let lasting = Lasting {
        key_sets: Arc::new(KeySets::new()),
        tokens: Arc::new(TokenCache::default()),
        counters: Counters::default(),
        accounts: Accounts::default(),
        role_sessions: Arc::default(),
    };
    let profiles = Arc::new(Profiles::new(&config.profiles));
    let tenant = config.tenants.get(args.tenant());
    let tenant = tenant.map(|tenant| Tenant::compile(args.tenant(), tenant, &config, &profiles, &lasting)).transpose()?;
    let mut notes = Vec::new();
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
    let text = shown::text(args, &findings, tenant.as_ref(), &notes, &answer);
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
        check_policy(args, tenant, route)?;
        let operation = route.operation.map(|known| known.0);
        let metering = operation.map_or(Metering::PerRequest, Metering::of);
        if metering == Metering::Free {
            return Ok(());
        }
        let tariff = self.tariff.insert(Tariff::of(prices, &tenant.policy.profiles, route, metering, now.wall));
        let priced = tariff.check(config.prices.unpriced, tenant, route);
        let (capped, (mut tokens, changes)) = match tariff.tokens(tenant, operation, &[body(args)]) {
            Ok(asked) => (Ok(()), asked),
            // The limits are shown all the same, as it would meet them if there were no cap.
            Err(denial) => {
                let output = args.max_tokens.unwrap_or_else(|| prices.max_output_tokens(&args.model));
                (Err(denial), (Tokens { output, ..Tokens::default() }, Changes::default()))
            }
        };
        if !tariff.by_request {
            tokens.input = args.input_tokens;
        }
        let limits = tenant.account.explain(&tenant.quotas, &tariff.ask(Uuid::nil(), &tokens), None, now);
        let answer = limits.answer.clone();
        self.asked = Some((tokens, changes));
        self.limits = Some(limits);
        priced.and(capped).and(answer.map_err(Denial::from))
    }
}

/// What policy says of head and body, as far as a command line describes them.
fn check_policy(args: &ExplainArgs, tenant: &Tenant, route: &Route) -> Result<(), Denial> {
    if args.source.is_some() {
        tenant.policy.check_source(args.source)?;
    }
    let groups: Vec<Arc<str>> = args.groups.iter().map(|group| group.as_str().into()).collect();
    let rights = tenant.policy.of_groups(&groups);
    allow::check_route(&rights, route)?;
    if route.model.is_none() && allow::may_run_named(route) {
        rights.check_model(&args.model)?;
    }
    if rights.restrict_tiers() && route.operation.is_some_and(|known| takes_tier(known.0)) {
        rights.check_tiers(args.service_tier.as_deref())?;
    }
    Ok(())
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
    if Dialect::of_path(route.path.as_bytes()) != Dialect::Aws {
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
    let body = match args.max_tokens {
        None => json!({"model": args.model}),
        Some(most) => json!({
            "model": args.model,
            "max_tokens": most,
            "maxTokens": most,
            "max_tokens_to_sample": most,
            "max_completion_tokens": most,
            "max_output_tokens": most,
            "max_gen_len": most,
            "inferenceConfig": {"maxTokens": most, "max_new_tokens": most},
            "textGenerationConfig": {"maxTokenCount": most},
        }),
    };
    Bytes::from(body.to_string())
}
