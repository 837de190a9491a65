//! AWS credentials from where the SDK finds them, in a process of its own: what changes there, and what does not answer.

use std::{collections::HashMap, fs, path::PathBuf, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tollgate::simulator::SimulatorKey;

use crate::{
    client::{self, Client},
    harness::{INVOKE, World, rotated_key, until, within},
    process::Process,
};

/// Whatever surrounds this test has no credentials.
const NOWHERE_ELSE: [(&str, &str); 6] = [
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("AWS_CONFIG_FILE", "/dev/null"),
    ("AWS_PROFILE", "default"),
    ("AWS_ACCESS_KEY_ID", ""),
    ("AWS_SECRET_ACCESS_KEY", ""),
    ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
];

/// The world's configuration without credentials.
fn config(world: &World) -> PathBuf {
    let text = world.config_text(&world.settings);
    let (before, rest) = text.split_once("[credentials]").unwrap();
    let (_, after) = rest.split_once("[log]").unwrap();
    let file = world.directory.path().join("of-a-process.toml");
    fs::write(&file, format!("{before}[log]{after}")).unwrap();
    file
}

fn run(world: &World, variables: &[(&str, &str)]) -> Process {
    let variables: HashMap<_, _> = NOWHERE_ELSE.into_iter().chain(variables.iter().copied()).collect();
    Process::with(&config(world), &variables.into_iter().collect::<Vec<_>>())
}

fn profile(key: &SimulatorKey) -> String {
    let SimulatorKey { access_key_id, secret_access_key, session_token, .. } = key;
    let token = session_token.as_deref().map(|token| format!("aws_session_token = {token}\n")).unwrap_or_default();
    format!("[default]\naws_access_key_id = {access_key_id}\naws_secret_access_key = {secret_access_key}\n{token}")
}

/// Waits until the gateway signs with this key.
async fn until_signed_by(key: &SimulatorKey, world: &World, process: &Process) {
    let traffic = process.address("traffic").await;
    let signed = async {
        loop {
            // Where there are no credentials yet, the answer ends the connection.
            let mut client = Client::h1(traffic, world.bearer("acme")).await;
            client.post(INVOKE, "{}").await;
            let last = world.simulator.record().requests().pop();
            if last.and_then(|served| served.access_key_id.clone()).as_ref() == Some(&key.access_key_id) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(signed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_is_read_again_when_it_was_bad_and_at_a_reload() {
    let world = World::start().await;
    let file = world.directory.path().join("aws-credentials");
    fs::write(&file, "[default]\naws_access_key_id = AKIDSIMULATOR\n").unwrap();
    let process = run(&world, &[("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap())]);
    until("it is said that there are none", || process.text().contains("cannot fetch AWS credentials")).await;
    fs::write(&file, profile(&SimulatorKey::for_tests())).unwrap();
    until_signed_by(&SimulatorKey::for_tests(), &world, &process).await;
    fs::write(&file, profile(&rotated_key())).unwrap();
    process.signal("HUP");
    until_signed_by(&rotated_key(), &world, &process).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_asks_again_where_the_first_question_is_not_answered() {
    let world = World::start().await;
    let sts = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let token = world.directory.path().join("web-identity");
    fs::write(&token, "token").unwrap();
    let endpoint = format!("http://{}", sts.local_addr().unwrap());
    let process = run(
        &world,
        &[
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
            ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/gateway"),
            ("AWS_ENDPOINT_URL_STS", &endpoint),
        ],
    );
    let admin = process.address("admin").await;
    let (unanswered, _) = within(sts.accept()).await.unwrap();
    assert_eq!(client::get(admin, "/readyz").await.unwrap().0, 503);
    process.signal("HUP");
    let (stream, _) = within(sts.accept()).await.unwrap();
    within(answer(stream, &SimulatorKey::for_tests())).await;
    until_signed_by(&SimulatorKey::for_tests(), &world, &process).await;
    drop(unanswered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_taken_out_of_the_configuration_sign_on_only_if_there_are_no_others_and_the_reload_says_so() {
    let world = World::start().await;
    let profiles = world.directory.path().join("aws-credentials");
    fs::write(&profiles, "").unwrap();
    let file = config(&world);
    let without = fs::read_to_string(&file).unwrap();
    fs::write(&file, world.config_text(&world.settings)).unwrap();
    let variables = NOWHERE_ELSE.into_iter().chain([("AWS_SHARED_CREDENTIALS_FILE", profiles.to_str().unwrap())]);
    let variables: HashMap<_, _> = variables.collect();
    let process = Process::with(&file, &variables.into_iter().collect::<Vec<_>>());
    until_signed_by(&SimulatorKey::for_tests(), &world, &process).await;

    fs::write(&file, &without).unwrap();
    let refusal = "[credentials] is gone, and elsewhere there are no AWS credentials";
    until("the reload is refused", || process.text().contains(refusal)).await;
    until_signed_by(&SimulatorKey::for_tests(), &world, &process).await;
    fs::write(&profiles, profile(&rotated_key())).unwrap();
    process.signal("HUP");
    until_signed_by(&rotated_key(), &world, &process).await;
}

/// STS's, to one question.
async fn answer(mut stream: TcpStream, key: &SimulatorKey) {
    let mut asked = Vec::new();
    while !String::from_utf8_lossy(&asked).contains("WebIdentityToken=") {
        assert_ne!(stream.read_buf(&mut asked).await.unwrap(), 0);
    }
    let SimulatorKey { access_key_id, secret_access_key, session_token, .. } = key;
    let session_token = session_token.as_deref().unwrap();
    let xml = format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult>\
         <AssumedRoleUser><Arn>arn:aws:sts::111122223333:assumed-role/gateway/s</Arn><AssumedRoleId>AROA:s</AssumedRoleId></AssumedRoleUser>\
         <Credentials><AccessKeyId>{access_key_id}</AccessKeyId><SecretAccessKey>{secret_access_key}</SecretAccessKey>\
         <SessionToken>{session_token}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    );
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", xml.len());
    stream.write_all((head + &xml).as_bytes()).await.unwrap();
}
