//! A tenant's own page: what it used and has left, and the form that asks for the credential where none came with the request. A
//! browser sends none by itself, which is as it should be: then no other site can have it sent.

use askama::Template;
use jiff::Timestamp;

use super::{account::Account, frame::Frame, words};
use crate::quota::Statement;

#[derive(Template)]
#[template(path = "own.html")]
struct OwnPage {
    frame: Frame,
    name: String,
    summary: String,
    account: Account,
}

#[derive(Template)]
#[template(path = "own-form.html")]
struct OwnForm<'a> {
    frame: Frame,
    refusal: Option<&'a Refusal<'a>>,
}

/// Why the form is there again.
pub struct Refusal<'a> {
    /// What the caller may read.
    pub message: &'a str,
    /// For the gateway's operator.
    pub request_id: &'a str,
}

/// The page of whom the statement is of.
///
/// # Errors
/// Formatting fails, which it does not.
pub fn page(statement: &Statement) -> Result<String, askama::Error> {
    let name = statement.tenant.to_string();
    let page = OwnPage {
        frame: Frame::of_tenant(&name, statement.time.0),
        summary: format!(
            "Spent on Bedrock: {} today, {} this month. {} running now.",
            words::usd(statement.today.total.cost_usd),
            words::usd(statement.month.total.cost_usd),
            words::many(statement.running.requests, "request")
        ),
        name,
        account: Account::of(statement, "This tenant has no quota in tokens or money."),
    };
    page.render()
}

/// The form, with what was wrong with the credential that came with it last.
///
/// # Errors
/// Formatting fails, which it does not.
pub fn form(refusal: Option<&Refusal<'_>>, now: Timestamp) -> Result<String, askama::Error> {
    OwnForm { frame: Frame::of_tenant("Usage", now), refusal }.render()
}
