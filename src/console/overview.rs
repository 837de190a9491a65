//! The first page: what is wrong, how it runs, who is spending.

use askama::Template;

use super::{
    Figures,
    frame::Frame,
    plot::Spark,
    refusals::{ReasonRow, reasons},
    tenants::{TenantRow, month_total, rows as tenant_rows, today_total},
    trouble::{NOW, Trouble, troubles},
    words::{ago, many, percent, rate, seconds, short, span, usd},
};
use crate::{
    pricing::NanoUsd,
    telemetry::{Spread, history::HOUR, totals::OfService},
};

/// Tenants, and reasons of refusals, on the first page; the others have pages of their own.
const ROWS_MAX: usize = 8;

#[derive(Template)]
#[template(path = "overview.html")]
pub(super) struct Overview {
    frame: Frame,
    summary: String,
    troubles: Vec<Trouble>,
    all_well: String,
    /// Over how long figures and plots go.
    windows: String,
    tiles: Vec<Tile>,
    tenants: Vec<TenantRow>,
    more_tenants: usize,
    reasons: Vec<ReasonRow>,
    more_reasons: usize,
    of_all: bool,
    no_reasons: &'static str,
}

struct Tile {
    label: &'static str,
    value: String,
    unit: &'static str,
    more: String,
    spark: Spark,
    /// What the plot's values are of: `a second`.
    per: &'static str,
}

impl Overview {
    pub fn new(figures: &Figures, refreshing: bool) -> Overview {
        let mut tenants = tenant_rows(figures);
        let more_tenants = tenants.len().saturating_sub(ROWS_MAX);
        tenants.truncate(ROWS_MAX);
        let mut reasons = reasons(None, figures);
        let more_reasons = reasons.len().saturating_sub(ROWS_MAX);
        reasons.truncate(ROWS_MAX);
        Overview {
            frame: Frame::of_console("Overview", "Overview", "/console", refreshing, figures),
            summary: summary(figures),
            troubles: troubles(figures),
            all_well: "Credentials, keys, certificates, ledger and configuration are in order, and requests are served."
                .to_owned(),
            windows: windows(figures),
            tiles: tiles(figures),
            tenants,
            more_tenants,
            reasons,
            more_reasons,
            of_all: true,
            no_reasons: "Nothing.",
        }
    }
}

fn summary(figures: &Figures) -> String {
    let tenants = many(figures.tenants.len() as u64, "tenant");
    let ready = match figures.unready.join(", ") {
        why if why.is_empty() => "Ready for traffic".to_owned(),
        why => format!("Not ready for traffic ({why}): /readyz answers 503"),
    };
    // Whoever sees that something is wrong asks first what was changed.
    let taken = figures.reloads.iter().find(|reload| reload.error.is_none() && reload.generation > 1);
    let changed = taken.map_or(String::new(), |reload| {
        let since = ago(reload.at, figures.now);
        format!(" The configuration changed last {since}, to number {}.", reload.generation)
    });
    format!("{tenants} on Bedrock in {}. {ready}.{changed}", figures.region)
}

fn windows(figures: &Figures) -> String {
    let [now, hour] = [NOW, HOUR].map(|length| span(figures.recent.last(length).1));
    format!("Figures are of the last {now}, plots of the last {hour}.")
}

fn tiles(figures: &Figures) -> Vec<Tile> {
    let recent = &figures.recent;
    let (lately, length) = recent.last(NOW);
    let all = lately.all();
    let services = lately.all_services();
    let per_second = |number: u64| number as f64 / length.as_secs_f64().max(1.0);
    let running: u64 = figures.tenants.iter().map(|tenant| tenant.statement.running.requests).sum();
    let not_served = all.requests.saturating_sub(all.served());
    let spark = |unit: &str, shown: fn(f64) -> String, of: fn(&crate::telemetry::Totals) -> u64| {
        Spark::new(&recent.rates(of), unit, shown)
    };
    let median = |what: &str, of: fn(&OfService) -> &Spread| {
        let steps = recent.steps(|totals, _| of(&totals.all_services()).quantile(0.5));
        Spark::new(&steps, what, |value| seconds(Some(value)))
    };
    let slowest = |spread: &Spread| format!("99 of 100 within {}", seconds(spread.quantile(0.99)));
    vec![
        Tile {
            label: "Requests",
            value: rate(per_second(all.requests)),
            unit: "a second",
            more: format!("{}; {running} running", many(all.requests, "request")),
            spark: spark("requests a second", rate, |totals| totals.all().requests),
            per: "a second",
        },
        Tile {
            label: "Not served",
            value: percent(not_served, all.requests),
            unit: "",
            more: format!(
                "{} refused, {} failed, {} errors of Bedrock, {} declined by it",
                short(all.refused),
                short(all.failed),
                short(all.faults),
                short(all.declined)
            ),
            spark: spark("requests a second that were not served", rate, |totals| {
                let all = totals.all();
                all.requests.saturating_sub(all.served())
            }),
            per: "a second",
        },
        Tile {
            label: "Time to first byte",
            value: seconds(services.first_byte.quantile(0.5)),
            unit: "median",
            more: slowest(&services.first_byte),
            spark: median("median time to first byte", |of| &of.first_byte),
            per: "",
        },
        Tile {
            label: "Gateway's own share",
            value: seconds(services.own_share.quantile(0.5)),
            unit: "median",
            more: format!("{}, before Bedrock is asked", slowest(&services.own_share)),
            spark: median("median of the gateway's own share", |of| &of.own_share),
            per: "",
        },
        Tile {
            label: "Spent today",
            value: usd(today_total(figures)),
            unit: "",
            more: format!("{} this month, all tenants", usd(month_total(figures))),
            spark: spark("US dollars a minute", |cost| usd(NanoUsd((cost * 60.0) as i64)), |totals| totals.all().cost),
            per: "a minute",
        },
        Tile {
            label: "Tokens",
            value: short((per_second(all.tokens) * 60.0).round() as u64),
            unit: "a minute",
            more: "in and out, as charged".to_owned(),
            spark: spark("tokens a minute", |tokens| short((tokens * 60.0) as u64), |totals| totals.all().tokens),
            per: "a minute",
        },
    ]
}
