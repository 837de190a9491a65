//! Putting the parts together.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Instant, SystemTime},
};

use anyhow::Context;
use arc_swap::ArcSwap;
use pingora_core::connectors::{ConnectorOptions, http::Connector};

use super::{
    account::Orphans,
    assume_role::Sts,
    chronicle::Chronicle,
    drain::Drain,
    expiry, files_limit,
    handover::Predecessors,
    key_sets::{self, Records},
    sockets::Bound,
    vitals::GatewayVitals,
    zeros,
};
use crate::{
    admin::Admin,
    auth::HandedKeySet,
    aws::CredentialsSlot,
    config::Config,
    ledger::Ledger,
    proxy::{
        Gateway, Live,
        addresses::{self, Addresses},
        custody::Custody,
        edge::Edges,
        listener::{Application, Gate, Listener, Opening, OwnConnections},
        memory::BodyMemory,
        pool::Pool,
    },
    snapshot::{Lasting, Snapshot},
    telemetry::{AccessLog, History, LogLines, Metrics, Refusals, SpanQueue},
};

/// Idle upstream connections kept, over all services.
const POOLED_CONNECTIONS_MAX: usize = 2_048;

/// The same for streams in both directions, each of which has a connection to itself.
const POOLED_CONVERSATIONS_MAX: usize = 64;

/// More than scrapers, probes and consoles have, and few enough for the files that are a process's own.
const ADMIN_CONNECTIONS_MAX: usize = 64;

/// What the tasks and the proxy share.
pub(super) struct Parts {
    pub live: Arc<ArcSwap<Live>>,
    pub lasting: Arc<Lasting>,
    pub credentials: Arc<CredentialsSlot>,
    pub sts: Arc<ArcSwap<Sts>>,
    pub gateway_addresses: Arc<Addresses>,
    pub metrics: Arc<Metrics>,
    pub access_log: Arc<AccessLog>,
    pub spans: Arc<SpanQueue>,
    pub history: Arc<History>,
    pub refusals: Arc<Refusals>,
    pub chronicle: Arc<Chronicle>,
}

/// The account's part of them, once it is this process's.
#[derive(Clone)]
pub(super) struct Keeping {
    pub ledger: Arc<Ledger>,
    pub custody: Arc<Custody>,
    pub orphans: Arc<Orphans>,
    pub predecessors: Arc<Predecessors>,
}

impl Parts {
    /// `keys`: what a predecessor had, for want of anything newer.
    pub async fn new(config: &Config, log: LogLines, keys: &[HandedKeySet]) -> anyhow::Result<Parts> {
        let lasting = Lasting::default();
        key_sets::take_over(keys, config, &lasting.key_sets);
        let credentials = Arc::<CredentialsSlot>::default();
        let metrics = Arc::new(Metrics::new()?);
        log.count_lost(metrics.access_log_lost.clone());
        let records = Records { directory: config.state_directory.clone(), metrics: Some(Arc::clone(&metrics)) };
        for failure in key_sets::load_once(config, &lasting.key_sets, &records).await {
            let until = match (failure.restored, failure.has_keys) {
                (true, _) => "the keys of the last run serve",
                (_, true) => "the keys of the process before this one serve",
                _ => "its tokens are refused",
            };
            tracing::warn!(%failure, "key set not loaded; {until} until it is");
        }
        let snapshot = Snapshot::compile(config, 1, &lasting)?;
        expiry::show(&snapshot, &metrics);
        zeros::begin(&snapshot, &metrics);
        let now = super::reload::unix_seconds(SystemTime::now());
        metrics.started.set(now);
        metrics.config_generation.set(1);
        metrics.config_last_reload_successful.set(1);
        metrics.config_last_reload_success.set(now);
        Ok(Parts {
            live: Arc::new(ArcSwap::from_pointee(Live::new(snapshot))),
            lasting: Arc::new(lasting),
            sts: Arc::new(ArcSwap::from_pointee(Sts::new(config, credentials.clone()))),
            credentials,
            gateway_addresses: Arc::new(Addresses::new(addresses::System, metrics.resolve_failures.clone())),
            metrics,
            access_log: Arc::new(AccessLog::new(log)),
            spans: Arc::default(),
            history: Arc::new(History::new(Instant::now())),
            refusals: Arc::default(),
            chronicle: Arc::new(Chronicle::new(config.clone())),
        })
    }
}

/// Starts to accept. Returns the addresses, which differ from the configured ones where those have port 0.
pub(super) fn serve(
    sockets: Vec<Bound>,
    config: &Config,
    parts: Parts,
    keeping: Keeping,
    own: &OwnConnections,
    drain: &Drain,
) -> anyhow::Result<(Vec<SocketAddr>, SocketAddr)> {
    let gateway = gateway(&parts, &keeping, drain);
    drain.closes(gateway.clone());
    let edges = Edges { gateway, live: parts.live.clone() };

    let files_max = files_limit::connections_max();
    if config.downstream.connections_max > files_max as u64 {
        tracing::info!(connections_max = files_max, "the limit on open files leaves room for fewer connections than configured");
    }
    for bound in &sockets {
        drain.keeps(bound.again()?);
    }
    let (admin, traffic): (Vec<Bound>, Vec<Bound>) = sockets.into_iter().partition(|bound| bound.admin);
    let mut addresses = Vec::with_capacity(traffic.len());
    for (index, Bound { socket, .. }) in traffic.into_iter().enumerate() {
        let gate = Gate::new(parts.live.clone(), index, socket.local_addr()?, own.clone(), files_max, &parts.metrics);
        let listener = Listener::guarded(socket, edges.clone(), gate)?;
        addresses.push(listener.address()?);
        tokio::spawn(listener.serve(drain.traffic(), drain.connections()));
    }
    let (draining, traffic, looking) = (drain.begun(), addresses.clone(), Mutex::default());
    let vitals = GatewayVitals { parts, keeping, draining, traffic, looking };
    let Bound { socket, .. } = admin.into_iter().next().context("there is no admin socket")?;
    let admin = Listener::plaintext(socket, AdminPages(Arc::new(Admin::new(vitals))), ADMIN_CONNECTIONS_MAX)?;
    let address = admin.address()?;
    tokio::spawn(admin.serve(drain.admin(), Default::default()));
    Ok((addresses, address))
}

/// The same pages for every connection.
struct AdminPages(Arc<Admin>);

impl Application for AdminPages {
    type App = Admin;
    const H2C: bool = false;

    fn serve(&self, _: Opening) -> Arc<Admin> {
        self.0.clone()
    }
}

fn gateway(parts: &Parts, keeping: &Keeping, drain: &Drain) -> Arc<Gateway> {
    Arc::new(Gateway {
        live: parts.live.clone(),
        credentials: parts.credentials.clone(),
        addresses: parts.gateway_addresses.clone(),
        connections: Pool::start(POOLED_CONNECTIONS_MAX),
        conversations: Connector::new(Some(ConnectorOptions::new(POOLED_CONVERSATIONS_MAX))),
        load: drain.load(),
        memory: BodyMemory::new(parts.metrics.bodies_held_bytes.clone()),
        metrics: parts.metrics.clone(),
        access_log: parts.access_log.clone(),
        refusals: parts.refusals.clone(),
        spans: parts.spans.clone(),
        custody: keeping.custody.clone(),
        closing: Default::default(),
    })
}
