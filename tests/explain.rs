//! `tollgate explain` as an operator runs it, without a gateway.

#![allow(clippy::unwrap_used)] // nothing here but tests and what they call

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use tollgate::auth::DevelopmentIssuer;

/// TLS files and secrets are named that nobody can read here: this is none of their business.
const CONFIG: &str = r#"
[[listeners]]
address = "127.0.0.1:8443"
tls = { certificate_file = "no.pem", private_key_file = "no.key" }
[upstream]
region = "us-east-1"
[ledger]
file = "ledger.sqlite"
[tenants.acme]
models = ["*"]
services = ["*"]
operations = ["*"]
hold_input = "bound"
[tenants.acme.limits]
requests_per_minute = 60
stream_events_per_second = 500
[[tenants.acme.quotas]]
tokens_per_day = 10_000
[[tenants.acme.quotas]]
name = "trial"
shadow = true
usd_per_day = "0.001"
"#;

const HOUR: Duration = Duration::from_secs(3_600);
const HAIKU: &str = "anthropic.claude-3-haiku-20240307-v1:0";

/// Exit code, standard output and standard error.
fn explain(directory: &Path, config: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let file = directory.join("tollgate.toml");
    fs::write(&file, config).unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_tollgate")).arg("explain").arg("-c").arg(&file).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_conversation_holds_a_step_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let arguments =
        ["--tenant", "acme", "--operation", "InvokeModelWithBidirectionalStream", "--model", "amazon.nova-sonic-v1:0"];
    let (code, text, error) = explain(directory.path(), CONFIG, &arguments);
    assert_eq!((code, error.as_str()), (Some(0), ""), "{text}");
    assert!(text.contains("\nholds      1000 input and 1000 output tokens, $"), "{text}");
    assert!(text.contains(" at most, and as many again each time they are used up\n"), "{text}");
    assert!(!text.contains("hold_input"), "{text}");
}

#[test]
fn every_station_says_its_part() {
    let directory = tempfile::tempdir().unwrap();
    let (code, text, error) = explain(directory.path(), CONFIG, &["--tenant", "acme", "--model", HAIKU, "--max-tokens", "1000"]);
    assert_eq!((code, error.as_str()), (Some(0), ""), "{text}");
    for says in [
        "route      bedrock-runtime Converse\n",
        "policy     allows it\n",
        "price      US dollars per million tokens, from genai-prices ",
        "holds      1000 input and 1000 output tokens, $0.0015 at most\n",
        "requests   60 requests-per-minute; only the running gateway knows how many are left\n",
        "streams    500 events a second from its clients, over all its streams; what is faster waits\n",
        "hold_input = \"bound\": the gateway holds a token of input for each byte of text\n",
        "would refuse, but only watches (shadow)\n",
        "there is no ledger yet: as if nothing were used\n",
        "\nanswer     admitted\n",
    ] {
        assert!(text.contains(says), "{says:?} in {text}");
    }
}

#[test]
fn what_costs_nothing_and_what_is_charged_as_a_request_say_so() {
    let directory = tempfile::tempdir().unwrap();
    let asked = |operation| explain(directory.path(), CONFIG, &["--tenant", "acme", "--model", HAIKU, "--operation", operation]);
    let (code, text, _) = asked("CountTokens");
    assert!(code == Some(0) && text.contains("price      free"), "{text}");
    let (code, text, _) = asked("InvokeAgent");
    assert!(code == Some(0) && text.contains("holds      $0.00, as a request"), "{text}");
}

/// The gateway reads the model out of the body.
#[test]
fn a_model_that_a_body_names_meets_the_lists() {
    let directory = tempfile::tempdir().unwrap();
    let config = CONFIG.replace("models = [\"*\"]", "models = [\"amazon.*\"]");
    for operation in ["CreateModelInvocationJob", "CreateInferenceProfile", "CreateAgent", "ChatCompletions", "StartAsyncInvoke"]
    {
        let asked = ["--tenant", "acme", "--model", HAIKU, "--operation", operation];
        let (code, text, _) = explain(directory.path(), &config, &asked);
        assert!(code == Some(1) && text.contains("403 AccessDenied") || text.contains("\nanswer     403"), "{operation}: {text}");
        let (code, text, _) = explain(directory.path(), CONFIG, &asked);
        assert_eq!(code, Some(i32::from(text.contains("has no price"))), "{operation}: {text}");
    }
    let listed =
        explain(directory.path(), &config, &["--tenant", "acme", "--model", HAIKU, "--operation", "ListFoundationModels"]);
    assert_eq!(listed.0, Some(0), "{}", listed.1);
}

#[test]
fn nobody_and_nonsense_are_told_apart_by_the_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let (code, text, _) = explain(directory.path(), CONFIG, &["--tenant", "nobody", "--model", HAIKU]);
    assert_eq!(code, Some(1));
    assert!(text.ends_with("Ask its operator to add the tenant.\n"), "{text}");
    let asked = ["--tenant", "acme", "--model", HAIKU];
    let unknown = [&asked[..], &["--operation", "Convers"]].concat();
    assert_eq!(explain(directory.path(), CONFIG, &unknown).0, Some(2));
    for wrong in [&["--tenant", "acme", "--group", "nobody"][..], &["--certificate", "none.pem"], &["--key", "TGAK"]] {
        let (code, _, error) = explain(directory.path(), CONFIG, &[wrong, &["--model", HAIKU]].concat());
        assert!(code == Some(2) && error.starts_with("error: "), "{wrong:?}: {error}");
    }
    assert_eq!(explain(directory.path(), &CONFIG.replace("[upstream]", "[upstraem]"), &asked).0, Some(78));
    fs::write(directory.path().join("ledger.sqlite"), "not a ledger, but somebody's letters").unwrap();
    let (code, text, error) = explain(directory.path(), CONFIG, &asked);
    assert_eq!((code, text.as_str()), (Some(74), ""));
    assert!(error.contains("is not a tollgate ledger"), "{error}");
}

#[test]
fn a_token_says_who_asks_by_the_rules_of_its_issuer() {
    let directory = tempfile::tempdir().unwrap();
    let issuer = DevelopmentIssuer::generate().unwrap();
    fs::write(directory.path().join("keys.json"), issuer.key_set_json()).unwrap();
    let config = CONFIG.replace("models = [\"*\"]", "models = [\"amazon.*\"]")
        + r#"
[issuers.corp]
issuer = "https://idp.example"
audiences = ["bedrock"]
key_set = { file = "keys.json" }
tenants = { "cost-centre-7" = "acme" }
groups_claim = "sub"
[groups.haiku]
tenants = ["*"]
models = ["anthropic.*"]
"#;
    let token =
        |tenant: &str, subject: &str| issuer.mint("https://idp.example", "bedrock", tenant, subject, HOUR, SystemTime::now());
    let ask = |token: &str| explain(directory.path(), &config, &["--token", token, "--model", HAIKU, "--max-tokens", "1000"]);

    let (code, text, error) = ask(&token("cost-centre-7", "haiku"));
    assert_eq!((code, error.as_str()), (Some(0), ""), "{text}");
    assert!(text.starts_with("caller     tenant acme, subject haiku, issuer corp, groups haiku, expires "), "{text}");
    assert!(text.contains("\ntenant     acme\n"), "{text}");

    let (code, text, _) = ask(&token("cost-centre-7", "alice"));
    assert!(code == Some(1) && text.contains("may not use the model"), "{text}");
    let (code, text, _) = ask(&token("acme", "haiku"));
    assert!(code == Some(1) && text.starts_with("caller     refused: "), "{text}");

    let (code, _, error) = explain(directory.path(), &config, &["--token", "t", "--tenant", "acme", "--model", HAIKU]);
    assert!(code == Some(2) && error.contains("cannot be used with"), "{error}");
}

#[test]
fn who_asks_has_to_be_said_in_one_of_four_ways() {
    let directory = tempfile::tempdir().unwrap();
    let (code, _, error) = explain(directory.path(), CONFIG, &["--model", HAIKU]);
    assert!(code == Some(2) && error.contains("--tenant <T>|--token <TOKEN>|--certificate <FILE>|--key <ID>"), "{error}");
}

#[test]
fn a_key_that_nobody_has_is_not_blamed_on_its_signature() {
    let directory = tempfile::tempdir().unwrap();
    let asked = ["--key", "tg-nosuch", "--model", HAIKU];
    let (code, _, error) = explain(directory.path(), CONFIG, &asked);
    assert!(code == Some(2) && error.contains("has no `[keys]`"), "{error}");
    fs::write(directory.path().join("keys.toml"), "").unwrap();
    let (code, text, error) = explain(directory.path(), &format!("{CONFIG}[keys]\nfile = \"keys.toml\"\n"), &asked);
    assert_eq!((code, text.as_str()), (Some(2), ""));
    assert!(error.contains("keys.toml has no key of the id tg-nosuch"), "{error}");
}

#[test]
fn a_body_meets_the_bound_of_the_gateway_and_the_one_of_its_tenant() {
    let directory = tempfile::tempdir().unwrap();
    let answer = |config: &str, bytes: &str| {
        let asked = ["--tenant", "acme", "--model", HAIKU, "--max-tokens", "10", "--body-bytes", bytes];
        explain(directory.path(), config, &asked).1
    };
    let bounded = |of_gateway: u64, of_tenant: u64| {
        CONFIG.replace("[tenants.acme.limits]", &format!("body_bytes_max = {of_tenant}\n[tenants.acme.limits]"))
            + &format!("[bodies]\nbytes_max = {of_gateway}\n")
    };
    let refused = answer(CONFIG, "25000001");
    assert!(
        refused.ends_with("answer     413 ValidationException\nThe request body is larger than 25000000 bytes.\n"),
        "{refused}"
    );
    assert!(answer(CONFIG, "25000000").ends_with("answer     admitted\n"));
    let refused = answer(&bounded(2_000, 1_000), "3000");
    assert!(refused.contains("413") && refused.contains("policy     refuses"), "{refused}");
    let refused = answer(&bounded(1_000, 2_000), "3000");
    assert!(refused.contains("413") && refused.contains("larger than 1000 bytes"), "{refused}");
}

#[test]
fn a_tenant_without_quotas_holds_what_its_request_asks_for() {
    let directory = tempfile::tempdir().unwrap();
    let (quotas_at, _) = CONFIG.match_indices("[[tenants.acme.quotas]]").next().unwrap();
    for operation in ["Converse", "ChatCompletions"] {
        let asked = ["--tenant", "acme", "--model", HAIKU, "--max-tokens", "5000", "--operation", operation];
        let text = explain(directory.path(), &CONFIG[..quotas_at], &asked).1;
        assert!(text.contains("and 5000 output tokens") && text.contains(" at most\n"), "{text}");
    }
}

#[test]
fn a_cap_that_only_watches_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let config = CONFIG.replace("usd_per_day", "max_tokens = 10\nusd_per_day");
    let asked = |most| explain(directory.path(), &config, &["--tenant", "acme", "--model", HAIKU, "--max-tokens", most]);
    let says =
        "tenant acme may ask for at most 10 max_tokens for `trial`; this request asks for 20, but that only watches (shadow)\n";
    let (code, text, _) = asked("20");
    assert!(code == Some(0) && text.contains(says), "{text}");
    let (code, text, _) = asked("10");
    assert!(code == Some(0) && !text.contains("max_tokens"), "{text}");
}

#[test]
fn a_dearer_tier_is_held_at_its_price() {
    let directory = tempfile::tempdir().unwrap();
    let model = "amazon.nova-of-tests-v1:0";
    fs::write(
        directory.path().join("prices.toml"),
        format!(
            "[[models.\"{model}\".prices]]\ninput = \"1\"\noutput = \"4\"\n\
             [[models.\"{model}\".prices]]\ntier = \"priority\"\ninput = \"2\"\noutput = \"8\"\n\
             [[models.\"{model}\".prices]]\ntier = \"flex\"\ninput = \"0.5\"\noutput = \"2\"\n"
        ),
    )
    .unwrap();
    let config = CONFIG.to_owned()
        + "[[tenants.acme.quotas]]\nname = \"paid\"\nusd_per_day = \"0.009\"\n[prices]\nfile = \"prices.toml\"\n";
    for operation in ["Converse", "InvokeModel", "ChatCompletions"] {
        let ask = |tier: &[&str]| {
            let asked = ["--tenant", "acme", "--model", model, "--max-tokens", "1000", "--operation", operation];
            explain(directory.path(), &config, &[&asked[..], tier].concat())
        };
        for tier in [&[][..], &["--service-tier", "flex"], &["--service-tier", "default"], &["--service-tier", "gold"]] {
            let (code, text, _) = ask(tier);
            assert!(code == Some(0) && text.contains("1000 output tokens, $0.005 at most"), "{tier:?}: {text}");
        }
        let (code, text, _) = ask(&["--service-tier", "priority"]);
        assert!(code == Some(1) && text.contains("1000 output tokens, $0.01 at most"), "{text}");
        assert!(
            text.contains("this request may cost 0.01 US dollars, but tenant acme has 0.009 per day in all for `paid`"),
            "{text}"
        );
    }
}
