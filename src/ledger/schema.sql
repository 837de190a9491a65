-- A request, once. Kept for the retention time. Times are nanoseconds since 1970: datetime(time_ns / 1000000000, 'unixepoch').
CREATE TABLE requests (
    id TEXT NOT NULL UNIQUE,
    time_ns INTEGER NOT NULL,
    day TEXT NOT NULL,
    tenant TEXT NOT NULL,
    principal TEXT NOT NULL,
    service TEXT NOT NULL,
    operation TEXT NOT NULL,
    model TEXT NOT NULL,
    tier TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    price_source TEXT NOT NULL,
    estimated INTEGER NOT NULL,
    by_request INTEGER NOT NULL,
    outcome TEXT NOT NULL
) STRICT;
CREATE INDEX requests_by_day ON requests (day, tenant);

-- Requests together. Written with their rows, kept for ever.
CREATE TABLE sums (
    day TEXT NOT NULL,
    tenant TEXT NOT NULL,
    model TEXT NOT NULL,
    requests INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    without_row INTEGER NOT NULL,
    PRIMARY KEY (day, tenant, model)
) STRICT, WITHOUT ROWID;

-- What running requests hold. Deleted in the transaction that writes their row.
CREATE TABLE holds (
    id TEXT NOT NULL PRIMARY KEY,
    time_ns INTEGER NOT NULL,
    day TEXT NOT NULL,
    tenant TEXT NOT NULL,
    principal TEXT NOT NULL,
    service TEXT NOT NULL,
    operation TEXT NOT NULL,
    model TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    input_cost_nano_usd INTEGER NOT NULL,
    price_source TEXT NOT NULL,
    expires_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Rows of days before this one may have been pruned; their sums are all there is.
CREATE TABLE retention (pruned_before TEXT NOT NULL) STRICT;
INSERT INTO retention VALUES ('0000-00-00');
