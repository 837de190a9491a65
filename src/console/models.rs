//! Which models are used, by whom, and what they cost.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use askama::Template;

use super::{
    Figures,
    frame::Frame,
    plot::{Bar, Spark},
    reasons::{is_failure, meaning},
    words::{count, sentence, short, usd},
};
use crate::{
    pricing::NanoUsd,
    quota::account::statement::Used,
    telemetry::{NONE, Refused, history::HOUR, refusals::KEPT_MAX},
};

/// Clients choose the names of what they ask for.
const NOT_SERVED_MAX: usize = 20;

#[derive(Template)]
#[template(path = "models.html")]
pub(super) struct ModelsPage {
    frame: Frame,
    models: Vec<ModelRow>,
    not_served: Vec<NotServedRow>,
    /// Refusals that are remembered of a tenant.
    kept: usize,
}

struct ModelRow {
    name: String,
    today: String,
    month: String,
    share: Bar,
    requests: String,
    input: String,
    /// What `input` does not count; empty: nothing.
    cached: String,
    output: String,
    spark: Option<Spark>,
    tenants: String,
    unpriced: bool,
}

/// What was asked of one model in vain.
struct NotServedRow {
    name: String,
    times: String,
    tenants: String,
    /// Mostly.
    because: String,
    label: &'static str,
    failed: bool,
}

/// Of one model, over all tenants.
#[derive(Default)]
struct Sum<'a> {
    today: Used,
    month: NanoUsd,
    tenants: BTreeSet<&'a str>,
}

impl ModelsPage {
    pub fn new(figures: &Figures, refreshing: bool) -> ModelsPage {
        let frame = Frame::of_console("Models", "Models", "/console/models", refreshing, figures);
        let mut sums: Vec<_> = sums(figures).into_iter().collect();
        sums.sort_by_key(|(_, sum)| Reverse((sum.month, sum.today.requests)));
        let whole: NanoUsd = sums.iter().map(|(_, sum)| sum.month).sum();
        let (hour, _) = figures.recent.last(HOUR);
        let row = |(name, sum): (&str, Sum<'_>)| {
            let rates = || figures.recent.rates(|totals| totals.models.get(name).map_or(0, |tally| tally.tokens));
            let spark = || Spark::new(&rates(), "tokens a minute", |tokens| short((tokens * 60.0) as u64));
            ModelRow {
                name: name.to_owned(),
                today: usd(sum.today.cost_usd),
                month: usd(sum.month),
                share: Bar::of_whole(u64::try_from(sum.month.0).unwrap_or(0), u64::try_from(whole.0).unwrap_or(0)),
                requests: count(sum.today.requests),
                input: count(sum.today.input_tokens),
                cached: match sum.today.cache_read_tokens {
                    0 => String::new(),
                    tokens => format!("{} from the cache", count(tokens)),
                },
                output: count(sum.today.output_tokens),
                spark: hour.models.contains_key(name).then(spark),
                unpriced: figures.unpriced.contains(name),
                tenants: sum.tenants.into_iter().collect::<Vec<_>>().join(", "),
            }
        };
        ModelsPage { frame, models: sums.into_iter().map(row).collect(), not_served: not_served(figures), kept: KEPT_MAX }
    }
}

/// Of those that are remembered: failures first, and the commonest first.
fn not_served(figures: &Figures) -> Vec<NotServedRow> {
    let mut by_model = BTreeMap::<&str, Vec<&Refused>>::new();
    let hour = figures.now - HOUR;
    for refused in figures.refusals.iter().filter(|refused| refused.at >= hour) {
        if let Some(model) = &refused.model {
            by_model.entry(model).or_default().push(refused);
        }
    }
    let row = |(model, refusals): (&str, Vec<&Refused>)| {
        let mut reasons = BTreeMap::<&'static str, usize>::new();
        refusals.iter().for_each(|refused| *reasons.entry(refused.reason).or_default() += 1);
        let label = reasons.into_iter().max_by_key(|(_, times)| *times).map_or("", |(reason, _)| reason);
        let tenants: BTreeSet<&str> = refusals.iter().map(|refused| refused.tenant.as_str()).collect();
        let row = NotServedRow {
            name: model.to_owned(),
            times: count(refusals.len() as u64),
            tenants: tenants
                .into_iter()
                .map(|name| if name == NONE { "nobody known" } else { name })
                .collect::<Vec<_>>()
                .join(", "),
            because: sentence(meaning(label).because),
            label,
            failed: is_failure(label),
        };
        (refusals.len(), row)
    };
    let mut rows: Vec<_> = by_model.into_iter().map(row).collect();
    rows.sort_by_key(|(times, row)| Reverse((row.failed, *times)));
    rows.into_iter().take(NOT_SERVED_MAX).map(|(_, row)| row).collect()
}

fn sums(figures: &Figures) -> BTreeMap<&str, Sum<'_>> {
    let mut sums = BTreeMap::<&str, Sum<'_>>::new();
    for tenant in &figures.tenants {
        for of_model in &tenant.statement.month.by_model {
            let sum = sums.entry(&of_model.model).or_default();
            sum.month = sum.month + of_model.used.cost_usd;
            sum.tenants.insert(tenant.name());
        }
        for of_model in &tenant.statement.today.by_model {
            let (sum, used) = (&mut sums.entry(&of_model.model).or_default().today, &of_model.used);
            sum.cost_usd = sum.cost_usd + used.cost_usd;
            sum.requests = sum.requests.saturating_add(used.requests);
            sum.input_tokens = sum.input_tokens.saturating_add(used.input_tokens);
            sum.cache_read_tokens = sum.cache_read_tokens.saturating_add(used.cache_read_tokens);
            sum.output_tokens = sum.output_tokens.saturating_add(used.output_tokens);
        }
    }
    sums
}
