//! Requests that reached Bedrock in vain, or never reached it: whose they are, why, what they asked for, and since when.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use super::{
    Figures,
    reasons::{BEDROCK_DECLINED, BEDROCK_FAILED, is_failure, is_on_the_way, meaning},
    since::{over, since},
    trouble::{NOW, REFUSALS_MANY, REFUSALS_MIN, Trouble},
    words::{count, list, percent, sentence, span, times},
};
use crate::telemetry::{NONE, Totals, totals::Tally};

/// From this share of a tenant's requests on its failures are worth a sentence.
const LOST_PERCENT_MIN: u64 = 2;

/// From this share on what Bedrock declines is: clients err, and a few throttled requests are tried again.
const DECLINED_PERCENT_MIN: u64 = 5;

/// Tenants that a sentence names; of the others it says how many.
const NAMED_MAX: usize = 3;

/// Tenants that something happened to.
struct Hit<'a> {
    /// The hardest hit first.
    tenants: Vec<&'a str>,
    times: u64,
    /// Of so many that the gateway let through.
    of: u64,
}

impl<'a> Hit<'a> {
    /// Those that `matters` of, given how often it happened and the requests that the gateway let through; or else all, if it does
    /// of all together. A small tenant all of whose requests fail does not drown in the others' that do not.
    fn find(lately: &'a Totals, happened: fn(&Tally) -> u64, matters: fn(u64, u64) -> bool) -> Option<Hit<'a>> {
        let all: Vec<_> = lately.tenants.iter().map(|(name, tally)| (name.as_str(), happened(tally), tally.admitted())).collect();
        let hit: Vec<_> = all.iter().filter(|(_, times, of)| matters(*times, *of)).copied().collect();
        let mut hit = if hit.is_empty() { all } else { hit };
        let sum = |part: fn(&(&str, u64, u64)) -> u64| hit.iter().map(part).sum::<u64>();
        let (times, of) = (sum(|(_, times, _)| *times), sum(|(_, _, of)| *of));
        hit.retain(|(_, times, _)| *times > 0);
        hit.sort_by_key(|(_, times, _)| Reverse(*times));
        matters(times, of).then(|| Hit { tenants: hit.into_iter().map(|(name, ..)| name).collect(), times, of })
    }

    fn has(&self, tenant: &str) -> bool {
        self.tenants.contains(&tenant)
    }

    /// `acme, globex and 12 more`
    fn names(&self) -> String {
        let known = |name: &&str| if *name == NONE { "nobody known" } else { *name }.to_owned();
        let mut names: Vec<String> = self.tenants.iter().take(NAMED_MAX).map(known).collect();
        match self.tenants.len().saturating_sub(names.len()) {
            0 => {}
            more => names.push(format!("{more} more")),
        }
        list(&names)
    }

    /// `20 % of the requests of acme in the last 5 min`
    fn share(&self, length: Duration) -> String {
        format!("{} of the requests of {} in the last {}", percent(self.times, self.of), self.names(), span(length))
    }

    /// The page of the tenant, if it is one.
    fn page(&self) -> String {
        match self.tenants[..] {
            [NONE] => "/console/refusals?tenant=none".to_owned(),
            [tenant] => format!("/console/tenants/{tenant}#not-served"),
            _ => "/console/upstreams".to_owned(),
        }
    }

    fn since(&self, figures: &Figures, happened: fn(&Tally) -> u64) -> String {
        since(figures, |totals| self.tenants.iter().map(|tenant| happened(&totals.of_tenant(tenant))).sum())
    }
}

/// What did not work in the gateway, or between here and Bedrock.
pub fn failures(figures: &Figures, lately: &Totals, length: Duration) -> Option<Trouble> {
    let matters = |lost: u64, of: u64| lost >= REFUSALS_MIN && lost.saturating_mul(100) >= of.saturating_mul(LOST_PERCENT_MIN);
    let hit = Hit::find(lately, Tally::lost, matters)?;
    let causes = causes(&hit, lately);
    let told = match &causes[..] {
        [only] => only.because.to_owned(),
        _ => {
            let one = |cause: &Cause<'_>| format!("{} {}{}", times(cause.times), cause.because, cause.over(&hit, figures));
            list(&causes.iter().map(one).collect::<Vec<_>>())
        }
    };
    let (advice, since) = causes.first().map_or_else(Default::default, |cause| (cause.advice, cause.since(&hit, figures)));
    let since = match (causes.len(), since.strip_prefix("Since")) {
        (2.., Some(since)) => format!("The first of these since{since}"),
        _ => since,
    };
    let models = models(&hit, figures);
    let what = format!("{} failed ({} of {}): {told}.{models}", hit.share(length), count(hit.times), count(hit.of));
    let page = match causes.first().and_then(|cause| cause.reason) {
        Some("ledger" | "credentials" | "keys_unavailable") => "/console/configuration".to_owned(),
        _ => hit.page(),
    };
    Some(Trouble::grave(what, &sentence(advice)).at(&page).lasting(since))
}

/// Why some failed.
struct Cause<'a> {
    /// The label; nothing for an answer that had begun, which has none.
    reason: Option<&'a str>,
    times: u64,
    because: &'static str,
    advice: &'static str,
}

impl<'a> Cause<'a> {
    fn of(reason: &'a str, times: u64) -> Cause<'a> {
        let said = meaning(reason);
        Cause { reason: Some(reason), times, because: said.because, advice: said.advice }
    }

    fn since(&self, hit: &Hit<'_>, figures: &Figures) -> String {
        since(figures, |totals| self.among(hit, totals))
    }

    /// ` (not in the last 2 min)`; empty if it goes on.
    fn over(&self, hit: &Hit<'_>, figures: &Figures) -> String {
        let over = over(figures, |totals| self.among(hit, totals));
        over.map_or(String::new(), |length| format!(" (not in the last {})", span(length)))
    }

    fn among(&self, hit: &Hit<'_>, totals: &Totals) -> u64 {
        let of = |tenant: &str| match self.reason {
            Some(BEDROCK_FAILED) => totals.of_tenant(tenant).faults,
            Some(reason) => totals.refusals.get(&(tenant.to_owned(), reason.to_owned())).copied().unwrap_or(0),
            None => totals.of_tenant(tenant).failed,
        };
        hit.tenants.iter().map(|tenant| of(tenant)).sum()
    }
}

/// The commonest first.
fn causes<'a>(hit: &Hit<'_>, lately: &'a Totals) -> Vec<Cause<'a>> {
    let mut by_reason = BTreeMap::<&str, u64>::new();
    for ((_, reason), times) in lately.refusals.iter().filter(|((whose, reason), _)| hit.has(whose) && is_failure(reason)) {
        *by_reason.entry(reason).or_default() += times;
    }
    let told: u64 = by_reason.values().sum();
    let faults = hit.tenants.iter().map(|tenant| lately.of_tenant(tenant).faults).sum();
    let rest = hit.times.saturating_sub(faults).saturating_sub(told);
    let broken_off = Cause {
        reason: None,
        because: "an answer of Bedrock's broke off after it had begun",
        ..Cause::of("upstream_broken", rest)
    };
    let labelled = by_reason.into_iter().map(|(reason, times)| Cause::of(reason, times));
    let mut causes: Vec<_> = labelled.chain([Cause::of(BEDROCK_FAILED, faults), broken_off]).collect();
    causes.retain(|cause| cause.times > 0);
    causes.sort_by_key(|cause| Reverse(cause.times));
    causes
}

/// What those asked for that are remembered and failed on the way, if it is mostly the same.
fn models(hit: &Hit<'_>, figures: &Figures) -> String {
    let began = figures.now - NOW;
    let failed = figures.refusals.iter().filter(|one| hit.has(&one.tenant) && is_on_the_way(one.reason) && one.at >= began);
    let models: Vec<_> = failed.filter_map(|one| one.model.as_deref()).collect();
    let mut by_model = BTreeMap::<&str, usize>::new();
    models.iter().for_each(|model| *by_model.entry(model).or_default() += 1);
    match (by_model.into_iter().max_by_key(|(_, times)| *times), models.len()) {
        (Some((model, times)), 2..) if times == models.len() => {
            format!(" The last {} without an answer all asked for {model}.", models.len())
        }
        (Some((model, times)), 2..) if times * 2 > models.len() => {
            format!(" Of the last {} without an answer {times} asked for {model}.", models.len())
        }
        _ => String::new(),
    }
}

/// What Bedrock would not do.
pub fn declined(figures: &Figures, lately: &Totals, length: Duration) -> Option<Trouble> {
    let matters = |times: u64, of: u64| {
        times >= REFUSALS_MANY || (times >= REFUSALS_MIN && times.saturating_mul(100) >= of.saturating_mul(DECLINED_PERCENT_MIN))
    };
    let declined = |tally: &Tally| tally.declined;
    let hit = Hit::find(lately, declined, matters)?;
    let what = format!("{} were declined by Bedrock with a 4xx ({} of {}).", hit.share(length), count(hit.times), count(hit.of));
    Some(
        Trouble::warning(what, &sentence(meaning(BEDROCK_DECLINED).advice)).at(&hit.page()).lasting(hit.since(figures, declined)),
    )
}
