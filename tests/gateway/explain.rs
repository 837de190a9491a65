//! `tollgate explain` beside a running gateway: the words of the refusal that a request really gets.

use std::process::Command;

use crate::{
    accounts::{reporting, until_ledger, with_quota, with_quota_and},
    client::Answer,
    harness::{CONVERSE, MODEL, Settings, World},
};

const HOLDING_1000: &str = r#"{"inferenceConfig":{"maxTokens":1000}}"#;

pub struct Explained {
    code: Option<i32>,
    text: String,
}

pub fn explain(world: &World, arguments: &[&str]) -> Explained {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(["explain", "--tenant", "acme", "-c"]).arg(world.config_file());
    if !arguments.contains(&"--model") {
        command.args(["--model", MODEL]);
    }
    let output = command.args(arguments).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    Explained { code: output.status.code(), text: String::from_utf8(output.stdout).unwrap() }
}

pub fn message(refused: &Answer) -> String {
    let body = refused.json();
    let text = body["message"].as_str().or(body["error"]["message"].as_str());
    text.unwrap_or_else(|| panic!("{refused:?}")).to_owned()
}

/// The gateway's estimate of what goes in, from a refusal of a request with 1000 `max_tokens`.
fn input_of(message: &str) -> String {
    let needs = message.split("needs up to ").nth(1).unwrap();
    let digits: String = needs.chars().take_while(char::is_ascii_digit).collect();
    (digits.parse::<u64>().unwrap() - 1_000).to_string()
}

#[track_caller]
pub fn assert_explained(explained: &Explained, status: &str, message: &str) {
    let (way, words) = explained.text.trim_end().rsplit_once('\n').unwrap();
    assert_eq!((explained.code, words), (Some(1), message), "{}", explained.text);
    assert!(way.ends_with(&format!("answer     {status}")), "{}", explained.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spent_day_is_explained_as_it_is_told() {
    let world = with_quota("tokens_per_day = 5_000\nusd_per_month = \"1\"").await;
    world.h1().await.ask(reporting(CONVERSE, HOLDING_1000, 4_000, 500)).await.assert_served();
    until_ledger(&world, 1).await;
    let refused = world.h1().await.post(CONVERSE, HOLDING_1000).await;
    refused.assert_refused(400, "ServiceQuotaExceededException");
    let message = message(&refused);
    let explained = explain(&world, &["--max-tokens", "1000", "--input-tokens", &input_of(&message)]);
    assert_explained(&explained, "400 ServiceQuotaExceededException", &message);
    let line = |start: &str| explained.text.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    let cells: Vec<String> = line("tokens-per-day").split_whitespace().map(str::to_owned).collect();
    assert_eq!((cells[2..6].join(" "), cells[7].as_str()), ("5000 4500 0 500".to_owned(), "refuses"));
    assert!(line("usd-per-month").ends_with("fits"), "{}", explained.text);

    let chat = format!(r#"{{"model":"{MODEL}","max_tokens":1000,"messages":[]}}"#);
    let refused = world.h1().await.post("/openai/v1/chat/completions", chat).await;
    let message = crate::explain::message(&refused);
    let arguments = ["--operation", "ChatCompletions", "--max-tokens", "1000", "--input-tokens", &input_of(&message)];
    assert_explained(&explain(&world, &arguments), "402 insufficient_quota", &message);

    let fits = explain(&world, &["--max-tokens", "100", "--input-tokens", "10"]);
    assert_eq!((fits.code, fits.text.trim_end().lines().last()), (Some(0), Some("answer     admitted")), "{}", fits.text);
    assert!(fits.text.contains("holds      10 input and 100 output tokens, $0.0001"), "{}", fits.text);
    world.h1().await.post(CONVERSE, r#"{"inferenceConfig":{"maxTokens":100}}"#).await.assert_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_minute_and_what_never_fits_are_explained_as_they_are_told() {
    let world = with_quota("tokens_per_minute = 6_000").await;
    world.h1().await.ask(reporting(CONVERSE, HOLDING_1000, 5_000, 950)).await.assert_served();
    until_ledger(&world, 1).await;
    let refused = world.h1().await.post(CONVERSE, HOLDING_1000).await;
    refused.assert_refused(429, "ThrottlingException");
    let told = message(&refused);
    let explained = explain(&world, &["--max-tokens", "1000", "--input-tokens", &input_of(&told)]);
    assert_eq!(explained.code, Some(1), "{}", explained.text);
    // Between the two the bucket refills.
    let without_numbers =
        |text: &str| text.split_whitespace().filter(|word| word.parse::<u64>().is_err()).collect::<Vec<_>>().join(" ");
    let words = explained.text.trim_end().lines().last().unwrap();
    assert_eq!(without_numbers(words), without_numbers(&told));
    assert!(explained.text.contains("answer     429 ThrottlingException"), "{}", explained.text);
    let left: u64 = words.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!((50..1_000).contains(&left), "{words}");

    let refused = world.h1().await.post(CONVERSE, r#"{"inferenceConfig":{"maxTokens":7000}}"#).await;
    let told = message(&refused);
    let digits: String = told.split("needs up to ").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    let input = (digits.parse::<u64>().unwrap() - 7_000).to_string();
    assert_explained(&explain(&world, &["--max-tokens", "7000", "--input-tokens", &input]), "400 ValidationException", &told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_a_missing_price_and_a_policy_are_explained_as_they_are_told() {
    let world = with_quota_and("max_tokens = 500\nusd_per_day = \"1\"", "").await;
    let mut client = world.h1().await;
    let refused = client.post(CONVERSE, HOLDING_1000).await;
    assert_explained(&explain(&world, &["--max-tokens", "1000"]), "400 ValidationException", &message(&refused));
    // The model's maximum counts where the request names none.
    let refused = client.post(CONVERSE, "{}").await;
    assert_explained(&explain(&world, &[]), "400 ValidationException", &message(&refused));

    let new = "anthropic.claude-of-next-year-v1:0";
    let refused = client.post(&format!("/model/{new}/converse"), "{}").await;
    let explained = explain(&world, &["--model", new, "--max-tokens", "10"]);
    assert_explained(&explained, "400 ValidationException", &message(&refused));
    assert!(explained.text.contains("price      none"), "{}", explained.text);

    let tenants = "[tenants.acme]\nmodels = [\"amazon.*\"]\nservices = [\"*\"]\noperations = [\"Converse\"]\n";
    let world = World::with(Settings { tenants: tenants.to_owned(), ..Settings::default() }).await;
    let mut client = world.h1().await;
    let refused = client.post(CONVERSE, "{}").await;
    assert_explained(&explain(&world, &[]), "403 AccessDeniedException", &message(&refused));
    let refused = client.post("/model/amazon.nova-lite-v1:0/invoke", "{}").await;
    let explained = explain(&world, &["--operation", "InvokeModel", "--model", "amazon.nova-lite-v1:0"]);
    assert_explained(&explained, "403 AccessDeniedException", &message(&refused));
    assert!(explained.text.contains("policy     refuses"), "{}", explained.text);
    let admitted = explain(&world, &["--model", "amazon.nova-lite-v1:0"]);
    assert!(admitted.code == Some(0) && admitted.text.contains("no ledger is configured"), "{}", admitted.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_running_request_holds_is_counted_and_a_cap_that_lowers_is_said() {
    let world = with_quota("max_tokens = 800\nmax_tokens_over = \"lower\"\ntokens_per_day = 1_700").await;
    let request = reporting(&CONVERSE.replace("converse", "converse-stream"), HOLDING_1000, 10, 40);
    let mut client = world.h1().await;
    let running = client.send(crate::client::with(request, "x-simulator-event-delay-ms", "500")).await.unwrap();
    let holds = || explain(&world, &["--max-tokens", "1000", "--input-tokens", "100"]);
    crate::harness::until("the hold is on disk", || holds().code == Some(1)).await;
    let explained = holds();
    assert!(explained.text.contains("max_tokens lowered from 1000 to 800"), "{}", explained.text);
    assert!(explained.text.contains("holds      100 input and 800 output tokens"), "{}", explained.text);
    assert!(explained.text.contains("this request needs up to 900"), "{}", explained.text);
    assert!(explained.text.contains("answer     429 ThrottlingException"), "{}", explained.text);
    drop(running);
}
