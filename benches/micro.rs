//! What single steps of a request cost: `cargo bench --bench micro`.

use std::{
    collections::BTreeMap,
    hint::black_box,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use aws_credential_types::Credentials;
use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents},
};
use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use criterion::{BatchSize, Criterion};
use http::{HeaderMap, StatusCode};
use serde_json::json;
use tollgate::{
    auth::{Authenticator, DevelopmentIssuer, KeySet, KeySets, TokenCache},
    aws::{Signer, Signing, sigv4::EMPTY_SHA256},
    bedrock::{
        RawPath, Service,
        ask::Ask as Asked,
        operations,
        usage::{Usage, UsageReader},
    },
    config::{self, Algorithm, Issuer, KeySetSource},
    pricing::NanoUsd,
    proxy::head,
    quota::{Accounts, Ask, Now, Quotas, Spent},
    routing::{self, Head, Overrides},
};
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const AUDIENCE: &str = "bench";
const ISSUER: &str = "https://issuer.bench.invalid";
const QUOTAS: &str = r#"
[[listeners]]
address = "127.0.0.1:8080"
[upstream]
region = "us-east-1"
[tenants.acme]
[[tenants.acme.quotas]]
tokens_per_minute = 1_000_000_000_000
tokens_per_day = 1_000_000_000_000_000
usd_per_month = "1000000000"
[[tenants.acme.quotas]]
models = ["*anthropic.claude-*"]
tokens_per_day = 1_000_000_000_000_000
"#;
const CONVERSE: &str = "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse";

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    sign(&mut criterion)?;
    verify(&mut criterion)?;
    decode_event_stream(&mut criterion)?;
    read_usage(&mut criterion)?;
    read_ask(&mut criterion)?;
    route(&mut criterion)?;
    check_head(&mut criterion);
    reserve_and_settle(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

fn sign(criterion: &mut Criterion) -> anyhow::Result<()> {
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", Some("session-token".to_owned()), None, "bench");
    let signer = Signer::new(credentials);
    let signing = Signing {
        method: "POST",
        path: CONVERSE,
        query: "",
        headers: &[("host", "bedrock-runtime.us-east-1.amazonaws.com"), ("content-type", "application/json")],
        body_sha256: EMPTY_SHA256,
        region: "us-east-1",
        service: "bedrock",
    };
    let now = SystemTime::now();
    signer.sign(&signing, now)?;
    criterion.bench_function("sign", |bencher| bencher.iter(|| signer.sign(black_box(&signing), now)));
    Ok(())
}

fn verify(criterion: &mut Criterion) -> anyhow::Result<()> {
    tollgate::server::install_crypto();
    let now = SystemTime::now();
    let ec = DevelopmentIssuer::generate()?;
    let (rsa_token, rsa_key_set) = rsa(now)?;
    let ec_token = ec.mint(ISSUER, AUDIENCE, "acme", "bench", Duration::from_secs(3600), now);
    for (name, token, key_set) in [("ES256", ec_token, ec.key_set_json()), ("RS256", rsa_token, rsa_key_set)] {
        let key_sets = Arc::new(KeySets::new());
        key_sets.store("bench", KeySet::parse(key_set.as_bytes())?.0);
        let issuers = BTreeMap::from([("bench".to_owned(), issuer())]);
        let with_cache = |cache| Authenticator::new(&issuers, key_sets.clone(), Arc::new(cache));

        let authenticator = with_cache(TokenCache::default());
        authenticator.authenticate_token(&token, now)?;
        criterion.bench_function(&format!("verify {name}, cached"), |bencher| {
            bencher.iter(|| authenticator.authenticate_token(black_box(&token), now));
        });
        criterion.bench_function(&format!("verify {name}"), |bencher| {
            let fresh = || with_cache(TokenCache::new(1));
            bencher.iter_batched_ref(fresh, |a| a.authenticate_token(black_box(&token), now), BatchSize::SmallInput);
        });
    }
    Ok(())
}

#[allow(clippy::expect_used)]
fn issuer() -> Issuer {
    Issuer {
        issuer: ISSUER.to_owned(),
        audiences: vec![AUDIENCE.to_owned()],
        algorithms: vec![Algorithm::RS256, Algorithm::ES256],
        tenant_claim: "tenant".to_owned(),
        key_set: KeySetSource::File("keys.json".into()),
        key_set_refresh_seconds: 300,
        token_lifetime_seconds_max: 86_400,
        leeway_seconds: 60,
        ..toml::from_str("issuer = \"\"\naudiences = []").expect("an issuer")
    }
}

/// A token signed with RS256, and the key set that verifies it.
fn rsa(now: SystemTime) -> anyhow::Result<(String, String)> {
    let key = RsaKeyPair::generate(KeySize::Rsa2048)?;
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({ "kty": "RSA", "use": "sig", "kid": "rsa", "n": encoded(&public.n), "e": encoded(&public.e) });
    let issued = now.duration_since(UNIX_EPOCH)?.as_secs();
    let header = json!({ "alg": "RS256", "kid": "rsa" }).to_string();
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "bench", "tenant": "acme", "iat": issued, "exp": issued + 3600,
    });
    let signed = format!("{}.{}", encoded(header.as_bytes()), encoded(claims.to_string().as_bytes()));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)?;
    Ok((format!("{signed}.{}", encoded(&signature)), json!({ "keys": [jwk] }).to_string()))
}

/// Writes an event.
fn event(kind: &'static str, payload: String, stream: &mut Vec<u8>) -> anyhow::Result<()> {
    let header = |name: &str, value: &'static str| Header::new(name.to_owned(), HeaderValue::String(value.into()));
    let headers =
        vec![header(":event-type", kind), header(":content-type", "application/json"), header(":message-type", "event")];
    Ok(write_message_to(&Message::new_from_parts(headers, payload), stream)?)
}

const DELTA: &str = r#"{"contentBlockIndex":0,"delta":{"text":"twenty-four characters.."},"p":"abcdefghijklm"}"#;

/// 50 events and the last one, each a piece of its own.
fn read_usage(criterion: &mut Criterion) -> anyhow::Result<()> {
    const CLAUDE: &str =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"twenty-four characters.."}}"#;
    const METRICS: &str =
        r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":7,"outputTokenCount":9}}"#;
    let wrapped = |inner: &str| json!({"bytes": STANDARD.encode(inner), "p": "abcdefghijklmnopqrstuvwx"}).to_string();
    let headers = HeaderMap::from_iter([(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/vnd.amazon.eventstream"),
    )]);
    for (name, kind, delta, last) in [
        ("ConverseStream", "contentBlockDelta", DELTA.to_owned(), r#"{"usage":{"inputTokens":7,"outputTokens":9}}"#.to_owned()),
        ("InvokeModelWithResponseStream", "chunk", wrapped(CLAUDE), wrapped(METRICS)),
    ] {
        let operation = operations().iter().find(|operation| operation.name == name).context(name)?;
        let mut pieces = vec![Vec::new(); 51];
        let (end, deltas) = pieces.split_last_mut().context("no pieces")?;
        deltas.iter_mut().try_for_each(|piece| event(kind, delta.clone(), piece))?;
        event(if kind == "chunk" { kind } else { "metadata" }, last, end)?;
        criterion.bench_function(&format!("usage of {name}, 50 events"), |bencher| {
            bencher.iter(|| {
                let mut reader = UsageReader::for_answer(operation, None, StatusCode::OK, &headers);
                black_box(&pieces).iter().for_each(|piece| reader.chunk(piece));
                reader.end();
                assert!(reader.reading().complete);
            });
        });
    }
    Ok(())
}

/// A prompt of a kilobyte, and one of a megabyte.
fn read_ask(criterion: &mut Criterion) -> anyhow::Result<()> {
    let operation = operations().iter().find(|operation| operation.name == "Converse").context("Converse")?;
    for (name, words) in [("ask, 1 KB", 20), ("ask, 1 MB", 22_000)] {
        let text = "The quick brown fox jumps over the lazy dog, 42. ".repeat(words);
        let body = json!({"messages": [{"role": "user", "content": [{"text": text}]}], "inferenceConfig": {"maxTokens": 512}});
        let pieces = [Bytes::from(body.to_string())];
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| assert_eq!(Asked::read(operation, None, black_box(&pieces)).max_tokens, Some(512)));
        });
    }
    Ok(())
}

fn decode_event_stream(criterion: &mut Criterion) -> anyhow::Result<()> {
    let mut stream = Vec::new();
    for _ in 0..50 {
        event("contentBlockDelta", DELTA.to_owned(), &mut stream)?;
    }
    criterion.bench_function("decode 50 events", |bencher| {
        bencher.iter(|| {
            let (mut decoder, mut rest, mut events) = (MessageFrameDecoder::new(), black_box(&stream[..]), 0);
            while let Ok(DecodedFrame::Complete(message)) = decoder.decode_frame(&mut rest) {
                black_box(message);
                events += 1;
            }
            assert_eq!(events, 50);
        });
    });
    Ok(())
}

fn route(criterion: &mut Criterion) -> anyhow::Result<()> {
    let overrides = Overrides {
        host_suffixes: vec!["us-east-1.amazonaws.com".to_owned(), "us-east-1.api.aws".to_owned()],
        endpoint_prefix_header: false,
        surface_service: Service::BedrockRuntime,
    };
    let head = Head { method: "POST", host: Some("gateway.example.com:8443"), ..Head::default() };
    let arn = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc123/converse-stream";
    for (name, path) in [("route Converse", CONVERSE), ("route an ARN", arn), ("route nowhere", "/wp-login.php")] {
        RawPath::parse(path.as_bytes()).context(name)?;
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                let path = RawPath::parse(black_box(path.as_bytes())).ok()?;
                routing::route(&head, path, &overrides).ok()
            });
        });
    }
    Ok(())
}

fn check_head(criterion: &mut Criterion) {
    let token = "x".repeat(800);
    let text = format!(
        "POST {CONVERSE} HTTP/1.1\r\nHost: gateway.example.com:8443\r\nAccept-Encoding: identity\r\n\
         Content-Type: application/json\r\nUser-Agent: Boto3/1.43.0 md/Botocore#1.43.0 ua/2.1 os/linux lang/python\r\n\
         amz-sdk-invocation-id: 5e1b8a1e-7c1c-4f0e-9d6e-0d4a3a5f1c11\r\namz-sdk-request: attempt=1; max=5\r\n\
         Authorization: Bearer {token}\r\nContent-Length: 1000\r\n\r\n"
    );
    assert_eq!(head::check_http1(text.as_bytes(), 32_768), Ok(()));
    criterion.bench_function("check a head", |bencher| bencher.iter(|| head::check_http1(black_box(text.as_bytes()), 32_768)));
}

/// Four limits, and 100 other requests that are open.
fn reserve_and_settle(criterion: &mut Criterion) -> anyhow::Result<()> {
    let config = config::parse(QUOTAS, Path::new("bench.toml")).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let quotas = Quotas::new(config.tenants.get("acme").context("no tenant")?, &config.account);
    let account = Accounts::default().of("acme");
    let model = "anthropic.claude-3-haiku-20240307-v1:0";
    let ask = Ask {
        request: Uuid::nil(),
        model,
        input_tokens: 900,
        output_tokens: 4_096,
        burndown_factor: 5,
        cost: NanoUsd(5_345_000),
    };
    let usage = Usage { input_tokens: 850, output_tokens: 120, ..Usage::default() };
    let open: Vec<_> = (0..100).map(|_| account.reserve(&quotas, &ask, &Now::read())).collect::<Result<_, _>>()?;
    criterion.bench_function("reserve and settle, four limits", |bencher| {
        bencher.iter_batched(
            Now::read,
            |now| {
                account
                    .reserve(&quotas, &ask, &now)
                    .map(|grant| grant.reservation.settle(&Spent::request(usage, NanoUsd(362_500)), &now))
            },
            BatchSize::SmallInput,
        )
    });
    drop(open);
    Ok(())
}
