//! Credentials for a token: what is answered, to whom, and what it is good for.

use std::time::{Duration, SystemTime};

use http::Request;
use serde_json::json;
use tollgate::auth::key_ring::{new_access_key, new_api_key};

use crate::{
    client::{Client, Upload, post_upload, with},
    harness::{CONVERSE, MODEL, Settings, World},
    signed::{holder, sealing_keys, signer_of, with_keys},
    signing::{Message, Signer, credentials_request, vend},
};

const WHOAMI: &str = "Action=GetCallerIdentity&Version=2011-06-15";

/// Keys of 32 bytes, each its own.
pub const SEALING_KEYS: [(&str, &str); 2] = [
    ("sealing-a", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="),
    ("sealing-b", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="),
];

/// Vending under these keys, the first of which seals.
pub fn vending(keys: &[&str], more: &str) -> Settings {
    let keys: Vec<String> =
        keys.iter().map(|key| format!("{{ id = \"{key}\", secret = {{ file = \"sealing-{key}\" }} }}")).collect();
    Settings {
        sections: format!("[vending]\nsealing_keys = [{}]\n{more}\n", keys.join(", ")),
        files: SEALING_KEYS.map(|(name, key)| (name, key.to_owned())).to_vec(),
        ..Settings::default()
    }
}

/// Nobody's token in the connection.
pub async fn bare(world: &World) -> Client {
    let mut client = world.h1().await;
    client.authorization.clear();
    client
}

fn sts(form: &str) -> Request<Upload> {
    let mut request = post_upload("/sts", Upload::whole(form.to_owned().into()));
    request.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    request
}

fn assume_role(token: &str) -> String {
    format!(
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fany\
         &RoleSessionName=session-1&WebIdentityToken={token}"
    )
}

fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let after = xml.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {xml}")).1;
    after.split_once(&format!("</{name}>")).unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn container_credentials_sign_requests_to_every_service() {
    let world = World::with(vending(&["a"], "")).await;
    let mut client = bare(&world).await;
    let token = world.token("acme");
    // SDKs send the token as they were given it; EKS's has no scheme.
    for authorization in [token.clone(), format!("Bearer {token}")] {
        let answer = client.ask(credentials_request(&authorization)).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
        assert_eq!((answer.header("cache-control"), answer.header("x-tollgate-source")), ("no-store", "gateway"));
        let json = answer.json();
        assert_eq!(json["AccessKeyId"].as_str().unwrap().len(), 20);
        // Not longer than the token, which lives for 600 s.
        let expiration: jiff::Timestamp = json["Expiration"].as_str().unwrap().parse().unwrap();
        let left = expiration.duration_since(jiff::Timestamp::now()).as_secs();
        assert!((500..=600).contains(&left), "{left}");
    }
    let signer = vend(&mut client, &token).await;
    for announces_hash in [false, true] {
        let signer = Signer { announces_hash, ..signer.clone() };
        client.ask(signer.sign(Message::post(CONVERSE, "{}")).request()).await.assert_served();
        client.ask(signer.sign(Message::get("/foundation-models?byProvider=a%20b&a=1")).request()).await.assert_served();
        client.ask(signer.sign(Message::get("/bedrock/foundation-models")).request()).await.assert_served();
        client.ask(signer.sign(Message::post("/agents/", "{}")).request()).await.assert_served();
        let agentcore = Signer { service: "bedrock-agentcore", ..signer.clone() };
        client.ask(agentcore.sign(Message::get("/gateways/")).request()).await.assert_served();
        let chat = json!({"model": MODEL, "messages": []}).to_string();
        client.ask(signer.sign(Message::post("/openai/v1/chat/completions", &chat)).request()).await.assert_served();
        let mantle = Signer { service: "bedrock-mantle", ..signer };
        client.ask(mantle.sign(Message::post("/bedrock-mantle/v1/chat/completions", &chat)).request()).await.assert_served();
    }
    let lines = world.log_lines(17).await;
    let vended = &lines[0];
    assert_eq!((&vended["operation"], &vended["service"]), (&json!("VendCredentials"), &json!("none")));
    assert_eq!((&vended["tenant"], &vended["status"], &vended["outcome"]), (&json!("acme"), &json!(200), &json!("completed")));
    assert_eq!((&vended["credential"], &vended["source"]), (&json!("token"), &json!("gateway")));
    let served = &lines[4];
    assert_eq!((&served["principal"], &served["issuer"]), (&json!("user-1"), &json!("test")));
    assert_eq!((&served["credential"], served["key_id"].as_str().map(str::len)), (&json!("session"), Some(20)));
    let log = format!("{lines:?}");
    for secret in [token, signer.secret_access_key, signer.session_token.unwrap()] {
        assert!(!log.contains(&secret));
    }
}

/// A request to each of the eight services that SDKs know, to mantle and to both surfaces: what it is signed for, and who gets it.
fn one_of_each_service() -> Vec<(Message, &'static str, &'static str)> {
    let chat = json!({"model": MODEL, "messages": [], "max_tokens": 1}).to_string();
    let target = "AmazonBedrockKeystoneRuntimeService.GetDataAutomationStatus";
    vec![
        (Message::post(CONVERSE, "{}"), "bedrock", "bedrock-runtime"),
        (Message::get("/foundation-models"), "bedrock", "bedrock"),
        (Message::post("/agents/", "{}"), "bedrock", "bedrock-agent"),
        (Message::post("/knowledgebases/ABCDEFGHIJ/retrieve", "{}"), "bedrock", "bedrock-agent-runtime"),
        (Message::post("/code-interpreters/abc/tools/invoke", "{}"), "bedrock-agentcore", "bedrock-agentcore"),
        (Message::get("/gateways/"), "bedrock-agentcore", "bedrock-agentcore-control"),
        (Message::post("/blueprints/", "{}"), "bedrock", "bedrock-data-automation"),
        (Message::post("/", "{}").with("x-amz-target", target), "bedrock", "bedrock-data-automation-runtime"),
        (Message::post("/bedrock-mantle/v1/chat/completions", &chat), "bedrock-mantle", "bedrock-mantle"),
        (Message::post("/openai/v1/chat/completions", &chat), "bedrock", "bedrock-runtime"),
        (Message::post("/anthropic/v1/messages", &chat), "bedrock", "bedrock-runtime"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_in_is_good_for_every_service_and_surface() {
    let world = World::with(vending(&["a"], "")).await;
    let mut client = bare(&world).await;
    let token = world.token("acme");
    let signer = vend(&mut client, &token).await;
    let placeholder = Signer::new("placeholder", "placeholder", Some(&token));
    for (message, signing_name, service) in one_of_each_service() {
        let signed_by = |signer: &Signer| Signer { service: signing_name, ..signer.clone() }.sign(message.clone());
        let ways = [
            ("bearer", message.clone().with("authorization", &format!("Bearer {token}"))),
            ("x-api-key", message.clone().with("x-api-key", &token)),
            ("session token", signed_by(&placeholder)),
            ("vended", signed_by(&signer)),
        ];
        for (way, message) in ways {
            let answer = client.ask(message.request()).await;
            assert_eq!(answer.status, 200, "{way}: {} {service}: {}", message.target, String::from_utf8_lossy(&answer.body));
            assert_eq!(answer.header("x-simulator-service"), service, "{way}: {}", message.target);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sts_answers_as_sts_does() {
    let world = World::with(vending(&["a"], "")).await;
    let mut client = bare(&world).await;
    let answer = client.ask(sts(&assume_role(&world.token("acme")))).await;
    let xml = String::from_utf8(answer.body.to_vec()).unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/xml"), "{xml}");
    assert!(xml.starts_with("<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"));
    assert_eq!(element(&xml, "SubjectFromWebIdentityToken"), "user-1");
    assert_eq!(element(&xml, "Arn"), "arn:aws:sts::123456789012:assumed-role/any/session-1");
    let signer = Signer::new(element(&xml, "AccessKeyId"), element(&xml, "SecretAccessKey"), Some(element(&xml, "SessionToken")));
    client.ask(signer.sign(Message::post(CONVERSE, "{}")).request()).await.assert_served();
    world.until_sum("tollgate_requests_total", &["operation=\"AssumeRoleWithWebIdentity\"", "service=\"sts\""], 1.0).await;
    // The Java SDK posts its form to the root, whatever the path of the endpoint.
    let mut at_root = sts(&assume_role(&world.token("acme")));
    *at_root.uri_mut() = "/".parse().unwrap();
    at_root.headers_mut().insert("content-type", "application/x-www-form-urlencoded; charset=utf-8".parse().unwrap());
    assert_eq!(client.ask(at_root).await.status, 200);
    client.post("/", "{}").await.assert_refused(403, "MissingAuthenticationTokenException");

    let expired = world.issuer.mint(
        "https://issuer.example",
        "gateway",
        "acme",
        "user-1",
        Duration::from_secs(60),
        SystemTime::now() - Duration::from_secs(600),
    );
    let token = world.token("acme");
    for (request, status, code) in [
        (sts(&assume_role("a.b.c")), 400, "InvalidIdentityToken"),
        (sts(&assume_role(&signer.session_token.clone().unwrap())), 400, "InvalidIdentityToken"),
        (sts(&assume_role(&expired)), 400, "ExpiredTokenException"),
        (sts(&assume_role(&world.token("nobody"))), 403, "AccessDenied"),
        (sts(&assume_role(&token).replace("AssumeRoleWithWebIdentity", "AssumeRole")), 400, "InvalidAction"),
        (sts(&assume_role(&token).replace("RoleArn", "Role")), 400, "ValidationError"),
        (sts(&format!("{}&WebIdentityToken={token}", assume_role(&token))), 400, "ValidationError"),
        (sts(&format!("x={}", "y".repeat(40_000))), 413, "ValidationError"),
        (Request::builder().uri("/sts/").body(Upload::none()).unwrap(), 405, "ValidationError"),
    ] {
        let answer = client.ask(request).await;
        let xml = String::from_utf8(answer.body.to_vec()).unwrap();
        assert_eq!((answer.status, element(&xml, "Code")), (status, code), "{xml}");
        assert_eq!((element(&xml, "Type"), element(&xml, "RequestId")), ("Sender", answer.header("x-amzn-requestid")));
        assert_eq!(answer.header("allow"), if status == 405 { "POST" } else { "" });
    }
}

/// GetCallerIdentity, signed as `aws sts get-caller-identity` does.
fn whoami(signer: &Signer) -> Message {
    let form = Message::post("/sts", WHOAMI).replacing("content-type", |_| "application/x-www-form-urlencoded".to_owned());
    Signer { service: "sts", ..signer.clone() }.sign(form)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_are_told_who_they_are() {
    let batch = holder("globex", Some("nightly batch"), None);
    let (key, api) = (new_access_key(&batch, &sealing_keys("a")).unwrap(), new_api_key(&batch).unwrap());
    let world = World::with(with_keys(&format!("{}\n{}", key.entry, api.entry))).await;
    let mut client = bare(&world).await;
    let token = world.token("acme");
    let session = vend(&mut client, &token).await;
    let announcing = Signer { announces_hash: true, ..session.clone() };
    let bearer = |token: &str| with(sts(WHOAMI), "authorization", &format!("Bearer {token}"));
    let placeholders = Signer::new("placeholder", "placeholder", Some(&token));
    for (request, role, id) in [
        (bearer(&token), "acme/user-1", "test:user-1"),
        (whoami(&placeholders).request(), "acme/user-1", "test:user-1"),
        (whoami(&session).request(), "acme/user-1", "test:user-1"),
        (whoami(&announcing).request(), "acme/user-1", "test:user-1"),
        (whoami(&signer_of(&key)).request(), "globex/nightly-batch", "keys file:nightly batch"),
        (bearer(secrecy::ExposeSecret::expose_secret(&api.secret)), "globex/nightly-batch", "keys file:nightly batch"),
    ] {
        let answer = client.ask(request).await;
        let xml = String::from_utf8(answer.body.to_vec()).unwrap();
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/xml"), "{xml}");
        assert!(xml.starts_with("<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"));
        assert_eq!(element(&xml, "Arn"), format!("arn:aws:sts::000000000000:assumed-role/{role}"));
        assert_eq!((element(&xml, "UserId"), element(&xml, "Account")), (id, "000000000000"));
    }
    world.until_sum("tollgate_requests_total", &["operation=\"GetCallerIdentity\"", "tenant=\"globex\""], 2.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_be_identified_is_told_why_in_the_words_of_sts() {
    let world = World::with(vending(&["a"], "")).await;
    let mut client = bare(&world).await;
    let session = vend(&mut client, &world.token("acme")).await;
    let forger = Signer { secret_access_key: "guessed".to_owned(), ..session.clone() };
    let unknown = Signer { session_token: Some("tgs_x".to_owned()), ..session.clone() };
    let for_bedrock = session.sign(Message::post("/sts", WHOAMI));
    let late = Signer { seconds_ahead: -600, ..session.clone() };
    let changed = Message { body: format!("{WHOAMI}&x=1").into_bytes(), ..whoami(&session) };
    let bearer = |token: &str| with(sts(WHOAMI), "authorization", &format!("Bearer {token}"));
    for (request, status, code) in [
        (sts(WHOAMI), 403, "MissingAuthenticationToken"),
        (whoami(&Signer::new("placeholder", "placeholder", None)).request(), 403, "MissingAuthenticationToken"),
        (bearer("a.b.c"), 403, "InvalidClientTokenId"),
        (bearer(&world.token("nobody")), 403, "AccessDenied"),
        (whoami(&unknown).request(), 403, "InvalidClientTokenId"),
        (whoami(&forger).request(), 403, "SignatureDoesNotMatch"),
        (for_bedrock.request(), 403, "SignatureDoesNotMatch"),
        (whoami(&late).request(), 403, "SignatureDoesNotMatch"),
        (changed.request(), 403, "SignatureDoesNotMatch"),
    ] {
        let answer = client.ask(request).await;
        let xml = String::from_utf8(answer.body.to_vec()).unwrap();
        assert_eq!((answer.status, element(&xml, "Code")), (status, code), "{xml}");
    }
    // What is signed for STS is for nothing else.
    let elsewhere = Signer { service: "sts", ..session }.sign(Message::post(CONVERSE, "{}"));
    client.ask(elsewhere.request()).await.assert_refused(403, "InvalidSignatureException");
    assert_eq!(world.served_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_for_good_tokens_only() {
    let world = World::with(vending(&["a"], "")).await;
    let mut client = bare(&world).await;
    let token = world.token("acme");
    let signer = vend(&mut client, &token).await;
    let get = |target: &str| Request::builder().uri(target).body(Upload::none()).unwrap();
    for (request, status, code) in [
        (get("/credentials"), 403, "MissingAuthenticationTokenException"),
        (credentials_request("a.b.c"), 403, "UnrecognizedClientException"),
        (credentials_request(&token[..token.len() - 4]), 403, "UnrecognizedClientException"),
        (credentials_request(&format!("Basic {token}")), 403, "UnrecognizedClientException"),
        (credentials_request(&world.token("nobody")), 403, "AccessDeniedException"),
        (credentials_request(&signer.session_token.clone().unwrap()), 403, "UnrecognizedClientException"),
        (with(credentials_request(&token), "authorization", &token), 403, "UnrecognizedClientException"),
        (get(&format!("/credentials?access_token={token}")), 400, "ValidationException"),
        (with(post_upload("/credentials", Upload::none()), "authorization", &token), 405, "ValidationException"),
        (signer.sign(Message::get("/credentials")).request(), 403, "UnrecognizedClientException"),
    ] {
        let answer = client.ask(request).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{answer:?}");
        assert!(answer.json()["message"].as_str().is_some_and(|text| !text.is_empty()));
        assert_eq!(answer.header("allow"), if status == 405 { "GET" } else { "" });
    }
    assert_eq!(world.served_count(), 0);
    // Who does not vend has no such paths.
    let plain = World::start().await;
    let mut client = plain.h1().await;
    client.get("/credentials").await.assert_refused(404, "UnknownOperationException");
    client.post("/sts", "").await.assert_refused(404, "UnknownOperationException");
}
