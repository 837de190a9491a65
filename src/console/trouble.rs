//! What is wrong now, in sentences: each says what, for whom, and what to do. Nothing is said of what mends itself in a minute.

use std::time::Duration;

use jiff::SignedDuration;

use super::{
    Credentials, Figures, Issuer, Tenant,
    account::whole,
    failing::{declined, failures},
    reasons::{is_failure, meaning},
    since::since,
    words::{ago, clock, count, list, many, percent, sentence, span, until, utc, utc_short},
};
use crate::{
    quota::account::statement::{Amount, Line},
    telemetry::{NONE, Totals},
};

/// What counts as now, for what is told of rates.
pub const NOW: Duration = Duration::from_secs(300);

/// Fewer refusals than this are somebody trying something out.
pub const REFUSALS_MIN: u64 = 5;
/// From this share of a tenant's requests on they are worth a sentence.
const REFUSALS_PERCENT_MIN: u64 = 10;
/// From so many on they are, whatever the share.
pub const REFUSALS_MANY: u64 = 100;

/// Credentials are renewed five minutes before they end; later than that it has failed for a while.
const CREDENTIALS_SECONDS_MIN: i64 = 240;

/// A ledger that is later than this is told of.
const LEDGER_LAG_MAX: Duration = Duration::from_secs(10);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Requests are lost to it now; else they will be, or somebody's are.
    pub grave: bool,
    /// What is wrong.
    pub what: String,
    /// Since when; empty where that says nothing, or is said already.
    pub since: String,
    /// What to do.
    pub advice: String,
    /// The page that has more.
    pub link: Option<String>,
}

impl Trouble {
    pub fn grave(what: String, advice: &str) -> Trouble {
        Trouble { grave: true, what, since: String::new(), advice: advice.to_owned(), link: None }
    }

    pub fn warning(what: String, advice: &str) -> Trouble {
        Trouble { grave: false, ..Trouble::grave(what, advice) }
    }

    /// What is wrong, in the same way as the advice.
    pub fn what(&self) -> impl Iterator<Item = (bool, &str)> {
        in_pieces(&self.what)
    }

    /// What to do, in pieces: what stands between backticks is code.
    pub fn advice(&self) -> impl Iterator<Item = (bool, &str)> {
        in_pieces(&self.advice)
    }

    /// Has more on that page.
    pub fn at(self, link: &str) -> Trouble {
        Trouble { link: Some(link.to_owned()), ..self }
    }

    /// Goes on since then.
    pub fn lasting(self, since: String) -> Trouble {
        Trouble { since, ..self }
    }
}

fn in_pieces(text: &str) -> impl Iterator<Item = (bool, &str)> {
    text.split('`').enumerate().map(|(index, text)| (index % 2 == 1, text))
}

/// All that is wrong, the gravest first.
pub fn troubles(figures: &Figures) -> Vec<Trouble> {
    let (lately, length) = figures.recent.last(NOW);
    let mut troubles = Vec::new();
    troubles.extend(figures.unready.contains(&"stopping").then(|| {
        Trouble::grave("This gateway is stopping and takes no new connections.".to_owned(), "Running requests still finish.")
    }));
    troubles.extend(credentials(figures));
    troubles.extend(ledger(figures));
    troubles.extend(figures.issuers.iter().filter_map(keys));
    troubles.extend(certificates(figures));
    troubles.extend(failures(figures, &lately, length));
    troubles.extend(declined(figures, &lately, length));
    troubles.extend(reload(figures));
    troubles.extend(figures.tenants.iter().flat_map(|tenant| limits(tenant, figures)));
    troubles.extend(refusals(figures, &lately, length));
    troubles.extend(losses(figures));
    troubles.sort_by_key(|trouble| !trouble.grave);
    troubles
}

fn credentials(figures: &Figures) -> Option<Trouble> {
    let advice =
        "Look at the instance role, or at [credentials] in the configuration; the log says why they could not be fetched.";
    match figures.credentials {
        Credentials::None => {
            Some(Trouble::grave("There are no AWS credentials, so every request is refused.".to_owned(), advice))
        }
        Credentials::Until(end) if end.duration_since(figures.now).as_secs() < CREDENTIALS_SECONDS_MIN => {
            let when = until(end, figures.now);
            Some(Trouble::grave(format!("The AWS credentials expire {when} and have not been renewed."), advice))
        }
        _ => None,
    }
}

fn ledger(figures: &Figures) -> Option<Trouble> {
    let health = &figures.ledger.as_ref()?.health;
    let file = &figures.ledger.as_ref()?.file;
    let waiting = match health.rows_waiting {
        1 => "1 charge waits".to_owned(),
        rows => format!("{} wait", many(rows as u64, "charge")),
    };
    let advice = "Look at the disk under the file. Nothing is lost while the process lives.";
    let trouble = if !health.writable {
        let why = health.error.as_deref().unwrap_or("the log says why");
        Trouble::grave(format!("The ledger {file} cannot be written: {why}. {waiting} in memory."), advice)
    } else if health.lag > LEDGER_LAG_MAX {
        Trouble::warning(format!("The ledger {file} is {} behind: {waiting} to be written.", span(health.lag)), advice)
    } else {
        return None;
    };
    let seconds = SignedDuration::try_from(health.lag).unwrap_or_default();
    let since = format!("Since {}, {} ago.", clock(figures.now - seconds), span(health.lag));
    Some(trouble.at("/console/configuration").lasting(if health.lag.is_zero() { String::new() } else { since }))
}

fn keys(issuer: &Issuer) -> Option<Trouble> {
    let Issuer { name, keys, age_seconds, refresh_seconds, outage_seconds_max, .. } = issuer;
    let advice = "Look at the issuer's key-set URL from this host.";
    if *keys == 0 {
        return Some(
            Trouble::grave(format!("There are no keys of issuer {name}, so all its tokens are refused."), advice)
                .at("/console/configuration"),
        );
    }
    let age = (*age_seconds)?;
    let shown = span(Duration::from_secs(age));
    if age > *outage_seconds_max {
        let what = format!("Issuer {name} has not confirmed its keys for {shown}, so its tokens are refused.");
        return Some(Trouble::grave(what, advice).at("/console/configuration"));
    }
    (age > refresh_seconds.saturating_mul(3)).then(|| {
        let left = span(Duration::from_secs(outage_seconds_max.saturating_sub(age)));
        let what = format!("Issuer {name} has not confirmed its keys for {shown}; the old ones serve for another {left}.");
        Trouble::warning(what, advice).at("/console/configuration")
    })
}

fn certificates(figures: &Figures) -> Vec<Trouble> {
    let now = figures.now.as_second();
    let all = figures.listeners.iter().flat_map(|listener| &listener.certificates);
    let trouble = all.filter_map(|(file, validity)| {
        let (problem, help) = validity.complaint(now)?;
        let trouble =
            Trouble { grave: validity.ends_very_soon(now), ..Trouble::warning(format!("{file}: {problem}."), &sentence(help)) };
        Some(trouble.at("/console/configuration"))
    });
    trouble.collect()
}

fn reload(figures: &Figures) -> Option<Trouble> {
    let last = figures.reloads.first()?;
    let error = last.error.as_ref()?;
    let first = error.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let place = error.lines().nth(1).and_then(|line| line.trim_start().strip_prefix("--> "));
    let place = place.map_or(String::new(), |place| format!(", at {place}"));
    let what = format!(
        "The last reload failed, and configuration {} stays in force, though the file is another one: {first}{place}.",
        figures.generation
    );
    let trouble = Trouble::warning(what, "Mend the file; `tollgate check` says everything that is wrong with it.");
    Some(trouble.at("/console/configuration").lasting(format!("{}, {}.", utc(last.at), ago(last.at, figures.now))))
}

/// Limits for a day or a month that are used up, or will be before their time.
fn limits(tenant: &Tenant, figures: &Figures) -> Vec<Trouble> {
    let page = format!("/console/tenants/{}", tenant.name());
    let enforced = tenant.statement.limits.iter().filter(|line| !line.shadow && !line.limit.ends_with("-per-minute"));
    enforced.filter_map(|line| limit(tenant.name(), line, figures)).map(|trouble| trouble.at(&page)).collect()
}

fn limit(tenant: &str, line: &Line, figures: &Figures) -> Option<Trouble> {
    let Line { spent: Amount(_, spent), remaining: Amount(_, remaining), amount: all, .. } = line;
    let scope = if &*line.quota == "all" { String::new() } else { format!(" for {}", line.quota) };
    let limited = format!("{}{scope}", whole(line));
    if *remaining == 0 {
        let what = format!("{tenant} has used up its {limited} and is refused until {}.", utc_short(line.resets.0));
        return Some(Trouble::warning(what, "Raise the quota, if the tenant may have more."));
    }
    let at = line.exhausted_at?.0;
    // Early in a window a pace says little.
    (spent.saturating_mul(2) >= all.1).then(|| {
        let used = percent(*spent, all.1);
        let what = format!(
            "{tenant} has used {used} of its {limited}, and at this pace all of it {}: it resets on {}.",
            until(at, figures.now),
            utc_short(line.resets.0)
        );
        Trouble::warning(what, "Raise the quota, or talk to the tenant.")
    })
}

/// Whose requests are refused, and mostly why.
fn refusals(figures: &Figures, lately: &Totals, length: Duration) -> Vec<Trouble> {
    let refused = lately.tenants.iter().filter(|(_, tally)| {
        let share = tally.refused.saturating_mul(100) >= tally.requests.saturating_mul(REFUSALS_PERCENT_MIN);
        tally.refused >= REFUSALS_MANY || (tally.refused >= REFUSALS_MIN && share)
    });
    let trouble = refused.map(|(tenant, tally)| {
        let reasons = lately.refusals.iter().filter(|((whose, reason), _)| whose == tenant && !is_failure(reason));
        let reason = reasons.max_by_key(|(_, times)| **times).map_or("", |((_, reason), _)| reason.as_str());
        let said = meaning(reason);
        let length = span(length);
        let (what, link) = if tenant == NONE {
            let many = many(tally.refused, "request");
            (
                format!("{many} in the last {length} came from nobody known here; mostly because {}.", said.because),
                "/console/refusals?tenant=none".to_owned(),
            )
        } else {
            let (refused, requests) = (count(tally.refused), count(tally.requests));
            let what = format!(
                "{refused} of {requests} requests of {tenant} in the last {length} were refused; mostly because {}.",
                said.because
            );
            (what, format!("/console/tenants/{tenant}#not-served"))
        };
        let since = since(figures, |totals| totals.of_tenant(tenant).refused);
        Trouble::warning(what, &sentence(said.advice)).at(&link).lasting(since)
    });
    trouble.collect()
}

/// What is missing from the books.
fn losses(figures: &Figures) -> Vec<Trouble> {
    let (hour, _) = figures.recent.last(crate::telemetry::history::HOUR);
    let mut troubles = Vec::new();
    let unpriced: u64 = hour.unpriced.values().sum();
    if unpriced > 0 {
        let tenants = list(&hour.unpriced.keys().cloned().collect::<Vec<_>>());
        let which = match figures.unpriced.len() {
            0 => String::new(),
            models @ 1..=3 => {
                let names = list(&figures.unpriced.iter().map(|model| model.to_string()).collect::<Vec<_>>());
                format!(": {names} {} no price", if models == 1 { "has" } else { "have" })
            }
            models => format!(": {models} models have no price"),
        };
        let many = many(unpriced, "request");
        let what = format!("{many} of {tenants} in the last hour cost something that nobody knows{which}.");
        let advice = "Give the models a price, and the operations that are charged by request: prices.toml has both.";
        troubles.push(Trouble::warning(what, advice).at("/console/models"));
    }
    let estimated: u64 = hour.estimated.values().sum();
    if estimated >= REFUSALS_MIN {
        let tenants = list(&hour.estimated.keys().cloned().collect::<Vec<_>>());
        let many = many(estimated, "answer");
        let what = format!("{many} to {tenants} in the last hour broke off or did not say their usage: their cost is a guess.");
        let advice =
            "Clients may have left, or Bedrock ended streams with an exception: `estimated` in the access log finds them.";
        troubles.push(Trouble::warning(what, advice).lasting(since(figures, |totals| totals.estimated.values().sum())));
    }
    if hour.lines_lost > 0 {
        let what = format!("{} of the access log were lost in the last hour.", many(hour.lines_lost, "line"));
        troubles.push(Trouble::warning(what, "Whatever reads standard output is too slow."));
    }
    let full: u64 =
        hour.connections_refused.iter().filter(|((_, reason), _)| reason == "connections_max").map(|(_, times)| times).sum();
    if full > 0 {
        let what = format!("{} in the last hour found no room (downstream.connections_max).", many(full, "connection"));
        troubles.push(Trouble::warning(what, "Add gateways, or raise it and the limit on open files."));
    }
    troubles
}
