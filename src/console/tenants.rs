//! Who is spending: all tenants side by side, and one by itself.

use askama::Template;

use super::{
    Figures, Tenant,
    account::{Account, LimitRow},
    frame::Frame,
    plot::{Bar, Spark},
    reasons::{is_failure, meaning},
    refusals::{ReasonRow, RefusalRow, reasons, rows as refusal_rows},
    words::{count, many, percent, rate, usd},
};
use crate::{
    pricing::NanoUsd,
    telemetry::{Totals, history::HOUR},
};

/// On a tenant's page; the others have a page of their own.
const REFUSALS_MAX: usize = 10;

/// How limits on streams hold.
const FASTER_WAITS: &str = " from its clients, over all its streams; what is faster waits";

/// All tenants.
#[derive(Template)]
#[template(path = "tenants.html")]
pub(super) struct TenantsPage {
    frame: Frame,
    summary: String,
    tenants: Vec<TenantRow>,
}

/// One of them among others.
pub(super) struct TenantRow {
    pub name: String,
    pub today: String,
    pub month: String,
    pub share: Bar,
    pub share_shown: String,
    pub tightest: Option<LimitRow>,
    pub spark: Spark,
    pub requests: String,
    pub running: u64,
    /// Empty: all were served.
    pub not_served: Vec<NotServed>,
}

/// Requests that one kind of thing happened to.
pub(super) struct NotServed {
    pub what: String,
    /// Mostly; empty where `what` says it.
    pub why: &'static str,
    /// Not by anybody's wish.
    pub failed: bool,
}

/// One by itself.
#[derive(Template)]
#[template(path = "tenant.html")]
pub(super) struct TenantPage {
    frame: Frame,
    name: String,
    summary: String,
    account: Account,
    reasons: Vec<ReasonRow>,
    of_all: bool,
    no_reasons: &'static str,
    rates: Vec<RateRow>,
    refusals: Vec<RefusalRow>,
    more_refusals: usize,
    no_refusals: &'static str,
}

struct RateRow {
    name: &'static str,
    value: String,
}

impl TenantsPage {
    pub fn new(figures: &Figures, refreshing: bool) -> TenantsPage {
        TenantsPage {
            frame: Frame::of_console("Tenants", "Tenants", "/console/tenants", refreshing, figures),
            summary: format!(
                "{}: {} today and {} this month, each by its own calendar. The most expensive of the month first.",
                many(figures.tenants.len() as u64, "tenant"),
                usd(today_total(figures)),
                usd(month_total(figures))
            ),
            tenants: rows(figures),
        }
    }
}

impl TenantPage {
    pub fn new(tenant: &Tenant, figures: &Figures, refreshing: bool) -> TenantPage {
        let name = tenant.name();
        let statement = &tenant.statement;
        let (hour, _) = figures.recent.last(HOUR);
        let tally = hour.of_tenant(name);
        let refusals: Vec<_> = figures.refusals.iter().filter(|refused| refused.tenant == name).cloned().collect();
        let mut refusals = refusal_rows(&refusals, figures.now);
        let more_refusals = refusals.len().saturating_sub(REFUSALS_MAX);
        refusals.truncate(REFUSALS_MAX);
        let path = format!("/console/tenants/{name}");
        TenantPage {
            frame: Frame::of_console(name, "Tenants", &path, refreshing, figures),
            name: name.to_owned(),
            summary: format!(
                "{} today, {} this month. {} in the last hour{}; {} running now.",
                usd(statement.today.total.cost_usd),
                usd(statement.month.total.cost_usd),
                many(tally.requests, "request"),
                not_served(name, &hour).iter().map(|one| format!(", {}", one.what)).collect::<String>(),
                count(statement.running.requests)
            ),
            account: Account::of(
                statement,
                "This tenant has no quota, so it may spend without end. [[tenants.NAME.quotas]] would hold it.",
            ),
            reasons: reasons(Some(name), figures),
            of_all: false,
            no_reasons: "None of this tenant's requests.",
            rates: rates(tenant),
            refusals,
            more_refusals,
            no_refusals: "None since the start.",
        }
    }
}

/// The most expensive of the month first.
pub(super) fn rows(figures: &Figures) -> Vec<TenantRow> {
    let whole = u64::try_from(month_total(figures).0).unwrap_or(0);
    let (hour, _) = figures.recent.last(HOUR);
    let mut tenants: Vec<&Tenant> = figures.tenants.iter().collect();
    tenants.sort_by_key(|tenant| {
        (std::cmp::Reverse(tenant.statement.month.total.cost_usd), std::cmp::Reverse(hour.of_tenant(tenant.name()).requests))
    });
    let row = |tenant: &Tenant| {
        let name = tenant.name();
        let tally = hour.of_tenant(name);
        let spent = u64::try_from(tenant.statement.month.total.cost_usd.0).unwrap_or(0);
        TenantRow {
            name: name.to_owned(),
            today: usd(tenant.statement.today.total.cost_usd),
            month: usd(tenant.statement.month.total.cost_usd),
            share: Bar::of_whole(spent, whole),
            share_shown: percent(spent, whole),
            tightest: LimitRow::tightest(&tenant.statement),
            spark: Spark::new(&figures.recent.rates(|totals| totals.of_tenant(name).requests), "requests a second", rate),
            requests: count(tally.requests),
            running: tenant.statement.running.requests,
            not_served: not_served(name, &hour),
        }
    };
    tenants.into_iter().map(row).collect()
}

/// What happened to a tenant's requests that it did not wish for.
fn not_served(name: &str, hour: &Totals) -> Vec<NotServed> {
    let tally = hour.of_tenant(name);
    let mostly = |failed: bool| {
        let reasons = hour.refusals.iter().filter(|((whose, reason), _)| whose == name && is_failure(reason) == failed);
        reasons.max_by_key(|(_, times)| **times).map_or("", |((_, reason), _)| meaning(reason).because)
    };
    let kinds = [
        (tally.failed, "failed", mostly(true), true),
        (tally.faults, "met an error of Bedrock's own", "", true),
        (tally.refused, "refused", mostly(false), false),
        (tally.declined, "declined by Bedrock", "", false),
    ];
    let told = kinds.into_iter().filter(|(times, ..)| *times > 0);
    told.map(|(times, what, why, failed)| NotServed {
        what: format!("{} {what} ({})", count(times), percent(times, tally.requests)),
        why,
        failed,
    })
    .collect()
}

/// Of all tenants, each by its own day.
pub(super) fn today_total(figures: &Figures) -> NanoUsd {
    figures.tenants.iter().map(|tenant| tenant.statement.today.total.cost_usd).sum()
}

/// Of all tenants, each by its own month.
pub(super) fn month_total(figures: &Figures) -> NanoUsd {
    figures.tenants.iter().map(|tenant| tenant.statement.month.total.cost_usd).sum()
}

fn rates(tenant: &Tenant) -> Vec<RateRow> {
    let limits = &tenant.limits;
    let running = format!(", {} running", tenant.statement.running.requests);
    let all = [
        ("Requests per second", limits.requests_per_second.map(u64::from), ""),
        ("Requests per minute", limits.requests_per_minute.map(u64::from), ""),
        ("Requests at once", limits.concurrent_requests.map(u64::from), running.as_str()),
        ("Stream events per second", limits.stream_events_per_second, FASTER_WAITS),
        ("Stream bytes per second", limits.stream_bytes_per_second, FASTER_WAITS),
    ];
    let row = |(name, limit, more): (&'static str, Option<u64>, &str)| {
        Some(RateRow { name, value: format!("{}{more}", count(limit?)) })
    };
    all.into_iter().filter_map(row).collect()
}
