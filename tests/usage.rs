//! `tollgate usage` and `tollgate ledger verify` as an operator runs them, beside a ledger that is being written.

#![allow(clippy::unwrap_used)] // nothing here but tests and what they call

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use jiff::{Timestamp, civil::date};
use tollgate::{
    bedrock::usage::{ServiceTier, Usage},
    config,
    ledger::{Entry, Ledger, Request},
    pricing::NanoUsd,
};

/// TLS files and secrets are named that nobody can read here: usage is none of their business.
const CONFIG: &str = r#"
[[listeners]]
address = "127.0.0.1:8443"
tls = { certificate_file = "no.pem", private_key_file = "no.key" }
[upstream]
region = "us-east-1"
[ledger]
file = "ledger.sqlite"
retention_days = 3660
"#;

fn tollgate(arguments: &[&str], config: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate")).args(arguments).arg("-c").arg(config).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn configuration(directory: &Path) -> PathBuf {
    let file = directory.join("tollgate.toml");
    fs::write(&file, CONFIG).unwrap();
    file
}

/// A ledger that is open, with two requests of acme and one of globex.
async fn written(config: &Path) -> Ledger {
    let config = config::parse(CONFIG, config).unwrap();
    let (ledger, _) = Ledger::open(&config.ledger, Timestamp::now()).unwrap();
    let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    for (id, tenant, day, cost) in
        [("a", "acme", today, 1), ("b", "acme", today, 2_500_000_000), ("c", "globex", date(2026, 1, 1), 10)]
    {
        ledger.settle(Entry {
            request: Request {
                id: id.into(),
                time: Timestamp::now(),
                day,
                tenant: tenant.into(),
                principal: "ann".into(),
                service: "bedrock-runtime".into(),
                operation: "Converse".into(),
                model: "anthropic.claude-sonnet-4-5".into(),
            },
            upstream_request_id: None,
            tier: ServiceTier::Standard,
            usage: Usage { input_tokens: 7, output_tokens: 11, ..Usage::default() },
            cost: NanoUsd(cost),
            price_source: "test".into(),
            estimated: false,
            by_request: false,
            outcome: "completed".into(),
        });
    }
    ledger.durable().await.unwrap();
    ledger
}

#[tokio::test]
async fn usage_is_told_while_the_ledger_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let _ledger = written(&config).await;
    let told = |arguments: &[&str]| {
        let output = tollgate(&[&["usage"], arguments].concat(), &config);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert_eq!(
        told(&["--format", "csv"]),
        "tenant,requests,input_tokens,output_tokens,cache_read_tokens,cache_write_tokens,cache_write_1h_tokens,cost_usd,estimated\r\n\
         acme,2,14,22,0,0,0,2.500000001,0\r\n\
         globex,1,7,11,0,0,0,0.00000001,0\r\n"
    );
    let json: serde_json::Value =
        serde_json::from_str(&told(&["--by", "principal", "--tenant", "acme", "--format", "json"])).unwrap();
    assert_eq!((&json[0]["principal"], &json[0]["cost_usd"]), (&"ann".into(), &"2.500000001".into()));
    assert_eq!(json.as_array().unwrap().len(), 1);
    let table = told(&["--by", "model", "--until", "2026-01-01"]);
    assert!(table.contains("anthropic.claude-sonnet-4-5") && table.contains("0.00000001"), "{table}");
    assert_eq!(told(&["--since", "2026-01-02", "--format", "csv"]).lines().count(), 2);

    let verified = tollgate(&["ledger", "verify"], &config);
    assert_eq!((verified.status.code(), text(&verified.stdout).as_str()), (Some(0), "ok: 3 rows, 2 sums\n"));
}

#[tokio::test]
async fn nothing_used_is_no_failure_and_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let _ledger = written(&config).await;
    let output = tollgate(&["usage", "--tenant", "nobody", "--since", "2026-11-01"], &config);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), ""));
    assert_eq!(text(&output.stderr), "nothing was used by nobody since 2026-11-01\n");
}

#[test]
fn what_cannot_be_told_is_said_plainly() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let cases: [(&[&str], &str); 5] = [
        (&["usage"], "there is no ledger at"),
        (&["usage", "--since", "yesterday"], "not a date such as 2026-11-22"),
        (&["usage", "--until", "2026-02-30"], "not a date such as 2026-11-22"),
        (&["usage", "--since", "2026-02-02", "--until", "2026-02-01"], "is after"),
        (&["ledger", "verify"], "there is no ledger at"),
    ];
    for (arguments, says) in cases {
        let output = tollgate(arguments, &config);
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(says), "{arguments:?}: {}", text(&output.stderr));
    }
    fs::write(&config, CONFIG.replace("file = \"ledger.sqlite\"\n", "")).unwrap();
    assert!(text(&tollgate(&["usage"], &config).stderr).contains("set `file` in [ledger]"));
}
