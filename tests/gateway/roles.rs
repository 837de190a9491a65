//! A tenant's own AWS identity: whose session signs, what STS is asked for, and who is refused when it does not answer.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{task::JoinSet, time::sleep};
use tollgate::simulator::Served;

use crate::{
    client::{Answer, Client, post, with},
    conversation::Conversation,
    harness::{CONVERSE, CONVERSE_STREAM, DEADLINE, INVOKE, Settings, World, issuer, tenant, within},
    signing::vend,
    sts::{Mood, Sts},
    vending::{SEALING_KEYS, bare},
};

const SHARED: &str = "arn:aws:iam::123456789012:role/tenants";
const OWN: &str = "arn:aws:iam::999999999999:role/globex";
/// The gateway's own key.
const GATEWAY: &str = "AKIDSIMULATOR";

fn role(tenant: &str, more: &str) -> String {
    format!("[tenants.{tenant}.role]\n{more}\n")
}

/// `acme` has a role; `roles` goes into `[roles]`, `tenants` behind the tenants.
async fn world(roles: &str, tenants: &str) -> (World, Sts) {
    let sts = Sts::start().await;
    let settings = settings(&sts, roles, tenants);
    let world = World::with(settings).await;
    sts.makes_keys_for(&world.simulator);
    (world, sts)
}

fn settings(sts: &Sts, roles: &str, tenants: &str) -> Settings {
    let sections = format!("[roles]\nsts_endpoint = \"{}\"\n{roles}\n", sts.url);
    Settings { sections, tenants: tenant("acme", "") + &tenant("globex", "") + tenants, ..Settings::default() }
}

async fn client(world: &World, tenant: &str) -> Client {
    Client::h1(world.gateway.traffic[0], world.bearer(tenant)).await
}

async fn client_of(world: &World, tenant: &str, subject: &str) -> Client {
    let life = Duration::from_secs(600);
    let token = world.issuer.mint("https://issuer.example", "gateway", tenant, subject, life, SystemTime::now());
    Client::h1(world.gateway.traffic[0], format!("Bearer {token}")).await
}

/// The first answer of this kind. Each request has a connection of its own, since one ends after so many.
async fn until_answer(world: &World, tenant: &str, is_it: impl Fn(&Answer) -> bool) -> Answer {
    within(async {
        loop {
            let answer = client(world, tenant).await.post(CONVERSE, "{}").await;
            if is_it(&answer) {
                return answer;
            }
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// Who signed the request that the simulator got last.
fn signed_by(world: &World) -> String {
    let last: Arc<Served> = world.simulator.record().requests().pop().unwrap();
    last.access_key_id.clone().unwrap_or_else(|| panic!("{}", last.verdict))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_with_a_role_is_signed_for_with_its_session_and_others_as_before() {
    let roles =
        "external_id = \"shared\"\nclaim_tags = { user = \"sub\", none = \"nothing\" }\ntransitive_tags = [\"tenant\", \"none\"]";
    let own = role("acme", &format!("arn = \"{OWN}\"\nexternal_id = \"own\"\nduration_seconds = 1800"));
    let (world, sts) = world(roles, &own).await;
    for target in [INVOKE, CONVERSE, CONVERSE_STREAM] {
        client(&world, "acme").await.post(target, "{}").await.assert_served();
        assert_eq!(signed_by(&world), "ASIA000000");
        client(&world, "globex").await.post(target, "{}").await.assert_served();
        assert_eq!(signed_by(&world), GATEWAY);
    }
    let calls = sts.calls();
    assert_eq!(calls.len(), 1);
    let call = &calls[0];
    assert_eq!((call.get("Action"), call.get("RoleArn")), ("AssumeRole", OWN));
    assert_eq!((call.get("RoleSessionName"), call.get("DurationSeconds")), ("acme", "1800"));
    assert_eq!(call.get("ExternalId"), "own");
    assert_eq!(call.tags(), [("tenant", "acme"), ("user", "user-1")].into());
    assert_eq!(call.get("TransitiveTagKeys.member.1"), "tenant");
    assert_eq!(call.get("TransitiveTagKeys.member.2"), "", "a tag that this session does not have");
    let signed_with = format!("Credential={GATEWAY}/");
    assert!(call.authorization.contains(&signed_with) && call.authorization.contains("/us-east-1/sts/aws4_request"));
    assert_eq!(call.security_token.as_deref(), Some("simulator-session-token"));
    let metrics = world.metrics().await;
    assert_eq!(metrics.sum("tollgate_role_sessions", &["tenant=\"acme\""]), 1.0);
    assert_eq!(metrics.sum("tollgate_assume_role_calls_total", &["tenant=\"acme\"", "outcome=\"ok\""]), 1.0);
    let left = metrics.sum("tollgate_role_session_expiry_timestamp_seconds", &["tenant=\"acme\""])
        - SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((3_500.0..3_601.0).contains(&left), "{left}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_cold_requests_wait_for_one_call() {
    let (world, sts) = world("", &role("acme", &format!("arn = \"{SHARED}\""))).await;
    sts.holds(true);
    let mut requests = JoinSet::new();
    for _ in 0..50 {
        let mut client = client(&world, "acme").await;
        requests.spawn(async move { client.post(INVOKE, "{}").await.assert_served() });
    }
    sts.until_called(1).await;
    world.until_sum("tollgate_requests_in_flight", &["tenant=\"acme\""], 50.0).await;
    client(&world, "globex").await.post(INVOKE, "{}").await.assert_served();
    sts.holds(false);
    while let Some(done) = within(requests.join_next()).await {
        done.unwrap();
    }
    assert_eq!(sts.calls().len(), 1);
    let own = world.metrics().await.sum("tollgate_own_share_seconds_sum", &[]);
    assert!(own < 10.0, "waiting for STS is not the gateway's own time: {own} s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_expire_during_the_run_are_renewed_without_a_failed_request() {
    let (world, sts) = world("", &role("acme", &format!("arn = \"{SHARED}\""))).await;
    sts.is(Mood::Well(5));
    until_answer(&world, "acme", |answer| {
        answer.assert_served();
        sts.calls().len() >= 4
    })
    .await;
    client(&world, "acme").await.post(CONVERSE, "{}").await.assert_served();
    let keys: std::collections::BTreeSet<_> =
        world.simulator.record().requests().iter().map(|served| served.access_key_id.clone().unwrap()).collect();
    assert!(keys.len() >= 3, "{keys:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_outlives_an_outage_of_sts_until_it_expires() {
    let (world, sts) = world("", &role("acme", &format!("arn = \"{SHARED}\""))).await;
    sts.is(Mood::Well(6));
    let mut client = client(&world, "acme").await;
    client.post(CONVERSE, "{}").await.assert_served();
    sts.is(Mood::Out);
    let refused = until_answer(&world, "acme", |answer| answer.status != 200).await;
    refused.assert_refused(503, "ServiceUnavailableException");
    assert!(sts.calls().len() > 1, "it was tried before the end");
    sts.is(Mood::Well(3_600));
    until_answer(&world, "acme", |answer| answer.status == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_sts_a_tenant_with_a_role_is_refused_and_nobody_else() {
    let (world, sts) = world("", &role("acme", &format!("arn = \"{SHARED}\""))).await;
    sts.is(Mood::Out);
    let mut acme = client(&world, "acme").await;
    for _ in 0..20 {
        let answer = acme.post(INVOKE, "{}").await;
        answer.assert_refused(503, "ServiceUnavailableException");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("The gateway has no AWS session for tenant acme."), "{message}");
        assert!(!answer.header("retry-after").is_empty());
        client(&world, "globex").await.post(INVOKE, "{}").await.assert_served();
    }
    assert!(world.simulator.record().requests().iter().all(|served| served.access_key_id.as_deref() == Some(GATEWAY)));
    assert_eq!(world.admin("/readyz").await.0, 200);
    let metrics = world.metrics().await;
    assert!(metrics.sum("tollgate_assume_role_calls_total", &["tenant=\"acme\"", "outcome=\"failed\""]) >= 1.0);
    assert_eq!(metrics.sum("tollgate_denials_total", &["tenant=\"acme\"", "reason=\"aws_session\""]), 20.0);
    assert_eq!(metrics.sum("tollgate_role_sessions", &["tenant=\"acme\""]), 0.0);
    let tries = sts.calls().len();
    assert!(tries < 12, "{tries} calls for 20 requests");

    sts.is(Mood::Well(3_600));
    until_answer(&world, "acme", |answer| answer.status == 200).await;
    assert_ne!(signed_by(&world), GATEWAY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sts_says_of_a_role_it_refuses_is_not_for_the_client() {
    let tenants = role("acme", &format!("arn = \"{SHARED}\"")) + &role("globex", &format!("arn = \"{OWN}\""));
    let (world, sts) = world("", &tenants).await;
    sts.is(Mood::Denies(SHARED));
    let answer = client(&world, "acme").await.post(INVOKE, "{}").await;
    answer.assert_refused(503, "ServiceUnavailableException");
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(!text.contains("arn:") && !text.contains("sts:") && !text.contains("AccessDenied"), "{text}");
    client(&world, "globex").await.post(INVOKE, "{}").await.assert_served();
    let metrics = world.metrics().await;
    assert_eq!(metrics.sum("tollgate_assume_role_calls_total", &["tenant=\"acme\"", "outcome=\"denied\""]), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sts_that_is_not_well_has_failed_and_denied_nobody() {
    let fails = [
        ("500 Internal Server Error", "InternalFailure"),
        ("503 Service Unavailable", "ServiceUnavailable"),
        ("400 Bad Request", "Throttling"),
        ("429 Too Many Requests", "Other"),
    ];
    for (status, code) in fails {
        let (world, sts) = world("", &role("acme", &format!("arn = \"{SHARED}\""))).await;
        sts.is(Mood::Fails(status, code));
        client(&world, "acme").await.post(INVOKE, "{}").await.assert_refused(503, "ServiceUnavailableException");
        let metrics = world.metrics().await;
        let counted = |outcome| metrics.sum("tollgate_assume_role_calls_total", &["tenant=\"acme\"", outcome]);
        assert!(counted("outcome=\"failed\"") >= 1.0 && counted("outcome=\"denied\"") == 0.0, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_whole_credentials_makes_no_session() {
    let (world, sts) = world("wait_seconds_max = 1", &role("acme", &format!("arn = \"{SHARED}\""))).await;
    let good = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey>\
         <SessionToken>T</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult>\
         </AssumeRoleResponse>";
    let endless: &str = (good.replace("<SessionToken>", &format!("{}<SessionToken>", " ".repeat(100_000)))).leak();
    let two_lines: &str = good.replace(">T<", ">T\nT<").leak();
    for answer in [
        "no XML",
        endless,
        two_lines,
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey>\
         <SessionToken></SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult>\
         </AssumeRoleResponse>",
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey>\
         <SessionToken>T</SessionToken><Expiration>2001-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult>\
         </AssumeRoleResponse>",
    ] {
        sts.is(Mood::Says(answer));
        let before = sts.calls().len();
        until_answer(&world, "acme", |answer| {
            answer.assert_refused(503, "ServiceUnavailableException");
            sts.calls().len() > before
        })
        .await;
    }
    assert_eq!(world.served_count(), 0);
    let metrics = world.metrics().await;
    assert_eq!(metrics.sum("tollgate_role_sessions", &["tenant=\"acme\""]), 0.0);
    assert_eq!(metrics.sum("tollgate_assume_role_calls_total", &["outcome=\"denied\""]), 0.0, "STS said no word");
    // What was wrong is what was added.
    sts.is(Mood::Says(good));
    until_answer(&world, "acme", |_| world.served_count() > 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_waits_for_a_slow_sts_no_longer_than_configured() {
    let (world, sts) = world("wait_seconds_max = 1", &role("acme", &format!("arn = \"{SHARED}\""))).await;
    sts.holds(true);
    let mut client = client(&world, "acme").await;
    let asked = SystemTime::now();
    client.post(INVOKE, "{}").await.assert_refused(503, "ServiceUnavailableException");
    assert!(asked.elapsed().unwrap() < DEADLINE / 2);
    sts.holds(false);
    // The call that nobody waited for any more was still good for something.
    until_answer(&world, "acme", |answer| answer.status == 200).await;
    assert_eq!(sts.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swapped_tenants_under_load_are_never_signed_for_with_anothers_session() {
    let roles =
        format!("arn = \"{SHARED}\"\nper_principal = true\nclaim_tags = {{ user = \"sub\" }}\nsessions_per_tenant_max = 3");
    let tenants =
        tenant("initech", "") + &role("initech", "per_principal = false") + &role("globex", &format!("arn = \"{OWN}\""));
    let (world, sts) = world(&roles, &tenants).await;
    // Soon renewed, and more principals than there is room for: sessions come and go all the time.
    sts.is(Mood::Well(4));
    let world = Arc::new(world);
    let mut clients = JoinSet::new();
    for worker in 0..8 {
        let world = world.clone();
        clients.spawn(async move {
            for round in 0..40 {
                let tenant = ["acme", "globex", "initech"][(worker + round) % 3];
                let subject = format!("user-{}", (worker * 7 + round) % 5);
                let mut client = client_of(&world, tenant, &subject).await;
                let request = with(with(post(INVOKE, "{}"), "x-test-tenant", tenant), "x-test-subject", &subject);
                client.ask(request).await.assert_served();
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    let (made, served) = (sts.made(), world.simulator.record().requests());
    assert_eq!(served.len(), 320);
    for served in served {
        let (tenant, subject) = (served.header("x-test-tenant").unwrap(), served.header("x-test-subject").unwrap());
        let call = &made[served.access_key_id.as_deref().unwrap()];
        assert_eq!(call.tags(), [("tenant", tenant), ("user", subject)].into());
        assert_eq!(call.get("RoleArn"), if tenant == "globex" { OWN } else { SHARED });
        let (name, digest) = call.get("RoleSessionName").split_once('=').unwrap_or((call.get("RoleSessionName"), ""));
        assert_eq!((name, digest.len()), if tenant == "initech" { (tenant, 0) } else { (subject, 16) });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_of_one_role_have_no_session_name_in_common() {
    let roles = format!("arn = \"{SHARED}\"\nper_principal = true");
    let tenants = tenant("initech", "") + &role("initech", "per_principal = false");
    let (world, sts) = world(&roles, &tenants).await;
    let callers = [("initech", "alice"), ("acme", "initech"), ("globex", "initech"), ("acme", "alice"), ("globex", "alice")];
    for (tenant, subject) in callers {
        client_of(&world, tenant, subject).await.post(INVOKE, "{}").await.assert_served();
    }
    let calls = sts.calls();
    let names: BTreeMap<_, _> = calls.iter().map(|call| (call.get("RoleSessionName"), call.tags()["tenant"])).collect();
    assert_eq!((calls.len(), names.len()), (5, 5), "{names:?}");
    assert_eq!(names.get("initech"), Some(&"initech"));
    assert_eq!(names.keys().filter(|name| name.starts_with("initech=") || name.starts_with("alice=")).count(), 4, "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_changes_roles_at_once_and_keeps_the_sessions_of_those_that_stay() {
    let (world, sts) = world("", &role("acme", &format!("arn = \"{SHARED}\""))).await;
    let mut acme = client(&world, "acme").await;
    let mut signer = async |expected: &str| {
        acme.post(INVOKE, "{}").await.assert_served();
        assert_eq!(signed_by(&world), expected);
    };
    signer("ASIA000000").await;
    let reload = async |tenants: &str| assert!(world.reload(&settings(&sts, "", tenants)).await);
    reload(&(role("acme", &format!("arn = \"{SHARED}\"")) + &role("globex", &format!("arn = \"{OWN}\"")))).await;
    signer("ASIA000000").await;
    reload(&role("acme", &format!("arn = \"{OWN}\""))).await;
    signer("ASIA000001").await;
    reload("").await;
    signer(GATEWAY).await;
    reload(&role("acme", &format!("arn = \"{OWN}\""))).await;
    signer("ASIA000002").await;
    // Another STS is asked for what comes next, and the file that is bad changes nothing.
    let other = Sts::start().await;
    other.makes_keys_for(&world.simulator);
    assert!(!world.reload(&settings(&other, "", &role("acme", "arn = \"none\""))).await);
    signer("ASIA000002").await;
    assert!(world.reload(&settings(&other, "", &role("acme", &format!("arn = \"{SHARED}\"")))).await);
    signer("ASIA000000").await;
    assert_eq!((sts.calls().len(), other.calls().len()), (3, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_signed_with_the_tenants_session_from_head_to_end() {
    let (world, _sts) = world("", &role("acme", &format!("arn = \"{SHARED}\""))).await;
    let mut client = world.h2().await;
    let mut conversation = Conversation::open(&mut client).await;
    for _ in 0..3 {
        conversation.say(b"hello");
        assert_eq!(conversation.hear().await, b"hello");
    }
    conversation.close();
    assert_eq!(conversation.rest().await, 0);
    let served = world.served();
    assert_eq!(served.access_key_id.as_deref(), Some("ASIA000000"));
    assert_eq!((served.heard().unwrap().events(), served.heard().unwrap().refusal()), (3, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vended_credentials_carry_the_claims_that_make_tags() {
    let sts = Sts::start().await;
    let mut settings = settings(&sts, &format!("arn = \"{SHARED}\"\nclaim_tags = {{ user = \"sub\" }}"), "");
    settings.sections += "[vending]\nsealing_keys = [{ id = \"a\", secret = { file = \"sealing-a\" } }]\n";
    settings.files = SEALING_KEYS.map(|(name, key)| (name, key.to_owned())).to_vec();
    let world = World::with(settings).await;
    sts.makes_keys_for(&world.simulator);
    let mut client = bare(&world).await;
    let signer = vend(&mut client, &world.token("acme")).await;
    client.ask(signer.sign(crate::signing::Message::post(INVOKE, "{}")).request()).await.assert_served();
    assert_eq!(sts.calls()[0].tags(), [("tenant", "acme"), ("user", "user-1")].into());
    // The same principal by its token: the same session.
    client.authorization = world.bearer("acme");
    client.post(INVOKE, "{}").await.assert_served();
    assert_eq!(sts.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_no_tag_refuses_its_bearer_alone() {
    let issuers = issuer("test", "https://issuer.example");
    let sts = Sts::start().await;
    let roles = format!("arn = \"{SHARED}\"\nclaim_tags = {{ user = \"sub\" }}");
    let world = World::with(Settings { issuers, ..settings(&sts, &roles, "") }).await;
    sts.makes_keys_for(&world.simulator);
    let answer = client_of(&world, "acme", "a*b").await.post(INVOKE, "{}").await;
    answer.assert_refused(403, "AccessDeniedException");
    client_of(&world, "acme", "a-b").await.post(INVOKE, "{}").await.assert_served();
    assert_eq!(sts.calls().len(), 1);
}
