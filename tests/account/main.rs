//! The account end to end: the binary that ships, killed in the middle, its disk taken away, its answers cut; what the simulator reported
//! stands in the ledger, exactly and once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // nothing here but tests and what they call

#[path = "../gateway/client.rs"]
#[allow(dead_code, reason = "made for tests/gateway")]
mod client;
#[path = "../gateway/conversation.rs"]
#[allow(dead_code, reason = "made for tests/gateway")]
mod conversation;
#[path = "../gateway/signing.rs"]
#[allow(dead_code, reason = "made for tests/gateway")]
mod signing;
#[path = "../gateway/sts.rs"]
#[allow(dead_code, reason = "made for tests/gateway")]
mod sts;

mod activation;
mod audit;
mod cuts;
mod dice;
mod faults;
mod full_disk;
mod harness;
mod interrupts;
mod kills;
mod load;
mod long_streams;
mod onlookers;
mod restarts;
mod role_sessions;
mod service;
mod upgraded_issuers;
mod upgrades;
mod watch;
