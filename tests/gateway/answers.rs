//! Answers of Bedrock's that are not for the client as they stand: about the gateway's own credentials, of the hop behind alone, or none at all.

use http::{Request, header};
use tokio::io::AsyncReadExt;

use crate::{
    client::{Answer, Client, Raw, Upload, post, with},
    harness::{CONVERSE, CONVERSE_STREAM, Settings, World, tenant, within},
    puppet::{Puppet, Strings},
};

const CHAT: &str = "/openai/v1/chat/completions";

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

fn error(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{fields}content-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_our_credentials_never_reaches_the_client() {
    const NAMESPACED: &str = "x-amzn-ErrorType: com.amazon.coral.service#InvalidSignatureException\r\n";
    const QUOTE: &str = r#""message":"The Canonical String for this request should have been\nx-amz-security-token:SECRET""#;
    let stage = Stage::set().await;
    let mut count = 0;
    for (status, fields, body, target) in [
        ("403 Forbidden", NAMESPACED, format!("{{{QUOTE}}}"), CONVERSE),
        ("403 Forbidden", "", format!(r#"{{"__type":"com.amazon.coral.service#InvalidSignatureException",{QUOTE}}}"#), CONVERSE),
        ("400 Bad Request", "", format!(r#"{{{QUOTE},"__type":"ExpiredTokenException"}}"#), CONVERSE_STREAM),
        ("401 Unauthorized", "", format!(r#"{{"error":{{"code":"invalid_signature",{QUOTE}}}}}"#), CHAT),
        ("401 Unauthorized", "", format!(r#"{{"error":{{"code":null,{QUOTE}}}}}"#), CHAT),
    ] {
        for client in stage.clients().await {
            let said = error(status, fields, &body);
            // The head comes before the body.
            let said = async |mut upstream: Strings| {
                for part in said.split_inclusive("\r\n\r\n") {
                    upstream.say(part).await;
                }
            };
            let answer = stage.answer_to(client, post(target, "{\"model\":\"m\"}"), said).await.unwrap();
            assert_eq!((answer.status, answer.header("x-tollgate-source")), (503, "gateway"), "{answer:?}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("SECRET"), "{answer:?}");
            count += 1;
            let line = stage.log_line(count).await;
            let told = ["status", "reason", "source", "outcome"].map(|name| line[name].clone());
            assert_eq!(
                told,
                [503.into(), "credentials_refused".into(), "gateway".into(), "gateway_failed".into()] as [serde_json::Value; 4]
            );
            assert!(line["error"].as_str().unwrap().contains("refused the gateway's own credentials"), "{line:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_errors_without_a_type_in_the_head_pass_byte_for_byte() {
    let stage = Stage::set().await;
    let mut count = 0;
    for (status, body) in [
        ("400 Bad Request", r#"{"__type":"com.amazon.coral.validate#ValidationException", "message":"1 error"}"#.to_owned()),
        ("400 Bad Request", r#"{"message":"ThrottlingException: canonical string"}"#.to_owned()),
        ("403 Forbidden", r#"{"Message":"User: x is not authorized to perform: bedrock:InvokeModel"}"#.to_owned()),
        ("401 Unauthorized", "<html>".to_owned()),
        ("403 Forbidden", String::new()),
        ("400 Bad Request", "x".repeat(200_000)),
    ] {
        for client in stage.clients().await {
            let answer = stage.answer(client, post(CONVERSE, "{}"), &error(status, "", &body)).await.unwrap();
            assert_eq!((answer.status, answer.header("x-tollgate-source")), (status[..3].parse().unwrap(), "bedrock"));
            assert_eq!(answer.body, body);
            assert_eq!(answer.header("content-length"), body.len().to_string());
            count += 1;
            assert_eq!(stage.log_line(count).await["source"], "bedrock");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_that_breaks_off_before_it_is_known_is_502() {
    let stage = Stage::set().await;
    for (count, client) in stage.clients().await.into_iter().enumerate() {
        let said = "HTTP/1.1 403 Forbidden\r\ncontent-length: 90\r\n\r\n{\"message\":\"canonical";
        let answer = stage.answer(client, post(CONVERSE, "{}"), said).await.unwrap();
        answer.assert_refused(502, "ServiceUnavailableException");
        let line = stage.log_line(count + 1).await;
        assert_eq!((&line["status"], &line["source"]), (&502.into(), &"gateway".into()), "{line}");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_over_http10_is_refused_and_the_gateways_own_answers_are_not() {
    let stage = Stage::set().await;
    let ask = async |target: &str, host: &str| {
        let mut client = Raw::connect(stage.world.gateway.traffic[0]).await;
        let bearer = stage.world.bearer("acme");
        client.write(format!("{target} HTTP/1.0\r\n{host}authorization: {bearer}\r\ncontent-length: 2\r\n\r\n{{}}")).await;
        String::from_utf8(client.read_to_end().await).unwrap()
    };
    let refused = ask(&format!("POST {CONVERSE}"), "host: localhost\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 505 ") && refused.contains("x-amzn-ErrorType: ValidationException"), "{refused}");
    assert!(!refused.to_lowercase().contains("transfer-encoding"), "{refused}");
    let line = stage.log_line(1).await;
    assert_eq!((&line["outcome"], &line["reason"]), (&"denied".into(), &"http_version".into()), "{line}");
    let own = ask("GET /v1/usage", "host: localhost\r\n").await;
    assert!(own.starts_with("HTTP/1.1 200 "), "{own}");
    // As a load balancer may ask.
    let mut health = Raw::connect(stage.world.gateway.admin).await;
    health.write("GET /healthz HTTP/1.0\r\n\r\n").await;
    let mut first = [0; 12];
    within(health.0.read_exact(&mut first)).await.unwrap();
    assert!(first.ends_with(b" 200"), "{first:?}");
}
