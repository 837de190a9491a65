//! Groups through the real thing: what one grants, denies and demands, and that being in another is no way around it.

use std::{
    fmt::Write,
    process::Command,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::Request;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use tollgate::{
    auth::key_ring::{NewKey, NewKeyFor, new_api_key},
    simulator::Served,
};

use crate::{
    client::{Upload, post},
    harness::{CONVERSE, INVOKE, MODEL, Settings, World, issuer, tenant},
    policy::{ALL, call, message},
    signing::{Message, credentials_request, vend},
    vending::{bare, vending},
};

const NOVA: &str = "amazon.nova-lite-v1:0";
const OPUS: &str = "anthropic.claude-opus-4-8";

/// A gateway, and API keys of acme in these groups.
struct Members {
    world: World,
    keys: Vec<(&'static [&'static str], NewKey)>,
}

impl Members {
    async fn of(acme: &str, groups: &str, members: &[&'static [&'static str]]) -> Members {
        let key = |groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            new_api_key(&NewKeyFor { tenant: "acme", principal: None, groups: &groups, expires: None }).unwrap()
        };
        let keys: Vec<_> = members.iter().map(|groups| (*groups, key(groups))).collect();
        let mut settings = vending(&["a"], "[keys]\nfile = \"keys.toml\"\n");
        settings.files.push(("keys.toml", keys.iter().map(|(_, key)| key.entry.as_str()).collect()));
        let tenants = format!("[tenants.acme]\n{acme}{}{groups}", tenant("globex", ""));
        Members { world: World::with(Settings { tenants, ..settings }).await, keys }
    }

    fn key(&self, groups: &[&str]) -> &NewKey {
        &self.keys.iter().find(|(key, _)| *key == groups).unwrap_or_else(|| panic!("{groups:?}")).1
    }

    fn last_served(&self) -> Arc<Served> {
        self.world.simulator.record().requests().pop().unwrap()
    }

    /// What the gateway answers a member, and `explain` says the same; `rule`: in the words of the refusal.
    async fn assert(&self, groups: &[&str], request: Request<Upload>, arguments: &[&str], rule: Option<&str>) {
        let (key, target, before) = (self.key(groups), request.uri().to_string(), self.world.served_count());
        let mut client = self.world.h1().await;
        client.authorization = format!("Bearer {}", key.secret.expose_secret());
        let answer = client.ask(request).await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.args(["explain", "--key", &key.id, "-c"]).arg(self.world.config_file()).args(arguments);
        let output = command.output().unwrap();
        let (text, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        match rule {
            None => {
                assert_eq!(
                    (answer.status, answer.header("x-tollgate-source")),
                    (200, "bedrock"),
                    "{groups:?} {target}: {answer:?}"
                );
                assert_eq!(output.status.code(), Some(0), "{groups:?} {arguments:?}: {text}{error}");
            }
            Some(rule) => {
                let told = message(&answer);
                assert!(matches!(answer.status, 403 | 413) && told.contains(rule), "{groups:?} {target}: {rule}: {answer:?}");
                assert_eq!(text.trim_end().lines().last(), Some(told.as_str()), "{groups:?} {arguments:?}: {text}{error}");
                assert_eq!(self.world.served_count(), before, "{groups:?} {target}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_grants_to_members_and_what_one_group_denies_no_other_gives_back() {
    let acme = "models = [\"amazon.*\", \"us.amazon.*\"]\nservices = [\"bedrock-runtime\"]\noperations = [\"Converse\"]\n\
                regions = [\"us-east-1\"]\nservice_tiers = [\"default\"]\n";
    let groups = "[groups.wide]\ntenants = [\"*\"]\nmodels = [\"anthropic.*\"]\nservices = [\"bedrock\"]\n\
                  operations = [\"InvokeModel\", \"ListFoundationModels\"]\nregions = [\"us\"]\nservice_tiers = [\"flex\"]\n\
                  [groups.narrow]\ntenants = [\"acme\"]\n[groups.narrow.deny]\nmodels = [\"*opus*\"]\nservices = [\"bedrock\"]\n\
                  operations = [\"Invoke*\"]\nregions = [\"us\"]\nservice_tiers = [\"flex\"]\n\
                  [groups.foreign]\ntenants = [\"globex\"]\nmodels = [\"*\"]\nservices = [\"*\"]\noperations = [\"*\"]\n\
                  [groups.foreign.deny]\nmodels = [\"*\"]\n";
    let members = Members::of(acme, groups, &[&["foreign"], &["wide"], &["wide", "narrow"]]).await;
    let us = format!("us.{NOVA}");
    for (request, arguments, key) in [
        (|| call(OPUS, "converse", "{}"), &["--model", OPUS][..], "models"),
        (|| call(NOVA, "invoke", "{}"), &["--model", NOVA, "--operation", "InvokeModel"], "operations"),
        (|| call(&format!("us.{NOVA}"), "converse", "{}"), &["--model", &us], "regions"),
        (
            || call(NOVA, "converse", r#"{"serviceTier":{"type":"flex"}}"#),
            &["--model", NOVA, "--service-tier", "flex"],
            "service_tiers",
        ),
        (
            || Request::builder().uri("/foundation-models").body(Upload::none()).unwrap(),
            &["--model", NOVA, "--operation", "ListFoundationModels"],
            "services",
        ),
    ] as [(fn() -> Request<Upload>, &[&str], &str); 5]
    {
        members.assert(&["foreign"], request(), arguments, Some(&format!("it is not in tenants.acme.{key}"))).await;
        members.assert(&["wide"], request(), arguments, None).await;
        members.assert(&["wide", "narrow"], request(), arguments, Some(&format!("groups.narrow.deny.{key}[0] denies it"))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_group_demands_is_met_whatever_else_its_members_are_in() {
    let mut groups = String::new();
    for (name, demand) in [
        ("here", "allow_from = [\"127.0.0.0/8\"]"),
        ("elsewhere", "allow_from = [\"192.0.2.0/24\"]"),
        ("small", "body_bytes_max = 100"),
        ("large", "body_bytes_max = 1000"),
        ("guarded", "guardrail = { identifier = \"gr-1\", version = \"2\" }"),
        ("strict", "guardrail = { identifier = \"gr-1\", version = \"2\", strict = true }"),
        ("other", "guardrail = { identifier = \"gr-2\", version = \"1\" }"),
    ] {
        writeln!(groups, "[groups.{name}]\ntenants = [\"*\"]\n{demand}").unwrap();
    }
    let all: [&[&str]; 8] = [
        &["here"],
        &["here", "elsewhere"],
        &["large"],
        &["large", "small"],
        &["guarded", "here"],
        &["guarded", "strict"],
        &["guarded", "other"],
        &["other"],
    ];
    let members = Members::of(ALL, &groups, &all).await;
    let of = |bytes: usize| post(INVOKE, format!("\"{}\"", "x".repeat(bytes - 2)));
    let plain = || post(CONVERSE, "{}");
    let names = |identifier: &str| {
        let config = format!(r#"{{"guardrailConfig":{{"guardrailIdentifier":"{identifier}","guardrailVersion":"2"}}}}"#);
        call(MODEL, "converse", config)
    };
    let model = ["--model", MODEL];
    let with = |more: &[&'static str]| [&model[..], more].concat();
    let from_here = with(&["--source", "127.0.0.1"]);
    let body = |bytes| with(&["--operation", "InvokeModel", "--body-bytes", bytes]);
    let two = "groups.guarded.guardrail and groups.other.guardrail cannot both be met";
    members.assert(&["here"], plain(), &from_here, None).await;
    members.assert(&["here", "elsewhere"], plain(), &from_here, Some("it is not in groups.elsewhere.allow_from")).await;
    members.assert(&["large"], of(1_000), &body("1000"), None).await;
    members.assert(&["large"], of(1_001), &body("1001"), Some("more than 1000 bytes: groups.large.body_bytes_max")).await;
    members.assert(&["large", "small"], of(100), &body("100"), None).await;
    members.assert(&["large", "small"], of(101), &body("101"), Some("100 bytes: groups.small.body_bytes_max forbids it")).await;
    members.assert(&["guarded", "here"], names("gr-1"), &with(&["--guardrail", "gr-1"]), None).await;
    let gr_2 = with(&["--guardrail", "gr-2"]);
    members.assert(&["guarded", "here"], names("gr-2"), &gr_2, Some("name the guardrail gr-2: groups.guarded.guardrail")).await;
    members.assert(&["guarded", "other"], plain(), &model, Some(two)).await;
    let invoke = with(&["--operation", "InvokeModel"]);
    members.assert(&["guarded", "other"], post(INVOKE, "{}"), &invoke, Some(two)).await;
    let count = || post(&format!("/model/{MODEL}/count-tokens"), "{}");
    members.assert(&["guarded", "other"], count(), &with(&["--operation", "CountTokens"]), None).await;

    // It is put into what does not name it.
    for (member, identifier, version) in [(&["guarded", "strict"][..], "gr-1", "2"), (&["other"], "gr-2", "1")] {
        members.assert(member, post(INVOKE, "{}"), &invoke, None).await;
        let served = members.last_served();
        let header = |name| served.headers().find(|(n, _)| *n == name).map(|(_, value)| value.to_owned());
        assert_eq!(header("x-amzn-bedrock-guardrailidentifier").as_deref(), Some(identifier));
        assert_eq!(header("x-amzn-bedrock-guardrailversion").as_deref(), Some(version));
        members.assert(member, plain(), &model, None).await;
        let sent = format!(r#"{{"guardrailConfig":{{"guardrailIdentifier":"{identifier}","guardrailVersion":"{version}"}}}}"#);
        assert_eq!(members.last_served().body_sha256, sha256(&sent));
    }
    let mut client = members.world.h1().await;
    client.authorization = format!("Bearer {}", members.key(&["guarded", "strict"]).secret.expose_secret());
    let answer = client.post(CONVERSE, r#"{"guardrailConfig":{"streamProcessingMode":"async"}}"#).await;
    assert!(answer.status == 403 && message(&answer).contains("groups.strict.guardrail.strict forbids it"), "{answer:?}");
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_groups_demands_hold_on_every_way_in_and_for_what_was_vended_before() {
    let open = "[groups.team]\ntenants = [\"acme\"]\n";
    let bound = "[groups.team]\ntenants = [\"acme\"]\nallow_from = [\"192.0.2.0/24\"]\nbody_bytes_max = 10\n";
    let tenants = |group: &str| tenant("acme", "") + &tenant("globex", "") + group;
    let settings = Settings {
        issuers: issuer("test", "https://issuer.example") + "groups_claim = \"sub\"\n",
        tenants: tenants(open),
        ..vending(&["a"], "")
    };
    let world = World::with(settings.clone()).await;
    let token = |subject: &str| {
        world.issuer.mint("https://issuer.example", "gateway", "acme", subject, Duration::from_secs(600), SystemTime::now())
    };
    let (member, stranger) = (token("team"), token("user-1"));
    let mut client = bare(&world).await;
    let (of_member, of_stranger) = (vend(&mut client, &member).await, vend(&mut client, &stranger).await);
    let signed = |signer: &crate::signing::Signer| signer.sign(Message::post(CONVERSE, "{}")).request();
    client.ask(signed(&of_member)).await.assert_served();
    let bearer =
        |request: Request<Upload>, token: &str| crate::client::with(request, "authorization", &format!("Bearer {token}"));
    client.ask(bearer(post(CONVERSE, "{}"), &member)).await.assert_served();

    assert!(world.reload(&Settings { tenants: tenants(bound), ..settings.clone() }).await);
    let usage = || Request::builder().uri("/v1/usage").body(Upload::none()).unwrap();
    for request in [
        signed(&of_member),
        bearer(post(CONVERSE, "{}"), &member),
        bearer(post("/openai/v1/chat/completions", "{}"), &member),
        bearer(post("/anthropic/v1/messages", "{}"), &member),
        bearer(usage(), &member),
        credentials_request(&member),
    ] {
        let target = request.uri().to_string();
        let answer = client.ask(request).await;
        let text = String::from_utf8_lossy(&answer.body);
        assert!(answer.status == 403 && text.contains("it is not in groups.team.allow_from"), "{target}: {answer:?}");
    }
    client.ask(signed(&of_stranger)).await.assert_served();
    client.ask(bearer(post(CONVERSE, "{}"), &stranger)).await.assert_served();
    assert_eq!(client.ask(bearer(usage(), &stranger)).await.status, 200);
    assert_eq!(world.served_count(), 4);

    // A body whose hash is signed is read before anybody knows whose it is: the maximum holds all the same.
    let small = bound.replace("allow_from = [\"192.0.2.0/24\"]\n", "");
    assert!(world.reload(&Settings { tenants: tenants(&small), ..settings }).await);
    let long = |signer: &crate::signing::Signer| signer.sign(Message::post(INVOKE, "{\"a\": 12345}")).request();
    let announced = crate::signing::Signer { announces_hash: true, ..of_member.clone() };
    for signer in [&of_member, &announced] {
        let answer = bare(&world).await.ask(long(signer)).await;
        assert!(answer.status == 413 && message(&answer).contains("groups.team.body_bytes_max"), "{answer:?}");
    }
    client.ask(long(&of_stranger)).await.assert_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_configured_later_binds_what_was_vended_before() {
    let settings = Settings {
        issuers: issuer("test", "https://issuer.example") + "groups_claim = \"sub\"\n",
        tenants: tenant("acme", ""),
        ..vending(&["a"], "")
    };
    let world = World::with(settings.clone()).await;
    let token = |subject: &str| {
        world.issuer.mint("https://issuer.example", "gateway", "acme", subject, Duration::from_secs(600), SystemTime::now())
    };
    let mut client = bare(&world).await;
    let (of_member, of_stranger) = (vend(&mut client, &token("team")).await, vend(&mut client, &token("other")).await);
    let signed = |signer: &crate::signing::Signer| signer.sign(Message::post(CONVERSE, "{}")).request();
    client.ask(signed(&of_member)).await.assert_served();
    let denies = "[groups.team]\ntenants = [\"*\"]\ndeny = { operations = [\"Converse*\"] }\n";
    assert!(world.reload(&Settings { tenants: tenant("acme", "") + denies, ..settings.clone() }).await);
    client.ask(signed(&of_member)).await.assert_refused(403, "AccessDeniedException");
    client.ask(signed(&of_stranger)).await.assert_served();
    assert!(world.reload(&settings).await);
    client.ask(signed(&of_member)).await.assert_served();
}
