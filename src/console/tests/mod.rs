//! Pages from figures made up: what they say, and that nothing in them can do more than be read.

mod pages;
mod trouble;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::*;
use crate::{
    bedrock::usage::Usage,
    config::{self, Validity},
    ledger::Health,
    pricing::NanoUsd,
    quota::{Accounts, Now, Quotas, Spent},
    telemetry::{
        Refused, Totals,
        history::{Recent, Stretch},
        totals::Tally,
    },
};

const NOW: &str = "2026-11-22T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A tenant that has used these dollars of this model today.
fn tenant(name: &str, config: &str, model: &str, nano: i64) -> Tenant {
    let config: config::Tenant = toml::from_str(config).unwrap();
    let quotas = Quotas::new(&config, &config::AccountKeeping::default());
    let account = Accounts::default().of(name);
    let now = Now { wall: now(), ..Now::read() };
    let usage = Usage { input_tokens: 1_200_000, output_tokens: 34_000, ..Usage::default() };
    let spent = Spent { requests: 810, ..Spent::request(usage, NanoUsd(nano)) };
    let day = jiff::civil::date(2026, 11, 22);
    if nano > 0 {
        account.restore([(day, model, spent), (day.yesterday().unwrap(), model, spent)]);
    }
    Tenant { statement: account.statement(&quotas, 3, &now), limits: config.limits }
}

/// What happened in the last minute, and in nine minutes before.
fn recent(counted: Totals) -> Recent {
    let until = Instant::now() + Duration::from_secs(10_000);
    let at = |ago| until - Duration::from_secs(ago);
    let quiet = Stretch { began: at(600), ended: at(60), counted: Totals::default() };
    Recent { until, stretches: vec![quiet, Stretch { began: at(60), ended: until, counted }] }
}

fn totals(tenant: &str, tally: Tally, reasons: &[(&str, u64)]) -> Totals {
    let refusals = reasons.iter().map(|(reason, times)| ((tenant.to_owned(), (*reason).to_owned()), *times));
    Totals { tenants: BTreeMap::from([(tenant.to_owned(), tally)]), refusals: refusals.collect(), ..Totals::default() }
}

fn refused(tenant: &str, model: &str) -> Refused {
    Refused {
        at: now(),
        request_id: "0b9d4f6e-1111-4222-8333-444455556666".to_owned(),
        tenant: tenant.to_owned(),
        principal: Some("ada".to_owned()),
        operation: "Converse",
        model: Some(model.to_owned()),
        status: Some(429),
        reason: "requests-per-minute",
        why: None,
    }
}

/// A gateway that has nothing to complain of.
fn well() -> Figures {
    const DAY: i64 = 86_400;
    let second = now().as_second();
    Figures {
        now: now(),
        started: "2026-11-20T12:00:00Z".parse().unwrap(),
        version: "0.1.0",
        generation: 1,
        file: "/etc/tollgate/tollgate.toml".to_owned(),
        unready: Vec::new(),
        region: "us-east-1".to_owned(),
        tenants: vec![
            tenant("acme", "[[quotas]]\nusd_per_month = \"500\"\n", "amazon.nova-pro-v1:0", 2_500_000_000),
            tenant(
                "globex",
                "[limits]\nrequests_per_minute = 60\nstream_bytes_per_second = 2_000_000\n",
                "amazon.nova-lite-v1:0",
                100_000_000,
            ),
        ],
        recent: recent(totals("acme", Tally { requests: 600, tokens: 9_000, ..Tally::default() }, &[])),
        refusals: Vec::new(),
        credentials: Credentials::Lasting,
        ledger: None,
        issuers: vec![Issuer {
            name: "corp".to_owned(),
            url: "https://idp.example".to_owned(),
            keys: 2,
            age_seconds: Some(200),
            refresh_seconds: 300,
            outage_seconds_max: 86_400,
        }],
        listeners: vec![Listener {
            address: "10.0.0.1:443".parse().unwrap(),
            certificates: vec![(
                "/etc/tollgate/tls.pem".to_owned(),
                Validity { not_before: second - 100 * DAY, not_after: second + 200 * DAY },
            )],
            connections: 12,
        }],
        unpriced: std::collections::BTreeSet::new(),
        upstreams: vec![Upstream {
            service: "bedrock-runtime",
            authority: "bedrock-runtime.us-east-1.amazonaws.com".to_owned(),
            tls: true,
        }],
        reloads: vec![Reload {
            at: now(),
            generation: 1,
            error: None,
            changes: Vec::new(),
            files: Vec::new(),
            waiting: Vec::new(),
        }],
    }
}

fn health(writable: bool, lag: Duration) -> Health {
    let error = (!writable).then(|| "disk full".to_owned());
    Health { writable, lag, rows_waiting: 7, rows_folded: 0, holds: 0, error }
}

fn shown(path: &str, query: &str, figures: &Figures) -> String {
    Page::of(path, query).unwrap().render(figures).unwrap().unwrap()
}

const PATHS: [&str; 8] = [
    "/console",
    "/console/",
    "/console/tenants",
    "/console/tenants/acme",
    "/console/models",
    "/console/upstreams",
    "/console/configuration",
    "/console/refusals",
];
