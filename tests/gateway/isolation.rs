//! Two people of two tenants, each with every kind of credential, at once over the same connections, while the rules that say whose a
//! token is change places: whoever is served is served under its own name, and what is put together of both is served to nobody.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::Request;
use serde_json::Value;
use tollgate::auth::key_ring::{new_access_key, new_api_key};

use crate::{
    client::{Client, Upload, post, with},
    harness::{Settings, World, issuer},
    signed::{holder, sealing_keys, signer_of, with_keys},
    signing::{Message, Signer, vend},
    vending::bare,
};

const ISSUER: &str = "https://issuer.example";

/// Requests of each connection.
const EACH: usize = 48;

/// Somebody, and all that it proves itself with.
#[derive(Clone)]
struct Person {
    name: &'static str,
    tenant: &'static str,
    token: String,
    api_key: String,
    access_key: Signer,
    /// Vended for the API key.
    session: Signer,
}

/// What the tokens' claim stands for.
const STRAIGHT: &str = "tenants = { red = \"acme\", blue = \"globex\" }\n";
const CROSSED: &str = "tenants = { red = \"globex\", blue = \"acme\" }\n";

fn rules(tenants: &str, keys: &Settings) -> Settings {
    Settings { issuers: issuer("test", ISSUER) + tenants, ..keys.clone() }
}

fn converse(mark: &str) -> String {
    format!("/model/{mark}/converse")
}

fn bearer(target: &str, token: &str) -> Request<Upload> {
    with(post(target, "{}"), "authorization", &format!("Bearer {token}"))
}

fn beside_placeholders(target: &str, token: &str) -> Request<Upload> {
    Signer::new("placeholder", "placeholder", Some(token)).sign(Message::post(target, "{}")).request()
}

impl Person {
    /// A request with one of its credentials; its model says whose it is.
    fn request(&self, number: usize, id: usize) -> Request<Upload> {
        let announcing = |signer: &Signer| Signer { announces_hash: id.is_multiple_of(2), ..signer.clone() };
        let kind = ["token", "key", "token", "key", "token", "key"][number % 6];
        let target = converse(&format!("{}.{kind}.{id}", self.name));
        match number % 6 {
            0 => bearer(&target, &self.token),
            1 => announcing(&self.access_key).sign(Message::post(&target, "{}")).request(),
            2 => beside_placeholders(&target, &self.token),
            3 => announcing(&self.session).sign(Message::post(&target, "{}")).request(),
            4 => with(post(&target, "{}"), "x-api-key", &self.token),
            _ => bearer(&target, &self.api_key),
        }
    }

    /// A request made of what two people have.
    fn forgery(&self, other: &Person, number: usize) -> Request<Upload> {
        let target = converse("forged");
        let message = Message::post(&target, "{}");
        let (own, others): (Vec<_>, Vec<_>) = (self.token.split('.').collect(), other.token.split('.').collect());
        let signed_with = |id: &Signer, secret: &Signer, token: &Signer| {
            let secret_access_key = secret.secret_access_key.clone();
            let session_token = token.session_token.clone();
            Signer { secret_access_key, session_token, ..id.clone() }.sign(message.clone()).request()
        };
        match number % 10 {
            0 => bearer(&target, &[own[0], others[1], own[2]].join(".")),
            1 => bearer(&target, &[own[0], own[1], others[2]].join(".")),
            2 => with(bearer(&target, &self.token), "x-amz-security-token", &other.token),
            3 => with(bearer(&target, &self.api_key), "x-api-key", &other.token),
            4 => signed_with(&self.access_key, &other.access_key, &self.access_key),
            5 => signed_with(&self.session, &self.session, &other.session),
            6 => signed_with(&self.session, &other.session, &other.session),
            7 => signed_with(&self.access_key, &self.access_key, &other.session),
            8 => bearer(&target, other.session.session_token.as_ref().unwrap()),
            _ => {
                let whole = self.session.sign(Message::post(&converse("mine"), "{}"));
                Message { target, ..whole }.request()
            }
        }
    }
}

/// The people, and the settings that know them.
fn people() -> ([Person; 2], Settings) {
    let mut entries = String::new();
    let people = [("alice", "acme"), ("bob", "globex")].map(|(name, tenant)| {
        let access = new_access_key(&holder(tenant, Some(name), None), &sealing_keys("a")).unwrap();
        let api = new_api_key(&holder(tenant, Some(name), None)).unwrap();
        entries += &format!("{}\n{}\n", access.entry, api.entry);
        let api_key = secrecy::ExposeSecret::expose_secret(&api.secret).to_owned();
        let nothing = Signer::new("", "", None);
        Person { name, tenant, token: String::new(), api_key, access_key: signer_of(&access), session: nothing }
    });
    (people, with_keys(&entries))
}

async fn equip(world: &World, person: &mut Person, color: &str) {
    let lifetime = Duration::from_secs(600);
    person.token = world.issuer.mint(ISSUER, "gateway", color, person.name, lifetime, SystemTime::now());
    person.session = vend(&mut bare(world).await, &person.api_key).await;
}

/// Both people and their forgeries over one connection; how many were served.
async fn converse_as_both(mut client: Client, people: [Person; 2], first: usize) -> usize {
    for number in 0..EACH {
        let (person, other) = (&people[number % 2], &people[(number + 1) % 2]);
        client.ask(person.request(number / 2, first + number)).await.assert_served();
        let forged = client.ask(person.forgery(other, number)).await;
        assert!((400..404).contains(&forged.status), "{number}: {forged:?}");
    }
    EACH
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_served_under_another_name_while_the_rules_change_places() {
    let (mut people, keys) = people();
    let world = Arc::new(World::with(rules(STRAIGHT, &keys)).await);
    equip(&world, &mut people[0], "red").await;
    equip(&world, &mut people[1], "blue").await;

    let done = Arc::new(AtomicBool::new(false));
    let (turned, until) = (Arc::clone(&world), Arc::clone(&done));
    let turning = tokio::spawn(async move {
        let mut turns = 0;
        while !until.load(Ordering::Relaxed) {
            turns += 1;
            let now = if turns % 2 == 1 { CROSSED } else { STRAIGHT };
            assert!(turned.reload(&rules(now, &keys)).await);
        }
        turns
    });
    let mut load = tokio::task::JoinSet::new();
    for connection in 0..6 {
        let mut client = if connection % 2 == 0 { world.h1().await } else { world.h2().await };
        client.authorization.clear();
        load.spawn(converse_as_both(client, people.clone(), connection * EACH));
    }
    let served: usize = load.join_all().await.into_iter().sum();
    done.store(true, Ordering::Relaxed);
    let turns = turning.await.unwrap();
    assert!(turns > 1, "the rules changed places {turns} times");

    let upstream = world.simulator.record().requests();
    let paths: HashSet<_> = upstream.iter().map(|request| request.target.clone()).collect();
    assert_eq!((upstream.len(), paths.len()), (served, served), "each once, and no other");
    assert!(!paths.iter().any(|path| path.contains("forged") || path.contains("mine")), "{paths:?}");
    let lines = world.log_lines(2 + 2 * served).await;
    let mut decided: HashMap<u64, HashMap<String, String>> = HashMap::new();
    for line in lines.iter().filter(|line| line["source"] == "bedrock") {
        let (person, tenant, by_token) = named(line, &people);
        if by_token {
            let of_generation = decided.entry(line["generation"].as_u64().unwrap()).or_default();
            let known = of_generation.entry(person).or_insert_with(|| tenant.clone());
            assert_eq!(*known, tenant, "one configuration has one answer: {line}");
        }
    }
    for of_generation in decided.values().filter(|of_generation| of_generation.len() == 2) {
        assert_ne!(of_generation["alice"], of_generation["bob"], "{decided:?}");
    }
    let stood_for: HashSet<_> = decided.values().flatten().collect();
    assert_eq!(stood_for.len(), 4, "both people's tokens stood for either tenant: {decided:?}");
}

/// Whom the line says it was, for whom, and whether a token said so. The model says who sent it and with what.
#[track_caller]
fn named(line: &Value, people: &[Person]) -> (String, String, bool) {
    let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let model = field("model");
    let mut parts = model.split('.');
    let (name, kind) = (parts.next().unwrap(), parts.next().unwrap());
    assert_eq!(field("principal"), name, "{line}");
    let person = people.iter().find(|person| person.name == name).unwrap();
    match (kind, field("issuer").as_str()) {
        ("token", "test") => {}
        // Whatever the claim of tokens stands for.
        ("key", "keys file") => assert_eq!(field("tenant"), person.tenant, "{line}"),
        other => panic!("{other:?} in {line}"),
    }
    (field("principal"), field("tenant"), kind == "token")
}
