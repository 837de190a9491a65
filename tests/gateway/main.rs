//! The gateway from outside: a real one and a real simulator on free ports of loopback, real clients between them. Each module holds
//! the claims of one topic; `harness` starts things and looks at them, `client` speaks to them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // nothing here but tests and what they call

mod client;
mod collector;
mod conversation;
mod harness;
mod process;
mod puppet;
mod signing;
mod sts;

mod accounts;
mod answers;
mod attribution;
mod bidirectional;
mod bodies;
mod by_request;
mod certificates;
mod console;
mod credentials;
mod evasions;
mod exchanges;
mod explain;
mod forgeries;
mod forwarding;
mod groups;
mod heads;
mod held_back;
mod held_events;
mod holds;
mod identity;
mod idle;
mod isolation;
mod issuers;
mod keepalive;
mod limits;
mod metrics;
mod named_models;
mod own_log;
mod policy;
mod reload;
mod reload_streams;
mod renewal;
mod retries;
mod roles;
mod shutdown;
mod signed;
mod signed_events;
mod slow_readers;
mod spending;
mod streaming;
mod tampered_events;
mod tls;
mod traces;
mod unread_log;
mod usage_page;
mod vending;
mod watchdog;
