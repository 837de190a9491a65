//! The account's durable form: a row a request and sums per tenant, model and day, in one SQLite file. It records what was decided and
//! decides nothing.
