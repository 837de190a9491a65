//! Certificates as principals: who calls over a connection with one, and what becomes of tokens beside it.

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::SystemTime};

use http::Request;
use rcgen::{CertificateParams, DnType, SanType};
use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    client::{Client, Upload, post, with},
    harness::{CONVERSE, INVOKE, MODEL, Settings, World, within},
    signing::{Message, Signer, credentials_request, vend},
    tls::{Authority, connect, handshake},
    vending::vending,
};

const BY_URI: &str = "[[listeners.tls.client_principals]]\nname = \"uri\"\ntenant_prefix = \"spiffe://corp/ns/\"\n";
const BY_NAME: &str = "[[listeners.tls.client_principals]]\nname = \"common-name\"\n";

/// A third listener that asks for certificates, and these lines in its `tls`.
fn settings(authority: &Authority, tls: &str, rules: &str) -> Settings {
    let keys = authority.serve("server", &["localhost"]);
    let ca = authority.directory.path().join("ca.pem");
    let listener =
        format!("[[listeners]]\naddress = \"127.0.0.1:0\"\n[listeners.tls]\n{keys}client_ca_file = {ca:?}\n{tls}\n{rules}\n");
    let vending = vending(&["a"], "");
    Settings { sections: listener + &vending.sections, ..vending }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names.push(SanType::URI(format!("spiffe://corp/ns/{name}/sa/web").try_into().unwrap()));
    params
}

/// A client with a certificate and without a token.
async fn h1(world: &World, config: &Arc<ClientConfig>) -> Client {
    let stream = connect(world.gateway.traffic[2], config, "localhost").await.unwrap();
    Client::http1(stream, String::new()).await.unwrap()
}

async fn h2(world: &World, config: &Arc<ClientConfig>) -> Client {
    let mut config = ClientConfig::clone(config);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = connect(world.gateway.traffic[2], &Arc::new(config), "localhost").await.unwrap();
    Client::http2(stream, String::new()).await.unwrap()
}

fn who(line: &Value) -> [&Value; 4] {
    ["tenant", "principal", "issuer", "credential"].map(|field| &line[field])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_alone_says_who_calls() {
    let authority = Authority::new();
    let world = World::with(settings(&authority, "", BY_URI)).await;
    let acme = authority.client_with(&authority, named("acme"));
    let globex = authority.client_with(&authority, named("globex"));
    h1(&world, &acme).await.post(CONVERSE, "{}").await.assert_served();
    let mut many = h2(&world, &globex).await;
    for _ in 0..20 {
        many.post(CONVERSE, "{}").await.assert_served();
    }
    // SDKs that have no credentials at all sign with placeholders.
    let placeholders = Signer::new("placeholder", "placeholder", None);
    let signed = placeholders.sign(Message::post(CONVERSE, "{}")).request();
    h1(&world, &acme).await.ask(signed).await.assert_served();
    let lines = world.log_lines(22).await;
    for (line, tenant) in lines.iter().zip([vec!["acme"], vec!["globex"; 20], vec!["acme"]].concat()) {
        let principal = format!("spiffe://corp/ns/{tenant}/sa/web");
        assert_eq!(who(line), [&json!(tenant), &json!(principal), &json!("client certificate"), &json!("certificate")]);
        assert_eq!((line["key_id"].as_str().unwrap().len(), &line["client_certificate"]), (64, &json!(principal)));
    }
    for (params, reason) in [(named("nobody"), "tenant_unknown"), (CertificateParams::default(), "certificate_tenant_none")] {
        let mut client = h1(&world, &authority.client_with(&authority, params)).await;
        assert_eq!(client.post(CONVERSE, "{}").await.status, 403);
        world.until_sum("tollgate_denials_total", &[&format!("reason=\"{reason}\"")], 1.0).await;
    }
    // The other listeners ask for no certificate, and for a token.
    let mut bare = world.h1().await;
    bare.authorization.clear();
    bare.post(CONVERSE, "{}").await.assert_refused(403, "MissingAuthenticationTokenException");
    assert_eq!(world.served_count(), 22);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_another_tenant_gets_nothing_over_the_connection() {
    let authority = Authority::new();
    let world = World::with(settings(&authority, "", BY_NAME)).await;
    let acme = authority.client_with(&authority, named("acme"));
    let (own, other) = (world.token("acme"), world.token("globex"));
    let mut elsewhere = world.h1().await;
    let (own_keys, other_keys) = (vend(&mut elsewhere, &own).await, vend(&mut elsewhere, &other).await);
    let announced = Signer { announces_hash: true, ..other_keys.clone() };
    let whoami = "Action=GetCallerIdentity&Version=2011-06-15";
    for mut client in [h1(&world, &acme).await, h2(&world, &acme).await] {
        let bearer = |token: &str| with(post(CONVERSE, "{}"), "authorization", &format!("Bearer {token}"));
        client.ask(bearer(&own)).await.assert_served();
        client.ask(own_keys.sign(Message::post(CONVERSE, "{}")).request()).await.assert_served();
        for refused in [
            bearer(&other),
            with(post("/openai/v1/chat/completions", "{}"), "x-api-key", &other),
            other_keys.sign(Message::post(CONVERSE, "{}")).request(),
            announced.sign(Message::post(CONVERSE, "{}")).request(),
            credentials_request(&other),
            with(post("/sts", whoami), "authorization", &format!("Bearer {other}")),
        ] {
            let answer = client.ask(refused).await;
            assert!(matches!(answer.status, 401 | 403), "{answer:?}");
            assert!(String::from_utf8_lossy(&answer.body).contains("of different tenants"), "{answer:?}");
        }
        assert_eq!(client.ask(credentials_request(&own)).await.status, 200);
        let answer = client.post("/sts", whoami).await;
        assert!(String::from_utf8_lossy(&answer.body).contains(":assumed-role/acme/acme</Arn>"), "{answer:?}");
        assert!(client.get("/v1/usage").await.json()["tenant"] == json!("acme"));
    }
    assert_eq!(world.served_count(), 4);

    // Whoever calls for others has a certificate of its own.
    let world = World::with(settings(&authority, "client_token = \"decides\"", BY_NAME)).await;
    let mut mesh = h2(&world, &acme).await;
    for (tenant, principal) in [("globex", "user-1"), ("acme", "user-1")] {
        mesh.ask(with(post(CONVERSE, "{}"), "authorization", &world.bearer(tenant))).await.assert_served();
        let line = world.log_lines(1).await.pop().unwrap();
        assert!(line["principal"] == json!(principal) && line["client_certificate"] == json!("spiffe://corp/ns/acme/sa/web"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_decides_anew_for_connections_that_are_open() {
    let authority = Authority::new();
    let by_uri = settings(&authority, "", BY_URI);
    let world = World::with(by_uri.clone()).await;
    let mut params = named("acme");
    params.distinguished_name.push(DnType::CommonName, "globex");
    let mut client = h2(&world, &authority.client_with(&authority, params)).await;
    client.post(CONVERSE, "{}").await.assert_served();
    assert!(world.reload(&settings(&authority, "", BY_NAME)).await);
    client.post(CONVERSE, "{}").await.assert_served();
    let lines = world.log_lines(2).await;
    assert_eq!((&lines[0]["tenant"], &lines[1]["tenant"]), (&json!("acme"), &json!("globex")));

    // The authority is replaced, in the same file: the certificate that opened the connection is worth nothing any more.
    let next = Authority::new();
    let file = authority.directory.path().join("ca.pem");
    let old = fs::read(&file).unwrap();
    fs::write(&file, fs::read(next.directory.path().join("ca.pem")).unwrap()).unwrap();
    assert!(world.gateway.reload().await);
    client.post(CONVERSE, "{}").await.assert_refused(403, "UnrecognizedClientException");
    world.until_sum("tollgate_denials_total", &["reason=\"certificate_distrusted\""], 1.0).await;
    // Both are trusted while clients are moved from one to the other, and no request is refused.
    fs::write(&file, [old, fs::read(next.directory.path().join("ca.pem")).unwrap()].concat()).unwrap();
    assert!(world.gateway.reload().await);
    client.post(CONVERSE, "{}").await.assert_served();
    h1(&world, &authority.client_with(&next, named("acme"))).await.post(CONVERSE, "{}").await.assert_served();
    // Where certificates stand for nobody, only tokens do.
    assert!(world.reload(&settings(&authority, "", "")).await);
    client.post(CONVERSE, "{}").await.assert_refused(403, "MissingAuthenticationTokenException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_connection_serves_for_as_long_as_it_would_be_let_in() {
    let authority = Authority::new();
    let file = authority.directory.path().join("ca.pem");
    let old = fs::read(&file).unwrap();
    let acme = authority.client_with(&authority, named("acme"));
    let whoami = "Action=GetCallerIdentity&Version=2011-06-15";
    for (tls, rules) in [("", ""), ("client_token = \"decides\"", BY_NAME), ("", BY_NAME)] {
        let world = World::with(settings(&authority, tls, rules)).await;
        let (token, bearer) = (world.token("acme"), world.bearer("acme"));
        let asked = |request| with(request, "authorization", &bearer);
        let (mut first, mut second) = (h1(&world, &acme).await, h2(&world, &acme).await);
        for client in [&mut first, &mut second] {
            client.ask(asked(post(CONVERSE, "{}"))).await.assert_served();
        }
        let next = Authority::new();
        fs::write(&file, fs::read(next.directory.path().join("ca.pem")).unwrap()).unwrap();
        assert!(world.gateway.reload().await);
        for client in [&mut first, &mut second] {
            let usage = Request::builder().uri("/v1/usage").body(Upload::none()).unwrap();
            let refused = [asked(post(CONVERSE, "{}")), credentials_request(&token), asked(post("/sts", whoami)), asked(usage)];
            for request in refused {
                let answer = client.ask(request).await;
                assert!(matches!(answer.status, 401 | 403), "{tls} {rules}: {answer:?}");
                assert!(String::from_utf8_lossy(&answer.body).contains("not trusted any more"), "{answer:?}");
            }
        }
        world.until_sum("tollgate_denials_total", &["reason=\"certificate_distrusted\""], 8.0).await;
        fs::write(&file, &old).unwrap();
        assert!(world.gateway.reload().await);
        first.ask(asked(post(CONVERSE, "{}"))).await.assert_served();
    }

    // One that showed none lasts until one is required.
    let required = settings(&authority, "", BY_NAME);
    let optional = settings(&authority, "client_certificates = \"optional\"", BY_NAME);
    let asks_none = required.sections.replacen(&format!("client_ca_file = {file:?}\n"), "", 1).replacen(BY_NAME, "", 1);
    let world = World::with(Settings { sections: asks_none, ..required.clone() }).await;
    let request = || with(post(CONVERSE, "{}"), "authorization", &world.bearer("acme"));
    let (mut first, mut second) = (h1(&world, &authority.client()).await, h2(&world, &authority.client()).await);
    for (settings, served) in [(&optional, true), (&required, false), (&optional, true)] {
        assert!(world.reload(settings).await);
        for client in [&mut first, &mut second] {
            let answer = client.ask(request()).await;
            if served { answer.assert_served() } else { answer.assert_refused(403, "UnrecognizedClientException") }
        }
    }
    world.until_sum("tollgate_denials_total", &["reason=\"certificate_distrusted\""], 2.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_in_order_with_its_certificate() {
    let authority = Authority::new();
    let world = World::with(settings(&authority, "", BY_URI)).await;
    let mut params = named("acme");
    // Whole seconds are what certificates have.
    params.not_after = (SystemTime::now() + std::time::Duration::from_secs(3)).into();
    let config = authority.client_with(&authority, params);
    let mut stream = connect(world.gateway.traffic[2], &config, "localhost").await.unwrap();
    let request = format!("POST {INVOKE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{{}}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Nobody asks for the end but the certificate: without it the idle connection would last for a minute.
    let _ = within(stream.read_to_end(&mut answer)).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    assert!(connect(world.gateway.traffic[2], &config, "localhost").await.is_err() || ended(&world, &config).await);
}

/// With TLS 1.3 a client learns with its first read that its certificate was refused.
async fn ended(world: &World, config: &Arc<ClientConfig>) -> bool {
    let mut stream = connect(world.gateway.traffic[2], config, "localhost").await.unwrap();
    within(stream.read(&mut [0])).await.map_or(true, |length| length == 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_balancer_in_between_changes_nothing() {
    let authority = Authority::new();
    let mut settings = settings(&authority, "", BY_URI);
    let address = "[[listeners]]\naddress = \"127.0.0.1:0\"\n";
    settings.sections = settings.sections.replacen(address, &format!("{address}proxy_protocol_from = [\"127.0.0.1\"]\n"), 1);
    let world = World::with(settings).await;
    let config = authority.client_with(&authority, named("globex"));
    let client = SocketAddr::from(([192, 0, 2, 7], 4_711));
    let mut stream = TcpStream::connect(world.gateway.traffic[2]).await.unwrap();
    stream.write_all(&proxy_header(client)).await.unwrap();
    let stream = handshake(stream, &config, "localhost").await.unwrap();
    Client::http1(stream, String::new()).await.unwrap().post(CONVERSE, "{}").await.assert_served();
    let line = world.log_lines(1).await.remove(0);
    assert_eq!((&line["tenant"], &line["client"]), (&json!("globex"), &json!(client.to_string())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_token_says_what_the_listener_makes_of_a_certificate() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let world = World::with(settings(&authority, "", BY_URI)).await;
    let verify = |signer: &Authority, tenant: &str, token: Option<&str>| {
        let file = authority.directory.path().join("client.pem");
        fs::write(&file, signer.pem(&named(tenant))).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.arg("verify-token").arg("-c").arg(world.config_file()).arg("--certificate").arg(file);
        let output = command.args(token.map(|token| ["--token", token]).into_iter().flatten()).output().unwrap();
        let last = String::from_utf8(output.stdout).unwrap().lines().last().unwrap_or_default().to_owned();
        (output.status.success(), last)
    };
    let (own, other) = (world.token("acme"), world.token("globex"));
    let is = "listener 127.0.0.1:0: tenant acme, subject ";
    for (signer, tenant, token, accepted, says) in [
        (&authority, "acme", None, true, format!("{is}spiffe://corp/ns/acme/sa/web, issuer client certificate, expires ")),
        (&authority, "acme", Some(own.as_str()), true, format!("{is}user-1, issuer test, expires ")),
        (
            &authority,
            "acme",
            Some(&other),
            false,
            "listener 127.0.0.1:0: refused: The client certificate and the token".to_owned(),
        ),
        (&authority, "acme", Some("x"), false, "listener 127.0.0.1:0: refused: The token is not a well-formed JWT".to_owned()),
        (&authority, "a b", None, false, "listener 127.0.0.1:0: refused: The client certificate names no tenant".to_owned()),
        (
            &stranger,
            "acme",
            None,
            false,
            "listener 127.0.0.1:0: refused: The client certificate has expired, or is not".to_owned(),
        ),
    ] {
        let (success, last) = verify(signer, tenant, token);
        assert!(success == accepted && last.starts_with(&says), "{says}: {success}, {last}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_asks_for_whom_a_certificate_is_taken() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let world = World::with(settings(&authority, "", BY_URI)).await;
    let explain = |config: &Path, signer: &Authority, params: &CertificateParams, more: &[&str]| {
        let file = authority.directory.path().join("client.pem");
        fs::write(&file, signer.pem(params)).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.args(["explain", "--model", MODEL, "-c"]).arg(config).arg("--certificate").arg(file);
        let output = command.args(more).output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (output.status.code(), text)
    };
    let (own, other) = (world.token("acme"), world.token("globex"));
    let config = world.config_file();
    let is = "caller     tenant acme, subject ";
    for (signer, tenant, more, code, begins, ends) in [
        (&authority, "acme", &[][..], 0, format!("{is}spiffe://corp/ns/acme/sa/web, issuer client"), "answer     admitted\n"),
        (&authority, "acme", &["--token", &own], 0, format!("{is}user-1, issuer test"), "answer     admitted\n"),
        (&authority, "acme", &["--token", &other], 1, "caller     refused: The client certificate and the token".to_owned(), ""),
        (&stranger, "acme", &[], 1, "caller     refused: The client certificate has expired, or is not".to_owned(), ""),
        (&authority, "nobody", &[], 1, "caller     tenant nobody, ".to_owned(), "Ask its operator to add the tenant.\n"),
    ] {
        let (exit, text) = explain(&config, signer, &named(tenant), more);
        assert!(exit == Some(code) && text.starts_with(&begins) && text.ends_with(ends), "{tenant} {more:?}: {exit:?} {text}");
    }

    // Two listeners, two answers: nobody is guessed.
    let second = settings(&authority, "", BY_NAME).sections;
    let second = second.split("[vending]").next().unwrap().replacen("127.0.0.1:0", "127.0.0.1:8443", 1);
    let both = config.with_file_name("both.toml");
    fs::write(&both, fs::read_to_string(&config).unwrap() + &second).unwrap();
    let mut params = named("acme");
    params.distinguished_name.push(DnType::CommonName, "globex");
    let (exit, text) = explain(&both, &authority, &params, &[]);
    assert!(exit == Some(2) && text.contains("different callers: name one of them, `--listener 127.0.0.1:"), "{exit:?} {text}");
    for (listener, tenant) in [("127.0.0.1:0", "acme"), ("127.0.0.1:8443", "globex")] {
        let (exit, text) = explain(&both, &authority, &params, &["--listener", listener]);
        assert!(exit == Some(0) && text.contains(&format!("\ntenant     {tenant}\n")), "{exit:?} {text}");
    }
    let (exit, text) = explain(&both, &authority, &named("acme"), &[]);
    assert!(exit == Some(2) && text.contains("different callers"), "the subjects differ: {text}");
    let (exit, text) = explain(&config, &authority, &params, &["--listener", "127.0.0.9:1"]);
    assert!(exit == Some(2) && text.contains("certificates stand for nobody on 127.0.0.9:1"), "{text}");
}

/// Version 2, for IPv4: <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>, §2.2.
fn proxy_header(client: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(client) = client else { panic!("IPv4") };
    let (ip, port) = (client.ip().octets(), client.port().to_be_bytes());
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"[..], &ip, &[127, 0, 0, 1], &port, &443u16.to_be_bytes()].concat()
}
