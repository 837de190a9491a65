//! A tenant's account as a document: how it stands against every limit, what is held, and what was used today and this month, by
//! model and day. Taken at one moment under the account's lock, written after it.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use jiff::{Timestamp, civil::Date, tz::Offset};
use serde::{Serialize, Serializer};

use super::{
    Amounts, Now, Spent,
    balance::Balance,
    book::Book,
    calendar::{Today, window},
    quotas::Quotas,
};
use crate::{
    pricing::NanoUsd,
    quota::{LimitKind, Measure, Span},
};

/// What a tenant may see of its account. Money is text, in US dollars: no reader makes a float of it.
#[derive(Debug, Serialize)]
pub struct Statement {
    tenant: Arc<str>,
    /// Of its days and months.
    time_zone: String,
    time: String,
    limits: Vec<Line>,
    running: Running,
    today: Day,
    month: Month,
}

/// What a statement is written from.
pub(super) struct Taken {
    balances: Vec<Balance>,
    held: (u64, Amounts),
    today: Today,
    /// Of the current month.
    sums: Vec<(Date, Arc<str>, Spent)>,
}

#[derive(Debug, Serialize)]
struct Line {
    quota: Arc<str>,
    limit: &'static str,
    unit: &'static str,
    shadow: bool,
    amount: Amount,
    spent: Amount,
    reserved: Amount,
    remaining: Amount,
    resets: String,
    /// At the pace of the window so far; `null` if the window ends before, and for minutes.
    exhausted_at: Option<String>,
}

/// Money as text, tokens as a number.
#[derive(Clone, Copy, Debug)]
struct Amount(Measure, u64);

#[derive(Debug, Serialize)]
struct Running {
    requests: u64,
    /// Those of them that hold a part of the limits, and how much together.
    holding: u64,
    input_tokens: u64,
    output_tokens: u64,
    cost_usd: Amount,
}

#[derive(Debug, Serialize)]
struct Day {
    date: String,
    #[serde(flatten)]
    total: Used,
    by_model: Vec<OfModel>,
}

#[derive(Debug, Serialize)]
struct Month {
    first_day: String,
    #[serde(flatten)]
    total: Used,
    by_model: Vec<OfModel>,
    by_day: Vec<OfDay>,
}

#[derive(Debug, Serialize)]
struct OfModel {
    model: Arc<str>,
    #[serde(flatten)]
    used: Used,
}

#[derive(Debug, Serialize)]
struct OfDay {
    day: String,
    #[serde(flatten)]
    used: Used,
}

/// The columns of `tollgate usage`.
#[derive(Debug, Serialize)]
struct Used {
    requests: u64,
    input_tokens: u64,
    output_tokens: u64,
    cache_read_tokens: u64,
    cache_write_tokens: u64,
    cache_write_1h_tokens: u64,
    cost_usd: String,
    estimated: u64,
}

impl Taken {
    pub(super) fn of(book: &mut Book, quotas: &Quotas, now: &Now) -> Taken {
        let today = Today::of(now.wall, &quotas.zone);
        let mut balances = Vec::new();
        book.read(quotas, None, now, |limit, reading| balances.push(Balance::of(limit, &reading, now)));
        let held = book.holds().fold((0, Amounts::default()), |(count, sum), hold| (count + 1, sum.and(&hold.amounts)));
        let first = window(Span::Month, today.date);
        let month = first..=first.last_of_month();
        let sums = book.sums().filter(|(date, ..)| month.contains(date));
        Taken { balances, held, today, sums: sums.map(|(date, model, spent)| (date, model.clone(), *spent)).collect() }
    }

    pub(super) fn statement(&self, tenant: &Arc<str>, quotas: &Quotas, running: u64, now: &Now) -> Statement {
        let date = self.today.date;
        let today = || self.sums.iter().filter(|(day, ..)| *day == date);
        let (holding, amounts) = self.held;
        Statement {
            tenant: tenant.clone(),
            time_zone: quotas.zone.iana_name().unwrap_or("UTC").to_owned(),
            time: shown(now.wall, quotas.zone.to_offset(now.wall)),
            limits: self.balances.iter().map(Line::of).collect(),
            running: Running {
                requests: running,
                holding,
                input_tokens: amounts.input_tokens,
                output_tokens: amounts.output_tokens,
                cost_usd: Amount(Measure::Cost, amounts.cost),
            },
            today: Day { date: date.to_string(), total: total(today()), by_model: by_model(today()) },
            month: Month {
                first_day: window(Span::Month, date).to_string(),
                total: total(self.sums.iter()),
                by_model: by_model(self.sums.iter()),
                by_day: by_day(self.sums.iter()),
            },
        }
    }
}

impl Line {
    fn of(balance: &Balance) -> Line {
        let Balance { measure, span, .. } = *balance;
        let (resets, offset) = balance.resets;
        Line {
            quota: balance.quota.clone(),
            limit: LimitKind::Per(measure, span).name(),
            unit: unit(measure),
            shadow: balance.shadow,
            amount: Amount(measure, balance.amount),
            spent: Amount(measure, balance.settled),
            reserved: Amount(measure, balance.reserved),
            remaining: Amount(measure, balance.remaining),
            resets: shown(resets, offset),
            exhausted_at: balance.exhausted.map(|at| shown(at, offset)),
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Amount(measure, amount) = *self;
        match measure {
            Measure::Cost => serializer.collect_str(&measure.shown(amount)),
            _ => serializer.serialize_u64(amount),
        }
    }
}

impl From<&Spent> for Used {
    fn from(Spent { usage, cost, requests, estimated }: &Spent) -> Used {
        Used {
            requests: *requests,
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cache_read_tokens: usage.cache_read_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            cache_write_1h_tokens: usage.cache_write_1h_tokens,
            cost_usd: cost.to_string(),
            estimated: *estimated,
        }
    }
}

fn unit(measure: Measure) -> &'static str {
    match measure {
        Measure::Tokens | Measure::InputTokens | Measure::OutputTokens => "tokens",
        Measure::Burndown => "burndown tokens",
        Measure::Cost => "usd",
    }
}

/// RFC 3339, to the second.
fn shown(at: Timestamp, offset: Offset) -> String {
    format!("{:.0}", at.display_with_offset(offset))
}

type Sum = (Date, Arc<str>, Spent);

fn total<'a>(sums: impl Iterator<Item = &'a Sum>) -> Used {
    let mut total = Spent::default();
    sums.for_each(|(.., spent)| total.add(spent));
    Used::from(&total)
}

/// The dearest first.
fn by_model<'a>(sums: impl Iterator<Item = &'a Sum>) -> Vec<OfModel> {
    let mut models = BTreeMap::<&Arc<str>, Spent>::new();
    sums.for_each(|(_, model, spent)| models.entry(model).or_default().add(spent));
    let mut models: Vec<_> = models.into_iter().collect();
    models.sort_by_key(|(_, spent): &(_, Spent)| Reverse::<NanoUsd>(spent.cost));
    models.into_iter().map(|(model, spent)| OfModel { model: model.clone(), used: Used::from(&spent) }).collect()
}

fn by_day<'a>(sums: impl Iterator<Item = &'a Sum>) -> Vec<OfDay> {
    let mut days = BTreeMap::<Date, Spent>::new();
    sums.for_each(|(day, _, spent)| days.entry(*day).or_default().add(spent));
    days.into_iter().map(|(day, spent)| OfDay { day: day.to_string(), used: Used::from(&spent) }).collect()
}
