//! The account against an oracle, under threads, and under every schedule that can be found.

mod handed;
mod oracle;
mod properties;
mod refusals;
mod reloads;
mod replays;
mod schedules;
mod statements;
mod threads;
mod windows;

use std::{sync::Arc, time::Instant};

use jiff::SignedDuration;

use super::*;
use crate::{bedrock::usage::Usage, config, pricing::NanoUsd};

const CLAUDE: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const NOVA: &str = "amazon.nova-lite-v1:0";

/// Quotas as a configuration file has them; the first lines are the tenant's own keys.
fn quotas(toml: &str) -> Quotas {
    #[derive(serde::Deserialize)]
    struct File {
        #[serde(default)]
        account: config::AccountKeeping,
        tenant: config::Tenant,
    }
    let file: File = toml::from_str(&format!("[tenant]\n{}", toml.replace("[[quotas]]", "[[tenant.quotas]]"))).unwrap();
    Quotas::new(&file.tenant, &file.account)
}

fn account() -> Arc<Account> {
    Arc::new(Account::new("acme"))
}

fn at(wall: &str) -> Now {
    Now { monotonic: Instant::now(), wall: wall.parse().unwrap() }
}

fn noon() -> Now {
    at("2026-11-22T12:00:00Z")
}

/// Both clocks go on.
fn after(now: &Now, seconds: u64) -> Now {
    let wall = now.wall + SignedDuration::from_secs(i64::try_from(seconds).unwrap());
    Now { monotonic: now.monotonic + Duration::from_secs(seconds), wall }
}

fn ask(model: &str, input_tokens: u64, output_tokens: u64) -> Ask<'_> {
    let cost = NanoUsd(i64::try_from(input_tokens + 5 * output_tokens).unwrap() * 1_000);
    Ask { request: uuid::Uuid::nil(), model, input_tokens, output_tokens, burndown_factor: 5, cost }
}

fn usage(input_tokens: u64, output_tokens: u64) -> Usage {
    Usage { input_tokens, output_tokens, ..Usage::default() }
}

/// Of the only limit.
fn balance(account: &Account, quotas: &Quotas, now: &Now) -> Balance {
    let balances = account.balances(quotas, now);
    assert_eq!(balances.len(), 1);
    balances[0].clone()
}

/// Settled and reserved, of the only limit.
fn used(account: &Account, quotas: &Quotas, now: &Now) -> (u64, u64) {
    let balance = balance(account, quotas, now);
    (balance.settled, balance.reserved)
}
