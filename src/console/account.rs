//! A tenant's account as rows and plots: spent against limits, by day and by model. The same for operators and for the tenant itself.

use jiff::civil::Date;

use super::{
    plot::{Bar, Columns},
    words::{amount, count, many, percent, until, usd, utc_short},
};
use crate::{
    pricing::NanoUsd,
    quota::{
        Statement,
        account::statement::{Amount, Line, OfDay, OfModel, Used},
    },
};

/// What a template shows of an account.
pub(super) struct Account {
    pub limits: Vec<LimitRow>,
    pub no_limits: &'static str,
    /// In which calendar its days and months are, if that is not UTC's.
    pub zone: String,
    pub by_day: Columns,
    pub by_day_empty: bool,
    pub days_title: String,
    pub periods: [Period; 2],
}

/// One limit.
pub(super) struct LimitRow {
    pub name: String,
    /// How much it is: `$500.00 per month`.
    pub whole: String,
    /// Of which models; empty: all.
    pub scope: String,
    pub shadow: bool,
    pub bar: Bar,
    /// `82 %`
    pub used: String,
    pub spent: String,
    pub held: String,
    pub remaining: String,
    pub amount: String,
    pub resets: String,
    pub forecast: String,
    /// Before it resets.
    pub runs_out: bool,
}

/// Today, or this month.
pub(super) struct Period {
    pub id: &'static str,
    pub title: String,
    pub total: String,
    pub models: Vec<ModelRow>,
}

pub(super) struct ModelRow {
    pub name: String,
    pub cost: String,
    pub exact: String,
    pub share: Bar,
    pub requests: String,
    pub input: String,
    pub output: String,
    pub cache_read: String,
    pub cache_written: String,
}

impl Account {
    pub fn of(statement: &Statement, no_limits: &'static str) -> Account {
        let (today, month) = (&statement.today, &statement.month);
        let zone = match statement.time_zone.as_str() {
            "UTC" => "Days and months begin at 00:00 UTC.".to_owned(),
            zone => format!("Days and months are those of {zone}; times are shown in UTC."),
        };
        let days = month.first_day.parse::<Date>().map_or(31, |first| first.days_in_month());
        let (by_day, days_title) = by_day(&month.by_day, days);
        let today_title = format!("Today ({}), by model", today.date);
        Account {
            limits: statement.limits.iter().map(|line| LimitRow::of(line, statement)).collect(),
            no_limits,
            zone,
            by_day,
            by_day_empty: month.by_day.is_empty(),
            days_title,
            periods: [
                Period::of("today", today_title, &today.total, &today.by_model),
                Period::of("by-model", "This month, by model".to_owned(), &month.total, &month.by_model),
            ],
        }
    }
}

impl LimitRow {
    pub fn of(line: &Line, statement: &Statement) -> LimitRow {
        let Line { amount: all, spent, reserved, remaining, .. } = line;
        let now = statement.time.0;
        let per_minute = line.limit.ends_with("-per-minute");
        let forecast = match line.exhausted_at {
            _ if remaining.1 == 0 && !per_minute => "used up".to_owned(),
            Some(at) => format!("used up {}, {}", until(at.0, now), utc_short(at.0)),
            None if per_minute => "refills all the time".to_owned(),
            None => "lasts".to_owned(),
        };
        let resets = match per_minute {
            true => "within a minute".to_owned(),
            false => format!("{}, {}", until(line.resets.0, now), utc_short(line.resets.0)),
        };
        LimitRow {
            name: limit_name(line.limit),
            whole: whole(line),
            scope: if &*line.quota == "all" { String::new() } else { line.quota.to_string() },
            shadow: line.shadow,
            bar: Bar::of_limit(spent.1, reserved.1, all.1),
            used: percent(spent.1.saturating_add(reserved.1), all.1),
            spent: amount(*spent),
            held: amount(*reserved),
            remaining: amount(*remaining),
            amount: amount(*all),
            resets,
            forecast,
            runs_out: line.exhausted_at.is_some() && remaining.1 > 0,
        }
    }

    /// Of all enforced limits the one of which the greatest part is gone.
    pub fn tightest(statement: &Statement) -> Option<LimitRow> {
        let gone = |line: &&Line| {
            let Amount(_, all) = line.amount;
            let used = u128::from(line.spent.1) + u128::from(line.reserved.1);
            used * 1_000_000 / u128::from(all.max(1))
        };
        let enforced = statement.limits.iter().filter(|line| !line.shadow);
        enforced.max_by_key(gone).map(|line| LimitRow::of(line, statement))
    }
}

impl Period {
    fn of(id: &'static str, title: String, total: &Used, by_model: &[OfModel]) -> Period {
        let row = |OfModel { model, used }: &OfModel| ModelRow {
            name: model.to_string(),
            cost: usd(used.cost_usd),
            exact: used.cost_usd.to_string(),
            share: share(used, total),
            requests: count(used.requests),
            input: count(used.input_tokens),
            output: count(used.output_tokens),
            cache_read: count(used.cache_read_tokens),
            cache_written: count(used.cache_write_tokens.saturating_add(used.cache_write_1h_tokens)),
        };
        let guessed = match total.estimated {
            0 => String::new(),
            estimated => format!("; of {} the tokens are a guess, since the answer broke off", many(estimated, "request")),
        };
        let total = match total.requests {
            0 => "Nothing yet.".to_owned(),
            requests => format!(
                "{} for {}: {} tokens in{}, {} out{guessed}.",
                usd(total.cost_usd),
                many(requests, "request"),
                count(total.input_tokens),
                cached(total),
                count(total.output_tokens)
            ),
        };
        Period { id, title, total, models: by_model.iter().map(row).collect() }
    }
}

/// `100,000 tokens per day`, `$500.00 per month`.
pub(super) fn whole(line: &Line) -> String {
    format!("{} {}", amount(line.amount), limit_name(line.limit).trim_start_matches("US dollars "))
}

/// What the tokens of input do not count: `, 3,000 from the cache, 1,200 into it`.
fn cached(used: &Used) -> String {
    let written = used.cache_write_tokens.saturating_add(used.cache_write_1h_tokens);
    let parts = [(used.cache_read_tokens, "from the cache"), (written, "into the cache")];
    parts.iter().filter(|(tokens, _)| *tokens > 0).map(|(tokens, way)| format!(", {} {way}", count(*tokens))).collect()
}

/// `tokens per minute`, `US dollars per day`.
pub(super) fn limit_name(limit: &str) -> String {
    limit.replace("usd-", "US dollars ").replace('-', " ")
}

/// Of the cost, or of the tokens where nothing has a price.
fn share(used: &Used, total: &Used) -> Bar {
    match nano(total.cost_usd) {
        0 => Bar::of_whole(tokens(used), tokens(total)),
        whole => Bar::of_whole(nano(used.cost_usd), whole),
    }
}

fn by_day(used: &[OfDay], days: i8) -> (Columns, String) {
    let priced = used.iter().any(|day| day.used.cost_usd > NanoUsd::ZERO);
    let column = |day: &OfDay| {
        let place = day.day.rsplit('-').next().and_then(|number| number.parse::<usize>().ok()).unwrap_or(1);
        let (amount, shown) = match priced {
            true => (nano(day.used.cost_usd), usd(day.used.cost_usd)),
            false => (tokens(&day.used), format!("{} tokens", count(tokens(&day.used)))),
        };
        (place.saturating_sub(1), amount, format!("{}: {shown}", day.day))
    };
    let columns: Vec<_> = used.iter().map(column).collect();
    let dollars = |nano: u64| usd(NanoUsd(i64::try_from(nano).unwrap_or(i64::MAX)));
    let highest = columns.iter().map(|(_, amount, _)| *amount).max().unwrap_or(0);
    let (title, shown): (_, fn(u64) -> String) = match priced {
        true => (format!("US dollars a day; most on one day: {}", dollars(highest)), dollars),
        false => (format!("Tokens a day; most on one day: {}", count(highest)), count),
    };
    (Columns::of_month(&columns, days, title.clone(), shown), title)
}

fn nano(cost: NanoUsd) -> u64 {
    u64::try_from(cost.0).unwrap_or(0)
}

fn tokens(used: &Used) -> u64 {
    let kinds =
        [used.input_tokens, used.output_tokens, used.cache_read_tokens, used.cache_write_tokens, used.cache_write_1h_tokens];
    kinds.into_iter().fold(0, u64::saturating_add)
}
