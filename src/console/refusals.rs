//! What was refused of late, request by request.

use askama::Template;
use jiff::Timestamp;

use super::{
    Figures,
    frame::Frame,
    reasons::{BEDROCK_DECLINED, BEDROCK_FAILED, is_failure, meaning},
    words,
};
use crate::telemetry::{NONE, Refused, history::HOUR, refusals::KEPT_MAX};

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

/// Requests of one tenant that were not served for one reason, in the last hour.
pub(super) struct ReasonRow {
    pub times: String,
    pub tenant: String,
    /// It has a page of its own.
    pub known: bool,
    pub because: String,
    advice: String,
    pub label: String,
    /// The id of the last request, or where else to look for it.
    pub last: Result<String, &'static str>,
    /// It failed, where the others were refused.
    pub failed: bool,
}

impl ReasonRow {
    /// What to do, in pieces: what stands between backticks is code.
    pub fn advice(&self) -> impl Iterator<Item = (bool, &str)> {
        self.advice.split('`').enumerate().map(|(index, text)| (index % 2 == 1, text))
    }
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

/// Of one tenant or of all: failures first, and the commonest first.
pub(super) fn reasons(tenant: Option<&str>, figures: &Figures) -> Vec<ReasonRow> {
    let (hour, _) = figures.recent.last(HOUR);
    let fails = |label: &str| label == BEDROCK_FAILED || is_failure(label);
    let wanted = |whose: &str| tenant.is_none_or(|name| whose == name);
    let own = hour.refusals.iter().map(|((whose, label), times)| (whose.as_str(), label.as_str(), *times));
    let of_bedrock = hour.tenants.iter().flat_map(|(whose, tally)| {
        [(whose.as_str(), BEDROCK_FAILED, tally.faults), (whose.as_str(), BEDROCK_DECLINED, tally.declined)]
    });
    let mut reasons: Vec<_> = own.chain(of_bedrock).filter(|(whose, _, times)| *times > 0 && wanted(whose)).collect();
    reasons.sort_by_key(|(_, label, times)| std::cmp::Reverse((fails(label), *times)));
    let row = |(tenant, label, times): (&str, &str, u64)| {
        let said = meaning(label);
        let last = figures.refusals.iter().find(|one| one.tenant == *tenant && one.reason == label);
        ReasonRow {
            times: words::count(times),
            tenant: tenant.to_owned(),
            known: tenant != NONE,
            because: words::sentence(said.because),
            advice: words::sentence(said.advice),
            label: label.to_owned(),
            last: match last {
                Some(one) => Ok(one.request_id.clone()),
                None if [BEDROCK_FAILED, BEDROCK_DECLINED].contains(&label) => Err("in the access log"),
                None => Err("not kept any more"),
            },
            failed: fails(label),
        }
    };
    reasons.into_iter().map(row).collect()
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
        why: refused.why.clone().unwrap_or_else(|| words::sentence(meaning(refused.reason).because)),
        reason: refused.reason,
        id: refused.request_id.clone(),
    };
    refusals.iter().map(row).collect()
}
