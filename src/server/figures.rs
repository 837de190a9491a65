//! The console's figures, gathered from all over the gateway. No secret is copied, and nothing waits.

use std::time::{Instant, SystemTime};

use jiff::Timestamp;

use super::vitals::GatewayVitals;
use crate::{
    config::Config,
    console::{Credentials, Figures, Issuer, Ledger, Listener, Tenant, Upstream},
    quota::Now,
    telemetry::NONE,
};

/// All of it, now.
pub(super) fn gather(vitals: &GatewayVitals, unready: Vec<&'static str>) -> Figures {
    let parts = &vitals.parts;
    let live = parts.live.load_full();
    let snapshot = &live.snapshot;
    parts.history.sample(&parts.metrics, Instant::now());
    let now = Now::read();
    let mut tenants: Vec<Tenant> = snapshot
        .tenants
        .values()
        .map(|tenant| Tenant { statement: vitals.statement(tenant, &now), limits: tenant.limits.clone() })
        .collect();
    tenants.sort_by(|a, b| a.name().cmp(b.name()));
    let config = parts.chronicle.in_force();
    let upstream = |endpoint: &crate::snapshot::Endpoint| Upstream {
        service: endpoint.service.name(),
        authority: match config.upstream.connect_to {
            Some(address) => format!("{} at {address}", endpoint.authority),
            None => endpoint.authority.clone(),
        },
        tls: endpoint.tls,
    };
    let used = tenants.iter().flat_map(|tenant| &tenant.statement.month.by_model).map(|of_model| &of_model.model);
    let used = used.filter(|model| ***model != *NONE);
    let unpriced = used.filter(|model| snapshot.prices.sale(model, now.wall).is_none()).cloned().collect();
    let (started, file, reloads) = parts.chronicle.told();
    Figures {
        now: now.wall,
        started,
        version: env!("CARGO_PKG_VERSION"),
        generation: snapshot.generation,
        file,
        unready,
        region: snapshot.region.clone(),
        tenants,
        recent: parts.history.recent(),
        refusals: parts.refusals.recent(),
        credentials: credentials(vitals),
        ledger: vitals
            .keeping
            .ledger
            .health()
            .zip(vitals.keeping.ledger.file())
            .map(|(health, file)| Ledger { file: file.display().to_string(), health }),
        issuers: issuers(vitals, &config),
        listeners: listeners(vitals),
        unpriced,
        upstreams: snapshot.endpoints.iter().map(upstream).collect(),
        reloads,
    }
}

fn credentials(vitals: &GatewayVitals) -> Credentials {
    let slot = &vitals.parts.credentials;
    match (slot.current(SystemTime::now()), slot.expiry()) {
        (Err(_), _) => Credentials::None,
        (Ok(_), None) => Credentials::Lasting,
        (Ok(_), Some(end)) => Credentials::Until(Timestamp::try_from(end).unwrap_or(Timestamp::MAX)),
    }
}

fn issuers(vitals: &GatewayVitals, config: &Config) -> Vec<Issuer> {
    let conditions = vitals.parts.lasting.key_sets.conditions(SystemTime::now());
    let issuer = |(name, issuer): (&String, &crate::config::Issuer)| {
        let condition = conditions.iter().find(|condition| condition.issuer == *name);
        let is_file = matches!(issuer.key_set, crate::config::KeySetSource::File(_));
        Issuer {
            name: name.clone(),
            url: issuer.issuer.clone(),
            keys: condition.map_or(0, |condition| condition.keys),
            age_seconds: condition.filter(|_| !is_file).map(|condition| condition.age.as_secs()),
            refresh_seconds: issuer.key_set_refresh_seconds,
            outage_seconds_max: issuer.key_set_outage_seconds_max,
        }
    };
    config.issuers.iter().map(issuer).collect()
}

/// Bound once, in the order in which the snapshot has them.
fn listeners(vitals: &GatewayVitals) -> Vec<Listener> {
    let snapshot = &vitals.parts.live.load().snapshot;
    let listener = |(address, listener): (&std::net::SocketAddr, &std::sync::Arc<crate::snapshot::Listener>)| {
        let certificates = listener.tls.iter().flat_map(|tls| &tls.certificates);
        let connections = vitals.parts.metrics.connections.with_label_values(&[&address.to_string()]).get();
        Listener {
            address: *address,
            certificates: certificates.map(|certificate| (certificate.file.clone(), certificate.validity)).collect(),
            connections: u64::try_from(connections).unwrap_or(0),
        }
    };
    vitals.traffic.iter().zip(&snapshot.listeners).map(listener).collect()
}
