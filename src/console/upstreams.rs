//! Where requests go, and how that fares.

use askama::Template;

use super::{
    Figures, Upstream,
    frame::Frame,
    plot::Spark,
    words::{count, many, percent, rate, seconds},
};
use crate::telemetry::history::HOUR;

#[derive(Template)]
#[template(path = "upstreams.html")]
pub(super) struct UpstreamsPage {
    frame: Frame,
    summary: String,
    upstreams: Vec<UpstreamRow>,
}

struct UpstreamRow {
    service: &'static str,
    authority: String,
    idle: bool,
    spark: Spark,
    requests: String,
    failed: String,
    median: String,
    p99: String,
    own: String,
    connections: String,
}

impl UpstreamsPage {
    pub fn new(figures: &Figures, refreshing: bool) -> UpstreamsPage {
        let mut upstreams: Vec<UpstreamRow> = figures.upstreams.iter().map(|upstream| row(upstream, figures)).collect();
        upstreams.sort_by_key(|upstream| upstream.idle);
        UpstreamsPage {
            frame: Frame::of_console("Upstreams", "Upstreams", "/console/upstreams", refreshing, figures),
            summary: format!(
                "Bedrock's services in {}, over the last hour. The last column is how often a connection was used again.",
                figures.region
            ),
            upstreams,
        }
    }
}

fn row(upstream: &Upstream, figures: &Figures) -> UpstreamRow {
    let (hour, _) = figures.recent.last(HOUR);
    let name = upstream.service;
    let of = hour.services.get(name).cloned().unwrap_or_default();
    let rates = figures.recent.rates(|totals| totals.services.get(name).map_or(0, |of| of.tally.requests));
    let failed = match (of.tally.failed, of.tally.faults) {
        (0, 0) => "none".to_owned(),
        (failed, faults) => {
            let share = percent(failed + faults, of.tally.requests);
            format!("{share}: {} on the way, {} answered with an error", count(failed), count(faults))
        }
    };
    let used = of.connections_new + of.connections_reused;
    let resent = if of.resent > 0 { format!("; {} sent again", many(of.resent, "request")) } else { String::new() };
    UpstreamRow {
        service: name,
        authority: if upstream.tls { upstream.authority.clone() } else { format!("{} (plaintext)", upstream.authority) },
        idle: of.tally.requests == 0,
        spark: Spark::new(&rates, "requests a second", rate),
        requests: count(of.tally.requests),
        failed,
        median: seconds(of.first_byte.quantile(0.5)),
        p99: seconds(of.first_byte.quantile(0.99)),
        own: seconds(of.own_share.quantile(0.99)),
        connections: format!("{} used again, {} made{resent}", percent(of.connections_reused, used), count(of.connections_new)),
    }
}
