//! Answers of Bedrock's that are not for the client as they stand: of the hop behind alone, or none at all.

use http::{Request, header};

use crate::{
    client::{Answer, Client, Raw, Upload, post, with},
    harness::{CONVERSE, Settings, World, tenant, within},
    puppet::{Puppet, Strings},
};

struct Stage {
    puppet: Puppet,
    world: World,
}

impl Stage {
    async fn set() -> Stage {
        let puppet = Puppet::start().await;
        let quota = "[[tenants.acme.quotas]]\nname = \"day\"\nmodels = [\"*\"]\ntokens_per_day = 1_000_000\n";
        let tenants = tenant("acme", "") + quota;
        let world = World::with(Settings { upstream: puppet.upstream(), tenants, ..Settings::default() }).await;
        Stage { puppet, world }
    }

    async fn clients(&self) -> [Client; 2] {
        [self.world.h1().await, self.world.h2().await]
    }

    /// What a client gets if the puppet says this and no more; its connection closes after that.
    async fn answer(&self, client: Client, request: Request<Upload>, said: &str) -> hyper::Result<Answer> {
        self.answer_to(client, request, async |mut upstream: Strings| upstream.say(said).await).await
    }

    async fn answer_to(
        &self,
        mut client: Client,
        request: Request<Upload>,
        say: impl AsyncFnOnce(Strings),
    ) -> hyper::Result<Answer> {
        let asking = tokio::spawn(async move { Answer::read(client.send(request).await?).await });
        say(self.puppet.request().await).await;
        within(asking).await.unwrap()
    }

    /// Of the latest request.
    async fn log_line(&self, count: usize) -> serde_json::Value {
        self.world.log_lines(count).await.pop().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_cannot_be_relayed_is_502_and_costs_nothing() {
    const BODY: &str = r#"{"usage":{"inputTokens":12,"outputTokens":34,"totalTokens":46}}"#;
    let stage = Stage::set().await;
    let tunnel = format!(
        "101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: {}",
        BODY.len()
    );
    let mut count = 0;
    for (said, upgrade) in [
        (tunnel.as_str(), false),
        (tunnel.as_str(), true),
        ("200 OK\r\ntransfer-encoding: identity\r\ncontent-length: 90", false),
        ("200 OK\r\ntransfer-encoding: gzip, chunked", false),
        ("200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked", false),
    ] {
        for client in stage.clients().await {
            let is_http2 = count % 2 == 1;
            let mut request = post(CONVERSE, "{}");
            if upgrade && !is_http2 {
                request = with(with(request, "connection", "upgrade"), "upgrade", "websocket");
            }
            let answer = stage.answer(client, request, &format!("HTTP/1.1 {said}\r\n\r\n{BODY}")).await.unwrap();
            answer.assert_refused(502, "ServiceUnavailableException");
            assert_eq!(answer.header("x-should-retry"), "false");
            count += 1;
            let line = stage.log_line(count).await;
            assert_eq!((&line["outcome"], &line["reason"]), (&"upstream_failed".into(), &"upstream_broken".into()), "{line}");
            assert!(
                line["error"].as_str().is_some_and(|error| error.contains("cannot be passed on: it "))
                    && line["cost_usd"].is_null(),
                "{line}"
            );
        }
    }
    let metrics = stage.world.until_ended(count as f64).await;
    assert_eq!(metrics.sum("tollgate_tokens_total", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http10_answer_goes_on_in_the_gateways_version() {
    let stage = Stage::set().await;
    let request = format!(
        "POST {CONVERSE} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\ncontent-length: 2\r\n\r\n{{}}",
        stage.world.bearer("acme")
    );
    for (said, framing) in
        [("content-length: 2\r\n\r\n{}", "content-length: 2\r\n"), ("\r\n{}", "transfer-encoding: chunked\r\n")]
    {
        let mut client = Raw::connect(stage.world.gateway.traffic[0]).await;
        client.write(&request).await;
        stage.puppet.request().await.say(format!("HTTP/1.0 200 OK\r\n{said}")).await;
        let answer = client.read_until("{}").await.to_lowercase();
        assert!(answer.starts_with("http/1.1 200 ok\r\n") && answer.contains(framing), "{answer}");
    }
    let said = "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let answer = stage.answer(stage.world.h1().await, post(CONVERSE, "{}"), said).await.unwrap();
    answer.assert_refused(502, "ServiceUnavailableException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_of_the_hop_behind_stay_there() {
    const SAID: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nte: trailers\r\n\
                        upgrade: h2c\r\nproxy-authenticate: Basic\r\nproxy-connection: close\r\nx-end: a  b\r\n\r\n{}";
    let stage = Stage::set().await;
    for client in stage.clients().await {
        let answer = stage.answer(client, post(CONVERSE, "{}"), SAID).await.unwrap();
        answer.assert_served();
        for name in ["x-hop", "keep-alive", "te", "upgrade", "proxy-authenticate", "proxy-connection"] {
            assert!(!answer.headers.contains_key(name), "{name}: {answer:?}");
        }
        let lengths: Vec<_> = answer.headers.get_all(header::CONTENT_LENGTH).iter().collect();
        assert_eq!(lengths, ["2"]);
        assert_eq!(answer.header("x-end"), "a  b");
    }
}
