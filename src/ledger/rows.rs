//! Values to rows and back. Counts beyond SQLite's range stop at its end.

use std::{borrow::Cow, sync::Arc};

use jiff::{Timestamp, civil::Date};
use rusqlite::{
    CachedStatement, Connection, Error, OptionalExtension, Row, named_params,
    types::{FromSql, ToSqlOutput, Type, ValueRef},
};

use super::{Entry, Hold, Request, SumKey, Sums};
use crate::{
    bedrock::usage::{ServiceTier, Usage},
    pricing::NanoUsd,
};

/// Inserts rows into one table, as many as there are: what a request is, and so much more. Most of a row is as it was in the row before, and
/// bound already.
struct Insertion<'c, 'r, const MORE: usize> {
    statement: CachedStatement<'c>,
    /// The first parameter, whose text nobody keeps.
    day: Option<Date>,
    /// The others.
    request: [Option<ValueRef<'r>>; 7],
    more: [Option<ValueRef<'r>>; MORE],
}

impl<'c, 'r, const MORE: usize> Insertion<'c, 'r, MORE> {
    fn prepare(connection: &'c Connection, sql: &str) -> rusqlite::Result<Self> {
        Ok(Insertion { statement: connection.prepare_cached(sql)?, day: None, request: [None; 7], more: [None; MORE] })
    }

    /// How many rows that makes.
    fn row(&mut self, request: &'r Request, more: [ValueRef<'r>; MORE]) -> rusqlite::Result<usize> {
        if self.day != Some(request.day) {
            self.statement.raw_bind_parameter(1, request.day.to_string())?;
            self.day = Some(request.day);
        }
        let bound = self.request.iter_mut().chain(&mut self.more);
        for ((place, bound), value) in (2..).zip(bound).zip(of_request(request).into_iter().chain(more)) {
            if *bound != Some(value) {
                self.statement.raw_bind_parameter(place, ToSqlOutput::Borrowed(value))?;
                *bound = Some(value);
            }
        }
        self.statement.raw_execute()
    }
}

/// What a request is, after its day.
fn of_request(request: &Request) -> [ValueRef<'_>; 7] {
    [
        ValueRef::from(&*request.id),
        nanoseconds(request.time),
        ValueRef::from(&*request.tenant),
        ValueRef::from(&*request.principal),
        ValueRef::from(&*request.service),
        ValueRef::from(&*request.operation),
        ValueRef::from(&*request.model),
    ]
}

/// Inserts rows of requests.
pub(super) struct RequestRows<'c, 'r>(Insertion<'c, 'r, 12>);

impl<'c, 'r> RequestRows<'c, 'r> {
    /// For this connection.
    pub(super) fn of(connection: &'c Connection) -> rusqlite::Result<Self> {
        // By their places: to look every name up in the statement takes as long as half of the insertion.
        const SQL: &str = "INSERT INTO requests (day, id, time_ns, tenant, principal, service, operation, model, tier,
            input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, cost_nano_usd, price_source,
            estimated, by_request, outcome, upstream_request_id)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING";
        Insertion::prepare(connection, SQL).map(RequestRows)
    }

    /// False if the id has a row already.
    pub(super) fn insert(&mut self, entry: &'r Entry) -> rusqlite::Result<bool> {
        let Entry { request, usage, .. } = entry;
        let charged = [
            entry.tier.name().into(),
            ValueRef::Integer(integer(usage.input_tokens)),
            ValueRef::Integer(integer(usage.output_tokens)),
            ValueRef::Integer(integer(usage.cache_read_tokens)),
            ValueRef::Integer(integer(usage.cache_write_tokens)),
            ValueRef::Integer(integer(usage.cache_write_1h_tokens)),
            ValueRef::Integer(entry.cost.0),
            ValueRef::from(&*entry.price_source),
            ValueRef::Integer(entry.estimated.into()),
            ValueRef::Integer(entry.by_request.into()),
            ValueRef::from(&*entry.outcome),
            entry.upstream_request_id.as_deref().map_or(ValueRef::Null, ValueRef::from),
        ];
        Ok(self.0.row(request, charged)? == 1)
    }
}

/// Inserts rows of holds, or puts them in the place of what they were.
pub(super) struct HoldRows<'c, 'r>(Insertion<'c, 'r, 8>);

impl<'c, 'r> HoldRows<'c, 'r> {
    /// For this connection.
    pub(super) fn of(connection: &'c Connection) -> rusqlite::Result<Self> {
        const SQL: &str = "INSERT OR REPLACE INTO holds (day, id, time_ns, tenant, principal, service, operation, model,
            input_tokens, output_tokens, cost_nano_usd, input_cost_nano_usd, price_source, expires_ns, tier, by_request)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        Insertion::prepare(connection, SQL).map(HoldRows)
    }

    pub(super) fn insert(&mut self, hold: &'r Hold) -> rusqlite::Result<()> {
        let held = [
            ValueRef::Integer(integer(hold.input_tokens)),
            ValueRef::Integer(integer(hold.output_tokens)),
            ValueRef::Integer(hold.cost.0),
            ValueRef::Integer(hold.input_cost.0),
            ValueRef::from(&*hold.price_source),
            nanoseconds(hold.expires),
            hold.tier.name().into(),
            ValueRef::Integer(hold.by_request.into()),
        ];
        self.0.row(&hold.request, held).map(drop)
    }
}

/// All of them, in the order of their admission.
pub(super) fn holds(connection: &Connection) -> rusqlite::Result<Vec<Hold>> {
    let mut statement = connection.prepare("SELECT * FROM holds ORDER BY time_ns, id")?;
    let rows = statement.query_map((), |row| {
        Ok(Hold {
            request: request(row)?,
            input_tokens: count(row, "input_tokens")?,
            output_tokens: count(row, "output_tokens")?,
            cost: NanoUsd(row.get("cost_nano_usd")?),
            input_cost: NanoUsd(row.get("input_cost_nano_usd")?),
            price_source: row.get("price_source")?,
            tier: ServiceTier::parse(&later::<String>(row, "tier")?),
            by_request: later(row, "by_request")?,
            expires: time(row, "expires_ns")?,
        })
    })?;
    rows.collect()
}

/// A column that an older gateway, which may be writing the file, has not made.
fn later<T: FromSql + Default>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    match row.get(column) {
        Err(Error::InvalidColumnName(_)) => Ok(T::default()),
        found => found,
    }
}

/// A row of `requests`.
pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        request: request(row)?,
        upstream_request_id: row.get("upstream_request_id")?,
        tier: ServiceTier::parse(&row.get::<_, String>("tier")?),
        usage: usage(row)?,
        cost: NanoUsd(row.get("cost_nano_usd")?),
        price_source: row.get("price_source")?,
        estimated: row.get("estimated")?,
        by_request: row.get("by_request")?,
        outcome: Cow::Owned(row.get("outcome")?),
    })
}

/// The columns that rows of requests and of holds share.
fn request(row: &Row<'_>) -> rusqlite::Result<Request> {
    Ok(Request {
        id: row.get("id")?,
        time: time(row, "time_ns")?,
        day: day(row, "day")?,
        tenant: row.get("tenant")?,
        principal: row.get("principal")?,
        service: Cow::Owned(row.get("service")?),
        operation: Cow::Owned(row.get("operation")?),
        model: row.get::<_, Arc<str>>("model")?,
    })
}

pub(super) fn sum(connection: &Connection, key: &SumKey) -> rusqlite::Result<Option<Sums>> {
    connection
        .prepare_cached("SELECT * FROM sums WHERE day = ?1 AND tenant = ?2 AND model = ?3")?
        .query_row((key.day.to_string(), &key.tenant, &key.model), sums)
        .optional()
}

pub(super) fn write_sum(connection: &Connection, key: &SumKey, sum: &Sums) -> rusqlite::Result<()> {
    const SQL: &str = "INSERT OR REPLACE INTO sums VALUES (:day, :tenant, :model, :requests, :input, :output, :cache_read,
        :cache_write, :cache_write_1h, :cost, :estimated, :without_row)";
    connection.prepare_cached(SQL)?.execute(named_params! {
        ":day": key.day.to_string(),
        ":tenant": key.tenant,
        ":model": key.model,
        ":requests": integer(sum.requests),
        ":input": integer(sum.usage.input_tokens),
        ":output": integer(sum.usage.output_tokens),
        ":cache_read": integer(sum.usage.cache_read_tokens),
        ":cache_write": integer(sum.usage.cache_write_tokens),
        ":cache_write_1h": integer(sum.usage.cache_write_1h_tokens),
        ":cost": sum.cost.0,
        ":estimated": integer(sum.estimated),
        ":without_row": integer(sum.without_row),
    })?;
    Ok(())
}

/// The last days that have sums, the newest first.
pub(super) fn last_days(connection: &Connection, count_max: u32) -> rusqlite::Result<Vec<Date>> {
    let mut statement = connection.prepare("SELECT DISTINCT day FROM sums ORDER BY day DESC LIMIT ?1")?;
    let rows = statement.query_map([count_max], |row| day(row, "day"))?;
    rows.collect()
}

pub(super) fn sums_since(connection: &Connection, first: Date) -> rusqlite::Result<Vec<(SumKey, Sums)>> {
    let mut statement = connection.prepare("SELECT * FROM sums WHERE day >= ?1 ORDER BY day, tenant, model")?;
    let rows = statement.query_map([first.to_string()], |row| Ok((key(row)?, sums(row)?)))?;
    rows.collect()
}

/// What a row of `sums` is for, or where a row of `requests` belongs.
pub(super) fn key(row: &Row<'_>) -> rusqlite::Result<SumKey> {
    Ok(SumKey { day: day(row, "day")?, tenant: row.get("tenant")?, model: row.get("model")? })
}

/// The sums of a row of `sums`.
pub(super) fn sums(row: &Row<'_>) -> rusqlite::Result<Sums> {
    Ok(Sums {
        requests: count(row, "requests")?,
        usage: usage(row)?,
        cost: NanoUsd(row.get("cost_nano_usd")?),
        estimated: count(row, "estimated")?,
        without_row: count(row, "without_row")?,
    })
}

fn usage(row: &Row<'_>) -> rusqlite::Result<Usage> {
    Ok(Usage {
        input_tokens: count(row, "input_tokens")?,
        output_tokens: count(row, "output_tokens")?,
        cache_read_tokens: count(row, "cache_read_tokens")?,
        cache_write_tokens: count(row, "cache_write_tokens")?,
        cache_write_1h_tokens: count(row, "cache_write_1h_tokens")?,
    })
}

fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn count(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or(0))
}

fn nanoseconds(time: Timestamp) -> ValueRef<'static> {
    ValueRef::Integer(time_ns(time))
}

/// A time as columns have it: until the year 2262.
pub(super) fn time_ns(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    Timestamp::from_nanosecond(row.get::<_, i64>(column)?.into()).map_err(|error| unreadable(error, Type::Integer))
}

pub(super) fn day(row: &Row<'_>, column: &str) -> rusqlite::Result<Date> {
    row.get_ref(column)?.as_str()?.parse().map_err(|error: jiff::Error| unreadable(error, Type::Text))
}

fn unreadable(error: jiff::Error, kind: Type) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, kind, Box::new(error))
}
