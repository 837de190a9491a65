//! Answers cut at every byte offset on their way through the gateway: the usage is the same.

use crate::{
    client::{Client, post, with},
    harness::{MODEL, World},
};

/// 1 cuts between every two bytes; the others cut lengths, checksums and names in the middle.
const PIECES: [usize; 5] = [1, 2, 7, 13, 61];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_usage_of_an_answer_does_not_depend_on_where_it_is_cut() {
    let world = World::new("", ["[[tenants.acme.quotas]]\ntokens_per_day = 10_000_000", ""]).await;
    let _gateway = world.start().await;
    let mut client = Client::h1(world.traffic, world.bearer("acme")).await;
    let chat = format!(r#"{{"model":"{MODEL}","max_tokens":100,"stream":true,"messages":[{{"role":"user","content":"hi"}}]}}"#);
    let bedrock = |action: &str| (format!("/model/{MODEL}/{action}"), r#"{"max_tokens":100}"#.to_owned());
    let shapes = [
        bedrock("converse"),
        bedrock("converse-stream"),
        bedrock("invoke"),
        bedrock("invoke-with-response-stream"),
        ("/openai/v1/chat/completions".to_owned(), chat.clone()),
        ("/anthropic/v1/messages".to_owned(), chat),
    ];
    for (target, body) in &shapes {
        for pieces in PIECES {
            let wishes = [("input-tokens", 31), ("output-tokens", 17), ("cache-read-tokens", 5), ("cache-write-tokens", 3)];
            let request = wishes.iter().fold(post(target, body.clone()), |request, (name, count)| {
                with(request, &format!("x-simulator-{name}"), &count.to_string())
            });
            // One event of text: what is cut is the framing and the usage.
            let request = with(request, "x-simulator-events", "1");
            client.ask(with(request, "x-simulator-chunk-bytes", &pieces.to_string())).await.assert_served();
        }
    }
    let rows = world.until_rows(shapes.len() * PIECES.len()).await;
    for row in rows {
        let usage = row.usage;
        let counts = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens);
        assert_eq!((counts, row.estimated), ((31, 17, 5, 3), false), "{row:?}");
    }
}
