//! What is in force, since when, what changed last, and how long keys and certificates last. Secrets are not among the figures.

use std::time::Duration;

use askama::Template;

use super::{Credentials, Figures, Issuer, Listener, Reload, frame::Frame, words};
use crate::config::Change;

#[derive(Template)]
#[template(path = "configuration.html")]
pub(super) struct ConfigurationPage {
    frame: Frame,
    summary: String,
    /// The whole report of a reload that failed, if that was the last.
    failed: Option<String>,
    changes: Vec<Change>,
    no_changes: String,
    changed_when: String,
    reloads: Vec<ReloadRow>,
    listeners: Vec<ListenerRow>,
    issuers: Vec<IssuerRow>,
    credentials: String,
    ledger: String,
}

struct ReloadRow {
    when: String,
    ago: String,
    level: &'static str,
    outcome: String,
    what: String,
}

struct ListenerRow {
    address: String,
    connections: String,
    certificate: String,
    expires: String,
    level: &'static str,
}

struct IssuerRow {
    name: String,
    url: String,
    keys: usize,
    confirmed: String,
}

impl ConfigurationPage {
    pub fn new(figures: &Figures, refreshing: bool) -> ConfigurationPage {
        let in_force = figures.reloads.iter().find(|reload| reload.was_taken());
        let changed = figures.reloads.iter().find(|reload| reload.changed_something());
        let since = in_force.map_or(figures.started, |reload| reload.at);
        ConfigurationPage {
            frame: Frame::of_console("Configuration", "Configuration", "/console/configuration", refreshing, figures),
            summary: format!(
                "Number {} since the start, read from {} at {}.",
                figures.generation,
                figures.file,
                words::utc(since)
            ),
            failed: figures.reloads.first().and_then(|last| last.error.clone()),
            changes: changed.map(|reload| reload.changes.clone()).unwrap_or_default(),
            no_changes: no_changes(changed),
            changed_when: changed.map(changed_when).unwrap_or_default(),
            reloads: figures.reloads.iter().map(|reload| ReloadRow::of(reload, figures)).collect(),
            listeners: figures.listeners.iter().flat_map(|listener| listener_rows(listener, figures)).collect(),
            issuers: figures.issuers.iter().map(IssuerRow::of).collect(),
            credentials: match figures.credentials {
                Credentials::None => "none: every request is refused".to_owned(),
                Credentials::Lasting => "in use; they do not expire".to_owned(),
                Credentials::Until(end) => {
                    format!("in use until {} ({}); renewed five minutes before", words::utc(end), words::until(end, figures.now))
                }
            },
            ledger: match &figures.ledger {
                None => "in memory only: what was used is forgotten with the process. [ledger] would keep it.".to_owned(),
                Some(ledger) => format!(
                    "{}: {}, {} waiting to be written",
                    ledger.file,
                    if ledger.health.writable { "written to" } else { "cannot be written" },
                    words::many(ledger.health.rows_waiting as u64, "charge")
                ),
            },
        }
    }
}

fn no_changes(changed: Option<&Reload>) -> String {
    match changed {
        Some(reload) => format!(
            "At {} no key of the configuration, but these files were different: {}.",
            words::utc(reload.at),
            reload.files.join(", ")
        ),
        None => "Nothing since the start.".to_owned(),
    }
}

fn changed_when(reload: &Reload) -> String {
    let (before, after, at) = (reload.generation.saturating_sub(1), reload.generation, words::utc(reload.at));
    format!("From number {before} to {after}, at {at}{}:", waiting(reload))
}

/// What is written, and not in force.
fn waiting(reload: &Reload) -> String {
    match reload.waiting.as_slice() {
        [] => String::new(),
        waiting => format!("; not in force: {}", waiting.join("; ")),
    }
}

impl ReloadRow {
    fn of(reload: &Reload, figures: &Figures) -> ReloadRow {
        let (level, outcome) = match reload.error {
            Some(_) => ("bad", format!("failed; {} stays", reload.generation)),
            None => ("good", format!("configuration {}", reload.generation)),
        };
        let keys = words::many(reload.changes.len() as u64, "key");
        let mut what = match (&reload.error, reload.files.as_slice()) {
            (Some(error), _) => error.lines().next().unwrap_or_default().to_owned(),
            (None, _) if reload.generation == 1 => "the start".to_owned(),
            (None, []) => keys,
            (None, files) => format!("{keys}; {}", files.join(", ")),
        };
        what += &waiting(reload);
        ReloadRow { when: words::utc(reload.at), ago: words::ago(reload.at, figures.now), level, outcome, what }
    }
}

fn listener_rows(listener: &Listener, figures: &Figures) -> Vec<ListenerRow> {
    let row = |certificate: String, expires: String, level| ListenerRow {
        address: listener.address.to_string(),
        connections: words::count(listener.connections),
        certificate,
        expires,
        level,
    };
    if listener.certificates.is_empty() {
        return vec![row("none: plaintext".to_owned(), "–".to_owned(), "")];
    }
    let now = figures.now.as_second();
    let certificate = |(file, validity): &(String, crate::config::Validity)| {
        let end = jiff::Timestamp::from_second(validity.not_after).unwrap_or(jiff::Timestamp::MAX);
        let level = match () {
            () if validity.ends_very_soon(now) => "bad",
            () if validity.ends_soon(now) => "warn",
            () => "",
        };
        row(file.clone(), format!("{}, on {}", words::until(end, figures.now), words::date(end)), level)
    };
    listener.certificates.iter().map(certificate).collect()
}

impl IssuerRow {
    fn of(issuer: &Issuer) -> IssuerRow {
        let confirmed = match issuer.age_seconds {
            _ if issuer.keys == 0 => "never".to_owned(),
            None => "a file".to_owned(),
            Some(age) => format!("{} ago", words::span(Duration::from_secs(age))),
        };
        IssuerRow { name: issuer.name.clone(), url: issuer.url.clone(), keys: issuer.keys, confirmed }
    }
}
