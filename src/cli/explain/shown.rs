//! The way of a request, as text: a line a station, the limits as a table, and the answer in the words of the refusal.

use std::fmt::Write;

use uuid::Uuid;

use super::{ExplainArgs, Findings};
use crate::{
    bedrock::Dialect,
    cli::{prices::show::table, usage::visible},
    config::HoldInput,
    proxy::{denial::Denial, estimate::Tariff},
    quota::{Balance, LimitKind, QuotaDenial},
    routing::Route,
    snapshot::Tenant,
};

pub(super) fn text(
    args: &ExplainArgs,
    findings: &Findings,
    tenant: Option<&Tenant>,
    groups: &[(&str, String)],
    notes: &[&str],
    answer: &Result<(), Denial>,
) -> String {
    let mut out = format!("tenant     {}\n", visible(args.caller.tenant()));
    groups.iter().for_each(|(group, effect)| _ = writeln!(out, "group      {}: {}", visible(group), visible(effect)));
    let _ = writeln!(out, "model      {}", visible(&args.model));
    out += &stands_for(args, tenant);
    let mut dialect = Dialect::Aws;
    if let Some(route) = &findings.route {
        dialect = Dialect::of_path(route.path.as_bytes());
        let _ = writeln!(out, "route      {} {}", route.service, route.operation_name());
        let verdict = if is_of_policy(answer) { "refuses" } else { "allows it" };
        let _ = writeln!(out, "policy     {verdict}");
        if !is_of_policy(answer) {
            out += &guardrail(args, route, tenant);
        }
    }
    match (&findings.tariff, &findings.route, answer) {
        (Some(tariff), ..) => out += &price(tariff),
        (None, Some(_), Ok(())) => out += "price      free: nothing is held and nothing charged\n",
        _ => {}
    }
    out += &asked(args, findings, tenant);
    out += &identity(tenant);
    out += &rates(tenant);
    out += &streams(tenant);
    out += &limits(findings);
    notes.iter().for_each(|note| out += &format!("\n{note}\n"));
    out += "\n";
    out += &match answer {
        Ok(()) => "answer     admitted\n".to_owned(),
        Err(denial) => refused(denial, dialect),
    };
    out
}

/// What the model's name comes to, where it is not itself.
fn stands_for(args: &ExplainArgs, tenant: Option<&Tenant>) -> String {
    match tenant.map(|tenant| tenant.policy.profiles.find(&args.model)) {
        Some(Some(model)) if model != args.model => format!("stands for {}\n", visible(model)),
        Some(None) => "stands for nothing that is known: [profiles] does not have it\n".to_owned(),
        _ => String::new(),
    }
}

/// What the gateway puts into the request.
fn guardrail(args: &ExplainArgs, route: &Route, tenant: Option<&Tenant>) -> String {
    let operation = route.operation.map(|known| known.0);
    match tenant.map(|tenant| args.caller.rights(tenant).guardrail(route.service, operation)) {
        Some(Ok(Some((guardrail, _)))) => {
            format!("guardrail  {} version {}, put into the request\n", visible(guardrail.identifier()), guardrail.version())
        }
        _ => String::new(),
    }
}

fn is_of_policy(answer: &Result<(), Denial>) -> bool {
    matches!(answer, Err(Denial::Policy(_)))
}

fn price(tariff: &Tariff) -> String {
    match (&tariff.price, tariff.request_price) {
        (Some(price), _) => {
            let rates = table(price).lines().map(|line| format!("  {line}\n")).collect::<String>();
            format!("price      US dollars per million tokens, from {}\n{rates}", price.source())
        }
        (None, Some(price)) => format!("price      ${price} a request\n"),
        (None, None) => "price      none\n".to_owned(),
    }
}

/// What it would hold.
fn asked(args: &ExplainArgs, findings: &Findings, tenant: Option<&Tenant>) -> String {
    let (Some((tokens, changes)), Some(tariff)) = (&findings.asked, &findings.tariff) else { return String::new() };
    let cost = tariff.ask(Uuid::nil(), tokens).cost;
    let (input, output) = (tokens.input, tokens.output);
    let is_conversation = findings.route.as_ref().is_some_and(Route::is_conversation);
    let mut out = match (tariff.counts, tariff.by_request) {
        (true, false) if is_conversation => format!(
            "holds      {input} input and {output} output tokens, ${cost} at most, and as many again each time they are used up\n"
        ),
        (true, false) => format!("holds      {input} input and {output} output tokens, ${cost} at most\n"),
        (true, true) => format!("holds      {input} input and {output} output tokens, and ${cost} as a request\n"),
        (false, _) if output > 0 => format!("holds      ${cost}, as a request; its tokens count if its answer tells them\n"),
        (false, _) => format!("holds      ${cost}, as a request\n"),
    };
    let estimates = tariff.counts && !is_conversation;
    if estimates && tenant.is_some_and(|tenant| tenant.quotas.hold_input() == HoldInput::Bound) {
        out += "           hold_input = \"bound\": the gateway holds a token of input for each byte of text\n";
    }
    match (changes.lowered_to, args.max_tokens) {
        (Some(max), Some(asked)) => _ = writeln!(out, "max_tokens lowered from {asked} to {max}"),
        (Some(max), None) => _ = writeln!(out, "max_tokens set to {max}"),
        _ => {}
    }
    for denial in &changes.shadowed {
        let _ = writeln!(out, "           {}, but that only watches (shadow)", visible(&denial.to_string()));
    }
    out
}

/// As whom it goes to AWS, if not as the gateway.
fn identity(tenant: Option<&Tenant>) -> String {
    let Some(role) = tenant.and_then(|tenant| tenant.role.as_ref()) else { return String::new() };
    let whose = if role.per_principal() { "the principal's" } else { "the tenant's" };
    format!("signed by  {whose} session of {}\n", role.role().arn)
}

/// The gateway counts them in memory.
fn rates(tenant: Option<&Tenant>) -> String {
    let Some(limits) = tenant.map(|tenant| &tenant.limits) else { return String::new() };
    let limits = [
        (LimitKind::RequestsPerSecond, limits.requests_per_second),
        (LimitKind::RequestsPerMinute, limits.requests_per_minute),
        (LimitKind::ConcurrentRequests, limits.concurrent_requests),
    ];
    let set: Vec<String> =
        limits.iter().filter_map(|(kind, limit)| Some(format!("{} {}", limit.as_ref()?, kind.name()))).collect();
    if set.is_empty() {
        String::new()
    } else {
        format!("requests   {}; only the running gateway knows how many are left\n", set.join(", "))
    }
}

/// Those of its own; `[bidirectional]` has everybody's.
fn streams(tenant: Option<&Tenant>) -> String {
    let Some(limits) = tenant.map(|tenant| &tenant.limits) else { return String::new() };
    let limits = [("events", limits.stream_events_per_second), ("bytes", limits.stream_bytes_per_second)];
    let set: Vec<String> = limits.iter().filter_map(|(noun, limit)| Some(format!("{} {noun}", limit.as_ref()?))).collect();
    if set.is_empty() {
        String::new()
    } else {
        format!("streams    {} a second from its clients, over all its streams; what is faster waits\n", set.join(" and "))
    }
}

const HEADINGS: [&str; 8] = ["limit", "quota", "amount", "spent", "reserved", "remaining", "resets", "verdict"];

fn limits(findings: &Findings) -> String {
    let Some(limits) = findings.limits.as_ref().map(|explained| &explained.limits).filter(|limits| !limits.is_empty()) else {
        return String::new();
    };
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    lines.extend(limits.iter().map(|(balance, verdict)| row(balance, verdict)));
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..HEADINGS.len()).map(|column| width(column).unwrap_or_default()).collect();
    let mut out = "\n".to_owned();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(out, "{}", cells.join("  ").trim_end());
    }
    out
}

fn row(balance: &Balance, verdict: &Result<(), QuotaDenial>) -> [String; 8] {
    let shown = |amount| balance.measure.shown(amount).to_string();
    let (resets, offset) = balance.resets;
    let verdict = match (verdict, balance.shadow) {
        (Ok(()), false) => "fits",
        (Ok(()), true) => "fits (shadow)",
        (Err(_), false) => "refuses",
        (Err(_), true) => "would refuse, but only watches (shadow)",
    };
    [
        LimitKind::Per(balance.measure, balance.span).name().to_owned(),
        visible(&balance.quota),
        shown(balance.amount),
        shown(balance.settled),
        shown(balance.reserved),
        shown(balance.remaining),
        format!("{:.0}", resets.display_with_offset(offset)),
        verdict.to_owned(),
    ]
}

/// As the client would read it.
fn refused(denial: &Denial, dialect: Dialect) -> String {
    let verdict = denial.verdict();
    let (status, name) = match dialect {
        Dialect::Aws => (verdict.status, verdict.aws),
        Dialect::OpenAi => (verdict.surface_status, verdict.openai),
        Dialect::Anthropic => (verdict.surface_status, verdict.anthropic),
    };
    format!("answer     {status} {name}\n{}\n", visible(&denial.to_string()))
}
