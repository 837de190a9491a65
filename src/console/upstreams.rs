//! Where requests go, and how that fares.

use askama::Template;

use super::{
    Figures, Upstream,
    frame::Frame,
    plot::Spark,
    words::{count, many, percent, rate, seconds},
};
use crate::telemetry::{Spread, history::HOUR, totals::Tally};

#[derive(Template)]
#[template(path = "upstreams.html")]
pub(super) struct UpstreamsPage {
    frame: Frame,
    summary: String,
    upstreams: Vec<UpstreamRow>,
    idle: Vec<UpstreamRow>,
}

struct UpstreamRow {
    service: &'static str,
    authority: String,
    busy: bool,
    spark: Spark,
    requests: String,
    answers: String,
    failing: bool,
    first_byte: String,
    own: String,
    connections: String,
}

impl UpstreamsPage {
    pub fn new(figures: &Figures, refreshing: bool) -> UpstreamsPage {
        let rows = figures.upstreams.iter().map(|upstream| row(upstream, figures));
        let (upstreams, idle) = rows.partition(|upstream| upstream.busy);
        UpstreamsPage {
            frame: Frame::of_console("Upstreams", "Upstreams", "/console/upstreams", refreshing, figures),
            summary: format!("Bedrock's services in {}, over the last hour.", figures.region),
            upstreams,
            idle,
        }
    }
}

fn row(upstream: &Upstream, figures: &Figures) -> UpstreamRow {
    let (hour, _) = figures.recent.last(HOUR);
    let name = upstream.service;
    let of = hour.services.get(name).cloned().unwrap_or_default();
    let rates = figures.recent.rates(|totals| totals.services.get(name).map_or(0, |of| of.tally.requests));
    let used = of.connections_new + of.connections_reused;
    let resent = if of.resent > 0 { format!("; {} sent again", many(of.resent, "request")) } else { String::new() };
    let within = |spread: &Spread| {
        format!("median {}, 99 of 100 within {}", seconds(spread.quantile(0.5)), seconds(spread.quantile(0.99)))
    };
    UpstreamRow {
        service: name,
        authority: if upstream.tls { upstream.authority.clone() } else { format!("{} (plaintext)", upstream.authority) },
        busy: of.tally.requests > 0,
        spark: Spark::new(&rates, "requests a second", rate),
        requests: count(of.tally.requests),
        answers: answers(&of.tally),
        failing: of.tally.lost() > 0,
        first_byte: within(&of.first_byte),
        own: within(&of.own_share),
        connections: format!("{} used again, {} made{resent}", percent(of.connections_reused, used), count(of.connections_new)),
    }
}

fn answers(tally: &Tally) -> String {
    let parts = [
        (tally.failed, "failed here or on the way"),
        (tally.faults, "answered with an error of Bedrock's own (5xx)"),
        (tally.declined, "declined by Bedrock (4xx), throttled ones among them"),
    ];
    let told: Vec<_> =
        parts.iter().filter(|(times, _)| *times > 0).map(|(times, what)| format!("{} {what}", count(*times))).collect();
    if told.is_empty() { "all well".to_owned() } else { told.join("; ") }
}
