//! What was refused of late, request by request.

use askama::Template;
use jiff::Timestamp;

use super::{Figures, frame::Frame, reasons::meaning, words};
use crate::telemetry::{NONE, Refused, refusals::KEPT_MAX};

/// On one page.
const ROWS_MAX: usize = 300;

#[derive(Template)]
#[template(path = "refusals.html")]
pub(super) struct RefusalsPage {
    frame: Frame,
    /// Of whom; empty: of all.
    of: String,
    kept: usize,
    refusals: Vec<RefusalRow>,
    no_refusals: &'static str,
}

/// One refusal.
pub(super) struct RefusalRow {
    pub machine: String,
    pub time: String,
    pub ago: String,
    pub tenant: String,
    /// It has a page of its own.
    pub known: bool,
    pub principal: String,
    pub operation: &'static str,
    pub model: String,
    pub status: String,
    pub why: String,
    pub reason: &'static str,
    pub id: String,
}

impl RefusalsPage {
    /// Of one tenant, or of [`NONE`], or of all.
    pub fn new(tenant: Option<&str>, figures: &Figures, refreshing: bool) -> RefusalsPage {
        // What nobody has sent is not shown: a name in the address is a stranger's.
        let tenant = tenant.filter(|name| *name == NONE || figures.tenant(name).is_some());
        let chosen: Vec<_> =
            figures.refusals.iter().filter(|one| tenant.is_none_or(|name| one.tenant == name)).cloned().collect();
        let mut refusals = rows(&chosen, figures.now);
        refusals.truncate(ROWS_MAX);
        let path = tenant.map_or("/console/refusals".to_owned(), |name| format!("/console/refusals?tenant={name}"));
        RefusalsPage {
            frame: Frame::of_console("Refusals", "Refusals", &path, refreshing, figures),
            of: tenant.map_or("", |name| if name == NONE { "nobody known" } else { name }).to_owned(),
            kept: KEPT_MAX,
            refusals,
            no_refusals: "Nothing was refused since the start. What the gateway refuses, and what fails, shows here with its request id.",
        }
    }
}

/// As they come.
pub(super) fn rows(refusals: &[Refused], now: Timestamp) -> Vec<RefusalRow> {
    let row = |refused: &Refused| RefusalRow {
        machine: words::machine(refused.at),
        time: refused.at.strftime("%H:%M:%S").to_string(),
        ago: words::ago(refused.at, now),
        tenant: refused.tenant.clone(),
        known: refused.tenant != NONE,
        principal: refused.principal.clone().unwrap_or_default(),
        operation: if refused.operation == NONE { "" } else { refused.operation },
        model: refused.model.clone().unwrap_or_default(),
        status: refused.status.map_or("none".to_owned(), |status| status.to_string()),
        why: refused.why.clone().unwrap_or_else(|| sentence(meaning(refused.reason).because)),
        reason: refused.reason,
        id: refused.request_id.clone(),
    };
    refusals.iter().map(row).collect()
}

fn sentence(because: &str) -> String {
    let mut letters = because.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
