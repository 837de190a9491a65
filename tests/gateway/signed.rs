//! Requests that are signed with keys of the gateway's own: what was signed is served, and nothing else is.

use std::time::Duration;

use tollgate::auth::{
    SealingKeys,
    key_ring::{NewKey, NewKeyFor, new_access_key, new_api_key},
};

use crate::{
    client::{Client, post, with},
    harness::{CONVERSE, Settings, World, tenant, write_private},
    signing::{Message, Signer, vend},
    vending::{bare, vending},
};

const MISMATCH: &str = "InvalidSignatureException";
const UNKNOWN: &str = "UnrecognizedClientException";

pub fn sealing_keys(id: &str) -> SealingKeys {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    let key = crate::vending::SEALING_KEYS.iter().find(|(name, _)| name.ends_with(id)).unwrap().1;
    std::fs::write(&file, key).unwrap();
    let secret = tollgate::config::Secret::File(file);
    SealingKeys::read(&[tollgate::config::SealingKey { id: id.to_owned(), secret }]).unwrap()
}

pub fn holder<'a>(tenant: &'a str, principal: Option<&'a str>, expires: Option<jiff::Timestamp>) -> NewKeyFor<'a> {
    NewKeyFor { tenant, principal, groups: &[], expires }
}

pub fn signer_of(key: &NewKey) -> Signer {
    Signer::new(&key.id, secrecy::ExposeSecret::expose_secret(&key.secret), None)
}

/// Vending under key `a`, and a keys file of these entries.
pub fn with_keys(entries: &str) -> Settings {
    let mut settings = vending(&["a"], "[keys]\nfile = \"keys.toml\"");
    settings.files.push(("keys.toml", entries.to_owned()));
    settings
}

async fn ask(client: &mut Client, message: &Message) -> crate::client::Answer {
    client.ask(message.request()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_signs_its_authority() {
    let world = World::with(vending(&["a"], "")).await;
    let signer = vend(&mut bare(&world).await, &world.token("acme")).await;
    for mut client in [world.h2().await, world.h2c().await] {
        client.authorization.clear();
        let message = signer.sign(Message::post(CONVERSE, "{}"));
        ask(&mut client, &message).await.assert_served();
        let other = message.replacing("host", |_| "otherhost".to_owned());
        ask(&mut client, &other).await.assert_refused(403, MISMATCH);
    }
    assert_eq!(world.served_count(), 2);
}

/// Every bit of what is signed: a request as it is, and as often as it has bits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bit_of_a_signed_request_can_be_changed() {
    let world = World::with(vending(&["a"], "")).await;
    let mut client = bare(&world).await;
    let signer = vend(&mut client, &world.token("acme")).await;
    let (mut tried, mut no_http) = (0, 0);
    for announces_hash in [false, true] {
        let signer = Signer { announces_hash, ..signer.clone() };
        let target = "/foundation-models?byProvider=anthropic&byOutputModality=TEXT";
        let message = signer.sign(Message { body: b"{\"a\":1}".to_vec(), ..Message::post(target, "") });
        for (number, tampered) in (0..2).flat_map(|nth| tampered(&message, nth)).enumerate() {
            let Some(request) = tampered.try_request() else {
                no_http += 1;
                continue;
            };
            match client.send(request).await {
                Ok(response) => {
                    let answer = crate::client::Answer::read(response).await.unwrap();
                    assert!((400..500).contains(&answer.status), "{number}: {answer:?}\n{tampered:?}");
                    assert_eq!(answer.header("x-tollgate-source"), "gateway");
                    assert!(!String::from_utf8_lossy(&answer.body).contains("x-amz-date:"), "{answer:?}");
                }
                // The gateway closes after what it cannot read.
                Err(_) => client = bare(&world).await,
            }
            tried += 1;
        }
    }
    assert_eq!(world.served_count(), 0, "a changed request reached Bedrock");
    assert!(tried > 1_500, "{tried} tried, {no_http} are no HTTP");
    ask(&mut client, &signer.sign(Message::post(CONVERSE, "{}"))).await.assert_served();
}

/// The message with one bit of it changed, for every byte of method, target, header values and body. Which bit goes round with the
/// position; `nth` turns it on.
pub fn tampered(message: &Message, nth: usize) -> impl Iterator<Item = Message> + '_ {
    let flipped = move |text: &str, at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] ^= 1 << ((at + 3 * nth) % 7);
        String::from_utf8(bytes).unwrap()
    };
    let method = (0..message.method.len()).map(move |at| Message { method: flipped(&message.method, at), ..message.clone() });
    let target = (1..message.target.len()).map(move |at| Message { target: flipped(&message.target, at), ..message.clone() });
    let headers = message.headers.iter().enumerate().flat_map(move |(index, (_, value))| {
        (0..value.len()).map(move |at| {
            let mut changed = message.clone();
            changed.headers[index].1 = flipped(value, at);
            changed
        })
    });
    let body = (0..message.body.len()).map(move |at| {
        let mut changed = message.clone();
        changed.body[at] ^= 1 << ((at + 3 * nth) % 8);
        changed
    });
    method.chain(target).chain(headers).chain(body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_added_or_taken_away_is_noticed() {
    let world = World::with(vending(&["a"], "")).await;
    let mut client = bare(&world).await;
    let token = world.token("acme");
    let signer = vend(&mut client, &token).await;
    let good = signer.sign(Message::post(CONVERSE, "{}"));
    let without = |name: &str| {
        let mut message = good.clone();
        message.headers.retain(|(known, _)| known != name);
        message
    };
    let authorization = |from: &str, to: &str| good.clone().replacing("authorization", |value| value.replacen(from, to, 1));
    let session = signer.session_token.clone().unwrap();
    let refused = [
        (without("x-amz-security-token"), UNKNOWN),
        (without("authorization"), UNKNOWN),
        (without("x-amz-date"), "IncompleteSignatureException"),
        (without("content-type"), MISMATCH),
        (good.clone().with("x-amz-target", "A.B"), MISMATCH),
        (good.clone().with("aws-endpoint-prefix", "bedrock"), MISMATCH),
        (good.clone().with("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), MISMATCH),
        (good.clone().with("x-amz-date", good.header("x-amz-date").unwrap()), "IncompleteSignatureException"),
        (good.clone().with("authorization", good.header("authorization").unwrap()), UNKNOWN),
        (good.clone().with("x-amz-security-token", &session), UNKNOWN),
        (good.clone().with("x-api-key", &token), UNKNOWN),
        (authorization("SignedHeaders=", "SignedHeaders=accept;"), MISMATCH),
        (authorization("content-type;host", "host"), MISMATCH),
        (authorization("host;", ""), MISMATCH),
        (authorization("SignedHeaders=", "Signature=00, SignedHeaders="), "IncompleteSignatureException"),
        (authorization("/bedrock/", "/bedrock/bedrock/"), "IncompleteSignatureException"),
        // A token of ours does not make another key's signature good, nor is it a token by itself.
        (authorization("Credential=TGSA", "Credential=AKIA"), UNKNOWN),
        (good.clone().replacing("authorization", |_| format!("Bearer {session}")), UNKNOWN),
        (Message::post(CONVERSE, "{}").with("x-api-key", &session), UNKNOWN),
        // An identity provider's token does not make up for a signature with a key of ours.
        (good.clone().replacing("x-amz-security-token", |_| token.clone()), UNKNOWN),
    ];
    for (message, exception) in refused {
        let answer = ask(&mut client, &message).await;
        answer.assert_refused(403, exception);
    }
    assert_eq!(world.served_count(), 0);
    ask(&mut client, &good).await.assert_served();
    // Placeholder keys still carry a token, whatever their signature is.
    let placeholder = Signer::new("AKIAPLACEHOLDER", "placeholder", Some(&token));
    ask(&mut client, &placeholder.sign(Message::post(CONVERSE, "{}"))).await.assert_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_and_scope_are_those_of_the_request() {
    let world = World::with(vending(&["a"], "")).await;
    let mut client = bare(&world).await;
    let signer = vend(&mut client, &world.token("acme")).await;
    let converse = || Message::post(CONVERSE, "{}");
    for announces_hash in [false, true] {
        let signer = Signer { announces_hash, ..signer.clone() };
        for (wrong, message, words) in [
            (Signer { seconds_ahead: -400, ..signer.clone() }, converse(), "Signature expired: "),
            (Signer { seconds_ahead: 400, ..signer.clone() }, converse(), "Signature not yet current: "),
            (Signer { seconds_ahead: -86_400, ..signer.clone() }, converse(), "Signature expired: "),
            (Signer { region: "eu-west-1", ..signer.clone() }, converse(), "valid region: 'us-east-1'."),
            (Signer { service: "s3", ..signer.clone() }, converse(), "service: 'bedrock' or 'bedrock-agentcore' or "),
            (Signer { service: "bedrock-agentcore", ..signer.clone() }, converse(), "correct service: 'bedrock'."),
            (signer.clone(), Message::get("/gateways/"), "correct service: 'bedrock-agentcore'."),
            (Signer { secret_access_key: "other".to_owned(), ..signer.clone() }, converse(), "does not match"),
        ] {
            let answer = ask(&mut client, &wrong.sign(message)).await;
            answer.assert_refused(403, MISMATCH);
            assert!(answer.json()["message"].as_str().unwrap().contains(words), "{answer:?}");
        }
        for seconds_ahead in [-280, 280] {
            ask(&mut client, &Signer { seconds_ahead, ..signer.clone() }.sign(converse())).await.assert_served();
        }
    }
    assert_eq!(world.served_count(), 4);
    world.until_sum("tollgate_denials_total", &["tenant=\"none\"", "reason=\"signature_time\""], 6.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_token_and_with_its_issuer() {
    let world = World::with(vending(&["a"], "lifetime_seconds = 1")).await;
    let mut client = bare(&world).await;
    let signer = vend(&mut client, &world.token("acme")).await;
    let mut last = ask(&mut client, &signer.sign(Message::post(CONVERSE, "{}"))).await;
    while last.status == 200 {
        last = ask(&mut client, &signer.sign(Message::post(CONVERSE, "{}"))).await;
    }
    last.assert_refused(403, "ExpiredTokenException");

    let settings = vending(&["a"], "");
    assert!(world.reload(&settings).await);
    let signer = vend(&mut client, &world.token("acme")).await;
    ask(&mut client, &signer.sign(Message::post(CONVERSE, "{}"))).await.assert_served();
    let issuers = settings.issuers.replace("[issuers.test]", "[issuers.renamed]");
    assert!(world.reload(&Settings { issuers, ..settings }).await);
    ask(&mut client, &signer.sign(Message::post(CONVERSE, "{}"))).await.assert_refused(403, UNKNOWN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_the_rules_that_made_it_its_tenants() {
    let settings = vending(&["a"], "");
    let world = World::with(settings.clone()).await;
    let mut client = bare(&world).await;
    let signer = vend(&mut client, &world.token("acme")).await;
    let with = |more: &str| Settings { issuers: format!("{}{more}\n", settings.issuers), ..settings.clone() };
    let another = Settings { issuers: settings.issuers.replace("https://issuer.", "https://other."), ..settings.clone() };
    for (settings, is_good) in [
        (with("key_set_refresh_seconds = 60\nleeway_seconds = 30"), true),
        (another, false),
        (with("tenant = \"globex\""), false),
        (with("required_scopes = [\"invoke\"]"), false),
        (settings.clone(), true),
    ] {
        assert!(world.reload(&settings).await, "{}", settings.issuers);
        let answer = ask(&mut client, &signer.sign(Message::post(CONVERSE, "{}"))).await;
        if is_good {
            answer.assert_served()
        } else {
            answer.assert_refused(403, UNKNOWN)
        };
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealing_keys_rotate_without_a_refused_request() {
    let world = World::with(vending(&["a"], "")).await;
    let mut client = bare(&world).await;
    let of_a = vend(&mut client, &world.token("acme")).await;
    let message = || Message::post(CONVERSE, "{}");
    assert!(world.reload(&vending(&["a", "b"], "")).await);
    ask(&mut client, &of_a.sign(message())).await.assert_served();
    assert!(world.reload(&vending(&["b", "a"], "")).await);
    let of_b = vend(&mut client, &world.token("acme")).await;
    ask(&mut client, &of_a.sign(message())).await.assert_served();
    ask(&mut client, &of_b.sign(message())).await.assert_served();
    assert!(world.reload(&vending(&["b"], "")).await);
    ask(&mut client, &of_b.sign(message())).await.assert_served();
    ask(&mut client, &of_a.sign(message())).await.assert_refused(403, UNKNOWN);
    assert_eq!(world.served_count(), 4);
    // Another gateway with the same key, and one with another.
    let same = World::with(vending(&["b"], "")).await;
    ask(&mut bare(&same).await, &of_b.sign(message())).await.assert_served();
    let other = World::with(vending(&["a"], "")).await;
    ask(&mut bare(&other).await, &of_b.sign(message())).await.assert_refused(403, UNKNOWN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_cannot_swap_tokens_and_keys() {
    let keys = ["acme", "globex"].map(|tenant| new_access_key(&holder(tenant, None, None), &sealing_keys("a")).unwrap());
    let world = World::with(with_keys(&(keys[0].entry.clone() + &keys[1].entry))).await;
    let mut client = bare(&world).await;
    let acme = vend(&mut client, &world.token("acme")).await;
    let globex = vend(&mut client, &world.token("globex")).await;
    let message = || Message::post(CONVERSE, "{}");
    let token = globex.session_token.clone();
    for swapped in [
        Signer { session_token: token.clone(), ..acme.clone() },
        Signer { access_key_id: globex.access_key_id.clone(), ..acme.clone() },
        Signer { access_key_id: globex.access_key_id.clone(), session_token: token.clone(), ..acme.clone() },
        Signer { session_token: token, ..signer_of(&keys[0]) },
        Signer { access_key_id: keys[1].id.clone(), ..signer_of(&keys[0]) },
        Signer { session_token: None, ..acme.clone() },
    ] {
        let answer = ask(&mut client, &swapped.sign(message())).await;
        assert_eq!((answer.status, answer.header("x-tollgate-source")), (403, "gateway"), "{answer:?}");
    }
    assert_eq!(world.served_count(), 0);
    for (signer, tenant) in
        [(&acme, "acme"), (&globex, "globex"), (&signer_of(&keys[0]), "acme"), (&signer_of(&keys[1]), "globex")]
    {
        let before =
            world.metrics().await.sum("tollgate_requests_total", &[&format!("tenant=\"{tenant}\""), "operation=\"Converse\""]);
        ask(&mut client, &signer.sign(message())).await.assert_served();
        let labels = [format!("tenant=\"{tenant}\""), "operation=\"Converse\"".to_owned()];
        world.until_sum("tollgate_requests_total", &labels.each_ref().map(String::as_str), before + 1.0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_the_file_work_until_they_expire_or_are_disabled() {
    let expires = jiff::Timestamp::now() + Duration::from_secs(2);
    let access = new_access_key(&holder("acme", Some("nightly batch"), None), &sealing_keys("a")).unwrap();
    let api = new_api_key(&holder("globex", None, None)).unwrap();
    let brief = new_api_key(&holder("globex", None, Some(expires))).unwrap();
    let entries = [access.entry.as_str(), &api.entry, &brief.entry].concat();
    let settings = with_keys(&entries);
    let world = World::with(settings.clone()).await;
    let mut client = bare(&world).await;
    let secret = |key: &NewKey| secrecy::ExposeSecret::expose_secret(&key.secret).to_owned();
    let signed = || signer_of(&access).sign(Message::post(CONVERSE, "{}")).request();
    let bearer = |key: &str| with(post(CONVERSE, "{}"), "authorization", &format!("Bearer {key}"));

    client.ask(signed()).await.assert_served();
    client.ask(bearer(&secret(&api))).await.assert_served();
    client.ask(with(post(CONVERSE, "{}"), "x-api-key", &secret(&api))).await.assert_served();
    // API keys get credentials, too, which sign for the services that take no bearer token.
    let session = vend(&mut client, &secret(&api)).await;
    ask(&mut client, &session.sign(Message::post(CONVERSE, "{}"))).await.assert_served();
    let lines = world.log_lines(5).await;
    let told =
        |line: usize| ["tenant", "principal", "issuer", "credential", "key_id"].map(|name| lines[line][name].as_str().unwrap());
    assert_eq!(told(0), ["acme", "nightly batch", "keys file", "access_key", &access.id]);
    assert_eq!(told(1), ["globex", api.id.as_str(), "keys file", "api_key", &api.id]);
    assert_eq!(told(4), ["globex", api.id.as_str(), "keys file", "session", &session.access_key_id]);
    assert!(!format!("{lines:?}").contains(&secret(&api)) && !format!("{lines:?}").contains(&secret(&access)));

    let mut forged = secret(&api);
    forged.replace_range(10..11, if &forged[10..11] == "A" { "B" } else { "A" });
    for wrong in [forged, secret(&api) + "x", "tg_".to_owned(), secret(&new_api_key(&holder("acme", None, None)).unwrap())] {
        client.ask(bearer(&wrong)).await.assert_refused(403, UNKNOWN);
    }
    while client.ask(bearer(&secret(&brief))).await.status == 200 {}
    client.ask(bearer(&secret(&brief))).await.assert_refused(403, "ExpiredTokenException");

    // Disabled: at once, and with what was vended for them.
    let disabled = [access.entry.as_str(), "disabled = true\n", &api.entry, "disabled = true\n"].concat();
    write_private(&world.directory.path().join("keys.toml"), &disabled);
    assert!(world.reload(&settings).await);
    client.ask(signed()).await.assert_refused(403, UNKNOWN);
    client.ask(bearer(&secret(&api))).await.assert_refused(403, UNKNOWN);
    ask(&mut client, &session.sign(Message::post(CONVERSE, "{}"))).await.assert_refused(403, UNKNOWN);

    // A file that cannot be used changes nothing.
    write_private(&world.directory.path().join("keys.toml"), &entries.replace("acme", "globex"));
    assert!(!world.reload(&settings).await);
    client.ask(signed()).await.assert_refused(403, UNKNOWN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_an_api_key_is_what_its_key_is_by_now() {
    let key = new_api_key(&holder("acme", Some("batch"), None)).unwrap();
    let narrow = "[tenants.acme]\nmodels = [\"amazon.*\"]\nservices = [\"*\"]\noperations = [\"*\"]\n\
                  [groups.beta]\ntenants = [\"acme\"]\nmodels = [\"anthropic.*\"]\n";
    let entry = |lines: &str| format!("{}{lines}", key.entry);
    let beta = entry("groups = [\"beta\"]\n");
    let settings = Settings { tenants: narrow.to_owned() + &tenant("globex", ""), ..with_keys(&beta) };
    let world = World::with(settings.clone()).await;
    let mut client = bare(&world).await;
    let session = vend(&mut client, secrecy::ExposeSecret::expose_secret(&key.secret)).await;
    let signed = || session.sign(Message::post(CONVERSE, "{}"));
    ask(&mut client, &signed()).await.assert_served();
    let past = jiff::Timestamp::now() - Duration::from_secs(60);
    for (entries, refusal) in [
        (entry(""), Some("AccessDeniedException")),
        (beta.clone(), None),
        (beta.clone() + &format!("expires = \"{past}\"\n"), Some("ExpiredTokenException")),
        (beta.replace("\"acme\"", "\"globex\""), Some(UNKNOWN)),
        (String::new(), Some(UNKNOWN)),
        (beta.replace("\"batch\"", "\"renamed\""), None),
    ] {
        write_private(&world.directory.path().join("keys.toml"), &entries);
        assert!(world.reload(&settings).await, "{entries}");
        let answer = ask(&mut client, &signed()).await;
        match refusal {
            Some(exception) => answer.assert_refused(403, exception),
            None => answer.assert_served(),
        }
    }
    assert_eq!(world.log_lines(8).await[7]["principal"], "renamed");
    assert_eq!(world.served_count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_or_counted_before_a_signature_is_proved() {
    let key = new_access_key(&holder("acme", None, None), &sealing_keys("a")).unwrap();
    let tenants =
        "[tenants.acme]\nmodels = [\"none\"]\nservices = [\"*\"]\noperations = [\"*\"]\nlimits = { requests_per_minute = 1 }\n";
    let world = World::with(Settings { tenants: tenants.to_owned(), ..with_keys(&key.entry) }).await;
    let mut client = bare(&world).await;
    for announces_hash in [false, true] {
        let forger = Signer { secret_access_key: "guessed".to_owned(), announces_hash, ..signer_of(&key) };
        for target in [CONVERSE, "/foundation-models", "/no/such/route"] {
            let answer = ask(&mut client, &forger.sign(Message::post(target, "{}"))).await;
            answer.assert_refused(403, MISMATCH);
            assert!(!String::from_utf8_lossy(&answer.body).contains("acme"));
        }
    }
    let get = signer_of(&key).sign(Message::get("/foundation-models"));
    ask(&mut client, &get).await.assert_served();
    assert_eq!(world.metrics().await.sum("tollgate_denials_total", &["tenant=\"acme\""]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_every_request_is_served_under_its_own_name() {
    const EACH: usize = 60;
    let keys = ["acme", "globex"].map(|tenant| new_access_key(&holder(tenant, None, None), &sealing_keys("a")).unwrap());
    let world = World::with(with_keys(&(keys[0].entry.clone() + &keys[1].entry))).await;
    let mut load = tokio::task::JoinSet::new();
    for (tenant, key) in ["acme", "globex"].into_iter().zip(&keys) {
        let session = vend(&mut bare(&world).await, &world.token(tenant)).await;
        for signer in [session, signer_of(key)] {
            let mut clients = [bare(&world).await, world.h2().await];
            clients[1].authorization.clear();
            load.spawn(async move {
                // The model says in the log whose request it was.
                let target = format!("/model/model-of-{tenant}/converse");
                for number in 0..EACH {
                    let announcing = Signer { announces_hash: number % 3 == 0, ..signer.clone() };
                    let good = announcing.sign(Message::post(&target, &format!("{{\"n\":{number}}}")));
                    ask(&mut clients[number % 2], &good).await.assert_served();
                    let other = if tenant == "acme" { "globex" } else { "acme" };
                    let moved = Message { target: target.replace(tenant, other), ..good };
                    ask(&mut clients[number % 2], &moved).await.assert_refused(403, MISMATCH);
                }
                (tenant, signer.access_key_id)
            });
        }
    }
    let owners = load.join_all().await;
    let lines = world.log_lines(2 + owners.len() * EACH * 2).await;
    let served: Vec<_> = lines.iter().filter(|line| line["operation"] == "Converse").collect();
    assert_eq!(served.len(), owners.len() * EACH);
    for line in served {
        let key_id = line["key_id"].as_str().unwrap();
        let tenant = owners.iter().find(|(_, id)| id == key_id).unwrap().0;
        assert_eq!((&line["tenant"], &line["model"]), (&tenant.into(), &format!("model-of-{tenant}").into()));
    }
}
