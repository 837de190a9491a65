//! A tenant's account as a document: how it stands against every limit, what is held, and what was used today and this month, by
//! model and day. Taken at one moment under the account's lock, written after it.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use jiff::{
    Timestamp,
    civil::Date,
    tz::{Offset, TimeZone},
};
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
    /// Whose it is.
    pub tenant: Arc<str>,
    /// Of its days and months.
    pub time_zone: String,
    /// When it was taken.
    pub time: Moment,
    /// Limits in tokens and money, in the order of the file.
    pub limits: Vec<Line>,
    /// What has not ended.
    pub running: Running,
    /// The tenant's day so far.
    pub today: Day,
    /// Its month so far.
    pub month: Month,
}

/// What a statement is written from.
pub(super) struct Taken {
    balances: Vec<Balance>,
    held: (u64, Amounts),
    today: Today,
    /// Of the current month.
    sums: Vec<(Date, Arc<str>, Spent)>,
}

/// One limit, and how much of it is gone.
#[derive(Debug, Serialize)]
pub struct Line {
    /// The quota's label.
    pub quota: Arc<str>,
    /// [`LimitKind::name`].
    pub limit: &'static str,
    /// `tokens`, `burndown tokens` or `usd`.
    pub unit: &'static str,
    /// It refuses nothing.
    pub shadow: bool,
    /// The limit.
    pub amount: Amount,
    /// Used by what has ended; of a minute, what is not refilled yet.
    pub spent: Amount,
    /// Held by what runs.
    pub reserved: Amount,
    /// What a request may ask for.
    pub remaining: Amount,
    /// When it is whole again.
    pub resets: Moment,
    /// At the pace of the window so far; `null` if the window ends before, and for minutes.
    pub exhausted_at: Option<Moment>,
}

/// Money as text, tokens as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount(pub Measure, pub u64);

/// RFC 3339 to the second, as the tenant's clock shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub Timestamp, pub Offset);

/// Requests that have not ended.
#[derive(Debug, Serialize)]
pub struct Running {
    /// All of them.
    pub requests: u64,
    /// Those of them that hold a part of the limits, and how much together.
    pub holding: u64,
    /// Held.
    pub input_tokens: u64,
    /// Held.
    pub output_tokens: u64,
    /// Held.
    pub cost_usd: Amount,
}

/// A day so far.
#[derive(Debug, Serialize)]
pub struct Day {
    /// In the tenant's time zone.
    pub date: String,
    /// Of all models.
    #[serde(flatten)]
    pub total: Used,
    /// The dearest first.
    pub by_model: Vec<OfModel>,
}

/// A month so far.
#[derive(Debug, Serialize)]
pub struct Month {
    /// In the tenant's time zone.
    pub first_day: String,
    /// Of all models and days.
    #[serde(flatten)]
    pub total: Used,
    /// The dearest first.
    pub by_model: Vec<OfModel>,
    /// Days on which nothing was used are left out.
    pub by_day: Vec<OfDay>,
}

/// What was used of a model.
#[derive(Debug, Serialize)]
pub struct OfModel {
    /// As the ledger names it.
    pub model: Arc<str>,
    /// How much.
    #[serde(flatten)]
    pub used: Used,
}

/// What was used on a day.
#[derive(Debug, Serialize)]
pub struct OfDay {
    /// In the tenant's time zone.
    pub day: String,
    /// How much.
    #[serde(flatten)]
    pub used: Used,
}

/// The columns of `tollgate usage`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Used {
    /// How many requests.
    pub requests: u64,
    /// Fresh ones.
    pub input_tokens: u64,
    /// Generated ones.
    pub output_tokens: u64,
    /// Read from the cache.
    pub cache_read_tokens: u64,
    /// Written to it, for five minutes.
    pub cache_write_tokens: u64,
    /// Written to it, for an hour.
    pub cache_write_1h_tokens: u64,
    /// What it cost.
    #[serde(serialize_with = "as_text")]
    pub cost_usd: NanoUsd,
    /// Requests whose tokens are a guess.
    pub estimated: u64,
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
            time: Moment(now.wall, quotas.zone.to_offset(now.wall)),
            limits: self.balances.iter().map(|balance| Line::of(balance, &quotas.zone)).collect(),
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
    fn of(balance: &Balance, zone: &TimeZone) -> Line {
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
            resets: Moment(resets, offset),
            exhausted_at: balance.exhausted.map(|at| Moment(at, zone.to_offset(at))),
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

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.0}", self.0.display_with_offset(self.1)))
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
            cost_usd: *cost,
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

fn as_text<S: Serializer>(cost: &NanoUsd, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(cost)
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
