//! What a conversation costs: held a step at a time, charged as Bedrock counts it up, and over when the tenant has no more.

use crate::{
    accounts::{until_ledger, with_quota},
    client::Answer,
    conversation::{self, Conversation},
    harness::{Settings, World, tenant},
};

/// Each event costs 100 tokens of input and 100 of output, told with each.
const METERED: [(&str, &str); 3] =
    [("x-simulator-usage-every", "1"), ("x-simulator-input-tokens", "100"), ("x-simulator-output-tokens", "100")];

/// Speaks until the stream is over; how many events were answered, and the exception it ended with.
async fn speak_until_refused(conversation: &mut Conversation) -> (u64, String, String) {
    for answered in 0..1_000 {
        conversation.say(b"hello");
        // The echo, and with it the totals or what comes instead of more.
        let echo = conversation.next().await.unwrap().expect("an event");
        if conversation::text(&echo, ":message-type") == "exception" {
            return (answered, conversation::text(&echo, ":exception-type"), String::from_utf8(echo.payload().to_vec()).unwrap());
        }
        let totals = conversation.next().await.unwrap().expect("the totals");
        assert_eq!(conversation::text(&totals, ":event-type"), "chunk");
    }
    panic!("nothing refuses it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spent_quota_ends_the_stream_with_a_typed_exception_and_the_true_usage() {
    let world = with_quota("tokens_per_day = 5_000").await;
    let mut client = world.h2().await;
    let mut conversation = Conversation::open_with(&mut client, &METERED).await;
    let (answered, kind, message) = speak_until_refused(&mut conversation).await;
    assert_eq!(kind, "serviceQuotaExceededException");
    assert!(message.contains("tokens per day") && message.contains("it resets 20"), "{message}");
    // All that fits, and the event that showed that there is no more.
    assert_eq!(answered, 26);
    let sums = until_ledger(&world, 1).await;
    // Bedrock may have gone on until it heard of the end.
    assert_eq!((sums.usage.input_tokens, sums.usage.output_tokens, sums.estimated), (2_600, 2_600, 1));
    let metrics = world.until_sum("tollgate_requests_in_flight", &["acme"], 0.0).await;
    assert_eq!(metrics.sum("tollgate_quota_reserved_ratio", &["acme"]), 0.0);
    assert_eq!(metrics.sum("tollgate_quota_denials_total", &["acme", "tokens-per-day", "enforced"]), 1.0);
    let line = world.log_lines(1).await.remove(0);
    assert_eq!((&line["outcome"], &line["reason"]), (&"denied".into(), &"tokens-per-day".into()), "{line:#}");
    // Another one does not begin.
    let (_feed, request) = conversation::request();
    let answer = Answer::read(client.send(request).await.unwrap()).await.unwrap();
    answer.assert_refused(400, "ServiceQuotaExceededException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spent_budget_in_dollars_ends_the_stream_too() {
    let acme = tenant("acme", "") + "[[tenants.acme.quotas]]\nusd_per_day = \"0.01\"\n";
    let prices = "[[models.\"amazon.nova-sonic-v1:0\".prices]]\ninput = \"1\"\noutput = \"4\"\n";
    let world = World::with(Settings {
        tenants: acme,
        sections: "[ledger]\nfile = \"ledger.sqlite\"\n[prices]\nfile = \"prices.toml\"\n".to_owned(),
        files: vec![("prices.toml", prices.to_owned())],
        ..Settings::default()
    })
    .await;
    let mut client = world.h2().await;
    let mut conversation = Conversation::open_with(&mut client, &METERED).await;
    let (answered, kind, message) = speak_until_refused(&mut conversation).await;
    assert_eq!(kind, "serviceQuotaExceededException");
    assert!(message.contains("US dollars per day"), "{message}");
    let sums = until_ledger(&world, 1).await;
    assert_eq!(sums.usage.output_tokens, answered * 100);
    // Each event costs $0.0005: twenty fit, and one showed that no more do.
    assert_eq!((answered, sums.cost.0), (21, 10_500_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_minute_ends_the_stream_as_throttled() {
    let world = with_quota("tokens_per_minute = 4_000").await;
    let mut client = world.h2().await;
    let mut conversation = Conversation::open_with(&mut client, &METERED).await;
    let (answered, kind, _) = speak_until_refused(&mut conversation).await;
    assert_eq!(kind, "throttlingException");
    assert!(answered >= 21, "{answered}");
}

/// A stream holds a step, not all that its model could say: as many run at once as have room for one, and grow while there is some.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_hold_little_and_grow_within_what_is_left() {
    let world = with_quota("tokens_per_day = 10_000").await;
    let mut client = world.h2().await;
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(Conversation::open_with(&mut client, &METERED).await);
    }
    let (_feed, request) = conversation::request();
    let answer = Answer::read(client.send(request).await.unwrap()).await.unwrap();
    answer.assert_refused(400, "ServiceQuotaExceededException");
    // Four end and give back what they did not use; then the fifth has all of it.
    let mut last = open.pop().unwrap();
    for mut conversation in open {
        conversation.say(b"hello");
        conversation.close();
        assert_eq!(conversation.rest().await, 1);
    }
    let sums = until_ledger(&world, 4).await;
    assert_eq!(sums.usage.input_tokens, 400);
    world.until_sum("tollgate_quota_reserved_ratio", &["acme"], 0.2).await;
    let (answered, kind, _) = speak_until_refused(&mut last).await;
    assert_eq!((answered, kind.as_str()), (47, "serviceQuotaExceededException"));
}
