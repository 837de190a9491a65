//! A month of made-up traffic, charged by the gateway's prices into a ledger, and priced again by a script that shares nothing with the
//! gateway but the table: every row and every sum agrees to the nano-dollar.

#![allow(clippy::unwrap_used)] // nothing here but tests and what they call

#[path = "account/dice.rs"]
#[allow(dead_code, reason = "made for tests/account as well")]
mod dice;

use std::{
    env, fs,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use dice::Dice;
use jiff::{Timestamp, tz::TimeZone};
use tollgate::{
    bedrock::usage::{ServiceTier, Usage},
    config,
    ledger::{Entry, Ledger, Request},
};

const ROWS: u64 = 10_000;
/// The built-in price of GPT-5.6 Sol changes on the 21st, the price list's in the middle of the 15th.
const MONTH_BEGAN: &str = "2026-08-01T00:00:00Z";
const MONTH: Duration = Duration::from_secs(31 * 86_400);

/// The built-in table as the gateway has it; the script reads it by its own rules.
const TABLE: &str = include_str!(concat!(env!("OUT_DIR"), "/bedrock_prices.json"));

const CONFIG: &str = r#"
[[listeners]]
address = "127.0.0.1:8443"
tls = { certificate_file = "no.pem", private_key_file = "no.key" }
[upstream]
region = "us-east-1"
[ledger]
file = "ledger.sqlite"
retention_days = 3660
[prices]
file = "prices.toml"
"#;

const PRICES: &str = r#"
[[models."us.anthropic.claude-sonnet-4-5-20250929-v1:0".prices]]
effective_from = "2026-08-15T14:30:00+02:00"
input = "2.97"
output = "14.85"
cache_read = "0.297"
cache_write = "3.7125"
cache_write_1h = "5.94"
[[models."us.anthropic.claude-sonnet-4-5-20250929-v1:0".prices]]
effective_from = "2026-08-15T14:30:00+02:00"
tier = "priority"
input = "5.1975"
output = "25.9875"
cache_read = "0.51975"
[models."arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a1b2c3d4e5f6"]
alias_of = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
# Half a nano-dollar a token, and a thousandth of one: what is rounded shows.
[[models."house.odd".prices]]
input = "0.0005"
output = "0.000001"
cache_read = "0.000499"
cache_write = "0.001501"
[[models."house.odd".prices]]
input_tokens_over = 1000
input = "0.0015"
output = "0.000501"
"#;

const MODELS: [&str; 9] = [
    "anthropic.claude-3-haiku-20240307-v1:0",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "arn:aws:bedrock:us-east-1:111122223333:inference-profile/eu.anthropic.claude-haiku-4-5-20251001-v1:0",
    "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
    "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a1b2c3d4e5f6",
    "openai.gpt-5.6-sol",
    "amazon.titan-embed-text-v2:0",
    "house.odd",
];

#[tokio::test]
async fn a_month_priced_by_somebody_else_agrees_to_the_nano_dollar() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    fs::write(file("tollgate.toml"), CONFIG).unwrap();
    fs::write(file("prices.toml"), PRICES).unwrap();
    fs::write(file("table.json"), TABLE).unwrap();
    write_month(&file("tollgate.toml")).await;
    for by in ["tenant", "model", "day"] {
        let mut usage = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        let told = usage.args(["usage", "--format", "csv", "--by", by, "-c"]).arg(file("tollgate.toml")).output().unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        fs::write(file(&format!("{by}.csv")), told.stdout).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/money/price.py");
    let Ok(priced) = Command::new("python3").arg(script).arg(directory.path()).output() else {
        println!("SKIP: this machine has no python3");
        return;
    };
    let said = String::from_utf8_lossy(&priced.stdout);
    assert!(priced.status.success(), "{said}{}", String::from_utf8_lossy(&priced.stderr));
    assert!(said.starts_with(&format!("ok: {ROWS} rows")) || said.starts_with("SKIP"), "{said}");
}

async fn write_month(path: &Path) {
    let config = config::parse(CONFIG, path).unwrap();
    let book = config.prices.book().unwrap();
    let (ledger, _) = Ledger::open(&config.ledger, Timestamp::now()).unwrap();
    let seed = u64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let seed = env::var("TOLLGATE_SEED").map_or(seed, |seed| seed.parse().unwrap());
    println!("TOLLGATE_SEED={seed}"); // Shown if it fails.
    let mut dice = Dice::new(seed);
    let began: Timestamp = MONTH_BEGAN.parse().unwrap();
    let nanoseconds = u64::try_from(MONTH.as_nanos()).unwrap();
    for number in 0..ROWS {
        let time = began + Duration::from_nanos(dice.below(nanoseconds));
        let model = dice.pick(&MODELS);
        let tier = dice.pick(&[ServiceTier::Standard, ServiceTier::Flex, ServiceTier::Priority, ServiceTier::Reserved]);
        let usage = usage(&mut dice);
        let price = book.price(model, time).unwrap_or_else(|| unreachable!("{model} has a price"));
        let charge = price.charge(&usage, tier);
        ledger.settle(Entry {
            request: Request {
                id: number.to_string().into(),
                time,
                day: time.to_zoned(TimeZone::UTC).date(),
                tenant: dice.pick(&["acme", "globex"]).into(),
                principal: "ann".into(),
                service: "bedrock-runtime".into(),
                operation: "Converse".into(),
                model: model.into(),
            },
            upstream_request_id: None,
            tier,
            usage,
            cost: charge.cost,
            price_source: charge.source(),
            estimated: false,
            by_request: false,
            outcome: "completed".into(),
        });
    }
    ledger.durable().await.unwrap();
}

/// Few, usual, many, and more than anybody has.
fn usage(dice: &mut Dice) -> Usage {
    let mut tokens = || {
        let most = dice.pick(&[1, 10, 5_000, 5_000, 400_000, 1 << 32]);
        dice.below(most)
    };
    Usage {
        input_tokens: tokens(),
        output_tokens: tokens(),
        cache_read_tokens: tokens(),
        cache_write_tokens: tokens(),
        cache_write_1h_tokens: tokens(),
    }
}
