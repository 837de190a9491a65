//! A configuration compiled into what a request reads. Immutable; a request keeps the one it began with, so a reload is never seen by
//! half of a request. Compiling reads the files the configuration names, and changes nothing if one is bad.

mod certificates;
mod endpoints;
mod key_sets;
pub mod listeners;
pub mod role;
mod tls;

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use http::HeaderValue;

pub use endpoints::{Endpoint, EndpointError};
pub use listeners::Listener;
pub use role::AssumedRole;
pub use tls::{Certificate, Clients, Tls, TlsError};

use crate::{
    auth::{Authenticator, Issued, KeyRing, KeyRingError, SealError, SealingKeys},
    aws::{self, RoleSessions},
    bedrock::Service,
    config::{self, Config, SurfaceService},
    policy::{Policy, Profiles},
    pricing::PriceBook,
    quota::{Account, Accounts, Counters, Policies, Quotas, TenantCounters},
    routing::Overrides,
    telemetry::TenantSeries,
};

/// Everything that outlives a reload and that compiling ties a new snapshot to.
#[derive(Default)]
pub struct Lasting {
    /// Public keys of the issuers.
    pub key_sets: Arc<crate::auth::KeySets>,
    /// Verified tokens.
    pub tokens: Arc<crate::auth::TokenCache>,
    /// Request counters of the tenants.
    pub counters: Counters,
    /// Their tokens and money.
    pub accounts: Accounts,
    /// Sessions of their AWS roles.
    pub role_sessions: Arc<RoleSessions>,
}

/// One configuration, ready to serve.
pub struct Snapshot {
    /// 1 for the configuration the process started with.
    pub generation: u64,
    /// Who calls.
    pub authenticator: Authenticator,
    /// What is given out for a token.
    pub vends: Vends,
    /// For whom.
    pub tenants: HashMap<String, Arc<Tenant>>,
    /// What overrides the table of operations.
    pub overrides: Overrides,
    /// Signed for.
    pub region: String,
    /// Per service, in the order of [`Service::ALL`].
    pub endpoints: Vec<Endpoint>,
    /// How upstream connections are made.
    pub upstream: config::Upstream,
    /// DER certificates that upstream must chain to; `None`: the system's.
    pub upstream_roots: Option<Vec<Vec<u8>>>,
    /// Bounds on bodies.
    pub bodies: config::Bodies,
    /// The key of requests' metadata that has the tenant's name; `None`: it is not sent.
    pub metadata_tenant_key: Option<String>,
    /// Bounds on streams in both directions.
    pub bidirectional: config::Bidirectional,
    /// Bounds on connections and headers.
    pub downstream: config::Downstream,
    /// In the order in which they were bound; see [`listeners::in_order_of`].
    pub listeners: Vec<Arc<Listener>>,
    /// What models cost.
    pub prices: PriceBook,
    /// What becomes of requests that cannot be priced, where no budget is.
    pub unpriced: config::Unpriced,
    /// Seconds after which a hold is given back though nobody saw its request end.
    pub reservation_seconds_max: u64,
    /// Bounds on reading for nobody.
    pub metering: config::Metering,
    /// What is logged.
    pub log: config::Log,
    /// Which traces are recorded; `None`: none.
    pub traces: Option<config::Traces>,
}

/// Which ways there are to get credentials for a token.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vends {
    /// `GET /credentials`
    pub container_credentials: bool,
    /// `POST /sts`
    pub sts: bool,
}

/// A tenant, compiled.
pub struct Tenant {
    /// The name in tokens, metrics and logs.
    pub name: Arc<str>,
    /// What it may call.
    pub policy: Policy,
    /// How often.
    pub limits: config::RequestLimits,
    /// How often it has.
    pub counters: Arc<TenantCounters>,
    /// As whom its requests go to AWS; `None`: as the gateway.
    pub role: Option<AssumedRole>,
    /// How many tokens and how much money.
    pub quotas: Quotas,
    /// How many, and how much, it has used and holds.
    pub account: Arc<Account>,
    /// Where its requests are counted.
    pub series: TenantSeries,
    /// What it is told of its limits.
    pub policies: Policies<HeaderValue>,
}

/// Why a configuration cannot serve. `check` finds these before, with line and caret; files can still change in between.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CompileError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Network(#[from] config::NetworkError),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Prices(#[from] config::Problems),
    #[error(transparent)]
    Sealing(#[from] SealError),
    #[error(transparent)]
    KeysFile(#[from] config::KeysFileError),
    #[error(transparent)]
    KeyRing(#[from] KeyRingError),
}

impl CompileError {
    /// Puts what is wrong beside the other problems of the configuration's file.
    pub fn tell(&self, problems: &mut config::Problems) {
        let (keys, faults, help) = self.told();
        faults.iter().for_each(|fault| problems.refuse(keys, fault, help));
    }

    /// What is wrong, for whoever reads the configuration: the keys that lead to it, if they are known, each fault, and what to do.
    fn told(&self) -> (&'static [&'static str], Vec<String>, &'static str) {
        match self {
            CompileError::KeyRing(error) => (
                &["keys", "file"],
                error.keys().iter().map(ToString::to_string).collect(),
                "put its lines back as `tollgate key new` printed them, or take the key out and make another",
            ),
            CompileError::KeysFile(error) => (&["keys", "file"], vec![error.to_string()], error.help()),
            CompileError::Sealing(error) => {
                (&["vending", "sealing_keys"], vec![error.to_string()], "make one with `openssl rand -base64 32`")
            }
            other => (&[], vec![other.to_string()], "the gateway can neither start with it nor reload it"),
        }
    }
}

/// As [`config::examine`], with everything besides that a start or a reload finds, if nothing is withheld.
pub fn examine(path: &Path) -> (Option<Config>, config::Problems) {
    let (config, mut problems) = config::examine(path);
    let Some(config) = config.filter(|_| problems.errors().next().is_none()) else { return (None, problems) };
    key_sets::examine(&config, &mut problems);
    // What is withheld only the service itself can compile.
    let compiled = if problems.are_partial() { Ok(()) } else { Snapshot::compile(&config, 1, &Lasting::default()).map(drop) };
    if let Err(error) = compiled {
        error.tell(&mut problems);
    }
    (Some(config).filter(|_| problems.errors().next().is_none()), problems)
}

impl Snapshot {
    /// Compiles `config` as generation `generation`.
    pub fn compile(config: &Config, generation: u64, lasting: &Lasting) -> Result<Snapshot, CompileError> {
        let authenticator = Authenticator::new(&config.issuers, lasting.key_sets.clone(), lasting.tokens.clone());
        let profiles = Arc::new(Profiles::new(&config.profiles));
        let compile = |name, tenant| Tenant::compile(name, tenant, config, &profiles, lasting);
        let tenants = config.tenants.iter().map(|(name, tenant)| Ok((name.clone(), Arc::new(compile(name, tenant)?))));
        let vends = |vending: &config::Vending| Vends { container_credentials: vending.container_credentials, sts: vending.sts };
        Ok(Snapshot {
            generation,
            authenticator: authenticator
                .with_groups(config.groups.keys().cloned().collect())
                .with_claim_tags(&config.roles.claim_tags)
                .with_issued(issued(config)?),
            vends: config.vending.as_ref().map(vends).unwrap_or_default(),
            tenants: tenants.collect::<Result<_, CompileError>>()?,
            overrides: overrides(config),
            region: config.upstream.region.clone(),
            endpoints: endpoints::compile(&config.upstream)?,
            upstream_roots: config.upstream.ca_file.as_deref().map(tls::read_roots).transpose()?,
            upstream: config.upstream.clone(),
            metadata_tenant_key: config.request_metadata.tenant_key.clone(),
            bodies: config.bodies.clone(),
            bidirectional: config.bidirectional.clone(),
            downstream: config.downstream.clone(),
            listeners: listeners::compile(&config.listeners)?,
            prices: config.prices.book()?,
            unpriced: config.prices.unpriced,
            reservation_seconds_max: config.account.reservation_seconds_max,
            metering: config.metering.clone(),
            log: config.log.clone(),
            traces: config.traces.clone(),
        })
    }

    /// The certificates of all listeners.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.listeners.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(|tls| &tls.certificates)
    }

    /// The endpoint of a service.
    pub fn endpoint(&self, service: Service) -> &Endpoint {
        &self.endpoints[service as usize]
    }
}

/// What the gateway gives out and gave out, from the files that the configuration names.
pub fn issued(config: &Config) -> Result<Issued, CompileError> {
    let vending = config.vending.as_ref();
    let sealing = vending.map(|vending| SealingKeys::read(&vending.sealing_keys)).transpose()?;
    let file = config.keys.as_ref().map(|keys| config::KeysFile::read(&keys.file)).transpose()?.unwrap_or_default();
    let ring = KeyRing::new(&file, sealing.as_ref())?;
    let lifetime = Duration::from_secs(vending.map_or(0, |vending| vending.lifetime_seconds));
    Ok(Issued::new(sealing, lifetime, ring, vec![config.upstream.region.clone()]))
}

impl Tenant {
    /// Compiles a tenant of `config`, with the counters and the account it has already.
    ///
    /// # Errors
    /// The networks that it may call from are none.
    pub fn compile(
        name: &str,
        tenant: &config::Tenant,
        config: &Config,
        profiles: &Arc<Profiles>,
        lasting: &Lasting,
    ) -> Result<Tenant, CompileError> {
        let name: Arc<str> = name.into();
        Ok(Tenant {
            role: AssumedRole::compile(&name, tenant, config, &lasting.role_sessions),
            policy: Policy::new(&name, tenant, config, profiles.clone())?,
            limits: tenant.limits.clone(),
            counters: lasting.counters.of(&name),
            quotas: Quotas::new(tenant, &config.account),
            account: lasting.accounts.of(&name),
            series: TenantSeries::new(name.clone()),
            policies: Policies::default(),
            name,
        })
    }
}

/// What decides where a request goes before the table of operations does.
///
/// AWS's own host names are believed too, for gateways that private DNS puts in Bedrock's place.
pub fn overrides(config: &Config) -> Overrides {
    let region = &config.upstream.region;
    let partition = aws::endpoint::partition(region);
    let own = [partition.suffix, partition.dual_stack_suffix].map(|suffix| format!("{region}.{suffix}"));
    Overrides {
        host_suffixes: config.routing.host_suffixes.iter().map(|suffix| suffix.to_ascii_lowercase()).chain(own).collect(),
        endpoint_prefix_header: config.routing.endpoint_prefix_header,
        surface_service: match config.routing.surface_service {
            SurfaceService::BedrockRuntime => Service::BedrockRuntime,
            SurfaceService::BedrockMantle => Service::BedrockMantle,
        },
    }
}

/// The PEM file at `path`, for error texts.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
