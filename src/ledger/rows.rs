//! Values to rows and back. Counts beyond SQLite's range stop at its end.

use std::{borrow::Cow, sync::Arc};

use jiff::{Timestamp, civil::Date};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, named_params, params, types::Type};

use super::{Entry, Hold, Request, SumKey, Sums};
use crate::{
    bedrock::usage::{ServiceTier, Usage},
    pricing::NanoUsd,
};

/// Inserts rows of requests, as many as there are.
pub(super) struct RequestRows<'c>(CachedStatement<'c>);

impl RequestRows<'_> {
    /// For this connection.
    pub(super) fn of(connection: &Connection) -> rusqlite::Result<RequestRows<'_>> {
        // By their places: to look every name up in the statement takes as long as half of the insertion.
        const SQL: &str = "INSERT INTO requests (id, time_ns, day, tenant, principal, service, operation, model, tier,
            input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, cost_nano_usd, price_source,
            estimated, by_request, outcome, upstream_request_id)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING";
        connection.prepare_cached(SQL).map(RequestRows)
    }

    /// False if the id has a row already.
    pub(super) fn insert(&mut self, entry: &Entry) -> rusqlite::Result<bool> {
        let Entry { request, usage, .. } = entry;
        let inserted = self.0.execute(params![
            request.id,
            nanoseconds(request.time),
            request.day.to_string(),
            request.tenant,
            request.principal,
            request.service,
            request.operation,
            request.model,
            entry.tier.name(),
            integer(usage.input_tokens),
            integer(usage.output_tokens),
            integer(usage.cache_read_tokens),
            integer(usage.cache_write_tokens),
            integer(usage.cache_write_1h_tokens),
            entry.cost.0,
            entry.price_source,
            entry.estimated,
            entry.by_request,
            entry.outcome,
            entry.upstream_request_id,
        ])?;
        Ok(inserted == 1)
    }
}

pub(super) fn insert_hold(connection: &Connection, hold: &Hold) -> rusqlite::Result<()> {
    const SQL: &str = "INSERT OR REPLACE INTO holds (id, time_ns, day, tenant, principal, service, operation, model,
        input_tokens, output_tokens, cost_nano_usd, input_cost_nano_usd, price_source, expires_ns)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let request = &hold.request;
    connection.prepare_cached(SQL)?.execute(params![
        request.id,
        nanoseconds(request.time),
        request.day.to_string(),
        request.tenant,
        request.principal,
        request.service,
        request.operation,
        request.model,
        integer(hold.input_tokens),
        integer(hold.output_tokens),
        hold.cost.0,
        hold.input_cost.0,
        hold.price_source,
        nanoseconds(hold.expires),
    ])?;
    Ok(())
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
            expires: time(row, "expires_ns")?,
        })
    })?;
    rows.collect()
}

/// A row of `requests`.
pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        request: request(row)?,
        upstream_request_id: row.get("upstream_request_id")?,
        tier: ServiceTier::parse(&row.get::<_, String>("tier")?).unwrap_or_default(),
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

/// Until the year 2262.
fn nanoseconds(time: Timestamp) -> i64 {
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
