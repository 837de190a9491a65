//! What a conversation costs: held a step at a time, charged as Bedrock counts it up, and over when the tenant has no more.

use bytes::Bytes;

use crate::{
    accounts::{until_ledger, with_quota, with_quota_and},
    client::{Answer, with},
    conversation::{self, Conversation},
    harness::{Settings, World, tenant, until},
};

/// Each event costs 100 tokens of input and 100 of output, told with each.
const METERED: [(&str, &str); 3] =
    [("x-simulator-usage-every", "1"), ("x-simulator-input-tokens", "100"), ("x-simulator-output-tokens", "100")];

const NO_EVENT: Bytes = Bytes::from_static(&[0xff; 64]);

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
    // All that fits, and nothing more.
    assert_eq!(answered, 25);
    let sums = until_ledger(&world, 1).await;
    // Bedrock may have gone on until it heard of the end.
    assert_eq!((sums.usage.input_tokens, sums.usage.output_tokens, sums.estimated), (2_500, 2_500, 1));
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
    // Each event costs $0.0005: twenty fit.
    assert_eq!((answered, sums.cost.0), (20, 10_000_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_minute_ends_the_stream_as_throttled() {
    let world = with_quota("tokens_per_minute = 4_000").await;
    let mut client = world.h2().await;
    let mut conversation = Conversation::open_with(&mut client, &METERED).await;
    let (answered, kind, _) = speak_until_refused(&mut conversation).await;
    assert_eq!(kind, "throttlingException");
    assert!(answered >= 20, "{answered}");
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
    answer.assert_refused(429, "ThrottlingException");
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
    assert_eq!((answered, kind.as_str()), (46, "serviceQuotaExceededException"));
}

/// Each is told what it used already: so it holds that much ahead, and ends before it could be over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_beside_each_other_stay_within_the_limit_however_much_each_count_is() {
    const LARGE: [(&str, &str); 3] =
        [("x-simulator-usage-every", "1"), ("x-simulator-input-tokens", "900"), ("x-simulator-output-tokens", "900")];
    let world = with_quota("tokens_per_day = 20_000").await;
    let mut client = world.h2().await;
    let mut open = Vec::new();
    for _ in 0..6 {
        open.push(Conversation::open_with(&mut client, &LARGE).await);
    }
    let count = open.len();
    // All speak at once, until each has been refused.
    while !open.is_empty() {
        open.iter_mut().for_each(|conversation| conversation.say(b"hello"));
        let mut left = Vec::new();
        for mut conversation in open {
            let echo = conversation.next().await.unwrap().expect("an event");
            if conversation::text(&echo, ":message-type") != "exception" {
                let totals = conversation.next().await.unwrap().expect("the totals");
                assert_eq!(conversation::text(&totals, ":event-type"), "chunk");
                left.push(conversation);
            }
        }
        open = left;
    }
    let sums = until_ledger(&world, count as u64).await;
    let spent = sums.usage.input_tokens + sums.usage.output_tokens;
    assert!((10_800..=20_000).contains(&spent), "{spent}");
}

/// Whoever breaks off before Bedrock has counted pays for what it sent all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_breaks_off_before_it_was_counted_is_charged_the_input_that_it_held() {
    let world = with_quota("tokens_per_day = 10_000").await;
    let mut client = world.h2().await;
    let uncounted = [("x-simulator-usage-every", "1000"), ("x-simulator-input-tokens", "100")];
    let mut conversation = Conversation::open_with(&mut client, &uncounted).await;
    for _ in 0..9 {
        conversation.say(b"hello");
        conversation.next().await.unwrap().expect("an event");
    }
    conversation.send(NO_EVENT);
    conversation.exception().await;
    let sums = until_ledger(&world, 1).await;
    assert_eq!((sums.usage.input_tokens, sums.usage.output_tokens, sums.estimated), (1_000, 0, 1));
    // What was counted, and nothing was sent since, is known.
    let mut conversation = Conversation::open_with(&mut client, &METERED).await;
    conversation.say(b"hello");
    conversation.next().await.unwrap().expect("the echo");
    conversation.next().await.unwrap().expect("the totals");
    conversation.send(NO_EVENT);
    conversation.exception().await;
    let sums = until_ledger(&world, 2).await;
    assert_eq!((sums.usage.input_tokens, sums.usage.output_tokens), (1_100, 100));
}

/// Bedrock has what was said, whether or not its answer had begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_given_up_before_its_answer_is_charged_the_input_that_it_held_if_something_was_said() {
    let world = with_quota("tokens_per_day = 10_000").await;
    for said in [false, true] {
        let mut client = world.h2().await;
        let (feed, request) = conversation::request();
        let silent = with(request, "x-simulator-stall", "before-headers");
        let speaking = tokio::spawn(async move { client.send(silent).await.map(drop) });
        if said {
            feed.send(conversation::Signer::new().sign(&conversation::chunk(b"hello"))).unwrap();
            world.until_sum("tollgate_bidirectional_events_total", &["acme", "\"in\""], 1.0).await;
        } else {
            until("Bedrock has the head", || world.served_count() == 1).await;
        }
        speaking.abort();
        let line = world.log_lines(1 + usize::from(said)).await.pop().unwrap();
        let input = said.then(|| 1_000.into());
        assert_eq!((&line["outcome"], line.get("input_tokens")), (&"client_left".into(), input.as_ref()), "{line:#}");
    }
    let sums = until_ledger(&world, 1).await;
    assert_eq!((sums.requests, sums.usage.input_tokens, sums.usage.output_tokens, sums.estimated), (1, 1_000, 0, 1));
    world.until_sum("tollgate_quota_reserved_ratio", &["acme"], 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_is_cut_before_its_answer_is_charged_the_input_that_it_held_if_something_was_said() {
    let world = with_quota_and("tokens_per_day = 10_000", "[bidirectional]\nidle_seconds_max = 1\n").await;
    for said in [false, true] {
        let (feed, request) = conversation::request();
        if said {
            feed.send(conversation::Signer::new().sign(&conversation::chunk(b"hello"))).unwrap();
        }
        let silent = with(request, "x-simulator-stall", "before-headers");
        let answer = Answer::read(world.h2().await.send(silent).await.unwrap()).await.unwrap();
        answer.assert_refused(408, "ModelTimeoutException");
    }
    let sums = until_ledger(&world, 1).await;
    assert_eq!((sums.requests, sums.usage.input_tokens, sums.usage.output_tokens, sums.estimated), (1, 1_000, 0, 1));
    let lines = world.log_lines(2).await;
    let told: Vec<_> = lines.iter().map(|line| (line["outcome"].as_str(), line["input_tokens"].as_u64())).collect();
    assert_eq!(told, [(Some("denied"), None), (Some("denied"), Some(1_000))], "{lines:#?}");
}
